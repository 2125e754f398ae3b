//! Admission policies and their bindings: kept for manifests that bring them, and not enforced.

use everynode_model::access::{Fill, Read};
use everynode_model::{Object, Value, names};

use super::print;
use super::row::{ROW, Row, status};
use crate::rules::{Column, Rules, strategy};
use crate::validate::{Errors, Path, Report, admission};

const POLICY: Row = Row {
    group: "admissionregistration.k8s.io",
    categories: &["api-extensions"],
    namespaced: false,
    unconditional_update: false,
    ..ROW
};

pub(super) const RESOURCES: &[Row] = &[
    Row {
        kind: "ValidatingAdmissionPolicy",
        plural: "validatingadmissionpolicies",
        singular: "validatingadmissionpolicy",
        subresources: &[status("ValidatingAdmissionPolicy")],
        type_name: "admissionregistration.v1.ValidatingAdmissionPolicy",
        rules: &Policy { mutates: false },
        ..POLICY
    },
    Row {
        kind: "ValidatingAdmissionPolicyBinding",
        plural: "validatingadmissionpolicybindings",
        singular: "validatingadmissionpolicybinding",
        type_name: "admissionregistration.v1.ValidatingAdmissionPolicyBinding",
        rules: &Binding { mutates: false },
        ..POLICY
    },
    Row {
        kind: "MutatingAdmissionPolicy",
        plural: "mutatingadmissionpolicies",
        singular: "mutatingadmissionpolicy",
        type_name: "admissionregistration.v1.MutatingAdmissionPolicy",
        rules: &Policy { mutates: true },
        ..POLICY
    },
    Row {
        kind: "MutatingAdmissionPolicyBinding",
        plural: "mutatingadmissionpolicybindings",
        singular: "mutatingadmissionpolicybinding",
        type_name: "admissionregistration.v1.MutatingAdmissionPolicyBinding",
        rules: &Binding { mutates: true },
        ..POLICY
    },
];

/// Requests that a policy can change.
const MUTABLE: &[&str] = &["*", "CREATE", "UPDATE"];

/// Annotations that a policy may put into the audit log.
const MAX_ANNOTATIONS: usize = 20;

/// Bytes of the expression for the value of one.
const MAX_ANNOTATION_BYTES: usize = 5 << 10;

fn not_enforced(object: &Value) -> Vec<String> {
    let kind = object.text("kind");
    vec![format!("admissionregistration.k8s.io/v1 {kind}: everynode stores it and does not enforce it")]
}

/// Rules of both kinds of policies.
#[derive(Debug)]
struct Policy {
    mutates: bool,
}

impl Rules for Policy {
    fn default(&self, object: &mut Value) {
        let Some(spec) = object.make("spec") else { return };
        spec.fill("failurePolicy", "Fail");
        default_resources(spec.get_mut("matchConstraints"));
    }

    fn prepare_create(&self, object: &mut Value) {
        strategy::first_generation(object);
        if !self.mutates {
            strategy::reset_status(object, "admissionregistration.v1.ValidatingAdmissionPolicyStatus");
        }
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        strategy::update(new, old);
    }

    fn prepare_status_update(&self, new: &mut Value, old: &Value) {
        strategy::status_update_keeps_labels(new, old);
    }

    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        let spec = object.get("spec").unwrap_or(&Value::Null);
        let path = Path::root("spec");
        errors.one_of(&path.child("failurePolicy"), spec.text("failurePolicy"), &["Fail", "Ignore"]);
        if let Some(kind) = spec.at("paramKind") {
            admission::param_kind(kind, &path.child("paramKind"), errors);
        }
        constraints(spec, self.mutates, &path, errors);
        let has_params = spec.has("paramKind");
        let list = path.child("matchConditions");
        admission::match_conditions(spec.items("matchConditions"), has_params, &list, errors);
        variables(spec, &path, errors);
        match self.mutates {
            true => mutations(spec, &path, errors),
            false => validations(object.text("metadata.name"), spec, &path, errors),
        }
    }

    fn warnings(&self, new: &Value, _old: Option<&Value>) -> Vec<String> {
        not_enforced(new)
    }

    fn columns(&self) -> &'static [Column] {
        if self.mutates { print::policy::MUTATING } else { print::policy::VALIDATING }
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        print::policy::policy(object, if self.mutates { "spec.mutations" } else { "spec.validations" }, now)
    }
}

fn default_resources(resources: Option<&mut Value>) {
    let Some(resources) = resources else { return };
    resources.fill("matchPolicy", "Equivalent");
    resources.fill("namespaceSelector", Object::new());
    resources.fill("objectSelector", Object::new());
    for field in ["resourceRules", "excludeResourceRules"] {
        for rule in resources.items_mut(field) {
            rule.fill("scope", "*");
        }
    }
}

fn constraints(spec: &Value, mutates: bool, path: &Path<'_>, errors: &mut Errors) {
    let path = path.child("matchConstraints");
    let Some(resources) = spec.at("matchConstraints") else { return errors.required(path, "") };
    admission::match_resources(resources, &path, errors);
    let rules = path.child("resourceRules");
    if resources.items("resourceRules").is_empty() {
        errors.required(rules, "");
    }
    if mutates {
        mutable_only(resources, &rules, errors);
    }
}

fn mutable_only(resources: &Value, rules: &Path<'_>, errors: &mut Errors) {
    let all = resources.items("resourceRules").iter().flat_map(|rule| rule.items("operations"));
    for operation in all.filter_map(Value::as_str).filter(|operation| !MUTABLE.contains(operation)) {
        errors.not_supported(rules.child("operations"), operation, MUTABLE);
    }
}

fn variables(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let list = path.child("variables");
    for (index, variable) in spec.items("variables").iter().enumerate() {
        let path = list.index(index);
        let name = variable.text("name");
        if name.trim().is_empty() {
            errors.required(path.child("name"), "name is not specified");
        } else if !is_identifier(name) {
            errors.invalid(path.child("name"), name, "must be a valid CEL identifier");
        }
        if variable.text("expression").trim().is_empty() {
            errors.required(path.child("expression"), "expression is not specified");
        }
    }
}

fn is_identifier(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.chars().all(fits) && !name.starts_with(|c: char| c.is_ascii_digit())
}

fn mutations(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let list = path.child("mutations");
    if spec.items("mutations").is_empty() {
        errors.required(list, "mutations must contain at least one item");
    }
    for (index, mutation) in spec.items("mutations").iter().enumerate() {
        self::mutation(mutation, &list.index(index), errors);
    }
    let policies = &["IfNeeded", "Never"];
    errors.one_of(&path.child("reinvocationPolicy"), spec.text("reinvocationPolicy"), policies);
}

fn mutation(mutation: &Value, path: &Path<'_>, errors: &mut Errors) {
    let (own, other) = match mutation.text("patchType") {
        "JSONPatch" => ("jsonPatch", "applyConfiguration"),
        "ApplyConfiguration" => ("applyConfiguration", "jsonPatch"),
        other => return errors.one_of(&path.child("patchType"), other, &["ApplyConfiguration", "JSONPatch"]),
    };
    let kind = mutation.text("patchType");
    match mutation.at(own) {
        None => errors.required(path.child(own), &format!("must be specified when patchType is {kind}")),
        Some(patch) if patch.text("expression").trim().is_empty() => {
            errors.required(path.child(own).child("expression"), "");
        }
        Some(_) => {}
    }
    if mutation.has(other) {
        let message = format!("must not be specified when patchType is {kind}");
        errors.invalid(path.child(other), format!("{{{other}}}"), &message);
    }
}

fn validations(name: &str, spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let (list, annotations) = (spec.items("validations"), spec.items("auditAnnotations"));
    if list.is_empty() && annotations.is_empty() {
        let message = "validations or auditAnnotations must contain at least one item";
        errors.required(path.child("validations"), message);
        errors.required(path.child("auditAnnotations"), message);
    }
    let at = path.child("validations");
    for (index, validation) in list.iter().enumerate() {
        self::validation(validation, &at.index(index), errors);
    }
    audit_annotations(name, annotations, &path.child("auditAnnotations"), errors);
}

fn validation(validation: &Value, path: &Path<'_>, errors: &mut Errors) {
    let is_blank = |text: &str| !text.is_empty() && text.trim().is_empty();
    if validation.text("expression").trim().is_empty() {
        errors.required(path.child("expression"), "expression is not specified");
    }
    for field in ["messageExpression", "message"] {
        if is_blank(validation.text(field)) {
            errors.invalid(path.child(field), validation.text(field), "must be non-empty if specified");
        }
    }
    let message = validation.text("message");
    if message.trim().contains(['\n', '\r']) {
        errors.invalid(path.child("message"), message, "must not contain line breaks");
    }
    let reasons = &["Forbidden", "Invalid", "RequestEntityTooLarge"];
    if validation.has("reason") && !reasons.contains(&validation.text("reason")) {
        errors.not_supported(path.child("reason"), validation.text("reason"), reasons);
    }
}

fn audit_annotations(name: &str, list: &[Value], path: &Path<'_>, errors: &mut Errors) {
    if list.len() > MAX_ANNOTATIONS {
        let message = format!("must not have more than {MAX_ANNOTATIONS} auditAnnotations");
        errors.invalid(path, Value::from(list.to_vec()), &message);
    }
    let mut seen = std::collections::HashSet::new();
    for (index, annotation) in list.iter().enumerate() {
        let path = path.index(index);
        let (key, at) = (annotation.text("key"), path.child("key"));
        let qualified = format!("{name}/{key}");
        errors.all_invalid(&at, &qualified, names::qualified_name(&qualified));
        let expression = annotation.text("valueExpression").trim();
        if expression.is_empty() {
            errors.required(path.child("valueExpression"), "valueExpression is not specified");
        } else if expression.len() > MAX_ANNOTATION_BYTES {
            let message = format!("must not exceed {MAX_ANNOTATION_BYTES} bytes in length");
            errors.required(path.child("valueExpression"), &message);
        }
        if !seen.insert(key) {
            errors.duplicate(at, key);
        }
    }
}

/// Rules of both kinds of bindings.
#[derive(Debug)]
struct Binding {
    mutates: bool,
}

impl Rules for Binding {
    fn default(&self, object: &mut Value) {
        default_resources(object.at_mut("spec.matchResources"));
    }

    fn prepare_create(&self, object: &mut Value) {
        strategy::first_generation(object);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        strategy::raise_generation(new, old, new.get("spec") != old.get("spec"));
    }

    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        let spec = object.get("spec").unwrap_or(&Value::Null);
        let path = Path::root("spec");
        let (name, at) = (spec.text("policyName"), path.child("policyName"));
        match name {
            "" => errors.required(at, ""),
            name => errors.all_invalid(&at, name, names::dns_subdomain(name)),
        }
        if let Some(reference) = spec.at("paramRef") {
            admission::param_ref(reference, &path.child("paramRef"), errors);
        }
        if let Some(resources) = spec.at("matchResources") {
            let path = path.child("matchResources");
            admission::match_resources(resources, &path, errors);
            if self.mutates {
                mutable_only(resources, &path.child("resourceRules"), errors);
            }
        }
        if !self.mutates {
            actions(spec.items("validationActions"), &path.child("validationActions"), errors);
        }
    }

    fn warnings(&self, new: &Value, _old: Option<&Value>) -> Vec<String> {
        not_enforced(new)
    }

    fn columns(&self) -> &'static [Column] {
        print::policy::BINDING
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        print::policy::binding(object, now)
    }
}

fn actions(list: &[Value], path: &Path<'_>, errors: &mut Errors) {
    const BOTH: &str = "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)";
    let supported = &["Audit", "Deny", "Warn"];
    let mut seen = std::collections::HashSet::new();
    for (index, action) in list.iter().filter_map(Value::as_str).enumerate() {
        if !supported.contains(&action) {
            errors.not_supported(path.index(index), action, supported);
        }
        if !seen.insert(action) {
            errors.duplicate(path.index(index), action);
        }
    }
    if seen.contains("Deny") && seen.contains("Warn") {
        errors.invalid(path, Value::from(list.to_vec()), BOTH);
    }
    if seen.is_empty() {
        errors.required(path, "at least one validation action is required");
    }
}
