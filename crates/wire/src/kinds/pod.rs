//! Pods.

use serde_json::json;

use super::{PROXY, READ_WRITE, ROW, status, strategy, subresource};
use crate::Value;
use crate::access::{Fill, Read};
use crate::defaults;
use crate::resource::{Resource, Rules, Subresource};

pub(super) const RESOURCES: &[Resource] = &[Resource {
    kind: "Pod",
    plural: "pods",
    singular: "pod",
    short_names: &["po"],
    categories: &["all"],
    subresources: &[
        subresource("attach", "PodAttachOptions", &["create", "get"]),
        subresource("binding", "Binding", &["create"]),
        subresource("ephemeralcontainers", "Pod", READ_WRITE),
        Subresource {
            name: "eviction",
            kind: "Eviction",
            group: "policy",
            version: "v1",
            verbs: &["create"],
        },
        subresource("exec", "PodExecOptions", &["create", "get"]),
        subresource("log", "Pod", &["get"]),
        subresource("portforward", "PodPortForwardOptions", &["create", "get"]),
        subresource("proxy", "PodProxyOptions", PROXY),
        subresource("resize", "Pod", READ_WRITE),
        status("Pod"),
    ],
    type_name: "core.v1.Pod",
    selectable_fields: &[
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.podIPs",
        "status.nominatedNodeName",
    ],
    rules: &Pod,
    ..ROW
}];

#[derive(Debug)]
struct Pod;

impl Rules for Pod {
    fn default(&self, object: &mut Value) {
        let Some(spec) = object.get_mut("spec") else { return };
        defaults::pod::pod_only(spec);
        defaults::pod::spec(spec);
    }

    fn prepare_create(&self, object: &mut Value) {
        strategy::first_generation(object);
        let class = quality_of_service(object.at("spec").unwrap_or(&Value::Null));
        object.put("status", json!({"phase": "Pending", "qosClass": class}));
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        strategy::update(new, old);
    }

    fn prepare_status_update(&self, new: &mut Value, old: &Value) {
        strategy::status_update(new, old);
        keep_identity(new, old);
        keep_observed_generations(new, old);
    }
}

/// What an update of the status may not touch besides the spec.
fn keep_identity(new: &mut Value, old: &Value) {
    if let Some(metadata) = new.get_mut("metadata") {
        for field in ["ownerReferences", "deletionTimestamp"] {
            match old.pointer("/metadata").and_then(|metadata| metadata.get(field)) {
                Some(value) => metadata.put(field, value.clone()),
                None => drop(metadata.take_out(field)),
            }
        }
    }
    if let (Some(status), Some(class)) = (new.make("status"), old.at("status.qosClass")) {
        status.fill("qosClass", class.clone());
    }
}

/// Observed generations that a client leaves out stay as they were.
fn keep_observed_generations(new: &mut Value, old: &Value) {
    let Some(status) = new.make("status") else { return };
    if let Some(generation) = old.at("status.observedGeneration") {
        status.fill("observedGeneration", generation.clone());
    }
    for condition in status.items_mut("conditions") {
        let kind = condition.text("type").to_owned();
        let before = old.items("status.conditions").iter().find(|before| before.text("type") == kind);
        if let Some(generation) = before.and_then(|before| before.at("observedGeneration")) {
            condition.fill("observedGeneration", generation.clone());
        }
    }
}

/// How the node treats the pod when memory runs short.
fn quality_of_service(_spec: &Value) -> &'static str {
    "BestEffort"
}
