//! What pods take, and a figure of their own: asked for only while a policy has its roll-outs analysed, and only of the
//! pods of its DaemonSets. metrics.k8s.io tells it of all pods at once; where that is not there, or would be one list of
//! many, the kubelets of some nodes are asked. Without either an analysis goes by what is watched anyway.

mod list;
mod probe;

use std::collections::HashMap;
use std::time::Duration;

use everynode_client::{Client, Error, HostError, Hosts, KubeletTrust};
use everynode_engine::policy::{Sampled, SampledPod};
use everynode_engine::{Sample, Samples, Time, Uid};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use list::Known;
use probe::{Probe, ProbeError, Probed, Questions};

/// So many pods are measured one by one.
const COHORT_LIMIT: usize = 500;

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

/// What was measured of one pod.
#[derive(Debug, PartialEq)]
pub(crate) struct PodSample {
    /// metadata.name.
    pub(crate) pod: String,
    /// What it takes of the CPU.
    pub(crate) cpu_cores: Option<f64>,
    /// What it takes of the memory.
    pub(crate) memory_bytes: Option<f64>,
    /// The figure of its own.
    pub(crate) metric: Option<f64>,
}

/// Which pods of a DaemonSet are worth being measured one by one?
pub(crate) struct CohortQuestion {
    /// Which DaemonSet's.
    pub(crate) daemonset: Uid,
    /// How many at most.
    pub(crate) limit: usize,
    /// Where the answer goes.
    pub(crate) answer: oneshot::Sender<Vec<SampledPod>>,
}

/// Where a sampler gets what it asks for from, and where that goes.
pub(crate) struct Ends {
    /// What is wanted.
    pub(crate) wanted: watch::Receiver<Vec<Sampled>>,
    /// Who knows which pods are worth it.
    pub(crate) cohorts: mpsc::Sender<CohortQuestion>,
    /// What was measured.
    pub(crate) measured: mpsc::Sender<Measured>,
}

/// Whom a sampler asks what pods take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SamplerConfig {
    /// Of a DaemonSet with more pods metrics.k8s.io is not asked what all of them take: some kubelets are.
    pub list_limit_pods: usize,
    /// By what kubelets are known.
    pub kubelet_trust: KubeletTrust,
}

impl Default for SamplerConfig {
    /// A list is of 2 MB at most, twice a minute.
    fn default() -> SamplerConfig {
        SamplerConfig { list_limit_pods: 5_000, kubelet_trust: KubeletTrust::default() }
    }
}

/// Asks for what the engine wants to know, again and again, until nobody wants it.
pub(crate) async fn follow(client: Client, mut ends: Ends, config: SamplerConfig, cancel: CancellationToken) {
    let kubelets = client.kubelets(config.kubelet_trust).ok();
    let open = Hosts::in_the_open("everynode-controller");
    let list_limit_pods = config.list_limit_pods;
    let mut sampler = Sampler {
        client,
        kubelets,
        open,
        list_limit_pods,
        due: HashMap::new(),
        complaint: Complaint::default(),
    };
    let all = async {
        loop {
            let all = ends.wanted.borrow_and_update().clone();
            let Ok(next) = sampler.ask(&all, &ends).await else { return };
            let wait = async {
                match next {
                    Some(next) => tokio::time::sleep_until(next).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = ends.wanted.changed() => if changed.is_err() { return },
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
    /// Who asks kubelets; nobody over a transport that was given.
    kubelets: Option<Hosts>,
    open: Hosts,
    list_limit_pods: usize,
    due: HashMap<Uid, Due>,
    complaint: Complaint,
}

/// When a DaemonSet's pods are asked for next, and what is known of them.
struct Due {
    at: Instant,
    known: Known,
    probe: Probe,
}

/// Whom a measure has to come from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Usage {
    /// The list has told, or nobody wants to know.
    Known,
    /// The list is too long, or there is none.
    AskKubelets,
}

impl Sampler {
    /// Asks for all that is due; when the next is.
    async fn ask(&mut self, all: &[Sampled], ends: &Ends) -> Result<Option<Instant>, Deaf> {
        self.due.retain(|uid, _| all.iter().any(|one| one.daemonset == *uid));
        for one in all {
            let now = Instant::now();
            let fresh = || Due { at: now, known: Known::default(), probe: Probe::default() };
            let mut due = self.due.remove(&one.daemonset).unwrap_or_else(fresh);
            if due.at <= now {
                let period = Duration::from_secs(one.every_seconds.unsigned_abs().max(1));
                due.at = now + period;
                let usage = self.list(one, &mut due, ends, period).await?;
                if usage == Usage::AskKubelets || one.metric.is_some() {
                    self.probe(one, &mut due, ends, usage).await?;
                }
            }
            self.due.insert(one.daemonset, due);
        }
        Ok(self.due.values().map(|due| due.at).min())
    }

    /// Asks for the list, where there is one.
    async fn list(
        &mut self,
        one: &Sampled,
        due: &mut Due,
        ends: &Ends,
        period: Duration,
    ) -> Result<Usage, Deaf> {
        if !one.wants_usage {
            return Ok(Usage::Known);
        }
        if one.pods > self.list_limit_pods {
            return Ok(Usage::AskKubelets);
        }
        match self.client.get(&list::path(one)).await {
            Ok(body) => {
                self.complaint.ended();
                tell(one, due.known.fresh(&body), ends).await?;
                Ok(Usage::Known)
            }
            Err(error) if self.kubelets.is_some() && matches!(error.code(), Some(404 | 503)) => {
                Ok(Usage::AskKubelets)
            }
            Err(error) => {
                self.complaint.about_list(&error);
                due.at = Instant::now() + period.max(PAUSE);
                Ok(Usage::Known)
            }
        }
    }

    /// Asks the kubelets of some nodes, and pods for their own figure.
    async fn probe(&mut self, one: &Sampled, due: &mut Due, ends: &Ends, usage: Usage) -> Result<(), Deaf> {
        let (answer, cohort) = oneshot::channel();
        let question = CohortQuestion { daemonset: one.daemonset, limit: COHORT_LIMIT, answer };
        ends.cohorts.send(question).await.map_err(|_| Deaf)?;
        let cohort = cohort.await.map_err(|_| Deaf)?;
        let questions = Questions {
            namespace: &one.namespace,
            kubelets: self.kubelets.as_ref().filter(|_| usage == Usage::AskKubelets),
            metric: one.metric.as_ref(),
        };
        let Probed { samples, error } = due.probe.ask(&self.client, &self.open, &questions, &cohort).await;
        match error {
            Some(error) => self.complaint.about_probe(&error),
            None => self.complaint.ended(),
        }
        tell(one, samples, ends).await
    }
}

async fn tell(one: &Sampled, pods: Vec<PodSample>, ends: &Ends) -> Result<(), Deaf> {
    if pods.is_empty() {
        return Ok(());
    }
    ends.measured.send(Measured { daemonset: one.daemonset, pods }).await.map_err(|_| Deaf)
}

impl Measured {
    /// Tells it as of now, whatever clock the times in it are of.
    pub(crate) fn tell(&self, now: Time, observe: impl FnOnce(Samples<'_>)) {
        let pods = self.pods.iter().map(|one| {
            let PodSample { pod, cpu_cores, memory_bytes, metric } = one;
            Sample { pod, at: now, cpu_cores: *cpu_cores, memory_bytes: *memory_bytes, metric: *metric }
        });
        let pods: Vec<Sample<'_>> = pods.collect();
        observe(Samples { daemonset: self.daemonset, pods: &pods });
    }
}

/// Says once why nothing can be had.
#[derive(Default)]
struct Complaint {
    said: Option<About>,
}

/// What a complaint is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum About {
    /// The list, by the code of the refusal.
    List(Option<u16>),
    /// Kubelets, by the code of the refusal.
    Kubelets(Option<u16>),
    /// The pods' own pages.
    Pods,
}

impl Complaint {
    fn about_list(&mut self, error: &Error) {
        let hint = match error.code() {
            Some(403) => {
                "; give this user the verb list on pods.metrics.k8s.io, as everynode install --with-metrics does"
            }
            Some(404 | 503) => "; is a metrics server installed?",
            _ => "",
        };
        self.about(About::List(error.code()), error, hint);
    }

    fn about_probe(&mut self, error: &ProbeError) {
        let (about, hint) = match error {
            ProbeError::Kubelet(HostError::Refused { code, .. }) => {
                let hint = match code {
                    401 | 403 => {
                        "; give this user the verb get on nodes/metrics, as everynode install --with-metrics does"
                    }
                    _ => "",
                };
                (About::Kubelets(Some(*code)), hint)
            }
            ProbeError::Kubelet(HostError::NoAnswer { .. }) => (
                About::Kubelets(None),
                "; may this process reach kubelets, and has the cluster's authority signed their certificates? \
                 (--kubelet-insecure-tls does not ask for that)",
            ),
            ProbeError::Pod(_) | ProbeError::NoFigure { .. } => {
                (About::Pods, "; see spec.analysis.signals of the policy")
            }
        };
        self.about(about, error, hint);
    }

    /// What is said is of one server; what matters is whether others would say the same.
    fn about(&mut self, about: About, error: &dyn std::error::Error, hint: &str) {
        if self.said.replace(about) != Some(about) {
            tracing::warn!(
                "what pods take cannot be asked for, so that analyses go without it: {error}{hint}"
            );
        }
    }

    fn ended(&mut self) {
        if self.said.take().is_some() {
            tracing::info!("what pods take can be asked for again");
        }
    }
}

#[cfg(test)]
mod tests;
