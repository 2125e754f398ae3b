//! The schema as OpenAPI: version 3 group by group, version 2 in one document.
//!
//! kubectl reads it for `explain`, to learn that the server validates fields, and for the merge keys of
//! client-side `apply`.

pub mod binary;
mod custom;

use std::collections::BTreeMap;

use bytes::Bytes;
use everynode_apimachinery::resource::Resource;
use everynode_apimachinery::schema::{self, Field, Kind, ListType, Type};
use everynode_model::{Object, Value, encode};

use crate::catalog::Registry;
use crate::discovery;
use crate::http::accept::AVAILABLE;

const TITLE: &str = "Kubernetes";
const PATCH_TYPES: &[&str] = crate::patch::MEDIA_TYPES;

/// Which of the two forms of OpenAPI is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Two,
    Three,
}

fn object(fields: Vec<(&str, Value)>) -> Value {
    Value::Object(fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// A document of version 3, encoded once.
#[derive(Debug)]
struct Document {
    group: String,
    version: String,
    bytes: Bytes,
    hash: String,
}

/// The documents of everything that is served. Made when somebody asks for the first of them: a server that nobody
/// asks does not pay for them.
#[derive(Debug)]
pub struct Documents {
    documents: Vec<Document>,
}

impl Documents {
    /// Writes all documents.
    pub fn of(registry: &Registry) -> Documents {
        let made = group_versions(registry).into_iter().map(|(group, version)| {
            let document = document(registry, group, version);
            let hash = discovery::etag(&document).trim_matches('"').to_owned();
            let bytes = Bytes::from(encode::to_vec(&document));
            Document { group: group.to_owned(), version: version.to_owned(), bytes, hash }
        });
        Documents { documents: made.collect() }
    }

    /// `/openapi/v3`: where the documents are, with a hash by which clients keep them.
    pub fn index(&self) -> Value {
        let mut paths = Object::new();
        for Document { group, version, hash, .. } in &self.documents {
            let path = path_of(group, version);
            let url = format!("/openapi/v3/{path}?hash={hash}");
            paths.insert(path, object(vec![("serverRelativeURL", url.into())]));
        }
        object(vec![("paths", Value::Object(paths))])
    }

    /// `/openapi/v3/apis/GROUP/VERSION`, encoded; nothing when nobody serves them.
    pub fn group_document(&self, group: &str, version: &str) -> Option<Bytes> {
        let mut found = self.documents.iter().filter(|d| d.group == group && d.version == version);
        found.next().map(|document| document.bytes.clone())
    }
}

/// `/openapi/v2`
pub fn whole(registry: &Registry) -> Value {
    let all: Vec<&Resource> = registry.resources().map(|resource| &**resource).collect();
    let (paths, definitions) = parts(&all, Form::Two);
    object(vec![
        ("swagger", "2.0".into()),
        ("info", info()),
        ("paths", Value::Object(paths)),
        ("definitions", Value::Object(definitions)),
    ])
}

fn group_versions(registry: &Registry) -> Vec<(&str, &str)> {
    let mut found: Vec<_> = registry.resources().map(|r| (&*r.group, &*r.version)).collect();
    found.dedup();
    found
}

fn path_of(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

fn info() -> Value {
    object(vec![("title", TITLE.into()), ("version", discovery::version()["gitVersion"].clone())])
}

fn document(registry: &Registry, group: &str, version: &str) -> Value {
    let all = registry.resources().filter(|r| r.group == group && r.version == version);
    let rows: Vec<&Resource> = all.map(|resource| &**resource).collect();
    let (paths, schemas) = parts(&rows, Form::Three);
    object(vec![
        ("openapi", "3.0.0".into()),
        ("info", info()),
        ("paths", Value::Object(paths)),
        ("components", object(vec![("schemas", Value::Object(schemas))])),
    ])
}

/// Paths of the resources, and every type that can be reached from them.
fn parts(rows: &[&Resource], form: Form) -> (Object, Object) {
    let mut paths = Object::new();
    let mut types: BTreeMap<String, Value> = BTreeMap::new();
    let mut waiting: Vec<&'static Type> = schema::type_named("meta.v1.DeleteOptions").into_iter().collect();
    for resource in rows {
        add_paths(&mut paths, resource, form);
        waiting.extend(schema::type_named(resource.type_name));
        if let Some(custom) = &resource.custom {
            waiting.extend(
                ["meta.v1.ObjectMeta", "meta.v1.ListMeta"].into_iter().filter_map(schema::type_named),
            );
            types.insert(custom::name(resource), custom::schema(resource, custom, form));
            types.insert(format!("{}List", custom::name(resource)), custom::list(resource, form));
        }
    }
    types.insert(QUANTITY.into(), one_of("string", "number", form));
    types.insert(INT_OR_STRING.into(), one_of("string", "integer", form));
    while let Some(ty) = waiting.pop() {
        let name = public_name(ty.name);
        if types.contains_key(&name) {
            continue;
        }
        types.insert(name, type_schema(ty, rows, form));
        for field in &ty.fields {
            waiting.extend(inner_type(&field.kind));
        }
    }
    (paths, types.into_iter().collect())
}

fn inner_type(kind: &Kind) -> Option<&'static Type> {
    match kind {
        Kind::Struct(id) | Kind::StructOrAny(id) => Some(id.get()),
        Kind::List(inner) | Kind::Map(inner) | Kind::Pointer(inner) => inner_type(inner),
        _ => None,
    }
}

/// The name by which the world knows a type: `io.k8s.api.apps.v1.DaemonSet`.
fn public_name(name: &str) -> String {
    if let Some(rest) = name.strip_prefix("meta.v1.") {
        return format!("io.k8s.apimachinery.pkg.apis.meta.v1.{rest}");
    }
    format!("io.k8s.api.{name}")
}

/// The names of the two types that texts and numbers are read as; `kubectl explain` shows their last word.
const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
const INT_OR_STRING: &str = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";

fn one_of(text: &str, number: &str, form: Form) -> Value {
    let plain = |kind: &str| object(vec![("type", kind.into())]);
    let mut out = match form {
        Form::Two => vec![("type", text.into())],
        Form::Three => vec![("oneOf", Value::Array(vec![plain(text), plain(number)]))],
    };
    if number == "integer" {
        out.push(("format", "int-or-string".into()));
    }
    object(out)
}

fn reference(ty: &Type, form: Form) -> String {
    reference_to(&public_name(ty.name), form)
}

fn reference_to(name: &str, form: Form) -> String {
    match form {
        Form::Two => format!("#/definitions/{name}"),
        Form::Three => format!("#/components/schemas/{name}"),
    }
}

fn type_schema(ty: &Type, rows: &[&Resource], form: Form) -> Value {
    let mut properties = Object::new();
    if ty.is_object {
        for name in ["apiVersion", "kind"] {
            properties.insert(name.into(), object(vec![("type", "string".into())]));
        }
    }
    for field in &ty.fields {
        properties.insert(field.name.into(), field_schema(field, form));
    }
    let mut out = Object::new();
    out.insert("type".into(), "object".into());
    let required: Value = ty.fields.iter().filter(|f| f.required).map(|f| Value::from(f.name)).collect();
    if required.as_array().is_some_and(|names| !names.is_empty()) {
        out.insert("required".into(), required);
    }
    out.insert("properties".into(), Value::Object(properties));
    let kinds: Vec<Value> = rows.iter().filter(|r| r.type_name == ty.name).map(|r| kind_of(r)).collect();
    if !kinds.is_empty() {
        out.insert("x-kubernetes-group-version-kind".into(), Value::Array(kinds));
    }
    Value::Object(out)
}

fn kind_of(resource: &Resource) -> Value {
    object(vec![
        ("group", (*resource.group).into()),
        ("kind", (*resource.kind).into()),
        ("version", (*resource.version).into()),
    ])
}

fn field_schema(field: &Field, form: Form) -> Value {
    let mut out = match kind_schema(&field.kind, form) {
        // Nothing may stand beside a reference, so one with extensions goes into a list.
        Value::Object(one) if one.contains_key("$ref") && form == Form::Three => {
            let mut out = Object::new();
            out.insert("allOf".into(), Value::Array(vec![Value::Object(one)]));
            out
        }
        Value::Object(other) => other,
        _ => Object::new(),
    };
    let strategies = [
        ("merge", field.patch_merge),
        ("replace", field.patch_replace),
        ("retainKeys", field.patch_retain_keys),
    ];
    let strategy: Vec<&str> = strategies.iter().filter(|(_, is)| *is).map(|(name, _)| *name).collect();
    let strategy = strategy.join(",");
    if !strategy.is_empty() {
        out.insert("x-kubernetes-patch-strategy".into(), strategy.into());
    }
    if let Some(key) = field.merge_key {
        out.insert("x-kubernetes-patch-merge-key".into(), key.into());
    }
    let list_type = match field.list_type {
        ListType::Atomic => "atomic",
        ListType::Set => "set",
        ListType::Map => "map",
        ListType::Unset | ListType::Granular => "",
    };
    if !list_type.is_empty() {
        let is_list = matches!(field.kind.pointee(), Kind::List(_));
        let name = if is_list { "x-kubernetes-list-type" } else { "x-kubernetes-map-type" };
        out.insert(name.into(), list_type.into());
    }
    if !field.list_map_keys.is_empty() {
        let keys = field.list_map_keys.iter().map(|key| Value::from(*key)).collect();
        out.insert("x-kubernetes-list-map-keys".into(), keys);
    }
    Value::Object(out)
}

fn kind_schema(kind: &Kind, form: Form) -> Value {
    let plain = |kind: &str| object(vec![("type", kind.into())]);
    let formatted = |kind: &str, format: &str| object(vec![("type", kind.into()), ("format", format.into())]);
    match kind {
        Kind::String | Kind::Duration => plain("string"),
        Kind::Quantity => object(vec![("$ref", reference_to(QUANTITY, form).into())]),
        Kind::IntOrString => object(vec![("$ref", reference_to(INT_OR_STRING, form).into())]),
        Kind::Bool => plain("boolean"),
        Kind::Int32 => formatted("integer", "int32"),
        Kind::Int64 => formatted("integer", "int64"),
        Kind::Float64 => formatted("number", "double"),
        Kind::Bytes => formatted("string", "byte"),
        Kind::Time | Kind::MicroTime => formatted("string", "date-time"),
        Kind::Any | Kind::StructOrAny(_) => plain("object"),
        Kind::Struct(id) => object(vec![("$ref", reference(id.get(), form).into())]),
        Kind::List(inner) => object(vec![("type", "array".into()), ("items", kind_schema(inner, form))]),
        Kind::Map(inner) => {
            object(vec![("type", "object".into()), ("additionalProperties", kind_schema(inner, form))])
        }
        Kind::Pointer(inner) => kind_schema(inner, form),
    }
}

fn add_paths(paths: &mut Object, resource: &Resource, form: Form) {
    let base = format!("/{}", path_of(&resource.group, &resource.version));
    let within = if resource.namespaced { "/namespaces/{namespace}" } else { "" };
    let collection = format!("{base}{within}/{}", &resource.plural);
    let has = |verb: &str| resource.verbs.contains(&verb);
    let operations = |wanted: &[(&str, &str, &str)]| {
        let mut out = Object::new();
        for (verb, method, action) in wanted.iter().filter(|(verb, ..)| has(verb)) {
            out.insert((*method).into(), operation(resource, verb, action, form));
        }
        out
    };
    let of_collection = operations(&[
        ("list", "get", "list"),
        ("create", "post", "post"),
        ("deletecollection", "delete", "deletecollection"),
    ]);
    let of_object = operations(&[
        ("get", "get", "get"),
        ("update", "put", "put"),
        ("patch", "patch", "patch"),
        ("delete", "delete", "delete"),
    ]);
    if resource.namespaced && has("list") {
        let across = operations(&[("list", "get", "list")]);
        paths.insert(format!("{base}/{}", &resource.plural), with_parameters(across, &[], form));
    }
    let namespace: &[&str] = if resource.namespaced { &["namespace"] } else { &[] };
    paths.insert(collection.clone(), with_parameters(of_collection, namespace, form));
    if !of_object.is_empty() {
        let names: Vec<&str> = ["name"].iter().chain(namespace).copied().collect();
        paths.insert(format!("{collection}/{{name}}"), with_parameters(of_object, &names, form));
    }
}

fn with_parameters(mut operations: Object, names: &[&str], form: Form) -> Value {
    if !names.is_empty() {
        let parameters = names.iter().map(|name| parameter(name, "path", true, form)).collect();
        operations.insert("parameters".into(), parameters);
    }
    Value::Object(operations)
}

fn parameter(name: &str, place: &str, required: bool, form: Form) -> Value {
    let mut out = Object::new();
    out.insert("name".into(), name.into());
    out.insert("in".into(), place.into());
    if required {
        out.insert("required".into(), true.into());
    }
    match form {
        Form::Two => out.insert("type".into(), "string".into()),
        Form::Three => out.insert("schema".into(), object(vec![("type", "string".into())])),
    };
    Value::Object(out)
}

fn operation(resource: &Resource, verb: &str, action: &str, form: Form) -> Value {
    let mut out = Object::new();
    let id = format!("{verb}{}{}{}", camel(&resource.group), camel(&resource.version), &resource.kind);
    out.insert("operationId".into(), id.into());
    let query: &[&str] = match verb {
        "create" | "update" => &["dryRun", "fieldManager", "fieldValidation"],
        "patch" => &["dryRun", "fieldManager", "fieldValidation", "force"],
        "delete" => &["dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy"],
        "list" => &[
            "allowWatchBookmarks",
            "continue",
            "fieldSelector",
            "labelSelector",
            "limit",
            "resourceVersion",
            "resourceVersionMatch",
            "sendInitialEvents",
            "timeoutSeconds",
            "watch",
        ],
        _ => &[],
    };
    let parameters = query.iter().map(|name| parameter(name, "query", false, form)).collect();
    out.insert("parameters".into(), parameters);
    let body: &[&str] = match verb {
        // kubectl chooses the form of its patches by this list.
        "patch" if resource.custom.is_some() => crate::patch::CUSTOM_MEDIA_TYPES,
        "patch" => PATCH_TYPES,
        "create" | "update" => AVAILABLE,
        _ => &[],
    };
    if !body.is_empty() {
        match form {
            Form::Two => {
                out.insert("consumes".into(), body.iter().map(|name| Value::from(*name)).collect());
            }
            Form::Three => {
                let content: Object =
                    body.iter().map(|name| ((*name).to_owned(), Value::Object(Object::new()))).collect();
                out.insert("requestBody".into(), object(vec![("content", Value::Object(content))]));
            }
        }
    }
    let ok = object(vec![("description", "OK".into())]);
    out.insert("responses".into(), object(vec![("200", ok)]));
    out.insert("x-kubernetes-action".into(), action.into());
    out.insert("x-kubernetes-group-version-kind".into(), kind_of(resource));
    Value::Object(out)
}

/// `apps` as `Apps`, `rbac.authorization.k8s.io` as `RbacAuthorizationK8sIo`.
fn camel(name: &str) -> String {
    let parts = name.split('.').filter(|part| !part.is_empty());
    parts.map(|part| part[..1].to_uppercase() + &part[1..]).collect()
}
