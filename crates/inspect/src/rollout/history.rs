//! The revisions of a DaemonSet, and what its roll-outs made of them.

use everynode_model::Value;
use everynode_plan::Fleet;
use serde::Serialize;

use super::{Policy, text};

/// The label of a revision with the hash that pods have.
const HASH_LABEL: &str = "controller-revision-hash";

/// The revisions of a DaemonSet, the newest last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct History {
    /// metadata.name of the DaemonSet.
    pub daemonset: String,
    /// The revisions.
    pub revisions: Vec<HistoryRow>,
}

/// A ControllerRevision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryRow {
    /// Its number, as `kubectl rollout undo --to-revision` takes it.
    pub revision: i64,
    /// The hash that is in its pods' labels.
    pub hash: String,
    /// How many pods are made from it.
    pub pods: usize,
    /// The images of its containers.
    pub images: Vec<String>,
    /// What a roll-out made of it, `current`, or nothing.
    pub notes: Vec<String>,
}

impl History {
    /// Looks at the revisions of a DaemonSet; `policy` is the one that conducts it. `None` when there is no such
    /// DaemonSet.
    pub fn of(fleet: &Fleet, namespace: &str, name: &str, policy: Option<&Policy>) -> Option<History> {
        let uid = text(&fleet.daemonset(namespace, name)?["metadata"]["uid"]);
        let rollout = policy.and_then(|policy| policy.rollout(name));
        let mut rows: Vec<HistoryRow> = fleet
            .revisions
            .iter()
            .filter(|one| one.daemon_set == uid)
            .map(|one| {
                let hash = one.labels.get(HASH_LABEL).unwrap_or_default().to_owned();
                let own = fleet.pods.iter().filter(|pod| pod.daemon_set.as_deref() == Some(&*uid));
                let mut notes = Vec::new();
                if let Some(rollout) = rollout {
                    if rollout.revision == hash {
                        notes.push(rollout.phase.to_string());
                    }
                    if rollout.last_good_revision == hash {
                        notes.push("last good".to_owned());
                    }
                }
                HistoryRow {
                    revision: one.revision,
                    pods: own.filter(|pod| pod.labels.get(HASH_LABEL) == Some(&*hash)).count(),
                    hash,
                    images: images(&one.data),
                    notes,
                }
            })
            .collect();
        rows.sort_by_key(|row| row.revision);
        if let Some(newest) = rows.last_mut().filter(|row| row.notes.is_empty()) {
            newest.notes.push("newest".to_owned());
        }
        Some(History { daemonset: name.to_owned(), revisions: rows })
    }
}

fn images(data: &str) -> Vec<String> {
    let data: Value = serde_json::from_str(data).unwrap_or_default();
    let containers = data["spec"]["template"]["spec"]["containers"].as_array().into_iter().flatten();
    containers.map(|one| text(&one["image"])).collect()
}
