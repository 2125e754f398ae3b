//! Pods.

use std::collections::BTreeMap;

use everynode_model::access::{Fill, Read};
use everynode_model::quantity::Quantity;
use everynode_model::{Object, Value, names};
use serde_json::json;

use super::row::{PROXY, ROW, Row, status};
use super::{gated, print, spread_keys};
use crate::defaults;
use crate::resource::{READ_WRITE, Subresource};
use crate::rules::{Column, Rules, strategy};
use crate::validate::{
    Errors, Path, Report, meta, pod_ephemeral, pod_resize, pod_spec, pod_update, warnings,
};

pub(super) const RESOURCES: &[Row] = &[Row {
    kind: "Pod",
    plural: "pods",
    singular: "pod",
    short_names: &["po"],
    categories: &["all"],
    subresources: &[
        Subresource::new("attach", "PodAttachOptions", &["create", "get"]),
        Subresource::new("binding", "Binding", &["create"]),
        Subresource::new("ephemeralcontainers", "Pod", READ_WRITE),
        Subresource {
            name: "eviction",
            kind: "Eviction",
            group: "policy",
            version: "v1",
            verbs: &["create"],
        },
        Subresource::new("exec", "PodExecOptions", &["create", "get"]),
        Subresource::new("log", "Pod", &["get"]),
        Subresource::new("portforward", "PodPortForwardOptions", &["create", "get"]),
        Subresource::new("proxy", "PodProxyOptions", PROXY),
        Subresource::new("resize", "Pod", READ_WRITE),
        status("Pod"),
    ],
    type_name: "core.v1.Pod",
    selectable_fields: &[
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.podIPs",
        "status.nominatedNodeName",
    ],
    rules: &Pod,
    ..ROW
}];

#[derive(Debug)]
struct Pod;

impl Rules for Pod {
    fn default(&self, object: &mut Value) {
        let Some(spec) = object.get_mut("spec") else { return };
        defaults::pod::pod_only(spec);
        defaults::pod::spec(spec);
    }

    fn prepare_create(&self, object: &mut Value) {
        strategy::first_generation(object);
        gated::take_out(object.get_mut("spec"), None);
        app_armor_fields(object);
        spread_keys::merge(object);
        let class = quality_of_service(object.at("spec").unwrap_or(&Value::Null));
        object.put("status", json!({"phase": "Pending", "qosClass": class}));
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        gated::take_out(new.get_mut("spec"), old.get("spec"));
        strategy::update(new, old);
    }

    fn prepare_status_update(&self, new: &mut Value, old: &Value) {
        strategy::status_update(new, old);
        keep_identity(new, old);
        keep_observed_generations(new, old);
    }

    fn prepare_resize(&self, new: &mut Value, old: &Value) {
        *new = pod_resize::resized(new, old);
        let is_changed = new.get("spec") != old.get("spec");
        strategy::raise_generation(new, old, is_changed);
    }

    fn prepare_ephemeral_containers(&self, new: &mut Value, old: &Value) {
        *new = pod_ephemeral::with_ephemeral(new, old);
        gated::take_out(new.get_mut("spec"), old.get("spec"));
        strategy::raise_generation(new, old, new.get("spec") != old.get("spec"));
    }

    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        spec(object, errors);
        let path = Path::root("spec");
        if !object.items("spec.ephemeralContainers").is_empty() {
            errors.forbidden(path.child("ephemeralContainers"), "cannot be set on create");
        }
        if object.has("spec.nodeName") && !object.items("spec.schedulingGates").is_empty() {
            let message = "cannot be set until all schedulingGates have been cleared";
            errors.forbidden(path.child("nodeName"), message);
        }
    }

    fn validate_update(&self, new: &Value, old: &Value, errors: &mut Errors) {
        spec(new, errors);
        pod_update::update(new, old, errors);
    }

    fn validate_status_update(&self, new: &Value, old: &Value, errors: &mut Errors) {
        let path = Path::root("status");
        conditions(new.items("status.conditions"), &path.child("conditions"), errors);
        let nominated = new.text("status.nominatedNodeName");
        if !nominated.is_empty() && nominated != old.text("status.nominatedNodeName") {
            let path = path.child("nominatedNodeName");
            errors.all_invalid(&path, nominated, meta::subdomain(nominated));
        }
        errors.not_negative(&path.child("observedGeneration"), new.number("status.observedGeneration"));
        meta::immutable_field(
            new.get("status").unwrap_or(&Value::Null),
            old.get("status").unwrap_or(&Value::Null),
            "qosClass",
            &path.child("qosClass"),
            errors,
        );
        addresses(new, &path, errors);
    }

    fn validate_resize(&self, new: &Value, old: &Value, errors: &mut Errors) {
        spec(new, errors);
        let empty = Value::Null;
        let class = quality_of_service(new.get("spec").unwrap_or(&empty));
        if class != old.text("status.qosClass") {
            let message = "Pod QOS Class may not change as a result of resizing";
            errors.invalid(Path::root("spec"), class, message);
        }
        pod_resize::check(new, old, errors);
    }

    fn validate_ephemeral_containers(&self, new: &Value, old: &Value, errors: &mut Errors) {
        spec(new, errors);
        pod_ephemeral::check(new, old, errors);
    }

    fn columns(&self) -> &'static [Column] {
        print::pod::COLUMNS
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        print::pod::cells(object, now)
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        if old.is_none() { warnings::pod(new) } else { Vec::new() }
    }

    fn row_conditions(&self, object: &Value) -> Option<Value> {
        print::pod::row_conditions(object)
    }
}

/// Checks metadata and spec of a new or changed pod.
fn spec(pod: &Value, errors: &mut Errors) {
    let empty = Value::Object(Object::new());
    let spec = pod.at("spec").unwrap_or(&empty);
    let metadata = pod.at("metadata").unwrap_or(&empty);
    let path = Path::root("spec");
    pod_spec::special_annotations(metadata, spec, &Path::root("metadata.annotations"), errors);
    pod_spec::spec(spec, Some(metadata.text("name")), &path, errors);
    if spec.text("serviceAccountName").is_empty() {
        no_tokens(spec.items("volumes"), &path.child("volumes"), errors);
    }
    for list in ["containers", "initContainers"] {
        let list_path = path.child(list);
        for (index, container) in spec.items(list).iter().enumerate() {
            let item = list_path.index(index);
            pod_update::trimmed(container.text("image"), &item.child("image"), errors);
        }
    }
}

/// A pod without a service account cannot have its tokens.
fn no_tokens(volumes: &[Value], path: &Path<'_>, errors: &mut Errors) {
    for (index, volume) in volumes.iter().enumerate() {
        let item = path.index(index);
        let list = item.child("projected.sources");
        for (index, source) in volume.items("projected.sources").iter().enumerate() {
            if source.has("serviceAccountToken") {
                let message = "must not be specified when serviceAccountName is not set";
                errors.forbidden(list.index(index).child("serviceAccountToken"), message);
            }
        }
    }
}

fn conditions(conditions: &[Value], path: &Path<'_>, errors: &mut Errors) {
    for (index, condition) in conditions.iter().enumerate() {
        let kind = condition.text("type");
        let path = path.index(index);
        errors.all_invalid(&path.child("Type"), kind, names::qualified_name(kind));
    }
}

/// The first of the addresses is the address.
fn addresses(pod: &Value, path: &Path<'_>, errors: &mut Errors) {
    for (one, many) in [("podIP", "podIPs"), ("hostIP", "hostIPs")] {
        let list = path.child(many);
        for (index, address) in pod.items(&format!("status.{many}")).iter().enumerate() {
            let item = list.index(index);
            pod_spec::ip(address.text("ip"), &item.child("ip"), errors);
        }
        let first = pod.items(&format!("status.{many}")).first().map(|address| address.text("ip"));
        let single = pod.text(&format!("status.{one}"));
        if first.is_some_and(|first| !single.is_empty() && first != single) {
            errors.invalid(path.child(one), single, &format!("must match the first of {many}"));
        }
    }
}

/// AppArmor profiles that an annotation names become fields, as nodes read only those.
fn app_armor_fields(pod: &mut Value) {
    let annotations = pod.at("metadata.annotations").cloned().unwrap_or_default();
    let of_pod = pod.at("spec.securityContext.appArmorProfile").cloned();
    if pod.text("spec.os.name") == "windows" || !annotations.is_object() {
        return;
    }
    for list in ["spec.initContainers", "spec.containers"] {
        for container in pod.items_mut(list) {
            let key = format!("{}{}", warnings::APP_ARMOR, container.text("name"));
            let profile = annotations.get(&key).and_then(Value::as_str).and_then(warnings::app_armor_profile);
            if container.has("securityContext.appArmorProfile") || profile.is_none() || profile == of_pod {
                continue;
            }
            if let (Some(context), Some(profile)) = (container.make("securityContext"), profile) {
                context.put("appArmorProfile", profile);
            }
        }
    }
}

/// What an update of the status may not touch besides the spec.
fn keep_identity(new: &mut Value, old: &Value) {
    if let Some(metadata) = new.get_mut("metadata") {
        for field in ["ownerReferences", "deletionTimestamp"] {
            match old.pointer("/metadata").and_then(|metadata| metadata.get(field)) {
                Some(value) => metadata.put(field, value.clone()),
                None => drop(metadata.take_out(field)),
            }
        }
    }
    if let (Some(status), Some(class)) = (new.make("status"), old.at("status.qosClass")) {
        status.fill("qosClass", class.clone());
    }
}

/// Observed generations that a client leaves out stay as they were.
fn keep_observed_generations(new: &mut Value, old: &Value) {
    let Some(status) = new.make("status") else { return };
    if let Some(generation) = old.at("status.observedGeneration") {
        status.fill("observedGeneration", generation.clone());
    }
    for condition in status.items_mut("conditions") {
        let kind = condition.text("type").to_owned();
        let before = old.items("status.conditions").iter().find(|before| before.text("type") == kind);
        if let Some(generation) = before.and_then(|before| before.at("observedGeneration")) {
            condition.fill("observedGeneration", generation.clone());
        }
    }
}

/// How the node treats the pod when memory runs short: by whether requests equal limits.
fn quality_of_service(spec: &Value) -> &'static str {
    let totals = match spec.at("resources") {
        Some(_) => Totals::of([spec].into_iter()),
        None => Totals::of(["containers", "initContainers"].iter().flat_map(|list| spec.items(list))),
    };
    if totals.requests.is_empty() && totals.limits.is_empty() {
        "BestEffort"
    } else if totals.all_limited && totals.requests == totals.limits {
        "Guaranteed"
    } else {
        "Burstable"
    }
}

/// Sums of cpu and memory, without those that are zero.
struct Totals {
    requests: BTreeMap<&'static str, Quantity>,
    limits: BTreeMap<&'static str, Quantity>,
    /// Whether each owner limits both.
    all_limited: bool,
}

impl Totals {
    fn of<'a>(owners: impl Iterator<Item = &'a Value>) -> Totals {
        let mut totals = Totals { requests: BTreeMap::new(), limits: BTreeMap::new(), all_limited: true };
        for owner in owners {
            add(&mut totals.requests, owner.at("resources.requests"));
            totals.all_limited &= add(&mut totals.limits, owner.at("resources.limits")) == 2;
        }
        totals
    }
}

/// Adds a resource list to the sums and gives the number of its amounts above zero.
fn add(sums: &mut BTreeMap<&'static str, Quantity>, list: Option<&Value>) -> usize {
    let mut found = 0;
    for name in ["cpu", "memory"] {
        let text = list.and_then(|list| list.get(name)).and_then(Value::as_str).unwrap_or_default();
        let Ok(amount) = Quantity::parse(text) else { continue };
        if amount.is_zero() || amount.is_negative() {
            continue;
        }
        found += 1;
        let sum = sums.get(name).map_or_else(|| amount.clone(), |sum| sum.add(&amount));
        sums.insert(name, sum);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quality_of_service_follows_from_requests_and_limits() {
        let check = |resources: &[Value], expected: &str| {
            let containers: Vec<Value> = resources.iter().map(|r| json!({"resources": r})).collect();
            assert_eq!(quality_of_service(&json!({"containers": containers})), expected, "{resources:?}");
        };
        let both = json!({"cpu": "1", "memory": "1Gi"});
        let full = json!({"requests": both, "limits": both});
        check(&[], "BestEffort");
        check(&[json!({})], "BestEffort");
        check(&[json!({"requests": {"cpu": "0"}})], "BestEffort");
        check(&[json!({"requests": {"cpu": "100m"}})], "Burstable");
        check(&[json!({"limits": {"nvidia.com/gpu": "1"}})], "BestEffort");
        check(std::slice::from_ref(&full), "Guaranteed");
        check(&[full.clone(), json!({})], "Burstable");
        check(&[json!({"requests": {"cpu": "1000m", "memory": "1024Mi"}, "limits": both})], "Guaranteed");
        check(&[json!({"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": both})], "Burstable");
    }

    fn pod() -> Value {
        let mut pod = json!({
            "metadata": {"name": "p", "namespace": "default", "generation": 1},
            "spec": {"containers": [{"name": "c", "image": "i:1"}]}
        });
        Pod.default(&mut pod);
        Pod.prepare_create(&mut pod);
        pod
    }

    /// Checks whether a change of a pod is allowed, by the beginning of the refusal.
    fn check(change: fn(&mut Value), expected: Option<&str>) {
        let old = pod();
        let mut new = old.clone();
        change(&mut new["spec"]);
        let mut errors = Vec::new();
        Pod.validate_update(&new, &old, &mut errors);
        let first = errors.first().map(ToString::to_string);
        match (first, expected) {
            (None, None) => {}
            (Some(error), Some(start)) if error.starts_with(start) => {}
            (error, _) => panic!("{new}: {error:?}"),
        }
    }

    #[test]
    fn a_pod_stays_as_it_is_but_for_images_and_added_tolerations() {
        check(|_| {}, None);
        check(|spec| spec["containers"][0].put("image", "i:2"), None);
        check(|spec| spec.put("tolerations", json!([{"operator": "Exists"}])), None);
        check(|spec| spec["containers"][0].put("image", " i"), Some("spec.containers[0].image: Invalid"));
        check(
            |spec| spec["containers"][0].put("command", json!(["x"])),
            Some("spec: Forbidden: pod updates"),
        );
        check(|spec| spec.put("nodeName", "n"), Some("spec: Forbidden: pod updates"));
        check(|spec| spec.put("containers", json!([])), Some("spec.containers: Required value"));
    }

    #[test]
    fn profiles_in_annotations_become_fields() {
        let mut pod = pod();
        let key = "container.apparmor.security.beta.kubernetes.io/c";
        pod["metadata"].put("annotations", json!({key: "localhost/agent"}));
        Pod.prepare_create(&mut pod);
        let profile = &pod["spec"]["containers"][0]["securityContext"]["appArmorProfile"];
        assert_eq!(*profile, json!({"type": "Localhost", "localhostProfile": "agent"}));
    }
}
