//! Environment variables and what they refer to.

use everynode_model::access::Read;
use everynode_model::{Value, names};

use super::{Errors, Path, Report, resource_list, volume};

/// Fields of a pod that a variable may be filled from.
const ENV_FIELDS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// Fields of a pod that a file of a downward API volume may be filled from.
pub(crate) const FILE_FIELDS: &[&str] =
    &["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];

/// Fields of a pod that have a name in the downward API at all.
const KNOWN_FIELDS: &[&str] = &[
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.serviceAccountName",
    "spec.schedulerName",
    "status.phase",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// Checks the list `env`.
pub(crate) fn variables(list: &[Value], path: &Path<'_>, errors: &mut Errors) {
    for (index, variable) in list.iter().enumerate() {
        let path = path.index(index);
        let name = variable.text("name");
        if name.is_empty() {
            errors.required(path.child("name"), "");
        } else {
            errors.all_invalid(&path.child("name"), name, names::env_name(name));
        }
        if let Some(source) = variable.at("valueFrom") {
            value_from(source, variable.text("value"), &path.child("valueFrom"), errors);
        }
    }
}

fn value_from(source: &Value, value: &str, path: &Path<'_>, errors: &mut Errors) {
    let mut sources = 0;
    if let Some(field) = source.at("fieldRef") {
        sources += 1;
        field_ref(field, ENV_FIELDS, &path.child("fieldRef"), errors);
    }
    if let Some(resource) = source.at("resourceFieldRef") {
        sources += 1;
        resource_list::field_ref(resource, false, &path.child("resourceFieldRef"), errors);
    }
    for kind in ["configMapKeyRef", "secretKeyRef"] {
        if let Some(key) = source.at(kind) {
            sources += 1;
            key_ref(key, &path.child(kind), errors);
        }
    }
    if let Some(file) = source.at("fileKeyRef") {
        sources += 1;
        file_ref(file, &path.child("fileKeyRef"), errors);
    }
    if sources == 0 {
        let message = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
        errors.invalid(path, "", message);
    } else if !value.is_empty() {
        errors.invalid(path, "", "may not be specified when `value` is not empty");
    } else if sources > 1 {
        errors.invalid(path, "", "may not have more than one field specified at a time");
    }
}

/// Checks a reference to a field of the pod.
pub(crate) fn field_ref(field: &Value, allowed: &[&str], path: &Path<'_>, errors: &mut Errors) {
    let (version, name) = (field.text("apiVersion"), field.text("fieldPath"));
    if version.is_empty() {
        return errors.required(path.child("apiVersion"), "");
    }
    if name.is_empty() {
        return errors.required(path.child("fieldPath"), "");
    }
    let subscript = name.strip_suffix("']").and_then(|name| name.split_once("['"));
    if let Err(why) = known_field(version, name, subscript.map(|(field, _)| field)) {
        let message = format!("error converting fieldPath: {why}");
        return errors.invalid(path.child("fieldPath"), name, &message);
    }
    match subscript {
        Some(("metadata.annotations", key)) => {
            let key = key.to_lowercase();
            errors.all_invalid(path, &key, names::qualified_name(&key));
        }
        Some((_, key)) => errors.all_invalid(path, key, names::qualified_name(key)),
        None if allowed.contains(&name) || name == "spec.host" => {}
        None => errors.not_supported(path.child("fieldPath"), name, allowed),
    }
}

fn known_field(version: &str, name: &str, subscripted: Option<&str>) -> Result<(), String> {
    if version != "v1" {
        return Err(format!("unsupported pod version: {version}"));
    }
    match subscripted {
        Some("metadata.annotations" | "metadata.labels") => Ok(()),
        Some(_) => Err(format!("field label does not support subscript: {name}")),
        None if KNOWN_FIELDS.contains(&name) || name == "spec.host" => Ok(()),
        None => Err(format!("field label not supported: {name}")),
    }
}

/// Checks a reference to a key of a config map or secret.
fn key_ref(key: &Value, path: &Path<'_>, errors: &mut Errors) {
    let name = key.text("name");
    errors.all_invalid(&path.child("name"), name, names::dns_subdomain(name));
    let key = key.text("key");
    if key.is_empty() {
        errors.required(path.child("key"), "");
    } else {
        errors.all_invalid(&path.child("key"), key, names::config_key(key));
    }
}

/// Checks a reference to a variable in a file of a volume.
fn file_ref(file: &Value, path: &Path<'_>, errors: &mut Errors) {
    let (key, volume, target) = (file.text("key"), file.text("volumeName"), file.text("path"));
    match key {
        "" => errors.required(path.child("key"), ""),
        key => errors.all_invalid(&path.child("key"), key, names::env_name(key)),
    }
    match volume {
        "" => errors.required(path.child("volumeName"), ""),
        name => errors.all_invalid(&path.child("volumeName"), name, names::dns_label(name)),
    }
    match target {
        "" => errors.required(path.child("path"), ""),
        target => volume::no_backsteps(target, &path.child("path"), errors),
    }
}

/// Checks the list `envFrom`.
pub(crate) fn sources(list: &[Value], path: &Path<'_>, errors: &mut Errors) {
    for (index, source) in list.iter().enumerate() {
        let item = path.index(index);
        let prefix = source.text("prefix");
        if !prefix.is_empty() {
            errors.all_invalid(&item.child("prefix"), prefix, names::env_name(prefix));
        }
        let mut count = 0;
        for kind in ["configMapRef", "secretRef"] {
            let Some(reference) = source.at(kind) else { continue };
            count += 1;
            let from = item.child(kind);
            named(reference.text("name"), &from.child("name"), errors);
        }
        match count {
            0 => errors.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"),
            1 => {}
            _ => errors.invalid(path, "", "may not have more than one field specified at a time"),
        }
    }
}

/// Checks the name of an object that is referred to.
fn named(name: &str, path: &Path<'_>, errors: &mut Errors) {
    if name.is_empty() {
        errors.required(path, "");
    } else {
        errors.all_invalid(path, name, names::NameRule::Subdomain.messages(name, true));
    }
}
