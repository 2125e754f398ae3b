//! What pods and nodes use of their machines, as `metrics.k8s.io` tells it.

use std::ops::AddAssign;

use serde::Deserialize;

use crate::quantity::Quantity;
use crate::text::null_as_default;
use crate::{Metadata, Text, duration, time};

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// CPU and memory that something uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU, as an average over a window of time, in billionths of a core.
    pub cpu_nanocores: u64,
    /// Memory that it works with (the working set), in bytes.
    pub memory_bytes: u64,
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Usage) {
        self.cpu_nanocores = self.cpu_nanocores.saturating_add(other.cpu_nanocores);
        self.memory_bytes = self.memory_bytes.saturating_add(other.memory_bytes);
    }
}

/// What a container uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerUsage {
    /// The container's name.
    pub name: String,
    /// What it uses.
    pub usage: Usage,
}

/// What a node and pods on it used in a window of time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeSample {
    /// The end of the window, in Unix seconds.
    pub taken_seconds: i64,
    /// How long the window is, in seconds.
    pub window_seconds: u32,
    /// What the whole node used.
    pub node: Usage,
    /// What containers of pods used, in the order in which the pods were asked for. A pod of which nothing is known, or
    /// not yet, has none.
    pub pods: Vec<Vec<ContainerUsage>>,
}

/// What a pod uses, as `metrics.k8s.io` shows it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct PodMetrics<'a> {
    /// Metadata: namespace, name and labels of the pod. There is no uid.
    #[serde(borrow)]
    pub metadata: Metadata<'a>,
    /// The end of the window.
    #[serde(borrow)]
    timestamp: Text<'a>,
    /// How long the window is.
    #[serde(borrow)]
    window: Text<'a>,
    /// What its containers use.
    #[serde(borrow, deserialize_with = "null_as_default")]
    pub containers: Vec<ContainerMetrics<'a>>,
}

/// What a container uses, as `metrics.k8s.io` shows it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ContainerMetrics<'a> {
    /// The container's name.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// What it uses.
    #[serde(borrow, deserialize_with = "null_as_default")]
    usage: Amounts<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Amounts<'a> {
    #[serde(borrow)]
    cpu: Text<'a>,
    #[serde(borrow)]
    memory: Text<'a>,
}

impl PodMetrics<'_> {
    /// The end of the window, in Unix seconds.
    pub fn taken_seconds(&self) -> Option<i64> {
        time::parse(&self.timestamp).ok()
    }

    /// How long the window is, in whole seconds.
    pub fn window_seconds(&self) -> Option<i64> {
        duration::parse(&self.window).map(|nanos| nanos / NANOS_PER_SECOND)
    }

    /// What all its containers use; none if an amount is missing or cannot be read.
    pub fn usage(&self) -> Option<Usage> {
        let mut sum = Usage::default();
        for container in &self.containers {
            sum += container.usage()?;
        }
        (!self.containers.is_empty()).then_some(sum)
    }
}

impl ContainerMetrics<'_> {
    /// What it uses; none if an amount is missing or cannot be read.
    pub fn usage(&self) -> Option<Usage> {
        let amount = |text: &str| Quantity::parse(text).ok().filter(|amount| !amount.is_negative());
        let cpu_nanocores = u64::try_from(amount(&self.usage.cpu)?.nanos()).ok()?;
        let memory_bytes = u64::try_from(amount(&self.usage.memory)?.value()).ok()?;
        Some(Usage { cpu_nanocores, memory_bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_to_the_billionth_of_a_core_and_the_byte() {
        let text = r#"{"metadata":{"name":"a"},"timestamp":"2026-01-01T00:00:10Z","window":"15.2s","containers":[
            {"name":"x","usage":{"cpu":"1500001n","memory":"10Ki"}},{"name":"y","usage":{"cpu":"2m","memory":"1"}}]}"#;
        let metrics: PodMetrics<'_> = serde_json::from_str(text).unwrap();
        assert_eq!(metrics.usage(), Some(Usage { cpu_nanocores: 3_500_001, memory_bytes: 10_241 }));
        assert_eq!((metrics.taken_seconds(), metrics.window_seconds()), (Some(1_767_225_610), Some(15)));
    }

    #[test]
    fn a_pod_of_which_an_amount_is_missing_has_no_usage() {
        for containers in ["[]", "null", r#"[{"name":"x","usage":{"cpu":"1"}}]"#, r#"[{"name":"x"}]"#] {
            let text = format!(r#"{{"containers":{containers}}}"#);
            assert_eq!(serde_json::from_str::<PodMetrics<'_>>(&text).unwrap().usage(), None, "{containers}");
        }
    }
}
