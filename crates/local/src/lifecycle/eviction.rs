//! Which pods a NoExecute taint drives off a node, and when.

use std::collections::HashMap;
use std::sync::Arc;

use everynode_model::json::{items, raw_value};
use everynode_model::{Effect, Taint, Toleration};
use serde_json::value::RawValue;

use super::taints::TaintRow;

/// A toleration with the time for which it holds.
#[derive(Debug)]
pub(crate) struct TimedToleration {
    toleration: Toleration,
    seconds: Option<i64>,
}

/// The tolerations of pods. The pods of one template share theirs.
#[derive(Debug, Default)]
pub(crate) struct Tolerations {
    known: HashMap<Box<str>, Arc<[TimedToleration]>>,
}

/// How many different lists are remembered before all are forgotten.
const KNOWN_LIMIT: usize = 10_000;

impl Tolerations {
    pub(crate) fn read(&mut self, raw: Option<&RawValue>) -> Arc<[TimedToleration]> {
        let text = raw.map(RawValue::get).unwrap_or_default();
        if let Some(known) = self.known.get(text) {
            return known.clone();
        }
        if self.known.len() >= KNOWN_LIMIT {
            self.known.clear();
        }
        let list = raw.map(raw_value).unwrap_or_default();
        let read: Arc<[TimedToleration]> = items(&list)
            .map(|one| TimedToleration {
                toleration: Toleration::from_json(one),
                seconds: one["tolerationSeconds"].as_i64(),
            })
            .collect();
        self.known.insert(text.into(), read.clone());
        read
    }
}

/// When a pod has to leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stay {
    /// It may stay for ever.
    Forever,
    /// It may stay so long after the taint came.
    Seconds(u64),
}

/// How long a pod may stay on a node with these taints: the shortest time of the tolerations that it needs.
pub(crate) fn stay(taints: &[TaintRow], tolerations: &[TimedToleration]) -> Stay {
    let mut shortest: Option<i64> = None;
    for taint in taints.iter().filter(|taint| &*taint.effect == "NoExecute") {
        let taint = Taint { key: &taint.key, value: &taint.value, effect: Effect::NoExecute };
        let mut tolerating = tolerations.iter().filter(|one| one.toleration.tolerates(&taint)).peekable();
        if tolerating.peek().is_none() {
            return Stay::Seconds(0);
        }
        shortest = tolerating.filter_map(|one| one.seconds).chain(shortest).min();
    }
    shortest.map_or(Stay::Forever, |seconds| Stay::Seconds(u64::try_from(seconds).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(tolerations: Value, expected: Stay) {
        let raw = RawValue::from_string(tolerations.to_string()).unwrap();
        let tolerations = Tolerations::default().read(Some(&raw));
        let taint =
            TaintRow { key: "k".into(), value: "v".into(), effect: "NoExecute".into(), time_added: None };
        assert_eq!(stay(&[taint], &tolerations), expected);
    }

    #[test]
    fn a_pod_stays_as_long_as_its_tolerations_say() {
        check(json!([]), Stay::Seconds(0));
        check(json!([{"operator": "Exists"}]), Stay::Forever);
        check(
            json!([{"key": "k", "value": "v", "effect": "NoExecute", "tolerationSeconds": 300}]),
            Stay::Seconds(300),
        );
        check(json!([{"key": "k", "operator": "Exists", "tolerationSeconds": -1}]), Stay::Seconds(0));
        check(json!([{"key": "k", "value": "other"}]), Stay::Seconds(0));
        check(
            json!([{"operator": "Exists", "tolerationSeconds": 60}, {"key": "k", "value": "v", "tolerationSeconds": 5}]),
            Stay::Seconds(5),
        );
    }

    #[test]
    fn taints_of_other_effects_drive_nothing_off() {
        let taint =
            TaintRow { key: "k".into(), value: "".into(), effect: "NoSchedule".into(), time_added: None };
        assert_eq!(stay(&[taint], &[]), Stay::Forever);
    }
}
