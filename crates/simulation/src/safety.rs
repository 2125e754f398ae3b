//! What must hold after every change.
//!
//! A controller acts on what it has seen, which may be as old as the weather allows. So each check asks for the
//! best that a controller can know: what a person changed within that time excuses what would be wrong by the newest
//! state. What the controller itself did is never an excuse.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use everynode_client::Clock;
use everynode_wire::Value;

use crate::actor::Actor;
use crate::clock::SimClock;
use crate::model::{
    Change, Kind, Moved, Store, Target, Verb, controller_uid, daemonset_allows_surge, is_available_at,
    is_deleting, is_live, is_terminal, label, name, target_node, uid,
};
use crate::naive::{is_updated, place, scaled, selects};
use crate::weather::Weather;

const HASH_LABEL: &str = "controller-revision-hash";

/// The judge, with what it remembers.
#[derive(Debug)]
pub(crate) struct Safety {
    /// Nothing is judged: what is done to the controller is more than an API server does.
    pub(crate) is_off: bool,
    staleness_millis: u64,
    knows_time: bool,
    /// The versions of each DaemonSet, by uid; status does not count.
    daemonsets: BTreeMap<String, Vec<(u64, Arc<Value>)>>,
    /// Pods that some DaemonSet controls or has controlled.
    controlled: BTreeSet<String>,
    /// When a pod was last not selected or not controlled by its DaemonSet.
    loose: BTreeMap<String, u64>,
    /// When a node last came, went, or changed its labels or taints.
    nodes: BTreeMap<String, u64>,
    /// When a pod last changed.
    touched: BTreeMap<String, u64>,
    /// Nodes whose old available pod a roll-out has deleted, and that have had no available pod since.
    removed: BTreeSet<(String, String)>,
}

type Verdict = Option<String>;

impl Safety {
    pub(crate) fn new(weather: &Weather) -> Safety {
        Safety {
            is_off: false,
            staleness_millis: weather.staleness_millis(),
            knows_time: !weather.steps_clocks,
            daemonsets: BTreeMap::new(),
            controlled: BTreeSet::new(),
            loose: BTreeMap::new(),
            nodes: BTreeMap::new(),
            touched: BTreeMap::new(),
            removed: BTreeSet::new(),
        }
    }

    /// Looks at a change; says what is wrong with it.
    pub(crate) fn judge(
        &mut self,
        store: &Store,
        clock: &SimClock,
        actor: &Actor,
        target: &Target,
        change: &Change,
    ) -> Verdict {
        let verdict = match actor.is_controller() && !self.is_off {
            true => self.judge_controller(store, clock, target, change),
            false => None,
        };
        self.remember(store, clock, change);
        verdict.map(|what| format!("{} of {}: {what}", actor.name, change.key.name))
    }

    fn remember(&mut self, store: &Store, clock: &SimClock, change: &Change) {
        let now = change.at_millis;
        match change.key.kind {
            Kind::DaemonSet => {
                let versions = self.daemonsets.entry(uid(&change.new).to_owned()).or_default();
                let is_new = change.old.as_ref().is_none_or(|old| {
                    old["spec"] != change.new["spec"] || is_deleting(old) != is_deleting(&change.new)
                });
                if is_new || change.moved == Moved::Deleted {
                    versions.push((now, change.new.clone()));
                }
            }
            Kind::Node => {
                let same = change.moved == Moved::Modified
                    && change.old.as_ref().is_some_and(|old| {
                        old["metadata"]["labels"] == change.new["metadata"]["labels"]
                            && old["spec"]["taints"] == change.new["spec"]["taints"]
                    });
                if !same {
                    self.nodes.insert(change.key.name.clone(), now);
                }
            }
            Kind::Pod => self.remember_pod(store, clock, change),
            _ => {}
        }
    }

    fn remember_pod(&mut self, store: &Store, clock: &SimClock, change: &Change) {
        let (pod, now) = (&change.new, change.at_millis);
        self.touched.insert(uid(pod).to_owned(), now);
        let Some(("DaemonSet", owner)) = controller_uid(pod) else {
            self.loose.insert(uid(pod).to_owned(), now);
            return;
        };
        let was = change.old.as_ref().and_then(|old| controller_uid(old));
        self.controlled.insert(uid(pod).to_owned());
        let daemonset = store.all(Kind::DaemonSet).find(|one| uid(one) == owner);
        // Its node had not heard that somebody ended it.
        let has_risen = change.old.as_ref().is_some_and(|old| is_terminal(old)) && !is_terminal(pod);
        if has_risen
            || (change.old.is_some() && was.is_none())
            || daemonset.is_some_and(|one| !selects(one, pod))
        {
            self.loose.insert(uid(pod).to_owned(), now);
        }
        // The judge has just counted this one as taken.
        let removed_now = change.old.as_ref().is_some_and(|old| !is_deleting(old)) && !is_live(pod);
        let min_ready = daemonset.and_then(|one| one["spec"]["minReadySeconds"].as_i64()).unwrap_or(0);
        let min_ready = if self.knows_time { min_ready } else { 0 };
        // A pod becomes available without a change of it: as it was until now counts too.
        let now_there = Some(pod).filter(|_| change.moved != Moved::Deleted);
        for there in change.old.as_ref().into_iter().chain(now_there) {
            if let Some(node) = target_node(there)
                && is_live(there)
                && is_available_at(there, min_ready, seconds(clock))
                && !removed_now
            {
                self.removed.remove(&(owner.to_owned(), node.to_owned()));
            }
        }
    }

    fn is_recent(&self, at: Option<&u64>, now: u64) -> bool {
        at.is_some_and(|at| now.saturating_sub(*at) <= self.staleness_millis)
    }

    /// The versions of a DaemonSet that a controller may go by.
    fn versions(&self, owner: &str, now: u64) -> Vec<&Arc<Value>> {
        let all = self.daemonsets.get(owner).map_or(&[][..], Vec::as_slice);
        let recent =
            all.iter().rposition(|(at, _)| now.saturating_sub(*at) > self.staleness_millis).unwrap_or(0);
        all[recent..].iter().map(|(_, version)| version).collect()
    }

    fn judge_controller(
        &mut self,
        store: &Store,
        clock: &SimClock,
        target: &Target,
        change: &Change,
    ) -> Verdict {
        match (change.key.kind, target.verb) {
            (Kind::Pod, Verb::Create) => self.judge_creation(store, change),
            (Kind::Pod, Verb::Delete) => self.judge_deletion(store, clock, change),
            (Kind::Pod, Verb::Patch) if target.subresource.is_empty() => self.judge_patch(store, change),
            (Kind::DaemonSet, Verb::Update) if target.subresource == "status" => None,
            (Kind::Revision, Verb::Delete) => self.judge_revision_deletion(store, change),
            (Kind::Revision, Verb::Create | Verb::Update | Verb::Patch) => {
                let changed = change.old.as_ref().is_some_and(|old| old["data"] != change.new["data"]);
                changed.then(|| "changes the data of a revision".to_owned())
            }
            (Kind::Lease | Kind::Event, _) => None,
            (kind, verb) => Some(format!("a controller does not {verb:?} {}", kind.plural())),
        }
    }

    /// Never two live pods of one DaemonSet on one node, except old and new during a surge.
    fn judge_creation(&self, store: &Store, change: &Change) -> Verdict {
        let (pod, now) = (&change.new, change.at_millis);
        let Some(("DaemonSet", owner)) = controller_uid(pod) else {
            return Some("a pod of nobody".to_owned());
        };
        let node = target_node(pod)?;
        let versions = self.versions(owner, now);
        if versions.is_empty() {
            return Some(format!("a pod of the unknown DaemonSet {owner}"));
        }
        let surges = versions.iter().any(|version| daemonset_allows_surge(version));
        let others: Vec<_> = store
            .all(Kind::Pod)
            .filter(|other| uid(other) != uid(pod) && target_node(other) == Some(node))
            .filter(|other| controller_uid(other).is_some_and(|(_, other)| other == owner))
            .filter(|other| versions.last().is_some_and(|newest| selects(newest, other)))
            .filter(|other| !self.is_recent(self.loose.get(uid(other)), now))
            .collect();
        let live: Vec<_> = others.iter().filter(|other| is_live(other)).collect();
        let twin = live.iter().find(|other| label(other, HASH_LABEL) == label(pod, HASH_LABEL));
        match (live.as_slice(), twin) {
            ([], _) if surges => None,
            ([], _) => {
                let ending = others.iter().find(|other| is_deleting(other) && !is_terminal(other))?;
                Some(format!("created on {node} while {} is still ending", name(ending)))
            }
            (_, Some(twin)) => {
                Some(format!("a second live pod of the same revision on {node}, beside {}", name(twin)))
            }
            ([_], None) if surges => None,
            ([first, ..], None) => {
                Some(format!("live pod number {} on {node}, beside {}", live.len() + 1, name(first)))
            }
        }
    }

    fn judge_deletion(&mut self, store: &Store, clock: &SimClock, change: &Change) -> Verdict {
        let (pod, now) = (change.old.as_ref()?, change.at_millis);
        if !self.controlled.contains(uid(pod)) {
            return Some("deletes a pod that no DaemonSet has ever controlled".to_owned());
        }
        let (_, owner) = controller_uid(pod)?;
        let node = target_node(pod)?;
        let versions: Vec<Value> = self.versions(owner, now).into_iter().map(|one| (**one).clone()).collect();
        let newest = versions.last()?;
        if is_deleting(newest) || !is_live(pod) || versions.iter().any(daemonset_allows_surge) {
            return None;
        }
        let min_ready = newest["spec"]["minReadySeconds"].as_i64().unwrap_or(0);
        if !self.knows_time || !is_available_at(pod, min_ready, seconds(clock)) {
            return None;
        }
        // What it was a moment ago may be all that is known: an old pod that is not available goes at any time (F5).
        let has_changed = self.is_recent(self.touched.get(uid(pod)), now);
        if has_changed || self.is_recent(self.nodes.get(node), now) {
            return None;
        }
        let there = store.all(Kind::Node).find(|one| name(one) == node)?;
        if versions.iter().any(|version| !place(&version["spec"]["template"], there).may_stay) {
            return None;
        }
        let is_alone = !store.all(Kind::Pod).any(|other| {
            uid(other) != uid(pod)
                && target_node(other) == Some(node)
                && controller_uid(other).is_some_and(|(_, other)| other == owner)
        });
        if !is_alone {
            return None;
        }
        let has_edits =
            versions.iter().any(|version| version["spec"]["template"] != newest["spec"]["template"]);
        let is_old = has_edits || !is_updated(store, newest, pod);
        if !is_old {
            return Some(format!("deletes the available pod of {node}, which is of the current template"));
        }
        self.refresh(store, owner, min_ready, seconds(clock));
        self.judge_budget(store, owner, node, &versions, now)
    }

    /// Pods become available by the passing of time.
    fn refresh(&mut self, store: &Store, owner: &str, min_ready: i64, now_seconds: i64) {
        for pod in
            store.all(Kind::Pod).filter(|pod| is_live(pod) && is_available_at(pod, min_ready, now_seconds))
        {
            if let (Some((_, pods_owner)), Some(node)) = (controller_uid(pod), target_node(pod))
                && pods_owner == owner
            {
                self.removed.remove(&(owner.to_owned(), node.to_owned()));
            }
        }
    }

    /// Nodes without an available pod because a roll-out deleted it are never more than maxUnavailable.
    fn judge_budget(
        &mut self,
        store: &Store,
        owner: &str,
        node: &str,
        versions: &[Value],
        now: u64,
    ) -> Verdict {
        let rolls =
            versions.iter().filter(|version| version["spec"]["updateStrategy"]["type"] == "RollingUpdate");
        let nodes: Vec<_> = store.all(Kind::Node).collect();
        let total = i64::try_from(nodes.len()).unwrap_or(i64::MAX);
        let limits = rolls.map(|version| {
            let value = &version["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"];
            scaled(value, total).max(1)
        });
        let Some(limit) = limits.max() else {
            return Some(format!("deletes the available pod of {node} of a DaemonSet with OnDelete"));
        };
        self.removed.insert((owner.to_owned(), node.to_owned()));
        let newest = versions.last()?;
        let open = nodes.iter().filter(|one| {
            // One without pods that was not eligible a moment ago does not count yet (F7).
            place(&newest["spec"]["template"], one).should_run
                && !self.is_recent(self.nodes.get(name(one)), now)
                && self.removed.contains(&(owner.to_owned(), name(one).to_owned()))
        });
        let open = i64::try_from(open.count()).unwrap_or(i64::MAX);
        (open > limit)
            .then(|| format!("the roll-out took the pods of {open} nodes where {limit} may be without"))
    }

    /// Only pods that a DaemonSet controls are changed, or orphans that it selects, and nothing but who they are.
    fn judge_patch(&self, store: &Store, change: &Change) -> Verdict {
        let (old, new) = (change.old.as_ref()?, &change.new);
        if old["spec"] != new["spec"] || old["status"] != new["status"] {
            return Some("changes more of a pod than its metadata".to_owned());
        }
        match (controller_uid(old), controller_uid(new)) {
            (Some(("DaemonSet", _)), _) => None,
            (Some(_), _) => Some("changes a pod of another controller".to_owned()),
            (None, Some((_, owner))) => {
                let daemonset = store.all(Kind::DaemonSet).find(|one| uid(one) == owner);
                let fits = daemonset.is_none_or(|one| selects(one, new))
                    || self.is_recent(self.loose.get(uid(new)), change.at_millis);
                (!fits).then(|| "adopts a pod that the DaemonSet does not select".to_owned())
            }
            (None, None) => {
                // A label or a release, meant for a pod that was somebody's.
                (!self.controlled.contains(uid(old)))
                    .then(|| "changes an orphan without adopting it".to_owned())
            }
        }
    }

    /// A revision that pods are made from is not deleted, unless another one has the same data.
    fn judge_revision_deletion(&self, store: &Store, change: &Change) -> Verdict {
        let (revision, now) = (change.old.as_ref()?, change.at_millis);
        let (_, owner) = controller_uid(revision)?;
        let has_twin = store
            .all(Kind::Revision)
            .any(|other| uid(other) != uid(revision) && other["data"] == revision["data"]);
        if has_twin || self.versions(owner, now).iter().any(|version| is_deleting(version)) {
            return None;
        }
        let user = store.all(Kind::Pod).find(|pod| {
            controller_uid(pod).is_some_and(|(_, other)| other == owner)
                && label(pod, HASH_LABEL) == label(revision, HASH_LABEL)
                && !self.is_recent(self.touched.get(uid(pod)), now)
        })?;
        Some(format!("deletes the revision that {} is made from", name(user)))
    }
}

fn seconds(clock: &SimClock) -> i64 {
    clock.unix_millis().div_euclid(1000)
}
