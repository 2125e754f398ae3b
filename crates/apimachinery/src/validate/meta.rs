//! Checks of `metadata`, which all kinds share.

use std::collections::HashSet;

use everynode_model::Value;
use everynode_model::access::Read;
use everynode_model::names::{self, Messages, NameRule};

use super::{Errors, Path, Report, selector};

/// The most bytes that all annotations of an object may take.
const ANNOTATIONS_BYTES: usize = 256 * 1024;

/// Checks the metadata of a new object. The name has been generated and the namespace filled in before.
pub fn validate_metadata_create(object: &Value, namespaced: bool, rule: NameRule, errors: &mut Errors) {
    let path = Path::root("metadata");
    let metadata = object.get("metadata").unwrap_or(&Value::Null);
    let generate_name = metadata.text("generateName");
    if !generate_name.is_empty() {
        errors.all_invalid(&path.child("generateName"), generate_name, rule.messages(generate_name, true));
    }
    let name = metadata.text("name");
    if name.is_empty() {
        errors.required(path.child("name"), "name or generateName is required");
    } else {
        errors.all_invalid(&path.child("name"), name, rule.messages(name, false));
    }
    namespace(metadata, namespaced, &path, errors);
    errors.not_negative(&path.child("generation"), metadata.number("generation"));
    common(metadata, &path, errors);
    finalizers(metadata, &path.child("finalizers"), errors);
}

/// Checks the metadata of a changed object against that of the stored one.
///
/// The API makes these checks twice in an update, after it has checked the metadata by itself as
/// [`validate_metadata_create`] does with [`NameRule::PathSegment`]; each mistake stands as often among
/// the causes. Who handles updates calls these functions so.
pub fn validate_metadata_update(new: &Value, old: &Value, errors: &mut Errors) {
    let path = Path::root("metadata");
    let empty = Value::Null;
    let new = new.get("metadata").unwrap_or(&empty);
    let old = old.get("metadata").unwrap_or(&empty);
    if old.has("deletionTimestamp") {
        no_new_finalizers(new, old, &path, errors);
    }
    if new.text("resourceVersion").is_empty() {
        errors.invalid(path.child("resourceVersion"), "", "must be specified for an update");
    }
    if new.number("generation") < old.number("generation") {
        errors.invalid(path.child("generation"), new.number("generation"), "must not be decremented");
    }
    let immutable =
        ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"];
    for field in immutable {
        immutable_field(new, old, field, &path.child(field), errors);
    }
    common(new, &path, errors);
}

/// Reports a field that differs from what it was.
pub(crate) fn immutable_field(new: &Value, old: &Value, field: &str, path: &Path<'_>, errors: &mut Errors) {
    let (new, old) = (new.at(field), old.at(field));
    if new != old {
        let shown = new.cloned().unwrap_or_else(|| match old {
            Some(Value::String(_)) => "".into(),
            _ => Value::Null,
        });
        errors.invalid(path, shown, names::IMMUTABLE);
    }
}

fn namespace(metadata: &Value, namespaced: bool, path: &Path<'_>, errors: &mut Errors) {
    let namespace = metadata.text("namespace");
    let path = path.child("namespace");
    match (namespaced, namespace) {
        (true, "") => errors.required(path, ""),
        (true, name) => errors.all_invalid(&path, name, names::dns_label(name)),
        (false, "") => {}
        (false, _) => errors.forbidden(path, "not allowed on this type"),
    }
}

fn common(metadata: &Value, path: &Path<'_>, errors: &mut Errors) {
    selector::labels(metadata.at("labels"), &path.child("labels"), errors);
    annotations(metadata.at("annotations"), &path.child("annotations"), errors);
    owner_references(metadata, &path.child("ownerReferences"), errors);
}

/// Checks the keys of annotations and their size.
pub(crate) fn annotations(annotations: Option<&Value>, path: &Path<'_>, errors: &mut Errors) {
    let Some(Value::Object(annotations)) = annotations else { return };
    let mut bytes = 0;
    for (key, value) in annotations {
        errors.all_invalid(path, key, names::qualified_name(&key.to_lowercase()));
        bytes += key.len() + value.as_str().map_or(0, str::len);
    }
    if bytes > ANNOTATIONS_BYTES {
        errors.push(crate::status::FieldError::too_long(path, ANNOTATIONS_BYTES));
    }
}

fn owner_references(metadata: &Value, path: &Path<'_>, errors: &mut Errors) {
    let mut controller: Option<String> = None;
    let references = metadata.items("ownerReferences");
    for owner in references {
        owner_reference(owner, path, errors);
        if !owner.flag("controller") {
            continue;
        }
        let name = format!("{}/{}", owner.text("kind"), owner.text("name"));
        match &controller {
            // Each shows the whole list.
            Some(_) if errors.is_full() => return,
            Some(first) => {
                let message = format!(
                    "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {name}"
                );
                errors.invalid(path, references.to_vec(), &message);
            }
            None => controller = Some(name),
        }
    }
}

fn owner_reference(owner: &Value, path: &Path<'_>, errors: &mut Errors) {
    if owner.text("apiVersion").rsplit('/').next().is_none_or(str::is_empty) {
        errors.invalid(path.child("apiVersion"), owner.text("apiVersion"), "version must not be empty");
    }
    for field in ["kind", "name", "uid"] {
        if owner.text(field).is_empty() {
            errors.invalid(path.child(field), "", "must not be empty");
        }
    }
    if owner.text("kind") == "Event" && owner.text("apiVersion") == "v1" {
        errors.invalid(path, owner.clone(), "/v1, Kind=Event is disallowed from being an owner");
    }
}

fn finalizers(metadata: &Value, path: &Path<'_>, errors: &mut Errors) {
    let finalizers = metadata.items("finalizers");
    for finalizer in finalizers.iter().filter_map(Value::as_str) {
        errors.all_invalid(path, finalizer, names::qualified_name(finalizer));
    }
    let has = |name: &str| finalizers.iter().any(|finalizer| finalizer == name);
    if has("orphan") && has("foregroundDeletion") {
        let message = "finalizer orphan and foregroundDeletion cannot be both set";
        errors.invalid(path, finalizers.to_vec(), message);
    }
}

/// Checks that finalizers are qualified or standard ones.
pub(crate) fn finalizer_names(object: &Value, errors: &mut Errors) {
    let path = Path::root("metadata.finalizers");
    let finalizers = object.items("metadata.finalizers").iter().filter_map(Value::as_str);
    for (index, name) in finalizers.enumerate() {
        if !name.contains('/') && !["kubernetes", "orphan", "foregroundDeletion"].contains(&name) {
            let message = "name is neither a standard finalizer name nor is it fully qualified";
            errors.invalid(path.index(index), name, message);
        }
    }
}

fn no_new_finalizers(new: &Value, old: &Value, path: &Path<'_>, errors: &mut Errors) {
    let old: HashSet<&str> = old.items("finalizers").iter().filter_map(Value::as_str).collect();
    let new = new.items("finalizers").iter().filter_map(Value::as_str);
    let mut added: Vec<&str> = new.filter(|name| !old.contains(name)).collect();
    if added.is_empty() {
        return;
    }
    added.sort_unstable();
    added.dedup();
    let names: Vec<String> = added.iter().map(|name| format!("{name:?}")).collect();
    let message = format!(
        "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
        names.join(", ")
    );
    errors.forbidden(path.child("finalizers"), &message);
}

/// The messages for a name that must be a subdomain, such as that of a service account.
pub(crate) fn subdomain(name: &str) -> Messages {
    names::dns_subdomain(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(metadata: Value, namespaced: bool, expected: &[&str]) {
        let mut errors = Vec::new();
        let object = json!({"metadata": metadata});
        validate_metadata_create(&object, namespaced, NameRule::Subdomain, &mut errors);
        let fields: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(fields, expected, "{object}");
    }

    #[test]
    fn metadata_of_new_objects_is_checked() {
        check(json!({"name": "a", "namespace": "n"}), true, &[]);
        check(json!({"name": "a", "namespace": "n"}), false, &["metadata.namespace"]);
        check(json!({"name": "a"}), true, &["metadata.namespace"]);
        check(json!({}), false, &["metadata.name"]);
        check(json!({"name": "A"}), false, &["metadata.name"]);
        check(json!({"generateName": "a-", "name": "a-x"}), false, &[]);
        check(json!({"name": "a", "labels": {"a b": "x"}}), false, &["metadata.labels"]);
        check(json!({"name": "a", "annotations": {"A/B": "any text"}}), false, &[]);
        check(
            json!({"name": "a", "annotations": {"a": "x".repeat(262_145)}}),
            false,
            &["metadata.annotations"],
        );
        check(json!({"name": "a", "finalizers": ["a/b/c"]}), false, &["metadata.finalizers"]);
        let owner = json!({"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u", "controller": true});
        check(json!({"name": "a", "ownerReferences": [owner]}), false, &[]);
        check(json!({"name": "a", "ownerReferences": [owner, owner]}), false, &["metadata.ownerReferences"]);
    }

    #[test]
    fn what_identifies_an_object_stays() {
        let old = json!({"metadata": {"name": "a", "uid": "u", "resourceVersion": "1", "generation": 2}});
        let check = |field: &str, value: Value, is_valid: bool| {
            let mut new = old.clone();
            new["metadata"][field] = value;
            let mut errors = Vec::new();
            validate_metadata_update(&new, &old, &mut errors);
            assert_eq!(errors.is_empty(), is_valid, "{field}: {errors:?}");
        };
        check("labels", json!({"a": "b"}), true);
        check("uid", json!("v"), false);
        check("name", json!("b"), false);
        check("generation", json!(1), false);
        check("resourceVersion", Value::Null, false);
    }
}
