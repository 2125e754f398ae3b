//! The status of a RolloutPolicy: what was decided, for people and for the next leader.

use std::collections::BTreeMap;

use everynode_api::{Condition, PolicyPhase, PolicyStatus, RolloutPhase, RolloutStatus};

use crate::base::Time;
use crate::daemonset::DaemonSetState;

use super::RolloutState;
use super::notes::Room;
use super::spec::PolicyFact;

/// So many nodes have records in a status at most, in all of its entries together: 8 bytes each, within the 1.5 MB that
/// etcd takes.
const HASHES_LIMIT: usize = 100_000;

/// What the status is to say. Its lists name so many nodes, of all entries together.
pub(crate) fn status(
    policy: &PolicyFact,
    daemonsets: &[(&DaemonSetState, Option<&RolloutState>)],
    last: &PolicyStatus,
    names_limit: usize,
    now: Time,
) -> PolicyStatus {
    let under_policy = || daemonsets.iter().filter_map(|&(daemonset, rollout)| Some((daemonset, rollout?)));
    let names = names_limit.div_ceil(under_policy().count().max(1));
    let mut room = Room { names, hashes: HASHES_LIMIT };
    let mut rollouts = BTreeMap::new();
    for (daemonset, rollout) in under_policy() {
        let said = match rollout.is_known {
            true => Some(entry(rollout, &mut room)),
            // One that was not looked at yet is as the last leader left it.
            false => last.rollouts.get(&daemonset.key.name).filter(|_| !rollout.is_refused).cloned(),
        };
        rollouts.extend(said.map(|said| (daemonset.key.name.clone(), said)));
    }
    let contested = daemonsets.iter().map(|one| one.0).find(|daemonset| daemonset.is_contested);
    let leading = under_policy()
        .filter(|(_, rollout)| rollout.is_known)
        .map(|(daemonset, rollout)| (importance(rollout.phase), daemonset, rollout))
        .min_by_key(|one| one.0);
    let (phase, message) = match (contested, leading) {
        (Some(daemonset), _) => (
            Some(PolicyPhase::Conflict),
            format!("another policy selects DaemonSet {} too: none acts on it", daemonset.key.name),
        ),
        (None, _) if under_policy().any(|(_, rollout)| rollout.is_refused) => (
            Some(PolicyPhase::Rollout(RolloutPhase::Stalled)),
            "in scope rollouts a DaemonSet needs updateStrategy OnDelete".to_owned(),
        ),
        (None, Some((_, daemonset, rollout))) => (
            Some(PolicyPhase::Rollout(rollout.phase)),
            format!("{}: {}", daemonset.key.name, rollout.message()),
        ),
        // Not looked at yet: as the last leader left it.
        (None, None) if !daemonsets.is_empty() => (last.phase, last.message.clone()),
        (None, None) => (Some(PolicyPhase::Idle), "the selector selects no DaemonSet".to_owned()),
    };
    let known: Vec<&RolloutState> = under_policy().map(|(_, rollout)| rollout).collect();
    let conditions = conditions(policy, &known, contested.is_some(), &message, last, now);
    PolicyStatus { observed_generation: policy.generation, phase, message, conditions, rollouts }
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

fn entry(rollout: &RolloutState, room: &mut Room) -> RolloutStatus {
    let figures = &rollout.figures;
    let wave = rollout.policy.spec.waves.get(rollout.wave);
    let mut status = RolloutStatus {
        revision: rollout.hash.as_deref().map(str::to_owned),
        last_good_revision: rollout.last_good.as_deref().map(str::to_owned),
        last_good_data: rollout.last_good_digest.map(|digest| digest.to_string()),
        phase: rollout.phase,
        message: rollout.message(),
        promotion: rollout.promotion(),
        wave: rollout.wave + 1,
        waves: rollout.policy.spec.waves.len(),
        wave_name: wave.map(|wave| wave.name.clone()),
        wave_done_at: rollout.wave_done_at.map(Time::seconds),
        attempt: rollout.attempt,
        aborted: rollout.aborted,
        desired: figures.desired,
        updated: figures.updated,
        available: figures.available,
        max_unavailable: figures.max_unavailable,
        waiting: figures.waiting,
        failure_budget: figures.failure_budget,
        started_at: rollout.started_at.map(Time::seconds),
        progress_at: rollout.progress_at.map(Time::seconds),
        analysis: rollout.analysis.as_ref().and_then(|analysis| analysis.status()),
        ..RolloutStatus::default()
    };
    room.hashes -= rollout.notes.write(&mut status, &rollout.strays, *room);
    status
}

fn conditions(
    policy: &PolicyFact,
    rollouts: &[&RolloutState],
    is_contested: bool,
    message: &str,
    last: &PolicyStatus,
    now: Time,
) -> Vec<Condition> {
    let any = |phases: &[RolloutPhase]| rollouts.iter().any(|one| phases.contains(&one.phase));
    let deadline_millis = policy.spec.progress_deadline_seconds * 1000;
    let is_late = rollouts.iter().any(|one| {
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
    let missing: usize = rollouts.iter().map(|one| one.figures.unavailable).sum();
    let over = rollouts.iter().any(|one| one.figures.unavailable > one.figures.max_unavailable);
    let failed: usize = rollouts.iter().map(|one| one.notes.failed().len()).sum();
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
fn condition(
    kind: &str,
    is_true: bool,
    reason: &str,
    message: &str,
    last: &PolicyStatus,
    now: Time,
) -> Condition {
    let old = last.conditions.iter().find(|old| old.kind == kind && old.is_true == is_true);
    Condition {
        kind: kind.to_owned(),
        is_true,
        reason: reason.to_owned(),
        message: message.to_owned(),
        last_transition_time: old.map_or(Some(now.seconds()), |old| old.last_transition_time),
    }
}
