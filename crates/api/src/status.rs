//! How the roll-outs of a policy stand: written by the controller, for people and for the next leader.

use std::collections::BTreeMap;

use everynode_model::json::{items, text};
use everynode_model::time;
use serde_json::{Map, Value, json};

use crate::{AnalysisStatus, PolicyPhase, RolloutPhase};

/// status of a RolloutPolicy. Times are Unix seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyStatus {
    /// The generation that this is about.
    pub observed_generation: i64,
    /// That of the roll-out that matters most; `None` before it was looked at.
    pub phase: Option<PolicyPhase>,
    /// What it does or waits for.
    pub message: String,
    /// `Progressing`, `Available`, `Paused` and `Degraded`.
    pub conditions: Vec<Condition>,
    /// The roll-outs, by the names of their DaemonSets.
    pub rollouts: BTreeMap<String, RolloutStatus>,
}

/// A condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// type.
    pub kind: String,
    /// status is `True`.
    pub is_true: bool,
    /// Why, in one word.
    pub reason: String,
    /// The same for people.
    pub message: String,
    /// Since when its status is what it is.
    pub last_transition_time: Option<i64>,
}

/// The roll-out of one DaemonSet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RolloutStatus {
    /// The revision that it is about: its pods' label `controller-revision-hash`.
    pub revision: Option<String>,
    /// The last revision that all nodes had.
    pub last_good_revision: Option<String>,
    /// SHA-256 of that revision's data: nothing is made of another one.
    pub last_good_data: Option<String>,
    /// How far it has come.
    pub phase: RolloutPhase,
    /// What it does or waits for.
    pub message: String,
    /// The value of the annotation for [`crate::Command::Promote`] by which it goes on, when it waits for that.
    pub promotion: Option<String>,
    /// The wave under way, from 1.
    pub wave: usize,
    /// How many waves there are.
    pub waves: usize,
    /// The name of the wave under way.
    pub wave_name: Option<String>,
    /// Since when all nodes of the wave are available.
    pub wave_done_at: Option<i64>,
    /// How often it was tried again.
    pub attempt: i64,
    /// Somebody has aborted it.
    pub aborted: bool,
    /// Nodes that should run a pod.
    pub desired: usize,
    /// Nodes with the revision.
    pub updated: usize,
    /// Nodes where the revision serves.
    pub available: usize,
    /// Nodes whose pod was taken away and where none serves yet.
    pub unavailable: usize,
    /// How many nodes that may be.
    pub max_unavailable: usize,
    /// Nodes whose turn has not come.
    pub waiting: usize,
    /// Nodes that failed with the revision.
    pub failed: usize,
    /// So many failed nodes halt it.
    pub failure_budget: usize,
    /// Nodes that were broken before their turn came.
    pub exempt: usize,
    /// The first of the nodes that failed.
    pub failed_nodes: Vec<FailedNode>,
    /// The first of the nodes that were broken before their turn came.
    pub exempt_nodes: Vec<String>,
    /// The first of the nodes whose pod was taken away and where none serves yet.
    pub unavailable_nodes: Vec<String>,
    /// A record for each node of the three lists, where one of these is cut.
    pub node_hashes: Option<String>,
    /// When it began.
    pub started_at: Option<i64>,
    /// When it last came further.
    pub progress_at: Option<i64>,
    /// How the revision is judged, when the policy asks for that.
    pub analysis: Option<AnalysisStatus>,
}

/// A node that failed with the new revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedNode {
    /// Its name.
    pub node: String,
    /// Why, in one word.
    pub reason: String,
    /// When that was noticed.
    pub at: Option<i64>,
}

fn seconds(value: &Value) -> Option<i64> {
    value.as_str().and_then(|text| time::parse(text).ok())
}

fn timestamp(seconds: Option<i64>) -> Value {
    seconds.map_or(Value::Null, |seconds| time::format(seconds).into())
}

fn count(value: &Value) -> usize {
    value.as_u64().and_then(|count| usize::try_from(count).ok()).unwrap_or_default()
}

fn names(value: &Value) -> Vec<String> {
    items(value).filter_map(|name| Some(name.as_str()?.to_owned())).collect()
}

impl PolicyStatus {
    /// Reads status.
    pub fn from_json(status: &Value) -> Self {
        let rollouts = status["daemonSets"].as_object().into_iter().flatten();
        let rollouts = rollouts.filter(|(_, rollout)| rollout.is_object());
        PolicyStatus {
            observed_generation: status["observedGeneration"].as_i64().unwrap_or_default(),
            phase: status["phase"].as_str().and_then(PolicyPhase::parse),
            message: text(&status["message"]),
            conditions: items(&status["conditions"]).map(Condition::from_json).collect(),
            rollouts: rollouts
                .map(|(name, rollout)| (name.clone(), RolloutStatus::from_json(rollout)))
                .collect(),
        }
    }

    /// The status as it is served; null for what is not said.
    pub fn to_json(&self) -> Value {
        let rollouts: Map<String, Value> =
            self.rollouts.iter().map(|(name, rollout)| (name.clone(), rollout.to_json())).collect();
        let conditions: Vec<Value> = self.conditions.iter().map(Condition::to_json).collect();
        let mut status = json!({
            "observedGeneration": self.observed_generation,
            "phase": self.phase.map(PolicyPhase::name),
            "message": self.message,
            "conditions": conditions,
        });
        // The macro would copy it.
        status["daemonSets"] = rollouts.into();
        status
    }

    /// The JSON merge patch of status that makes this of the last one.
    pub fn merge_patch(&self, last: &PolicyStatus) -> Value {
        let mut patch = self.to_json();
        for gone in last.rollouts.keys().filter(|name| !self.rollouts.contains_key(*name)) {
            patch["daemonSets"][gone] = Value::Null;
        }
        patch
    }
}

impl Condition {
    fn from_json(condition: &Value) -> Self {
        Condition {
            kind: text(&condition["type"]),
            is_true: condition["status"] == "True",
            reason: text(&condition["reason"]),
            message: text(&condition["message"]),
            last_transition_time: seconds(&condition["lastTransitionTime"]),
        }
    }

    fn to_json(&self) -> Value {
        json!({
            "type": self.kind,
            "status": if self.is_true { "True" } else { "False" },
            "reason": self.reason,
            "message": self.message,
            "lastTransitionTime": timestamp(self.last_transition_time),
        })
    }
}

impl RolloutStatus {
    /// Reads the entry of one DaemonSet.
    pub fn from_json(entry: &Value) -> Self {
        let string = |key: &str| entry[key].as_str().map(str::to_owned);
        RolloutStatus {
            revision: string("revision"),
            last_good_revision: string("lastGoodRevision"),
            last_good_data: string("lastGoodData"),
            phase: entry["phase"].as_str().and_then(RolloutPhase::parse).unwrap_or_default(),
            message: text(&entry["message"]),
            promotion: string("promotion"),
            wave: count(&entry["wave"]).max(1),
            waves: count(&entry["waves"]),
            wave_name: string("waveName"),
            wave_done_at: seconds(&entry["waveDoneAt"]),
            attempt: entry["attempt"].as_i64().unwrap_or_default(),
            aborted: entry["aborted"] == true,
            desired: count(&entry["desired"]),
            updated: count(&entry["updated"]),
            available: count(&entry["available"]),
            unavailable: count(&entry["unavailable"]),
            max_unavailable: count(&entry["maxUnavailable"]),
            waiting: count(&entry["waiting"]),
            failed: count(&entry["failed"]),
            failure_budget: count(&entry["failureBudget"]),
            exempt: count(&entry["exempt"]),
            failed_nodes: items(&entry["failedNodes"]).filter_map(FailedNode::from_json).collect(),
            exempt_nodes: names(&entry["exemptNodes"]),
            unavailable_nodes: names(&entry["unavailableNodes"]),
            node_hashes: string("nodeHashes"),
            started_at: seconds(&entry["startedAt"]),
            progress_at: seconds(&entry["progressAt"]),
            analysis: AnalysisStatus::from_json(&entry["analysis"]),
        }
    }

    fn to_json(&self) -> Value {
        let failed: Vec<Value> = self.failed_nodes.iter().map(FailedNode::to_json).collect();
        json!({
            "revision": self.revision,
            "lastGoodRevision": self.last_good_revision,
            "lastGoodData": self.last_good_data,
            "phase": self.phase.name(),
            "message": self.message,
            "promotion": self.promotion,
            "wave": self.wave,
            "waves": self.waves,
            "waveName": self.wave_name,
            "waveDoneAt": timestamp(self.wave_done_at),
            "attempt": self.attempt,
            "aborted": self.aborted,
            "desired": self.desired,
            "updated": self.updated,
            "available": self.available,
            "unavailable": self.unavailable,
            "maxUnavailable": self.max_unavailable,
            "waiting": self.waiting,
            "failed": self.failed,
            "failureBudget": self.failure_budget,
            "exempt": self.exempt,
            "failedNodes": failed,
            "exemptNodes": self.exempt_nodes,
            "unavailableNodes": self.unavailable_nodes,
            "nodeHashes": self.node_hashes,
            "startedAt": timestamp(self.started_at),
            "progressAt": timestamp(self.progress_at),
            "analysis": self.analysis.as_ref().map(AnalysisStatus::to_json),
        })
    }
}

impl FailedNode {
    /// `None` without a name or a reason.
    fn from_json(one: &Value) -> Option<Self> {
        Some(FailedNode {
            node: one["node"].as_str()?.to_owned(),
            reason: one["reason"].as_str()?.to_owned(),
            at: seconds(&one["at"]),
        })
    }

    fn to_json(&self) -> Value {
        json!({"node": self.node, "reason": self.reason, "at": timestamp(self.at)})
    }
}
