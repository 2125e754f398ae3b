//! What pods take, as a metrics server tells: late, not of all pods, and of some revisions more.

use bytes::Bytes;
use everynode_client::Clock as _;
use serde_json::json;

use crate::model::{Kind, Refusal, is_ready, label, name, namespace as namespace_of_object};
use crate::world::World;

/// One revision in so many takes twice as much.
const WORSE_EACH: u64 = 3;

/// The namespace whose pods a path asks for.
pub(crate) fn namespace_of(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("/apis/metrics.k8s.io/v1beta1/namespaces/")?;
    let (namespace, _) = rest.split_once("/pods?")?;
    Some(namespace)
}

impl World {
    /// The samples of the pods of a namespace.
    ///
    /// # Errors
    /// There is no metrics server for now.
    pub(crate) fn pod_metrics(&mut self, namespace: &str) -> Result<Bytes, Refusal> {
        let is_troubled = self.faults.ends_millis > 0 && !self.is_calm();
        if is_troubled && self.random.u8(..8) == 0 {
            return Err(Refusal::new(503, "ServiceUnavailable", "the metrics server is not there"));
        }
        // What it has measured may be old: nothing is new then.
        let lags = is_troubled && self.random.u8(..4) == 0;
        let seconds = self.clock.unix_millis().div_euclid(1000);
        let at = everynode_model::time::format(if lags { seconds - seconds % 30 } else { seconds });
        let World { store, random, .. } = self;
        let mut items = Vec::new();
        for pod in store.all(Kind::Pod) {
            if namespace_of_object(pod) != namespace || !is_ready(pod) {
                continue;
            }
            if is_troubled && random.u8(..5) == 0 {
                continue;
            }
            let hash = label(pod, "controller-revision-hash").unwrap_or_default();
            let is_worse = hash.bytes().map(u64::from).sum::<u64>() % WORSE_EACH == 0 && is_troubled;
            let level = random.u64(90..110) * if is_worse { 2 } else { 1 };
            let usage = json!({"cpu": format!("{level}m"), "memory": format!("{level}Mi")});
            items.push(json!({
                "metadata": {"name": name(pod), "namespace": namespace},
                "timestamp": at,
                "window": "15s",
                "containers": [{"name": "main", "usage": usage}],
            }));
        }
        Ok(Bytes::from(json!({"kind": "PodMetricsList", "items": items}).to_string()))
    }
}
