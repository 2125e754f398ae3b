//! What a pod asks for as a whole: the requests or limits of its containers together, of the pod and its overhead.
//!
//! One rule for all who count: defaults and validation, limit ranges, quotas, and the scheduler.

use std::collections::BTreeMap;

use crate::Value;
use crate::access::Read;
use crate::quantity::{self, Quantity};

/// Amounts by the names of resources.
pub type ResourceList = BTreeMap<String, Quantity>;

/// The two lists of `resources`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// What must be free on a node.
    Requests,
    /// What may be used at most.
    Limits,
}

impl Side {
    /// The field of `resources`.
    pub fn field(self) -> &'static str {
        match self {
            Side::Requests => "requests",
            Side::Limits => "limits",
        }
    }

    /// The list of whoever has `resources`: a container, or the spec of a pod.
    pub fn of(self, owner: &Value) -> ResourceList {
        list(owner.get("resources").and_then(|resources| resources.get(self.field())))
    }
}

/// Reads a list of resources; what is no quantity is left out.
pub fn list(list: Option<&Value>) -> ResourceList {
    let entries = list.and_then(Value::as_object).into_iter().flatten();
    entries.filter_map(|(name, amount)| Some((name.clone(), quantity::read(amount)?))).collect()
}

/// Whether a resource is huge pages of some size.
pub fn is_huge_page(name: &str) -> bool {
    name.starts_with("hugepages-")
}

/// Whether a resource is one of Kubernetes itself, rather than an extended one.
pub fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// Whether a pod as a whole can ask for a resource, instead of its containers.
pub fn is_of_pod_level(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || is_huge_page(name)
}

/// What the containers of a pod spec ask for together: those that run, or any init container with the sidecars that
/// were started before it, whichever is more.
pub fn of_containers(spec: &Value, side: Side) -> ResourceList {
    let (mut running, mut sidecars, mut starting) =
        (ResourceList::new(), ResourceList::new(), ResourceList::new());
    spec.items("containers").iter().for_each(|container| add(&mut running, &side.of(container)));
    for container in spec.items("initContainers") {
        let mut own = side.of(container);
        if container.text("restartPolicy") == "Always" {
            add(&mut running, &own);
            add(&mut sidecars, &own);
            raise(&mut starting, &sidecars);
        } else {
            add(&mut own, &sidecars);
            raise(&mut starting, &own);
        }
    }
    raise(&mut running, &starting);
    running
}

/// What a pod spec asks for without its overhead: what is asked for the pod as a whole counts instead of what its
/// containers ask for.
pub fn of_pod(spec: &Value, side: Side) -> ResourceList {
    let mut total = of_containers(spec, side);
    total.extend(side.of(spec).into_iter().filter(|(name, _)| is_of_pod_level(name)));
    total
}

/// What a pod spec asks for with its overhead, which is on top of limits only where there is one.
pub fn with_overhead(spec: &Value, side: Side) -> ResourceList {
    let mut total = of_pod(spec, side);
    let mut overhead = list(spec.get("overhead"));
    if side == Side::Limits {
        overhead.retain(|name, _| total.get(name).is_some_and(|limit| !limit.is_zero()));
    }
    add(&mut total, &overhead);
    total
}

/// Adds amounts to amounts.
pub fn add(total: &mut ResourceList, more: &ResourceList) {
    for (name, amount) in more {
        let sum = total.get(name).map_or_else(|| amount.clone(), |sum| sum.add(amount));
        total.insert(name.clone(), sum);
    }
}

/// Takes amounts away from those that are there.
pub fn subtract(total: &mut ResourceList, less: &ResourceList) {
    for (name, amount) in less {
        if let Some(sum) = total.get_mut(name) {
            *sum = sum.subtract(amount);
        }
    }
}

fn raise(total: &mut ResourceList, to: &ResourceList) {
    for (name, amount) in to {
        if total.get(name).is_none_or(|present| amount > present) {
            total.insert(name.clone(), amount.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn container(cpu: &str, more: Value) -> Value {
        let mut container = json!({"resources": {"requests": {"cpu": cpu}, "limits": {"cpu": cpu}}});
        for (key, value) in more.as_object().expect("an object") {
            container[key] = value.clone();
        }
        container
    }

    fn check(spec: Value, requests: &str, limits: &str) {
        let cpu = |side| with_overhead(&spec, side).get("cpu").map(ToString::to_string).unwrap_or_default();
        assert_eq!((cpu(Side::Requests).as_str(), cpu(Side::Limits).as_str()), (requests, limits), "{spec}");
    }

    #[test]
    fn containers_run_together_and_init_containers_one_after_the_other() {
        let plain = |cpu| container(cpu, json!({}));
        let sidecar = |cpu| container(cpu, json!({"restartPolicy": "Always"}));
        check(json!({"containers": [plain("100m"), plain("1")]}), "1100m", "1100m");
        let init = json!([plain("2"), plain("500m")]);
        check(json!({"containers": [plain("100m")], "initContainers": init}), "2", "2");
        let init = json!([sidecar("300m"), plain("2")]);
        check(json!({"containers": [plain("100m")], "initContainers": init}), "2300m", "2300m");
        let init = json!([plain("1"), sidecar("300m")]);
        check(
            json!({"containers": [plain("2")], "initContainers": init, "overhead": {"cpu": "10m"}}),
            "2310m",
            "2310m",
        );
    }

    #[test]
    fn what_is_asked_for_the_pod_counts_instead_and_overhead_comes_on_top_of_limits_only() {
        let plain = container("2", json!({}));
        let whole = json!({"requests": {"cpu": "5", "example.com/gpu": "1"}});
        check(json!({"containers": [plain], "resources": whole}), "5", "2");
        check(json!({"containers": [{}], "overhead": {"cpu": "10m"}}), "10m", "");
    }
}
