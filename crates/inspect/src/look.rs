//! A fleet as the engine sees it: what each node is to each DaemonSet, and why.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};

use everynode_engine::pod_body::HASH_LABEL;
use everynode_engine::policy::PolicyFact;
use everynode_engine::{
    Budget, DaemonSetFact, Engine, EngineConfig, Explanation, Fact, Figures, IntOrPercent, Kind as Watched,
    PodState, Scope, Service, Standing, Strategy, Time, Uid, Waiting, revision,
};
use everynode_plan::record::{Node, Pod, Text};
use everynode_plan::{Fleet, some};
use serde_json::Value;

use crate::cohort::FailedWhere;
use crate::pods::Case;
use crate::policy::{Conducted, PolicyState, conflict};
use crate::predicates::decisive;
use crate::reason::{Class, Kind, Reason};

/// Characters that the name of an object may have.
const NAME_LIMIT: usize = 253;

/// A fleet at one time.
pub struct Look<'a> {
    /// The fleet.
    pub fleet: &'a Fleet,
    /// Now.
    pub now: Time,
    engine: Engine,
    nodes: HashMap<&'a str, &'a Node>,
    pods: HashMap<Uid, &'a Pod>,
    apart: Option<&'a dyn Apart>,
    pod_nodes: HashMap<Uid, BTreeSet<Text>>,
}

/// Pods of a fleet that are kept elsewhere, in less memory.
pub trait Apart {
    /// Shows each.
    fn each(&self, see: &mut dyn FnMut(&Pod));

    /// The pod of a uid.
    fn find(&self, uid: Uid) -> Option<Pod>;
}

/// One DaemonSet of a fleet.
pub struct Set<'a> {
    look: &'a Look<'a>,
    /// The DaemonSet as served.
    pub value: &'a Value,
    /// The DaemonSet as the engine reads it.
    pub fact: DaemonSetFact,
    /// Its figures.
    pub figures: Figures<'a>,
    /// What its roll-outs may spend, and how much is spent.
    pub budget: Option<(Budget, i32)>,
    /// The policies that select it. Of several none acts.
    pub policies: Vec<&'a PolicyFact>,
    /// What its policy makes of it.
    pub conducted: Option<Conducted<'a>>,
}

/// One DaemonSet on one node.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The node.
    pub node: Text,
    /// How the node stands.
    pub class: Class,
    /// Why.
    pub reason: Reason,
    /// Its pods here, with the state that the engine sees and, unless they are available, the cause.
    pub pods: Vec<(PodState, Option<Box<Reason>>)>,
    /// The most restarts of a container of the pod that is to stay.
    pub restarts: i64,
    /// Its value of controller-revision-hash; `None` without a pod.
    pub revision: Option<Text>,
    /// It counts against the budget of the roll-out.
    pub uses_budget: bool,
    /// What the old pod waits for.
    pub waiting: Option<Waiting>,
    /// A pod of the current template is available here.
    pub is_done: bool,
    /// A pod of the current template is here.
    pub is_updated: bool,
    /// Served, or the cause why not; `None` where it should not run.
    pub service: Option<Service>,
}

impl<'a> Look<'a> {
    /// Tells an engine all of a fleet. What is young or overdue is so at `now`.
    pub fn of(fleet: &'a Fleet, now: Time) -> Look<'a> {
        Look::with(fleet, None, now)
    }

    /// The same of a fleet some of whose pods are kept elsewhere.
    pub(crate) fn with(fleet: &'a Fleet, apart: Option<&'a dyn Apart>, now: Time) -> Look<'a> {
        let config = EngineConfig { scope: Scope::Nothing, ..EngineConfig::default() };
        let mut look = Look {
            fleet,
            now,
            engine: Engine::new(config),
            nodes: fleet.nodes.iter().map(|node| (&*node.name, node)).collect(),
            pods: fleet.pods.iter().filter_map(|pod| Some((Uid::parse(&pod.uid)?, pod))).collect(),
            apart,
            pod_nodes: HashMap::new(),
        };
        let Look { engine, pod_nodes, .. } = &mut look;
        let note = &mut |pod: &Pod| {
            let owner = pod.daemon_set.as_deref().and_then(Uid::parse);
            if let (Some(owner), Some(node)) = (owner, &pod.node) {
                pod_nodes.entry(owner).or_default().insert(node.clone());
            }
        };
        fleet.pods.iter().for_each(&mut *note);
        if let Some(apart) = apart {
            apart.each(note);
        }
        told_with(fleet, apart, &mut |fact| engine.observe(fact, now));
        let _ = look.engine.decide(now);
        look
    }

    /// Whether the nodes could be read.
    pub fn nodes_seen(&self) -> bool {
        self.fleet.sees("nodes")
    }

    /// The DaemonSets, by namespace and name.
    pub fn sets(&self) -> Vec<Set<'_>> {
        let mut sets: Vec<Set<'_>> =
            self.fleet.daemonsets.iter().filter_map(|value| self.set_of(value)).collect();
        sets.sort_by(|a, b| (&a.fact.namespace, &a.fact.name).cmp(&(&b.fact.namespace, &b.fact.name)));
        sets
    }

    /// The DaemonSet of this name.
    pub fn set(&self, namespace: &str, name: &str) -> Option<Set<'_>> {
        self.set_of(self.fleet.daemonset(namespace, name)?)
    }

    fn set_of<'b>(&'b self, value: &'b Value) -> Option<Set<'b>> {
        let fact = DaemonSetFact::from_json(value)?;
        let figures = self.engine.daemonsets().find(|figures| figures.uid == fact.uid)?;
        let conducted = self.conducted(&fact);
        let mut budget = self.engine.budget(&fact.namespace, &fact.name);
        if !self.nodes_seen() {
            // Of how many nodes the budget is a part, the controller knows.
            let known = Budget::for_nodes(fact.strategy, fact.status.desired_number_scheduled);
            budget = known.map(|known| (known, budget.map_or(0, |(_, used)| used)));
        }
        if let Some(conducted) = conducted.as_ref().filter(|one| one.is_under_way()) {
            let int = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
            let allowed = int(conducted.rollout.figures.max_unavailable);
            budget = Some(match (fact.strategy.allows_surge(), budget) {
                (true, Some((_, used))) => (Budget::Surge(allowed), used),
                _ => (Budget::Unavailable(allowed), int(conducted.taken())),
            });
        }
        let policies = self.fleet.policies.iter().filter(|policy| policy.selects(&fact)).collect();
        Some(Set { look: self, value, fact, figures, budget, policies, conducted })
    }

    fn conducted(&self, fact: &DaemonSetFact) -> Option<Conducted<'_>> {
        let rollout = self.engine.rollout(&fact.namespace, &fact.name)?;
        let of = |policy: &&PolicyFact| {
            policy.key.namespace == rollout.namespace && policy.key.name == rollout.policy
        };
        let nodes = self.engine.rollout_nodes(&fact.namespace, &fact.name, self.now);
        Some(Conducted::new(self.fleet.policies.iter().find(of)?, rollout, nodes))
    }

    /// A node.
    pub fn node(&self, name: &str) -> Option<&'a Node> {
        self.nodes.get(name).copied()
    }
}

/// Hands to `tell` what the engine is told of a fleet. Nothing is kept of versions.
pub fn told(fleet: &Fleet, tell: &mut Tell<'_>) {
    told_with(fleet, None, tell);
}

fn told_with(fleet: &Fleet, apart: Option<&dyn Apart>, tell: &mut Tell<'_>) {
    list(Watched::Node, tell, |tell| {
        fleet.nodes.iter().for_each(|node| node.tell(|fact| tell(Fact::Node(fact))))
    });
    list(Watched::DaemonSet, tell, |tell| {
        for fact in fleet.daemonsets.iter().filter_map(DaemonSetFact::from_json) {
            tell(Fact::DaemonSet(Box::new(fact)));
        }
    });
    list(Watched::Revision, tell, |tell| {
        let controlled = fleet.revisions.iter().filter(|one| !one.daemon_set.is_empty());
        for fact in controlled.filter_map(|one| one.fact(0)) {
            tell(Fact::Revision(Box::new(fact)));
        }
    });
    list(Watched::Pod, tell, |tell| {
        let tell = &mut |pod: &Pod| pod.tell(|fact| tell(Fact::Pod(fact)));
        fleet.pods.iter().for_each(&mut *tell);
        if let Some(apart) = apart {
            apart.each(tell);
        }
    });
    tell(Fact::Policies(fleet.policies.clone()));
}

/// Who is told facts.
pub type Tell<'a> = dyn FnMut(Fact<'_>) + 'a;

fn list(kind: Watched, tell: &mut Tell<'_>, objects: impl FnOnce(&mut Tell<'_>)) {
    tell(Fact::RelistBegun(kind));
    objects(tell);
    tell(Fact::RelistEnded { kind, resource_version: 0 });
}

impl<'a> Set<'a> {
    /// The nodes that it has to do with: all that there are, and those that its pods name.
    pub fn node_names(&self) -> BTreeSet<&'a Text> {
        let named = self.look.pod_nodes.get(&self.fact.uid).into_iter().flatten();
        self.look.fleet.nodes.iter().map(|node| &node.name).chain(named).collect()
    }

    /// What a node is to it: served, or the cause why not; `None` where it should not run.
    pub fn service(&self, node: &str) -> Option<Service> {
        let explained =
            self.look.engine.explain(&self.fact.namespace, &self.fact.name, node, self.look.now)?;
        explained.service
    }

    /// Every node, by name.
    pub fn answers(&self) -> Vec<Answer> {
        let mut answers: Vec<Answer> =
            self.node_names().into_iter().filter_map(|node| self.answer(node)).collect();
        self.add_waits(&mut answers);
        answers
    }

    /// The same, without the pods of nodes where all is well: they tell no more.
    pub(crate) fn lean_answers(&self) -> Vec<Answer> {
        let names = self.node_names();
        let mut answers = Vec::with_capacity(names.len());
        answers.extend(names.into_iter().filter_map(|node| {
            let mut answer = self.answer(node)?;
            if answer.class == Class::Available
                && !answer.uses_budget
                && answer.pods.iter().all(|(state, _)| !self.is_of_other_template(state))
            {
                answer.pods = Vec::new();
            }
            Some(answer)
        }));
        self.add_waits(&mut answers);
        answers
    }

    /// One node, without the reason why an old pod is still there: that depends on the other nodes.
    fn answer(&self, node: &Text) -> Option<Answer> {
        let look = self.look;
        let explained = look.engine.explain(&self.fact.namespace, &self.fact.name, node, look.now)?;
        let pods: Vec<(PodState, Option<Box<Reason>>)> = explained
            .pods
            .iter()
            .map(|state| {
                let is_fine = state.available && !state.terminating;
                (state.clone(), if is_fine { None } else { self.trouble(node, state).map(Box::new) })
            })
            .collect();
        let serving = |state: &PodState| state.available && !state.terminating;
        let is_done = explained.pods.iter().any(|state| state.updated && serving(state));
        let is_updated = explained.pods.iter().any(|state| state.updated && !state.terminating);
        let (class, reason) = self.class(node, &explained, &pods, is_done);
        let conducted = self.under_way().filter(|_| !self.fact.strategy.allows_surge());
        let uses_budget = match conducted {
            Some(conducted) => conducted.nodes.get(node).is_some_and(|node| node.is_disrupted),
            None => explained.uses_budget,
        };
        let staying = pods.iter().max_by_key(|(state, _)| (!state.terminating, state.updated));
        let pod = staying.and_then(|(state, _)| self.pod(state.uid));
        let restarts = pod.as_deref().map_or(0, |pod| pod.restarts);
        let revision = pod.as_deref().and_then(|pod| pod.labels.text(HASH_LABEL)).cloned();
        let (waiting, service) = (explained.waiting, explained.service);
        let node = node.clone();
        Some(Answer {
            node,
            class,
            reason,
            pods,
            restarts,
            revision,
            uses_budget,
            waiting,
            is_done,
            is_updated,
            service,
        })
    }

    /// A node, as it was read.
    pub(crate) fn known_node(&self, name: &str) -> Option<&'a Node> {
        self.look.node(name)
    }

    /// The nodes of its pods that were made at this time or later, in Unix seconds.
    pub(crate) fn nodes_with_pods_since(&self, seconds: i64) -> HashSet<Text> {
        let (uid, mut nodes) = (self.fact.uid, HashSet::new());
        let mut note = |pod: &Pod| {
            let is_own = || pod.daemon_set.as_deref().and_then(Uid::parse) == Some(uid);
            if pod.created >= seconds && is_own() {
                nodes.extend(pod.node.clone());
            }
        };
        self.look.fleet.pods.iter().for_each(&mut note);
        if let Some(apart) = self.look.apart {
            apart.each(&mut note);
        }
        nodes
    }

    /// What its policy makes of it, with what the failed nodes have in common.
    pub(crate) fn policy_state(&self) -> Option<PolicyState> {
        let state = self.conducted.as_ref()?.state();
        Some(PolicyState { failed_where: FailedWhere::of(self), ..state })
    }

    /// What its policy makes of a roll-out that is under way.
    pub(crate) fn under_way(&self) -> Option<&Conducted<'a>> {
        self.conducted.as_ref().filter(|conducted| conducted.is_under_way())
    }

    fn class(
        &self,
        node: &str,
        explained: &Explanation,
        pods: &[(PodState, Option<Box<Reason>>)],
        is_done: bool,
    ) -> (Class, Reason) {
        let known = self.look.node(node);
        // Without the nodes nothing speaks against one, and its pods are all that is known.
        let should_run = explained.verdict.should_run || known.is_none() && !self.look.nodes_seen();
        if !should_run {
            let class = if pods.is_empty() { Class::NotEligible } else { Class::Misscheduled };
            let gone = || Reason::new(Kind::NodeGone, "there is no such node");
            let reason = known.and_then(|node| decisive(&self.fact.template, node)).unwrap_or_else(gone);
            return (class, reason);
        }
        let available = Reason::new(Kind::Available, "available");
        if is_done {
            return (Class::Available, available.since(self.ready_since(explained)));
        }
        if explained.pods.iter().any(|state| state.available && !state.terminating) {
            // Why it is old is found out when all nodes are known.
            return (Class::Old, available);
        }
        match self.telling(pods) {
            Some(reason) => (Class::NotAvailable, reason),
            None => (Class::Missing, self.no_pod()),
        }
    }

    /// Of several pods, none of them available, the cause of the one that is to stay.
    fn telling(&self, pods: &[(PodState, Option<Box<Reason>>)]) -> Option<Reason> {
        let rank = |state: &PodState| (!state.terminating, state.updated);
        let best = pods.iter().max_by_key(|(state, _)| rank(state))?;
        best.1.as_deref().cloned()
    }

    fn ready_since(&self, explained: &Explanation) -> Option<i64> {
        let state = explained.pods.iter().find(|state| state.updated && state.available)?;
        self.pod(state.uid)?.ready_since
    }

    fn trouble(&self, node: &str, state: &PodState) -> Option<Reason> {
        let pod = self.pod(state.uid)?;
        let case = Case {
            pod: &pod,
            node: self.look.node(node),
            nodes_seen: self.look.nodes_seen(),
            daemonset: self.value,
            available_at: state.available_at,
            now: self.look.now,
        };
        Some(case.reason())
    }

    fn no_pod(&self) -> Reason {
        if let Some(reason) = self.standstill() {
            return reason;
        }
        let describe = format!("kubectl -n {} describe daemonset {}", self.fact.namespace, self.fact.name);
        Reason::new(Kind::NoPod, "no pod has been made")
            .changed_by(format!("what refuses it, if something does: the events in {describe} tell"))
    }

    /// Why the ControllerRevision of the current template cannot be made: its name is that of the DaemonSet and a hash.
    fn refused_revision(&self) -> Option<Reason> {
        if self.figures.standing != Standing::WaitingForRevision || !self.revisions_seen() {
            return None;
        }
        let data = revision::data(self.fact.template.value());
        let hash = revision::hash(&data, self.fact.status.collision_count);
        let length = self.fact.name.len() + 1 + hash.len();
        (length > NAME_LIMIT).then(|| {
            let text = format!(
                "the ControllerRevision of the template cannot be made: its name, that of the DaemonSet and a hash, \
                 has {length} characters, and may have {NAME_LIMIT}"
            );
            let longest = NAME_LIMIT - 1 - hash.len();
            Reason::new(Kind::RevisionRefused, text)
                .changed_by(format!("a DaemonSet with a shorter name, of {longest} characters at most"))
        })
    }

    /// Pods that count as updated, by their label pod-template-generation, and are of another template: orphans that
    /// were adopted. Nothing replaces them.
    pub(crate) fn of_other_templates(&self, answers: &[Answer]) -> Vec<String> {
        let is_other = |state: &&PodState| state.updated && self.is_of_other_template(state);
        let pods = answers.iter().flat_map(|answer| answer.pods.iter().map(|(state, _)| state));
        pods.filter(is_other).map(|state| state.name.clone()).collect()
    }

    pub(crate) fn is_of_other_template(&self, state: &PodState) -> bool {
        let Some(current) = self.figures.hash else { return false };
        let pod = self.pod(state.uid);
        let hash = pod.as_deref().and_then(|pod| pod.labels.get(HASH_LABEL));
        state.updated && hash.is_some_and(|hash| hash != current)
    }

    /// Nothing is done for the DaemonSet at all.
    pub(crate) fn standstill(&self) -> Option<Reason> {
        let (generation, observed) = (self.fact.generation, self.fact.status.observed_generation);
        if self.figures.standing == Standing::Deleting {
            return Some(Reason::new(Kind::DaemonSetDeleted, "the DaemonSet is being deleted"));
        }
        if let Some(reason) = self.refused_revision() {
            return Some(reason);
        }
        if observed < generation {
            let text =
                format!("no controller has looked at generation {generation} yet ({observed} was the last)");
            return Some(
                Reason::new(Kind::WaitsForController, text).changed_by("a DaemonSet controller that runs"),
            );
        }
        if self.figures.standing == Standing::WaitingForRevision && self.revisions_seen() {
            let text = "there is no ControllerRevision for the current template yet";
            return Some(
                Reason::new(Kind::WaitsForController, text).changed_by("a DaemonSet controller that runs"),
            );
        }
        None
    }

    /// The pod of a uid.
    pub(crate) fn pod(&self, uid: Uid) -> Option<Cow<'a, Pod>> {
        let known = self.look.pods.get(&uid).map(|pod| Cow::Borrowed(*pod));
        known.or_else(|| Some(Cow::Owned(self.look.apart?.find(uid)?)))
    }

    /// Whether its revisions could be read.
    pub fn revisions_seen(&self) -> bool {
        self.look.fleet.sees("controllerrevisions")
    }

    /// Says of each old pod why it is still there.
    fn add_waits(&self, answers: &mut [Answer]) {
        let missing: Vec<Text> = nodes(answers, |answer| answer.class == Class::Missing);
        let users: Vec<Text> = nodes(answers, |answer| answer.uses_budget);
        let mut place = 0;
        if let Some(conducted) = self.under_way().filter(|conducted| conducted.paces_creations()) {
            for answer in answers.iter_mut().filter(|answer| answer.class == Class::Missing) {
                answer.reason = self.turn(conducted, answer, &users);
            }
        }
        for answer in answers.iter_mut().filter(|answer| answer.class == Class::Old) {
            answer.reason = self.wait(answer, &missing, &users, &mut place);
        }
        if let Some(conducted) = self.under_way() {
            answers.iter_mut().for_each(|answer| conducted.note(&answer.node, &mut answer.reason));
        }
    }

    fn wait(&self, answer: &Answer, missing: &[Text], users: &[Text], place: &mut usize) -> Reason {
        if let Some(reason) = self.standstill() {
            return reason;
        }
        match answer.waiting {
            Some(Waiting::NewPod) => {
                let newer = answer.pods.iter().find(|(state, _)| state.updated && !state.terminating);
                let trouble = newer.and_then(|(_, trouble)| trouble.as_ref());
                Reason::new(Kind::WaitsForNewPod, "the old pod stays until the new one is available")
                    .since(trouble.and_then(|reason| reason.since))
                    .detail(trouble.map_or("not available yet", |reason| reason.text.as_str()))
            }
            Some(Waiting::Conflict) => conflict(&self.policies),
            Some(Waiting::Policy) => match &self.conducted {
                Some(conducted) => self.turn(conducted, answer, users),
                None => self.in_line(place),
            },
            Some(Waiting::Deletion) => Reason::new(
                Kind::WaitsForSomebody,
                "updateStrategy is OnDelete: somebody has to delete the pod",
            )
            .changed_by("kubectl delete pod, or updateStrategy RollingUpdate"),
            Some(Waiting::OtherNodes) => {
                let text = "other nodes get their missing pods first".to_owned();
                Reason::new(Kind::WaitsForPods, text).detail(some(missing))
            }
            // Of how many nodes the budget is a part, the engine does not know without them.
            Some(Waiting::Budget | Waiting::Turn) if !self.look.nodes_seen() => match self.has_room() {
                true => self.in_line(place),
                false => self.used_up(users),
            },
            Some(Waiting::Budget) => self.used_up(users),
            Some(Waiting::Turn) | None => self.in_line(place),
        }
    }

    fn has_room(&self) -> bool {
        self.budget.is_some_and(|(budget, used)| used < budget.nodes())
    }

    fn in_line(&self, place: &mut usize) -> Reason {
        *place += 1;
        Reason::new(Kind::WaitsForTurn, "waits for its turn: the roll-out has room").detail(format!(
            "number {place} of those that wait, by node name, which is the order of everynode"
        ))
    }

    fn used_up(&self, users: &[Text]) -> Reason {
        let what = self.budget_text().unwrap_or_default();
        Reason::new(Kind::WaitsForBudget, format!("waits for the roll-out: {what} is used up"))
            .detail(format!("by {}", some(users)))
            .changed_by(format!("these nodes become available, or {what} is raised"))
    }

    /// Under a policy: why nothing is done on a node yet.
    fn turn(&self, conducted: &Conducted<'_>, answer: &Answer, users: &[Text]) -> Reason {
        if let Some(reason) = conducted.hold(&answer.node) {
            return reason;
        }
        match self.budget {
            Some((budget, used)) if used >= budget.nodes() && used > 0 => self.used_up(users),
            _ => Reason::new(Kind::WaitsForTurn, "waits for its turn: its wave is under way")
                .detail(conducted.text()),
        }
    }

    /// How the budget reads: `maxUnavailable 14 (5%)`.
    pub fn budget_text(&self) -> Option<String> {
        let (budget, _) = self.budget?;
        if let Some(conducted) = self.under_way() {
            let written = conducted.policy.spec.max_unavailable;
            return Some(match (budget, written) {
                (Budget::Surge(number), _) => format!("maxSurge {number}"),
                (Budget::Unavailable(number), Some(IntOrPercent::Percent(percent))) => {
                    format!("maxUnavailable {number} ({percent}%)")
                }
                (Budget::Unavailable(number), _) => format!("maxUnavailable {number}"),
            });
        }
        let Strategy::RollingUpdate { max_unavailable, max_surge } = self.fact.strategy else { return None };
        let (name, written) = match budget {
            Budget::Unavailable(_) => ("maxUnavailable", max_unavailable),
            Budget::Surge(_) => ("maxSurge", max_surge),
        };
        Some(match written {
            IntOrPercent::Int(_) => format!("{name} {}", budget.nodes()),
            IntOrPercent::Percent(percent) => format!("{name} {} ({percent}%)", budget.nodes()),
        })
    }
}

fn nodes(answers: &[Answer], is: impl Fn(&Answer) -> bool) -> Vec<Text> {
    answers.iter().filter(|answer| is(answer)).map(|answer| answer.node.clone()).collect()
}
