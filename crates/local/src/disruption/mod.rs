//! The status of PodDisruptionBudgets, by which evictions are granted.
//!
//! A budget with minAvailable as a number counts the pods that it selects. Any other is a share of the pods that
//! there should be, and those are what the controllers of its pods want by their scale subresource (`scales`).
//! DaemonSets have none: such a budget over daemons fails, and grants nothing.

mod budget;
mod scales;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::sync::Arc;

use bytes::Bytes;
use everynode_client::{Error, Method, content_type};
use everynode_model::{Pod, Value};
use serde_json::json;

use self::budget::{BudgetRow, Labels, PodRow, UnderWay};
use self::scales::{Answer, Owner, Question, Survey, Unknown};
use crate::core::{Core, Fact, Kind, Now, Outbox, Write};
use crate::facts::Budget;
use crate::kinds::ResourceKind;

type Name = (Box<str>, Box<str>);

/// The controller's state.
pub(crate) struct Disruption {
    budgets: HashMap<Name, BudgetRow>,
    pods: HashMap<Box<str>, HashMap<Box<str>, PodRow>>,
    labels: Shared<[(Box<str>, Box<str>)]>,
    owners: Shared<Owner>,
    kinds: Vec<ResourceKind>,
    dirty: VecDeque<Name>,
    timers: BinaryHeap<Reverse<(u64, Name)>>,
    outbox: Outbox<(Name, Ticket)>,
    random: fastrand::Rng,
    last_survey: u64,
    pods_listed: bool,
}

enum Ticket {
    Status,
    /// A question of the survey with this number.
    Question(u64, Question),
}

/// What pods of one template have in common, kept once.
struct Shared<T: ?Sized>(HashSet<Arc<T>>);

impl<T: ?Sized + Hash + Eq> Shared<T> {
    const LIMIT: usize = 10_000;

    fn of(&mut self, value: Arc<T>) -> Arc<T> {
        if let Some(known) = self.0.get(&value) {
            return known.clone();
        }
        if self.0.len() >= Self::LIMIT {
            self.0.clear();
        }
        self.0.insert(value.clone());
        value
    }
}

impl Disruption {
    pub(crate) fn new(random: fastrand::Rng) -> Disruption {
        Disruption {
            budgets: HashMap::new(),
            pods: HashMap::new(),
            labels: Shared(HashSet::new()),
            owners: Shared(HashSet::new()),
            kinds: Vec::new(),
            dirty: VecDeque::new(),
            timers: BinaryHeap::new(),
            outbox: Outbox::default(),
            random,
            last_survey: 0,
            pods_listed: false,
        }
    }

    fn budget_applied(&mut self, budget: &Budget<'_>) {
        let key: Name = ((*budget.metadata.namespace).into(), (*budget.metadata.name).into());
        let mut row = BudgetRow::of(budget);
        if let Some(before) = self.budgets.remove(&key) {
            (row.under_way, row.failures, row.retry_at) =
                (before.under_way, before.failures, before.retry_at);
        }
        self.budgets.insert(key.clone(), row);
        self.mark_dirty(&key);
    }

    fn mark_dirty(&mut self, key: &Name) {
        if let Some(row) = self.budgets.get_mut(key)
            && !std::mem::replace(&mut row.dirty, true)
        {
            self.dirty.push_back(key.clone());
        }
    }

    /// All budgets that select a pod with these labels are to be counted anew.
    fn pod_changed(&mut self, namespace: &str, labels: &Labels) {
        let concerned: Vec<Name> = self
            .budgets
            .iter()
            .filter(|((one, _), row)| **one == *namespace && row.selects(labels))
            .map(|(key, _)| key.clone())
            .collect();
        for key in concerned {
            self.mark_dirty(&key);
        }
    }

    fn pod_applied(&mut self, pod: &Pod<'_>) {
        let labels = self.labels.of(crate::strings(&pod.metadata.labels).into());
        let controller = pod.metadata.controller();
        let row = PodRow {
            name: (*pod.metadata.name).into(),
            labels: labels.clone(),
            controller: controller.map(|owner| self.owners.of(Arc::new(Owner::from(owner)))),
            ready: pod.is_ready(),
            deleting: pod.is_terminating(),
        };
        let namespace = &*pod.metadata.namespace;
        if !self.pods.contains_key(namespace) {
            self.pods.insert(namespace.into(), HashMap::new());
        }
        let Some(pods) = self.pods.get_mut(namespace) else { return };
        let before = pods.insert((*pod.metadata.uid).into(), row);
        if !self.budgets.is_empty() {
            if let Some(before) = before.filter(|before| before.labels != labels) {
                self.pod_changed(namespace, &before.labels);
            }
            self.pod_changed(namespace, &labels);
        }
    }

    fn pod_gone(&mut self, namespace: &str, uid: &str) {
        let Some(pods) = self.pods.get_mut(namespace) else { return };
        if let Some(row) = pods.remove(uid) {
            if pods.is_empty() {
                self.pods.remove(namespace);
            }
            self.pod_changed(namespace, &row.labels);
        }
    }

    /// Counts a budget, or begins to ask for what it takes to count it.
    fn look(&mut self, key: &Name, now: Now) {
        let Some(row) = self.budgets.get_mut(key) else { return };
        if row.under_way.is_some() {
            // It stays dirty, and is looked at again at the end of that.
            return;
        }
        row.dirty = false;
        if !row.counts_by_scale() {
            return self.write(key, None, now);
        }
        self.last_survey += 1;
        let mut survey = Survey::new(self.last_survey);
        let mut questions = Vec::new();
        for (pod, owner) in controllers(row, self.pods.get(&key.0)) {
            match Question::of(owner, pod, &self.kinds) {
                Ok(question) => questions.push(question),
                Err(why) => survey.fail(pod, why),
            }
        }
        // One failure decides, whatever the others want.
        if survey.has_failed() {
            questions.clear();
        }
        survey.open = questions.len();
        row.under_way = Some(UnderWay::Survey(survey));
        for question in questions {
            self.ask(key, self.last_survey, question);
        }
        self.end_survey(key, now);
    }

    fn ask(&mut self, key: &Name, survey: u64, question: Question) {
        match question.path(&key.0, &self.kinds) {
            Some(path) => {
                let ticket = (key.clone(), Ticket::Question(survey, question));
                self.outbox.push(ticket, Method::GET, path, content_type::JSON, "");
            }
            None => {
                let Some(survey) = self.survey(key, survey) else { return };
                survey.take_failure(&question.pod, Unknown::NoController(question.pod.clone()));
            }
        }
    }

    /// The survey that is under way, if it is that one.
    fn survey(&mut self, key: &Name, number: u64) -> Option<&mut Survey> {
        match &mut self.budgets.get_mut(key)?.under_way {
            Some(UnderWay::Survey(survey)) if survey.number == number => Some(survey),
            _ => None,
        }
    }

    fn answered(
        &mut self,
        key: &Name,
        number: u64,
        question: Question,
        result: Result<Bytes, Error>,
        now: Now,
    ) {
        let pod = question.pod.clone();
        let answer = question.answered(result.as_deref());
        let Some(survey) = self.survey(key, number) else { return };
        match answer {
            Answer::Ask(next) => self.ask(key, number, next),
            Answer::Scale(controller, replicas) => survey.take(controller, replicas),
            Answer::Unknown(why) => survey.take_failure(&pod, why),
        }
        self.end_survey(key, now);
    }

    /// Writes the status once all questions are answered.
    fn end_survey(&mut self, key: &Name, now: Now) {
        let Some(row) = self.budgets.get_mut(key) else { return };
        let Some(UnderWay::Survey(survey)) = row.under_way.take_if(|one| one.is_answered()) else { return };
        let expected = survey.expected();
        match &expected {
            Err(why) if why.may_pass() => {
                let retry = row.retry_at(now, &mut self.random);
                self.timers.extend(retry.map(|at| Reverse((at, key.clone()))));
            }
            Err(_) => {}
            Ok(_) => row.failures = 0,
        }
        let is_dirty = row.dirty;
        self.write(key, Some(expected), now);
        if is_dirty {
            self.look_again(key);
        }
    }

    /// Looks at a budget that was to be looked at while something was under way.
    fn look_again(&mut self, key: &Name) {
        if let Some(row) = self.budgets.get_mut(key) {
            row.dirty = false;
        }
        self.mark_dirty(key);
    }

    fn write(&mut self, key: &Name, expected: Option<Result<i64, Unknown>>, now: Now) {
        let Some(row) = self.budgets.get_mut(key) else { return };
        let empty = HashMap::new();
        let pods = self.pods.get(&key.0).unwrap_or(&empty);
        let (status, expires) = match expected {
            Some(Err(why)) => (row.failed(&why, now), None),
            Some(Ok(expected)) => row.count(pods.values(), Some(expected), now),
            None => row.count(pods.values(), None, now),
        };
        if let Some(seconds) = expires {
            self.timers.push(Reverse((now.millis + seconds * 1000, key.clone())));
        }
        if row.shows(&status) {
            return;
        }
        row.under_way = Some(UnderWay::Write);
        let path = format!("/apis/policy/v1/namespaces/{}/poddisruptionbudgets/{}/status", key.0, key.1);
        // The version guards evictions that were granted meanwhile.
        let metadata = json!({ "uid": row.uid, "resourceVersion": row.resource_version });
        let body = json!({ "metadata": metadata, "status": status });
        let ticket = (key.clone(), Ticket::Status);
        self.outbox.push(ticket, Method::PATCH, path, content_type::MERGE_PATCH, body.to_string());
    }

    fn written(&mut self, key: &Name, result: Result<Bytes, Error>, now: Now) {
        let Some(row) = self.budgets.get_mut(key) else { return };
        row.under_way = None;
        match result {
            Ok(body) => {
                row.failures = 0;
                if let Ok(mut written) = serde_json::from_slice::<Value>(&body) {
                    row.status = written["status"].take();
                    if let Some(version) = written["metadata"]["resourceVersion"].as_str() {
                        row.resource_version = version.into();
                    }
                }
                self.look_again(key);
            }
            Err(error) if error.is_not_found() => {}
            Err(error) => {
                if !error.is_conflict() {
                    tracing::warn!(budget = %key.1, %error, "the status was not written");
                }
                row.dirty = false;
                let retry = row.retry_at(now, &mut self.random);
                self.timers.extend(retry.map(|at| Reverse((at, key.clone()))));
            }
        }
    }

    /// Budgets that failed for want of a kind or a scale may be counted now.
    fn kinds_read(&mut self, kinds: &[ResourceKind]) {
        self.kinds = kinds.to_vec();
        let keys: Vec<Name> = self.budgets.keys().cloned().collect();
        keys.iter().for_each(|key| self.mark_dirty(key));
    }
}

/// The controllers of the pods that a budget selects, each with the first of its pods by name.
fn controllers<'a>(
    budget: &BudgetRow,
    pods: Option<&'a HashMap<Box<str>, PodRow>>,
) -> Vec<(&'a str, &'a Arc<Owner>)> {
    let mut first: BTreeMap<&str, (&str, &Arc<Owner>)> = BTreeMap::new();
    let selected = pods.into_iter().flat_map(HashMap::values).filter(|pod| budget.selects(&pod.labels));
    for (pod, owner) in selected.filter_map(|pod| Some((pod, pod.controller.as_ref()?))) {
        let known = first.entry(&owner.uid).or_insert((&pod.name, owner));
        known.0 = known.0.min(&pod.name);
    }
    first.into_values().collect()
}

impl Core for Disruption {
    fn observe(&mut self, fact: &Fact<'_>, _now: Now) {
        match fact {
            Fact::Pod(pod) => self.pod_applied(pod),
            Fact::PodGone(metadata) => self.pod_gone(&metadata.namespace, &metadata.uid),
            Fact::Budget(budget) => self.budget_applied(budget),
            Fact::BudgetGone(metadata) => {
                self.budgets.remove(&((*metadata.namespace).into(), (*metadata.name).into()));
            }
            Fact::Listed { kind: Kind::Pods, .. } => self.pods_listed = true,
            Fact::Kinds(kinds) => self.kinds_read(kinds),
            _ => {}
        }
    }

    fn next_wake(&self) -> Option<u64> {
        self.timers.peek().map(|Reverse((at, _))| *at)
    }

    fn wake(&mut self, now: Now) {
        while self.timers.peek().is_some_and(|Reverse((at, _))| *at <= now.millis)
            && let Some(Reverse((_, key))) = self.timers.pop()
        {
            self.mark_dirty(&key);
        }
    }

    fn next_write(&mut self, now: Now) -> Option<Write> {
        while self.pods_listed && self.outbox.is_empty() {
            let key = self.dirty.pop_front()?;
            self.look(&key, now);
        }
        self.outbox.pop()
    }

    fn done(&mut self, ticket: u64, result: Result<Bytes, Error>, now: Now) {
        match self.outbox.answered(ticket) {
            Some((key, Ticket::Question(survey, question))) => {
                self.answered(&key, survey, question, result, now);
            }
            Some((key, Ticket::Status)) => self.written(&key, result, now),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests;
