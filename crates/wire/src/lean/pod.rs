//! Pods.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{Condition, Metadata, Text};
use crate::Value;

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
#[serde(default)]
struct PodStatus<'a> {
    #[serde(borrow)]
    phase: Text<'a>,
    #[serde(borrow)]
    conditions: Ready<'a>,
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
