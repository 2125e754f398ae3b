//! `status`: how the roll-outs of DaemonSets stand, who uses up their budgets, and when they end.

mod text;

use std::collections::{BTreeMap, BTreeSet};

use everynode_engine::policy::RolloutPhase;
use everynode_engine::{Budget, Strategy};
use everynode_plan::record::{Text, Unseen};
use everynode_plan::{Fleet, some};
use serde::Serialize;

use crate::cells::Cell;
use crate::coverage;
use crate::estimate::Estimate;
use crate::events::{EventLine, Subject};
use crate::look::{Answer, Look, Set};
use crate::outlook::Outlook;
use crate::policy::PolicyState;
use crate::reason::{Class, Kind, Reason};

/// Which DaemonSets are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Those of this namespace; `None` shows all.
    pub namespace: Option<String>,
    /// Those of these names; none shows all.
    pub names: Vec<String>,
}

impl Filter {
    /// The DaemonSet is asked for.
    pub fn selects(&self, set: &Set<'_>) -> bool {
        self.is_of_namespace(set) && (self.names.is_empty() || self.names.contains(&set.fact.name))
    }

    fn is_of_namespace(&self, set: &Set<'_>) -> bool {
        self.namespace.as_ref().is_none_or(|namespace| *namespace == set.fact.namespace)
    }
}

/// The DaemonSets of a fleet. Its JSON form is documented in `docs/why-status.md`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// When the fleet was read, in Unix seconds.
    pub taken_at_seconds: i64,
    /// The DaemonSets, by namespace and name.
    pub daemonsets: Vec<Row>,
    /// What could not be read, and what that may change.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_seen: Vec<String>,
    /// DaemonSets in other namespaces.
    #[serde(skip)]
    pub elsewhere: usize,
}

/// How a DaemonSet stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// Every node that should has an available pod of the current template.
    Complete,
    /// A roll-out is under way.
    RollingOut,
    /// A roll-out is under way and does not come to its end.
    Stalled,
    /// Everything is of the current template, and some pods are not available.
    NotAvailable,
    /// Old pods wait for somebody to delete them.
    OnDelete,
    /// Under a policy: a wave is complete and waits for somebody to promote it.
    WaitsForPromotion,
    /// The policy is paused.
    Paused,
    /// Under a policy: too many nodes have failed, or somebody aborted.
    Halted,
    /// Under a policy: nodes go back to the last good revision.
    RollingBack,
    /// Under a policy: all nodes have the last good revision again.
    RolledBack,
    /// No controller has looked at it.
    NotObserved,
    /// It is being deleted.
    Deleting,
}

/// One DaemonSet.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// metadata.namespace.
    pub namespace: String,
    /// metadata.name.
    pub name: String,
    /// How it stands.
    pub state: State,
    /// Nodes that should run a pod.
    pub desired: i32,
    /// ... and have one.
    pub current: i32,
    /// ... that is ready.
    pub ready: i32,
    /// ... of the current template.
    pub updated: i32,
    /// ... available.
    pub available: i32,
    /// ... both: the progress of the roll-out.
    pub done: i32,
    /// Nodes that should not run a pod and have one.
    pub misscheduled: i32,
    /// On how many nodes a pod is ready, and what keeps the others from it, where the nodes could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coverage: Option<coverage::Nodes>,
    /// metadata.generation.
    pub generation: i64,
    /// status.observedGeneration.
    pub observed_generation: i64,
    /// The ControllerRevision of the current template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// updateStrategy.
    pub strategy: String,
    /// metadata.creationTimestamp, in Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_seconds: Option<i64>,
    /// What a roll-out may spend.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<Spent>,
    /// What the policy makes of it that conducts it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyState>,
    /// When it ends, as long as it has not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimate: Option<Estimate>,
    /// The nodes, grouped by cause.
    pub groups: Vec<Group>,
    /// What is so by the nature of Kubernetes, and not as one might expect.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// metadata.uid.
    #[serde(skip)]
    pub(crate) uid: String,
    /// The ControllerRevisions could be read.
    #[serde(skip)]
    pub revisions_seen: bool,
    /// The nodes one by one.
    #[serde(skip)]
    pub cells: Vec<Cell>,
}

/// A budget and who uses it up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Spent {
    /// Such as `maxUnavailable 14 (5%)`.
    pub text: String,
    /// In nodes.
    pub allowed: i32,
    /// How many nodes use it.
    pub used: i32,
    /// Which, and why.
    pub used_by: Vec<Group>,
}

/// Nodes with the same cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// How they stand.
    pub class: Class,
    /// The cause; `since` is the earliest.
    #[serde(flatten)]
    pub reason: Reason,
    /// The nodes, by name.
    pub nodes: Vec<Text>,
}

impl Status {
    /// Looks at all DaemonSets that are asked for.
    pub fn of(look: &Look<'_>, filter: &Filter) -> Status {
        let sets = look.sets();
        let elsewhere = sets.iter().filter(|set| !filter.is_of_namespace(set)).count();
        let shown = sets.iter().filter(|set| filter.selects(set));
        Status {
            taken_at_seconds: look.fleet.taken_at_millis.div_euclid(1000),
            daemonsets: shown.map(|set| Row::of(look, set)).collect(),
            not_seen: not_seen(look.fleet, filter.namespace.is_some()),
            elsewhere,
        }
    }

    /// What is complete comes last, for where there is no room for all.
    pub fn put_complete_last(&mut self) {
        self.daemonsets.sort_by_key(|row| row.state == State::Complete);
    }

    /// What changes when something happens, and not when time passes only.
    pub fn fingerprint(&self) -> String {
        let mut rows = self.daemonsets.clone();
        for row in &mut rows {
            row.estimate = None;
            let used_by = row.budget.iter_mut().flat_map(|budget| &mut budget.used_by);
            used_by.chain(&mut row.groups).for_each(|group| group.reason.detail.clear());
        }
        serde_json::to_string(&rows).unwrap_or_default()
    }
}

impl Row {
    /// What events could tell more about: why pods are not made.
    pub fn subject(&self) -> Option<Subject> {
        let is_missing = self.groups.iter().any(|group| group.reason.kind == Kind::NoPod);
        let (namespace, uid) = (self.namespace.clone(), self.uid.clone());
        is_missing.then_some(Subject { namespace, uid, warnings_only: true })
    }

    /// Takes what events tell: who refuses pods is what keeps them away.
    pub fn take_events(&mut self, events: &[EventLine]) {
        self.groups.iter_mut().for_each(|group| group.reason.name_refusal(events));
        let used_by = self.budget.iter_mut().flat_map(|budget| &mut budget.used_by);
        used_by.for_each(|group| group.reason.name_refusal(events));
        self.estimate.iter_mut().for_each(|estimate| estimate.name_refusal(events));
    }

    /// Looks at a DaemonSet.
    pub fn of(look: &Look<'_>, set: &Set<'_>) -> Row {
        Row::with(set, look, Outlook::of(look, set))
    }

    /// Looks at a DaemonSet, and at nothing that is to come: no end is estimated, and a stall is not foreseen.
    pub fn without_estimate(look: &Look<'_>, set: &Set<'_>) -> Row {
        Row::with(set, look, Outlook { answers: set.lean_answers(), estimate: None })
    }

    fn with(set: &Set<'_>, look: &Look<'_>, outlook: Outlook) -> Row {
        let Outlook { answers, estimate } = outlook;
        let figures = &set.figures.status;
        let done = answers.iter().filter(|answer| answer.class == Class::Available).count();
        let should = |answer: &&Answer| !matches!(answer.class, Class::NotEligible | Class::Misscheduled);
        // Without the nodes the numbers of the API are better than those of the engine.
        let seen = look.nodes_seen();
        let stored = &set.fact.status;
        let of = |live: i32, stored: i32| if seen { live } else { stored };
        let desired = of(figures.desired_number_scheduled, stored.desired_number_scheduled);
        let updated = answers.iter().filter(should).filter(|answer| answer.is_updated).count();
        let mut row = Row {
            namespace: set.fact.namespace.clone(),
            name: set.fact.name.clone(),
            state: State::Complete,
            desired,
            current: of(figures.current_number_scheduled, stored.current_number_scheduled),
            ready: of(figures.number_ready, stored.number_ready),
            updated: of(int(updated), stored.updated_number_scheduled),
            available: of(figures.number_available, stored.number_available),
            done: int(done).min(desired),
            misscheduled: of(figures.number_misscheduled, stored.number_misscheduled),
            coverage: seen.then(|| coverage::Nodes::of(&answers)),
            generation: set.fact.generation,
            observed_generation: stored.observed_generation,
            revision: set.figures.revision.map(str::to_owned),
            strategy: strategy_text(set),
            created_seconds: set.fact.created.map(|time| time.seconds()),
            budget: spent(set, &answers),
            policy: set.policy_state(),
            estimate,
            groups: groups(answers.iter()),
            notes: notes(set, &answers),
            uid: set.fact.uid.to_string(),
            revisions_seen: set.revisions_seen(),
            cells: answers.iter().map(|answer| set.cell(answer)).collect(),
        };
        let is_old = answers.iter().any(|answer| answer.class == Class::Old);
        let standstill = set.standstill().map(|reason| reason.kind);
        // What is on its way counts as a part of the roll-out.
        let comes_to_its_end = row.estimate.as_ref().is_some_and(|estimate| estimate.left == 0);
        let comes_further =
            row.estimate.as_ref().is_none_or(|estimate| int(estimate.left) < row.desired - row.done);
        let is_rolling = is_old || row.updated < row.desired && comes_further || comes_to_its_end;
        let stalls = row.estimate.as_ref().is_some_and(|estimate| estimate.stalls.is_some());
        row.state = match () {
            () if standstill == Some(Kind::DaemonSetDeleted) => State::Deleting,
            () if standstill == Some(Kind::RevisionRefused) => State::NotAvailable,
            () if standstill.is_some() => State::NotObserved,
            () if row.done >= row.desired => State::Complete,
            () if is_old && set.fact.strategy == Strategy::OnDelete && set.policies.is_empty() => {
                State::OnDelete
            }
            () if is_rolling && stalls => State::Stalled,
            () if is_rolling => State::RollingOut,
            () => State::NotAvailable,
        };
        let is_open = !matches!(row.state, State::Deleting | State::NotObserved | State::Complete);
        row.state = conducted_state(set).filter(|_| is_open).unwrap_or(row.state);
        row
    }
}

/// What the policy makes of a roll-out that it does not let go on.
fn conducted_state(set: &Set<'_>) -> Option<State> {
    let conducted = set.under_way()?;
    match conducted.rollout.phase {
        RolloutPhase::Halted => Some(State::Halted),
        RolloutPhase::RollingBack => Some(State::RollingBack),
        RolloutPhase::RolledBack => Some(State::RolledBack),
        _ if conducted.policy.spec.paused => Some(State::Paused),
        RolloutPhase::WaitingForPromotion => Some(State::WaitsForPromotion),
        RolloutPhase::Stalled => Some(State::Stalled),
        _ => None,
    }
}

/// What the numbers count otherwise than one might expect.
pub(crate) fn notes(set: &Set<'_>, answers: &[Answer]) -> Vec<String> {
    let adopted = set.of_other_templates(answers);
    let text = format!(
        "by their label pod-template-generation {} as updated that {} of another template ({}): \
         kubectl delete pod has them made anew",
        match adopted.len() {
            1 => "1 pod counts".to_owned(),
            number => format!("{number} pods count"),
        },
        if adopted.len() == 1 { "is" } else { "are" },
        some(&adopted)
    );
    (!adopted.is_empty()).then_some(text).into_iter().collect()
}

fn int(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn strategy_text(set: &Set<'_>) -> String {
    match set.fact.strategy {
        Strategy::OnDelete => "OnDelete".to_owned(),
        Strategy::RollingUpdate { .. } => set.budget_text().unwrap_or_else(|| "RollingUpdate".to_owned()),
    }
}

pub(crate) fn spent(set: &Set<'_>, answers: &[Answer]) -> Option<Spent> {
    let (budget, used) = set.budget?;
    let users = answers.iter().filter(|answer| answer.uses_budget);
    // Where the node's own cause is another one, what its pod lacks is why it uses the budget: with surge the new
    // pod beside an old one, and any pod on a node that should not run it.
    let cause = |answer: &Answer| {
        let of_pod = answer.pods.iter().filter(|(state, _)| state.updated || answer.class != Class::Old);
        let lacking = of_pod.filter_map(|(_, reason)| reason.as_deref().cloned()).next();
        match (budget, answer.class) {
            (Budget::Surge(_), Class::Old) | (_, Class::Misscheduled) => {
                Answer { reason: lacking.unwrap_or_else(|| answer.reason.clone()), ..answer.clone() }
            }
            _ => answer.clone(),
        }
    };
    let users: Vec<Answer> = users.map(cause).collect();
    Some(Spent { text: set.budget_text()?, allowed: budget.nodes(), used, used_by: groups(users.iter()) })
}

/// Causes that differ in nothing but what the nodes have are told apart up to so many.
const ALIKE: usize = 5;

/// Nodes by cause: the classes in their order, the largest group first.
pub(crate) fn groups<'a>(answers: impl Iterator<Item = &'a Answer>) -> Vec<Group> {
    let answers: Vec<&Answer> = answers.collect();
    let mut alike: BTreeMap<(Class, Kind, &str), BTreeSet<&str>> = BTreeMap::new();
    for answer in &answers {
        if let Some(general) = &answer.reason.general {
            let key = (answer.class, answer.reason.kind, general.as_str());
            alike.entry(key).or_default().insert(&answer.reason.text);
        }
    }
    let text = |answer: &Answer| -> String {
        let Reason { kind, text, general, .. } = &answer.reason;
        let is_one_of_many = |general: &&String| {
            alike.get(&(answer.class, *kind, general.as_str())).is_some_and(|texts| texts.len() > ALIKE)
        };
        general.as_ref().filter(is_one_of_many).unwrap_or(text).clone()
    };
    let mut found: BTreeMap<(Class, Kind, String), Group> = BTreeMap::new();
    for answer in &answers {
        let text = text(answer);
        let key = (answer.class, answer.reason.kind, text.clone());
        let reason = Reason { text, ..answer.reason.clone() };
        let new = || Group { class: answer.class, reason, nodes: Vec::new() };
        let group = found.entry(key).or_insert_with(new);
        group.nodes.push(answer.node.clone());
        group.reason.since = group.reason.since.into_iter().chain(answer.reason.since).min();
        if group.reason.detail != answer.reason.detail {
            group.reason.detail.clear();
        }
    }
    let mut groups: Vec<Group> = found.into_values().collect();
    groups.sort_by_key(|group| (group.class, std::cmp::Reverse(group.nodes.len())));
    groups
}

/// What was not seen, and what may be otherwise because of it; in one namespace, only what concerns it.
pub fn not_seen(fleet: &Fleet, one_namespace: bool) -> Vec<String> {
    let nodes_seen = fleet.sees("nodes");
    fleet.unseen.iter().filter_map(|unseen| note(unseen, nodes_seen, one_namespace)).collect()
}

fn note(unseen: &Unseen, nodes_seen: bool, one_namespace: bool) -> Option<String> {
    let Unseen { resource, is_elsewhere, why } = unseen;
    let then = match (resource.as_str(), is_elsewhere) {
        ("nodes", _) => {
            "only nodes with pods are known, numbers are those that the controller wrote, and nothing is estimated"
        }
        ("pods", false) => "every node counts as without a pod",
        ("daemonsets" | "controllerrevisions" | "rolloutpolicies", true) if one_namespace => return None,
        ("daemonsets", true) => "they are not shown",
        ("rolloutpolicies", _) => {
            "a policy may conduct roll-outs: in waves, in another order and within another budget"
        }
        ("controllerrevisions", _) => "pods may count as old that are not",
        ("pods", true) if !one_namespace => {
            "DaemonSets of other namespaces seem to have no pods, and nodes more room than they have"
        }
        // They matter for pods that have never been made.
        ("namespaces" | "serviceaccounts" | "runtimeclasses" | "limitranges", _) => return None,
        // What follows matters for estimates only.
        _ if !nodes_seen => return None,
        ("pods", true) => "nodes may have less room than they seem to have",
        ("resourcequotas", _) => "a quota may refuse pods",
        ("priorityclasses", _) => "pods may be said not to fit that push others out",
        _ => "the answer may differ",
    };
    Some(format!("{} could not be seen ({why}), so {then}", unseen.what()))
}
