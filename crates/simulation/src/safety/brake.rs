//! Creations are bounded per DaemonSet, node and time, whatever anybody writes.

use std::collections::{BTreeMap, BTreeSet};

use everynode_model::Value;

use crate::model::{Store, controller_uid, is_ready, target_node, uid};

/// The time that creations are counted in.
const WINDOW_MILLIS: u64 = 60_000;
/// So many may be made in it while nothing lets the brake go: six at once, then after pauses of 1, 2, 4, 8 and 16 s; two
/// more were sent before, and are made late.
const CREATIONS_LIMIT: usize = 13;

/// Pods created on nodes, and what a controller may begin to count anew for.
#[derive(Debug, Default)]
pub(super) struct Brake {
    /// When pods were created, by the DaemonSet's uid and the node.
    created: BTreeMap<(String, String), Vec<u64>>,
    /// When a pod that a controller made became ready for the first time.
    served: BTreeMap<(String, String), Vec<u64>>,
    /// The pods that controllers made and that were not ready yet, by uid. Others say nothing, and one that is taken
    /// away and given back is nothing new.
    fresh: BTreeSet<String>,
    /// When another template was written, by the DaemonSet's uid; when nodes changed; when a controller began.
    edited: BTreeMap<String, Vec<u64>>,
    moved: BTreeMap<String, Vec<u64>>,
    begun: Vec<u64>,
}

impl Brake {
    /// A pod as it is now.
    pub(super) fn see(&mut self, pod: &Value, now: u64) {
        let (Some(("DaemonSet", owner)), Some(node)) = (controller_uid(pod), target_node(pod)) else {
            return;
        };
        if is_ready(pod) && self.fresh.remove(uid(pod)) {
            self.served.entry((owner.to_owned(), node.to_owned())).or_default().push(now);
        }
    }

    pub(super) fn edit(&mut self, daemonset: &Value, now: u64) {
        self.edited.entry(uid(daemonset).to_owned()).or_default().push(now);
    }

    pub(super) fn move_node(&mut self, node: &str, now: u64) {
        self.moved.entry(node.to_owned()).or_default().push(now);
    }

    pub(super) fn begin(&mut self, now: u64) {
        self.begun.push(now);
    }

    /// A controller creates a pod; what is too many is told. What lets the brake go is seen late by so much.
    pub(super) fn check(
        &mut self,
        pod: &Value,
        owner: &str,
        node: &str,
        now: u64,
        staleness_millis: u64,
    ) -> Option<String> {
        self.fresh.insert(uid(pod).to_owned());
        let key = (owner.to_owned(), node.to_owned());
        let created = self.created.entry(key.clone()).or_default();
        created.push(now);
        let since = now.saturating_sub(WINDOW_MILLIS);
        created.retain(|at| *at >= since);
        let count = created.len();
        let felt = since.saturating_sub(staleness_millis);
        let recent = |all: Option<&Vec<u64>>| all.into_iter().flatten().filter(|at| **at >= felt).count();
        let resets = recent(self.served.get(&key))
            + recent(self.edited.get(owner))
            + recent(self.moved.get(node))
            + recent(Some(&self.begun));
        (count > CREATIONS_LIMIT * (1 + resets)).then(|| {
            format!("{count} pods within a minute on {node}, and the count began anew {resets} times")
        })
    }
}

/// The pod is made of this template: all but where it goes is the same.
pub(super) fn is_made_of(pod: &Value, template: &Value) -> bool {
    let strip = |spec: &Value| {
        let mut spec = spec.clone();
        for field in ["affinity", "tolerations", "nodeName", "schedulerName"] {
            spec.as_object_mut().and_then(|spec| spec.shift_remove(field));
        }
        spec
    };
    strip(&pod["spec"]) == strip(&template["spec"])
}

/// Nothing that belongs to a DaemonSet of another namespace is written.
pub(super) fn leaves_its_namespace(store: &Store, object: &Value) -> Option<String> {
    let (kind, owner) = controller_uid(object)?;
    let daemonset = store.all(crate::model::Kind::DaemonSet).find(|one| uid(one) == owner)?;
    let (own, there) = (crate::model::namespace(daemonset), crate::model::namespace(object));
    (kind == "DaemonSet" && own != there).then(|| format!("writes in {there} for a DaemonSet of {own}"))
}
