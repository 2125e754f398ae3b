//! What webhook configurations and admission policies have in common: the requests that they are about.

use std::collections::HashSet;

use everynode_model::access::Read;
use everynode_model::{Value, names};

use super::{Errors, Path, Report, selector};

/// The most conditions of one webhook or policy.
const MAX_CONDITIONS: usize = 64;

/// Checks the conditions under which a webhook or a policy is asked.
pub(crate) fn match_conditions(list: &[Value], has_params: bool, path: &Path<'_>, errors: &mut Errors) {
    if list.len() > MAX_CONDITIONS && !errors.is_full() {
        errors.push(crate::status::FieldError::too_many(path, list.len(), MAX_CONDITIONS));
    }
    let mut seen = HashSet::new();
    for (index, condition) in list.iter().enumerate() {
        let path = path.index(index);
        expression(condition.text("expression").trim(), has_params, &path.child("expression"), errors);
        let (name, at) = (condition.text("name"), path.child("name"));
        if name.is_empty() {
            errors.required(at, "");
            continue;
        }
        errors.all_invalid(&at, name, names::qualified_name(name));
        if !seen.insert(name) {
            errors.duplicate(at, name);
        }
    }
}

/// Names that expressions about requests know; the last one where there are parameters.
const NAMES: [&str; 6] = ["object", "oldObject", "request", "authorizer", "namespaceObject", "params"];

fn expression(text: &str, has_params: bool, path: &Path<'_>, errors: &mut Errors) {
    let names = if has_params { &NAMES[..] } else { &NAMES[..NAMES.len() - 1] };
    // Optional values are not read here, and nobody works the condition out.
    let has_optional = text.contains(".?") || text.contains("[?");
    if text.is_empty() {
        errors.required(path, "");
    } else if !has_optional && let Err(why) = everynode_cel::check_condition(text, names) {
        errors.invalid(path, text, &why);
    }
}

/// Checks which requests a policy or a binding is about.
pub(crate) fn match_resources(resources: &Value, path: &Path<'_>, errors: &mut Errors) {
    errors.one_of(&path.child("matchPolicy"), resources.text("matchPolicy"), &["Equivalent", "Exact"]);
    for field in ["namespaceSelector", "objectSelector"] {
        selector::label_selector(resources.at(field), false, &path.child(field), errors);
    }
    for field in ["resourceRules", "excludeResourceRules"] {
        let list = path.child(field);
        for (index, rule) in resources.items(field).iter().enumerate() {
            let path = list.index(index);
            resource_names(rule, &path.child("resourceNames"), errors);
            operations(rule, &path.child("operations"), errors);
            groups_and_resources(rule, &path, errors);
        }
    }
}

fn resource_names(rule: &Value, path: &Path<'_>, errors: &mut Errors) {
    let mut seen = HashSet::new();
    for (index, name) in texts(rule, "resourceNames").enumerate() {
        let path = path.index(index);
        errors.all_invalid(&path, name, names::path_segment(name));
        if !seen.insert(name) {
            errors.duplicate(path, name);
        }
    }
}

fn operations(rule: &Value, path: &Path<'_>, errors: &mut Errors) {
    let supported = &["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
    not_empty(rule, "operations", "operations", path, errors);
    for (index, operation) in texts(rule, "operations").enumerate() {
        if !supported.contains(&operation) {
            errors.not_supported(path.index(index), operation, supported);
        }
    }
}

fn groups_and_resources(rule: &Value, path: &Path<'_>, errors: &mut Errors) {
    for (field, what) in [("apiGroups", "API groups"), ("apiVersions", "API versions")] {
        not_empty(rule, field, what, &path.child(field), errors);
    }
    if texts(rule, "resources").next().is_none() {
        errors.required(path.child("resources"), "");
    }
    for field in ["apiVersions", "resources"] {
        let list = path.child(field);
        for (index, text) in texts(rule, field).enumerate() {
            if text.is_empty() {
                errors.required(list.index(index), "");
            }
        }
    }
    let scopes = &["*", "Cluster", "Namespaced"];
    if rule.has("scope") && !scopes.contains(&rule.text("scope")) {
        errors.not_supported(path.child("scope"), rule.text("scope"), scopes);
    }
}

/// A list that must name something, and nothing else beside `*`.
fn not_empty(rule: &Value, field: &str, what: &str, path: &Path<'_>, errors: &mut Errors) {
    let list = rule.items(field);
    if list.is_empty() {
        errors.required(path, "");
    }
    if list.len() > 1 && list.iter().any(|text| text == "*") {
        let message = format!("if '*' is present, must not specify other {what}");
        errors.invalid(path, Value::from(list.to_vec()), &message);
    }
}

fn texts<'a>(rule: &'a Value, field: &str) -> impl Iterator<Item = &'a str> {
    rule.items(field).iter().filter_map(Value::as_str)
}

/// Checks the kind that the parameters of a policy have.
pub(crate) fn param_kind(kind: &Value, path: &Path<'_>, errors: &mut Errors) {
    let (api_version, at) = (kind.text("apiVersion"), path.child("apiVersion"));
    match api_version.split('/').collect::<Vec<_>>().as_slice() {
        [""] => errors.required(at, ""),
        [version] => errors.all_invalid(&at, version, names::dns_1035_label(version)),
        [group, version] => {
            errors.all_invalid(&at, group, names::dns_subdomain(group));
            errors.all_invalid(&at, version, names::dns_1035_label(version));
        }
        _ => errors.invalid(at, api_version, &format!("unexpected GroupVersion string: {api_version}")),
    }
    let (name, at) = (kind.text("kind"), path.child("kind"));
    if name.is_empty() {
        errors.required(at, "");
        return;
    }
    for message in names::dns_1035_label(&name.to_lowercase()) {
        errors.invalid(at, name, &format!("may have mixed case, but should otherwise match: {message}"));
    }
}

/// Checks which objects hold the parameters of a binding.
pub(crate) fn param_ref(reference: &Value, path: &Path<'_>, errors: &mut Errors) {
    const BOTH: &str = "name and selector are mutually exclusive";
    let (name, selector) = (reference.text("name"), reference.at("selector"));
    errors.all_invalid(&path.child("name"), name, names::path_segment(name));
    selector::label_selector(selector, false, &path.child("selector"), errors);
    match (name.is_empty(), selector.is_some()) {
        (false, true) => {
            errors.forbidden(path.child("name"), BOTH);
            errors.forbidden(path.child("selector"), BOTH);
        }
        (true, false) => errors.required(path, "one of name or selector must be specified"),
        _ => {}
    }
    let action = reference.text("parameterNotFoundAction");
    errors.one_of(&path.child("parameterNotFoundAction"), action, &["Deny", "Allow"]);
}
