//! Config maps and secrets.

use super::ROW;
use crate::resource::Resource;

pub(super) const RESOURCES: &[Resource] = &[
    Resource {
        kind: "ConfigMap",
        plural: "configmaps",
        singular: "configmap",
        short_names: &["cm"],
        type_name: "core.v1.ConfigMap",
        ..ROW
    },
    Resource {
        kind: "Secret",
        plural: "secrets",
        singular: "secret",
        type_name: "core.v1.Secret",
        selectable_fields: &["type"],
        ..ROW
    },
];
