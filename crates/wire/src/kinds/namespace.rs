//! Namespaces.

use super::{ROW, status, subresource};
use crate::resource::Resource;
use crate::validate::meta::NameRule;

pub(super) const RESOURCES: &[Resource] = &[Resource {
    kind: "Namespace",
    plural: "namespaces",
    singular: "namespace",
    short_names: &["ns"],
    namespaced: false,
    verbs: &["create", "delete", "get", "list", "patch", "update", "watch"],
    subresources: &[subresource("finalize", "Namespace", &["update"]), status("Namespace")],
    type_name: "core.v1.Namespace",
    selectable_fields: &["status.phase"],
    name_rule: NameRule::Label,
    ..ROW
}];
