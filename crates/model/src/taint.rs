//! Taints of nodes, and what of them pods tolerate.

use serde::Deserialize;
use serde_json::Value;

use crate::{Text, time};

/// The taints that say that a node is not ready.
pub const NOT_READY_TAINTS: [&str; 2] = [NOT_READY_TAINT, UNREACHABLE_TAINT];

/// The taint that says that a node's kubelet is not well.
pub const NOT_READY_TAINT: &str = "node.kubernetes.io/not-ready";

/// The taint that says that nothing is heard of a node's kubelet.
pub const UNREACHABLE_TAINT: &str = "node.kubernetes.io/unreachable";

/// The taint that says that a node is cordoned.
pub const CORDONED_TAINT: &str = "node.kubernetes.io/unschedulable";

/// The effect of a taint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Effect {
    /// New pods are not placed.
    NoSchedule,
    /// New pods are placed elsewhere if possible.
    PreferNoSchedule,
    /// New pods are not placed, running ones are evicted.
    NoExecute,
    /// A text that the API does not know.
    Unknown,
}

impl Effect {
    /// Reads the API's text.
    pub fn parse(text: &str) -> Self {
        match text {
            "NoSchedule" => Effect::NoSchedule,
            "PreferNoSchedule" => Effect::PreferNoSchedule,
            "NoExecute" => Effect::NoExecute,
            _ => Effect::Unknown,
        }
    }

    /// The API's text.
    pub fn as_str(self) -> &'static str {
        match self {
            Effect::NoSchedule => "NoSchedule",
            Effect::PreferNoSchedule => "PreferNoSchedule",
            Effect::NoExecute => "NoExecute",
            Effect::Unknown => "",
        }
    }

    /// Placement looks at taints of this effect ([B6](crate::spec#b6)).
    pub fn keeps_pods_away(self) -> bool {
        matches!(self, Effect::NoSchedule | Effect::NoExecute)
    }
}

/// A taint of a node: it keeps pods away that do not tolerate it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Taint<'a> {
    /// key.
    pub key: &'a str,
    /// value, empty when there is none.
    pub value: &'a str,
    /// effect.
    pub effect: Effect,
}

/// A taint as a Node has it: with the time at which it was added.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TimedTaint<'a> {
    /// Key.
    #[serde(borrow)]
    pub key: Text<'a>,
    /// Value, may be empty.
    #[serde(borrow)]
    pub value: Text<'a>,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    #[serde(borrow)]
    pub effect: Text<'a>,
    /// When a taint that evicts pods was added.
    #[serde(borrow)]
    pub time_added: Option<Text<'a>>,
}

impl TimedTaint<'_> {
    /// The taint without its time.
    pub fn taint(&self) -> Taint<'_> {
        Taint { key: &self.key, value: &self.value, effect: Effect::parse(&self.effect) }
    }

    /// When it was added, in Unix seconds.
    pub fn added_seconds(&self) -> Option<i64> {
        time::seconds(self.time_added.as_ref())
    }
}

/// Since when a node is not ready, in Unix seconds, by its taints and the times at which they were added. The node
/// lifecycle puts the time on the taint that evicts pods, so that status, which kubelets write all the time, need not
/// be read ([B10](crate::spec#b10)).
pub fn not_ready_since<'a>(taints: impl IntoIterator<Item = (Taint<'a>, Option<i64>)>) -> Option<i64> {
    let says_so =
        |taint: &Taint<'_>| taint.effect == Effect::NoExecute && NOT_READY_TAINTS.contains(&taint.key);
    taints.into_iter().filter(|(taint, _)| says_so(taint)).filter_map(|(_, added)| added).min()
}

/// A toleration of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toleration {
    /// key; empty means every key.
    pub key: String,
    /// The operator is Exists: the value does not matter.
    pub exists: bool,
    /// The operator is one that this version does not evaluate: tolerates nothing ([B8](crate::spec#b8)).
    pub unreadable: bool,
    /// value.
    pub value: String,
    /// effect; `None` means every effect.
    pub effect: Option<Effect>,
}

impl Toleration {
    /// Reads an item of spec.tolerations.
    pub fn from_json(toleration: &Value) -> Self {
        let text = |key: &str| toleration[key].as_str().unwrap_or_default();
        let operator = text("operator");
        Toleration {
            key: text("key").to_owned(),
            exists: operator == "Exists",
            unreadable: !matches!(operator, "" | "Equal" | "Exists"),
            value: text("value").to_owned(),
            effect: Some(text("effect")).filter(|effect| !effect.is_empty()).map(Effect::parse),
        }
    }

    /// Whether the taint is tolerated ([B8](crate::spec#b8)).
    pub fn tolerates(&self, taint: &Taint<'_>) -> bool {
        !self.unreadable
            && self.effect.is_none_or(|effect| effect == taint.effect)
            && (self.key.is_empty() || self.key == taint.key)
            && (self.exists || self.value == taint.value)
    }
}
