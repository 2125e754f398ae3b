//! Persistent volumes and claims.

use everynode_model::Value;
use everynode_model::access::{Fill, Read as _};
use serde_json::json;

use super::print;
use super::row::{ROW, Row, status};
use crate::defaults;
use crate::rules::{Column, Rules, strategy};

pub(super) const RESOURCES: &[Row] = &[
    Row {
        kind: "PersistentVolumeClaim",
        plural: "persistentvolumeclaims",
        singular: "persistentvolumeclaim",
        short_names: &["pvc"],
        subresources: &[status("PersistentVolumeClaim")],
        type_name: "core.v1.PersistentVolumeClaim",
        rules: &PersistentVolumeClaim,
        ..ROW
    },
    Row {
        kind: "PersistentVolume",
        plural: "persistentvolumes",
        singular: "persistentvolume",
        short_names: &["pv"],
        namespaced: false,
        subresources: &[status("PersistentVolume")],
        type_name: "core.v1.PersistentVolume",
        rules: &PersistentVolume,
        ..ROW
    },
];

#[derive(Debug)]
struct PersistentVolume;

impl Rules for PersistentVolume {
    fn default(&self, object: &mut Value) {
        if let Some(spec) = object.get_mut("spec") {
            spec.fill("persistentVolumeReclaimPolicy", "Retain");
            spec.fill("volumeMode", "Filesystem");
            defaults::pod::sources(spec);
        }
        if let Some(status) = object.make("status") {
            status.fill("phase", "Pending");
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        let created = object.at("metadata.creationTimestamp").cloned();
        object.put("status", json!({"phase": "Pending"}));
        if let (Some(created), Some(status)) = (created, object.get_mut("status")) {
            status.put("lastPhaseTransitionTime", created);
        }
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        strategy::keep(new, old, "status");
    }

    fn prepare_status_update(&self, new: &mut Value, old: &Value) {
        strategy::status_update(new, old);
    }

    fn columns(&self) -> &'static [Column] {
        print::storage::VOLUME
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        print::storage::volume(object, now)
    }
}

#[derive(Debug)]
struct PersistentVolumeClaim;

impl Rules for PersistentVolumeClaim {
    fn default(&self, object: &mut Value) {
        if let Some(spec) = object.get_mut("spec") {
            spec.fill("volumeMode", "Filesystem");
        }
        if let Some(status) = object.make("status") {
            status.fill("phase", "Pending");
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        object.put("status", json!({"phase": "Pending"}));
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        strategy::keep(new, old, "status");
    }

    fn prepare_status_update(&self, new: &mut Value, old: &Value) {
        strategy::status_update(new, old);
    }

    fn columns(&self) -> &'static [Column] {
        print::storage::CLAIM
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        print::storage::claim(object, now)
    }
}
