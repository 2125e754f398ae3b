//! A budget, and what it makes of its pods.

use std::collections::HashSet;
use std::sync::Arc;

use everynode_model::LabelSelector;
use everynode_model::Value;
use serde_json::json;

use super::scales::{Owner, Survey, Unknown};
use crate::core::{Now, retry_at};
use crate::facts::Budget;

/// How long an eviction that was granted may take until it counts as not happening.
const DISRUPTION_SECONDS: i64 = 120;

pub(super) type Labels = Arc<[(Box<str>, Box<str>)]>;

/// A PodDisruptionBudget.
pub(super) struct BudgetRow {
    pub uid: Box<str>,
    pub resource_version: Box<str>,
    generation: i64,
    selector: Option<LabelSelector>,
    min_available: Value,
    max_unavailable: Value,
    pub status: Value,
    pub dirty: bool,
    pub under_way: Option<UnderWay>,
    /// Surveys and writes that failed in a row.
    pub failures: u32,
    /// When it is looked at after a failure, in milliseconds of [`Now`].
    pub retry_at: Option<u64>,
}

/// What has to end before the budget is looked at again.
pub(super) enum UnderWay {
    /// Controllers are asked for their scale.
    Survey(Survey),
    /// The status is being written.
    Write,
}

impl UnderWay {
    /// A survey, and all that was asked is answered.
    pub(super) fn is_answered(&self) -> bool {
        matches!(self, UnderWay::Survey(survey) if survey.open == 0)
    }
}

/// A pod.
#[derive(Debug)]
pub(super) struct PodRow {
    pub name: Box<str>,
    pub labels: Labels,
    pub controller: Option<Arc<Owner>>,
    pub ready: bool,
    pub deleting: bool,
}

impl BudgetRow {
    pub(super) fn of(budget: &Budget<'_>) -> BudgetRow {
        BudgetRow {
            uid: (*budget.metadata.uid).into(),
            resource_version: (*budget.metadata.resource_version).into(),
            generation: budget.metadata.generation,
            selector: LabelSelector::from_object(&budget.spec["selector"]).ok(),
            min_available: budget.spec["minAvailable"].clone(),
            max_unavailable: budget.spec["maxUnavailable"].clone(),
            status: budget.status.clone(),
            dirty: false,
            under_way: None,
            failures: 0,
            retry_at: None,
        }
    }

    /// When to look at it again after a failure; `None` when that is settled already.
    pub(super) fn retry_at(&mut self, now: Now, random: &mut fastrand::Rng) -> Option<u64> {
        if self.retry_at.is_some_and(|at| at > now.millis) {
            return None;
        }
        self.failures += 1;
        self.retry_at = Some(retry_at(now, self.failures, random));
        self.retry_at
    }

    pub(super) fn selects(&self, labels: &Labels) -> bool {
        let Some(selector) = &self.selector else { return false };
        selector.selects(|key| labels.iter().find(|(name, _)| **name == *key).map(|(_, value)| &**value))
    }

    /// What it allows is a share of the pods that there should be.
    pub(super) fn counts_by_scale(&self) -> bool {
        !self.max_unavailable.is_null() || self.min_available.is_string()
    }

    /// The status for these pods, and in how many seconds it changes by itself. `scale` is how many there should be
    /// where that counts.
    pub(super) fn count<'a>(
        &self,
        pods: impl Iterator<Item = &'a PodRow>,
        scale: Option<i64>,
        now: Now,
    ) -> (Value, Option<u64>) {
        let selected: Vec<&PodRow> = pods.filter(|pod| self.selects(&pod.labels)).collect();
        let (disrupted, expires) = self.disrupted(&selected, now);
        let healthy = |pod: &&&PodRow| pod.ready && !pod.deleting && !disrupted.contains_key(&*pod.name);
        let current = selected.iter().filter(healthy).count() as i64;
        let (expected, desired) = match (scale, &self.max_unavailable, &self.min_available) {
            (Some(expected), Value::Null, least) => (expected, scaled(least, expected)),
            (Some(expected), most, _) => (expected, (expected - scaled(most, expected)).max(0)),
            (None, _, Value::Null) => (0, 0),
            (None, _, least) => (selected.len() as i64, scaled(least, 0)),
        };
        let allowed = if expected <= 0 { 0 } else { (current - desired).max(0) };
        let (verdict, reason) =
            if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
        let mut status = json!({
            "conditions": [self.condition(verdict, reason, "", self.generation, now)],
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

    /// Pods whose eviction was granted and is still to be expected, and when the first of these is not any more.
    fn disrupted(&self, selected: &[&PodRow], now: Now) -> (serde_json::Map<String, Value>, Option<u64>) {
        let alive: HashSet<&str> =
            selected.iter().filter(|pod| !pod.deleting).map(|pod| &*pod.name).collect();
        let (mut disrupted, mut expires) = (serde_json::Map::new(), None);
        for (pod, time) in self.status["disruptedPods"].as_object().into_iter().flatten() {
            let since = time.as_str().and_then(|text| everynode_model::time::parse(text).ok()).unwrap_or(0);
            let left_seconds = since + DISRUPTION_SECONDS - now.wall_seconds;
            if alive.contains(pod.as_str()) && left_seconds > 0 {
                disrupted.insert(pod.clone(), time.clone());
                let left_seconds = left_seconds.unsigned_abs();
                expires = Some(expires.map_or(left_seconds, |sooner: u64| sooner.min(left_seconds)));
            }
        }
        (disrupted, expires)
    }

    /// The status when it cannot be counted: nothing may go, and the numbers stay as they were.
    pub(super) fn failed(&self, why: &Unknown, now: Now) -> Value {
        let number = |field: &str| self.status[field].as_i64().unwrap_or(0);
        let observed = number("observedGeneration");
        json!({
            "conditions": [self.condition("False", "SyncFailed", &why.to_string(), observed, now)],
            "currentHealthy": number("currentHealthy"),
            "desiredHealthy": number("desiredHealthy"),
            "disruptionsAllowed": 0,
            "expectedPods": number("expectedPods"),
        })
    }

    fn condition(&self, verdict: &str, reason: &str, message: &str, observed: i64, now: Now) -> Value {
        let before = self.status["conditions"].as_array().into_iter().flatten();
        let mut same = before.filter(|c| c["type"] == "DisruptionAllowed" && c["status"] == verdict);
        let since = same.next().and_then(|c| c["lastTransitionTime"].as_str());
        let mut condition = json!({
            "type": "DisruptionAllowed",
            "status": verdict,
            "lastTransitionTime": since.map_or_else(|| now.text(), str::to_owned),
            "reason": reason,
            "message": message,
        });
        if observed > 0 {
            condition["observedGeneration"] = observed.into();
        }
        condition
    }

    /// Whether a status says nothing but what is there already.
    pub(super) fn shows(&self, status: &Value) -> bool {
        let is_same = |(field, new): (&String, &Value)| self.status[field] == *new;
        status.as_object().is_some_and(|fields| fields.iter().all(is_same))
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
