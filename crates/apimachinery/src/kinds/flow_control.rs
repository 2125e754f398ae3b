//! API priority and fairness: kept for manifests that bring it. Requests are limited by other rules.

use std::collections::HashSet;

use everynode_model::access::{Fill, Read};
use everynode_model::{Value, names};

use super::print;
use super::row::{ROW, Row, status};
use crate::rules::{Column, Rules, strategy};
use crate::validate::{Errors, Path, Report, internal};

pub(super) const RESOURCES: &[Row] = &[
    Row {
        group: "flowcontrol.apiserver.k8s.io",
        kind: "FlowSchema",
        plural: "flowschemas",
        singular: "flowschema",
        namespaced: false,
        subresources: &[status("FlowSchema")],
        type_name: "flowcontrol.v1.FlowSchema",
        create_on_update: true,
        unconditional_update: false,
        rules: &FlowSchema,
        ..ROW
    },
    Row {
        group: "flowcontrol.apiserver.k8s.io",
        kind: "PriorityLevelConfiguration",
        plural: "prioritylevelconfigurations",
        singular: "prioritylevelconfiguration",
        namespaced: false,
        subresources: &[status("PriorityLevelConfiguration")],
        type_name: "flowcontrol.v1.PriorityLevelConfiguration",
        create_on_update: true,
        unconditional_update: false,
        rules: &PriorityLevel,
        ..ROW
    },
];

/// The lowest precedence of a schema.
const MAX_PRECEDENCE: i64 = 10_000;

/// The most queues of a level.
const MAX_QUEUES: i64 = 10_000_000;

/// What requests may do.
const VERBS: &[&str] =
    &["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];

/// Sets a number that is missing or 0.
fn fill_zero(object: &mut Value, field: &str, number: i64) {
    if object.number(field) == 0 {
        object.put(field, number);
    }
}

#[derive(Debug)]
struct FlowSchema;

impl Rules for FlowSchema {
    fn default(&self, object: &mut Value) {
        if let Some(spec) = object.make("spec") {
            fill_zero(spec, "matchingPrecedence", 1_000);
        }
    }

    fn status_type(&self) -> Option<&'static str> {
        Some("flowcontrol.v1.FlowSchemaStatus")
    }

    fn prepare_status_update(&self, new: &mut Value, old: &Value) {
        strategy::status_update(new, old);
        strategy::keep(new, old, "metadata");
    }

    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        let spec = object.get("spec").unwrap_or(&Value::Null);
        let path = Path::root("spec");
        precedence(object.text("metadata.name"), spec.number("matchingPrecedence"), &path, errors);
        let methods = &["ByNamespace", "ByUser"];
        if let Some(method) = spec.at("distinguisherMethod")
            && !methods.contains(&method.text("type"))
        {
            let shown = internal::form("flowcontrol.v1.FlowDistinguisherMethod", method);
            errors.not_supported(path.child("distinguisherMethod.type"), shown, methods);
        }
        let level = spec.text("priorityLevelConfiguration.name");
        let at = path.child("priorityLevelConfiguration.name");
        match level {
            "" => errors.required(at, "must reference a priority level"),
            level => errors.all_invalid(&at, level, names::dns_subdomain(level)),
        }
        let list = path.child("rules");
        for (index, rule) in spec.items("rules").iter().enumerate() {
            policy_rule(rule, &list.index(index), errors);
        }
        conditions(object, errors);
    }

    fn validate_status_update(&self, new: &Value, _old: &Value, errors: &mut Errors) {
        conditions(new, errors);
    }

    fn columns(&self) -> &'static [Column] {
        print::policy::FLOW_SCHEMA
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        print::policy::flow_schema(object, now)
    }
}

fn precedence(name: &str, number: i64, path: &Path<'_>, errors: &mut Errors) {
    let at = path.child("matchingPrecedence");
    if number <= 0 {
        errors.invalid(at, number, "must be a positive value");
    }
    if number > MAX_PRECEDENCE {
        errors.invalid(at, number, &format!("must not be greater than {MAX_PRECEDENCE}"));
    }
    if number == 1 && name != "exempt" {
        errors.invalid(at, number, "only the schema named 'exempt' may have matchingPrecedence 1");
    }
}

fn policy_rule(rule: &Value, path: &Path<'_>, errors: &mut Errors) {
    let (subjects, list) = (rule.items("subjects"), path.child("subjects"));
    if subjects.is_empty() {
        errors.required(list, "subjects must contain at least one value");
    }
    for (index, subject) in subjects.iter().enumerate() {
        self::subject(subject, &list.index(index), errors);
    }
    let (resources, others) = (rule.items("resourceRules"), rule.items("nonResourceRules"));
    if resources.is_empty() && others.is_empty() {
        errors.required(path, "at least one of resourceRules and nonResourceRules has to be non-empty");
    }
    let list = path.child("resourceRules");
    for (index, rule) in resources.iter().enumerate() {
        resource_rule(rule, &list.index(index), errors);
    }
    let list = path.child("nonResourceRules");
    for (index, rule) in others.iter().enumerate() {
        let path = list.index(index);
        verbs(rule, &path, errors);
        url_paths(rule, &path.child("nonResourceURLs"), errors);
    }
}

fn subject(subject: &Value, path: &Path<'_>, errors: &mut Errors) {
    const KINDS: [(&str, &str); 3] =
        [("Group", "group"), ("ServiceAccount", "serviceAccount"), ("User", "user")];
    let kind = subject.text("kind");
    let Some((_, own)) = KINDS.into_iter().find(|(known, _)| *known == kind) else {
        return errors.not_supported(path.child("kind"), kind, &KINDS.map(|(kind, _)| kind));
    };
    let at = path.child(own);
    match subject.at(own) {
        None => errors.required(at, &format!("{own} is required when subject kind is '{kind}'")),
        Some(named) => subject_name(kind, named, &at, errors),
    }
    for (other_kind, other) in KINDS {
        if other != own && subject.has(other) {
            let message = format!("{other} is forbidden when subject kind is not '{other_kind}'");
            errors.forbidden(path.child(other), &message);
        }
    }
}

fn subject_name(kind: &str, named: &Value, path: &Path<'_>, errors: &mut Errors) {
    let name = named.text("name");
    if name.is_empty() {
        errors.required(path.child("name"), "");
    }
    if kind != "ServiceAccount" {
        return;
    }
    if !name.is_empty() && name != "*" {
        errors.all_invalid(&path.child("name"), name, names::dns_subdomain(name));
    }
    let (namespace, at) = (named.text("namespace"), path.child("namespace"));
    match namespace {
        "" => errors.required(at, "must specify namespace for service account"),
        namespace => errors.all_invalid(&at, namespace, names::dns_label(namespace)),
    }
}

fn has_any(list: &[Value]) -> bool {
    list.iter().any(|text| text == "*")
}

/// A list in which nothing stands beside `*`. Gives whether it names anything one by one.
fn alone(list: &[Value], what: &str, path: &Path<'_>, errors: &mut Errors) -> bool {
    if has_any(list) && list.len() > 1 {
        let message = format!("if '*' is present, must not specify other {what}");
        errors.invalid(path, Value::from(list.to_vec()), &message);
    }
    !has_any(list)
}

fn verbs(rule: &Value, path: &Path<'_>, errors: &mut Errors) {
    let (list, at) = (rule.items("verbs"), path.child("verbs"));
    if list.is_empty() {
        errors.required(at, "verbs must contain at least one value");
    } else if alone(list, "verbs", &at, errors)
        && list.iter().filter_map(Value::as_str).any(|verb| !VERBS.contains(&verb))
    {
        errors.not_supported(at, Value::from(list.to_vec()), VERBS);
    }
}

fn url_paths(rule: &Value, path: &Path<'_>, errors: &mut Errors) {
    let list = rule.items("nonResourceURLs");
    if list.is_empty() {
        return errors.required(path, "nonResourceURLs must contain at least one value");
    }
    if !alone(list, "non-resource URLs", path, errors) {
        return;
    }
    for (index, url) in list.iter().filter_map(Value::as_str).enumerate() {
        let stars = url.matches('*').count();
        let problem = match url {
            "/" => continue,
            "" => "must not be empty",
            url if !url.starts_with('/') => "must start with slash",
            url if url.contains(' ') => "must not contain white-space",
            url if url.contains("//") => "must not contain double slash",
            url if stars > 1 || (stars == 1 && !url.ends_with("/*")) => {
                "wildcard can only do suffix matching"
            }
            _ => continue,
        };
        errors.invalid(path.index(index), url, problem);
    }
}

fn resource_rule(rule: &Value, path: &Path<'_>, errors: &mut Errors) {
    verbs(rule, path, errors);
    for (field, one, others) in
        [("apiGroups", "api group", "api groups"), ("resources", "resource", "resources")]
    {
        let (list, at) = (rule.items(field), path.child(field));
        if list.is_empty() {
            errors.required(at, &format!("resource rules must supply at least one {one}"));
        }
        alone(list, others, &at, errors);
    }
    let (list, at) = (rule.items("namespaces"), path.child("namespaces"));
    if list.is_empty() && !rule.flag("clusterScope") {
        let message = "resource rules that are not cluster scoped must supply at least one namespace";
        errors.required(at, message);
    }
    if alone(list, "namespaces", &at, errors) {
        for (index, namespace) in list.iter().filter_map(Value::as_str).enumerate() {
            for message in names::dns_label(namespace) {
                let message = format!("each member of this list must be '*' or a DNS-1123 label; {message}");
                errors.invalid(at.index(index), namespace, &message);
            }
        }
    }
}

fn conditions(object: &Value, errors: &mut Errors) {
    let list = Path::root("status.conditions");
    let mut seen = HashSet::new();
    for (index, condition) in object.items("status.conditions").iter().enumerate() {
        let path = list.index(index);
        let kind = condition.text("type");
        if !seen.insert(kind) {
            errors.duplicate(path.child("type"), kind);
        }
        if kind.is_empty() {
            errors.required(path.child("type"), "");
        }
    }
}

#[derive(Debug)]
struct PriorityLevel;

impl Rules for PriorityLevel {
    fn default(&self, object: &mut Value) {
        let Some(spec) = object.get_mut("spec") else { return };
        if let Some(exempt) = spec.get_mut("exempt") {
            exempt.fill("nominalConcurrencyShares", 0);
            exempt.fill("lendablePercent", 0);
        }
        let Some(limited) = spec.get_mut("limited") else { return };
        limited.fill("nominalConcurrencyShares", 30);
        limited.fill("lendablePercent", 0);
        if let Some(queuing) = limited.at_mut("limitResponse.queuing") {
            for (field, number) in [("queues", 64), ("handSize", 8), ("queueLengthLimit", 50)] {
                fill_zero(queuing, field, number);
            }
        }
    }

    fn status_type(&self) -> Option<&'static str> {
        Some("flowcontrol.v1.PriorityLevelConfigurationStatus")
    }

    fn prepare_status_update(&self, new: &mut Value, old: &Value) {
        strategy::status_update(new, old);
        strategy::keep(new, old, "metadata");
    }

    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        let spec = object.get("spec").unwrap_or(&Value::Null);
        let path = Path::root("spec");
        let kind = spec.text("type");
        if (object.text("metadata.name") == "exempt") != (kind == "Exempt") {
            let message = "must be 'Exempt' if and only if `name` is 'exempt'";
            errors.invalid(path.child("type"), kind, message);
        }
        let (own, other, when) = match kind {
            "Limited" => ("limited", "exempt", "the type is Limited"),
            "Exempt" => ("exempt", "limited", "the type is not Limited"),
            kind => return errors.not_supported(path.child("type"), kind, &["Exempt", "Limited"]),
        };
        if spec.has(other) {
            errors.forbidden(path.child(other), &format!("must be nil if {when}"));
        }
        match spec.at(own) {
            None if kind == "Limited" => {
                errors.required(path.child(own), "must not be empty when type is Limited");
            }
            None => {}
            Some(level) => shares(level, &path.child(own), errors),
        }
        if let Some(limited) = spec.at("limited") {
            limit_response(limited, &path.child("limited"), errors);
        }
        conditions(object, errors);
    }

    fn validate_status_update(&self, new: &Value, _old: &Value, errors: &mut Errors) {
        conditions(new, errors);
    }

    fn columns(&self) -> &'static [Column] {
        print::policy::PRIORITY_LEVEL
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        print::policy::priority_level(object, now)
    }
}

fn shares(level: &Value, path: &Path<'_>, errors: &mut Errors) {
    let number = level.number("nominalConcurrencyShares");
    if number < 0 {
        errors.invalid(path.child("nominalConcurrencyShares"), number, "must be a non-negative integer");
    }
    let percent = level.number("lendablePercent");
    if !(0..=100).contains(&percent) {
        errors.invalid(path.child("lendablePercent"), percent, "must be between 0 and 100, inclusive");
    }
}

fn limit_response(limited: &Value, path: &Path<'_>, errors: &mut Errors) {
    let percent = limited.number("borrowingLimitPercent");
    if percent < 0 {
        let message = "if specified, must be a non-negative integer";
        errors.invalid(path.child("borrowingLimitPercent"), percent, message);
    }
    let response = limited.at("limitResponse").unwrap_or(&Value::Null);
    let path = path.child("limitResponse");
    let (queuing, at) = (response.at("queuing"), path.child("queuing"));
    match (response.text("type"), queuing) {
        ("Reject", Some(_)) => {
            errors.forbidden(at, "must be nil if limited.limitResponse.type is not Limited");
        }
        ("Queue", None) => errors.required(at, "must not be empty if limited.limitResponse.type is Limited"),
        ("Queue", Some(queuing)) => self::queuing(queuing, &at, errors),
        ("Reject", None) => {}
        (kind, _) => errors.not_supported(path.child("type"), kind, &["Queue", "Reject"]),
    }
}

fn queuing(queuing: &Value, path: &Path<'_>, errors: &mut Errors) {
    let [limit, queues, hand] = ["queueLengthLimit", "queues", "handSize"].map(|field| queuing.number(field));
    if limit <= 0 {
        errors.invalid(path.child("queueLengthLimit"), limit, "must be positive");
    }
    let at = path.child("queues");
    if queues <= 0 {
        errors.invalid(at, queues, "must be positive");
    } else if queues > MAX_QUEUES {
        errors.invalid(at, queues, &format!("must not be greater than {MAX_QUEUES}"));
    }
    let at = path.child("handSize");
    if hand <= 0 {
        errors.invalid(at, hand, "must be positive");
    } else if hand > queues {
        errors.invalid(at, hand, &format!("should not be greater than queues ({queues})"));
    } else if entropy_bits(queues, hand) > MAX_ENTROPY_BITS {
        let message = format!(
            "required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {MAX_ENTROPY_BITS}"
        );
        errors.invalid(at, hand, &message);
    }
}

/// The bits of the hash by which requests are dealt to queues.
const MAX_ENTROPY_BITS: f64 = 60.0;

/// Bits that it takes to deal a hand of queues.
fn entropy_bits(queues: i64, hand: i64) -> f64 {
    ((queues as f64).log2() * hand as f64).ceil()
}
