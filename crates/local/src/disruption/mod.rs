//! The status of PodDisruptionBudgets, by which evictions are granted.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use everynode_client::{Error, Method, content_type};
use everynode_wire::Value;
use everynode_wire::selector::LabelSelector;
use serde_json::json;

use crate::core::{Core, Fact, Kind, Now, Outbox, Write, retry_millis};
use crate::facts::{Budget, Pod};

/// How long an eviction that was granted may take until it counts as not happening.
const DISRUPTION_SECONDS: i64 = 120;

type Labels = Arc<[(Box<str>, Box<str>)]>;
type Name = (Box<str>, Box<str>);

/// The controller's state.
pub(crate) struct Disruption {
    budgets: HashMap<Name, BudgetRow>,
    pods: HashMap<Box<str>, HashMap<Box<str>, PodRow>>,
    /// Label sets; the pods of one template share theirs.
    labels: HashSet<Labels>,
    dirty: VecDeque<Name>,
    timers: BinaryHeap<Reverse<(u64, Name)>>,
    outbox: Outbox<Name>,
    random: fastrand::Rng,
    pods_listed: bool,
}

struct BudgetRow {
    uid: Box<str>,
    resource_version: Box<str>,
    generation: i64,
    selector: Option<LabelSelector>,
    min_available: Value,
    max_unavailable: Value,
    status: Value,
    dirty: bool,
    writing: bool,
    failures: u32,
}

#[derive(Debug)]
struct PodRow {
    name: Box<str>,
    labels: Labels,
    ready: bool,
    deleting: bool,
    terminal: bool,
}

const KNOWN_LABELS_LIMIT: usize = 10_000;

impl Disruption {
    pub(crate) fn new(random: fastrand::Rng) -> Disruption {
        Disruption {
            budgets: HashMap::new(),
            pods: HashMap::new(),
            labels: HashSet::new(),
            dirty: VecDeque::new(),
            timers: BinaryHeap::new(),
            outbox: Outbox::default(),
            random,
            pods_listed: false,
        }
    }

    fn budget_applied(&mut self, budget: &Budget<'_>) {
        let key: Name = ((*budget.metadata.namespace).into(), (*budget.metadata.name).into());
        let writing = self.budgets.get(&key).is_some_and(|row| row.writing);
        let row = BudgetRow {
            uid: (*budget.metadata.uid).into(),
            resource_version: (*budget.metadata.resource_version).into(),
            generation: budget.metadata.generation,
            selector: LabelSelector::from_object(&budget.spec["selector"]).ok(),
            min_available: budget.spec["minAvailable"].clone(),
            max_unavailable: budget.spec["maxUnavailable"].clone(),
            status: budget.status.clone(),
            dirty: false,
            writing,
            failures: 0,
        };
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
        let labels: Labels = crate::strings(&pod.metadata.labels).into();
        let labels = match self.labels.get(&labels) {
            Some(known) => known.clone(),
            None => {
                if self.labels.len() >= KNOWN_LABELS_LIMIT {
                    self.labels.clear();
                }
                self.labels.insert(labels.clone());
                labels
            }
        };
        let row = PodRow {
            name: (*pod.metadata.name).into(),
            labels: labels.clone(),
            ready: pod.is_ready(),
            deleting: pod.metadata.deletion_timestamp.is_some(),
            terminal: pod.is_terminal(),
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

    fn look(&mut self, key: &Name, now: Now) {
        let Some(row) = self.budgets.get_mut(key) else { return };
        row.dirty = false;
        if row.writing {
            return;
        }
        let empty = HashMap::new();
        let pods = self.pods.get(&key.0).unwrap_or(&empty);
        let (status, expires) = row.count(pods.values(), now);
        if let Some(seconds) = expires {
            self.timers.push(Reverse((now.millis + seconds * 1000, key.clone())));
        }
        if same_counts(&status, &row.status) {
            return;
        }
        row.writing = true;
        let path = format!("/apis/policy/v1/namespaces/{}/poddisruptionbudgets/{}/status", key.0, key.1);
        // The version guards evictions that were granted meanwhile.
        let metadata = json!({ "uid": row.uid, "resourceVersion": row.resource_version });
        let body = json!({ "metadata": metadata, "status": status });
        self.outbox.push(key.clone(), Method::PATCH, path, content_type::MERGE_PATCH, body.to_string());
    }
}

impl BudgetRow {
    fn selects(&self, labels: &Labels) -> bool {
        let Some(selector) = &self.selector else { return false };
        selector.matches(|key| labels.iter().find(|(name, _)| **name == *key).map(|(_, value)| &**value))
    }

    /// The status for these pods, and in how many seconds it changes by itself.
    fn count<'a>(&self, pods: impl Iterator<Item = &'a PodRow>, now: Now) -> (Value, Option<u64>) {
        let selected: Vec<&PodRow> = pods.filter(|pod| !pod.terminal && self.selects(&pod.labels)).collect();
        let alive: HashSet<&str> =
            selected.iter().filter(|pod| !pod.deleting).map(|pod| &*pod.name).collect();
        let (mut disrupted, mut expires) = (serde_json::Map::new(), None);
        for (pod, time) in self.status["disruptedPods"].as_object().into_iter().flatten() {
            let since = time.as_str().and_then(|text| everynode_wire::time::parse(text).ok()).unwrap_or(0);
            let left_seconds = since + DISRUPTION_SECONDS - now.wall_seconds;
            if alive.contains(pod.as_str()) && left_seconds > 0 {
                disrupted.insert(pod.clone(), time.clone());
                let left_seconds = left_seconds.unsigned_abs();
                expires = Some(expires.map_or(left_seconds, |sooner: u64| sooner.min(left_seconds)));
            }
        }
        let healthy = |pod: &&&PodRow| pod.ready && !pod.deleting && !disrupted.contains_key(&*pod.name);
        let current = selected.iter().filter(healthy).count() as i64;
        let expected = selected.len() as i64;
        let desired = match (&self.min_available, &self.max_unavailable) {
            (Value::Null, Value::Null) => expected - 1,
            (Value::Null, most) => (expected - scaled(most, expected)).max(0),
            (least, _) => scaled(least, expected),
        };
        let allowed = if expected == 0 { 0 } else { (current - desired).max(0) };
        let (verdict, reason) =
            if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
        let before = self.status["conditions"].as_array().into_iter().flatten();
        let before = before.clone().find(|c| c["type"] == "DisruptionAllowed" && c["status"] == verdict);
        let since =
            before.and_then(|c| c["lastTransitionTime"].as_str()).map_or_else(|| now.text(), str::to_owned);
        let mut status = json!({
            "conditions": [{
                "type": "DisruptionAllowed",
                "status": verdict,
                "observedGeneration": self.generation,
                "lastTransitionTime": since,
                "reason": reason,
                "message": "",
            }],
            "currentHealthy": current,
            "desiredHealthy": desired,
            "disruptionsAllowed": allowed,
            "expectedPods": expected,
            "observedGeneration": self.generation,
        });
        // A merge patch takes away what is null, field by field.
        let mut patch = serde_json::Map::new();
        for (pod, _) in self.status["disruptedPods"].as_object().into_iter().flatten() {
            patch.insert(pod.clone(), disrupted.get(pod).cloned().unwrap_or_default());
        }
        if !patch.is_empty() {
            status["disruptedPods"] = patch.into();
        }
        (status, expires)
    }
}

/// An absolute number, or a percentage of `total` rounded up.
fn scaled(amount: &Value, total: i64) -> i64 {
    match amount {
        Value::String(text) => {
            let percent: i64 = text.strip_suffix('%').and_then(|number| number.parse().ok()).unwrap_or(0);
            (percent * total).div_euclid(100) + i64::from((percent * total).rem_euclid(100) != 0)
        }
        amount => amount.as_i64().unwrap_or(0),
    }
}

fn same_counts(new: &Value, old: &Value) -> bool {
    let counts =
        ["currentHealthy", "desiredHealthy", "disruptionsAllowed", "expectedPods", "observedGeneration"];
    let gone = new["disruptedPods"].as_object().into_iter().flatten().any(|(_, time)| time.is_null());
    !gone
        && !old["conditions"].is_null()
        && counts.iter().all(|count| new[*count].as_i64() == old[*count].as_i64())
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
        let Some(key) = self.outbox.answered(ticket) else { return };
        let Some(row) = self.budgets.get_mut(&key) else { return };
        row.writing = false;
        match result {
            Ok(body) => {
                row.failures = 0;
                if let Ok(mut written) = serde_json::from_slice::<Value>(&body) {
                    row.status = written["status"].take();
                    if let Some(version) = written["metadata"]["resourceVersion"].as_str() {
                        row.resource_version = version.into();
                    }
                }
                self.mark_dirty(&key);
            }
            Err(error) if error.is_not_found() => {}
            Err(error) => {
                if !error.is_conflict() {
                    tracing::warn!(budget = %key.1, %error, "the status was not written");
                }
                row.failures += 1;
                let at = now.millis + retry_millis(row.failures, &mut self.random);
                self.timers.push(Reverse((at, key)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Now = Now { millis: 0, wall_seconds: 1_700_000_000 };

    /// currentHealthy, desiredHealthy, disruptionsAllowed, expectedPods for three pods of which `ready` are ready.
    fn check(spec: Value, ready: usize, expected: [i64; 4]) {
        let mut disruption = Disruption::new(fastrand::Rng::with_seed(1));
        for index in 0..3 {
            let status = if index < ready { "True" } else { "False" };
            let pod = json!({
                "metadata": {"name": index.to_string(), "namespace": "ns", "uid": index.to_string(), "labels": {"app": "a"}},
                "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": status}]},
            });
            disruption.observe(&Fact::Pod(&serde_json::from_str(&pod.to_string()).unwrap()), NOW);
        }
        disruption.observe(&Fact::Listed { source: 0, kind: Kind::Pods }, NOW);
        let mut budget =
            json!({"metadata": {"name": "b", "namespace": "ns", "uid": "b", "generation": 1}, "spec": spec});
        budget["spec"]["selector"] = json!({"matchLabels": {"app": "a"}});
        disruption.observe(&Fact::Budget(&serde_json::from_str(&budget.to_string()).unwrap()), NOW);
        let write = disruption.next_write(NOW).unwrap();
        let status = serde_json::from_slice::<Value>(&write.body).unwrap()["status"].take();
        let counts = ["currentHealthy", "desiredHealthy", "disruptionsAllowed", "expectedPods"];
        assert_eq!(counts.map(|count| status[count].as_i64().unwrap()), expected, "{budget}");
        disruption.done(write.ticket, Ok(json!({"status": status}).to_string().into()), NOW);
        assert!(disruption.next_write(NOW).is_none(), "nothing changed, nothing is written");
    }

    #[test]
    fn a_budget_allows_what_it_says() {
        check(json!({"minAvailable": 2}), 3, [3, 2, 1, 3]);
        check(json!({"minAvailable": 2}), 2, [2, 2, 0, 3]);
        check(json!({"minAvailable": "50%"}), 3, [3, 2, 1, 3]);
        check(json!({"maxUnavailable": 1}), 3, [3, 2, 1, 3]);
        check(json!({"maxUnavailable": "34%"}), 3, [3, 1, 2, 3]);
        check(json!({"maxUnavailable": 0}), 3, [3, 3, 0, 3]);
    }
}
