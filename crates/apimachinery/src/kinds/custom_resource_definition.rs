//! Definitions of custom resources.

use std::collections::{BTreeSet, HashSet};

use everynode_cel::Patterns;
use everynode_model::access::{Fill, Read};
use everynode_model::{Object, Value, go_quote, names};

use super::row::{ROW, Row, status};
use crate::custom::json_path::JsonPath;
use crate::custom::schema::MAX_DEPTH;
use crate::custom::{is_known_format, validate_schema};
use crate::rules::{Rules, strategy};
use crate::status::FieldError;
use crate::validate::{Errors, Path, Report};

pub(super) const RESOURCES: &[Row] = &[Row {
    group: "apiextensions.k8s.io",
    kind: "CustomResourceDefinition",
    plural: "customresourcedefinitions",
    singular: "customresourcedefinition",
    short_names: &["crd", "crds"],
    categories: &["api-extensions"],
    namespaced: false,
    subresources: &[status("CustomResourceDefinition")],
    type_name: "apiextensions.v1.CustomResourceDefinition",
    rules: &Definition,
    ..ROW
}];

/// The finalizer that holds a definition until its objects are gone.
const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

/// Versions of one definition.
const MAX_VERSIONS: usize = 32;

const API_APPROVED: &str = "api-approved.kubernetes.io";
const COLUMN_TYPES: &str = "boolean,date,integer,number,string";
const COLUMN_FORMATS: &str = "byte,date,date-time,double,float,int32,int64,password";

#[derive(Debug)]
struct Definition;

impl Rules for Definition {
    fn default(&self, object: &mut Value) {
        let Some(spec) = object.make("spec") else { return };
        let is_unset = |strategy: &Value| strategy.text("conversion.strategy").is_empty();
        if is_unset(spec)
            && let Some(conversion) = spec.make("conversion")
        {
            conversion.put("strategy", "None");
        }
        let Some(names) = spec.make("names") else { return };
        let kind = names.text("kind").to_owned();
        if kind.is_empty() {
            return;
        }
        if names.text("singular").is_empty() {
            names.put("singular", kind.to_lowercase());
        }
        if names.text("listKind").is_empty() {
            names.put("listKind", format!("{kind}List"));
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        strategy::create(object, "apiextensions.v1.CustomResourceDefinitionStatus");
        if let Some(version) = storage_version(object).map(str::to_owned)
            && let Some(status) = object.make("status")
        {
            status.put("storedVersions", vec![version]);
        }
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        strategy::update(new, old);
        let Some(version) = storage_version(new).map(str::to_owned) else { return };
        let mut stored = new.items("status.storedVersions").to_vec();
        if !stored.iter().any(|one| *one == version.as_str()) {
            stored.push(version.into());
            if let Some(status) = new.make("status") {
                status.put("storedVersions", stored);
            }
        }
    }

    fn prepare_status_update(&self, new: &mut Value, old: &Value) {
        strategy::status_update(new, old);
    }

    fn prepare_delete(&self, object: &mut Value) {
        let Some(metadata) = object.make("metadata") else { return };
        let mut finalizers = metadata.items("finalizers").to_vec();
        if !finalizers.iter().any(|one| one == CLEANUP) {
            finalizers.push(CLEANUP.into());
        }
        metadata.put("finalizers", finalizers);
    }

    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        let expected = format!("{}.{}", object.text("spec.names.plural"), object.text("spec.group"));
        if object.text("metadata.name") != expected {
            let why = "must be spec.names.plural+\".\"+spec.group";
            errors.invalid("metadata.name", object.text("metadata.name"), why);
        }
        validate(object, errors);
    }

    fn validate_update(&self, new: &Value, old: &Value, errors: &mut Errors) {
        validate(new, errors);
        let established = old
            .items("status.conditions")
            .iter()
            .any(|condition| condition.text("type") == "Established" && condition.text("status") == "True");
        let mut fixed = vec!["spec.group", "spec.names.plural"];
        if established {
            fixed.extend(["spec.scope", "spec.names.kind"]);
        }
        for field in fixed {
            if new.at(field) != old.at(field) {
                errors.invalid(field, new.text(field), names::IMMUTABLE);
            }
        }
    }

    fn validate_status_update(&self, new: &Value, _old: &Value, errors: &mut Errors) {
        stored_versions(new, errors);
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        let is_webhook = new.text("spec.conversion.strategy") == "Webhook";
        let warning = "spec.conversion.strategy: conversion webhooks are not called here: versions differ in \
                       apiVersion only";
        let known = old.map(unknown_formats).unwrap_or_default();
        let formats = unknown_formats(new).into_iter().filter(|format| !known.contains(format));
        let formats = formats.map(|format| format!("unrecognized format {}", go_quote(format)));
        is_webhook.then(|| warning.to_owned()).into_iter().chain(formats).collect()
    }
}

/// The formats in the schemas of a definition that the API does not know.
fn unknown_formats(object: &Value) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    for version in object.items("spec.versions") {
        if let Some(schema) = version.at("schema.openAPIV3Schema") {
            find_formats(schema, MAX_DEPTH, &mut found);
        }
    }
    found
}

fn find_formats<'a>(schema: &'a Value, depth: usize, found: &mut BTreeSet<&'a str>) {
    let Some(depth) = depth.checked_sub(1) else { return };
    let format = schema.text("format");
    if !format.is_empty() && !is_known_format(schema.text("type"), format) {
        found.insert(format);
    }
    let lists = ["allOf", "anyOf", "oneOf"].into_iter().flat_map(|word| schema.items(word));
    let single = ["items", "additionalProperties", "not"].into_iter().filter_map(|word| schema.at(word));
    let fields = schema.entries("properties").map(|(_, one)| one);
    for inner in lists.chain(single).chain(fields) {
        find_formats(inner, depth, found);
    }
}

fn storage_version(object: &Value) -> Option<&str> {
    object.items("spec.versions").iter().find(|version| version.flag("storage")).map(|one| one.text("name"))
}

fn validate(object: &Value, errors: &mut Errors) {
    let spec = object.get("spec").unwrap_or(&Value::Null);
    group(object, spec, errors);
    errors.one_of(&Path::root("spec.scope"), spec.text("scope"), &["Cluster", "Namespaced"]);
    if spec.flag("preserveUnknownFields") {
        let why = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
        errors.invalid("spec.preserveUnknownFields", true, why);
    }
    versions(spec, errors);
    validate_names(spec, errors);
    conversion(spec, errors);
    stored_versions(object, errors);
}

fn group(object: &Value, spec: &Value, errors: &mut Errors) {
    let group = spec.text("group");
    match group {
        "" => errors.required("spec.group", ""),
        name if !names::dns_subdomain(name).is_empty() => {
            errors.all_invalid(&Path::root("spec.group"), name, names::dns_subdomain(name));
        }
        name if !name.contains('.') => {
            errors.invalid("spec.group", name, "should be a domain with at least one dot");
        }
        _ => {}
    }
    let is_protected = ["k8s.io", "kubernetes.io"].iter().any(|domain| {
        group.strip_suffix(domain).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    });
    let approval = object.pointer("/metadata/annotations").and_then(|all| all.get(API_APPROVED));
    if is_protected && approval.and_then(Value::as_str).is_none_or(str::is_empty) {
        let why = "protected groups must have approval annotation \"api-approved.kubernetes.io\", see https://github.com/kubernetes/enhancements/pull/1111";
        errors.required(format!("metadata.annotations[{API_APPROVED}]"), why);
    }
}

fn versions(spec: &Value, errors: &mut Errors) {
    let versions = spec.items("versions");
    if versions.len() > MAX_VERSIONS {
        return errors.push(FieldError::too_many("spec.versions", versions.len(), MAX_VERSIONS));
    }
    let mut patterns = Patterns::default();
    for (at, version) in versions.iter().enumerate() {
        let path = format!("spec.versions[{at}]");
        let name = version.text("name");
        errors.all_invalid(&Path::root(&path).child("name"), name, names::dns_1035_label(name));
        if at == 0 {
            errors.all_invalid(&Path::root("spec.version"), name, names::dns_1035_label(name));
        }
        if !version.flag("deprecated") && version.at("deprecationWarning").is_some() {
            let why = "can only be set for deprecated versions";
            errors.invalid(format!("{path}.deprecationWarning"), version.text("deprecationWarning"), why);
        }
        let Some(schema) = version.at("schema.openAPIV3Schema") else {
            errors.required(format!("{path}.schema.openAPIV3Schema"), "");
            continue;
        };
        // What all versions have in common is reported once, where it stood before versions had their own.
        let shared = |field: &str| versions.iter().all(|one| one.get(field) == version.get(field));
        let place = |field: &str, common: &str| match shared(field) {
            true => format!("spec.{common}"),
            false => format!("{path}.{field}"),
        };
        let is_repeated = |field: &str| at > 0 && shared(field);
        if !is_repeated("schema") {
            let path = format!("{}.openAPIV3Schema", place("schema", "validation"));
            validate_schema(schema, &path, &mut patterns, errors);
        }
        if !is_repeated("subresources") {
            scale(version, &place("subresources", "subresources"), errors);
        }
        if !is_repeated("additionalPrinterColumns") {
            columns(version, &place("additionalPrinterColumns", "additionalPrinterColumns"), errors);
        }
        if !is_repeated("selectableFields") {
            selectable_fields(version, schema, &place("selectableFields", "selectableFields"), errors);
        }
    }
    let stored = versions.iter().filter(|version| version.flag("storage")).count();
    let shown = if versions.is_empty() { Value::Null } else { versions.iter().map(shown_version).collect() };
    let mut found: Vec<&str> = versions.iter().map(|version| version.text("name")).collect();
    found.sort_unstable();
    if found.windows(2).any(|pair| pair[0] == pair[1]) {
        errors.invalid("spec.versions", shown.clone(), "must contain unique version names");
    }
    if stored != 1 {
        errors.invalid("spec.versions", shown, "must have exactly one version marked as storage version");
    }
}

/// A version as the API shows it in a refusal.
fn shown_version(version: &Value) -> Value {
    let mut out = Object::new();
    out.insert("Name".into(), version.text("name").into());
    for (name, field) in [("Served", "served"), ("Storage", "storage"), ("Deprecated", "deprecated")] {
        out.insert(name.into(), version.flag(field).into());
    }
    for name in
        ["DeprecationWarning", "Schema", "Subresources", "AdditionalPrinterColumns", "SelectableFields"]
    {
        out.insert(name.into(), Value::Null);
    }
    Value::Object(out)
}

fn scale(version: &Value, path: &str, errors: &mut Errors) {
    let Some(scale) = version.at("subresources.scale") else { return };
    let mut check = |field: &str, roots: &[&str], words: &str| {
        let (place, text) = (format!("{path}.scale.{field}"), scale.text(field));
        let parsed = JsonPath::parse(text).ok();
        let fields = parsed.as_ref().and_then(JsonPath::fields).unwrap_or_default();
        match text {
            "" if field != "labelSelectorPath" => errors.required(place, ""),
            "" => {}
            text if fields.len() < 2 || !roots.contains(&fields[0]) => {
                errors.invalid(place, text, &format!("should be a json path under {words}"));
            }
            _ => {}
        }
    };
    check("specReplicasPath", &["spec"], ".spec");
    check("statusReplicasPath", &["status"], ".status");
    check("labelSelectorPath", &["spec", "status"], "either .spec or .status");
}

fn columns(version: &Value, path: &str, errors: &mut Errors) {
    for (at, column) in version.items("additionalPrinterColumns").iter().enumerate() {
        let place = |field: &str| format!("{path}[{at}].{field}");
        if column.text("name").is_empty() {
            errors.required(place("name"), "");
        }
        let is_one_of = |text: &str, all: &str| all.split(',').any(|one| one == text);
        match column.text("type") {
            "" => errors.required(place("type"), &format!("must be one of {COLUMN_TYPES}")),
            text if !is_one_of(text, COLUMN_TYPES) => {
                errors.invalid(place("type"), text, &format!("must be one of {COLUMN_TYPES}"));
            }
            _ => {}
        }
        let format = column.text("format");
        if !format.is_empty() && !is_one_of(format, COLUMN_FORMATS) {
            errors.invalid(place("format"), format, &format!("must be one of {COLUMN_FORMATS}"));
        }
        match column.text("jsonPath") {
            "" => errors.required(place("JSONPath"), ""),
            text if !text.starts_with('.') => {
                errors.invalid(place("JSONPath"), text, "must be a simple json path starting with .");
            }
            // A column whose path cannot be read is not shown.
            _ => {}
        }
    }
}

fn selectable_fields(version: &Value, schema: &Value, path: &str, errors: &mut Errors) {
    const MAX_FIELDS: usize = 8;
    let fields = version.items("selectableFields");
    if fields.len() > MAX_FIELDS {
        errors.push(FieldError::too_many(path, fields.len(), MAX_FIELDS));
    }
    for (at, field) in fields.iter().enumerate() {
        let (place, text) = (format!("{path}[{at}].jsonPath"), field.text("jsonPath"));
        if text.is_empty() {
            errors.required(place, "");
            continue;
        }
        let parsed = JsonPath::parse(text).ok();
        let names = parsed.as_ref().and_then(JsonPath::fields).unwrap_or_default();
        let found = names.iter().try_fold(schema, |schema, name| schema.get("properties")?.get(name));
        match found.filter(|_| !names.is_empty()) {
            None => errors.invalid(place, text, "is an invalid path: does not refer to a valid field"),
            Some(_) if names[0] == "metadata" => {
                errors.invalid(place, text, "must not point to fields in metadata");
            }
            Some(one) if !matches!(one.text("type"), "string" | "boolean" | "integer") => {
                errors.invalid(place, text, "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.");
            }
            Some(_) => {}
        }
    }
}

fn validate_names(spec: &Value, errors: &mut Errors) {
    let names = spec.get("names").unwrap_or(&Value::Null);
    let path = Path::root("spec.names");
    for field in ["plural", "singular", "kind", "listKind"] {
        let (text, path) = (names.text(field), path.child(field));
        if text.is_empty() {
            errors.required(path, "");
            continue;
        }
        let (checked, words) = match field {
            "kind" | "listKind" => (text.to_lowercase(), "may have mixed case, but should otherwise match: "),
            _ => (text.to_owned(), ""),
        };
        let messages =
            names::dns_1035_label(&checked).into_iter().map(|message| format!("{words}{message}")).collect();
        errors.all_invalid(&path, text, messages);
    }
    for field in ["shortNames", "categories"] {
        let path = path.child(field);
        for (at, name) in names.items(field).iter().enumerate() {
            let name = name.as_str().unwrap_or_default();
            errors.all_invalid(&path.index(at), name, names::dns_1035_label(name));
        }
    }
    let kind = names.text("kind");
    if !kind.is_empty() && kind == names.text("listKind") {
        errors.invalid(path.child("listKind"), kind, "kind and listKind may not be the same");
    }
}

fn conversion(spec: &Value, errors: &mut Errors) {
    let path = Path::root("spec.conversion");
    match spec.text("conversion.strategy") {
        "None" => {}
        "Webhook" => {
            if spec.at("conversion.webhook.clientConfig").is_none() {
                let why = "required when strategy is set to Webhook";
                errors.required(path.child("webhookClientConfig"), why);
            }
            if spec.items("conversion.webhook.conversionReviewVersions").is_empty() {
                errors.required(path.child("conversionReviewVersions"), "");
            }
        }
        "" => errors.required(path.child("strategy"), ""),
        other => errors.not_supported(path.child("strategy"), other, &["None", "Webhook"]),
    }
}

fn stored_versions(object: &Value, errors: &mut Errors) {
    let stored = object.items("status.storedVersions");
    let path = Path::root("status.storedVersions");
    let shown = if stored.is_empty() { Value::Null } else { stored.to_vec().into() };
    if stored.is_empty() {
        return errors.invalid(path, shown, "must have at least one stored version");
    }
    let versions = object.items("spec.versions");
    let known: HashSet<&str> = versions.iter().map(|version| version.text("name")).collect();
    for (at, name) in stored.iter().enumerate() {
        let name = name.as_str().unwrap_or_default();
        if !known.contains(name) {
            let why = format!(
                "missing from spec.versions; {name} was previously a storage version, and must remain in \
                 spec.versions until a storage migration ensures no data remains persisted in {name} and removes \
                 {name} from status.storedVersions"
            );
            errors.invalid(path.index(at), name, &why);
        }
    }
    let stored: HashSet<&str> = stored.iter().filter_map(Value::as_str).collect();
    for version in versions.iter().filter(|version| version.flag("storage")) {
        let name = version.text("name");
        if !stored.contains(name) && !errors.is_full() {
            errors.invalid(path, shown.clone(), &format!("must have the storage version {name}"));
        }
    }
}
