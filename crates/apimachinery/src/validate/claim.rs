//! Claims of persistent volumes that a pod brings along.

use everynode_model::access::Read;
use everynode_model::quantity::Quantity;
use everynode_model::{Value, names};

use super::{Errors, Path, Report, meta, selector};

const ACCESS_MODES: &[&str] = &["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];

/// What a template may say about the claim's metadata.
const METADATA: &[&str] = &["annotations", "labels"];

/// Checks the template of a claim.
pub(crate) fn template(template: &Value, path: &Path<'_>, errors: &mut Errors) {
    let metadata_path = path.child("metadata");
    let metadata = template.get("metadata").unwrap_or(&Value::Null);
    meta::annotations(metadata.at("annotations"), &metadata_path.child("annotations"), errors);
    selector::labels(metadata.at("labels"), &metadata_path.child("labels"), errors);
    for (field, _) in template.entries("metadata").filter(|(field, _)| !METADATA.contains(field)) {
        errors.forbidden(metadata_path.child(field), "cannot be set");
    }
    spec(template.get("spec").unwrap_or(&Value::Null), &path.child("spec"), errors);
}

fn spec(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    access_modes(spec.items("accessModes"), &path.child("accessModes"), errors);
    if let Some(selected) = spec.at("selector") {
        selector::label_selector(Some(selected), false, &path.child("selector"), errors);
    }
    let resources = path.child("resources");
    match spec.at("resources.requests.storage").and_then(Value::as_str) {
        None => errors.required(resources.key("storage"), ""),
        Some(text) => {
            let quantity = Quantity::parse(text).ok();
            if let Some(quantity) = quantity.filter(|quantity| quantity.is_negative() || quantity.is_zero()) {
                errors.invalid(resources.key("storage"), quantity.to_string(), "must be greater than zero");
            }
        }
    }
    for field in ["storageClassName", "volumeAttributesClassName"] {
        let name = spec.text(field);
        if !name.is_empty() {
            errors.all_invalid(&path.child(field), name, names::dns_subdomain(name));
        }
    }
    let mode = spec.text("volumeMode");
    if spec.has("volumeMode") && !["Block", "Filesystem"].contains(&mode) {
        errors.not_supported(path.child("volumeMode"), mode, &["Block", "Filesystem"]);
    }
    for field in ["dataSource", "dataSourceRef"] {
        if let Some(source) = spec.at(field) {
            data_source(source, &path.child(field), errors);
        }
    }
}

fn access_modes(modes: &[Value], path: &Path<'_>, errors: &mut Errors) {
    if modes.is_empty() {
        errors.required(path, "at least 1 access mode is required");
    }
    let modes: Vec<&str> = modes.iter().filter_map(Value::as_str).collect();
    for mode in modes.iter().filter(|mode| !ACCESS_MODES.contains(mode)) {
        errors.not_supported(path, *mode, ACCESS_MODES);
    }
    let only = "ReadWriteOncePod";
    if modes.contains(&only) && modes.iter().any(|mode| *mode != only && ACCESS_MODES.contains(mode)) {
        errors.forbidden(path, "may not use ReadWriteOncePod with other access modes");
    }
}

fn data_source(source: &Value, path: &Path<'_>, errors: &mut Errors) {
    for field in ["name", "kind"] {
        if source.text(field).is_empty() {
            errors.required(path.child(field), "");
        }
    }
    let (group, kind) = (source.text("apiGroup"), source.text("kind"));
    if group.is_empty() && kind != "PersistentVolumeClaim" {
        let message = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
        errors.invalid(path, kind, message);
    }
    if !group.is_empty() {
        errors.all_invalid(&path.child("apiGroup"), group, names::dns_subdomain(group));
    }
}
