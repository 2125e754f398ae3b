//! What a roll-out policy makes of a DaemonSet and of its nodes.

use std::collections::HashMap;

use everynode_engine::policy::{Gate, PolicyFact, RolloutPhase, RolloutReason};
use everynode_engine::{Rollout, RolloutNode, Time};
use everynode_model::time;
use everynode_plan::record::Text;
use everynode_plan::some;
use serde::Serialize;

use crate::cohort::FailedWhere;
use crate::reason::{Kind, Reason};

/// A roll-out that a policy conducts. Its JSON form is documented in `docs/why-status.md`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyState {
    /// metadata.name of the policy.
    pub name: String,
    /// How far it has come, in the word of its status.
    pub phase: &'static str,
    /// What it does or waits for, a clause.
    pub text: String,
    /// The wave under way, from 1.
    pub wave: usize,
    /// How many waves there are.
    pub waves: usize,
    /// spec.paused.
    pub paused: bool,
    /// So many nodes that fail halt it.
    pub failure_budget: usize,
    /// Nodes that failed with the new revision.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<FailedNode>,
    /// What these have in common, the clearest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed_where: Vec<FailedWhere>,
    /// Nodes that were not well before they were touched: they cost nothing and block nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exempt: Vec<String>,
}

/// A node that failed with the new revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedNode {
    /// The node.
    pub node: String,
    /// One word, such as `CrashLoopBackOff`.
    pub reason: String,
    /// When it was noticed, in Unix seconds.
    pub at_seconds: i64,
}

/// A policy, its roll-out of one DaemonSet, and the nodes.
#[derive(Debug)]
pub struct Conducted<'a> {
    /// The policy as written.
    pub policy: &'a PolicyFact,
    /// The roll-out.
    pub rollout: Rollout<'a>,
    /// Eligible nodes, by name.
    pub nodes: HashMap<Text, RolloutNode>,
    /// What it does or waits for.
    text: String,
}

impl<'a> Conducted<'a> {
    /// Puts together what is known.
    pub fn new(policy: &'a PolicyFact, rollout: Rollout<'a>, nodes: Vec<RolloutNode>) -> Conducted<'a> {
        let nodes = nodes.into_iter().map(|node| (node.node.clone(), node)).collect();
        let mut conducted = Conducted { policy, rollout, nodes, text: String::new() };
        conducted.text = conducted.clause(&conducted.failed());
        conducted
    }

    /// What it does or waits for, a clause.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The nodes that failed, by name.
    fn failed(&self) -> Vec<FailedNode> {
        let mut failed: Vec<FailedNode> = self
            .nodes
            .values()
            .filter_map(|node| {
                let failure = node.failure.as_ref()?;
                let at_seconds = failure.at.seconds();
                Some(FailedNode { node: node.node.to_string(), reason: failure.reason.clone(), at_seconds })
            })
            .collect();
        failed.sort_by(|a, b| a.node.cmp(&b.node));
        failed
    }

    /// Old pods are replaced, or will be.
    pub fn is_under_way(&self) -> bool {
        self.rollout.phase != RolloutPhase::Complete
    }

    /// Pods are created in waves: it is a first roll-out, and the policy wants that.
    pub fn paces_creations(&self) -> bool {
        self.policy.spec.paces_creations && self.rollout.last_good.is_none()
    }

    /// How many nodes are taken.
    pub fn taken(&self) -> usize {
        self.nodes.values().filter(|node| node.is_disrupted).count()
    }

    /// What it all comes to.
    pub fn state(&self) -> PolicyState {
        let exempt = self.nodes.values().filter(|node| node.is_exempt).map(|node| node.node.to_string());
        let mut exempt: Vec<String> = exempt.collect();
        exempt.sort();
        PolicyState {
            name: self.policy.key.name.clone(),
            phase: self.rollout.phase.name(),
            text: self.text.clone(),
            wave: self.rollout.wave,
            waves: self.rollout.waves,
            paused: self.policy.spec.paused,
            failure_budget: self.rollout.figures.failure_budget,
            failed: self.failed(),
            failed_where: Vec::new(),
            exempt,
        }
    }

    fn clause(&self, failed: &[FailedNode]) -> String {
        let wave = self.wave_name(self.rollout.wave);
        let halted = || match failed.is_empty() {
            true => "it was aborted".to_owned(),
            false => format!("failed: {}", causes(failed)),
        };
        match self.rollout.phase {
            RolloutPhase::Complete => "complete".to_owned(),
            RolloutPhase::Halted => format!("halted in {wave}; {}", halted()),
            RolloutPhase::RollingBack => format!("goes back to {}; {}", self.last_good(), halted()),
            RolloutPhase::RolledBack => format!("has gone back to {}; {}", self.last_good(), halted()),
            _ if self.policy.spec.paused => format!("paused in {wave}"),
            RolloutPhase::Progressing => format!("{wave} is under way"),
            RolloutPhase::Baking => format!("{wave} is complete and watched{}", self.until()),
            RolloutPhase::WaitingForPromotion => format!("{wave} is complete and waits for promotion"),
            RolloutPhase::Stalled if *self.rollout.reason == RolloutReason::NoBudget => {
                "stalls: maxUnavailable is 0".to_owned()
            }
            RolloutPhase::Stalled => format!("stalls in {wave}: {}", self.rollout.reason),
        }
    }

    fn last_good(&self) -> String {
        format!("revision {}", self.rollout.last_good.unwrap_or("(none)"))
    }

    fn until(&self) -> String {
        let until = self.rollout.baked_at.map(Time::seconds);
        until.map(|until| format!(" until {}", time::format(until))).unwrap_or_default()
    }

    /// `wave 2 of 3 (zone-a)`.
    fn wave_name(&self, number: usize) -> String {
        let name = self.policy.spec.waves.get(number.saturating_sub(1)).map(|wave| wave.name.as_str());
        let name = name.filter(|name| **name != number.to_string()).map(|name| format!(" ({name})"));
        format!("wave {number} of {}{}", self.rollout.waves, name.unwrap_or_default())
    }

    /// Adds to the cause on a node what the policy makes of it.
    pub fn note(&self, node: &str, reason: &mut Reason) {
        let Some(node) = self.nodes.get(node) else { return };
        let policy = &self.policy.key.name;
        let note = match &node.failure {
            Some(failure) => format!("policy {policy} counts it as failed: {}", failure.reason),
            None if node.is_exempt => {
                format!("policy {policy} spares it: it was not well when its turn came")
            }
            None => return,
        };
        let is_first = reason.detail.is_empty();
        reason.detail = if is_first { note } else { format!("{}; {note}", reason.detail) };
    }

    /// Why nothing is done on a node for now; `None` when it is its turn.
    pub fn hold(&self, node: &str) -> Option<Reason> {
        let (policy, name) = (&self.policy.key.name, &self.rollout.daemonset);
        let command =
            |verb: &str| format!("everynode rollout {verb} daemonset/{name} -n {}", self.rollout.namespace);
        let text = self.text.as_str();
        match self.rollout.phase {
            RolloutPhase::Complete => return None,
            phase if phase.is_given_up() => {
                let what = match phase {
                    RolloutPhase::Halted => Kind::RolloutHalted,
                    _ => Kind::RolledBack,
                };
                let reason = Reason::new(what, format!("policy {policy} {text}"));
                return Some(reason.changed_by("a new template").changed_by(command("retry")));
            }
            _ if self.policy.spec.paused => {
                let reason = Reason::new(Kind::RolloutPaused, format!("policy {policy} is paused"));
                return Some(reason.changed_by(command("resume")));
            }
            RolloutPhase::Stalled => {
                let reason = Reason::new(Kind::RolloutStalled, format!("policy {policy} {text}"));
                return Some(match self.rollout.reason {
                    RolloutReason::NoBudget => reason.changed_by("maxUnavailable above 0"),
                    RolloutReason::LeavesOut { .. } => reason.changed_by("a last wave with nodes: \"100%\""),
                    RolloutReason::ServesNowhere => reason.changed_by("a new template"),
                    _ => reason.changed_by(command("promote")).changed_by("the waves of the policy"),
                });
            }
            _ => {}
        }
        let wave = match self.nodes.get(node)?.wave {
            Some(wave) if wave <= self.rollout.wave => return None,
            Some(wave) => format!("waits for {} of policy {policy}", self.wave_name(wave)),
            None => {
                let text = format!("no wave of policy {policy} has this node");
                return Some(
                    Reason::new(Kind::RolloutStalled, text).changed_by("a last wave with nodes: \"100%\""),
                );
            }
        };
        Some(match self.rollout.phase {
            RolloutPhase::WaitingForPromotion => Reason::new(Kind::WaitsForPromotion, wave)
                .detail(text)
                .since(self.rollout.wave_done_at.map(|at| at.seconds()))
                .changed_by(command("promote")),
            RolloutPhase::Baking => {
                let is_manual = self.policy.spec.waves.get(self.rollout.wave - 1).map(|one| one.gate);
                let then = if is_manual == Some(Gate::Manual) { ", then somebody promotes it" } else { "" };
                Reason::new(Kind::WaitsForWave, wave).detail(format!("{text}{then}"))
            }
            _ => Reason::new(Kind::WaitsForWave, wave).detail(text),
        })
    }
}

/// Several policies that select one DaemonSet.
pub fn conflict(policies: &[&PolicyFact]) -> Reason {
    let names: Vec<String> = policies.iter().map(|policy| policy.key.name.clone()).collect();
    let text = format!("policies {} select this DaemonSet, so none acts", names.join(" and "));
    Reason::new(Kind::PolicyConflict, text).changed_by("a selector of one of them that leaves it out")
}

/// `worker-03 (CrashLoopBackOff), worker-05 (NodeNotReady) and 4 more`.
fn causes(failed: &[FailedNode]) -> String {
    some(&failed.iter().map(|one| format!("{} ({})", one.node, one.reason)).collect::<Vec<_>>())
}
