//! Runtime classes: what they add to the pods that name them.

use everynode_apimachinery::resource::Resource;
use everynode_apimachinery::status::Status;
use everynode_model::{Object, Value};

use crate::forbid;
use crate::pod::list_in_spec;
use crate::view::{Kind, View};

/// Gives a pod the overhead, node selector and tolerations of its runtime class.
pub(crate) fn admit(view: &dyn View, resource: &Resource, pod: &mut Value) -> Result<(), Status> {
    let name = pod.pointer("/spec/runtimeClassName").and_then(Value::as_str).unwrap_or("").to_owned();
    let overhead = if name.is_empty() {
        Value::Null
    } else {
        let Some(class) = view.get(Kind::RuntimeClass, "", &name) else {
            return Err(forbid(resource, pod, &format!("pod rejected: RuntimeClass \"{name}\" not found")));
        };
        scheduling(resource, pod, &class)?;
        class.pointer("/overhead/podFixed").cloned().unwrap_or_default()
    };
    let given = pod.pointer("/spec/overhead").cloned().unwrap_or_default();
    let why = match (&given, &overhead) {
        (Value::Null, _) => None,
        (given, wanted) if given == wanted => None,
        (_, Value::Null) => {
            Some("pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")
        }
        _ => Some("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"),
    };
    if let Some(why) = why {
        return Err(forbid(resource, pod, why));
    }
    if let (false, Some(spec)) = (overhead.is_null(), pod.get_mut("spec").and_then(Value::as_object_mut)) {
        spec.insert("overhead".into(), overhead);
    }
    Ok(())
}

fn scheduling(resource: &Resource, pod: &mut Value, class: &Value) -> Result<(), Status> {
    let selector = class.pointer("/scheduling/nodeSelector").and_then(Value::as_object).cloned();
    for (key, value) in selector.into_iter().flatten() {
        let present = pod.pointer("/spec/nodeSelector").and_then(|found| found.get(&key));
        if present.is_some_and(|present| *present != value) {
            let why = format!(
                "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {}; pod.spec.nodeSelector[{key}] = {}",
                value.as_str().unwrap_or(""),
                present.and_then(Value::as_str).unwrap_or("")
            );
            return Err(forbid(resource, pod, &why));
        }
        let Some(spec) = pod.get_mut("spec").and_then(Value::as_object_mut) else { return Ok(()) };
        let selector = spec.entry("nodeSelector").or_insert_with(|| Value::Object(Object::new()));
        if let Some(selector) = selector.as_object_mut() {
            selector.insert(key, value);
        }
    }
    let added =
        class.pointer("/scheduling/tolerations").and_then(Value::as_array).cloned().unwrap_or_default();
    let Some(tolerations) = list_in_spec(pod, "tolerations").filter(|_| !added.is_empty()) else {
        return Ok(());
    };
    tolerations.extend(added.into_iter().filter(|new| !tolerations.contains(new)).collect::<Vec<_>>());
    Ok(())
}
