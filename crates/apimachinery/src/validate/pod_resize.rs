//! What the resize subresource may change in a pod: how much cpu and memory its containers ask for and may use.

use everynode_model::Value;
use everynode_model::access::{Fill, Read};
use everynode_model::pod_resources::Side;

use super::{Errors, Path, Report};

const LISTS: [&str; 2] = ["containers", "initContainers"];
/// What a container has that a request for a resize may name.
const FIELDS: [&str; 2] = ["resources", "resizePolicy"];

/// The pod of before with the resources that are asked for now. Where the containers are not the same ones, the whole
/// spec is taken, so that the check names them.
pub(crate) fn resized(new: &Value, old: &Value) -> Value {
    let mut resized = old.clone();
    let names = |pod: &Value, list: &str| -> Vec<String> {
        let containers = pod.items(&format!("spec.{list}")).iter();
        containers.map(|container| container.text("name").to_owned()).collect()
    };
    if LISTS.iter().any(|list| names(new, list) != names(old, list)) {
        resized.put("spec", new.get("spec").cloned().unwrap_or_default());
        return resized;
    }
    for list in LISTS.map(|list| format!("spec.{list}")) {
        for (container, asked) in resized.items_mut(&list).iter_mut().zip(new.items(&list)) {
            FIELDS.iter().for_each(|field| take(container, asked, field));
        }
    }
    if let Some(spec) = resized.get_mut("spec") {
        take(spec, new.get("spec").unwrap_or(&Value::Null), "resources");
    }
    resized
}

fn take(into: &mut Value, from: &Value, field: &str) {
    match from.get(field) {
        Some(value) => into.put(field, value.clone()),
        None => drop(into.take_out(field)),
    }
}

/// Checks a resized pod against the one of before.
pub(crate) fn check(new: &Value, old: &Value, errors: &mut Errors) {
    let path = Path::root("spec");
    let mirror = "kubernetes.io/config.mirror";
    let refused = if old.entries("metadata.annotations").any(|(key, _)| key == mirror) {
        Some("static pods cannot be resized")
    } else if old.text("spec.os.name") == "windows" {
        Some("windows pods cannot be resized")
    } else {
        None
    };
    if let Some(message) = refused {
        errors.clear();
        return errors.forbidden("", message);
    }
    if !node_can(old) {
        errors.forbidden(path, "Pod running on node without support for resize");
    }
    if [new, old].iter().any(|pod| pod.has("spec.resources")) {
        return errors.forbidden(path.child("resources"), "pods with pod-level resources cannot be resized");
    }
    if !same_containers(new, old, &path, errors) {
        return;
    }
    for list in LISTS {
        let (list_path, field) = (path.child(list), format!("spec.{list}"));
        for (index, (container, before)) in new.items(&field).iter().zip(old.items(&field)).enumerate() {
            let is_of_init = list == "initContainers" && container.text("restartPolicy") != "Always";
            if is_of_init && container != before {
                errors.forbidden(path, "resources for non-sidecar init containers are immutable");
            } else {
                container_resources(container, before, &list_path.index(index), errors);
            }
        }
    }
}

/// The node says what containers have that run, which those do that can change it.
fn node_can(pod: &Value) -> bool {
    let mut running = pod.items("status.containerStatuses").iter().filter(|one| one.has("state.running"));
    running.next().is_none_or(|status| status.has("resources"))
}

fn same_containers(new: &Value, old: &Value, path: &Path<'_>, errors: &mut Errors) -> bool {
    let count = errors.len();
    for list in LISTS {
        let (list_path, field) = (path.child(list), format!("spec.{list}"));
        let (after, before) = (new.items(&field), old.items(&field));
        if after.len() != before.len() {
            errors.forbidden(list_path, &format!("{list} may not be added or removed on resize"));
            continue;
        }
        for (index, _) in
            after.iter().zip(before).enumerate().filter(|(_, (a, b))| a.text("name") != b.text("name"))
        {
            let message = format!("{list} may not be renamed or reordered on resize");
            errors.forbidden(list_path.index(index).child("name"), &message);
        }
    }
    errors.len() == count
}

/// Amounts of cpu and memory may change, and be added; nothing else may, and nothing be taken away.
fn container_resources(new: &Value, old: &Value, path: &Path<'_>, errors: &mut Errors) {
    let resources = path.child("resources");
    for side in [Side::Requests, Side::Limits] {
        let after = side.of(new);
        if side.of(old).keys().any(|name| !after.contains_key(name)) {
            let message = format!("resource {} cannot be removed", side.field());
            errors.forbidden(resources.child(side.field()), &message);
        }
    }
    let others = |container: &Value| {
        let mut container = container.clone();
        for list in ["resources.requests", "resources.limits"] {
            if let Some(amounts) = container.at_mut(list) {
                ["cpu", "memory"].iter().for_each(|name| drop(amounts.take_out(name)));
            }
        }
        container
    };
    if normal(others(new)) != normal(others(old)) {
        errors.forbidden(Path::root("spec"), "only cpu and memory resources are mutable");
    }
}

/// Lists of which nothing is left are as none.
fn normal(mut container: Value) -> Value {
    if let Some(resources) = container.get_mut("resources") {
        for side in [Side::Requests, Side::Limits] {
            if !resources.has(side.field()) || resources.entries(side.field()).next().is_none() {
                resources.take_out(side.field());
            }
        }
        if resources.as_object().is_some_and(everynode_model::Object::is_empty) {
            container.take_out("resources");
        }
    }
    container
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod() -> Value {
        let small =
            json!({"requests": {"cpu": "100m", "memory": "10Mi"}, "limits": {"memory": "20Mi", "x/y": "1"}});
        json!({
            "metadata": {"name": "p"},
            "spec": {
                "initContainers": [
                    {"name": "first", "resources": small},
                    {"name": "beside", "restartPolicy": "Always", "resources": small},
                ],
                "containers": [{"name": "main", "image": "i", "resources": small}],
            },
            "status": {"containerStatuses": [{"name": "main", "state": {"running": {}}, "resources": {}}]},
        })
    }

    /// Changes a pod by a resize, and compares what is refused.
    fn check(prepare: fn(&mut Value), change: fn(&mut Value), expected: &[&str]) {
        let mut old = pod();
        prepare(&mut old);
        let mut asked = old.clone();
        change(&mut asked["spec"]);
        let mut errors = Errors::new();
        super::check(&resized(&asked, &old), &old, &mut errors);
        let found: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(found, expected, "{asked}");
    }

    #[test]
    fn only_cpu_and_memory_of_what_goes_on_running_may_change() {
        let as_it_is = |_: &mut Value| {};
        let only = "spec: Forbidden: only cpu and memory resources are mutable";
        check(as_it_is, as_it_is, &[]);
        check(as_it_is, |spec| spec["containers"][0]["resources"]["requests"]["cpu"] = "2".into(), &[]);
        check(as_it_is, |spec| spec["containers"][0]["resources"]["limits"]["cpu"] = "2".into(), &[]);
        check(
            as_it_is,
            |spec| spec["initContainers"][1]["resources"]["limits"]["memory"] = "1Gi".into(),
            &[],
        );
        check(as_it_is, |spec| spec["containers"][0]["image"] = "other".into(), &[]);
        check(as_it_is, |spec| spec["containers"][0]["resources"]["limits"]["x/y"] = "2".into(), &[only]);
        check(
            as_it_is,
            |spec| spec["initContainers"][0]["resources"]["requests"]["cpu"] = "2".into(),
            &["spec: Forbidden: resources for non-sidecar init containers are immutable"],
        );
        check(
            as_it_is,
            |spec| drop(spec["containers"][0]["resources"]["limits"].take_out("memory")),
            &["spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed"],
        );
        check(
            as_it_is,
            |spec| spec["containers"][0]["name"] = "renamed".into(),
            &["spec.containers[0].name: Forbidden: containers may not be renamed or reordered on resize"],
        );
        check(
            as_it_is,
            |spec| spec["containers"] = json!([]),
            &["spec.containers: Forbidden: containers may not be added or removed on resize"],
        );
    }

    #[test]
    fn a_pod_that_its_node_cannot_resize_is_refused() {
        let grow = |spec: &mut Value| spec["containers"][0]["resources"]["requests"]["cpu"] = "2".into();
        check(
            |pod| pod["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"}),
            grow,
            &[": Forbidden: static pods cannot be resized"],
        );
        check(
            |pod| pod["spec"]["os"] = json!({"name": "windows"}),
            grow,
            &[": Forbidden: windows pods cannot be resized"],
        );
        check(
            |pod| drop(pod["status"]["containerStatuses"][0].take_out("resources")),
            grow,
            &["spec: Forbidden: Pod running on node without support for resize"],
        );
        check(
            |pod| pod["spec"]["resources"] = json!({"requests": {"cpu": "1"}}),
            grow,
            &["spec.resources: Forbidden: pods with pod-level resources cannot be resized"],
        );
    }
}
