//! Roll-out policies of a fleet: as they are recorded, as a manifest changes them, and which one is for a DaemonSet.

use everynode_api::Command;
use everynode_api::rollout_policy::DEFINITION;
use everynode_apimachinery::{definition, manifest};
use everynode_engine::pod_body::HASH_LABEL;
use everynode_engine::policy::{PolicyFact, data_digest};
use everynode_model::encode;
use serde_json::{Map, Value, json};

use crate::manifest::Written;
use crate::record::Revision;

/// The parts of a served RolloutPolicy that decide.
pub(crate) fn recorded(object: &Value) -> Value {
    let metadata = &object["metadata"];
    let commands = Command::among(&metadata["annotations"]).into_iter();
    let commands: Map<String, Value> =
        commands.map(|(command, value)| (command.annotation().to_owned(), value.into())).collect();
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

/// Puts the policies of a manifest in the place of those of their names.
///
/// # Errors
/// What the API server would refuse, as far as that is looked at, a sentence each.
pub fn apply(policies: &mut Vec<PolicyFact>, written: &[Written]) -> Result<(), Vec<String>> {
    let mut problems = Vec::new();
    for one in written {
        let refused = refusals(&one.object);
        problems
            .extend(refused.iter().map(|why| format!("{}: RolloutPolicy {}: {why}", one.place, one.name)));
        let is_same =
            |policy: &PolicyFact| policy.key.namespace == one.namespace && policy.key.name == one.name;
        match policies.iter().position(is_same).map(|index| &mut policies[index]) {
            Some(known) => {
                let Some(new) = served(one, &known.key.uid.to_string(), known.generation) else { continue };
                known.generation += i64::from(known.spec != new.spec);
                known.spec = new.spec;
                known.commands.retain(|(name, _)| new.commands.iter().all(|(other, _)| other != name));
                known.commands.extend(new.commands);
            }
            None => {
                let uid = format!("00000000-0000-4000-8000-{:012x}", 0x100 + policies.len());
                policies.extend(served(one, &uid, 1));
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

/// What the API server refuses of a policy as written.
fn refusals(object: &Value) -> Vec<String> {
    let mut definition =
        manifest::documents(DEFINITION).into_iter().find_map(Result::ok).map(|one| one.value);
    if let Some(definition) = &mut definition {
        // As the API server does, once no other kind has these names.
        definition["status"]["acceptedNames"] = definition["spec"]["names"].clone();
    }
    let kinds = definition.and_then(|definition| definition::resources(&definition).ok()).unwrap_or_default();
    let Some((kind, schema)) = kinds.first().and_then(|kind| Some((kind, kind.custom.as_ref()?))) else {
        return vec!["the definition of its kind cannot be read".to_owned()];
    };
    let decoded = match schema.decode(&encode::to_vec(object)) {
        Ok(decoded) => decoded,
        Err(error) => return vec![error.to_string()],
    };
    let mut errors = Vec::new();
    kind.rules.validate_create(&decoded.value, &mut errors);
    decoded.problems.into_iter().chain(errors.iter().map(ToString::to_string)).collect()
}

/// A policy's status keeps a SHA-256 of the data of the last good revision, and a snapshot has this data masked: what
/// fitted before fits after.
pub(crate) fn trust_masked(policy: &mut PolicyFact, revisions: &[Revision]) {
    let namespace = &policy.key.namespace;
    for rollout in policy.status.rollouts.values_mut() {
        let fits = |one: &&Revision| {
            let is_good = one.labels.get(HASH_LABEL) == rollout.last_good_revision.as_deref();
            let has_data = Some(&one.data_sha256) == rollout.last_good_data.as_ref();
            one.namespace == *namespace && is_good && has_data
        };
        if let Some(revision) = revisions.iter().find(fits) {
            rollout.last_good_data = Some(data_digest(revision.data.as_bytes()));
        }
    }
}
