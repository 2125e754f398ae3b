//! Priority and default tolerations of pods.

use everynode_wire::resource::Resource;
use everynode_wire::status::Status;
use everynode_wire::{Object, Value};

use super::{forbid, look_up};
use crate::api::Api;
use crate::meta;

/// How long a pod stays on a node that is not ready or unreachable, unless it says otherwise, in seconds.
const TOLERATION_SECONDS: i64 = 300;

const PREEMPTION_POLICY: &str = "PreemptLowerPriority";

/// Gives a pod the priority of its class.
pub fn priority(api: &Api, resource: &Resource, pod: &mut Value) -> Result<(), Status> {
    let named = pod.pointer("/spec/priorityClassName").and_then(Value::as_str).unwrap_or("").to_owned();
    let class = if named.is_empty() {
        default_class(api)
    } else {
        let found = look_up(api, "scheduling.k8s.io", "priorityclasses", "", &named);
        let why = || format!("no PriorityClass with name {named} was found");
        Some(found.ok_or_else(|| forbid(resource, pod, &why()))?)
    };
    let value = class.as_ref().and_then(|class| class.get("value")?.as_i64()).unwrap_or(0);
    let policy = class.as_ref().and_then(|class| class.get("preemptionPolicy")?.as_str());
    let policy = policy.unwrap_or(PREEMPTION_POLICY);
    let given = pod.pointer("/spec/priority").and_then(Value::as_i64);
    if given.is_some_and(|given| given != value) {
        let why = format!(
            "the integer value of priority ({}) must not be provided in pod spec; priority admission controller \
             computed {value} from the given PriorityClass name",
            given.unwrap_or(0)
        );
        return Err(forbid(resource, pod, &why));
    }
    let Some(spec) = pod.get_mut("spec").and_then(Value::as_object_mut) else { return Ok(()) };
    if let Some(class) = class.as_ref().filter(|_| named.is_empty()) {
        spec.insert("priorityClassName".into(), meta::text(class, "name").into());
    }
    spec.insert("priority".into(), value.into());
    spec.insert("preemptionPolicy".into(), policy.into());
    Ok(())
}

/// The class of pods that name none.
pub fn default_class(api: &Api) -> Option<Value> {
    let shelf = api.catalog().shelf_named("scheduling.k8s.io", "v1", "priorityclasses")?;
    let listing = api.store().list(shelf, None);
    let classes = listing.items.iter().filter_map(|(_, stored)| serde_json::from_slice(stored.bytes()).ok());
    classes
        .filter(|class: &Value| class.get("globalDefault").and_then(Value::as_bool) == Some(true))
        .min_by_key(|class| class.get("value").and_then(Value::as_i64))
}

/// Lets a pod stay for a while on a node that has trouble.
pub fn default_tolerations(pod: &mut Value) {
    let Some(spec) = pod.get_mut("spec").and_then(Value::as_object_mut) else { return };
    let tolerations = spec.entry("tolerations").or_insert_with(|| Value::Array(Vec::new()));
    if tolerations.is_null() {
        *tolerations = Value::Array(Vec::new());
    }
    let Some(tolerations) = tolerations.as_array_mut() else { return };
    let present = tolerations.clone();
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        if !present.iter().any(|toleration| tolerates(toleration, key)) {
            let mut toleration = Object::new();
            toleration.insert("key".into(), key.into());
            toleration.insert("operator".into(), "Exists".into());
            toleration.insert("effect".into(), "NoExecute".into());
            toleration.insert("tolerationSeconds".into(), TOLERATION_SECONDS.into());
            tolerations.push(Value::Object(toleration));
        }
    }
}

/// Whether a toleration is about the `NoExecute` taint of that key.
fn tolerates(toleration: &Value, key: &str) -> bool {
    let text = |field: &str| toleration.get(field).and_then(Value::as_str).unwrap_or("");
    (text("key") == key || text("key").is_empty()) && matches!(text("effect"), "NoExecute" | "")
}
