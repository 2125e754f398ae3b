//! Roles and their bindings.

use everynode_model::Value;
use everynode_model::access::{Fill, Read};

use super::print;
use super::row::{ROW, Row};
use crate::rules::{Column, Rules};
use crate::validate::{Errors, Path, Report, internal, meta, selector};
use everynode_model::names::{self, NameRule};

pub(super) const RESOURCES: &[Row] = &[
    Row {
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
    Row {
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
    Row {
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
    Row {
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

impl Rules for Role {
    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        let namespaced = object.text("kind") == "Role";
        let list = Path::root("rules");
        for (index, rule) in object.items("rules").iter().enumerate() {
            policy_rule(rule, namespaced, &list.index(index), errors);
        }
        let selectors = object.items("aggregationRule.clusterRoleSelectors");
        let list = Path::root("aggregationRule.clusterRoleSelectors");
        if object.has("aggregationRule") && selectors.is_empty() {
            let message = "at least one clusterRoleSelector required if aggregationRule is non-nil";
            errors.required(list, message);
        }
        for (index, selector) in selectors.iter().enumerate() {
            selector::label_selector(Some(selector), false, &list.index(index), errors);
        }
    }
}

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

    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        let namespaced = object.text("kind") == "RoleBinding";
        let path = Path::root("roleRef");
        let (group, kind, name) =
            (object.text("roleRef.apiGroup"), object.text("roleRef.kind"), object.text("roleRef.name"));
        if group != GROUP {
            errors.not_supported(path.child("apiGroup"), group, &[GROUP]);
        }
        let kinds: &[&str] = if namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
        if !kinds.contains(&kind) {
            errors.not_supported(path.child("kind"), kind, kinds);
        }
        if name.is_empty() {
            errors.required(path.child("name"), "");
        } else {
            errors.all_invalid(&path.child("name"), name, names::path_segment(name));
        }
        let list = Path::root("subjects");
        for (index, subject) in object.items("subjects").iter().enumerate() {
            self::subject(subject, namespaced, &list.index(index), errors);
        }
    }

    fn validate_update(&self, new: &Value, old: &Value, errors: &mut Errors) {
        self.validate_create(new, errors);
        if new.get("roleRef") != old.get("roleRef") {
            let shown = internal::form("rbac.v1.RoleRef", new.get("roleRef").unwrap_or(&Value::Null));
            errors.invalid("roleRef", shown, "cannot change roleRef");
        }
    }

    fn columns(&self) -> &'static [Column] {
        print::access_control::BINDING
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        print::access_control::binding(object, now)
    }
}

fn policy_rule(rule: &Value, namespaced: bool, path: &Path<'_>, errors: &mut Errors) {
    if rule.items("verbs").is_empty() {
        errors.required(path.child("verbs"), "verbs must contain at least one value");
    }
    let urls = rule.items("nonResourceURLs");
    let (groups, resources) = (rule.items("apiGroups"), rule.items("resources"));
    if !urls.is_empty() {
        let path = path.child("nonResourceURLs");
        if namespaced {
            errors.invalid(path, urls.to_vec(), "namespaced rules cannot apply to non-resource URLs");
        }
        if !groups.is_empty() || !resources.is_empty() || !rule.items("resourceNames").is_empty() {
            let message = "rules cannot apply to both regular resources and non-resource URLs";
            errors.invalid(path, urls.to_vec(), message);
        }
        return;
    }
    if groups.is_empty() {
        errors.required(path.child("apiGroups"), "resource rules must supply at least one api group");
    }
    if resources.is_empty() {
        errors.required(path.child("resources"), "resource rules must supply at least one resource");
    }
}

fn subject(subject: &Value, namespaced: bool, path: &Path<'_>, errors: &mut Errors) {
    let (kind, name, group) = (subject.text("kind"), subject.text("name"), subject.text("apiGroup"));
    if name.is_empty() {
        errors.required(path.child("name"), "");
    }
    match kind {
        "ServiceAccount" => {
            if !name.is_empty() {
                errors.all_invalid(&path.child("name"), name, meta::subdomain(name));
            }
            if !group.is_empty() {
                errors.not_supported(path.child("apiGroup"), group, &[""]);
            }
            if !namespaced && subject.text("namespace").is_empty() {
                errors.required(path.child("namespace"), "");
            }
        }
        "User" | "Group" if group == GROUP => {}
        "User" | "Group" => errors.not_supported(path.child("apiGroup"), group, &[GROUP]),
        _ => errors.not_supported(path.child("kind"), kind, &["ServiceAccount", "User", "Group"]),
    }
}
