//! What keeps pods of a DaemonSet from their nodes as the fleet is, so that waiting does not help: on these nodes there
//! is no progress from which an end could be estimated.

use std::collections::BTreeMap;

use everynode_engine::{DaemonSetFact, Phase};
use serde_json::Value;

use crate::fleet::Fleet;
use crate::model::ModelNode;
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
    let seen = Seen::of(fleet, &daemonset);
    for node in nodes {
        let should_run = daemonset.template.placement().verdict(node).should_run;
        node.standing = if should_run { seen.standing(node) } else { None };
    }
}

/// The pods of a DaemonSet, and what is seen of those who make and bind them. Times are Unix seconds.
struct Seen<'a> {
    pods: BTreeMap<&'a str, Vec<&'a Pod>>,
    now: i64,
    /// Where there is no pod one would be made, and none was for a while.
    makes_none: bool,
    /// When the youngest of the pods was created that are bound.
    last_bound: Option<i64>,
}

impl<'a> Seen<'a> {
    fn of(fleet: &'a Fleet, daemonset: &DaemonSetFact) -> Seen<'a> {
        let uid = daemonset.uid.to_string();
        let own = || fleet.pods.iter().filter(|pod| pod.daemon_set.as_deref() == Some(&*uid));
        let mut pods: BTreeMap<&str, Vec<&Pod>> = BTreeMap::new();
        for pod in own() {
            pods.entry(pod.node.as_deref().unwrap_or_default()).or_default().push(pod);
        }
        let made = own().map(|pod| pod.created).chain(daemonset.created.map(|time| time.seconds()));
        let last_made = made.max();
        let mut seen = Seen {
            pods,
            now: fleet.taken_at_millis.div_euclid(1000),
            makes_none: false,
            last_bound: own().filter(|pod| pod.bound).map(|pod| pod.created).max(),
        };
        seen.makes_none = is_told_all(fleet, daemonset) && last_made.is_some_and(|at| seen.is_old(at));
        seen
    }

    fn is_old(&self, since: i64) -> bool {
        self.now - since > PATIENCE_SECONDS
    }

    fn standing(&self, node: &ModelNode) -> Option<Standing> {
        let Some(pods) = self.pods.get(node.name.as_str()) else {
            let has_joined = node.ready_since.is_some_and(|since| self.is_old(since));
            return (self.makes_none && has_joined).then_some(Standing::NotCreated);
        };
        match pods.iter().any(|pod| Phase::parse(&pod.phase).is_terminal()) {
            _ if pods.iter().any(|pod| pod.ready) => None,
            true => Some(Standing::Fails),
            false => pods.iter().find_map(|pod| self.unbound(pod)),
        }
    }

    fn unbound(&self, pod: &Pod) -> Option<Standing> {
        if pod.bound || pod.deleting || !self.is_old(pod.created) {
            return None;
        }
        match pod.detail.as_ref().and_then(|detail| detail.unscheduled.as_ref()) {
            Some(said) => {
                said.since.is_none_or(|since| self.is_old(since)).then_some(Standing::Unschedulable)
            }
            // A scheduler that has work to do binds the older pods first.
            None => (self.last_bound < Some(pod.created)).then_some(Standing::NotScheduled),
        }
    }
}

/// That a node has no pod is seen, and is no plan of somebody.
fn is_told_all(fleet: &Fleet, daemonset: &DaemonSetFact) -> bool {
    let is_paced = fleet.policies.iter().any(|policy| policy.selects(daemonset));
    fleet.sees("pods")
        && !is_paced
        && !daemonset.deleting
        && daemonset.status.observed_generation >= daemonset.generation
}
