//! The schemas of custom resources, with what every object has.

use everynode_apimachinery::custom::Custom;
use everynode_apimachinery::resource::Resource;
use everynode_model::{Object, Value};

use super::{Form, kind_of, object, reference_to};

const CONVENTIONS: &str =
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md";
const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";
const PRESERVES: &str = "x-kubernetes-preserve-unknown-fields";

/// The name of a custom resource's type: the parts of the group backwards, version, kind.
pub fn name(resource: &Resource) -> String {
    let mut parts: Vec<&str> = resource.group.split('.').collect();
    parts.reverse();
    format!("{}.{}.{}", parts.join("."), resource.version, resource.kind)
}

fn text(description: String) -> Value {
    object(vec![("description", description.into()), ("type", "string".into())])
}

/// A reference beside which something is said.
fn described(name: &str, description: String, form: Form) -> Value {
    let to = object(vec![("$ref", reference_to(name, form).into())]);
    let mut out = match (to, form) {
        (Value::Object(to), Form::Two) => to,
        (to, _) => Object::from_iter([("allOf".to_owned(), Value::Array(vec![to]))]),
    };
    out.insert("description".into(), description.into());
    Value::Object(out)
}

/// `apiVersion` and `kind` of objects and lists.
fn of_type() -> Object {
    let version = format!(
        "APIVersion defines the versioned schema of this representation of an object. Servers should convert \
         recognized schemas to the latest internal value, and may reject unrecognized values. More info: \
         {CONVENTIONS}#resources"
    );
    let kind = format!(
        "Kind is a string value representing the REST resource this object represents. Servers may infer this \
         from the endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: \
         {CONVENTIONS}#types-kinds"
    );
    Object::from_iter([("apiVersion".to_owned(), text(version)), ("kind".to_owned(), text(kind))])
}

fn metadata(form: Form) -> Value {
    described(OBJECT_META, format!("Standard object's metadata. More info: {CONVENTIONS}#metadata"), form)
}

/// The schema of a definition, with the fields that every object has.
pub fn schema(resource: &Resource, custom: &Custom, form: Form) -> Value {
    let mut out = match custom.document() {
        Value::Object(document) => document.clone(),
        _ => Object::new(),
    };
    if form == Form::Two && out.get(PRESERVES) == Some(&Value::Bool(true)) {
        // Clients that validate by this schema would refuse what is kept here.
        out = Object::from_iter([("type".to_owned(), "object".into())]);
    } else {
        complete(&mut out, form);
        if form == Form::Two {
            // Version 2 lacks words of version 3, and clients only look for the fields.
            downgrade(&mut out);
        }
        let mut properties = of_type();
        properties.insert("metadata".into(), metadata(form));
        if let Some(Value::Object(own)) = out.get("properties") {
            let others = own.iter().filter(|(name, _)| !properties.contains_key(name.as_str()));
            let others: Vec<(String, Value)> = others.map(|(k, v)| (k.clone(), v.clone())).collect();
            properties.extend(others);
        }
        out.insert("properties".into(), Value::Object(properties));
    }
    out.insert("x-kubernetes-group-version-kind".into(), Value::Array(vec![kind_of(resource)]));
    Value::Object(out)
}

/// The schema of lists.
pub fn list(resource: &Resource, form: Form) -> Value {
    let item = object(vec![("$ref", reference_to(&name(resource), form).into())]);
    let description = format!("List of {}. More info: {CONVENTIONS}", resource.plural);
    let items = vec![("description", description.into()), ("items", item), ("type", "array".into())];
    let mut properties = of_type();
    properties.insert("items".into(), object(items));
    let description = format!("Standard list metadata. More info: {CONVENTIONS}#types-kinds");
    properties.insert("metadata".into(), described(LIST_META, description, form));
    let mut kind = kind_of(resource);
    kind["kind"] = (*resource.list_kind).into();
    object(vec![
        ("description", format!("{} is a list of {}", resource.list_kind, resource.kind).into()),
        ("type", "object".into()),
        ("required", Value::Array(vec!["items".into()])),
        ("properties", Value::Object(properties)),
        ("x-kubernetes-group-version-kind", Value::Array(vec![kind])),
    ])
}

/// Calls a function for each schema within a schema.
fn within(schema: &mut Object, mut visit: impl FnMut(&mut Object)) {
    for word in ["items", "additionalProperties"] {
        if let Some(Value::Object(inner)) = schema.get_mut(word) {
            visit(inner);
        }
    }
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.values_mut().filter_map(Value::as_object_mut).for_each(visit);
    }
}

/// Gives embedded objects their fields, and says of what may be a number or a text that it may.
fn complete(schema: &mut Object, form: Form) {
    within(schema, |inner| complete(inner, form));
    let is = |word: &str| schema.get(word) == Some(&Value::Bool(true));
    if is("x-kubernetes-int-or-string") && form == Form::Three && !schema.contains_key("anyOf") {
        let kinds = ["integer", "string"].map(|kind| object(vec![("type", kind.into())]));
        schema.insert("anyOf".into(), Value::Array(kinds.into()));
        return;
    }
    if !is("x-kubernetes-embedded-resource") || form == Form::Two && is(PRESERVES) {
        return;
    }
    let version = format!(
        "apiVersion defines the versioned schema of this representation of an object. More info: \
         {CONVENTIONS}#resources"
    );
    let kind = format!(
        "kind is a string value representing the type of this object. In CamelCase. More info: \
         {CONVENTIONS}#types-kinds"
    );
    if let Value::Object(properties) =
        schema.entry("properties").or_insert_with(|| Value::Object(Object::new()))
    {
        properties.insert("apiVersion".into(), text(version));
        properties.insert("kind".into(), text(kind));
        properties.insert("metadata".into(), metadata(form));
    }
    if let Value::Array(required) = schema.entry("required").or_insert_with(|| Value::Array(Vec::new())) {
        for name in ["kind", "apiVersion"] {
            if !required.iter().any(|one| one == name) {
                required.push(name.into());
            }
        }
    }
}

/// Takes out what version 2 of OpenAPI does not know, or clients of it cannot cope with.
fn downgrade(schema: &mut Object) {
    let is_nullable = schema.get("nullable") == Some(&Value::Bool(true));
    for word in ["oneOf", "anyOf", "allOf", "not", "nullable", "default"] {
        if schema.get(word).is_some_and(|_| !schema.contains_key("$ref")) {
            schema.shift_remove(word);
        }
    }
    let preserves = schema.get(PRESERVES) == Some(&Value::Bool(true));
    if is_nullable || preserves {
        schema.shift_remove("items");
        schema.shift_remove("properties");
    }
    let kind = schema.get("type").and_then(Value::as_str).unwrap_or_default();
    let lacks_items = kind == "array" && !schema.contains_key("items");
    if is_nullable || lacks_items || preserves && kind == "object" {
        schema.shift_remove("type");
    }
    within(schema, downgrade);
}
