//! Roll-outs under a RolloutPolicy: how they stand by the policy's status, and the commands that people give.

mod command;
mod history;
mod text;

use everynode_engine::policy::StoredNotes;
use serde::Serialize;
use serde_json::Value;

use crate::look::Look;
use crate::reason::Class;

pub use command::{Command, Order, Refused};
pub use history::{History, HistoryRow};

/// The path of the policies of a namespace, or of all.
pub fn collection(namespace: Option<&str>) -> String {
    let within = namespace.map(|namespace| format!("/namespaces/{namespace}")).unwrap_or_default();
    format!("/apis/everynode.dev/v1alpha1{within}/rolloutpolicies")
}

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
    pub phase: String,
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
    pub phase: String,
    /// What it does or waits for.
    pub message: String,
    /// The revision that it is about.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub revision: String,
    /// The last revision that all nodes had.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub last_good_revision: String,
    /// How often it was tried again.
    pub attempt: u64,
    /// Somebody has aborted it.
    pub aborted: bool,
    /// The wave under way, from 1.
    pub wave: u64,
    /// All waves.
    pub waves: Vec<Wave>,
    /// Nodes that should run a pod.
    pub desired: u64,
    /// Nodes with the revision.
    pub updated: u64,
    /// Nodes where it is available.
    pub available: u64,
    /// Nodes whose pod was taken away and where none is available yet.
    pub unavailable: u64,
    /// How many these may be.
    pub max_unavailable: u64,
    /// Nodes whose turn has not come.
    pub waiting: u64,
    /// How many nodes have failed.
    pub failed: u64,
    /// So many halt it.
    pub failure_budget: u64,
    /// Nodes that have failed, as far as the status names them.
    pub failed_nodes: Vec<FailedNode>,
    /// How many nodes were broken before their turn.
    pub exempt: u64,
    /// These, as far as the status names them.
    pub exempt_nodes: Vec<String>,
    /// Nodes without an available pod, by cause, the exempt and failed ones left out.
    pub unavailable_nodes: Vec<Unavailable>,
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
    pub number: u64,
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

impl Policy {
    /// Reads a served RolloutPolicy.
    pub fn of(object: &Value) -> Policy {
        let (metadata, spec, status) = (&object["metadata"], &object["spec"], &object["status"]);
        let entries = status["daemonSets"].as_object().into_iter().flatten();
        let mut rollouts: Vec<Rollout> =
            entries.map(|(name, entry)| Rollout::of(name, entry, spec)).collect();
        rollouts.sort_by(|a, b| a.daemonset.cmp(&b.daemonset));
        Policy {
            namespace: text(&metadata["namespace"]),
            name: text(&metadata["name"]),
            phase: text(&status["phase"]),
            message: text(&status["message"]),
            paused: spec["paused"] == true,
            is_observed: metadata["generation"] == status["observedGeneration"],
            rollouts,
        }
    }

    /// Adds what the pods say.
    pub fn add_evidence(&mut self, look: &Look<'_>) {
        for rollout in &mut self.rollouts {
            rollout.add_evidence(look, &self.namespace);
        }
    }
}

impl Rollout {
    fn of(name: &str, entry: &Value, spec: &Value) -> Rollout {
        let number = |key: &str| entry[key].as_u64().unwrap_or_default();
        let failed = items(&entry["failedNodes"]).map(|one| FailedNode {
            node: text(&one["node"]),
            reason: text(&one["reason"]),
            at: text(&one["at"]),
            evidence: None,
        });
        let mut rollout = Rollout {
            daemonset: name.to_owned(),
            phase: text(&entry["phase"]),
            message: text(&entry["message"]),
            revision: text(&entry["revision"]),
            last_good_revision: text(&entry["lastGoodRevision"]),
            attempt: number("attempt"),
            aborted: entry["aborted"] == true,
            wave: number("wave"),
            waves: Vec::new(),
            desired: number("desired"),
            updated: number("updated"),
            available: number("available"),
            unavailable: number("unavailable"),
            max_unavailable: number("maxUnavailable"),
            waiting: number("waiting"),
            failed: number("failed"),
            failure_budget: number("failureBudget"),
            failed_nodes: failed.collect(),
            exempt: number("exempt"),
            notes: StoredNotes::read(entry),
            exempt_nodes: items(&entry["exemptNodes"]).map(text).collect(),
            unavailable_nodes: Vec::new(),
            started_at: text(&entry["startedAt"]),
        };
        let done_at = entry["waveDoneAt"].as_str().and_then(|at| everynode_wire::time::parse(at).ok());
        let waves = (1..).zip(items(&spec["waves"]));
        rollout.waves = waves.map(|(number, wave)| rollout.wave(number, wave, done_at)).collect();
        if rollout.waves.is_empty() {
            rollout.waves.push(rollout.wave(
                1,
                &serde_json::json!({"name": "all", "nodes": "100%"}),
                done_at,
            ));
        }
        rollout
    }

    fn wave(&self, number: u64, wave: &Value, done_at: Option<i64>) -> Wave {
        let bake_seconds = wave["bakeSeconds"].as_i64().unwrap_or_default();
        let state = match self.phase.as_str() {
            "Complete" => WaveState::Complete,
            _ if number < self.wave => WaveState::Complete,
            _ if number > self.wave => WaveState::ToCome,
            "Baking" => WaveState::Baking,
            "WaitingForPromotion" => WaveState::WaitsForPromotion,
            "Stalled" => WaveState::Stalled,
            "Halted" | "RollingBack" | "RolledBack" => WaveState::Halted,
            _ => WaveState::UnderWay,
        };
        Wave {
            number,
            name: wave["name"].as_str().map_or_else(|| number.to_string(), str::to_owned),
            nodes: match &wave["nodes"] {
                Value::Null => selector_text(&wave["nodeSelector"]),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            },
            bake_seconds,
            is_manual: wave["gate"] == "Manual",
            state,
            until_seconds: done_at
                .filter(|_| state == WaveState::Baking)
                .map(|at| at.saturating_add(bake_seconds)),
        }
    }

    fn add_evidence(&mut self, look: &Look<'_>, namespace: &str) {
        let Some(set) = look.set(namespace, &self.daemonset) else { return };
        for answer in set.answers() {
            if !matches!(answer.class, Class::NotAvailable | Class::Missing) {
                continue;
            }
            let reason = answer.reason.text;
            if let Some(failed) = self.failed_nodes.iter_mut().find(|one| one.node == answer.node) {
                failed.evidence = Some(reason);
            } else if !self.notes.is_excused(&answer.node) {
                match self.unavailable_nodes.iter_mut().find(|one| one.reason == reason) {
                    Some(group) => group.nodes.push(answer.node),
                    None => self.unavailable_nodes.push(Unavailable { reason, nodes: vec![answer.node] }),
                }
            }
        }
    }

    /// The new revision was given up.
    pub fn is_given_up(&self) -> bool {
        matches!(self.phase.as_str(), "Halted" | "RollingBack" | "RolledBack")
    }
}

/// A label selector as kubectl writes it.
fn selector_text(selector: &Value) -> String {
    let labels = selector["matchLabels"].as_object().into_iter().flatten();
    let equal = labels.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
    let conditions = items(&selector["matchExpressions"]).map(|one| {
        let values: Vec<&str> = items(&one["values"]).filter_map(Value::as_str).collect();
        let (key, values) = (text(&one["key"]), values.join(","));
        match one["operator"].as_str() {
            Some("In") => format!("{key} in ({values})"),
            Some("NotIn") => format!("{key} notin ({values})"),
            Some("DoesNotExist") => format!("!{key}"),
            _ => key,
        }
    });
    let all: Vec<String> = equal.chain(conditions).collect();
    if all.is_empty() { "all nodes".to_owned() } else { all.join(",") }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests;
