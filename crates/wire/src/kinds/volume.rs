//! Persistent volumes and claims.

use super::{ROW, status};
use crate::resource::Resource;

pub(super) const RESOURCES: &[Resource] = &[
    Resource {
        kind: "PersistentVolumeClaim",
        plural: "persistentvolumeclaims",
        singular: "persistentvolumeclaim",
        short_names: &["pvc"],
        subresources: &[status("PersistentVolumeClaim")],
        type_name: "core.v1.PersistentVolumeClaim",
        ..ROW
    },
    Resource {
        kind: "PersistentVolume",
        plural: "persistentvolumes",
        singular: "persistentvolume",
        short_names: &["pv"],
        namespaced: false,
        subresources: &[status("PersistentVolume")],
        type_name: "core.v1.PersistentVolume",
        ..ROW
    },
];
