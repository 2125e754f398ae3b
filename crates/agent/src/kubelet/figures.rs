//! `/metrics/resource`: what the node, its pods and its containers use, under the kubelet's names, for collectors such as
//! metrics-server; `/metrics`: what the agent has to do. Figures carry the time at which they were taken, which the workspace's library of metrics cannot
//! write.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use everynode_cri::messages::{CpuUsage, MemoryUsage, PodSandboxStats};
use http::Response;

use super::answer::{Body, whole};
use super::state::Kubelet;
use crate::eviction::stats;
use crate::machine::{ContainerState, PodView};
use crate::readings::NodeUsage;
use crate::runtime::label;

const NANOS_PER_SECOND: f64 = 1e9;
const NANOS_PER_MILLI: i64 = 1_000_000;

/// Answers with the figures of now. Where the runtime does not tell, those of the node come alone, with
/// `resource_scrape_error` 1.
pub async fn resource_metrics(kubelet: &Kubelet) -> Response<Body> {
    let context = &kubelet.context;
    let told = stats(context).await;
    if let Err(error) = &told {
        tracing::warn!(%error, "the container runtime does not tell what pods use");
    }
    let is_told = told.is_ok();
    let listing = kubelet.listings.borrow().clone();
    let containers = listing.pods.values().flat_map(|view| view.containers());
    let started = containers.filter_map(|one| match one.state {
        ContainerState::Running { started_nanos } => Some((one.id.as_str(), started_nanos)),
        _ => None,
    });
    let mut figures = Figures::default();
    figures.add_node(&NodeUsage::now(), context.now().wall_nanos);
    figures.add_pods(&told.unwrap_or_default(), &started.collect());
    figures.resource_scrape_error.push(String::new(), f64::from(u8::from(!is_told)), None);
    whole("text/plain; version=0.0.4; charset=utf-8", figures.text())
}

/// Answers with figures of the agent itself, under the kubelet's names: what it has to do here.
pub fn metrics(kubelet: &Kubelet) -> Response<Body> {
    let listing = kubelet.listings.borrow().clone();
    let mut figures = Figures::default();
    let name = format!("node=\"{}\"", escaped(&kubelet.context.node.name));
    figures.kubelet_node_name.push(name, 1.0, None);
    figures.add_running(listing.pods.values());
    whole("text/plain; version=0.0.4; charset=utf-8", figures.text())
}

/// The samples of one figure.
struct Family {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    samples: String,
}

impl Family {
    /// Labels as they stand between braces; the time of a sample in nanoseconds since 1970.
    fn push(&mut self, labels: String, value: f64, at_nanos: Option<i64>) {
        let labels = if labels.is_empty() { labels } else { format!("{{{labels}}}") };
        let _ = write!(self.samples, "{}{labels} {value}", self.name);
        if let Some(at) = at_nanos.filter(|at| *at > 0) {
            let _ = write!(self.samples, " {}", at / NANOS_PER_MILLI);
        }
        self.samples.push('\n');
    }

    fn push_cpu(&mut self, labels: String, cpu: Option<&CpuUsage>) {
        if let Some((cpu, nanos)) =
            cpu.and_then(|cpu| Some((cpu, cpu.usage_core_nano_seconds.as_ref()?.value)))
        {
            self.push(labels, nanos as f64 / NANOS_PER_SECOND, Some(cpu.timestamp));
        }
    }

    fn push_memory(&mut self, labels: String, memory: Option<&MemoryUsage>) {
        if let Some((memory, bytes)) = memory.and_then(|it| Some((it, it.working_set_bytes.as_ref()?.value)))
        {
            self.push(labels, bytes as f64, Some(memory.timestamp));
        }
    }
}

/// Names, kinds and helps of the figures, and the fields that hold them.
macro_rules! figures {
    ($($name:ident: $kind:literal, $help:literal;)*) => {
        struct Figures { $($name: Family,)* }

        impl Default for Figures {
            fn default() -> Figures {
                Figures { $($name: Family {
                    name: stringify!($name), kind: $kind, help: $help, samples: String::new(),
                },)* }
            }
        }

        impl Figures {
            fn all(&self) -> [&Family; [$($kind),*].len()] {
                [$(&self.$name),*]
            }
        }
    };
}

figures! {
    container_cpu_usage_seconds_total: "counter", "[STABLE] CPU time that the container has used, in core-seconds";
    container_memory_working_set_bytes: "gauge", "[STABLE] Memory that the container works with, in bytes";
    container_start_time_seconds: "gauge", "[STABLE] When the container was started, in seconds since 1970";
    kubelet_node_name: "gauge", "The node's name";
    kubelet_running_containers: "gauge", "Containers by their state";
    kubelet_running_pods: "gauge", "Pods that have a sandbox which is ready";
    node_cpu_usage_seconds_total: "counter", "[STABLE] CPU time that the node has used, in core-seconds";
    node_memory_working_set_bytes: "gauge", "[STABLE] Memory that the node works with, in bytes";
    pod_cpu_usage_seconds_total: "counter", "[STABLE] CPU time that the pod has used, in core-seconds";
    pod_memory_working_set_bytes: "gauge", "[STABLE] Memory that the pod works with, in bytes";
    resource_scrape_error: "gauge", "[STABLE] 1 if the container runtime did not tell its figures, 0 otherwise";
}

impl Figures {
    fn add_node(&mut self, node: &NodeUsage, at_nanos: i64) {
        if let Some(nanos) = node.cpu_nanos {
            let seconds = nanos as f64 / NANOS_PER_SECOND;
            self.node_cpu_usage_seconds_total.push(String::new(), seconds, Some(at_nanos));
        }
        if let Some(bytes) = node.working_set_bytes {
            self.node_memory_working_set_bytes.push(String::new(), bytes as f64, Some(at_nanos));
        }
    }

    fn add_running<'a>(&mut self, pods: impl Iterator<Item = &'a PodView>) {
        let mut running = 0_u32;
        let mut states =
            BTreeMap::from(["created", "exited", "running", "unknown"].map(|name| (name, 0_u32)));
        for view in pods {
            running += u32::from(view.sandbox().is_some());
            for container in view.containers() {
                let name = match container.state {
                    ContainerState::Created => "created",
                    ContainerState::Running { .. } => "running",
                    ContainerState::Exited(_) => "exited",
                    ContainerState::Unknown => "unknown",
                };
                *states.entry(name).or_default() += 1;
            }
        }
        self.kubelet_running_pods.push(String::new(), running.into(), None);
        for (name, count) in states {
            let labels = format!("container_state=\"{name}\"");
            self.kubelet_running_containers.push(labels, count.into(), None);
        }
    }

    /// `started` says when containers were started, by their identifiers.
    fn add_pods(&mut self, stats: &[PodSandboxStats], started: &HashMap<&str, i64>) {
        for pod in stats {
            let (Some(attributes), Some(used)) = (&pod.attributes, &pod.linux) else { continue };
            let of = |key: &str| attributes.labels.get(key).map(String::as_str).unwrap_or_default();
            let labels = format!(
                "namespace=\"{}\",pod=\"{}\"",
                escaped(of(label::POD_NAMESPACE)),
                escaped(of(label::POD_NAME))
            );
            self.pod_cpu_usage_seconds_total.push_cpu(labels.clone(), used.cpu.as_ref());
            self.pod_memory_working_set_bytes.push_memory(labels.clone(), used.memory.as_ref());
            for container in &used.containers {
                let Some(attributes) = &container.attributes else { continue };
                let name = attributes.metadata.as_ref().map(|metadata| escaped(&metadata.name));
                let labels = format!("container=\"{}\",{labels}", name.unwrap_or_default());
                self.container_cpu_usage_seconds_total.push_cpu(labels.clone(), container.cpu.as_ref());
                self.container_memory_working_set_bytes
                    .push_memory(labels.clone(), container.memory.as_ref());
                if let Some(nanos) = started.get(attributes.id.as_str()) {
                    let seconds = *nanos as f64 / NANOS_PER_SECOND;
                    self.container_start_time_seconds.push(labels, seconds, None);
                }
            }
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for Family { name, kind, help, samples } in
            self.all().into_iter().filter(|one| !one.samples.is_empty())
        {
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{samples}");
        }
        text
    }
}

/// The value of a label: names of pods have nothing to escape, but who knows what a runtime says.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use everynode_cri::messages::{
        ContainerAttributes, ContainerMetadata, ContainerStats, LinuxPodSandboxStats, PodSandboxAttributes,
        UInt64Value,
    };

    use super::*;

    #[test]
    fn figures_are_written_as_collectors_read_them() {
        let value = |value| Some(UInt64Value { value });
        let cpu = |nanos| CpuUsage {
            timestamp: 5_000_000_000,
            usage_core_nano_seconds: value(nanos),
            ..CpuUsage::default()
        };
        let memory =
            MemoryUsage { timestamp: 5_000_000_000, working_set_bytes: value(7), ..MemoryUsage::default() };
        let metadata = Some(ContainerMetadata { name: "c".to_owned(), attempt: 0 });
        let container = ContainerStats {
            attributes: Some(ContainerAttributes { id: "1".to_owned(), metadata, ..Default::default() }),
            cpu: Some(cpu(1_500_000_000)),
            // What is not known is not said.
            memory: None,
            ..ContainerStats::default()
        };
        let labels = [(label::POD_NAME, "p\"q"), (label::POD_NAMESPACE, "n")];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let pod = PodSandboxStats {
            attributes: Some(PodSandboxAttributes { labels, ..Default::default() }),
            linux: Some(LinuxPodSandboxStats {
                cpu: Some(cpu(2_000_000_000)),
                memory: Some(memory),
                containers: vec![container],
                ..Default::default()
            }),
        };
        let mut figures = Figures::default();
        figures.add_pods(&[pod, PodSandboxStats::default()], &[("1", 3_250_000_000)].into());
        let samples: String = figures
            .text()
            .lines()
            .filter(|line| !line.starts_with('#'))
            .fold(String::new(), |all, line| all + line + "\n");
        let expected = r#"container_cpu_usage_seconds_total{container="c",namespace="n",pod="p\"q"} 1.5 5000
container_start_time_seconds{container="c",namespace="n",pod="p\"q"} 3.25
pod_cpu_usage_seconds_total{namespace="n",pod="p\"q"} 2 5000
pod_memory_working_set_bytes{namespace="n",pod="p\"q"} 7 5000
"#;
        assert_eq!(samples, expected);
        assert!(figures.text().contains("# TYPE pod_cpu_usage_seconds_total counter\n"));
    }
}
