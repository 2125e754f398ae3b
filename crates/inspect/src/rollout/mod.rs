//! Roll-outs under a RolloutPolicy: how they stand by the policy's status, and the commands that people give.

mod analysis;
mod choose;
mod command;
mod follow;
mod history;
mod text;

use everynode_api::{Gate, PolicyPhase, PolicySpec, PolicyStatus, RolloutPhase, RolloutStatus, WaveNodes};
use everynode_engine::LabelSelector;
use everynode_engine::policy::StoredNotes;
use everynode_model::json::text;
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::cohort::FailedWhere;
use crate::look::Look;
use crate::reason::Class;

pub use analysis::{Analysis, SignalAnalysis};
pub use choose::Target;
pub use command::{Command, Order, Refused};
pub use follow::{Following, PoliciesError};
pub use history::{History, HistoryRow};

/// The policies of a namespace, or of all. The JSON form is documented in `docs/rollouts.md`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Policies {
    /// The namespace; `None` for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Those that were asked for, by name.
    pub policies: Vec<Policy>,
}

/// A RolloutPolicy and what it conducts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// metadata.namespace.
    pub namespace: String,
    /// metadata.name.
    pub name: String,
    /// status.phase: that of the roll-out that matters most, `Conflict` or `Idle`; empty before it was looked at.
    #[serde(serialize_with = "word")]
    pub phase: Option<PolicyPhase>,
    /// status.message.
    pub message: String,
    /// spec.paused.
    pub paused: bool,
    /// The controller has looked at it as it is.
    pub is_observed: bool,
    /// Its roll-outs, by the names of their DaemonSets.
    pub rollouts: Vec<Rollout>,
}

/// The roll-out of one DaemonSet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// metadata.name of the DaemonSet.
    pub daemonset: String,
    /// How far it has come.
    pub phase: RolloutPhase,
    /// What it does or waits for.
    pub message: String,
    /// status.daemonSets.promotion: what has it go on, when it waits for somebody.
    pub promotion: Option<String>,
    /// The revision that it is about.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub revision: String,
    /// The last revision that all nodes had.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub last_good_revision: String,
    /// How often it was tried again.
    pub attempt: i64,
    /// Somebody has aborted it.
    pub aborted: bool,
    /// The wave under way, from 1.
    pub wave: usize,
    /// All waves.
    pub waves: Vec<Wave>,
    /// Nodes that should run a pod.
    pub desired: usize,
    /// Nodes with the revision.
    pub updated: usize,
    /// Nodes where it is available.
    pub available: usize,
    /// Nodes whose pod was taken away and where none is available yet.
    pub unavailable: usize,
    /// How many these may be.
    pub max_unavailable: usize,
    /// Nodes whose turn has not come.
    pub waiting: usize,
    /// How many nodes have failed.
    pub failed: usize,
    /// So many halt it.
    pub failure_budget: usize,
    /// Nodes that have failed, as far as the status names them.
    pub failed_nodes: Vec<FailedNode>,
    /// What the failed nodes have in common, the clearest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed_where: Vec<FailedWhere>,
    /// How many nodes were broken before their turn.
    pub exempt: usize,
    /// These, as far as the status names them.
    pub exempt_nodes: Vec<String>,
    /// Nodes without an available pod, by cause, the exempt and failed ones left out.
    pub unavailable_nodes: Vec<Unavailable>,
    /// Whether the revision is worse, by what its nodes show, where the policy asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub analysis: Option<Analysis>,
    /// When it began, as the status has it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub started_at: String,
    /// What the status has noted of nodes, whole.
    #[serde(skip)]
    notes: StoredNotes,
}

/// A wave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Wave {
    /// From 1.
    pub number: usize,
    /// Its name; its number when it has none.
    pub name: String,
    /// Its nodes in words: `1`, `50%`, `zone=a`.
    pub nodes: String,
    /// How long it is watched, in seconds.
    pub bake_seconds: i64,
    /// Somebody has to promote it.
    pub is_manual: bool,
    /// How it stands.
    pub state: WaveState,
    /// How long it is being watched, in Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until_seconds: Option<i64>,
}

/// How a wave stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum WaveState {
    /// It is over.
    Complete,
    /// Its nodes are being updated.
    UnderWay,
    /// Its nodes are available, and it is watched.
    Baking,
    /// Somebody is to promote it.
    WaitsForPromotion,
    /// It cannot go on.
    Stalled,
    /// It was stopped.
    Halted,
    /// It has not begun.
    ToCome,
}

/// A node that failed with the new revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedNode {
    /// The node.
    pub node: String,
    /// Why, in one word.
    pub reason: String,
    /// When it was noticed.
    pub at: String,
    /// What its pod says now, unless it is available.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
}

/// Nodes without an available pod for the same cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Unavailable {
    /// The cause.
    pub reason: String,
    /// The nodes.
    pub nodes: Vec<String>,
}

fn word<S: Serializer>(phase: &Option<PolicyPhase>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(phase.map_or("", PolicyPhase::name))
}

impl Policies {
    /// Adds what the pods say.
    pub fn add_evidence(&mut self, look: &Look<'_>) {
        self.policies.iter_mut().for_each(|policy| policy.add_evidence(look));
    }
}

impl Policy {
    /// Reads a served RolloutPolicy.
    pub fn of(object: &Value) -> Policy {
        let metadata = &object["metadata"];
        let (spec, status) =
            (PolicySpec::from_json(&object["spec"]), PolicyStatus::from_json(&object["status"]));
        let rollouts = status.rollouts.into_iter();
        Policy {
            namespace: text(&metadata["namespace"]),
            name: text(&metadata["name"]),
            phase: status.phase,
            message: status.message,
            paused: spec.paused,
            is_observed: metadata["generation"].as_i64().unwrap_or_default() == status.observed_generation,
            rollouts: rollouts.map(|(name, said)| Rollout::of(name, said, &spec)).collect(),
        }
    }

    /// The roll-out of a DaemonSet.
    pub fn rollout(&self, daemonset: &str) -> Option<&Rollout> {
        self.rollouts.iter().find(|one| one.daemonset == daemonset)
    }

    /// Adds what the pods say.
    fn add_evidence(&mut self, look: &Look<'_>) {
        for rollout in &mut self.rollouts {
            rollout.add_evidence(look, &self.namespace);
        }
    }
}

impl Rollout {
    /// It goes on when somebody promotes the wave under way.
    pub fn is_promotable(&self) -> bool {
        self.phase == RolloutPhase::WaitingForPromotion || self.promotion.is_some()
    }

    fn of(name: String, said: RolloutStatus, spec: &PolicySpec) -> Rollout {
        let time = |at: Option<i64>| at.map(everynode_model::time::format).unwrap_or_default();
        let waves =
            (1..).zip(&spec.waves).map(|(number, wave)| Wave::of(number, wave, spec, &said)).collect();
        let notes = StoredNotes::read(&said);
        let failed = said.failed_nodes.into_iter().map(|one| FailedNode {
            node: one.node,
            reason: one.reason,
            at: time(one.at),
            evidence: None,
        });
        Rollout {
            daemonset: name,
            phase: said.phase,
            message: said.message,
            promotion: said.promotion,
            revision: said.revision.unwrap_or_default(),
            last_good_revision: said.last_good_revision.unwrap_or_default(),
            attempt: said.attempt,
            aborted: said.aborted,
            wave: said.wave,
            waves,
            desired: said.desired,
            updated: said.updated,
            available: said.available,
            unavailable: said.unavailable,
            max_unavailable: said.max_unavailable,
            waiting: said.waiting,
            failed: said.failed,
            failure_budget: said.failure_budget,
            failed_nodes: failed.collect(),
            failed_where: Vec::new(),
            exempt: said.exempt,
            notes,
            exempt_nodes: said.exempt_nodes,
            unavailable_nodes: Vec::new(),
            analysis: said.analysis.map(Analysis::of),
            started_at: time(said.started_at),
        }
    }

    fn add_evidence(&mut self, look: &Look<'_>, namespace: &str) {
        let Some(set) = look.set(namespace, &self.daemonset) else { return };
        self.failed_where = FailedWhere::of(&set);
        for answer in set.answers() {
            if !matches!(answer.class, Class::NotAvailable | Class::Missing) {
                continue;
            }
            let reason = answer.reason.text;
            if let Some(failed) = self.failed_nodes.iter_mut().find(|one| *one.node == *answer.node) {
                failed.evidence = Some(reason);
            } else if !self.notes.is_excused(&answer.node) {
                let node = answer.node.to_string();
                match self.unavailable_nodes.iter_mut().find(|one| one.reason == reason) {
                    Some(group) => group.nodes.push(node),
                    None => self.unavailable_nodes.push(Unavailable { reason, nodes: vec![node] }),
                }
            }
        }
    }
}

impl Wave {
    fn of(number: usize, wave: &everynode_api::Wave, spec: &PolicySpec, said: &RolloutStatus) -> Wave {
        let bake_seconds = spec.bake_seconds(number - 1);
        let state = match said.phase {
            RolloutPhase::Complete => WaveState::Complete,
            _ if number < said.wave => WaveState::Complete,
            _ if number > said.wave => WaveState::ToCome,
            RolloutPhase::Baking => WaveState::Baking,
            RolloutPhase::WaitingForPromotion => WaveState::WaitsForPromotion,
            RolloutPhase::Stalled => WaveState::Stalled,
            RolloutPhase::Halted | RolloutPhase::RollingBack | RolloutPhase::RolledBack => WaveState::Halted,
            RolloutPhase::Progressing => WaveState::UnderWay,
        };
        let done_at = said.wave_done_at.filter(|_| state == WaveState::Baking);
        Wave {
            number,
            name: wave.name.clone(),
            nodes: match &wave.nodes {
                WaveNodes::Count(count) => count.to_string(),
                WaveNodes::Selector(LabelSelector::Everything) => "all nodes".to_owned(),
                WaveNodes::Selector(selector) => selector.to_string(),
            },
            bake_seconds,
            is_manual: wave.gate == Gate::Manual,
            state,
            until_seconds: done_at.map(|at| at.saturating_add(bake_seconds)),
        }
    }
}

#[cfg(test)]
mod tests;
