//! What must hold after every change.
//!
//! A controller acts on what it has seen, which may be as old as the faults allow. So each check asks for the
//! best that a controller can know: what a person changed within that time excuses what would be wrong by the newest
//! state. What the controller itself did is never an excuse.

mod blind;
mod brake;
mod law;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use everynode_client::Clock;
use everynode_model::Value;

use crate::actor::Actor;
use crate::clock::SimClock;
use crate::faults::Faults;
use crate::model::{
    Change, Key, Kind, Moved, Store, Target, Verb, controller_uid, daemonset_allows_surge, is_available_at,
    is_deleting, is_live, is_ready, is_terminal, label, name, namespace, target_node, uid,
};
use crate::naive::{is_updated, place, selects};

use blind::Blind;
use brake::{Brake, is_made_of, leaves_its_namespace};
use law::{Law, is_beside, is_said};

const HASH_LABEL: &str = "controller-revision-hash";

/// The checker, with what it remembers.
#[derive(Debug)]
pub(crate) struct Safety {
    /// Nothing is checked: what is done to the controller is more than an API server does.
    pub(crate) is_off: bool,
    /// Two controllers share the work: see [`crate::cluster::Setup`].
    pub(crate) is_beside: bool,
    /// The namespace in which somebody takes pods away and makes them others' as they like: budgets mean nothing there.
    pub(crate) lawless: Option<&'static str>,
    staleness_millis: u64,
    /// A controller was cut off, or did not run: since when, and until when.
    blind: Blind,
    knows_time: bool,
    /// The versions of each DaemonSet, by uid; status does not count.
    daemonsets: BTreeMap<String, Vec<(u64, Arc<Value>)>>,
    /// All policies after each change of one; status does not count.
    policies: Vec<(u64, Vec<Arc<Value>>)>,
    /// Pods that some DaemonSet controls or has controlled.
    controlled: BTreeSet<String>,
    /// When a pod was last not selected or not controlled by its DaemonSet.
    loose: BTreeMap<String, u64>,
    /// When a node last came, went, or changed its labels or taints.
    nodes: BTreeMap<String, u64>,
    /// When a pod last changed.
    touched: BTreeMap<String, u64>,
    /// Nodes whose old available pod a roll-out has deleted, and that have had no available pod since; with the time.
    removed: BTreeMap<(String, String), u64>,
    /// The pod that was ready there last, and when others ended that: for a moment it may pass for available.
    lost: BTreeMap<(String, String), (u64, Arc<Value>)>,
    /// When somebody last gave a DaemonSet a pod, by namespace and node: it passes for one whose creation was not answered.
    given: BTreeMap<(String, String), u64>,
    /// When somebody last wrote a revision, by namespace.
    revisions: BTreeMap<String, u64>,
    brake: Brake,
}

type Verdict = Option<String>;

impl Safety {
    pub(crate) fn new(faults: &Faults) -> Safety {
        Safety {
            is_off: false,
            is_beside: false,
            lawless: None,
            staleness_millis: faults.staleness_millis(),
            blind: Blind::default(),
            knows_time: !faults.steps_clocks,
            daemonsets: BTreeMap::new(),
            policies: vec![(0, Vec::new())],
            controlled: BTreeSet::new(),
            loose: BTreeMap::new(),
            nodes: BTreeMap::new(),
            touched: BTreeMap::new(),
            removed: BTreeMap::new(),
            lost: BTreeMap::new(),
            given: BTreeMap::new(),
            revisions: BTreeMap::new(),
            brake: Brake::default(),
        }
    }

    /// Looks at a change; says what is wrong with it.
    pub(crate) fn check(
        &mut self,
        store: &Store,
        clock: &SimClock,
        actor: &Actor,
        target: &Target,
        change: &Change,
    ) -> Verdict {
        let verdict = match actor.is_controller() && !self.is_off {
            true => self.check_controller(store, clock, actor, target, change),
            false => None,
        };
        self.remember(store, clock, actor, change);
        verdict.map(|what| format!("{} of {}: {what}", actor.name, change.key.name))
    }

    fn remember(&mut self, store: &Store, clock: &SimClock, actor: &Actor, change: &Change) {
        let now = change.at_millis;
        match change.key.kind {
            Kind::DaemonSet => {
                let versions = self.daemonsets.entry(uid(&change.new).to_owned()).or_default();
                let is_new = change.old.as_ref().is_none_or(|old| {
                    old["spec"] != change.new["spec"] || is_deleting(old) != is_deleting(&change.new)
                });
                if is_new || change.moved == Moved::Deleted {
                    versions.push((now, change.new.clone()));
                    self.brake.edit(&change.new, now);
                }
                let labels = |object: &Arc<Value>| object["metadata"]["labels"].clone();
                if change.old.as_ref().map(labels) != Some(labels(&change.new)) {
                    self.forget_what_nobody_told(store);
                }
                self.forget_ineligible(store);
            }
            Kind::Policy if is_said(change) => {
                self.policies.push((now, store.all(Kind::Policy).cloned().collect()));
                self.forget_what_nobody_told(store);
            }
            Kind::Node => {
                let same = change.moved == Moved::Modified
                    && change.old.as_ref().is_some_and(|old| {
                        old["metadata"]["labels"] == change.new["metadata"]["labels"]
                            && old["spec"]["taints"] == change.new["spec"]["taints"]
                    });
                if !same {
                    self.nodes.insert(change.key.name.clone(), now);
                    self.brake.move_node(&change.key.name, now);
                }
                // What a leader took without a word from a node that died since, its successor cannot know.
                if !is_well(&change.new) && self.policies.len() > 1 {
                    self.removed.retain(|(_, node), _| *node != change.key.name);
                }
                self.forget_ineligible(store);
            }
            Kind::Pod => self.remember_pod(store, clock, actor, change),
            Kind::Revision if !actor.is_controller() => {
                self.revisions.insert(change.key.namespace.clone(), now);
            }
            _ => {}
        }
    }

    /// Under a policy a node that must not run the daemon any more begins anew when it may again.
    fn forget_ineligible(&mut self, store: &Store) {
        if self.policies.len() == 1 {
            return;
        }
        let nodes: Vec<_> = store.all(Kind::Node).collect();
        for daemonset in store.all(Kind::DaemonSet) {
            let template = &daemonset["spec"]["template"];
            let runs = |wanted: &str| {
                nodes.iter().any(|node| name(node) == wanted && place(template, node).should_run)
            };
            self.removed.retain(|(owner, node), _| owner != uid(daemonset) || runs(node));
        }
    }

    fn remember_pod(&mut self, store: &Store, clock: &SimClock, actor: &Actor, change: &Change) {
        let (pod, now) = (&change.new, change.at_millis);
        self.touched.insert(uid(pod).to_owned(), now);
        self.brake.see(pod, now);
        let Some(("DaemonSet", owner)) = controller_uid(pod) else {
            self.loose.insert(uid(pod).to_owned(), now);
            return;
        };
        let was = change.old.as_ref().and_then(|old| controller_uid(old));
        self.controlled.insert(uid(pod).to_owned());
        if !actor.is_controller() && was != Some(("DaemonSet", owner)) {
            let node = target_node(pod).unwrap_or_default().to_owned();
            self.given.insert((namespace(pod).to_owned(), node), now);
        }
        let daemonset = store.all(Kind::DaemonSet).find(|one| uid(one) == owner);
        // Its node had not heard that somebody ended it.
        let has_risen = change.old.as_ref().is_some_and(|old| is_terminal(old)) && !is_terminal(pod);
        // Somebody says that it is of another revision, or of another owner.
        let is_renamed = !actor.is_controller()
            && change.old.as_ref().is_some_and(|old| label(old, HASH_LABEL) != label(pod, HASH_LABEL));
        if has_risen
            || is_renamed
            || (change.old.is_none() && !actor.is_controller())
            || (change.old.is_some() && was != Some(("DaemonSet", owner)))
            || daemonset.is_some_and(|one| !selects(one, pod))
        {
            self.loose.insert(uid(pod).to_owned(), now);
        }
        if let Some(old) =
            change.old.as_ref().filter(|old| !actor.is_controller() && is_live(old) && is_ready(old))
            && let Some(node) = target_node(old)
            && !(is_live(pod) && is_ready(pod))
        {
            self.lost.insert((owner.to_owned(), node.to_owned()), (now, old.clone()));
        }
        // The checker has just counted this one as disrupted.
        let was_there = change.old.as_ref().is_some_and(|old| !is_deleting(old));
        let removed_now = actor.is_controller() && was_there && !is_live(pod);
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

    /// A controller is cut off or has crashed, or is not any more.
    pub(crate) fn cut_off(&mut self, replica: usize, is_held: bool, now: u64) {
        self.brake.begin(now);
        self.blind.cut_off(replica, is_held, now);
    }

    /// What is not older than this may not be known yet.
    fn horizon(&self, now: u64) -> u64 {
        self.blind.horizon(self.staleness_millis, now)
    }

    fn is_recent(&self, at: Option<&u64>, now: u64) -> bool {
        at.is_some_and(|at| *at >= self.horizon(now))
    }

    /// The versions of a DaemonSet that a controller may go by.
    fn versions(&self, owner: &str, now: u64) -> Vec<&Arc<Value>> {
        let all = self.daemonsets.get(owner).map_or(&[][..], Vec::as_slice);
        let horizon = self.horizon(now);
        let recent = all.iter().rposition(|(at, _)| *at < horizon).unwrap_or(0);
        all[recent..].iter().map(|(_, version)| version).collect()
    }

    /// What holds, or has held a moment ago, for the roll-outs of a DaemonSet.
    fn laws<'a>(&'a self, versions: &[&'a Arc<Value>], now: u64) -> Vec<Law<'a>> {
        let horizon = self.horizon(now);
        let recent = self.policies.iter().rposition(|(at, _)| *at < horizon).unwrap_or(0);
        let policies = || self.policies[recent..].iter();
        versions
            .iter()
            .flat_map(|version| policies().map(|(_, all)| Law::new(version, all, self.is_beside)))
            .collect()
    }

    /// By the status of its policy a roll-out goes, or has gone, back.
    fn has_gone_back(&self, store: &Store, daemonset: &Value) -> bool {
        let mut policies = store.all(Kind::Policy).filter(|policy| is_beside(policy, daemonset));
        policies.any(|policy| {
            let phase = &policy["status"]["daemonSets"][name(daemonset)]["phase"];
            phase == "RollingBack" || phase == "RolledBack"
        })
    }

    /// A controller begins to lead, or a policy to hold. Where no policy says anything of a roll-out yet, what was taken
    /// before cannot be told from what was broken before.
    pub(crate) fn forget_what_nobody_told(&mut self, store: &Store) {
        let policies: Vec<_> = store.all(Kind::Policy).collect();
        for daemonset in store.all(Kind::DaemonSet) {
            let beside = policies.iter().filter(|policy| is_beside(policy, daemonset));
            let is_silent = |policy: &&Arc<Value>| policy["status"]["daemonSets"][name(daemonset)].is_null();
            if beside.clone().count() > 0 && beside.copied().all(|policy| is_silent(&policy)) {
                self.removed.retain(|(owner, _), _| owner != uid(daemonset));
            }
        }
    }

    /// Looks at a deletion that leaves its controller: none does while a roll-out is halted, but of what is too much.
    pub(crate) fn check_sending(&self, store: &Store, target: &Target, now: u64) -> Verdict {
        let key = Key::new(target.kind, &target.namespace, &target.name);
        let pod = store.get(&key).filter(|_| (target.kind, target.verb) == (Kind::Pod, Verb::Delete))?;
        let (_, owner) = controller_uid(pod)
            .filter(|_| is_live(pod) && !self.is_off && self.lawless != Some(namespace(pod)))?;
        let daemonset = store.all(Kind::DaemonSet).find(|one| uid(one) == owner)?;
        let policies: Vec<Arc<Value>> = store.all(Kind::Policy).cloned().collect();
        let versions = self.versions(owner, now);
        if versions.len() > 1
            || self.is_recent(self.policies.last().map(|(at, _)| at), now)
            || is_deleting(daemonset)
            || !Law::new(daemonset, &policies, self.is_beside).is_halted(store)
        {
            return None;
        }
        let node = target_node(pod)?;
        let there = store.all(Kind::Node).find(|one| name(one) == node)?;
        let may_stay = place(&daemonset["spec"]["template"], there).may_stay;
        (may_stay && !self.is_recent(self.nodes.get(node), now) && is_alone(store, pod, owner, node))
            .then(|| format!("sends the deletion of {}, and the roll-out is halted", name(pod)))
    }

    fn check_controller(
        &mut self,
        store: &Store,
        clock: &SimClock,
        actor: &Actor,
        target: &Target,
        change: &Change,
    ) -> Verdict {
        let written = change.old.as_ref().unwrap_or(&change.new);
        // Whose it is may have been written a moment ago.
        let (touched, revised) = (self.touched.get(uid(written)), self.revisions.get(&change.key.namespace));
        let is_known = change.old.is_none()
            || ![touched, revised].iter().any(|at| self.is_recent(*at, change.at_millis));
        if let Some(what) = leaves_its_namespace(store, written).filter(|_| is_known) {
            return Some(what);
        }
        match (change.key.kind, target.verb) {
            (Kind::Pod, Verb::Create) => self.check_creation(store, actor, change),
            (Kind::Pod, Verb::Delete) => self.check_deletion(store, clock, change),
            (Kind::Pod, Verb::Patch) if target.subresource.is_empty() => self.check_patch(store, change),
            (Kind::DaemonSet, Verb::Update) if target.subresource == "status" => None,
            (Kind::Policy, Verb::Patch) if target.subresource == "status" => None,
            (Kind::DaemonSet, Verb::Patch) if self.is_beside && is_rewrite(change) => {
                let is_own = self
                    .had_template(uid(&change.new), |template| *template == change.new["spec"]["template"]);
                (!is_own).then(|| "writes a template that was never the DaemonSet's own".to_owned())
            }
            (Kind::Revision, Verb::Delete) => self.check_revision_deletion(store, change),
            (Kind::Revision, Verb::Create | Verb::Update | Verb::Patch) => {
                let changed = change.old.as_ref().is_some_and(|old| old["data"] != change.new["data"]);
                changed.then(|| "changes the data of a revision".to_owned())
            }
            (Kind::Lease | Kind::Event, _) => None,
            (kind, verb) => Some(format!("a controller does not {verb:?} {}", kind.plural())),
        }
    }

    /// One of the templates that the DaemonSet has or has had is such a one; or an earlier one of its name, whose pods
    /// and revisions it may have taken over.
    fn had_template(&self, owner: &str, is_it: impl Fn(&Value) -> bool) -> bool {
        let identity = |version: &Arc<Value>| (namespace(version).to_owned(), name(version).to_owned());
        let own = self.daemonsets.get(owner).and_then(|versions| versions.first());
        let own = own.map(|(_, version)| identity(version));
        let versions = self.daemonsets.values().flatten().map(|(_, version)| version);
        versions
            .filter(|version| Some(identity(version)) == own)
            .any(|version| is_it(&version["spec"]["template"]))
    }

    fn check_creation(&mut self, store: &Store, actor: &Actor, change: &Change) -> Verdict {
        let (pod, now) = (&change.new, change.at_millis);
        let Some(("DaemonSet", owner)) = controller_uid(pod) else {
            return Some("a pod of nobody".to_owned());
        };
        if !self.had_template(owner, |template| is_made_of(pod, template)) {
            return Some(format!("made {}, which was never the template of {owner}", pod["spec"]));
        }
        let node = target_node(pod)?;
        let staleness_millis = now - self.horizon(now);
        let too_many = self.brake.check(pod, owner, node, now, staleness_millis);
        too_many.or_else(|| self.check_second_pod(store, actor, pod, node, now))
    }

    /// Never two live pods of one DaemonSet on one node, except old and new during a surge.
    /// Under surge, or just after it, one that died may have sent another one: see docs/correctness.md.
    fn check_second_pod(&self, store: &Store, actor: &Actor, pod: &Value, node: &str, now: u64) -> Verdict {
        let (_, owner) = controller_uid(pod)?;
        let given = self.given.get(&(namespace(pod).to_owned(), node.to_owned()));
        if self.is_recent(given, now) {
            return None;
        }
        let versions = self.versions(owner, now);
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
            _ if surges && actor.dead.is_cancelled() => None,
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

    fn check_deletion(&mut self, store: &Store, clock: &SimClock, change: &Change) -> Verdict {
        let (pod, now) = (change.old.as_ref()?, change.at_millis);
        if !self.controlled.contains(uid(pod)) {
            return Some("deletes a pod that no DaemonSet has ever controlled".to_owned());
        }
        let (_, owner) = controller_uid(pod).filter(|_| self.lawless != Some(namespace(pod)))?;
        let node = target_node(pod)?;
        let versions = self.versions(owner, now);
        let newest = *versions.last()?;
        if is_deleting(newest)
            || !is_live(pod)
            || versions.iter().any(|version| daemonset_allows_surge(version))
        {
            return None;
        }
        let laws = self.laws(&versions, now);
        // By one version or the other it serves, or does not.
        let min_ready = || versions.iter().map(|one| one["spec"]["minReadySeconds"].as_i64().unwrap_or(0));
        let (least, most) = (min_ready().min().unwrap_or(0), min_ready().max().unwrap_or(0));
        // Under a policy a pod that is ready counts, for how long ever it is.
        let counts_from = if laws.iter().all(Law::has_policy) { 0 } else { most };
        // What was asked for a moment ago was decided by the time of then.
        let asked_millis = clock.unix_millis().saturating_sub_unsigned(now.saturating_sub(self.horizon(now)));
        if !self.knows_time || !is_available_at(pod, counts_from, asked_millis.div_euclid(1_000)) {
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
        if !is_alone(store, pod, owner, node) {
            return None;
        }
        let has_edits =
            versions.iter().any(|version| version["spec"]["template"] != newest["spec"]["template"]);
        let goes_back = || laws.iter().any(Law::may_go_back) || self.has_gone_back(store, newest);
        // Somebody took the revision that it is of away, and it is there again.
        let was_unknown = self.is_recent(self.revisions.get(&change.key.namespace), now);
        let is_old = has_edits || was_unknown || !is_updated(store, newest, pod) || goes_back();
        if !is_old {
            return Some(format!("deletes the available pod of {node}, which is of the current template"));
        }
        if laws.iter().any(Law::has_policy) && !is_well(there) {
            return None;
        }
        let mut removed = self.removed.clone();
        let now_seconds = seconds(clock);
        removed.retain(|place, _| {
            let lost = self.lost.get(place).filter(|(at, _)| self.is_recent(Some(at), now));
            let may_serve = lost.is_some_and(|(_, pod)| is_available_at(pod, least, now_seconds));
            place.0 != owner || !may_serve && !is_served(store, owner, &place.1, least, now_seconds)
        });
        removed.insert((owner.to_owned(), node.to_owned()), now);
        let verdict = self.check_budget(store, &removed, newest, there, &laws, now);
        self.removed = removed;
        verdict
    }

    /// Nodes without an available pod because a roll-out deleted it are never more than may be.
    fn check_budget(
        &self,
        store: &Store,
        removed: &BTreeMap<(String, String), u64>,
        newest: &Value,
        node: &Value,
        laws: &[Law<'_>],
        now: u64,
    ) -> Verdict {
        let owner = uid(newest);
        let nodes: Vec<_> = store.all(Kind::Node).collect();
        let is_here = |known: &String| nodes.iter().any(|node| name(node) == known);
        let gone =
            self.nodes.iter().filter(|(known, at)| self.is_recent(Some(at), now) && !is_here(known)).count();
        let total = i64::try_from(nodes.len() + gone).unwrap_or(i64::MAX);
        let limit = laws.iter().map(|law| law.may_take(total)).max()?;
        if limit == 0 {
            return Some(format!("deletes the available pod of {}, and nothing may be taken", name(node)));
        }
        let taken_at = |one: &Value| removed.get(&(owner.to_owned(), name(one).to_owned())).copied();
        // One without pods that was not eligible a moment ago, or is not by what a controller may go by, does not count
        // yet (F7).
        let is_open = |one: &&&Arc<Value>| {
            laws.iter().all(|law| law.wants(one))
                && !self.is_recent(self.nodes.get(name(one)), now)
                && taken_at(one).is_some()
        };
        let open: Vec<_> = nodes.iter().filter(is_open).collect();
        if open.len() as i64 > limit {
            let open: Vec<String> =
                open.iter().map(|one| format!("{} ({:?})", name(one), taken_at(one))).collect();
            return Some(format!("the roll-out took the pods of {open:?} where {limit} may be without"));
        }
        let domains: Option<Vec<_>> = laws.iter().map(Law::domain).collect();
        let (label, limit) = domains?.into_iter().max_by_key(|(_, limit)| *limit)?;
        // A node that came into the domain since brings what it lacks with it.
        let stayed = |one: &Value| self.nodes.get(name(one)).copied() < taken_at(one);
        let beside = |one: &&&Arc<Value>| crate::model::label(one, label) == crate::model::label(node, label);
        let open = open.into_iter().filter(|one| stayed(one)).filter(beside).count() as i64;
        (open > limit)
            .then(|| format!("the roll-out took the pods of {open} nodes of a domain where {limit} may be"))
    }

    /// Only pods that a DaemonSet controls are changed, or orphans that it selects, and nothing but who they are.
    fn check_patch(&self, store: &Store, change: &Change) -> Verdict {
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
    fn check_revision_deletion(&self, store: &Store, change: &Change) -> Verdict {
        let (revision, now) = (change.old.as_ref()?, change.at_millis);
        let (_, owner) = controller_uid(revision)?;
        let has_twin = store
            .all(Kind::Revision)
            .any(|other| uid(other) != uid(revision) && other["data"] == revision["data"]);
        let was_written = self.is_recent(self.revisions.get(&change.key.namespace), now);
        if has_twin || was_written || self.versions(owner, now).iter().any(|version| is_deleting(version)) {
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

/// Nothing but the template of a DaemonSet is another one, where a policy may write it back.
fn is_rewrite(change: &Change) -> bool {
    let strip = |object: &Value| {
        let mut spec = object["spec"].clone();
        spec["template"] = Value::Null;
        // A typed patch leaves out what is nothing.
        spec["minReadySeconds"] = spec["minReadySeconds"].as_i64().unwrap_or(0).into();
        spec
    };
    change.old.as_ref().is_some_and(|old| strip(old) == strip(&change.new) && !is_deleting(&change.new))
}

/// The DaemonSet has no other pod on the node.
fn is_alone(store: &Store, pod: &Value, owner: &str, node: &str) -> bool {
    !store.all(Kind::Pod).any(|other| {
        uid(other) != uid(pod)
            && target_node(other) == Some(node)
            && controller_uid(other).is_some_and(|(_, other)| other == owner)
    })
}

/// The DaemonSet has an available pod on the node. Pods become available by the passing of time.
fn is_served(store: &Store, owner: &str, node: &str, min_ready: i64, now_seconds: i64) -> bool {
    store.all(Kind::Pod).any(|pod| {
        is_live(pod)
            && target_node(pod) == Some(node)
            && controller_uid(pod).is_some_and(|(_, other)| other == owner)
            && is_available_at(pod, min_ready, now_seconds)
    })
}

/// The node is neither down nor cordoned.
fn is_well(node: &Value) -> bool {
    const BAD: [&str; 3] = ["not-ready", "unreachable", "unschedulable"];
    let mut taints = node["spec"]["taints"].as_array().into_iter().flatten();
    let key = |taint: &Value| taint["key"].as_str()?.strip_prefix("node.kubernetes.io/").map(str::to_owned);
    !taints.any(|taint| key(taint).is_some_and(|key| BAD.contains(&&*key)))
}

fn seconds(clock: &SimClock) -> i64 {
    clock.unix_millis().div_euclid(1000)
}
