//! Which names of a definition are accepted, and the status that says so.

use everynode_model::{Object, Value, go_quote};
use serde_json::json;

use crate::meta;

/// The names that a definition has been given.
#[derive(Debug, Default)]
pub struct Names {
    /// Plural, singular and short names.
    resources: Vec<String>,
    kinds: Vec<String>,
}

impl Names {
    /// Those that the status of a definition lists.
    pub fn of(definition: &Value) -> Names {
        let names = definition.pointer("/status/acceptedNames").unwrap_or(&Value::Null);
        let short = names.get("shortNames").and_then(Value::as_array).into_iter().flatten();
        let named = |field: &str| names.get(field).into_iter();
        let all = |texts: &mut dyn Iterator<Item = &Value>| {
            texts.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        Names {
            resources: all(&mut named("plural").chain(named("singular")).chain(short)),
            kinds: all(&mut named("kind").chain(named("listKind"))),
        }
    }

    /// Those of a built-in kind.
    pub fn new(resources: [&str; 2], kinds: [&str; 2]) -> Names {
        Names { resources: resources.map(str::to_owned).into(), kinds: kinds.map(str::to_owned).into() }
    }
}

/// The names that others have in a group.
pub struct Taken<'a>(pub Vec<&'a Names>);

impl Taken<'_> {
    fn has_resource(&self, name: &str) -> bool {
        self.0.iter().any(|names| names.resources.iter().any(|one| one == name))
    }

    fn has_kind(&self, name: &str) -> bool {
        self.0.iter().any(|names| names.kinds.iter().any(|one| one == name))
    }
}

fn conditions(definition: &Value) -> Vec<Value> {
    definition.pointer("/status/conditions").and_then(Value::as_array).cloned().unwrap_or_default()
}

/// Whether a definition has that condition.
pub fn is_true(definition: &Value, kind: &str) -> bool {
    let conditions = definition.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|one| one["type"] == kind && one["status"] == "True")
}

/// The names of a definition that can be accepted, and the first conflict: its reason and its name.
fn accepted(definition: &Value, taken: &Taken<'_>) -> (Value, Option<(&'static str, String)>) {
    let wanted = definition.pointer("/spec/names").cloned().unwrap_or_default();
    let mut names = definition.pointer("/status/acceptedNames").cloned().unwrap_or_default();
    let mut conflict = None;
    // The last conflict is the one that is told.
    let mut refuse = |reason: &'static str, name: &str| conflict = Some((reason, name.to_owned()));
    for (field, reason) in [
        ("plural", "PluralConflict"),
        ("singular", "SingularConflict"),
        ("kind", "KindConflict"),
        ("listKind", "ListKindConflict"),
    ] {
        let name = wanted.get(field).and_then(Value::as_str).unwrap_or_default();
        let is_kind = field.to_lowercase().ends_with("kind");
        if if is_kind { taken.has_kind(name) } else { taken.has_resource(name) } {
            refuse(reason, name);
        } else {
            names[field] = name.into();
        }
    }
    let short = wanted.get("shortNames").and_then(Value::as_array).cloned().unwrap_or_default();
    let used = |name: &Value| name.as_str().is_some_and(|name| taken.has_resource(name));
    match short.iter().find(|name| used(name)) {
        Some(name) => refuse("ShortNamesConflict", name.as_str().unwrap_or_default()),
        None => set_list(&mut names, "shortNames", short),
    }
    let categories = wanted.get("categories").and_then(Value::as_array).cloned().unwrap_or_default();
    set_list(&mut names, "categories", categories);
    (names, conflict)
}

fn set_list(names: &mut Value, field: &str, list: Vec<Value>) {
    let Value::Object(names) = names else { return };
    if list.is_empty() {
        names.shift_remove(field);
    } else {
        names.insert(field.into(), list.into());
    }
}

/// The status that a definition should have, its fields in the API's order.
pub fn status_of(definition: &Value, taken: &Taken<'_>, now: &str) -> Value {
    let (mut names, conflict) = accepted(definition, taken);
    order_names(&mut names);
    let mut conditions = conditions(definition);
    let is_established = is_true(definition, "Established");
    match &conflict {
        None => {
            set(&mut conditions, now, ["NamesAccepted", "True", "NoConflicts", "no conflicts found"]);
            if !is_established {
                let message = "the initial names have been accepted";
                set(&mut conditions, now, ["Established", "True", "InitialNamesAccepted", message]);
            }
        }
        Some((reason, name)) => {
            let message = format!("{} is already in use", go_quote(name));
            set(&mut conditions, now, ["NamesAccepted", "False", reason, &message]);
            if !is_established {
                let message = "not all names are accepted";
                set(&mut conditions, now, ["Established", "False", "NotAccepted", message]);
            }
        }
    }
    if let Some([status, reason, message]) = approval(definition) {
        set(&mut conditions, now, ["KubernetesAPIApprovalPolicyConformant", &status, &reason, &message]);
    }
    if meta::has(definition, "deletionTimestamp") {
        let message = "CustomResource deletion is in progress";
        set(&mut conditions, now, ["Terminating", "True", "InstanceDeletionInProgress", message]);
    }
    let mut status = definition.get("status").and_then(Value::as_object).cloned().unwrap_or_default();
    status.insert("conditions".into(), conditions.into());
    status.insert("acceptedNames".into(), names);
    Value::Object(status)
}

/// Whether a definition in a group of Kubernetes' own says who approved of it: status, reason and message of the
/// condition; none for other groups.
fn approval(definition: &Value) -> Option<[String; 3]> {
    let group = definition.pointer("/spec/group").and_then(Value::as_str).unwrap_or_default();
    let is_own = ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|own| group.strip_suffix(own).is_some_and(|before| before.is_empty() || before.ends_with('.')));
    let annotations = definition.pointer("/metadata/annotations");
    let text = annotations.and_then(|all| all.get(APPROVED)).and_then(Value::as_str).unwrap_or_default();
    let see = "see https://github.com/kubernetes/enhancements/pull/1111";
    let is_url = text.split_once("://").is_some_and(|(_, host)| !host.is_empty() && !host.starts_with('/'));
    let (status, reason, message) = match text {
        "" => {
            let message = format!("protected groups must have approval annotation \"{APPROVED}\", {see}");
            ("False", "MissingAnnotation", message)
        }
        text if text.starts_with("unapproved") => {
            ("False", "UnapprovedAnnotation", format!("not approved: {}", go_quote(text)))
        }
        text if is_url => ("True", "ApprovedAnnotation", format!("approved in {text}")),
        _ => {
            let message = format!(
                "protected groups must have approval annotation \"{APPROVED}\" with either a URL or a reason \
                 starting with \"unapproved\", {see}"
            );
            ("False", "InvalidAnnotation", message)
        }
    };
    is_own.then(|| [status.to_owned(), reason.to_owned(), message])
}

/// The annotation that says who approved of a definition.
const APPROVED: &str = "api-approved.kubernetes.io";

fn order_names(names: &mut Value) {
    let order = ["plural", "singular", "shortNames", "kind", "listKind", "categories"];
    let Value::Object(fields) = names else { return };
    let sorted: Object =
        order.iter().filter_map(|name| Some(((*name).to_owned(), fields.get(*name)?.clone()))).collect();
    *fields = sorted;
}

fn set(conditions: &mut Vec<Value>, now: &str, [kind, status, reason, message]: [&str; 4]) {
    let new = json!({
        "type": kind, "status": status, "lastTransitionTime": now, "reason": reason, "message": message,
    });
    match conditions.iter_mut().find(|one| one["type"] == kind) {
        None => conditions.push(new),
        Some(old) => {
            let since = if old["status"] == status { old["lastTransitionTime"].clone() } else { now.into() };
            *old = new;
            old["lastTransitionTime"] = since;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_in_a_group_of_kubernetes_says_who_approved_of_it() {
        let check = |group: &str, text: &str, expected: Option<[&str; 3]>| {
            let definition = json!({"metadata": {"annotations": {APPROVED: text}}, "spec": {"group": group}});
            let found = approval(&definition);
            assert_eq!(found, expected.map(|parts| parts.map(str::to_owned)), "{group}: {text}");
        };
        check("example.com", "https://example.com/1", None);
        check("notk8s.io", "", None);
        let approved = ["True", "ApprovedAnnotation", "approved in https://example.com/1"];
        check("gateway.networking.k8s.io", "https://example.com/1", Some(approved));
        let not_yet = ["False", "UnapprovedAnnotation", "not approved: \"unapproved, a trial\""];
        check("a.kubernetes.io", "unapproved, a trial", Some(not_yet));
        let invalid = "protected groups must have approval annotation \"api-approved.kubernetes.io\" with either a \
                       URL or a reason starting with \"unapproved\", see \
                       https://github.com/kubernetes/enhancements/pull/1111";
        check("k8s.io", "yes", Some(["False", "InvalidAnnotation", invalid]));
    }
}
