//! CSI drivers, storage classes and volume attachments.

use super::{ROW, status};
use crate::resource::Resource;

pub(super) const RESOURCES: &[Resource] = &[
    Resource {
        group: "storage.k8s.io",
        kind: "CSIDriver",
        plural: "csidrivers",
        singular: "csidriver",
        namespaced: false,
        type_name: "storage.v1.CSIDriver",
        unconditional_update: false,
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
        ..ROW
    },
];
