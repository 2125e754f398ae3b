//! Deployments, replica sets, stateful sets, replication controllers and pod templates.

use super::{ROW, SCALE, status, strategy};
use crate::Value;
use crate::access::{Fill, Read};
use crate::defaults;
use crate::resource::{Resource, Rules};
use crate::validate::meta::NameRule;

pub(super) const RESOURCES: &[Resource] = &[
    Resource {
        kind: "PodTemplate",
        plural: "podtemplates",
        singular: "podtemplate",
        type_name: "core.v1.PodTemplate",
        rules: &PodTemplate,
        ..ROW
    },
    Resource {
        kind: "ReplicationController",
        plural: "replicationcontrollers",
        singular: "replicationcontroller",
        short_names: &["rc"],
        categories: &["all"],
        subresources: &[SCALE, status("ReplicationController")],
        type_name: "core.v1.ReplicationController",
        selectable_fields: &["status.replicas"],
        rules: &ReplicationController,
        ..ROW
    },
    Resource {
        group: "apps",
        kind: "Deployment",
        plural: "deployments",
        singular: "deployment",
        short_names: &["deploy"],
        categories: &["all"],
        subresources: &[SCALE, status("Deployment")],
        type_name: "apps.v1.Deployment",
        rules: &Deployment,
        ..ROW
    },
    Resource {
        group: "apps",
        kind: "ReplicaSet",
        plural: "replicasets",
        singular: "replicaset",
        short_names: &["rs"],
        categories: &["all"],
        subresources: &[SCALE, status("ReplicaSet")],
        type_name: "apps.v1.ReplicaSet",
        selectable_fields: &["status.replicas"],
        rules: &ReplicaSet,
        ..ROW
    },
    Resource {
        group: "apps",
        kind: "StatefulSet",
        plural: "statefulsets",
        singular: "statefulset",
        short_names: &["sts"],
        categories: &["all"],
        subresources: &[SCALE, status("StatefulSet")],
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
        strategy::first_generation(object);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        strategy::raise_generation(new, old, new.get("template") != old.get("template"));
    }
}

#[derive(Debug)]
struct ReplicationController;

impl Rules for ReplicationController {
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

    fn prepare_create(&self, object: &mut Value) {
        strategy::create(object, "core.v1.ReplicationControllerStatus");
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        strategy::update(new, old);
    }

    fn prepare_status_update(&self, new: &mut Value, old: &Value) {
        strategy::status_update(new, old);
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
        strategy::create(object, "apps.v1.DeploymentStatus");
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        strategy::keep(new, old, "status");
        let changed = new.get("spec") != old.get("spec")
            || new.at("metadata.annotations") != old.at("metadata.annotations");
        strategy::raise_generation(new, old, changed);
    }

    fn prepare_status_update(&self, new: &mut Value, old: &Value) {
        strategy::status_update_keeps_labels(new, old);
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

    fn prepare_create(&self, object: &mut Value) {
        strategy::create(object, "apps.v1.ReplicaSetStatus");
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        strategy::update(new, old);
    }

    fn prepare_status_update(&self, new: &mut Value, old: &Value) {
        strategy::status_update(new, old);
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

    fn prepare_create(&self, object: &mut Value) {
        strategy::create(object, "apps.v1.StatefulSetStatus");
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        strategy::update(new, old);
    }

    fn prepare_status_update(&self, new: &mut Value, old: &Value) {
        strategy::status_update(new, old);
    }
}
