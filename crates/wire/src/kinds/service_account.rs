//! Service accounts.

use super::ROW;
use crate::resource::{Resource, Subresource};

pub(super) const RESOURCES: &[Resource] = &[Resource {
    kind: "ServiceAccount",
    plural: "serviceaccounts",
    singular: "serviceaccount",
    short_names: &["sa"],
    subresources: &[Subresource {
        name: "token",
        kind: "TokenRequest",
        group: "authentication.k8s.io",
        version: "v1",
        verbs: &["create"],
    }],
    type_name: "core.v1.ServiceAccount",
    ..ROW
}];
