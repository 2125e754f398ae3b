//! Limit ranges: what containers get that ask for nothing, and how much a container or a pod may ask for.

use everynode_apimachinery::resource::Resource;
use everynode_apimachinery::status::Status;
use everynode_model::Value;
use everynode_model::access::{Fill, Read};
use everynode_model::pod_resources::{self, ResourceList, Side};
use everynode_model::quantity::Quantity;

use crate::forbid;
use crate::view::{Kind, View};

/// The annotation that tells what was filled in.
const ANNOTATION: &str = "kubernetes.io/limit-ranger";
/// The lists of containers, and what messages call one of each.
const CONTAINERS: [(&str, &str); 2] = [("containers", "container"), ("initContainers", "init container")];

/// Gives containers the default requests and limits of their namespace.
pub fn fill_in(view: &dyn View, pod: &mut Value) {
    for range in ranges(view, pod) {
        let mut told = Vec::new();
        for (list, what) in CONTAINERS {
            for container in pod.items_mut(&format!("spec.{list}")) {
                for (side, defaults) in [(Side::Requests, "defaultRequest"), (Side::Limits, "default")] {
                    let filled = fill_side(container, side, &range, defaults);
                    if !filled.is_empty() {
                        let side = if side == Side::Requests { "request" } else { "limit" };
                        let name = container.text("name");
                        told.push(format!("{} {side} for {what} {name}", filled.join(", ")));
                    }
                }
            }
        }
        if !told.is_empty()
            && let Some(annotations) = pod.get_mut("metadata").and_then(|one| one.make("annotations"))
        {
            annotations.put(ANNOTATION, format!("LimitRanger plugin set: {}", told.join("; ")));
        }
    }
}

/// Fills one list of a container in; the names of what was missing, sorted.
fn fill_side(container: &mut Value, side: Side, range: &Value, defaults: &str) -> Vec<String> {
    let of_containers = range.items("spec.limits").iter().filter(|limit| limit.text("type") == "Container");
    let wanted: Vec<(String, Value)> = of_containers
        .flat_map(|limit| limit.entries(defaults))
        .map(|(name, amount)| (name.to_owned(), amount.clone()))
        .collect();
    let present = side.of(container);
    let mut filled = Vec::new();
    for (name, amount) in wanted.into_iter().filter(|(name, _)| !present.contains_key(name)) {
        let list = container.make("resources").and_then(|resources| resources.make(side.field()));
        if let Some(list) = list {
            list.put(&name, amount);
            filled.push(name);
        }
    }
    filled.sort();
    filled.dedup();
    filled
}

/// Checks a pod against the limits of its namespace.
///
/// # Errors
/// 403 with the limits that it breaks.
pub fn check(view: &dyn View, resource: &Resource, pod: &Value) -> Result<(), Status> {
    let spec = pod.get("spec").unwrap_or(&Value::Null);
    for range in ranges(view, pod) {
        let mut broken = Vec::new();
        for limit in range.items("spec.limits") {
            match limit.text("type") {
                "Container" => {
                    for container in CONTAINERS.iter().flat_map(|(list, _)| spec.items(list)) {
                        let asked = Asked::by(|side| side.of(container));
                        asked.check(limit, &mut broken);
                    }
                }
                "Pod" => Asked::by(|side| pod_resources::of_pod(spec, side)).check(limit, &mut broken),
                _ => {}
            }
        }
        match broken.as_slice() {
            [] => {}
            [one] => return Err(forbid(resource, pod, one)),
            several => return Err(forbid(resource, pod, &format!("[{}]", several.join(", ")))),
        }
    }
    Ok(())
}

fn ranges(view: &dyn View, pod: &Value) -> Vec<Value> {
    view.list(Kind::LimitRange, pod.text("metadata.namespace"))
}

/// What a container or a pod asks for.
struct Asked {
    requests: ResourceList,
    limits: ResourceList,
}

impl Asked {
    fn by(side: impl Fn(Side) -> ResourceList) -> Asked {
        Asked { requests: side(Side::Requests), limits: side(Side::Limits) }
    }

    /// Checks it against one item of a limit range.
    fn check(&self, limit: &Value, broken: &mut Vec<String>) {
        let kind = limit.text("type");
        let bounds = |field: &str| pod_resources::list(limit.get(field));
        for (name, least) in bounds("min") {
            let (request, limit) = (self.requests.get(&name), self.limits.get(&name));
            let text = format!("minimum {name} usage per {kind} is {least}");
            broken.extend(match (request, limit) {
                (None, _) => Some(format!("{text}.  No request is specified")),
                (Some(request), _) if *request < least => Some(format!("{text}, but request is {request}")),
                (_, Some(limit)) if *limit < least => Some(format!("{text}, but limit is {limit}")),
                _ => None,
            });
        }
        for (name, most) in bounds("max") {
            let (request, limit) = (self.requests.get(&name), self.limits.get(&name));
            let text = format!("maximum {name} usage per {kind} is {most}");
            broken.extend(match (limit, request) {
                (None, _) => Some(format!("{text}.  No limit is specified")),
                (Some(limit), _) if *limit > most => Some(format!("{text}, but limit is {limit}")),
                (_, Some(request)) if *request > most => Some(format!("{text}, but request is {request}")),
                _ => None,
            });
        }
        for (name, most) in bounds("maxLimitRequestRatio") {
            broken.extend(self.check_ratio(&name, &most, kind));
        }
    }

    fn check_ratio(&self, name: &str, most: &Quantity, kind: &str) -> Option<String> {
        let text = format!("{name} max limit to request ratio per {kind} is {most}");
        let set = |list: &ResourceList| list.get(name).filter(|one| !one.is_zero()).map(Quantity::millis);
        let Some(request) = set(&self.requests) else {
            return Some(format!("{text}, but no request is specified or request is 0"));
        };
        let Some(limit) = set(&self.limits) else {
            return Some(format!("{text}, but no limit is specified or limit is 0"));
        };
        let ratio = limit as f64 / request as f64;
        (ratio * 1000.0 > most.millis() as f64).then(|| format!("{text}, but provided ratio is {ratio:.6}"))
    }
}
