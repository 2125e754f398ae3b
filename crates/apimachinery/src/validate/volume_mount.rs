//! Mounts and block devices of a container.

use std::collections::{HashMap, HashSet};

use everynode_model::Value;
use everynode_model::access::Read;

use super::{Errors, Path, Report, volume};

/// Checks `volumeMounts` and `volumeDevices` of a container against the pod's volumes.
pub(crate) fn mounts(
    container: &Value,
    volumes: &HashMap<&str, &Value>,
    path: &Path<'_>,
    errors: &mut Errors,
) {
    let devices = container.items("volumeDevices");
    let mounts = container.items("volumeMounts");
    let list = path.child("volumeMounts");
    let places = (texts(devices, "name"), texts(devices, "devicePath"));
    let mut before = HashSet::new();
    for (index, mount) in mounts.iter().enumerate() {
        let path = list.index(index);
        let is_unique = before.insert(mount.text("mountPath"));
        place(mount, is_unique, volumes, &path, errors);
        not_also_a_device(mount, &places, &path, errors);
        // The API reports these under the list, not under its element.
        sub_paths(mount, &list, &path, errors);
        propagation(mount, container, &list.child("mountPropagation"), errors);
        recursive_read_only(mount, &list.child("recursiveReadOnly"), errors);
    }
    let list = path.child("volumeDevices");
    let places = (texts(mounts, "name"), texts(mounts, "mountPath"));
    let (mut names, mut paths) = (HashSet::new(), HashSet::new());
    for (index, device) in devices.iter().enumerate() {
        let is_unique = (names.insert(device.text("name")), paths.insert(device.text("devicePath")));
        self::device(device, is_unique, &places, volumes, &list.index(index), errors);
    }
}

/// Names and paths that are taken.
type Places<'a> = (HashSet<&'a str>, HashSet<&'a str>);

fn texts<'a>(list: &'a [Value], field: &str) -> HashSet<&'a str> {
    list.iter().map(|one| one.text(field)).collect()
}

fn place(
    mount: &Value,
    is_unique: bool,
    volumes: &HashMap<&str, &Value>,
    path: &Path<'_>,
    errors: &mut Errors,
) {
    let (name, target) = (mount.text("name"), mount.text("mountPath"));
    if name.is_empty() {
        errors.required(path.child("name"), "");
    }
    if !volumes.contains_key(name) {
        errors.not_found(path.child("name"), name);
    }
    if target.is_empty() {
        errors.required(path.child("mountPath"), "");
    }
    if !is_unique {
        errors.invalid(path.child("mountPath"), target, "must be unique");
    }
}

fn not_also_a_device(mount: &Value, (names, paths): &Places<'_>, path: &Path<'_>, errors: &mut Errors) {
    let (name, target) = (mount.text("name"), mount.text("mountPath"));
    if names.contains(name) {
        errors.invalid(path.child("name"), name, "must not already exist in volumeDevices");
    }
    if paths.contains(target) {
        let message = "must not already exist as a path in volumeDevices";
        errors.invalid(path.child("mountPath"), target, message);
    }
}

fn sub_paths(mount: &Value, list: &Path<'_>, path: &Path<'_>, errors: &mut Errors) {
    let (plain, expression) = (mount.text("subPath"), mount.text("subPathExpr"));
    if !plain.is_empty() {
        volume::descending(plain, &list.child("subPath"), errors);
    }
    if !expression.is_empty() {
        if !plain.is_empty() {
            let message = "subPathExpr and subPath are mutually exclusive";
            errors.invalid(path.child("subPathExpr"), expression, message);
        }
        volume::descending(expression, &list.child("subPathExpr"), errors);
    }
}

fn propagation(mount: &Value, container: &Value, path: &Path<'_>, errors: &mut Errors) {
    let Some(mode) = mount.at("mountPropagation").and_then(Value::as_str) else { return };
    let supported = &["Bidirectional", "HostToContainer", "None"];
    if !supported.contains(&mode) {
        errors.not_supported(path, mode, supported);
    }
    if mode == "Bidirectional" && !container.flag("securityContext.privileged") {
        let message = "Bidirectional mount propagation is available only to privileged containers";
        errors.forbidden(path, message);
    }
}

fn recursive_read_only(mount: &Value, path: &Path<'_>, errors: &mut Errors) {
    match mount.text("recursiveReadOnly") {
        "" | "Disabled" => {}
        "Enabled" | "IfPossible" => {
            if !mount.flag("readOnly") {
                errors.forbidden(path, "may only be specified when readOnly is true");
            }
            if !matches!(mount.text("mountPropagation"), "" | "None") {
                let message = "may only be specified when mountPropagation is None or not specified";
                errors.forbidden(path, message);
            }
        }
        other => errors.not_supported(path, other, &["Disabled", "Enabled", "IfPossible"]),
    }
}

fn device(
    device: &Value,
    is_unique: (bool, bool),
    (names, paths): &Places<'_>,
    volumes: &HashMap<&str, &Value>,
    path: &Path<'_>,
    errors: &mut Errors,
) {
    let (name, target) = (device.text("name"), device.text("devicePath"));
    let (name_path, target_path) = (path.child("name"), path.child("devicePath"));
    if name.is_empty() {
        errors.required(name_path, "");
    }
    if !is_unique.0 {
        errors.invalid(name_path, name, "must be unique");
    }
    match volumes.get(name) {
        Some(volume) if !volume.has("persistentVolumeClaim") && !volume.has("ephemeral") => {
            let message =
                "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
            errors.invalid(name_path, name, message);
        }
        Some(_) => {}
        None => errors.not_found(name_path, name),
    }
    if target.is_empty() {
        errors.required(target_path, "");
    }
    if !is_unique.1 {
        errors.invalid(target_path, target, "must be unique");
    }
    if volume::climbs(target) {
        errors.invalid(target_path, target, "can not contain backsteps ('..')");
    }
    if names.contains(name) {
        errors.invalid(name_path, name, "must not already exist in volumeMounts");
    }
    if paths.contains(target) {
        let message = "must not already exist as a path in volumeMounts";
        errors.invalid(target_path, target, message);
    }
}
