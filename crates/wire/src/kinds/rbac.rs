//! Roles and their bindings.

use super::ROW;
use crate::Value;
use crate::access::{Fill, Read};
use crate::resource::{Resource, Rules};
use crate::validate::meta::NameRule;

pub(super) const RESOURCES: &[Resource] = &[
    Resource {
        group: "rbac.authorization.k8s.io",
        kind: "ClusterRole",
        plural: "clusterroles",
        singular: "clusterrole",
        namespaced: false,
        type_name: "rbac.v1.ClusterRole",
        name_rule: NameRule::PathSegment,
        create_on_update: true,
        rules: &Role,
        ..ROW
    },
    Resource {
        group: "rbac.authorization.k8s.io",
        kind: "ClusterRoleBinding",
        plural: "clusterrolebindings",
        singular: "clusterrolebinding",
        namespaced: false,
        type_name: "rbac.v1.ClusterRoleBinding",
        name_rule: NameRule::PathSegment,
        create_on_update: true,
        rules: &Binding,
        ..ROW
    },
    Resource {
        group: "rbac.authorization.k8s.io",
        kind: "Role",
        plural: "roles",
        singular: "role",
        type_name: "rbac.v1.Role",
        name_rule: NameRule::PathSegment,
        create_on_update: true,
        rules: &Role,
        ..ROW
    },
    Resource {
        group: "rbac.authorization.k8s.io",
        kind: "RoleBinding",
        plural: "rolebindings",
        singular: "rolebinding",
        type_name: "rbac.v1.RoleBinding",
        name_rule: NameRule::PathSegment,
        create_on_update: true,
        rules: &Binding,
        ..ROW
    },
];

/// The group of the RBAC kinds.
const GROUP: &str = "rbac.authorization.k8s.io";

/// Rules of roles and cluster roles.
#[derive(Debug)]
struct Role;

impl Rules for Role {}

/// Rules of role bindings and cluster role bindings.
#[derive(Debug)]
struct Binding;

impl Rules for Binding {
    fn default(&self, object: &mut Value) {
        if let Some(role) = object.make("roleRef")
            && role.text("apiGroup").is_empty()
        {
            role.put("apiGroup", GROUP);
        }
        for subject in object.items_mut("subjects") {
            if matches!(subject.text("kind"), "User" | "Group") {
                subject.fill("apiGroup", GROUP);
            }
        }
    }
}
