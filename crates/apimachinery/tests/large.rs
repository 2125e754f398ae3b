//! Large objects: what they cost grows with their length, not with its square.
#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

use std::time::Duration;

use everynode_apimachinery::decode::{Body, decode_body};
use everynode_apimachinery::patch::{json_patch, merge_patch, strategic_merge};
use everynode_apimachinery::resource::Resource;
use everynode_apimachinery::schema::{Kind, Type, type_named};
use everynode_apimachinery::status::Status;
use everynode_apimachinery::validate::meta::{validate_metadata_create, validate_metadata_update};
use everynode_model::{Value, encode};
use serde_json::json;

/// Bytes of a body, and how much time of a processor everything that is done to it may take without optimisation. With
/// a square in it, it takes several times that.
const BYTES: usize = 15_000;
const LIMIT: Duration = Duration::from_secs(1);

/// Bytes that the answer to a body may have, several of them refused.
const ANSWER_BYTES: usize = 2 << 20;

/// Kinds whose templates are the same pod spec once more.
const TEMPLATED: [&str; 8] = [
    "DaemonSet",
    "Deployment",
    "StatefulSet",
    "ReplicaSet",
    "ReplicationController",
    "Job",
    "CronJob",
    "PodTemplate",
];

/// The time that this thread has had a processor for.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap(), u32::try_from(time.tv_nsec).unwrap())
}

/// How the elements of a list are made.
#[derive(Debug, Clone, Copy)]
enum Elements {
    Distinct,
    Empty,
}

/// A way to a list or map: field names, and `-` for the element of a list.
type Path = Vec<&'static str>;

fn lists(
    ty: &'static Type,
    path: &mut Path,
    above: &mut Vec<&'static str>,
    found: &mut Vec<(Path, &'static Kind)>,
) {
    if above.contains(&ty.name) {
        return;
    }
    above.push(ty.name);
    for field in &ty.fields {
        path.push(field.name);
        descend(&field.kind, path, above, found);
        path.pop();
    }
    above.pop();
}

fn descend(
    kind: &'static Kind,
    path: &mut Path,
    above: &mut Vec<&'static str>,
    found: &mut Vec<(Path, &'static Kind)>,
) {
    match kind {
        Kind::Pointer(inner) => descend(inner, path, above, found),
        Kind::Struct(id) => lists(id.get(), path, above, found),
        Kind::List(inner) => {
            found.push((path.clone(), kind));
            path.push("-");
            descend(inner, path, above, found);
            path.pop();
        }
        Kind::Map(_) => found.push((path.clone(), kind)),
        _ => {}
    }
}

fn element(kind: &Kind, how: Elements, index: usize) -> Value {
    let text = match how {
        Elements::Distinct => format!("x{index}"),
        Elements::Empty => String::new(),
    };
    match kind {
        Kind::Pointer(inner) => element(inner, how, index),
        Kind::Struct(_) if matches!(how, Elements::Empty) => json!({}),
        Kind::Struct(id) => {
            // What tells elements apart is among their first fields.
            let scalar =
                |kind: &Kind| matches!(kind, Kind::String | Kind::Int32 | Kind::Int64 | Kind::IntOrString);
            let fields = id.get().fields.iter().filter(|field| scalar(field.kind.pointee())).take(3);
            fields.map(|field| (field.name.to_owned(), element(&field.kind, how, index))).collect()
        }
        Kind::Int32 | Kind::Int64 | Kind::Float64 | Kind::IntOrString => match how {
            Elements::Distinct => (index % 65_535 + 1).into(),
            _ => 1.into(),
        },
        Kind::Bool => true.into(),
        Kind::Quantity => "1".into(),
        Kind::Duration => "1s".into(),
        Kind::Time | Kind::MicroTime => Value::Null,
        Kind::Bytes => "eA==".into(),
        Kind::List(_) => json!([]),
        Kind::Map(_) | Kind::Any | Kind::StructOrAny(_) => json!({}),
        Kind::String => text.into(),
    }
}

/// A list or map of a kind that makes a body of [`BYTES`].
fn filled(kind: &Kind, how: Elements) -> Value {
    match kind {
        Kind::Pointer(inner) => filled(inner, how),
        Kind::List(inner) => {
            let length = element(inner, how, 10_000).to_string().len() + 1;
            (0..BYTES / length).map(|index| element(inner, how, index)).collect()
        }
        Kind::Map(inner) => {
            let length = element(inner, how, 10_000).to_string().len() + 12;
            (0..BYTES / length).map(|index| (format!("x{index}"), element(inner, how, index))).collect()
        }
        _ => Value::Null,
    }
}

fn place(path: &[&str], value: Value) -> Value {
    match path.split_first() {
        None => value,
        Some((&"-", rest)) => json!([place(rest, value)]),
        Some((name, rest)) => json!({*name: place(rest, value)}),
    }
}

/// Does to a body what a create, an update and patches do. Gives the longest answer.
fn work(resource: &Resource, ty: &'static Type, body: &Value) -> usize {
    let (group, version, kind) = (&*resource.group, &*resource.version, &*resource.kind);
    let expected = Body { group, version, kind, ty };
    let bytes = encode::to_vec(body);
    let Ok(decoded) = decode_body(&expected, &bytes, false) else { return 0 };
    let mut object = decoded.value;
    if resource.rules.convert(&object).is_err() {
        return 0;
    }
    resource.rules.default(&mut object);
    resource.rules.prepare_create(&mut object);
    let mut errors = Vec::new();
    validate_metadata_create(&object, resource.namespaced, resource.name_rule, &mut errors);
    validate_metadata_update(&object, &object, &mut errors);
    resource.validate_finalizer_names(&object, &mut errors);
    resource.rules.validate_create(&object, &mut errors);
    let refused = encode::to_vec(&Status::invalid(group, kind, "a", &errors).to_value()).len();
    let mut errors = Vec::new();
    resource.rules.validate_update(&object, &object, &mut errors);
    let _ = Status::invalid(group, kind, "a", &errors);
    let warnings = resource.rules.warnings(&object, Some(&object));
    resource.rules.cells(&object, 0);
    let _ = (strategic_merge(ty, &object, &bytes), merge_patch(ty, &object, &bytes));
    let operations = json!([{"op": "add", "path": "/x", "value": body}]).to_string();
    let _ = json_patch(ty, &object, operations.as_bytes());
    refused.max(warnings.iter().map(String::len).sum())
}

#[test]
fn no_list_of_any_kind_costs_the_square_of_its_length() {
    let mut slow = Vec::new();
    for resource in everynode_apimachinery::resources() {
        let Some(ty) = type_named(resource.type_name) else { continue };
        if TEMPLATED.contains(&&*resource.kind) {
            continue;
        }
        let mut found = Vec::new();
        lists(ty, &mut Vec::new(), &mut Vec::new(), &mut found);
        for (path, kind) in found {
            for how in [Elements::Distinct, Elements::Empty] {
                let mut body = place(&path, filled(kind, how));
                if path[0] != "metadata" {
                    body["metadata"] = json!({"name": "a"});
                }
                let begun = processor_time();
                let answer = work(resource, ty, &body);
                let took = processor_time().saturating_sub(begun);
                if took > LIMIT || answer > ANSWER_BYTES {
                    slow.push(format!(
                        "{} {} {how:?}: {took:?}, {answer} bytes",
                        resource.kind,
                        path.join(".")
                    ));
                }
            }
        }
    }
    assert!(slow.is_empty(), "{slow:#?}");
}
