//! The bodies of requests.

use std::collections::BTreeMap;

use everynode_engine::{DaemonSetRef, NewRevision, RevisionRef, Status, Uid, pod_body};
use everynode_model::encode::to_vec;
use everynode_model::{Object, Value};
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

type Fields<'a> = BTreeMap<&'a str, &'a RawValue>;

/// DeleteOptions that name the one object that is meant, and nothing else (specification
/// [C10](everynode_engine::spec#c10)).
pub(crate) fn delete(uid: Uid) -> Vec<u8> {
    to_vec(&json!({
        "kind": "DeleteOptions",
        "apiVersion": "v1",
        "preconditions": {"uid": uid.to_string()},
    }))
}

/// As [`delete`], and only in the state of this version.
pub(crate) fn delete_as_known(uid: Uid, resource_version: u64) -> Vec<u8> {
    to_vec(&json!({
        "kind": "DeleteOptions",
        "apiVersion": "v1",
        "preconditions": {"uid": uid.to_string(), "resourceVersion": resource_version.to_string()},
    }))
}

/// Puts the owner reference in (specification [G5](everynode_engine::spec#g5)). The uid makes sure of the
/// object ([G7](everynode_engine::spec#g7)).
pub(crate) fn adopt(daemonset: &DaemonSetRef, uid: Uid) -> Vec<u8> {
    let owner = pod_body::owner_reference(daemonset);
    to_vec(&json!({"metadata": {"ownerReferences": [owner], "uid": uid.to_string()}}))
}

/// Takes the owner reference out (specification [G6](everynode_engine::spec#g6)).
pub(crate) fn release(daemonset: &DaemonSetRef, uid: Uid) -> Vec<u8> {
    let owner = json!({"$patch": "delete", "uid": daemonset.uid.to_string()});
    to_vec(&json!({"metadata": {"uid": uid.to_string(), "ownerReferences": [owner]}}))
}

/// Sets the label that names the revision (specification [J8](everynode_engine::spec#j8)), of the object in the state
/// of this version.
pub(crate) fn label(uid: Uid, resource_version: u64, hash: &str) -> Vec<u8> {
    let labels = json!({pod_body::HASH_LABEL: hash});
    to_vec(&json!({
        "metadata": {"uid": uid.to_string(), "resourceVersion": resource_version.to_string(), "labels": labels},
    }))
}

/// A patch of a policy's status.
pub(crate) fn policy_status(uid: Uid, status: &Value) -> Vec<u8> {
    to_vec(&json!({"metadata": {"uid": uid.to_string()}, "status": status}))
}

/// A patch of a DaemonSet that brings an earlier template back: the data of its revision, byte for byte, for the object
/// in the state of this version.
///
/// # Errors
/// When the data is not an object.
pub(crate) fn rewrite_template(
    uid: Uid,
    resource_version: u64,
    data: &[u8],
) -> Result<Vec<u8>, serde_json::Error> {
    let mut fields: Fields<'_> = serde_json::from_slice(data)?;
    let mut metadata = json!({"uid": uid.to_string()});
    if resource_version != 0 {
        metadata["resourceVersion"] = resource_version.to_string().into();
    }
    let metadata = to_raw(&metadata)?;
    fields.insert("metadata", &metadata);
    serde_json::to_vec(&fields)
}

/// A new ControllerRevision; its data byte for byte.
///
/// # Errors
/// When the data is not JSON.
pub(crate) fn revision(daemonset: &DaemonSetRef, new: &NewRevision) -> Result<Vec<u8>, serde_json::Error> {
    let object = |pairs: &[(String, String)]| -> Value {
        pairs.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect::<Object>().into()
    };
    let metadata = to_raw(&json!({
        "name": new.name,
        "namespace": daemonset.namespace,
        "labels": object(&new.labels),
        "annotations": object(&new.annotations),
        "ownerReferences": [pod_body::owner_reference(daemonset)],
    }))?;
    let (version, kind, number) =
        (to_raw_value("apps/v1")?, to_raw_value("ControllerRevision")?, to_raw_value(&new.revision)?);
    let data: &RawValue = serde_json::from_slice(&new.data)?;
    let fields = [
        ("apiVersion", &*version),
        ("kind", &*kind),
        ("metadata", &*metadata),
        ("data", data),
        ("revision", &*number),
    ];
    serde_json::to_vec(&Fields::from(fields))
}

/// A served ControllerRevision with another number or hash label, based on the version that the engine knows;
/// all else is as it was, byte for byte.
///
/// # Errors
/// When the bytes are not an object.
pub(crate) fn changed_revision(
    served: &[u8],
    known: &RevisionRef,
    number: Option<i64>,
    hash: Option<&str>,
) -> Result<Vec<u8>, serde_json::Error> {
    let mut fields: Fields<'_> = serde_json::from_slice(served)?;
    let mut metadata = object_at(&fields, "metadata")?;
    if known.resource_version != 0 {
        metadata.insert("resourceVersion".to_owned(), known.resource_version.to_string().into());
    }
    if let Some(hash) = hash {
        let mut labels = metadata.remove("labels").and_then(into_object).unwrap_or_default();
        labels.insert(pod_body::HASH_LABEL.to_owned(), hash.into());
        metadata.insert("labels".to_owned(), labels.into());
    }
    let metadata = to_raw(&metadata.into())?;
    fields.insert("metadata", &metadata);
    let number = number.map(|number| to_raw_value(&number)).transpose()?;
    if let Some(number) = &number {
        fields.insert("revision", number);
    }
    serde_json::to_vec(&fields)
}

/// A served DaemonSet with other numbers in its status; conditions and collisionCount stay (specification
/// [I8](everynode_engine::spec#i8)).
///
/// # Errors
/// When the bytes are not an object.
pub(crate) fn status(served: &[u8], numbers: &Status) -> Result<Vec<u8>, serde_json::Error> {
    with_status(served, |status| {
        for (key, value) in [
            ("currentNumberScheduled", numbers.current_number_scheduled),
            ("numberMisscheduled", numbers.number_misscheduled),
            ("desiredNumberScheduled", numbers.desired_number_scheduled),
            ("numberReady", numbers.number_ready),
            ("updatedNumberScheduled", numbers.updated_number_scheduled),
            ("numberAvailable", numbers.number_available),
            ("numberUnavailable", numbers.number_unavailable),
        ] {
            status.insert(key.to_owned(), value.into());
        }
        status.insert("observedGeneration".to_owned(), numbers.observed_generation.into());
    })
}

/// A served DaemonSet with another collisionCount.
///
/// # Errors
/// When the bytes are not an object.
pub(crate) fn collision_count(served: &[u8], count: i32) -> Result<Vec<u8>, serde_json::Error> {
    with_status(served, |status| {
        status.insert("collisionCount".to_owned(), count.into());
    })
}

/// status.collisionCount of a served DaemonSet.
///
/// # Errors
/// When the bytes are not an object.
pub(crate) fn read_collision_count(served: &[u8]) -> Result<Option<i32>, serde_json::Error> {
    let status = object_at(&serde_json::from_slice::<Fields<'_>>(served)?, "status")?;
    let count = status.get("collisionCount").and_then(Value::as_i64);
    Ok(count.and_then(|count| i32::try_from(count).ok()))
}

/// The whole object goes back, so that a field newer than this program is not taken out. List items come without
/// kind and apiVersion.
fn with_status(served: &[u8], change: impl FnOnce(&mut Object)) -> Result<Vec<u8>, serde_json::Error> {
    let mut fields: Fields<'_> = serde_json::from_slice(served)?;
    let mut status = object_at(&fields, "status")?;
    change(&mut status);
    let status = to_raw(&status.into())?;
    let (version, kind) = (to_raw_value("apps/v1")?, to_raw_value("DaemonSet")?);
    fields.insert("apiVersion", &version);
    fields.insert("kind", &kind);
    fields.insert("status", &status);
    serde_json::to_vec(&fields)
}

fn object_at(fields: &Fields<'_>, key: &str) -> Result<Object, serde_json::Error> {
    match fields.get(key) {
        Some(raw) => serde_json::from_str(raw.get()),
        None => Ok(Object::new()),
    }
}

fn into_object(value: Value) -> Option<Object> {
    match value {
        Value::Object(object) => Some(object),
        _ => None,
    }
}

fn to_raw(value: &Value) -> Result<Box<RawValue>, serde_json::Error> {
    to_raw_value(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn daemonset() -> DaemonSetRef {
        DaemonSetRef { namespace: "ns".to_owned(), name: "ds".to_owned(), uid: Uid(1) }
    }

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    /// Statements G5, G6, G7.
    #[test]
    fn patches_of_owners_are_the_built_in_controllers() {
        let (owner, object) = (Uid(1).to_string(), Uid(2).to_string());
        let expected = format!(
            r#"{{"metadata":{{"ownerReferences":[{{"apiVersion":"apps/v1","kind":"DaemonSet","name":"ds","uid":"{owner}","controller":true,"blockOwnerDeletion":true}}],"uid":"{object}"}}}}"#
        );
        assert_eq!(text(adopt(&daemonset(), Uid(2))), expected);
        let expected = format!(
            r#"{{"metadata":{{"uid":"{object}","ownerReferences":[{{"$patch":"delete","uid":"{owner}"}}]}}}}"#
        );
        assert_eq!(text(release(&daemonset(), Uid(2))), expected);
    }

    /// Statement J4.
    #[test]
    fn the_data_of_a_new_revision_passes_byte_for_byte() {
        let data = r#"{"spec":{"template":{"x":"\u003c","n":1.50}}}"#;
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let new = NewRevision {
            name: "ds-abc".to_owned(),
            labels: vec![pair("app", "x")],
            annotations: vec![pair("note", "<>")],
            revision: 3,
            data: data.as_bytes().into(),
        };
        let body = text(revision(&daemonset(), &new).unwrap());
        assert!(body.contains(&format!(r#""data":{data},"#)), "{body}");
        assert!(body.contains(r#""labels":{"app":"x"}"#) && body.contains(r#""revision":3"#), "{body}");
    }

    #[test]
    fn a_changed_revision_differs_in_nothing_else() {
        let served = r#"{"metadata":{"name":"r","resourceVersion":"9","labels":{"a":"b"}},"data":{"n":1.50},"revision":1}"#;
        let known = RevisionRef { name: "r".to_owned(), uid: Uid(2), resource_version: 8 };
        let body = text(changed_revision(served.as_bytes(), &known, Some(4), Some("h")).unwrap());
        let expected = r#"{"data":{"n":1.50},"metadata":{"name":"r","resourceVersion":"8","labels":{"a":"b","controller-revision-hash":"h"}},"revision":4}"#;
        // The order of metadata's own fields is of no meaning.
        let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(parse(&body), parse(expected));
        assert!(body.contains(r#""data":{"n":1.50}"#), "{body}");
    }

    /// Statement I8.
    #[test]
    fn a_written_status_keeps_what_others_wrote() {
        let served = r#"{"metadata":{"resourceVersion":"5"},"spec":{"future":1.50},"status":{"conditions":[{"type":"X"}],"collisionCount":2,"numberReady":1}}"#;
        let numbers = Status { number_ready: 4, observed_generation: 7, ..Status::default() };
        let body = text(status(served.as_bytes(), &numbers).unwrap());
        let value: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(value["status"]["conditions"][0]["type"], "X");
        assert_eq!(value["status"]["collisionCount"], 2);
        assert_eq!(
            (&value["status"]["numberReady"], &value["status"]["observedGeneration"]),
            (&4.into(), &7.into())
        );
        assert_eq!((&value["kind"], &value["apiVersion"]), (&"DaemonSet".into(), &"apps/v1".into()));
        assert!(body.contains(r#""spec":{"future":1.50}"#), "{body}");
        assert_eq!(read_collision_count(served.as_bytes()).unwrap(), Some(2));
        let bumped = collision_count(served.as_bytes(), 3).unwrap();
        assert_eq!(read_collision_count(&bumped).unwrap(), Some(3));
        assert_eq!(read_collision_count(b"{}").unwrap(), None);
    }
}
