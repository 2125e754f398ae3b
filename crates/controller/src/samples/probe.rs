//! What some pods take, as the kubelets of their nodes say, and what they say of themselves on their own pages.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use everynode_api::{MetricPort, MetricSource};
use everynode_client::{Client, HostError, Hosts};
use everynode_engine::policy::SampledPod;
use everynode_model::resource_metrics::{Reading, ResourceMetrics, sum_of};
use everynode_model::{Node, Pod};
use form_urlencoded::Serializer;
use futures::{StreamExt, stream};
use serde::Deserialize;
use tokio::time::Instant;

use super::{NANOS_PER_CORE, PodSample};

/// So many servers are asked at once.
const AT_ONCE: usize = 16;

/// For so long it is remembered where a server is.
const REMEMBERED: Duration = Duration::from_secs(600);

/// What is asked of the pods of one DaemonSet.
pub(super) struct Questions<'a> {
    pub namespace: &'a str,
    /// Who asks kubelets, where these are asked.
    pub kubelets: Option<&'a Hosts>,
    /// The figure that each pod is asked for.
    pub metric: Option<&'a MetricSource>,
}

/// What is known of the pods of one DaemonSet that are measured one by one.
#[derive(Default)]
pub(super) struct Probe {
    /// Pages by what they are of: the name of a node, or of a pod.
    kubelets: HashMap<String, Page>,
    pods: HashMap<String, Page>,
    before: HashMap<String, Said>,
}

/// Where a page is, when that was found out.
#[derive(Clone)]
struct Page {
    url: Option<String>,
    found_at: Instant,
}

/// What was said of a pod at one time.
#[derive(Default)]
struct Said {
    /// Of its containers, by name.
    containers: HashMap<String, Reading>,
    /// Its figure, and when it was asked.
    metric: Option<(f64, Instant)>,
}

/// What was measured, and why nothing was where nobody has answered.
pub(super) struct Probed {
    pub samples: Vec<PodSample>,
    pub error: Option<ProbeError>,
}

/// Why one could not be measured.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProbeError {
    /// A kubelet says nothing.
    #[error("{0}")]
    Kubelet(HostError),
    /// The page of a pod cannot be read, or lacks the figure.
    #[error("{0}")]
    Pod(HostError),
    /// The figure is not on the page.
    #[error("{url} has no figure {name}")]
    NoFigure {
        /// The page.
        url: String,
        /// The figure.
        name: String,
    },
}

impl Probe {
    /// Asks for all pods of a cohort; what is known of others is forgotten.
    pub(super) async fn ask(
        &mut self,
        client: &Client,
        open: &Hosts,
        questions: &Questions<'_>,
        cohort: &[SampledPod],
    ) -> Probed {
        self.find_pages(client, questions, cohort).await;
        let mut asked = Vec::with_capacity(cohort.len());
        for one in cohort {
            let kubelet = questions.kubelets.zip(url(&self.kubelets, &one.node));
            let metric = questions.metric.zip(url(&self.pods, &one.pod));
            asked.push(async move {
                let containers = async {
                    let (hosts, url) = kubelet?;
                    Some(containers(hosts, url, questions.namespace, &one.pod).await)
                };
                let metric = async {
                    let (source, url) = metric?;
                    Some(figure(open, url, source).await)
                };
                let (containers, metric) = tokio::join!(containers, metric);
                (one, containers, metric)
            });
        }
        let answers: Vec<_> = stream::iter(asked).buffer_unordered(AT_ONCE).collect().await;
        let is_counter = questions.metric.is_some_and(|metric| metric.is_counter);
        let (mut samples, mut error, mut before) = (Vec::new(), None, std::mem::take(&mut self.before));
        for (one, containers, metric) in answers {
            let mut said = Said::default();
            let mut keep = |result: Result<(), ProbeError>| error = error.take().or(result.err());
            keep(containers.unwrap_or(Ok(HashMap::new())).map(|containers| said.containers = containers));
            keep(metric.transpose().map(|value| said.metric = value.map(|value| (value, Instant::now()))));
            let sample = said.sample(&one.pod, before.remove(&one.pod).as_ref(), is_counter);
            samples.extend(sample);
            self.before.insert(one.pod.clone(), said);
        }
        // Some nodes are always down: only when nobody answers something is wrong.
        let is_silent = self.before.values().all(|said| said.containers.is_empty() && said.metric.is_none());
        Probed { samples, error: error.filter(|_| is_silent) }
    }

    /// Finds out where the pages of these pods are, where that is not known.
    async fn find_pages(&mut self, client: &Client, questions: &Questions<'_>, cohort: &[SampledPod]) {
        let now = Instant::now();
        let is_known = |page: &Page| now.duration_since(page.found_at) < REMEMBERED;
        let (nodes, pods): (HashSet<&str>, HashSet<&str>) =
            cohort.iter().map(|one| (one.node.as_str(), one.pod.as_str())).unzip();
        self.kubelets.retain(|name, page| is_known(page) && nodes.contains(name.as_str()));
        self.pods.retain(|name, page| is_known(page) && pods.contains(name.as_str()));
        let page = |url: Option<String>| Page { url, found_at: now };
        if questions.kubelets.is_some() {
            let mut asked = Vec::new();
            for one in cohort.iter().filter(|one| !self.kubelets.contains_key(&one.node)) {
                asked.push(async move { (one.node.clone(), kubelet_page(client, &one.node).await) });
            }
            let found: Vec<_> = stream::iter(asked).buffer_unordered(AT_ONCE).collect().await;
            self.kubelets.extend(found.into_iter().map(|(name, url)| (name, page(url))));
        }
        if let Some(source) = questions.metric {
            let (namespace, mut asked) = (questions.namespace, Vec::new());
            for one in cohort.iter().filter(|one| !self.pods.contains_key(&one.pod)) {
                asked.push(
                    async move { (one.pod.clone(), pod_page(client, namespace, &one.pod, source).await) },
                );
            }
            let found: Vec<_> = stream::iter(asked).buffer_unordered(AT_ONCE).collect().await;
            // A pod without an address gets one soon.
            let found = found.into_iter().filter(|(_, url)| url.is_some());
            self.pods.extend(found.map(|(name, url)| (name, page(url))));
        }
    }
}

fn url<'a>(pages: &'a HashMap<String, Page>, name: &str) -> Option<&'a str> {
    pages.get(name)?.url.as_deref()
}

impl Said {
    /// What this says of a pod, with what was said before.
    fn sample(&self, pod: &str, before: Option<&Said>, is_counter: bool) -> Option<PodSample> {
        let used = |(name, now): (&String, &Reading)| {
            let (usage, _) = now.since(before?.containers.get(name)?)?;
            Some(usage.cpu_nanocores as f64 / NANOS_PER_CORE)
        };
        let memory = |reading: &Reading| reading.memory_bytes.map(|bytes| bytes as f64);
        let metric = self.metric.and_then(|(value, at)| {
            if !is_counter {
                return Some(value);
            }
            let (value_before, at_before) = before?.metric?;
            let seconds = at.duration_since(at_before).as_secs_f64();
            // A counter that is lower was begun again.
            (value >= value_before && seconds > 0.0).then(|| (value - value_before) / seconds)
        });
        let has_containers = !self.containers.is_empty();
        let sample = PodSample {
            pod: pod.to_owned(),
            cpu_cores: has_containers
                .then(|| self.containers.iter().map(used).sum::<Option<f64>>())
                .flatten(),
            memory_bytes: has_containers
                .then(|| self.containers.values().map(memory).sum::<Option<f64>>())
                .flatten(),
            metric,
        };
        let is_empty = sample.cpu_cores.or(sample.memory_bytes).or(sample.metric).is_none();
        (!is_empty).then_some(sample)
    }
}

/// What a kubelet says of a pod's containers.
async fn containers(
    hosts: &Hosts,
    url: &str,
    namespace: &str,
    pod: &str,
) -> Result<HashMap<String, Reading>, ProbeError> {
    let page = hosts.get(url).await.map_err(ProbeError::Kubelet)?;
    // A page without times is of now.
    let now_millis = jiff::Timestamp::now().as_millisecond();
    let metrics = ResourceMetrics::parse(&String::from_utf8_lossy(&page), now_millis);
    Ok(metrics.of_pod(namespace, pod).map(|(key, reading)| (key.2.clone(), *reading)).collect())
}

/// The figure that a pod says of itself.
async fn figure(open: &Hosts, url: &str, source: &MetricSource) -> Result<f64, ProbeError> {
    let page = open.get(url).await.map_err(ProbeError::Pod)?;
    let missing = || ProbeError::NoFigure { url: url.to_owned(), name: source.name.clone() };
    sum_of(&String::from_utf8_lossy(&page), &source.name).ok_or_else(missing)
}

/// Where the kubelet of a node says what its containers take.
async fn kubelet_page(client: &Client, name: &str) -> Option<String> {
    let body = client.get(&single("/api/v1/nodes", name)).await.ok()?;
    let list: List<Node<'_>> = serde_json::from_slice(&body).ok()?;
    let node = list.items.first()?;
    let port = node.kubelet_port()?;
    Some(format!("https://{}:{port}/metrics/resource", host(node.internal_ip()?)))
}

/// Where a pod serves its page.
async fn pod_page(client: &Client, namespace: &str, name: &str, source: &MetricSource) -> Option<String> {
    let path = format!("/api/v1/namespaces/{namespace}/pods");
    let body = client.get(&single(&path, name)).await.ok()?;
    let list: List<Pod<'_>> = serde_json::from_slice(&body).ok()?;
    let pod = list.items.first()?;
    let port = match &source.port {
        MetricPort::Number(port) => *port,
        MetricPort::Name(name) => named_port(pod, name)?,
    };
    let address = &*pod.status.pod_ip;
    (!address.is_empty()).then(|| format!("http://{}:{port}{}", host(address), source.path))
}

/// A list of one object by its name, which whoever may list may ask for.
fn single(collection: &str, name: &str) -> String {
    let selector = format!("metadata.name={name}");
    let query = Serializer::new(String::new()).append_pair("fieldSelector", &selector).finish();
    format!("{collection}?{query}")
}

fn host(address: &str) -> String {
    if address.contains(':') { format!("[{address}]") } else { address.to_owned() }
}

#[derive(Deserialize)]
struct List<T> {
    #[serde(default = "Vec::new")]
    items: Vec<T>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Ports {
    ports: Option<Vec<Port>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Port {
    name: String,
    container_port: u16,
}

/// The number of the port that has this name.
fn named_port(pod: &Pod<'_>, name: &str) -> Option<u16> {
    let containers: Vec<Ports> = serde_json::from_str(pod.spec.containers?.get()).ok()?;
    let mut ports = containers.into_iter().filter_map(|container| container.ports).flatten();
    ports.find(|port| port.name == name).map(|port| port.container_port)
}

#[cfg(test)]
#[path = "probe_tests.rs"]
mod tests;
