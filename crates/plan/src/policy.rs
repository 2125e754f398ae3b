//! Roll-out policies of a fleet: as they are recorded, as a manifest changes them, and which one is for a DaemonSet.

use everynode_engine::policy::PolicyFact;
use everynode_engine::{DaemonSetFact, PodSelector};
use serde_json::{Map, Value, json};

use crate::change::Written;
use crate::fleet::Fleet;

/// The API version of policies.
pub(crate) const API_VERSION: &str = "everynode.dev/v1alpha1";
/// Annotations of this prefix are commands to the controller.
const COMMANDS: &str = "everynode.dev/";

/// The parts of a served RolloutPolicy that decide.
pub(crate) fn recorded(object: &Value) -> Value {
    let metadata = &object["metadata"];
    let annotations = metadata["annotations"].as_object().into_iter().flatten();
    let commands: Map<String, Value> = annotations
        .filter(|(key, _)| key.starts_with(COMMANDS))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    json!({
        "metadata": {
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
            "generation": metadata["generation"],
            "annotations": commands,
        },
        "spec": object["spec"],
        "status": object["status"],
    })
}

/// Whether a policy selects a DaemonSet.
pub fn selects(policy: &PolicyFact, daemonset: &DaemonSetFact) -> bool {
    let label =
        |key: &str| daemonset.labels.iter().find(|(one, _)| one == key).map(|(_, value)| value.as_str());
    let selector = &policy.spec.selector;
    policy.key.namespace == daemonset.namespace
        && (matches!(selector, PodSelector::Everything) || selector.matches(label))
}

/// Puts the policies of a manifest in the place of those of their names.
///
/// # Errors
/// What the API server would refuse, as far as that is looked at, a sentence each.
pub fn apply(fleet: &mut Fleet, written: &[Written]) -> Result<(), Vec<String>> {
    let mut problems = Vec::new();
    for one in written {
        let refused = refusals(&one.object["spec"]);
        problems
            .extend(refused.iter().map(|why| format!("{}: RolloutPolicy {}: {why}", one.place, one.name)));
        let known = fleet
            .policies
            .iter()
            .position(|policy| policy.key.namespace == one.namespace && policy.key.name == one.name);
        match known.map(|index| &mut fleet.policies[index]) {
            Some(known) => {
                let Some(new) = served(one, &known.key.uid.to_string(), known.generation) else { continue };
                known.generation += i64::from(known.spec != new.spec);
                known.spec = new.spec;
                known.commands.retain(|(name, _)| new.commands.iter().all(|(other, _)| other != name));
                known.commands.extend(new.commands);
            }
            None => {
                let uid = format!("00000000-0000-4000-8000-{:012x}", 0x100 + fleet.policies.len());
                fleet.policies.extend(served(one, &uid, 1));
            }
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// A written policy as it would be served.
fn served(written: &Written, uid: &str, generation: i64) -> Option<PolicyFact> {
    let mut object = recorded(&written.object);
    object["metadata"]["namespace"] = written.namespace.as_str().into();
    object["metadata"]["uid"] = uid.into();
    object["metadata"]["generation"] = generation.into();
    object["status"] = Value::Null;
    PolicyFact::from_json(&object)
}

/// What is wrong with a spec in a way that would change what it means.
fn refusals(spec: &Value) -> Vec<String> {
    let mut found = Vec::new();
    if !spec["selector"].is_object() {
        found.push("spec.selector must be set: {} selects all DaemonSets of the namespace".to_owned());
    }
    let waves = spec["waves"].as_array().into_iter().flatten();
    for (index, wave) in waves.enumerate() {
        if wave["nodes"].is_null() == wave["nodeSelector"].is_null() {
            found.push(format!("spec.waves[{index}]: exactly one of nodes and nodeSelector must be set"));
        }
        if !is_count(&wave["nodes"]) {
            found
                .push(format!("spec.waves[{index}].nodes must be a number, or a percentage such as \"10%\""));
        }
    }
    for path in ["/maxUnavailable", "/failure/budget", "/domain/maxUnavailable"] {
        if !spec.pointer(path).is_none_or(is_count) {
            let field = path.replace('/', ".");
            found.push(format!("spec{field} must be a number, or a percentage such as \"10%\""));
        }
    }
    found
}

fn is_count(value: &Value) -> bool {
    let is_percentage =
        |text: &str| text.strip_suffix('%').is_some_and(|number| number.parse::<u8>().is_ok());
    match value {
        Value::Null => true,
        Value::String(text) => is_percentage(text),
        other => other.as_u64().is_some(),
    }
}

/// A JSON merge patch, as the API server applies it to the status of a policy.
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let Some(fields) = target.as_object_mut() else { return };
    for (key, value) in changes {
        match value {
            Value::Null => drop(fields.shift_remove(key)),
            value => merge(fields.entry(key.clone()).or_insert(Value::Null), value),
        }
    }
}
