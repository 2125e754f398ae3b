//! What nodes have in common on which a new revision fails.

use everynode_analysis::{Labelled, cohorts};
use serde::Serialize;

use crate::look::Set;

/// Nodes with a value of a label, among which more fail than chance would have fail. Its JSON form is documented in
/// `docs/why-status.md`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedWhere {
    /// The label, or a field of `status.nodeInfo` such as `kernelVersion`.
    pub label: String,
    /// Its value.
    pub value: String,
    /// Others that the same nodes have, as `label=value`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alike: Vec<String>,
    /// How many failed nodes have it,
    pub failed_with: usize,
    /// of so many that failed;
    pub failed: usize,
    /// how many nodes have it,
    pub nodes_with: usize,
    /// of so many that the roll-out has come to.
    pub nodes: usize,
    /// Chance alone would show as much in one of so many cases.
    pub one_in: u64,
    /// The same as a clause.
    pub text: String,
}

impl FailedWhere {
    /// What explains on which nodes the roll-out has failed, of those that it has come to: they failed, or have a pod
    /// that is younger than the roll-out.
    pub(crate) fn of(set: &Set<'_>) -> Vec<FailedWhere> {
        let Some(conducted) = &set.conducted else { return Vec::new() };
        let is_failed = |node: &everynode_engine::RolloutNode| node.failure.is_some();
        if conducted.nodes.values().filter(|node| is_failed(node)).count() < 2 {
            return Vec::new();
        }
        let began = conducted.rollout.started_at.map_or(i64::MAX, |at| at.seconds());
        let touched = set.nodes_with_pods_since(began);
        let nodes = conducted
            .nodes
            .values()
            .filter(|node| !node.is_exempt && (is_failed(node) || touched.contains(&*node.node)));
        let labelled: Vec<Labelled<'_>> = nodes
            .filter_map(|node| {
                let known = set.known_node(&node.node)?;
                let labels = known.labels.iter().chain(known.system.iter()).collect();
                Some(Labelled { is_marked: is_failed(node), labels })
            })
            .collect();
        let told = cohorts(&labelled).into_iter().map(|cohort| FailedWhere {
            text: format!("of the nodes that failed {cohort}"),
            one_in: cohort.one_in(),
            label: cohort.label.0,
            value: cohort.label.1,
            alike: cohort.alike.into_iter().map(|(name, value)| format!("{name}={value}")).collect(),
            failed_with: cohort.marked_inside,
            failed: cohort.marked,
            nodes_with: cohort.inside,
            nodes: cohort.nodes,
        });
        told.collect()
    }
}
