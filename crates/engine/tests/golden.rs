//! Placement and pods against the recordings of a real cluster.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panic, and says when it is skipped"
)]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use everynode_engine::placement::{Effect, NodeView, Taint};
use everynode_engine::{DaemonSetRef, NewPod, Template, Uid, pod_body};
use everynode_testkit::shared;
use serde_json::Value;

/// A served node.
struct Served(Value);

impl NodeView for Served {
    fn name(&self) -> &str {
        self.0["metadata"]["name"].as_str().unwrap_or_default()
    }

    fn label(&self, key: &str) -> Option<&str> {
        self.0["metadata"]["labels"].get(key)?.as_str()
    }

    fn taints(&self) -> impl Iterator<Item = Taint<'_>> {
        self.0["spec"]["taints"].as_array().into_iter().flatten().map(|taint| Taint {
            key: taint["key"].as_str().unwrap_or_default(),
            value: taint["value"].as_str().unwrap_or_default(),
            effect: Effect::parse(taint["effect"].as_str().unwrap_or_default()),
        })
    }
}

fn fleet(golden: &Path) -> Vec<Served> {
    let text = std::fs::read_to_string(golden.join("fleet.yaml")).unwrap();
    let documents = everynode_apimachinery::manifest::documents(&text);
    let nodes: Vec<Served> = documents.into_iter().map(|one| Served(one.unwrap().value)).collect();
    assert_eq!(nodes.len(), 13);
    nodes
}

/// Every recorded DaemonSet: the file's name, `namespace/name`, and the record.
fn each_daemonset(golden: &Path, mut visit: impl FnMut(&str, &str, &Value)) -> usize {
    let mut count = 0;
    for entry in std::fs::read_dir(golden.join("manifests")).unwrap() {
        let path = entry.unwrap().path();
        let recorded: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        for (key, daemonset) in recorded["daemonsets"].as_object().unwrap() {
            visit(&path.file_stem().unwrap().to_string_lossy(), key, daemonset);
            count += 1;
        }
    }
    count
}

/// Statements B3, B4, B5, B6, B7, B8.
#[test]
fn the_same_nodes_get_a_pod_as_in_the_recording() {
    let Some(golden) = shared("golden") else { return };
    let fleet = fleet(&golden);
    let count = each_daemonset(&golden, |file, key, daemonset| {
        // Where admission refused the pods, none was recorded.
        if daemonset["failed_create"].as_array().is_some_and(|failed| !failed.is_empty()) {
            return;
        }
        let template = Template::new(daemonset["object"]["spec"]["template"].clone());
        let expected: BTreeSet<&str> =
            daemonset["placement"].as_object().unwrap().keys().map(String::as_str).collect();
        let eligible = fleet.iter().filter(|node| template.placement().verdict(*node).should_run);
        assert_eq!(eligible.map(|node| node.name()).collect::<BTreeSet<_>>(), expected, "{file} {key}");
    });
    assert!(count >= 37);
}

/// Statements C1, C2, C3, C4, C6.
#[test]
fn a_created_pod_asks_for_what_the_recorded_one_asks_for() {
    let Some(golden) = shared("golden") else { return };
    let mut compared = 0;
    each_daemonset(&golden, |file, key, daemonset| {
        let recorded = &daemonset["pod"];
        if !recorded.is_object() {
            return;
        }
        compared += 1;
        let (namespace, name) = key.split_once('/').unwrap();
        let reference = DaemonSetRef { namespace: namespace.to_owned(), name: name.to_owned(), uid: Uid(1) };
        let terms =
            &recorded["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
        let node = terms["nodeSelectorTerms"][0]["matchFields"][0]["values"][0].as_str().unwrap();
        let new = NewPod {
            node: Arc::from(node),
            name: None,
            template: Arc::new(Template::new(daemonset["object"]["spec"]["template"].clone())),
            hash: Arc::from(recorded["metadata"]["labels"][pod_body::HASH_LABEL].as_str().unwrap()),
            template_generation: Some(1),
        };
        let mut recorded = recorded.clone();
        if let Some(labels) = recorded["metadata"]["labels"].as_object_mut() {
            // Binding adds the node's zone.
            labels.retain(|label, _| label != "topology.kubernetes.io/zone");
        }
        let ours = pod_body::body(&reference, &new);
        for field in ["labels", "annotations", "generateName", "finalizers"] {
            assert_eq!(
                ours["metadata"][field], recorded["metadata"][field],
                "{file} {key}: metadata.{field}"
            );
        }
        let spec = ours["spec"].as_object().unwrap();
        for (field, value) in spec {
            // Admission adds the token's volume and its mounts.
            let is_admitted =
                matches!(field.as_str(), "volumes" | "containers" | "initContainers" | "serviceAccount");
            if !is_admitted {
                assert_eq!(*value, recorded["spec"][field], "{file} {key}: spec.{field}");
            }
        }
    });
    assert!(compared > 30, "only {compared} compared");
}
