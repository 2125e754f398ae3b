//! The status of a RolloutPolicy: what was decided, for people and for the next leader.

use serde_json::{Map, Value, json};

use crate::base::Time;
use crate::slot::Slot;

use super::notes::Room;
use super::spec::PolicyFact;
use super::{Conduct, RolloutPhase};

/// So many nodes have records in a status at most, in all of its entries together: 8 bytes each, within the 1.5 MB that
/// etcd takes.
const HASHES_LIMIT: usize = 100_000;

/// The status, with null for what must not stay from the last one. Its lists name so many nodes, of all entries together.
pub(crate) fn status(
    policy: &PolicyFact,
    slots: &[&Slot],
    last: &Value,
    names_limit: usize,
    now: Time,
) -> Value {
    let mut entries = Map::new();
    for gone in last["daemonSets"].as_object().into_iter().flatten().map(|(name, _)| name) {
        entries.insert(gone.clone(), Value::Null);
    }
    let conducted = || slots.iter().filter_map(|slot| Some((slot, slot.conduct.as_deref()?)));
    let names = names_limit.div_ceil(conducted().count().max(1));
    let mut room = Room { names, hashes: HASHES_LIMIT };
    for (slot, conduct) in conducted() {
        // One that was not looked at yet is as the last leader left it.
        let left = || match conduct.is_refused {
            true => Value::Null,
            false => last["daemonSets"][&slot.key.name].clone(),
        };
        let said = if conduct.is_known { entry(conduct, &mut room) } else { left() };
        entries.insert(slot.key.name.clone(), said);
    }
    let contested = slots.iter().find(|slot| slot.is_contested);
    let leading = conducted()
        .filter(|(_, conduct)| conduct.is_known)
        .map(|(slot, conduct)| (importance(conduct.phase), slot, conduct))
        .min_by_key(|one| one.0);
    let (phase, message) = match (contested, leading) {
        (Some(slot), _) => (
            "Conflict".to_owned(),
            format!("another policy selects DaemonSet {} too: none acts on it", slot.key.name),
        ),
        (None, _) if conducted().any(|(_, conduct)| conduct.is_refused) => {
            ("Stalled".to_owned(), "in scope rollouts a DaemonSet needs updateStrategy OnDelete".to_owned())
        }
        (None, Some((_, slot, conduct))) => {
            (conduct.phase.name().to_owned(), format!("{}: {}", slot.key.name, conduct.message))
        }
        // Not looked at yet: as the last leader left it.
        (None, None) if !slots.is_empty() => (text(&last["phase"]), text(&last["message"])),
        (None, None) => ("Idle".to_owned(), "the selector selects no DaemonSet".to_owned()),
    };
    let conducts: Vec<&Conduct> = conducted().map(|(_, conduct)| conduct).collect();
    let conditions = conditions(policy, &conducts, contested.is_some(), &message, last, now);
    let mut status = json!({
        "observedGeneration": policy.generation,
        "phase": phase,
        "message": message,
        "conditions": conditions,
    });
    // The macro would copy it.
    status["daemonSets"] = entries.into();
    status
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Which phase says most about a policy with several DaemonSets.
fn importance(phase: RolloutPhase) -> usize {
    const ORDER: [RolloutPhase; 8] = [
        RolloutPhase::Halted,
        RolloutPhase::RollingBack,
        RolloutPhase::Stalled,
        RolloutPhase::WaitingForPromotion,
        RolloutPhase::Progressing,
        RolloutPhase::Baking,
        RolloutPhase::RolledBack,
        RolloutPhase::Complete,
    ];
    ORDER.iter().position(|one| *one == phase).unwrap_or(ORDER.len())
}

fn entry(conduct: &Conduct, room: &mut Room) -> Value {
    let figures = &conduct.figures;
    let wave = conduct.policy.spec.waves.get(conduct.wave);
    let mut entry = json!({
        "revision": conduct.hash.as_deref(),
        "lastGoodRevision": conduct.last_good.as_deref(),
        "lastGoodData": conduct.last_good_digest.map(|digest| digest.to_string()),
        "phase": conduct.phase.name(),
        "message": conduct.message,
        "wave": conduct.wave + 1,
        "waves": conduct.policy.spec.waves.len(),
        "waveName": wave.map(|wave| wave.name.as_str()),
        "waveDoneAt": time(conduct.wave_done_at),
        "attempt": conduct.attempt,
        "aborted": conduct.aborted,
        "desired": figures.desired,
        "updated": figures.updated,
        "available": figures.available,
        "maxUnavailable": figures.max_unavailable,
        "waiting": figures.waiting,
        "failureBudget": figures.failure_budget,
        "startedAt": time(conduct.started_at),
        "progressAt": time(conduct.progress_at),
    });
    if let Some(fields) = entry.as_object_mut() {
        room.hashes -= conduct.notes.write(fields, &conduct.strays, *room);
    }
    entry
}

fn time(at: Option<Time>) -> Value {
    at.map_or(Value::Null, |at| everynode_wire::time::format(at.0.div_euclid(1000)).into())
}

fn conditions(
    policy: &PolicyFact,
    conducts: &[&Conduct],
    is_contested: bool,
    message: &str,
    last: &Value,
    now: Time,
) -> Vec<Value> {
    let any = |phases: &[RolloutPhase]| conducts.iter().any(|one| phases.contains(&one.phase));
    let deadline_millis = policy.spec.progress_deadline_seconds * 1000;
    let is_late = conducts.iter().any(|one| {
        let waits = one.phase == RolloutPhase::Progressing && !policy.spec.paused;
        waits && one.progress_at.is_some_and(|at| now.millis_since(at) >= deadline_millis)
    });
    let progressing = match () {
        _ if is_contested => (false, "Conflict"),
        _ if any(&[RolloutPhase::Halted, RolloutPhase::RollingBack, RolloutPhase::RolledBack]) => {
            (false, "Halted")
        }
        _ if any(&[RolloutPhase::Stalled]) => (false, "Stalled"),
        _ if is_late => (false, "ProgressDeadlineExceeded"),
        _ if policy.spec.paused => (false, "Paused"),
        _ if any(&[RolloutPhase::Progressing, RolloutPhase::Baking, RolloutPhase::WaitingForPromotion]) => {
            (true, "RollingOut")
        }
        _ => (true, "Complete"),
    };
    let missing: usize = conducts.iter().map(|one| one.figures.unavailable).sum();
    let over = conducts.iter().any(|one| one.figures.unavailable > one.figures.max_unavailable);
    let failed: usize = conducts.iter().map(|one| one.notes.failed().len()).sum();
    let degraded = match () {
        _ if is_contested => (true, "Conflict"),
        _ if failed > 0 => (true, "NodesFailed"),
        _ if any(&[RolloutPhase::Stalled]) => (true, "Stalled"),
        _ => (false, "AsExpected"),
    };
    let available = if missing > 0 {
        (!over, if over { "OverBudget" } else { "WithinBudget" })
    } else {
        (true, "AllServe")
    };
    let paused = (policy.spec.paused, if policy.spec.paused { "ByPolicy" } else { "NotPaused" });
    let all =
        [("Progressing", progressing), ("Available", available), ("Paused", paused), ("Degraded", degraded)];
    all.into_iter()
        .map(|(kind, (is_true, reason))| condition(kind, is_true, reason, message, last, now))
        .collect()
}

/// A condition, which keeps its time as long as its status stays.
fn condition(kind: &str, is_true: bool, reason: &str, message: &str, last: &Value, now: Time) -> Value {
    let status = if is_true { "True" } else { "False" };
    let old = last["conditions"].as_array().into_iter().flatten().find(|one| one["type"] == kind);
    let since = old.filter(|old| old["status"] == status).map(|old| old["lastTransitionTime"].clone());
    json!({
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": since.unwrap_or_else(|| time(Some(now))),
    })
}

/// Two statuses say the same: what is null in one is absent from the other.
pub(crate) fn is_equal(a: &Value, b: &Value) -> bool {
    let has = |fields: &Map<String, Value>, key: &str, value: &Value| {
        fields.get(key).map_or(value.is_null(), |one| is_equal(one, value))
    };
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let is_absent = |(key, value): (&String, &Value)| value.is_null() || a.contains_key(key);
            a.iter().all(|(key, value)| has(b, key, value)) && b.iter().all(is_absent)
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_equal(a, b))
        }
        (a, b) => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_null_in_one_status_is_absent_from_an_equal_one() {
        let check = |a: Value, b: Value, expected: bool| {
            assert_eq!(is_equal(&a, &b), expected, "{a} {b}");
            assert_eq!(is_equal(&b, &a), expected, "{b} {a}");
        };
        check(json!({"a": 1, "b": null}), json!({"a": 1}), true);
        check(json!({"a": {"b": null}, "c": [{"d": null}]}), json!({"a": {}, "c": [{}]}), true);
        check(json!({"a": 1}), json!({"a": 1, "b": 2}), false);
        check(json!({"a": null}), json!({"a": 2}), false);
        check(json!([1, 2]), json!([1]), false);
    }
}
