//! The roles and bindings that every cluster has. One that is there already is left as it is.

use everynode_model::Value;
use serde_json::json;

use crate::authz::GROUP;

/// The cluster roles, as the file itself says.
const TABLE: &str = include_str!("roles.txt");

/// The roles that are put together of others, and the one to which each is added.
const AGGREGATED: &[(&str, &str)] = &[("admin", ""), ("edit", "admin"), ("view", "edit")];

/// What programs read that let the API say who their clients are.
pub const AUTHENTICATION: &str = "extension-apiserver-authentication";

/// A role of the table.
struct Role {
    name: &'static str,
    added_to: &'static str,
    subjects: Vec<Value>,
    rules: Vec<Value>,
}

fn table() -> Vec<Role> {
    let mut roles: Vec<Role> = Vec::new();
    for line in TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match (line.strip_prefix("  "), roles.last_mut()) {
            (Some(line), Some(role)) => role.rules.push(rule(line)),
            _ => roles.push(role(line)),
        }
    }
    roles
}

fn role(line: &'static str) -> Role {
    let mut words = line.split(' ');
    let name = words.next().unwrap_or_default();
    let (mut added_to, mut subjects) = ("", Vec::new());
    for word in words {
        match word.split_once(':') {
            Some((kind, name)) => subjects.push(subject(kind, name)),
            None => added_to = word.trim_start_matches('+'),
        }
    }
    Role { name, added_to, subjects, rules: Vec::new() }
}

fn subject(kind: &str, name: &str) -> Value {
    match kind {
        "ServiceAccount" => json!({ "kind": kind, "name": name, "namespace": "kube-system" }),
        _ => json!({ "kind": kind, "apiGroup": GROUP, "name": name }),
    }
}

fn rule(line: &str) -> Value {
    let mut words = line.split(' ');
    let (groups, what) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let verbs: Vec<&str> = words.collect();
    let list = |text: &str| -> Vec<String> { text.split(',').map(str::to_owned).collect() };
    if groups == "paths" {
        return json!({ "verbs": verbs, "nonResourceURLs": list(what) });
    }
    let groups: Vec<&str> = groups.split(',').map(|group| if group == "core" { "" } else { group }).collect();
    let (resources, names) = what.trim_end_matches(']').split_once('[').unwrap_or((what, ""));
    let mut rule = json!({ "verbs": verbs, "apiGroups": groups, "resources": list(resources) });
    if !names.is_empty() {
        rule["resourceNames"] = list(names).into();
    }
    rule
}

/// The cluster roles and their bindings, each with the name of its resource. A binding is to the role of its name.
pub fn of_cluster() -> Vec<(&'static str, Value)> {
    let mut objects = Vec::new();
    for Role { name, added_to, subjects, rules } in table() {
        let mut role = named(name, added_to);
        role["rules"] = rules.into();
        objects.push(("clusterroles", role));
        if !subjects.is_empty() {
            let mut binding = named(name, "");
            binding["subjects"] = subjects.into();
            binding["roleRef"] = json!({ "apiGroup": GROUP, "kind": "ClusterRole", "name": name });
            objects.push(("clusterrolebindings", binding));
        }
    }
    objects.extend(AGGREGATED.iter().map(|(name, added_to)| {
        let mut role = named(name, added_to);
        role["aggregationRule"] = json!({ "clusterRoleSelectors": [{ "matchLabels": added_label(name) }] });
        ("clusterroles", role)
    }));
    objects
}

/// The role in kube-system by which programs read how the API tells clients apart.
pub fn authentication_reader() -> Value {
    let mut role = named(&reader(), "");
    role["metadata"]["namespace"] = "kube-system".into();
    role["rules"] = json!([rule(&format!("core configmaps[{AUTHENTICATION}] get list watch"))]);
    role
}

/// ... and who has it.
pub fn authentication_reader_binding() -> Value {
    let mut binding = named(&format!("system::{}", reader()), "");
    binding["metadata"]["namespace"] = "kube-system".into();
    binding["subjects"] =
        json!([subject("User", "system:kube-controller-manager"), subject("User", "system:kube-scheduler")]);
    binding["roleRef"] = json!({ "apiGroup": GROUP, "kind": "Role", "name": reader() });
    binding
}

fn reader() -> String {
    format!("{AUTHENTICATION}-reader")
}

fn named(name: &str, added_to: &str) -> Value {
    let mut labels = match added_to {
        "" => json!({}),
        role => added_label(role),
    };
    labels["kubernetes.io/bootstrapping"] = "rbac-defaults".into();
    json!({ "metadata": { "name": name, "labels": labels } })
}

/// By which a role is added to another one.
fn added_label(role: &str) -> Value {
    json!({ (format!("rbac.authorization.k8s.io/aggregate-to-{role}")): "true" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_is_a_role_or_a_rule_with_verbs() {
        let roles = table();
        let names: std::collections::HashSet<&str> = roles.iter().map(|role| role.name).collect();
        assert_eq!(names.len(), roles.len(), "a role is named once");
        for role in &roles {
            let is_added =
                role.added_to.is_empty() || AGGREGATED.iter().any(|(name, _)| *name == role.added_to);
            assert!(is_added && !role.rules.is_empty(), "{}", role.name);
            for rule in &role.rules {
                let is_whole = rule["verbs"].as_array().is_some_and(|verbs| !verbs.is_empty())
                    && (rule["nonResourceURLs"].is_array() || rule["resources"][0] != "");
                assert!(is_whole, "{}: {rule}", role.name);
            }
        }
    }
}
