//! What the pods of a DaemonSet take, in one list of metrics.k8s.io.

use std::collections::HashMap;

use everynode_engine::policy::Sampled;
use everynode_model::PodMetrics;
use form_urlencoded::Serializer;
use serde::Deserialize;

use super::{NANOS_PER_CORE, PodSample};

/// So many pods of a list are read at most.
const PODS_LIMIT: usize = 10_000;

/// When each pod was measured last, in seconds since 1970.
#[derive(Default)]
pub(super) struct Known(HashMap<String, i64>);

impl Known {
    /// The samples that were not seen before. What cannot be read is not there.
    pub(super) fn fresh(&mut self, body: &[u8]) -> Vec<PodSample> {
        let list: PodMetricsList<'_> = serde_json::from_slice(body).unwrap_or_default();
        let mut known = std::mem::take(&mut self.0);
        let mut fresh = Vec::new();
        for item in list.items.into_iter().take(PODS_LIMIT) {
            let name = item.metadata.name.to_string();
            let Some(taken) = item.taken_seconds() else { continue };
            let is_known = known.remove(&name).is_some_and(|at| at == taken);
            self.0.insert(name, taken);
            fresh.extend(sample(&item).filter(|_| !is_known));
        }
        fresh
    }
}

/// The path of the list.
pub(super) fn path(one: &Sampled) -> String {
    let query =
        Serializer::new(String::new()).append_pair("labelSelector", &one.selector.to_string()).finish();
    format!("/apis/metrics.k8s.io/v1beta1/namespaces/{}/pods?{query}", one.namespace)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PodMetricsList<'a> {
    #[serde(borrow)]
    items: Vec<PodMetrics<'a>>,
}

/// All containers together; nothing when one of them cannot be read.
fn sample(item: &PodMetrics<'_>) -> Option<PodSample> {
    let usage = item.usage()?;
    Some(PodSample {
        pod: item.metadata.name.to_string(),
        cpu_cores: Some(usage.cpu_nanocores as f64 / NANOS_PER_CORE),
        memory_bytes: Some(usage.memory_bytes as f64),
        metric: None,
    })
}
