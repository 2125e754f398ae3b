//! Namespaces.

use everynode_model::Value;
use everynode_model::access::{Fill, Read};
use serde_json::json;

use super::print;
use super::row::{ROW, Row, status};
use crate::resource::Subresource;
use crate::rules::{Column, Rules, strategy};
use everynode_model::names::NameRule;

pub(super) const RESOURCES: &[Row] = &[Row {
    kind: "Namespace",
    plural: "namespaces",
    singular: "namespace",
    short_names: &["ns"],
    namespaced: false,
    verbs: &["create", "delete", "get", "list", "patch", "update", "watch"],
    subresources: &[Subresource::new("finalize", "Namespace", &["update"]), status("Namespace")],
    type_name: "core.v1.Namespace",
    selectable_fields: &["status.phase"],
    name_rule: NameRule::Label,
    rules: &Namespace,
    ..ROW
}];

/// The finalizer that keeps a namespace until its content is gone.
const KUBERNETES: &str = "kubernetes";

#[derive(Debug)]
struct Namespace;

impl Rules for Namespace {
    fn default(&self, object: &mut Value) {
        let name = object.text("metadata.name").to_owned();
        if !name.is_empty()
            && let Some(labels) = object.make("metadata").and_then(|metadata| metadata.make("labels"))
        {
            labels.put("kubernetes.io/metadata.name", name);
        }
        if let Some(status) = object.make("status") {
            status.fill("phase", "Active");
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        object.put("status", json!({"phase": "Active"}));
        let Some(spec) = object.make("spec") else { return };
        spec.fill("finalizers", json!([]));
        if let Some(finalizers) = spec.get_mut("finalizers").and_then(Value::as_array_mut)
            && !finalizers.iter().any(|finalizer| finalizer == KUBERNETES)
        {
            finalizers.push(KUBERNETES.into());
        }
        // A namespace whose name was generated gets its label here.
        self.default(object);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        strategy::keep(new, old, "spec");
        strategy::keep(new, old, "status");
    }

    fn prepare_status_update(&self, new: &mut Value, old: &Value) {
        strategy::status_update(new, old);
    }

    fn columns(&self) -> &'static [Column] {
        print::cluster::NAMESPACE
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        print::cluster::namespace(object, now)
    }
}
