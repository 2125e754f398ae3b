//! CSI drivers, storage classes and volume attachments.

use everynode_model::access::{Fill, Read};
use everynode_model::{Value, names};

use super::print;
use super::row::{ROW, Row, status};
use crate::rules::{Column, Rules, strategy};
use crate::status::FieldError;
use crate::validate::{Errors, Path, Report, meta};

pub(super) const RESOURCES: &[Row] = &[
    Row {
        group: "storage.k8s.io",
        kind: "CSIDriver",
        plural: "csidrivers",
        singular: "csidriver",
        namespaced: false,
        type_name: "storage.v1.CSIDriver",
        unconditional_update: false,
        rules: &CsiDriver,
        ..ROW
    },
    Row {
        group: "storage.k8s.io",
        kind: "CSINode",
        plural: "csinodes",
        singular: "csinode",
        namespaced: false,
        type_name: "storage.v1.CSINode",
        unconditional_update: false,
        rules: &CsiNode,
        ..ROW
    },
    Row {
        group: "storage.k8s.io",
        kind: "CSIStorageCapacity",
        plural: "csistoragecapacities",
        singular: "csistoragecapacity",
        type_name: "storage.v1.CSIStorageCapacity",
        unconditional_update: false,
        rules: &CsiStorageCapacity,
        ..ROW
    },
    Row {
        group: "storage.k8s.io",
        kind: "StorageClass",
        plural: "storageclasses",
        singular: "storageclass",
        short_names: &["sc"],
        namespaced: false,
        type_name: "storage.v1.StorageClass",
        rules: &StorageClass,
        ..ROW
    },
    Row {
        group: "storage.k8s.io",
        kind: "VolumeAttachment",
        plural: "volumeattachments",
        singular: "volumeattachment",
        namespaced: false,
        subresources: &[status("VolumeAttachment")],
        type_name: "storage.v1.VolumeAttachment",
        unconditional_update: false,
        rules: &VolumeAttachment,
        ..ROW
    },
    Row {
        group: "storage.k8s.io",
        kind: "VolumeAttributesClass",
        plural: "volumeattributesclasses",
        singular: "volumeattributesclass",
        short_names: &["vac"],
        namespaced: false,
        type_name: "storage.v1.VolumeAttributesClass",
        rules: &VolumeAttributesClass,
        ..ROW
    },
];

#[derive(Debug)]
struct CsiDriver;

impl Rules for CsiDriver {
    fn default(&self, object: &mut Value) {
        let Some(spec) = object.make("spec") else { return };
        spec.fill("attachRequired", true);
        spec.fill("podInfoOnMount", false);
        spec.fill("storageCapacity", false);
        spec.fill("fsGroupPolicy", "ReadWriteOnceWithFSType");
        spec.fill("requiresRepublish", false);
        spec.fill("seLinuxMount", false);
        if spec.items("volumeLifecycleModes").is_empty() {
            spec.put("volumeLifecycleModes", vec![Value::from("Persistent")]);
        }
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        if new.get("spec") != old.get("spec") {
            strategy::raise_generation(new, old, true);
        }
    }

    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        let name = object.text("metadata.name");
        if name.len() > 63 {
            errors.push(FieldError::too_long("metadata.name", 63));
        }
        let path = Path::root("spec");
        let policies = &["File", "None", "ReadWriteOnceWithFSType"];
        let policy = object.text("spec.fsGroupPolicy");
        if !policies.contains(&policy) {
            errors.not_supported(path.child("fsGroupPolicy"), policy, policies);
        }
        let modes = &["Persistent", "Ephemeral"];
        for mode in object.items("spec.volumeLifecycleModes").iter().filter_map(Value::as_str) {
            if !modes.contains(&mode) {
                errors.not_supported(path.child("volumeLifecycleModes"), mode, modes);
            }
        }
    }

    fn validate_update(&self, new: &Value, old: &Value, errors: &mut Errors) {
        self.validate_create(new, errors);
        let empty = Value::Null;
        let (new, old) = (new.get("spec").unwrap_or(&empty), old.get("spec").unwrap_or(&empty));
        let path = Path::root("spec");
        // The API misspells the path of the first.
        for (field, shown) in
            [("attachRequired", "attachedRequired"), ("volumeLifecycleModes", "volumeLifecycleModes")]
        {
            meta::immutable_field(new, old, field, &path.child(shown), errors);
        }
    }

    fn columns(&self) -> &'static [Column] {
        print::storage::DRIVER
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        print::storage::driver(object, now)
    }
}

#[derive(Debug)]
struct StorageClass;

impl Rules for StorageClass {
    fn default(&self, object: &mut Value) {
        object.fill("reclaimPolicy", "Delete");
        object.fill("volumeBindingMode", "Immediate");
    }

    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        provisioner(object.text("provisioner"), &Path::root("provisioner"), errors);
        let choices = [
            ("reclaimPolicy", ["Delete", "Retain"]),
            ("volumeBindingMode", ["Immediate", "WaitForFirstConsumer"]),
        ];
        for (field, supported) in choices {
            if !supported.contains(&object.text(field)) {
                errors.not_supported(field, object.text(field), &supported);
            }
        }
    }

    fn validate_update(&self, new: &Value, old: &Value, errors: &mut Errors) {
        for field in ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"] {
            meta::immutable_field(new, old, field, &Path::root(field), errors);
        }
    }

    fn columns(&self) -> &'static [Column] {
        print::storage::CLASS
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        print::storage::class(object, now)
    }
}

/// Who makes volumes.
fn provisioner(name: &str, path: &Path<'_>, errors: &mut Errors) {
    if name.is_empty() {
        errors.required(path, "");
    } else {
        let lower = name.to_lowercase();
        errors.all_invalid(path, &lower, names::qualified_name(&lower));
    }
}

#[derive(Debug)]
struct VolumeAttributesClass;

/// Parameters of a class, and the bytes of all.
const MAX_PARAMETERS: usize = 512;
const MAX_PARAMETERS_BYTES: usize = 256 << 10;

impl Rules for VolumeAttributesClass {
    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        provisioner(object.text("driverName"), &Path::root("driverName"), errors);
        let (count, path) = (object.entries("parameters").count(), "parameters");
        let bytes: usize = object
            .entries("parameters")
            .map(|(key, value)| key.len() + value.as_str().map_or(0, str::len))
            .sum();
        if count == 0 {
            errors.required(path, "must contain at least one key/value pair");
        } else if count > MAX_PARAMETERS {
            errors.push(FieldError::too_long(path, MAX_PARAMETERS));
        } else if bytes > MAX_PARAMETERS_BYTES {
            errors.push(FieldError::too_long(path, MAX_PARAMETERS_BYTES));
        }
        if object.entries("parameters").any(|(key, _)| key.is_empty()) {
            errors.invalid(path, "", "field can not be empty.");
        }
    }

    fn validate_update(&self, new: &Value, old: &Value, errors: &mut Errors) {
        for field in ["driverName", "parameters"] {
            if new.at(field) != old.at(field) {
                errors.forbidden(field, &format!("updates to {field} are forbidden."));
            }
        }
        self.validate_create(new, errors);
    }

    fn columns(&self) -> &'static [Column] {
        print::storage::ATTRIBUTES_CLASS
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        print::storage::attributes_class(object, now)
    }
}

#[derive(Debug)]
struct VolumeAttachment;

impl Rules for VolumeAttachment {
    fn prepare_create(&self, object: &mut Value) {
        strategy::reset_status(object, "storage.v1.VolumeAttachmentStatus");
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        strategy::keep(new, old, "status");
    }

    fn prepare_status_update(&self, new: &mut Value, old: &Value) {
        strategy::status_update(new, old);
        strategy::keep(new, old, "metadata");
    }

    fn columns(&self) -> &'static [Column] {
        print::storage::ATTACHMENT
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        print::storage::attachment(object, now)
    }
}

#[derive(Debug)]
struct CsiNode;

impl Rules for CsiNode {
    fn columns(&self) -> &'static [Column] {
        print::storage::CSI_NODE
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        print::storage::csi_node(object, now)
    }
}

#[derive(Debug)]
struct CsiStorageCapacity;

impl Rules for CsiStorageCapacity {
    fn columns(&self) -> &'static [Column] {
        print::storage::CAPACITY
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        print::storage::capacity(object, now)
    }
}
