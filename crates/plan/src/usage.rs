//! What pods use, as `metrics.k8s.io` tells it while somebody looks.

use std::collections::HashMap;

use everynode_client::{Client, Error};
use everynode_model::PodMetrics;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Samples of one pod that are kept, at most; the oldest go first.
const MOST_SAMPLES: usize = 240;
/// Pods of which samples are kept, at most.
const MOST_PODS: usize = 200_000;

/// What a pod used, sample by sample.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodUsage {
    /// metadata.namespace of the pod.
    pub namespace: String,
    /// metadata.name of the pod.
    pub name: String,
    /// The samples, by time.
    pub samples: Vec<UsageSample>,
}

/// What a pod used in a window of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct UsageSample {
    /// The end of the window, in Unix seconds.
    pub at: i64,
    /// CPU, in billionths of a core.
    pub cpu_nanocores: u64,
    /// The working set, in bytes.
    pub memory_bytes: u64,
}

/// Collects samples, look by look.
#[derive(Debug, Default)]
pub struct UsageSampler {
    pods: HashMap<(String, String), PodUsage>,
}

#[derive(Deserialize)]
struct List<'a> {
    #[serde(borrow, default)]
    items: Vec<&'a RawValue>,
}

impl UsageSampler {
    /// Looks at the pods of a namespace, or of all; gives how many new samples there were. A sample that was seen before
    /// does not count again.
    ///
    /// # Errors
    /// The API does not serve them, or not to whoever asks.
    pub async fn look(&mut self, client: &Client, namespace: Option<&str>) -> Result<usize, Error> {
        Ok(self.take(usage_now(client, namespace).await?))
    }

    fn take(&mut self, list: Vec<(String, String, UsageSample)>) -> usize {
        let mut new = 0;
        for (namespace, name, sample) in list {
            let key = (namespace.clone(), name.clone());
            if self.pods.len() >= MOST_PODS && !self.pods.contains_key(&key) {
                continue;
            }
            let pod =
                self.pods.entry(key).or_insert_with(|| PodUsage { namespace, name, samples: Vec::new() });
            if pod.samples.last().is_none_or(|last| last.at < sample.at) {
                pod.samples.push(sample);
                new += 1;
            }
            if pod.samples.len() > MOST_SAMPLES {
                pod.samples.remove(0);
            }
        }
        new
    }

    /// What was collected, by namespace and name.
    pub fn finish(self) -> Vec<PodUsage> {
        let mut pods: Vec<PodUsage> = self.pods.into_values().collect();
        pods.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        pods
    }
}

/// What the pods of a namespace use, or those of all, by namespace and name. Those without figures are left out.
///
/// # Errors
/// The API does not serve them, or not to whoever asks.
pub async fn usage_now(
    client: &Client,
    namespace: Option<&str>,
) -> Result<Vec<(String, String, UsageSample)>, Error> {
    let within = namespace.map(|namespace| format!("/namespaces/{namespace}")).unwrap_or_default();
    let list = client.get(&format!("/apis/metrics.k8s.io/v1beta1{within}/pods")).await?;
    read(&list).map_err(|error| Error::Decode(error.to_string()))
}

fn read(list: &[u8]) -> serde_json::Result<Vec<(String, String, UsageSample)>> {
    let list: List<'_> = serde_json::from_slice(list)?;
    let mut read = Vec::new();
    for item in list.items {
        let metrics: PodMetrics<'_> = serde_json::from_str(item.get())?;
        if let (Some(at), Some(usage)) = (metrics.taken_seconds(), metrics.usage()) {
            let sample =
                UsageSample { at, cpu_nanocores: usage.cpu_nanocores, memory_bytes: usage.memory_bytes };
            read.push((metrics.metadata.namespace.to_string(), metrics.metadata.name.to_string(), sample));
        }
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_counts_once_and_a_pod_without_figures_not_at_all() {
        let list = |at: &str, cpu: &str| {
            format!(
                r#"{{"items":[{{"metadata":{{"namespace":"n","name":"p"}},"timestamp":"{at}","window":"15s",
                "containers":[{{"name":"c","usage":{{"cpu":"{cpu}","memory":"1Ki"}}}}]}},
                {{"metadata":{{"namespace":"n","name":"q"}},"timestamp":"{at}","containers":[]}}]}}"#
            )
        };
        let mut sampler = UsageSampler::default();
        let mut take = |at: &str, cpu: &str| sampler.take(read(list(at, cpu).as_bytes()).unwrap());
        assert_eq!(take("2026-01-01T00:00:00Z", "1m"), 1);
        assert_eq!(take("2026-01-01T00:00:00Z", "1m"), 0);
        assert_eq!(take("2026-01-01T00:00:15Z", "2m"), 1);
        let sample = |at, cpu_nanocores| UsageSample { at, cpu_nanocores, memory_bytes: 1_024 };
        let samples = vec![sample(1_767_225_600, 1_000_000), sample(1_767_225_615, 2_000_000)];
        assert_eq!(sampler.finish(), [PodUsage { namespace: "n".into(), name: "p".into(), samples }]);
    }
}
