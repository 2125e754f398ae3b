//! Whether the schema of a definition is one that can be served: structural, and without words that are not
//! supported.

use everynode_cel::Patterns;
use everynode_model::Value;
use everynode_model::access::Read;

use super::check;
use super::costs;
use super::prune;
use super::schema::{MAX_DEPTH, Schema};
use crate::status::FieldError;
use crate::validate::{Errors, Path, Report};

const TYPES: &[&str] = &["array", "boolean", "integer", "number", "object", "string"];

/// Words that may not stand in the schemas of `allOf`, `anyOf`, `oneOf` and `not`, and how they must be.
const NOT_WITHIN_LOGIC: &[(&str, &str)] = &[
    ("type", "must be empty to be structural"),
    ("additionalProperties", "must be undefined to be structural"),
    ("default", "must be undefined to be structural"),
    ("title", "must be empty to be structural"),
    ("description", "must be empty to be structural"),
    ("nullable", "must be false to be structural"),
    ("x-kubernetes-preserve-unknown-fields", "must be false to be structural"),
    ("x-kubernetes-embedded-resource", "must be false to be structural"),
    ("x-kubernetes-int-or-string", "must be false to be structural"),
    ("x-kubernetes-list-map-keys", "must be empty to be structural"),
    ("x-kubernetes-list-type", "must be undefined to be structural"),
    ("x-kubernetes-map-type", "must be undefined to be structural"),
    ("x-kubernetes-validations", "must be empty to be structural"),
];

const UNSUPPORTED: &[&str] =
    &["id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"];

const REASONS: &[&str] =
    &["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];

/// Where a schema stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Root,
    Field,
    Item,
}

/// Checks the schema of a version, of a definition with these patterns. `path` is that of the schema.
pub(crate) fn validate_schema(schema: &Value, path: &str, patterns: &mut Patterns, errors: &mut Errors) {
    let before = errors.len();
    let path = Path::root(path);
    if schema.flag("nullable") {
        errors.forbidden(path.child("nullable"), "nullable cannot be true at the root");
    }
    node(schema, Place::Root, &path, MAX_DEPTH, patterns, errors);
    if errors.len() > before {
        return;
    }
    match Schema::parse(schema, patterns) {
        Ok(parsed) => {
            costs::programs(schema, &parsed, &path, errors);
            defaults(schema, &parsed, &path, errors);
        }
        Err(why) => errors.push(FieldError::forbidden(path, &why)),
    }
}

fn node(
    schema: &Value,
    place: Place,
    path: &Path<'_>,
    depth: usize,
    patterns: &mut Patterns,
    errors: &mut Errors,
) {
    let Some(depth) = depth.checked_sub(1) else {
        return errors.forbidden(path, &format!("must not be nested deeper than {MAX_DEPTH} levels"));
    };
    words(schema, path, errors);
    pattern(schema, path, patterns, errors);
    kind(schema, place, path, errors);
    lists(schema, path, errors);
    rules(schema, path, errors);
    for word in ["allOf", "anyOf", "oneOf"] {
        let list = path.child(word);
        for (at, one) in schema.items(word).iter().enumerate() {
            if !(schema.flag("x-kubernetes-int-or-string") && tells_int_or_string(one)) {
                logic(one, &list.index(at), depth, patterns, errors);
            }
        }
    }
    if let Some(not) = schema.at("not") {
        logic(not, &path.child("not"), depth, patterns, errors);
    }
    let properties = path.child("properties");
    for (name, one) in schema.entries("properties") {
        let path = properties.key(name);
        if name == "metadata" && (place == Place::Root || schema.flag("x-kubernetes-embedded-resource")) {
            metadata(one, &path, errors);
        }
        node(one, Place::Field, &path, depth, patterns, errors);
    }
    if let Some(one) = schema.at("additionalProperties").filter(|one| one.is_object()) {
        node(one, Place::Field, &path.child("additionalProperties"), depth, patterns, errors);
    }
    if let Some(one) = schema.at("items").filter(|one| one.is_object()) {
        node(one, Place::Item, &path.child("items"), depth, patterns, errors);
    }
}

/// Words that may not stand in a schema, or not beside each other.
fn words(schema: &Value, path: &Path<'_>, errors: &mut Errors) {
    let kind = schema.text("type");
    if !kind.is_empty() && !TYPES.contains(&kind) {
        errors.not_supported(path.child("type"), kind, TYPES);
    }
    if kind == "null" {
        errors.forbidden(path.child("type"), "type cannot be set to null, use nullable as an alternative");
    }
    for word in UNSUPPORTED.iter().filter(|word| schema.get(word).is_some()) {
        errors.forbidden(path.child(word), &format!("{word} is not supported"));
    }
    if schema.flag("uniqueItems") {
        let why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        errors.forbidden(path.child("uniqueItems"), why);
    }
    if schema.at("items").is_some_and(Value::is_array) {
        errors.forbidden(path.child("items"), "items must be a schema object and not an array");
    }
    let has_properties = schema.entries("properties").next().is_some();
    if has_properties && schema.at("additionalProperties").is_some_and(|one| *one != Value::Bool(false)) {
        let why = "additionalProperties and properties are mutual exclusive";
        errors.forbidden(path.child("additionalProperties"), why);
    }
    if schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(false)) {
        let path = path.child("x-kubernetes-preserve-unknown-fields");
        errors.invalid(path, false, "must be true or undefined");
    }
}

fn kind(schema: &Value, place: Place, path: &Path<'_>, errors: &mut Errors) {
    let kind = schema.text("type");
    let (embedded, int_or_string, preserves) = (
        schema.flag("x-kubernetes-embedded-resource"),
        schema.flag("x-kubernetes-int-or-string"),
        schema.flag("x-kubernetes-preserve-unknown-fields"),
    );
    if kind == "array" && schema.at("items").is_none() {
        errors.required(path.child("items"), "must be specified");
    }
    if embedded && !preserves && schema.entries("properties").next().is_none() {
        let why = "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
        errors.required(path.child("properties"), why);
    }
    if int_or_string {
        for (flag, word) in [
            (preserves, "x-kubernetes-preserve-unknown-fields"),
            (embedded, "x-kubernetes-embedded-resource"),
        ] {
            if flag {
                let why = "must be false if x-kubernetes-int-or-string is true";
                errors.invalid(path.child(word), true, why);
            }
        }
    }
    let path_of_type = path.child("type");
    match (kind, place) {
        ("", _) if embedded => {
            errors.required(path_of_type, "must be object if x-kubernetes-embedded-resource is true");
        }
        ("", Place::Root) => errors.required(path_of_type, "must not be empty at the root"),
        ("", _) if int_or_string || preserves => {}
        ("", Place::Item) => errors.required(path_of_type, "must not be empty for specified array items"),
        ("", Place::Field) => errors.required(path_of_type, "must not be empty for specified object fields"),
        ("object", _) => {}
        (other, Place::Root) => errors.invalid(path_of_type, other, "must be object at the root"),
        (other, _) if embedded => {
            errors.invalid(path_of_type, other, "must be object if x-kubernetes-embedded-resource is true");
        }
        _ => {}
    }
    if place == Place::Root || embedded {
        if schema.at("additionalProperties").is_some_and(Value::is_object) {
            let why = match place {
                Place::Root => "must not be used at the root",
                _ => "must not be used if x-kubernetes-embedded-resource is set",
            };
            errors.forbidden(path.child("additionalProperties"), why);
        }
        let properties = path.child("properties");
        for name in ["kind", "apiVersion"] {
            let Some(one) = schema.get("properties").and_then(|all| all.get(name)) else { continue };
            if one.text("type") != "string" {
                errors.invalid(properties.key(name).child("type"), one.text("type"), "must be string");
            }
        }
    }
}

fn pattern(schema: &Value, path: &Path<'_>, patterns: &mut Patterns, errors: &mut Errors) {
    let pattern = schema.text("pattern");
    // Once they are too many, that is said once.
    if pattern.is_empty() || patterns.are_too_many() {
        return;
    }
    if let Err(why) = patterns.make(pattern) {
        let detail = format!("must be a valid regular expression, but isn't: {why}");
        errors.invalid(path.child("pattern"), pattern, &detail);
    }
}

fn metadata(schema: &Value, path: &Path<'_>, errors: &mut Errors) {
    if schema.text("type") != "object" {
        errors.invalid(path.child("type"), schema.text("type"), "must be object");
    }
    let named = schema.entries("properties").all(|(name, _)| matches!(name, "name" | "generateName"));
    if !named {
        let why = "must not specify anything other than name and generateName, but metadata is implicitly specified";
        errors.forbidden(path, why);
    }
}

/// Whether a schema is one of those by which int-or-string is also said: `type: integer` and `type: string`, or a
/// list of these two.
fn tells_int_or_string(schema: &Value) -> bool {
    let is_type = |one: &Value| {
        let only = one.as_object().is_some_and(|words| words.len() == 1);
        only && matches!(one.text("type"), "integer" | "string")
    };
    is_type(schema) || !schema.items("anyOf").is_empty() && schema.items("anyOf").iter().all(is_type)
}

/// A schema within `allOf` and its like may limit values, and nothing else.
fn logic(schema: &Value, path: &Path<'_>, depth: usize, patterns: &mut Patterns, errors: &mut Errors) {
    let Some(depth) = depth.checked_sub(1) else {
        return errors.forbidden(path, &format!("must not be nested deeper than {MAX_DEPTH} levels"));
    };
    for (word, why) in NOT_WITHIN_LOGIC {
        if schema.at(word).is_some() {
            errors.forbidden(path.child(word), why);
        }
    }
    pattern(schema, path, patterns, errors);
    for word in ["allOf", "anyOf", "oneOf"] {
        let list = path.child(word);
        for (at, one) in schema.items(word).iter().enumerate() {
            logic(one, &list.index(at), depth, patterns, errors);
        }
    }
    let properties = path.child("properties");
    for (name, one) in schema.entries("properties") {
        logic(one, &properties.key(name), depth, patterns, errors);
    }
    for word in ["not", "items"] {
        if let Some(one) = schema.at(word) {
            logic(one, &path.child(word), depth, patterns, errors);
        }
    }
}

fn lists(schema: &Value, path: &Path<'_>, errors: &mut Errors) {
    let kind = schema.text("type");
    if let Some(of) = schema.at("x-kubernetes-map-type").and_then(Value::as_str) {
        match kind {
            "object" => {}
            "" => errors.required(path.child("type"), "must be object if x-kubernetes-map-type is specified"),
            other => errors.invalid(
                path.child("type"),
                other,
                "must be object if x-kubernetes-map-type is specified",
            ),
        }
        if !["atomic", "granular"].contains(&of) {
            errors.not_supported(path.child("x-kubernetes-map-type"), of, &["atomic", "granular"]);
        }
    }
    let of = schema.text("x-kubernetes-list-type");
    let keys = schema.items("x-kubernetes-list-map-keys");
    if of != "map" && !keys.is_empty() {
        let path = path.child("x-kubernetes-list-type");
        let why = "must be map if x-kubernetes-list-map-keys is non-empty";
        if of.is_empty() { errors.required(path, why) } else { errors.invalid(path, of, why) }
    }
    if of.is_empty() {
        return;
    }
    match kind {
        "array" => {}
        "" => errors.required(path.child("type"), "must be array if x-kubernetes-list-type is specified"),
        other => {
            errors.invalid(path.child("type"), other, "must be array if x-kubernetes-list-type is specified")
        }
    }
    match of {
        "atomic" => {}
        "set" => set(schema, path, errors),
        "map" => map(schema, keys, path, errors),
        _ => errors.not_supported(path.child("x-kubernetes-list-type"), of, &["atomic", "set", "map"]),
    }
}

fn set(schema: &Value, path: &Path<'_>, errors: &mut Errors) {
    let Some(items) = schema.at("items") else { return };
    let path = path.child("items");
    if items.flag("nullable") {
        errors.forbidden(path.child("nullable"), "cannot be nullable when x-kubernetes-list-type is set");
    }
    let word = match items.text("type") {
        "object" => "x-kubernetes-map-type",
        "array" => "x-kubernetes-list-type",
        _ => return,
    };
    if items.text(word) != "atomic" {
        let shown = items.at(word).cloned().unwrap_or_default();
        errors.invalid(
            path.child(word),
            shown,
            "must be atomic as item of a list with x-kubernetes-list-type=set",
        );
    }
}

fn map(schema: &Value, keys: &[Value], path: &Path<'_>, errors: &mut Errors) {
    let keys_path = path.child("x-kubernetes-list-map-keys");
    if keys.is_empty() {
        errors.required(keys_path, "must not be empty if x-kubernetes-list-type is map");
    }
    let Some(items) = schema.at("items").filter(|items| items.is_object()) else {
        return errors.required(path.child("items"), "must have a schema if x-kubernetes-list-type is map");
    };
    let path = path.child("items");
    if items.flag("nullable") {
        errors.forbidden(path.child("nullable"), "cannot be nullable when x-kubernetes-list-type is map");
    }
    if items.text("type") != "object" {
        let why = "must be object if parent array's x-kubernetes-list-type is map";
        return errors.invalid(path.child("type"), items.text("type"), why);
    }
    let properties = items.get("properties");
    let named = |key: &Value| properties.and_then(|all| all.get(key.as_str()?));
    if keys.iter().any(|key| named(key).is_none()) {
        errors.invalid(keys_path, keys.to_vec(), "entries must all be names of item properties");
    }
    let properties_path = path.child("properties");
    for key in keys {
        let (Some(one), Some(name)) = (named(key), key.as_str()) else { continue };
        let path = properties_path.key(name);
        if matches!(one.text("type"), "array" | "object") {
            let why = "must be a scalar type if parent array's x-kubernetes-list-type is map";
            errors.invalid(path.child("type"), one.text("type"), why);
        }
        if one.at("default").is_none() && !items.items("required").contains(key) {
            let why = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            errors.required(path.child("default"), why);
        }
        if one.flag("nullable") {
            let why = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            errors.forbidden(path.child("nullable"), why);
        }
    }
    let mut seen = std::collections::HashSet::new();
    for (at, key) in keys.iter().enumerate() {
        if !seen.insert(key.as_str()) {
            errors.duplicate(keys_path.index(at), key.clone());
        }
    }
}

fn rules(schema: &Value, path: &Path<'_>, errors: &mut Errors) {
    let path = path.child("x-kubernetes-validations");
    for (at, rule) in schema.items("x-kubernetes-validations").iter().enumerate() {
        let path = path.index(at);
        let (text, message) = (rule.text("rule"), rule.text("message"));
        if text.trim().is_empty() {
            errors.required(path.child("rule"), "rule is not specified");
        }
        if message.contains('\n') {
            errors.invalid(path.child("message"), message, "must not contain line breaks");
        }
        if text.trim().contains('\n') && message.trim().is_empty() {
            errors.required(path.child("message"), "message must be specified if rule contains line breaks");
        }
        let reason = rule.text("reason");
        if !reason.is_empty() && !REASONS.contains(&reason) {
            errors.not_supported(path.child("reason"), reason, REASONS);
        }
    }
}

/// Defaults must fit their own schema. `schema` is what `parsed` was made of.
fn defaults(schema: &Value, parsed: &Schema, path: &Path<'_>, errors: &mut Errors) {
    if let Some(default) = &parsed.default {
        fits(parsed, default, &path.child("default"), errors);
    }
    let properties = path.child("properties");
    for (name, one) in &parsed.properties {
        let Some(raw) = schema.get("properties").and_then(|all| all.get(name)) else { continue };
        defaults(raw, one, &properties.key(name), errors);
    }
    if let (Some(raw), super::schema::Additional::Of(one)) =
        (schema.at("additionalProperties"), &parsed.additional)
    {
        defaults(raw, one, &path.child("additionalProperties"), errors);
    }
    if let (Some(raw), Some(one)) = (schema.at("items"), &parsed.items) {
        defaults(raw, one, &path.child("items"), errors);
    }
}

fn fits(schema: &Schema, default: &Value, path: &Path<'_>, errors: &mut Errors) {
    let mut pruned = default.clone();
    if !prune::prune_value(schema, &mut pruned).unknown.is_empty() {
        errors.invalid(path, default.clone(), "must not have unknown fields");
    }
    let mut filled = default.clone();
    prune::fill(schema, &mut filled);
    let name = path.to_string();
    check::check(schema, &filled, None, (&name, &name), errors);
    check::check_lists(schema, &filled, None, &mut path.to_string(), errors);
}
