//! What somebody should know of a roll-out that a policy conducts.

use everynode_engine::policy::{PolicyFact, RolloutPhase, Unwell, Wave};

use super::finding::{Finding, FindingKind, Severity, finding};
use crate::conducted::{Conducted, end, said};
use crate::model::{Model, ModelNode};
use crate::run::Run;
use crate::spread::human;
use crate::words::{names, some};

/// Everything that the runs show; the first run is the one with typical times.
pub(super) fn of_runs(model: &Model, runs: &[Run]) -> Vec<Finding> {
    let Some(typical) = runs.first() else { return Vec::new() };
    let [policy] = typical.policies.as_slice() else { return vec![conflict(model)] };
    let mut findings = Vec::new();
    findings.extend(ending(model, policy, typical).or_else(|| halts_in_some(policy, runs)));
    findings.extend(excess(model, policy, runs));
    findings
}

fn conflict(model: &Model) -> Finding {
    let names: Vec<&str> = model.policies.iter().map(|policy| policy.key.name.as_str()).collect();
    let message = format!(
        "the policies {} all select this DaemonSet, so none acts and nothing is replaced: change their selectors",
        names.join(", ")
    );
    finding(FindingKind::PolicyConflict, Severity::Unsafe, message, Vec::new())
}

/// How a roll-out ends that does not come to its end.
fn ending(model: &Model, policy: &PolicyFact, run: &Run) -> Option<Finding> {
    let behind: Vec<&ModelNode> = run.left.iter().map(|(index, _)| &model.nodes[*index as usize]).collect();
    let name = &policy.key.name;
    let unsafe_one = |kind, message: String| Some(finding(kind, Severity::Unsafe, message, names(&behind)));
    let note = |kind, message: String| Some(finding(kind, Severity::Note, message, names(&behind)));
    let left = || match behind.len() {
        0 => "all nodes have the new template then".to_owned(),
        number => format!("{} without the new template then", are(number)),
    };
    match end(run)? {
        RolloutPhase::Complete => None,
        phase if phase.is_given_up() => unsafe_one(FindingKind::Halts, halt(model, policy, run)),
        _ if policy.spec.paused => note(
            FindingKind::Paused,
            format!("policy {name} is paused: nothing is replaced until spec.paused is false; {}", left()),
        ),
        RolloutPhase::WaitingForPromotion => {
            let wave = wave_name(policy, run);
            let message = format!(
                "it waits for promotion after {wave} of policy {name}; {}. --promote plans on as if it were given",
                left()
            );
            note(FindingKind::WaitsForPromotion, message)
        }
        RolloutPhase::Stalled => {
            let message = &run.tally.message;
            unsafe_one(
                FindingKind::Stalls,
                format!("stalls in {}: {message}; {}", wave_name(policy, run), left()),
            )
        }
        _ => {
            let wave = wave_name(policy, run);
            let message = format!("stalls in {wave} of policy {name}: it is not completed; {}", left());
            unsafe_one(FindingKind::Stalls, message)
        }
    }
}

fn are(number: usize) -> String {
    match number {
        1 => "1 node is".to_owned(),
        number => format!("{number} nodes are"),
    }
}

/// `wave 2 of 3 (zone-a)`.
fn wave_name(policy: &PolicyFact, run: &Run) -> String {
    let number = run.tally.steps.last().map_or(1, |step| step.wave);
    let is_named = |wave: &&Wave| wave.name != number.to_string();
    let name = policy.spec.waves.get(number - 1).filter(is_named);
    let name = name.map(|wave| format!(" ({})", wave.name)).unwrap_or_default();
    format!("wave {number} of {}{name}", policy.spec.waves.len())
}

fn halt(model: &Model, policy: &PolicyFact, run: &Run) -> String {
    let halted = run.tally.steps.iter().find(|step| step.phase.is_given_up());
    let after = halted.map_or_else(String::new, |step| format!(" after {}", human(step.at_millis)));
    let failed = Conducted::of(model, run).map(|conducted| conducted.failed).unwrap_or_default();
    let failures: Vec<String> = failed.iter().map(|one| format!("{} ({})", one.node, one.reason)).collect();
    let budget = said(model, policy).map_or(1, |said| said.failure_budget);
    let then = match end(run) {
        Some(RolloutPhase::RolledBack) => "all nodes go back to the last good revision",
        Some(RolloutPhase::RollingBack) => {
            "nodes go back to the last good revision, not all of them in the end"
        }
        _ => "nothing more is replaced",
    };
    let why = match failures.is_empty() {
        true => run.tally.message.clone(),
        false => format!(
            "{}, and policy {} halts at {budget}: {}",
            match failures.len() {
                1 => "1 node fails".to_owned(),
                number => format!("{number} nodes fail"),
            },
            policy.key.name,
            some(&failures)
        ),
    };
    format!("halts in {}{after}: {why}; then {then}", wave_name(policy, run))
}

/// The typical run comes to its end, and some of the others do not.
fn halts_in_some(policy: &PolicyFact, runs: &[Run]) -> Option<Finding> {
    let of = |is: fn(RolloutPhase) -> bool| runs.iter().filter(|run| end(run).is_some_and(is)).count();
    let halted = of(RolloutPhase::is_given_up);
    let stalled = of(|phase| !phase.is_given_up() && phase != RolloutPhase::Complete);
    let parts: Vec<String> = [("halts", halted), ("stalls", stalled)]
        .into_iter()
        .filter(|(_, number)| *number > 0)
        .map(|(what, number)| format!("{what} in {number} of {} runs", runs.len()))
        .collect();
    let kind = if halted > 0 { FindingKind::Halts } else { FindingKind::Stalls };
    (!parts.is_empty()).then(|| {
        let message = format!("{} under policy {}", parts.join(" and "), policy.key.name);
        finding(kind, Severity::Unsafe, message, Vec::new())
    })
}

/// More nodes without a Ready pod than the policy may take, beside those that were without before, and those that are
/// cordoned, which cost nothing.
fn excess(model: &Model, policy: &PolicyFact, runs: &[Run]) -> Option<Finding> {
    let allowed = u32::try_from(said(model, policy)?.max_unavailable).ok()?;
    let worst = runs.iter().max_by_key(|run| run.tally.worst_unserved)?;
    let (most, before) = (worst.tally.worst_unserved, worst.unserved_before);
    let cordoned =
        worst.tally.unwell.iter().flatten().filter(|(_, unwell)| *unwell == Unwell::Cordoned).count();
    let cordoned = u32::try_from(cordoned).unwrap_or(u32::MAX);
    (most > allowed.saturating_add(before).saturating_add(cordoned)).then(|| {
        let message = format!(
            "{most} nodes are without a Ready pod at once, {before} of them before the change; policy {} allows \
             {allowed}",
            policy.key.name
        );
        finding(FindingKind::ExceedsBudget, Severity::Unsafe, message, Vec::new())
    })
}
