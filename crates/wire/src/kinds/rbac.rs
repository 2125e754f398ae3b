//! Roles and their bindings.

use super::ROW;
use crate::resource::Resource;
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
        ..ROW
    },
];
