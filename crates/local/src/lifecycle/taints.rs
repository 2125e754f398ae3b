//! The taints that follow from a node's conditions (specification [B10](everynode_engine::spec#b10)).

use everynode_model::{
    CORDONED_TAINT as UNSCHEDULABLE, NOT_READY_TAINT as NOT_READY, TimedTaint,
    UNREACHABLE_TAINT as UNREACHABLE,
};
use serde_json::{Value, json};

/// A taint as the lifecycle keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TaintRow {
    pub key: Box<str>,
    pub value: Box<str>,
    pub effect: Box<str>,
    pub time_added: Option<Box<str>>,
}

impl TaintRow {
    pub(crate) fn read(taint: &TimedTaint<'_>) -> TaintRow {
        TaintRow {
            key: (*taint.key).into(),
            value: (*taint.value).into(),
            effect: (*taint.effect).into(),
            time_added: taint.time_added.as_deref().map(Into::into),
        }
    }

    fn to_json(&self) -> Value {
        let mut taint = json!({ "key": self.key, "effect": self.effect });
        if !self.value.is_empty() {
            taint["value"] = (*self.value).into();
        }
        if let Some(time) = &self.time_added {
            taint["timeAdded"] = (**time).into();
        }
        taint
    }

    fn is(&self, key: &str, effect: &str) -> bool {
        *self.key == *key && *self.effect == *effect
    }
}

/// Conditions that bring a taint when they are True.
const PRESSURES: [(&str, &str); 4] = [
    ("MemoryPressure", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "node.kubernetes.io/pid-pressure"),
    ("NetworkUnavailable", "node.kubernetes.io/network-unavailable"),
];

const NO_SCHEDULE: &str = "NoSchedule";
const NO_EXECUTE: &str = "NoExecute";

/// Every taint that the lifecycle sets and takes away, and whether this node should have it.
fn wanted(
    condition: impl Fn(&str) -> Option<&'static str>,
    unschedulable: bool,
) -> impl Iterator<Item = (&'static str, &'static str, bool)> {
    let ready = condition("Ready");
    let pressures = PRESSURES.map(|(kind, key)| (key, NO_SCHEDULE, condition(kind) == Some("True")));
    let (not_ready, unreachable) = (ready == Some("False"), ready == Some("Unknown"));
    [
        (NOT_READY, NO_SCHEDULE, not_ready),
        (UNREACHABLE, NO_SCHEDULE, unreachable),
        (UNSCHEDULABLE, NO_SCHEDULE, unschedulable),
        (NOT_READY, NO_EXECUTE, not_ready),
        (UNREACHABLE, NO_EXECUTE, unreachable),
    ]
    .into_iter()
    .chain(pressures)
}

/// The taints that a node should have instead of `have`, or nothing when they are right.
pub(crate) fn corrected(
    have: &[TaintRow],
    condition: impl Fn(&str) -> Option<&'static str>,
    unschedulable: bool,
    now: &str,
) -> Option<Vec<TaintRow>> {
    let mut taints = have.to_vec();
    for (key, effect, wanted) in wanted(condition, unschedulable) {
        let there = taints.iter().any(|taint| taint.is(key, effect));
        if wanted && !there {
            taints.push(TaintRow {
                key: key.into(),
                value: "".into(),
                effect: effect.into(),
                time_added: Some(now.into()),
            });
        } else if !wanted && there {
            taints.retain(|taint| !taint.is(key, effect));
        }
    }
    (taints != have).then_some(taints)
}

/// The merge patch that replaces the taints of exactly this version of a Node.
pub(crate) fn patch(taints: &[TaintRow], resource_version: u64) -> String {
    let list: Value = match taints {
        [] => Value::Null,
        taints => taints.iter().map(TaintRow::to_json).collect(),
    };
    json!({ "metadata": { "resourceVersion": resource_version.to_string() }, "spec": { "taints": list } })
        .to_string()
}

/// A condition's status as one of three constants.
pub(crate) fn known_status(status: &str) -> &'static str {
    match status {
        "True" => "True",
        "False" => "False",
        _ => "Unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(text: &str) -> TaintRow {
        let (key, effect) = text.split_once(':').unwrap();
        TaintRow { key: key.into(), value: "".into(), effect: effect.into(), time_added: None }
    }

    fn check(
        have: &[&str],
        conditions: &[(&str, &'static str)],
        unschedulable: bool,
        expected: Option<&[&str]>,
    ) {
        let have: Vec<TaintRow> = have.iter().map(|text| row(text)).collect();
        let condition =
            |kind: &str| conditions.iter().find(|(name, _)| *name == kind).map(|(_, status)| *status);
        let texts = corrected(&have, condition, unschedulable, "now")
            .map(|taints| taints.iter().map(|t| format!("{}:{}", t.key, t.effect)).collect::<Vec<_>>());
        let expected = expected.map(|list| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        assert_eq!(texts, expected, "{conditions:?}");
    }

    #[test]
    fn taints_follow_the_conditions_and_others_stay() {
        let (ready, not_ready) = ("node.kubernetes.io/not-ready", ("Ready", "False"));
        check(&["gpu:NoSchedule"], &[("Ready", "True")], false, None);
        check(
            &["gpu:NoSchedule", "node.kubernetes.io/not-ready:NoSchedule"],
            &[("Ready", "True")],
            false,
            Some(&["gpu:NoSchedule"]),
        );
        check(
            &["gpu:NoSchedule"],
            &[not_ready],
            false,
            Some(&["gpu:NoSchedule", &format!("{ready}:NoSchedule"), &format!("{ready}:NoExecute")]),
        );
        check(
            &["node.kubernetes.io/not-ready:NoSchedule", "node.kubernetes.io/not-ready:NoExecute"],
            &[("Ready", "Unknown")],
            false,
            Some(&["node.kubernetes.io/unreachable:NoSchedule", "node.kubernetes.io/unreachable:NoExecute"]),
        );
        check(&[], &[("Ready", "True")], true, Some(&["node.kubernetes.io/unschedulable:NoSchedule"]));
        check(
            &["node.kubernetes.io/network-unavailable:NoSchedule"],
            &[("Ready", "True"), ("DiskPressure", "True")],
            false,
            Some(&["node.kubernetes.io/disk-pressure:NoSchedule"]),
        );
    }
}
