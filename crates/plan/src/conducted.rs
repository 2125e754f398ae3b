//! What a roll-out policy makes of a plan: its waves, whom it spares, and how it ends.

use everynode_api::{FailedNode, RolloutStatus};
use everynode_engine::policy::{Gate, OnFailure, PolicyFact, RolloutPhase, Unwell};
use serde::Serialize;

use crate::model::Model;
use crate::power::AnalysisPower;
use crate::run::Run;
use crate::words::NodeReason;

/// A roll-out that a policy conducts.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Conducted {
    /// metadata.name of the policy.
    pub policy: String,
    /// How far it comes, in the word of its status.
    pub phase: &'static str,
    /// What its status says then.
    pub message: String,
    /// From how many nodes a pod may be taken away at a time.
    pub max_unavailable: usize,
    /// So many nodes that fail halt it.
    pub failure_budget: usize,
    /// What a halt does: `Pause` or `Rollback`.
    pub on_failure: &'static str,
    /// spec.paused.
    pub paused: bool,
    /// Its waves; none where it has none: in a first roll-out at once, and back to the last good revision.
    pub waves: Vec<PolicyWave>,
    /// The new template is the last good one.
    pub is_return: bool,
    /// Nodes that fail, and how.
    pub failed: Vec<NodeReason>,
    /// Nodes that are not well before they are touched: they cost nothing and block nothing.
    pub exempt: Vec<NodeReason>,
    /// What an analysis could find, where the policy has one. The plan takes for granted that nothing is worse.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub analysis: Option<AnalysisPower>,
}

/// A wave of a policy.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyWave {
    /// From 1.
    pub number: usize,
    /// Its name, or its number.
    pub name: String,
    /// Nodes whose pods are replaced or created in it, in their order.
    pub nodes: Vec<String>,
    /// When it begins, in milliseconds after the change; absent when it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_millis: Option<i64>,
    /// When all of its nodes are done; absent when they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub done_millis: Option<i64>,
    /// How long it is watched then.
    pub bake_seconds: i64,
    /// What comes after that: `Automatic` or `Manual`.
    pub gate: &'static str,
}

impl Conducted {
    /// What the one policy of the model makes of the run; `None` when none conducts it.
    pub(crate) fn of(model: &Model, run: &Run) -> Option<Conducted> {
        let [policy] = run.policies.as_slice() else { return None };
        let said = said(model, policy).cloned().unwrap_or_default();
        let exempt = |(node, unwell): &(String, Unwell)| NodeReason {
            node: node.clone(),
            reason: unwell_text(*unwell).to_owned(),
        };
        let reason = |one: FailedNode| NodeReason { node: one.node, reason: one.reason };
        let last = run.tally.steps.iter().rev().find(|step| step.phase != RolloutPhase::Complete);
        let is_without_waves = last.is_some_and(|step| step.is_without_waves);
        let waves = if is_without_waves { 0 } else { policy.spec.waves.len() };
        let waves: Vec<PolicyWave> = (1..=waves).map(|number| wave(model, policy, run, number)).collect();
        let analysis = policy.spec.analysis.as_ref().filter(|_| !waves.is_empty());
        Some(Conducted {
            analysis: analysis.map(|spec| AnalysisPower::of(spec, &waves, said.desired)),
            policy: policy.key.name.clone(),
            phase: end(run).unwrap_or_default().name(),
            message: run.tally.message.clone(),
            max_unavailable: said.max_unavailable,
            failure_budget: said.failure_budget,
            on_failure: match policy.spec.on_failure {
                OnFailure::Pause => "Pause",
                OnFailure::Rollback => "Rollback",
            },
            paused: policy.spec.paused,
            waves,
            is_return: last.is_some_and(|step| step.is_return),
            failed: said.failed_nodes.into_iter().map(reason).collect(),
            exempt: run.tally.unwell.iter().flatten().map(exempt).collect(),
        })
    }
}

/// What a policy's status says of the DaemonSet.
pub(crate) fn said<'a>(model: &Model, policy: &'a PolicyFact) -> Option<&'a RolloutStatus> {
    policy.status.rollouts.get(&model.daemonset.name)
}

/// How far a run came.
pub(crate) fn end(run: &Run) -> Option<RolloutPhase> {
    run.tally.steps.last().map(|step| step.phase)
}

fn wave(model: &Model, policy: &PolicyFact, run: &Run, number: usize) -> PolicyWave {
    let written = &policy.spec.waves[number - 1];
    let steps = &run.tally.steps;
    let is_over = |phase: RolloutPhase| {
        matches!(phase, RolloutPhase::Baking | RolloutPhase::WaitingForPromotion | RolloutPhase::Complete)
    };
    let done = steps.iter().find(|step| step.wave > number || step.wave == number && is_over(step.phase));
    let from = steps.iter().find(|step| step.wave >= number);
    let touched = run.tally.order.iter().filter(|touch| touch.policy_wave == number);
    PolicyWave {
        number,
        name: written.name.clone(),
        nodes: touched.map(|touch| model.nodes[touch.node as usize].name.clone()).collect(),
        from_millis: from.map(|step| step.at_millis),
        done_millis: done.map(|step| step.at_millis),
        bake_seconds: policy.spec.bake_seconds(number - 1),
        gate: match written.gate {
            Gate::Automatic => "Automatic",
            Gate::Manual => "Manual",
        },
    }
}

fn unwell_text(unwell: Unwell) -> &'static str {
    match unwell {
        Unwell::NotReady => "the node is not ready",
        Unwell::Cordoned => "the node is cordoned",
        Unwell::NoReadyPod => "its pod is not ready",
    }
}
