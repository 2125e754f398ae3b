//! CSI drivers, storage classes and volume attachments.

use super::{ROW, status, strategy};
use crate::Value;
use crate::access::{Fill, Read};
use crate::resource::{Resource, Rules};

pub(super) const RESOURCES: &[Resource] = &[
    Resource {
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
    Resource {
        group: "storage.k8s.io",
        kind: "CSINode",
        plural: "csinodes",
        singular: "csinode",
        namespaced: false,
        type_name: "storage.v1.CSINode",
        unconditional_update: false,
        ..ROW
    },
    Resource {
        group: "storage.k8s.io",
        kind: "CSIStorageCapacity",
        plural: "csistoragecapacities",
        singular: "csistoragecapacity",
        type_name: "storage.v1.CSIStorageCapacity",
        unconditional_update: false,
        ..ROW
    },
    Resource {
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
    Resource {
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
}

#[derive(Debug)]
struct StorageClass;

impl Rules for StorageClass {
    fn default(&self, object: &mut Value) {
        object.fill("reclaimPolicy", "Delete");
        object.fill("volumeBindingMode", "Immediate");
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
}
