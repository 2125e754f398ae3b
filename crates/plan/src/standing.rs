//! What keeps pods of a DaemonSet from their nodes as the fleet is, so that waiting does not help: on these nodes there
//! is no progress from which an end could be estimated.

use std::collections::BTreeMap;

use everynode_engine::{DaemonSetFact, Phase};
use serde_json::Value;

use crate::fleet::Fleet;
use crate::model::ModelNode;
use crate::policy::selects;
use crate::record::Pod;

/// Where a controller or a scheduler works, something is seen of it within this time.
const PATIENCE_SECONDS: i64 = 5;

/// Why a node has no pod that is well, and gets none by waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Its pods end, one after the other.
    Fails,
    /// No pod is made for it: the API server refuses them, or nobody asks.
    NotCreated,
    /// No scheduler looks at its pod.
    NotScheduled,
    /// A scheduler has looked at its pod, and does not bind it.
    Unschedulable,
}

/// Says of each node how the DaemonSet stands there as it is now.
pub(crate) fn mark(nodes: &mut [ModelNode], fleet: &Fleet, live: &Value) {
    let Some(daemonset) = DaemonSetFact::from_json(live) else { return };
    let uid = daemonset.uid.to_string();
    let mut pods: BTreeMap<&str, Vec<&Pod>> = BTreeMap::new();
    for pod in fleet.pods.iter().filter(|pod| pod.daemon_set.as_ref() == Some(&uid)) {
        pods.entry(pod.node.as_deref().unwrap_or_default()).or_default().push(pod);
    }
    let all = || pods.values().flatten();
    let now_seconds = fleet.taken_at_millis.div_euclid(1000);
    let is_old = |since_seconds: i64| now_seconds - since_seconds > PATIENCE_SECONDS;
    let made =
        all().map(|pod| pod.created).chain(daemonset.created.map(|time| time.0.div_euclid(1000))).max();
    let creates = is_told_all(fleet, &daemonset) && made.is_some_and(is_old);
    let bound = all().filter(|pod| pod.bound).map(|pod| pod.created).max();
    for node in nodes {
        let here = pods.get(node.name.as_str()).map_or(&[][..], Vec::as_slice);
        let should_run = daemonset.template.placement().verdict(node).should_run;
        let unscheduled = |pod: &Pod| match pod.detail.as_ref().and_then(|detail| detail.unscheduled.as_ref())
        {
            _ if pod.bound || pod.deleting || !is_old(pod.created) => None,
            Some(statement) => statement.since.is_none_or(is_old).then_some(Standing::Unschedulable),
            // A scheduler that has work to do binds the older pods first.
            None => (bound < Some(pod.created)).then_some(Standing::NotScheduled),
        };
        node.standing = match () {
            () if !should_run => None,
            () if here.is_empty() && creates && node.ready_since.is_some_and(is_old) => {
                Some(Standing::NotCreated)
            }
            () if here.iter().any(|pod| pod.ready) => None,
            () if here.iter().any(|pod| Phase::parse(&pod.phase).is_terminal()) => Some(Standing::Fails),
            () => here.iter().find_map(|pod| unscheduled(pod)),
        };
    }
}

/// That a node has no pod is seen, and is no plan of somebody.
fn is_told_all(fleet: &Fleet, daemonset: &DaemonSetFact) -> bool {
    let is_seen = !fleet.unseen.iter().any(|unseen| unseen.what.starts_with("pods"));
    let is_paced = fleet.policies.iter().any(|policy| selects(policy, daemonset));
    is_seen
        && !is_paced
        && !daemonset.deleting
        && daemonset.status.observed_generation >= daemonset.generation
}
