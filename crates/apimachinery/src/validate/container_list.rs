//! The three lists of containers of a pod.

use std::collections::HashSet;

use everynode_model::Value;
use everynode_model::access::Read;

use super::container::{self, Pod};
use super::{Errors, Path, Report, probe};

/// Checks the ordinary containers.
pub(crate) fn containers(list: &[Value], pod: &Pod<'_>, path: &Path<'_>, errors: &mut Errors) {
    if list.is_empty() {
        return errors.required(path, "");
    }
    let mut known = HashSet::new();
    for (index, container) in list.iter().enumerate() {
        let path = path.index(index);
        container::common(container, pod, &path, errors);
        if !known.insert(container.text("name")) {
            errors.duplicate(path.child("name"), container.text("name"));
        }
        hooks_and_probes(container, pod, &path, errors);
        container::restart_policy(container, &path, errors);
    }
    container::host_ports(list, path, errors);
}

fn names(list: &[Value]) -> HashSet<&str> {
    list.iter().map(|container| container.text("name")).collect()
}

fn hooks_and_probes(container: &Value, pod: &Pod<'_>, path: &Path<'_>, errors: &mut Errors) {
    if let Some(lifecycle) = container.at("lifecycle") {
        probe::lifecycle(lifecycle, pod.grace_seconds, pod.os, &path.child("lifecycle"), errors);
    }
    probe::probes(container, pod.grace_seconds, path, errors);
}

/// Checks the init containers. Their names differ from those of the ordinary ones.
pub(crate) fn init_containers(
    list: &[Value],
    ordinary: &[Value],
    pod: &Pod<'_>,
    path: &Path<'_>,
    errors: &mut Errors,
) {
    let ordinary = names(ordinary);
    let mut known = HashSet::new();
    for (index, container) in list.iter().enumerate() {
        let item = path.index(index);
        let name = container.text("name");
        let is_known = !known.insert(name) && !name.is_empty();
        container::common(container, pod, &item, errors);
        container::restart_policy(container, &item, errors);
        if is_known || ordinary.contains(name) {
            errors.duplicate(item.child("name"), name);
        }
        container::host_ports(&list[index..=index], path, errors);
        if container.text("restartPolicy") == "Always" {
            hooks_and_probes(container, pod, &item, errors);
            continue;
        }
        for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
            if container.has(field) {
                let message = "may not be set for init containers without restartPolicy=Always";
                errors.forbidden(item.child(field), message);
            }
        }
    }
}

/// Checks the ephemeral containers.
pub(crate) fn ephemeral_containers(
    list: &[Value],
    others: [&[Value]; 2],
    pod: &Pod<'_>,
    path: &Path<'_>,
    errors: &mut Errors,
) {
    const NOT_ALLOWED: &[&str] =
        &["lifecycle", "livenessProbe", "ports", "readinessProbe", "resizePolicy", "startupProbe"];
    let others = others.map(names);
    let mut known = HashSet::new();
    for (index, container) in list.iter().enumerate() {
        let path = path.index(index);
        container::common(container, pod, &path, errors);
        let in_others = |name: &str| others.iter().any(|names| names.contains(name));
        let name = container.text("name");
        if !known.insert(name) || in_others(name) {
            errors.duplicate(path.child("name"), name);
        }
        let target = container.text("targetContainerName");
        if !target.is_empty() && !in_others(target) {
            errors.not_found(path.child("targetContainerName"), target);
        }
        for field in NOT_ALLOWED {
            if container.has(field) {
                errors.forbidden(path.child(field), "cannot be set for an Ephemeral Container");
            }
        }
    }
}
