//! Priorities: that of a pod is the value of its class.

use everynode_apimachinery::resource::Resource;
use everynode_apimachinery::status::Status;
use everynode_model::Value;
use everynode_model::access::{Fill, Read};

use crate::forbid;
use crate::view::{Kind, View};

const PREEMPTION_POLICY: &str = "PreemptLowerPriority";

/// Gives a pod the priority of its class.
pub(crate) fn admit(view: &dyn View, resource: &Resource, pod: &mut Value) -> Result<(), Status> {
    let named = pod.text("spec.priorityClassName").to_owned();
    let class = if named.is_empty() {
        default_class(view)
    } else {
        let found = view.get(Kind::PriorityClass, "", &named);
        let why = || format!("no PriorityClass with name {named} was found");
        Some(found.ok_or_else(|| forbid(resource, pod, &why()))?)
    };
    let value = class.as_ref().map_or(0, |class| class.number("value"));
    let policy = class.as_ref().and_then(|class| class.get("preemptionPolicy")?.as_str());
    let policy = policy.unwrap_or(PREEMPTION_POLICY);
    if let Some(given) = pod.number_opt("spec.priority").filter(|given| *given != value) {
        let why = format!(
            "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller \
             computed {value} from the given PriorityClass name"
        );
        return Err(forbid(resource, pod, &why));
    }
    if let Some(given) = pod.at("spec.preemptionPolicy").and_then(Value::as_str).filter(|one| *one != policy)
    {
        let why = format!(
            "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission \
             controller computed {policy} from the given PriorityClass name"
        );
        return Err(forbid(resource, pod, &why));
    }
    let Some(spec) = pod.get_mut("spec") else { return Ok(()) };
    if let Some(class) = class.as_ref().filter(|_| named.is_empty()) {
        spec.put("priorityClassName", class.text("metadata.name"));
    }
    spec.put("priority", value);
    spec.put("preemptionPolicy", policy);
    Ok(())
}

/// The class of pods that name none.
pub fn default_class(view: &dyn View) -> Option<Value> {
    let classes = view.list(Kind::PriorityClass, "").into_iter();
    classes.filter(|class| class.flag("globalDefault")).min_by_key(|class| class.number("value"))
}
