//! Deployments, replica sets, stateful sets, replication controllers and pod templates.

use everynode_model::Value;
use everynode_model::access::{Fill, Read};

use super::row::{ROW, Row, status};
use super::{gated, print};
use crate::defaults;
use crate::resource::Subresource;
use crate::rules::{Column, Rules, strategy};
use crate::validate::workload::{self, Words};
use crate::validate::{Errors, Path, Report, meta, pod_spec, warnings};
use everynode_model::names::NameRule;

pub(super) const RESOURCES: &[Row] = &[
    Row {
        kind: "PodTemplate",
        plural: "podtemplates",
        singular: "podtemplate",
        type_name: "core.v1.PodTemplate",
        rules: &PodTemplate,
        ..ROW
    },
    Row {
        kind: "ReplicationController",
        plural: "replicationcontrollers",
        singular: "replicationcontroller",
        short_names: &["rc"],
        categories: &["all"],
        subresources: &[Subresource::SCALE, status("ReplicationController")],
        type_name: "core.v1.ReplicationController",
        selectable_fields: &["status.replicas"],
        rules: &ReplicationController,
        ..ROW
    },
    Row {
        group: "apps",
        kind: "Deployment",
        plural: "deployments",
        singular: "deployment",
        short_names: &["deploy"],
        categories: &["all"],
        subresources: &[Subresource::SCALE, status("Deployment")],
        type_name: "apps.v1.Deployment",
        rules: &Deployment,
        ..ROW
    },
    Row {
        group: "apps",
        kind: "ReplicaSet",
        plural: "replicasets",
        singular: "replicaset",
        short_names: &["rs"],
        categories: &["all"],
        subresources: &[Subresource::SCALE, status("ReplicaSet")],
        type_name: "apps.v1.ReplicaSet",
        selectable_fields: &["status.replicas"],
        rules: &ReplicaSet,
        ..ROW
    },
    Row {
        group: "apps",
        kind: "StatefulSet",
        plural: "statefulsets",
        singular: "statefulset",
        short_names: &["sts"],
        categories: &["all"],
        subresources: &[Subresource::SCALE, status("StatefulSet")],
        type_name: "apps.v1.StatefulSet",
        name_rule: NameRule::Label,
        rules: &StatefulSet,
        ..ROW
    },
];

#[derive(Debug)]
struct PodTemplate;

impl Rules for PodTemplate {
    fn default(&self, object: &mut Value) {
        defaults::pod::template(object);
    }

    fn prepare_create(&self, object: &mut Value) {
        gated::take_out(object.at_mut("template.spec"), None);
        strategy::first_generation(object);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        gated::take_out(new.at_mut("template.spec"), old.at("template.spec"));
        strategy::raise_generation(new, old, new.get("template") != old.get("template"));
    }

    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        pod_spec::template(object.get("template").unwrap_or(&Value::Null), &Path::root("template"), errors);
    }

    fn columns(&self) -> &'static [Column] {
        print::workload::POD_TEMPLATE
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        print::workload::pod_template(object, now)
    }
}

#[derive(Debug)]
struct ReplicationController;

impl Rules for ReplicationController {
    fn orphans_by_default(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        let labels = object.at("spec.template.metadata.labels").cloned();
        let Some(spec) = object.get_mut("spec") else { return };
        spec.fill("replicas", 1);
        if spec.has("template") {
            defaults::pod::template(spec);
        }
        if let Some(labels) = labels {
            spec.fill("selector", labels.clone());
            if let Some(metadata) = object.make("metadata") {
                metadata.fill("labels", labels);
            }
        }
    }

    fn status_type(&self) -> Option<&'static str> {
        Some("core.v1.ReplicationControllerStatus")
    }

    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        let spec = object.get("spec").unwrap_or(&Value::Null);
        let path = Path::root("spec");
        for field in ["minReadySeconds", "replicas"] {
            errors.not_negative(&path.child(field), spec.number(field));
        }
        if spec.entries("selector").next().is_none() {
            errors.required(path.child("selector"), "");
        }
        let template_path = path.child("template");
        match spec.at("template") {
            None => errors.required(template_path, ""),
            Some(template) => {
                let labels = template.at("metadata.labels").unwrap_or(&Value::Null);
                if spec.entries("selector").any(|(key, value)| labels.get(key) != Some(value)) {
                    let message = "`selector` does not match template `labels`";
                    errors.invalid(template_path.child("metadata.labels"), labels.clone(), message);
                }
                pod_spec::template(template, &template_path, errors);
                let words = Words { lower: "replicationcontroller", kind: "ReplicationController" };
                workload::always_running(template, &template_path, &words, errors);
            }
        }
    }

    fn columns(&self) -> &'static [Column] {
        print::workload::REPLICA_SET
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        print::workload::replication_controller(object, now)
    }
}

#[derive(Debug)]
struct Deployment;

impl Rules for Deployment {
    fn default(&self, object: &mut Value) {
        let Some(spec) = object.get_mut("spec") else { return };
        spec.fill("replicas", 1);
        spec.fill("revisionHistoryLimit", 10);
        spec.fill("progressDeadlineSeconds", 600);
        if let Some(strategy) = spec.make("strategy") {
            strategy.fill("type", "RollingUpdate");
            if strategy.text("type") == "RollingUpdate"
                && let Some(rolling) = strategy.make("rollingUpdate")
            {
                rolling.fill("maxUnavailable", "25%");
                rolling.fill("maxSurge", "25%");
            }
        }
        defaults::pod::template(spec);
    }

    fn prepare_create(&self, object: &mut Value) {
        gated::take_out(object.at_mut("spec.template.spec"), None);
        strategy::create(object, "apps.v1.DeploymentStatus");
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        gated::take_out(new.at_mut("spec.template.spec"), old.at("spec.template.spec"));
        strategy::keep(new, old, "status");
        let changed = new.get("spec") != old.get("spec")
            || new.at("metadata.annotations") != old.at("metadata.annotations");
        strategy::raise_generation(new, old, changed);
    }

    fn prepare_status_update(&self, new: &mut Value, old: &Value) {
        strategy::status_update_keeps_labels(new, old);
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        template_warnings(new, old)
    }

    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        let spec = object.get("spec").unwrap_or(&Value::Null);
        workload::replicated(spec, &Words { lower: "deployment", kind: "ReplicaSet" }, errors);
        workload::deployment_strategy(spec, errors);
    }

    fn validate_update(&self, new: &Value, old: &Value, errors: &mut Errors) {
        self.validate_create(new, errors);
        selector_stays(new, old, errors);
    }

    fn columns(&self) -> &'static [Column] {
        print::workload::DEPLOYMENT
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        print::workload::deployment(object, now)
    }
}

#[derive(Debug)]
struct ReplicaSet;

impl Rules for ReplicaSet {
    fn default(&self, object: &mut Value) {
        let Some(spec) = object.get_mut("spec") else { return };
        spec.fill("replicas", 1);
        defaults::pod::template(spec);
    }

    fn status_type(&self) -> Option<&'static str> {
        Some("apps.v1.ReplicaSetStatus")
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        template_warnings(new, old)
    }

    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        let spec = object.get("spec").unwrap_or(&Value::Null);
        workload::replicated(spec, &Words { lower: "deployment", kind: "ReplicaSet" }, errors);
    }

    fn validate_update(&self, new: &Value, old: &Value, errors: &mut Errors) {
        self.validate_create(new, errors);
        selector_stays(new, old, errors);
    }

    fn columns(&self) -> &'static [Column] {
        print::workload::REPLICA_SET
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        print::workload::replica_set(object, now)
    }
}

#[derive(Debug)]
struct StatefulSet;

impl Rules for StatefulSet {
    fn default(&self, object: &mut Value) {
        let Some(spec) = object.get_mut("spec") else { return };
        spec.fill("replicas", 1);
        spec.fill("revisionHistoryLimit", 10);
        spec.fill("podManagementPolicy", "OrderedReady");
        if let Some(strategy) = spec.make("updateStrategy") {
            if !strategy.has("type") {
                strategy.put("type", "RollingUpdate");
                strategy.make("rollingUpdate");
            }
            if strategy.text("type") == "RollingUpdate"
                && let Some(rolling) = strategy.get_mut("rollingUpdate")
            {
                rolling.fill("partition", 0);
            }
        }
        if let Some(retention) = spec.make("persistentVolumeClaimRetentionPolicy") {
            retention.fill("whenDeleted", "Retain");
            retention.fill("whenScaled", "Retain");
        }
        defaults::pod::template(spec);
        for claim in spec.items_mut("volumeClaimTemplates") {
            if let Some(claim) = claim.get_mut("spec") {
                claim.fill("volumeMode", "Filesystem");
            }
            if let Some(status) = claim.make("status") {
                status.fill("phase", "Pending");
            }
        }
    }

    fn status_type(&self) -> Option<&'static str> {
        Some("apps.v1.StatefulSetStatus")
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        template_warnings(new, old)
    }

    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        let spec = object.get("spec").unwrap_or(&Value::Null);
        workload::stateful(spec, errors);
        let words = Words { lower: "statefulset", kind: "StatefulSet" };
        workload::replicated(&with_claims_as_volumes(spec), &words, errors);
    }

    fn validate_update(&self, new: &Value, old: &Value, errors: &mut Errors) {
        self.validate_create(new, errors);
        only_some_fields_change(new, old, errors);
    }

    fn columns(&self) -> &'static [Column] {
        print::workload::STATEFUL_SET
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        print::workload::stateful_set(object, now)
    }
}

fn selector_stays(new: &Value, old: &Value, errors: &mut Errors) {
    let empty = Value::Null;
    let (new, old) = (new.get("spec").unwrap_or(&empty), old.get("spec").unwrap_or(&empty));
    meta::immutable_field(new, old, "selector", &Path::root("spec.selector"), errors);
}

/// The claims of a stateful set are volumes of its pods.
fn with_claims_as_volumes(spec: &Value) -> Value {
    let mut spec = spec.clone();
    let names: Vec<String> = spec
        .items("volumeClaimTemplates")
        .iter()
        .map(|claim| claim.text("metadata.name").to_owned())
        .collect();
    let Some(pod) = spec.at_mut("template.spec") else { return spec };
    let mut volumes: Vec<Value> = names
        .iter()
        .map(|name| serde_json::json!({"name": name, "persistentVolumeClaim": {"claimName": name}}))
        .collect();
    let names: std::collections::HashSet<&str> = names.iter().map(String::as_str).collect();
    let own = pod.items("volumes").iter().filter(|volume| !names.contains(volume.text("name")));
    volumes.extend(own.cloned());
    pod.put("volumes", volumes);
    spec
}

/// Fields of a stateful set that an update may change.
const STATEFUL_MAY_CHANGE: &[&str] = &[
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];

fn only_some_fields_change(new: &Value, old: &Value, errors: &mut Errors) {
    let fixed = |object: &Value| {
        let mut spec = object.get("spec").cloned().unwrap_or_default();
        for field in STATEFUL_MAY_CHANGE {
            spec.take_out(field);
        }
        spec
    };
    if fixed(new) != fixed(old) {
        let message = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
        errors.forbidden("spec", message);
    }
}

/// Warnings about a template that is new.
fn template_warnings(new: &Value, old: Option<&Value>) -> Vec<String> {
    let template = new.at("spec.template").unwrap_or(&Value::Null);
    if old.is_some_and(|old| old.at("spec.template") == Some(template)) {
        return Vec::new();
    }
    warnings::template(template, &Path::root("spec.template"))
}
