//! What pods take, as metrics.k8s.io tells: asked for only while a policy has its roll-outs analysed, and only of the
//! pods of its DaemonSets. Without it an analysis goes by what is watched anyway.

use std::collections::HashMap;
use std::time::Duration;

use everynode_client::{Client, Error};
use everynode_engine::policy::Sampled;
use everynode_engine::{Sample, Samples, Time, Uid};
use everynode_model::PodMetrics;
use form_urlencoded::Serializer;
use serde::Deserialize;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Of a DaemonSet with more pods nothing is asked: one list would be of more than 2 MB, twice a minute.
const PODS_LIMIT: usize = 5_000;

const NANOS_PER_CORE: f64 = 1e9;

/// So soon it is asked again after a failure.
const PAUSE: Duration = Duration::from_secs(30);

/// The samples of one DaemonSet's pods.
#[derive(Debug)]
pub(crate) struct Measured {
    /// Which DaemonSet's.
    pub(crate) daemonset: Uid,
    /// Pod by pod.
    pub(crate) pods: Vec<PodSample>,
}

/// What one pod takes.
#[derive(Debug, PartialEq)]
pub(crate) struct PodSample {
    /// metadata.name.
    pub(crate) pod: String,
    /// Of the CPU.
    pub(crate) cpu_cores: f64,
    /// Of the memory.
    pub(crate) memory_bytes: f64,
}

/// Asks for what the engine wants to know, again and again, until nobody wants it.
pub(crate) async fn follow(
    client: Client,
    mut wanted: watch::Receiver<Vec<Sampled>>,
    measured: mpsc::Sender<Measured>,
    cancel: CancellationToken,
) {
    let mut sampler = Sampler { client, due: HashMap::new(), complaint: Complaint::default() };
    let all = async {
        loop {
            let all = wanted.borrow_and_update().clone();
            let Ok(next) = sampler.ask(&all, &measured).await else { return };
            let wait = async {
                match next {
                    Some(next) => tokio::time::sleep_until(next).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = wanted.changed() => if changed.is_err() { return },
                () = wait => {}
            }
        }
    };
    cancel.run_until_cancelled(all).await;
}

/// Nobody listens any more.
struct Deaf;

/// What was asked for, and when again.
struct Sampler {
    client: Client,
    due: HashMap<Uid, Due>,
    complaint: Complaint,
}

/// When a DaemonSet's pods are asked for next, and when each was measured last.
struct Due {
    at: Instant,
    measured_at: HashMap<String, i64>,
}

impl Sampler {
    /// Asks for all that is due; when the next is.
    async fn ask(
        &mut self,
        all: &[Sampled],
        measured: &mpsc::Sender<Measured>,
    ) -> Result<Option<Instant>, Deaf> {
        self.due.retain(|uid, _| all.iter().any(|one| one.daemonset == *uid));
        for one in all.iter().filter(|one| one.pods <= PODS_LIMIT) {
            let now = Instant::now();
            let fresh = || Due { at: now, measured_at: HashMap::new() };
            let due = self.due.entry(one.daemonset).or_insert_with(fresh);
            if due.at > now {
                continue;
            }
            let period = Duration::from_secs(one.every_seconds.unsigned_abs().max(1));
            match self.client.get(&path(one)).await {
                Ok(body) => {
                    self.complaint.ended();
                    due.at = now + period;
                    let pods = due.fresh(&body);
                    if !pods.is_empty() {
                        let one = Measured { daemonset: one.daemonset, pods };
                        measured.send(one).await.map_err(|_| Deaf)?;
                    }
                }
                Err(error) => {
                    self.complaint.about(&error);
                    due.at = Instant::now() + period.max(PAUSE);
                }
            }
        }
        Ok(self.due.values().map(|due| due.at).min())
    }
}

impl Due {
    /// The samples that were not seen before. What cannot be read is not there.
    fn fresh(&mut self, body: &[u8]) -> Vec<PodSample> {
        let list: PodMetricsList<'_> = serde_json::from_slice(body).unwrap_or_default();
        let mut known = std::mem::take(&mut self.measured_at);
        let mut fresh = Vec::new();
        for item in list.items.into_iter().take(2 * PODS_LIMIT) {
            let name = item.metadata.name.to_string();
            let Some(taken) = item.taken_seconds() else { continue };
            let is_known = known.remove(&name).is_some_and(|at| at == taken);
            self.measured_at.insert(name, taken);
            fresh.extend(sample(&item).filter(|_| !is_known));
        }
        fresh
    }
}

fn path(one: &Sampled) -> String {
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
        cpu_cores: usage.cpu_nanocores as f64 / NANOS_PER_CORE,
        memory_bytes: usage.memory_bytes as f64,
    })
}

impl Measured {
    /// Tells it as of now, whatever clock the times in it are of.
    pub(crate) fn tell(&self, now: Time, observe: impl FnOnce(Samples<'_>)) {
        let pods = self.pods.iter().map(|one| {
            let PodSample { pod, cpu_cores, memory_bytes } = one;
            Sample { pod, at: now, cpu_cores: *cpu_cores, memory_bytes: *memory_bytes }
        });
        let pods: Vec<Sample<'_>> = pods.collect();
        observe(Samples { daemonset: self.daemonset, pods: &pods });
    }
}

/// Says once why nothing can be had.
#[derive(Default)]
struct Complaint {
    said: String,
}

impl Complaint {
    fn about(&mut self, error: &Error) {
        let text = error.to_string();
        if text == self.said {
            return;
        }
        let hint = match error.code() {
            Some(403) => {
                "; give this user the verb list on pods.metrics.k8s.io, as everynode install --with-metrics does"
            }
            Some(404 | 503) => "; is a metrics server installed?",
            _ => "",
        };
        tracing::warn!("what pods take cannot be asked for, so that analyses go without it: {text}{hint}");
        self.said = text;
    }

    fn ended(&mut self) {
        if !std::mem::take(&mut self.said).is_empty() {
            tracing::info!("what pods take can be asked for again");
        }
    }
}

#[cfg(test)]
#[path = "samples_tests.rs"]
mod tests;
