//! Limit ranges and resource quotas.

use super::{ROW, status};
use crate::resource::Resource;

pub(super) const RESOURCES: &[Resource] = &[
    Resource {
        kind: "LimitRange",
        plural: "limitranges",
        singular: "limitrange",
        short_names: &["limits"],
        type_name: "core.v1.LimitRange",
        create_on_update: true,
        ..ROW
    },
    Resource {
        kind: "ResourceQuota",
        plural: "resourcequotas",
        singular: "resourcequota",
        short_names: &["quota"],
        subresources: &[status("ResourceQuota")],
        type_name: "core.v1.ResourceQuota",
        ..ROW
    },
];
