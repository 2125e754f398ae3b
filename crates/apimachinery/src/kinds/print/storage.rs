//! Volumes, claims, classes and drivers.

use everynode_model::Value;
use everynode_model::access::Read;

use super::cell::{AGE, NAME, NONE, UNSET, age, name, name_with_default, or, text, typed, wide};
use crate::rules::Column;

pub(in crate::kinds) const VOLUME: &[Column] = &[
    NAME,
    text("Capacity", "Size of the volume."),
    text("Access Modes", "Ways in which it can be mounted."),
    text("Reclaim Policy", "What happens to it when its claim goes."),
    text("Status", "Whether it is available, bound, released or failed."),
    text("Claim", "The claim that it is bound to."),
    text("StorageClass", "StorageClass of the pv"),
    text("VolumeAttributesClass", "VolumeAttributesClass of the pv"),
    text("Reason", "Why it failed."),
    AGE,
    wide("VolumeMode", "Whether it has a file system."),
];

pub(in crate::kinds) fn volume(object: &Value, now: i64) -> Vec<Value> {
    let claim = object
        .at("spec.claimRef")
        .map_or_else(String::new, |claim| format!("{}/{}", claim.text("namespace"), claim.text("name")));
    vec![
        name(object),
        or(object.text("spec.capacity.storage"), "0").into(),
        access_modes(object.items("spec.accessModes")).into(),
        object.text("spec.persistentVolumeReclaimPolicy").into(),
        phase(object).into(),
        claim.into(),
        object.text("spec.storageClassName").into(),
        or(object.text("spec.volumeAttributesClassName"), UNSET).into(),
        object.text("status.reason").into(),
        age(object, now),
        or(object.text("spec.volumeMode"), UNSET).into(),
    ]
}

pub(in crate::kinds) const CLAIM: &[Column] = &[
    NAME,
    text("Status", "Whether the claim is pending, bound or lost."),
    text("Volume", "The volume that it is bound to."),
    text("Capacity", "Size of that volume."),
    text("Access Modes", "Ways in which it can be mounted."),
    text("StorageClass", "StorageClass of the pvc"),
    text("VolumeAttributesClass", "VolumeAttributesClass of the pvc"),
    AGE,
    wide("VolumeMode", "Whether it has a file system."),
];

pub(in crate::kinds) fn claim(object: &Value, now: i64) -> Vec<Value> {
    let bound = !object.text("spec.volumeName").is_empty();
    let capacity = if bound { or(object.text("status.capacity.storage"), "0") } else { "" };
    let modes = if bound { access_modes(object.items("status.accessModes")) } else { String::new() };
    vec![
        name(object),
        phase(object).into(),
        object.text("spec.volumeName").into(),
        capacity.into(),
        modes.into(),
        object.text("spec.storageClassName").into(),
        or(object.text("spec.volumeAttributesClassName"), UNSET).into(),
        age(object, now),
        or(object.text("spec.volumeMode"), UNSET).into(),
    ]
}

fn phase(object: &Value) -> &str {
    if object.has("metadata.deletionTimestamp") { "Terminating" } else { object.text("status.phase") }
}

/// Access modes in short, in the API's order.
fn access_modes(modes: &[Value]) -> String {
    const SHORT: &[(&str, &str)] = &[
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    let shown: Vec<&str> = SHORT
        .iter()
        .filter(|(long, _)| modes.iter().any(|mode| mode == long))
        .map(|(_, short)| *short)
        .collect();
    shown.join(",")
}

pub(in crate::kinds) const CLASS: &[Column] = &[
    NAME,
    text("Provisioner", "Who makes the volumes."),
    text("ReclaimPolicy", "What happens to a volume when its claim goes."),
    text("VolumeBindingMode", "When a claim is bound."),
    text("AllowVolumeExpansion", "Whether volumes can grow."),
    AGE,
];

pub(in crate::kinds) fn class(object: &Value, now: i64) -> Vec<Value> {
    let annotations =
        ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
    vec![
        name_with_default(object, &annotations),
        object.text("provisioner").into(),
        or(object.text("reclaimPolicy"), "Delete").into(),
        or(object.text("volumeBindingMode"), "Immediate").into(),
        object.flag("allowVolumeExpansion").into(),
        age(object, now),
    ]
}

pub(in crate::kinds) const ATTRIBUTES_CLASS: &[Column] =
    &[NAME, text("DriverName", "The driver whose volumes have the attributes."), AGE];

pub(in crate::kinds) fn attributes_class(object: &Value, now: i64) -> Vec<Value> {
    vec![name(object), object.text("driverName").into(), age(object, now)]
}

pub(in crate::kinds) const DRIVER: &[Column] = &[
    NAME,
    typed("AttachRequired", "boolean", "Whether volumes are attached before they are mounted."),
    typed("PodInfoOnMount", "boolean", "Whether the driver is told about the pod."),
    typed("StorageCapacity", "boolean", "Whether the scheduler heeds the driver's capacity."),
    text("TokenRequests", "Audiences of the tokens that the driver gets."),
    typed("RequiresRepublish", "boolean", "Whether the driver wants to be called again and again."),
    text("Modes", "Kinds of volumes that the driver serves."),
    AGE,
];

pub(in crate::kinds) fn driver(object: &Value, now: i64) -> Vec<Value> {
    let audiences: Vec<&str> =
        object.items("spec.tokenRequests").iter().map(|token| token.text("audience")).collect();
    let audiences = if object.has("spec.tokenRequests") { audiences.join(",") } else { UNSET.to_owned() };
    let modes: Vec<&str> =
        object.items("spec.volumeLifecycleModes").iter().filter_map(Value::as_str).collect();
    let attach = object.at("spec.attachRequired").and_then(Value::as_bool).unwrap_or(true);
    vec![
        name(object),
        attach.into(),
        object.flag("spec.podInfoOnMount").into(),
        object.flag("spec.storageCapacity").into(),
        audiences.into(),
        object.flag("spec.requiresRepublish").into(),
        or(&modes.join(","), NONE).into(),
        age(object, now),
    ]
}

pub(in crate::kinds) const CSI_NODE: &[Column] = &[
    NAME,
    typed("Drivers", "integer", "Drivers indicates the number of CSI drivers registered on the node"),
    AGE,
];

pub(in crate::kinds) fn csi_node(object: &Value, now: i64) -> Vec<Value> {
    vec![name(object), object.items("spec.drivers").len().into(), age(object, now)]
}

pub(in crate::kinds) const CAPACITY: &[Column] = &[
    NAME,
    text("StorageClassName", "The class that the capacity is for."),
    text("Capacity", "What is left."),
];

pub(in crate::kinds) fn capacity(object: &Value, _now: i64) -> Vec<Value> {
    vec![name(object), object.text("storageClassName").into(), or(object.text("capacity"), UNSET).into()]
}

pub(in crate::kinds) const ATTACHMENT: &[Column] = &[
    NAME,
    Column { format: "name", ..text("Attacher", "The driver that attaches.") },
    text("PV", "The volume."),
    text("Node", "The node."),
    typed("Attached", "boolean", "Whether it is attached."),
    AGE,
];

pub(in crate::kinds) fn attachment(object: &Value, now: i64) -> Vec<Value> {
    vec![
        name(object),
        object.text("spec.attacher").into(),
        object.text("spec.source.persistentVolumeName").into(),
        object.text("spec.nodeName").into(),
        object.flag("status.attached").into(),
        age(object, now),
    ]
}
