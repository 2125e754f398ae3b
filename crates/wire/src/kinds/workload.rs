//! Deployments, replica sets, stateful sets, replication controllers and pod templates.

use super::{ROW, SCALE, status};
use crate::resource::Resource;
use crate::validate::meta::NameRule;

pub(super) const RESOURCES: &[Resource] = &[
    Resource {
        kind: "PodTemplate",
        plural: "podtemplates",
        singular: "podtemplate",
        type_name: "core.v1.PodTemplate",
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
        ..ROW
    },
];
