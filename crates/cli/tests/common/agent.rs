//! A DaemonSet `agent` under a policy, as the tests of roll-outs have it.

use std::collections::BTreeMap;

use everynode_client::{Client, content_type};
use serde_json::{Value, json};

use super::{LIMIT, eventually, get};

/// The agent of a namespace.
pub struct Agent {
    pub client: Client,
    pub namespace: String,
}

impl Agent {
    /// The path of the DaemonSets.
    pub fn daemonsets(&self) -> String {
        format!("/apis/apps/v1/namespaces/{}/daemonsets", self.namespace)
    }

    /// The path of the agent.
    pub fn daemonset(&self) -> String {
        format!("{}/agent", self.daemonsets())
    }

    /// The path of the pods.
    pub fn pods(&self) -> String {
        format!("/api/v1/namespaces/{}/pods", self.namespace)
    }

    /// The path of a policy, or of all of them.
    pub fn policies(&self, name: &str) -> String {
        let path = format!("/apis/everynode.dev/v1alpha1/namespaces/{}/rolloutpolicies", self.namespace);
        if name.is_empty() { path } else { format!("{path}/{name}") }
    }

    /// Changes an object by a merge patch.
    pub async fn merge(&self, path: &str, patch: Value) {
        self.client.patch(path, content_type::MERGE_PATCH, patch.to_string()).await.unwrap();
    }

    /// Gives the agent another image, and its pods these annotations besides.
    pub async fn template(&self, image: &str, annotations: Value) {
        let container = json!({"name": "main", "image": image});
        let template = json!({"metadata": {"annotations": annotations}, "spec": {"containers": [container]}});
        self.merge(&self.daemonset(), json!({"spec": {"template": template}})).await;
    }

    /// Gives the agent another image.
    pub async fn image(&self, image: &str) {
        self.template(image, json!({})).await;
    }

    /// Creates a policy.
    pub async fn policy(&self, name: &str, spec: Value) {
        let policy = json!({
            "apiVersion": "everynode.dev/v1alpha1",
            "kind": "RolloutPolicy",
            "metadata": {"name": name},
            "spec": spec,
        });
        self.client.post(&self.policies(""), policy.to_string()).await.unwrap();
    }

    /// Waits for a phase of a policy, and gives the status of the agent's roll-out then.
    pub async fn phase(&self, name: &str, phase: &str) -> Value {
        eventually(&format!("policy {name} is {phase}"), LIMIT, async || {
            let status = get(&self.client, &self.policies(name)).await["status"].clone();
            match status["phase"] == phase {
                true => Ok(status["daemonSets"]["agent"].clone()),
                false => Err(status.to_string()),
            }
        })
        .await
    }

    /// The status of the agent's roll-out under the policy `careful`.
    pub async fn entry(&self) -> Value {
        get(&self.client, &self.policies("careful")).await["status"]["daemonSets"]["agent"].clone()
    }

    /// As [`Agent::entry`], once it is about another revision than this one and has this phase.
    pub async fn phase_after(&self, revision: &Value, phase: &str) -> Value {
        eventually(&format!("another revision than {revision} is {phase}"), LIMIT, async || {
            let entry = self.entry().await;
            let is_so = entry["phase"] == phase && entry["revision"] != *revision;
            if is_so { Ok(entry) } else { Err(entry.to_string()) }
        })
        .await
    }

    /// How many pods that stay there are of each image.
    pub async fn counts(&self) -> BTreeMap<String, usize> {
        let pods = get(&self.client, &self.pods()).await;
        let mut counts = BTreeMap::new();
        for pod in pods["items"].as_array().unwrap() {
            if pod["metadata"]["deletionTimestamp"].is_null() {
                let image = pod["spec"]["containers"][0]["image"].as_str().unwrap();
                *counts.entry(image.to_owned()).or_default() += 1;
            }
        }
        counts
    }
}

/// Counts as [`Agent::counts`] gives them.
pub fn counts(expected: &[(&str, usize)]) -> BTreeMap<String, usize> {
    expected.iter().map(|(image, count)| ((*image).to_owned(), *count)).collect()
}
