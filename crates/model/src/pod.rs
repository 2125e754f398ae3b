//! Pods.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::{Condition, Metadata, Text};

/// A Pod: where it is or should go, and how it is.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Pod<'a> {
    /// Metadata.
    #[serde(borrow)]
    pub metadata: Metadata<'a>,
    #[serde(borrow)]
    spec: PodSpec<'a>,
    #[serde(borrow)]
    status: PodStatus<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PodSpec<'a> {
    #[serde(borrow)]
    node_name: Text<'a>,
    #[serde(borrow)]
    affinity: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PodStatus<'a> {
    #[serde(borrow)]
    phase: Text<'a>,
    #[serde(borrow)]
    conditions: Ready<'a>,
    #[serde(borrow)]
    init_container_statuses: Waiting<'a>,
    #[serde(borrow)]
    container_statuses: Waiting<'a>,
}

/// The first reason for which one of several containers waits, when it is not that it is being started.
#[derive(Debug, Default)]
struct Waiting<'a>(Option<Text<'a>>);

/// Reasons of containers whose turn is yet to come, or that are being made.
const STARTING: [&str; 2] = ["PodInitializing", "ContainerCreating"];

#[derive(Default, Deserialize)]
#[serde(default)]
struct ContainerStatus<'a> {
    #[serde(borrow)]
    state: Option<ContainerState<'a>>,
}

#[derive(Deserialize)]
struct ContainerState<'a> {
    #[serde(borrow)]
    waiting: Option<ContainerWaiting<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ContainerWaiting<'a> {
    #[serde(borrow)]
    reason: Text<'a>,
}

/// The Ready condition of a pod.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ready<'a> {
    /// Whether the pod is ready.
    pub is_true: bool,
    /// Since when.
    pub last_transition_time: Option<Text<'a>>,
}

impl Pod<'_> {
    /// The node that the pod is bound to; empty when it is not bound.
    pub fn node_name(&self) -> &str {
        &self.spec.node_name
    }

    /// Phase, such as `Running`; empty before the kubelet has seen the pod.
    pub fn phase(&self) -> &str {
        &self.status.phase
    }

    /// The Ready condition.
    pub fn ready(&self) -> &Ready<'_> {
        &self.status.conditions
    }

    /// The kubelet's word for what keeps a container from running, such as `CrashLoopBackOff`: of the first container
    /// in the order in which they are started. That it is being started is no such reason.
    pub fn waiting_reason(&self) -> Option<&str> {
        let PodStatus { init_container_statuses: init, container_statuses: main, .. } = &self.status;
        init.0.as_deref().or(main.0.as_deref())
    }

    /// The node that the pod is for: the one it is bound to, else the one that its node affinity names by the
    /// field `metadata.name` (specification D1).
    pub fn target_node(&self) -> Option<String> {
        if !self.spec.node_name.is_empty() {
            return Some(self.spec.node_name.to_string());
        }
        let affinity: Value = serde_json::from_str(self.spec.affinity?.get()).ok()?;
        let required = affinity.pointer("/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution")?;
        let terms = required.get("nodeSelectorTerms")?.as_array()?;
        let mut fields = terms.iter().filter_map(|term| term.get("matchFields")?.as_array()).flatten();
        fields.find_map(|field| {
            let named = field.get("key")? == "metadata.name" && field.get("operator")? == "In";
            match field.get("values")?.as_array()?.as_slice() {
                [node] if named => node.as_str().map(String::from),
                _ => None,
            }
        })
    }
}

/// Reads a list of conditions and keeps one of them, without a list in between.
impl<'de: 'a, 'a> Deserialize<'de> for Ready<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ReadyVisitor)
    }
}

struct ReadyVisitor;

impl<'de> Visitor<'de> for ReadyVisitor {
    type Value = Ready<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of conditions or null")
    }

    fn visit_unit<E>(self) -> Result<Ready<'de>, E> {
        Ok(Ready::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Ready<'de>, A::Error> {
        let mut ready = Ready::default();
        while let Some(condition) = list.next_element::<Condition<'de>>()? {
            if condition.kind == "Ready" {
                let is_true = condition.status == "True";
                ready = Ready { is_true, last_transition_time: condition.last_transition_time };
            }
        }
        Ok(ready)
    }
}

/// Reads the statuses of containers and keeps one reason, without a list in between.
impl<'de: 'a, 'a> Deserialize<'de> for Waiting<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(WaitingVisitor)
    }
}

struct WaitingVisitor;

impl<'de> Visitor<'de> for WaitingVisitor {
    type Value = Waiting<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of container statuses or null")
    }

    fn visit_unit<E>(self) -> Result<Waiting<'de>, E> {
        Ok(Waiting::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Waiting<'de>, A::Error> {
        let mut first = Waiting::default();
        while let Some(ContainerStatus { state }) = list.next_element()? {
            let waiting = state.and_then(|state| state.waiting);
            if let Some(ContainerWaiting { reason }) = waiting
                && first.0.is_none()
                && !reason.is_empty()
                && !STARTING.contains(&&*reason)
            {
                first.0 = Some(reason);
            }
        }
        Ok(first)
    }
}
