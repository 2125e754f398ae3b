//! `/stats/summary`: what the node, its pods and their containers use, under the names that readers of the kubelet's
//! summary know. What is not known is not said.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use everynode_cri::messages::{
    ContainerStats, CpuUsage, FilesystemUsage, MemoryUsage, NetworkInterfaceUsage, PodSandboxStats,
    UInt64Value,
};
use everynode_model::{Value, time};
use http::Response;
use serde_json::{Map, json};
use tokio::time::Instant;

use super::answer::{Body, Refusal, whole};
use super::answers::Answers;
use super::state::Kubelet;
use crate::eviction::{FolderUse, folder_use, stats};
use crate::machine::ContainerState;
use crate::measure;
use crate::readings::{NodeUsage, Readings, Room, Signal};
use crate::runtime::{Listing, label};

/// How long what files take is said again without being counted again.
const FOLDERS_HOLD: Duration = Duration::from_secs(60);
/// Two looks at a counter that are nearer to each other say nothing about its rate.
const LEAST_SPAN_NANOS: u64 = 1_000_000_000;
/// The node among those whose counters are remembered.
const NODE: &str = "";

/// What is remembered between two questions.
#[derive(Debug, Default)]
pub struct Memory {
    rates: Mutex<HashMap<String, Rate>>,
    folders: Mutex<Answers<String, FolderUse>>,
}

/// A counter of CPU time as it was, and how fast it rose before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rate {
    at_nanos: u64,
    used_nanos: u64,
    nano_cores: Option<u64>,
}

impl Rate {
    /// Takes a counter of now. The rate is that since the look before.
    fn next(before: Option<Rate>, at_nanos: u64, used_nanos: u64) -> Rate {
        let Some(before) = before.filter(|before| before.used_nanos <= used_nanos) else {
            return Rate { at_nanos, used_nanos, nano_cores: None };
        };
        let span = at_nanos.saturating_sub(before.at_nanos);
        if span < LEAST_SPAN_NANOS {
            return before;
        }
        let cores = u128::from(used_nanos - before.used_nanos) * 1_000_000_000 / u128::from(span);
        Rate { at_nanos, used_nanos, nano_cores: u64::try_from(cores).ok() }
    }
}

impl Memory {
    fn nano_cores(&self, id: &str, at_nanos: i64, used_nanos: u64) -> Option<u64> {
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        let rate = Rate::next(rates.get(id).copied(), u64::try_from(at_nanos).unwrap_or(0), used_nanos);
        rates.insert(id.to_owned(), rate);
        rate.nano_cores
    }

    fn forget_all_but(&self, ids: impl Fn(&str) -> bool) {
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        rates.retain(|id, _| id == NODE || ids(id));
    }

    async fn folder(&self, path: std::path::PathBuf) -> FolderUse {
        let key = path.to_string_lossy().into_owned();
        let lock = || self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(&key, Instant::now()) {
            return known;
        }
        let counted = tokio::task::spawn_blocking(move || folder_use(&path)).await.unwrap_or_default();
        lock().keep(key, counted, FOLDERS_HOLD, Instant::now());
        counted
    }
}

/// Answers with the summary of now.
///
/// # Errors
/// 500: the container runtime does not tell.
pub async fn summary(kubelet: &Kubelet) -> Result<Response<Body>, Refusal> {
    let (context, memory) = (&kubelet.context, &kubelet.summaries);
    let told = stats(context).await.map_err(|error| Refusal::internal(error.to_string()))?;
    let readings = measure::now(context).await;
    let listing = kubelet.listings.borrow().clone();
    let started = started(&listing);
    memory.forget_all_but(|id| told.iter().any(|pod| ids(pod).any(|one| one == id)));
    let at_nanos = context.now().wall_nanos;
    let mut pods = Vec::new();
    for pod in &told {
        let Some(attributes) = &pod.attributes else { continue };
        let of = |key: &str| attributes.labels.get(key).map(String::as_str).unwrap_or_default();
        let (namespace, name, uid) = (of(label::POD_NAMESPACE), of(label::POD_NAME), of(label::POD_UID));
        let logs = context.layout.logs_of(namespace, name, uid);
        let mut body = usage_of_pod(memory, pod);
        body.insert("podRef".to_owned(), json!({ "name": name, "namespace": namespace, "uid": uid }));
        let begun = listing.pods.get(uid).and_then(|view| view.sandbox()).map(|one| one.created_nanos);
        body.insert("startTime".to_owned(), begun.map(at).into());
        let (mut containers, mut taken) = (Vec::new(), memory.folder(context.layout.pod(uid)).await);
        for container in pod.linux.iter().flat_map(|linux| &linux.containers) {
            let Some(id) = container.attributes.as_ref().map(|attributes| attributes.id.as_str()) else {
                continue;
            };
            let name =
                container.attributes.iter().filter_map(|one| one.metadata.as_ref()).map(|one| &*one.name);
            let name = name.collect::<String>();
            let log = memory.folder(logs.join(&name)).await;
            let layer = layer_of(container);
            taken = taken.with(log).with(layer);
            let mut one = usage(memory, id, container.cpu.as_ref(), container.memory.as_ref());
            one.insert("name".to_owned(), name.into());
            one.insert("startTime".to_owned(), started.get(id).copied().map(at).into());
            one.insert("rootfs".to_owned(), part_of(&readings, IMAGE_FS, layer, at_nanos));
            one.insert("logs".to_owned(), part_of(&readings, NODE_FS, log, at_nanos));
            containers.push(Value::Object(one));
        }
        body.insert("containers".to_owned(), containers.into());
        body.insert("ephemeral-storage".to_owned(), part_of(&readings, NODE_FS, taken, at_nanos));
        pods.push(Value::Object(body));
    }
    let node = node(memory, &context.node.name, &readings, at_nanos);
    Ok(whole("application/json", json!({ "node": node, "pods": pods }).to_string()))
}

/// The bytes and the inodes of a file system.
type Disk = (Signal, Signal);
const NODE_FS: Disk = (Signal::NodeFsAvailable, Signal::NodeFsInodesFree);
const IMAGE_FS: Disk = (Signal::ImageFsAvailable, Signal::ImageFsInodesFree);

fn at(nanos: i64) -> String {
    time::format(nanos.div_euclid(1_000_000_000))
}

/// When the containers that run were started, by their ids.
fn started(listing: &Listing) -> HashMap<&str, i64> {
    let containers = listing.pods.values().flat_map(|view| view.containers());
    let started = containers.filter_map(|one| match one.state {
        ContainerState::Running { started_nanos } => Some((one.id.as_str(), started_nanos)),
        _ => None,
    });
    started.collect()
}

/// A pod's own id and those of its containers.
fn ids(pod: &PodSandboxStats) -> impl Iterator<Item = &str> {
    let own = pod.attributes.iter().map(|one| one.id.as_str());
    let containers = pod.linux.iter().flat_map(|linux| &linux.containers);
    own.chain(containers.filter_map(|one| Some(one.attributes.as_ref()?.id.as_str())))
}

fn layer_of(container: &ContainerStats) -> FolderUse {
    let layer = container.writable_layer.as_ref();
    let of = |field: fn(&FilesystemUsage) -> Option<&UInt64Value>| {
        layer.and_then(field).map_or(0, |value| value.value)
    };
    FolderUse { bytes: of(|one| one.used_bytes.as_ref()), inodes: of(|one| one.inodes_used.as_ref()) }
}

/// What a part of a file system takes, beside how full that is.
fn part_of(readings: &Readings, disk: Disk, taken: FolderUse, at_nanos: i64) -> Value {
    let mut body = fs(readings, disk, at_nanos);
    body["usedBytes"] = taken.bytes.into();
    body["inodesUsed"] = taken.inodes.into();
    body
}

/// How full a file system is.
fn fs(readings: &Readings, (bytes, inodes): Disk, at_nanos: i64) -> Value {
    let mut body = json!({ "time": at(at_nanos) });
    if let Some(Room { capacity, available }) = readings.get(&bytes) {
        body["availableBytes"] = (*available).into();
        body["capacityBytes"] = (*capacity).into();
        body["usedBytes"] = capacity.saturating_sub(*available).into();
    }
    if let Some(Room { capacity, available }) = readings.get(&inodes) {
        body["inodesFree"] = (*available).into();
        body["inodes"] = (*capacity).into();
        body["inodesUsed"] = capacity.saturating_sub(*available).into();
    }
    body
}

fn node(memory: &Memory, name: &str, readings: &Readings, at_nanos: i64) -> Value {
    let used = NodeUsage::now();
    let counted = |value: Option<u64>| value.map(|value| UInt64Value { value });
    let cpu = CpuUsage {
        timestamp: at_nanos,
        usage_core_nano_seconds: counted(used.cpu_nanos),
        ..CpuUsage::default()
    };
    let of_memory = MemoryUsage {
        timestamp: at_nanos,
        working_set_bytes: counted(used.working_set_bytes),
        available_bytes: counted(used.memory().map(|room| room.available)),
        ..MemoryUsage::default()
    };
    let mut body = usage(memory, NODE, Some(&cpu), Some(&of_memory));
    body.insert("nodeName".to_owned(), name.into());
    body.insert("fs".to_owned(), fs(readings, NODE_FS, at_nanos));
    body.insert("runtime".to_owned(), json!({ "imageFs": fs(readings, IMAGE_FS, at_nanos) }));
    if let Some(Room { capacity, available }) = readings.get(&Signal::PidAvailable) {
        let processes = capacity.saturating_sub(*available);
        let rlimit = json!({ "time": at(at_nanos), "maxpid": capacity, "curproc": processes });
        body.insert("rlimit".to_owned(), rlimit);
    }
    Value::Object(body)
}

fn usage_of_pod(memory: &Memory, pod: &PodSandboxStats) -> Map<String, Value> {
    let id = pod.attributes.as_ref().map(|one| one.id.as_str()).unwrap_or_default();
    let Some(linux) = &pod.linux else { return Map::new() };
    let mut body = usage(memory, id, linux.cpu.as_ref(), linux.memory.as_ref());
    let interface = linux.network.as_ref().and_then(|network| {
        let default = network.default_interface.as_ref()?;
        let mut body = interface(default);
        body.insert("time".to_owned(), at(network.timestamp).into());
        body.insert("interfaces".to_owned(), json!([interface(default)]));
        Some(body)
    });
    body.extend(interface.map(|interface| ("network".to_owned(), interface.into())));
    let processes = linux.process.as_ref().and_then(|process| process.process_count.as_ref());
    let processes = processes.map(|count| json!({ "process_count": count.value }));
    body.extend(processes.map(|processes| ("process_stats".to_owned(), processes)));
    body
}

/// CPU and memory, as the runtime tells them.
fn usage(
    rates: &Memory,
    id: &str,
    cpu: Option<&CpuUsage>,
    memory: Option<&MemoryUsage>,
) -> Map<String, Value> {
    let mut body = Map::new();
    if let Some(cpu) = cpu {
        let used = cpu.usage_core_nano_seconds.as_ref();
        let told = cpu.usage_nano_cores.as_ref().map(|value| value.value);
        let rate = told.or_else(|| rates.nano_cores(id, cpu.timestamp, used?.value));
        let mut one = numbers(&[("usageCoreNanoSeconds", used)]);
        one.extend(rate.map(|rate| ("usageNanoCores".to_owned(), rate.into())));
        one.insert("time".to_owned(), at(cpu.timestamp).into());
        body.insert("cpu".to_owned(), one.into());
    }
    if let Some(memory) = memory {
        let mut one = numbers(&[
            // What has no limit has nothing left of it.
            ("availableBytes", memory.available_bytes.as_ref().filter(|left| left.value > 0)),
            ("usageBytes", memory.usage_bytes.as_ref()),
            ("workingSetBytes", memory.working_set_bytes.as_ref()),
            ("rssBytes", memory.rss_bytes.as_ref()),
            ("pageFaults", memory.page_faults.as_ref()),
            ("majorPageFaults", memory.major_page_faults.as_ref()),
        ]);
        one.insert("time".to_owned(), at(memory.timestamp).into());
        body.insert("memory".to_owned(), one.into());
    }
    body
}

fn interface(interface: &NetworkInterfaceUsage) -> Map<String, Value> {
    let mut body = numbers(&[
        ("rxBytes", interface.rx_bytes.as_ref()),
        ("rxErrors", interface.rx_errors.as_ref()),
        ("txBytes", interface.tx_bytes.as_ref()),
        ("txErrors", interface.tx_errors.as_ref()),
    ]);
    body.insert("name".to_owned(), interface.name.as_str().into());
    body
}

fn numbers(fields: &[(&str, Option<&UInt64Value>)]) -> Map<String, Value> {
    let known =
        fields.iter().filter_map(|(name, value)| Some(((*name).to_owned(), value.as_ref()?.value.into())));
    known.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_that_since_the_look_before() {
        let second = 1_000_000_000;
        let check = |looks: &[(u64, u64)], expected: Option<u64>| {
            let mut rate = None;
            for (at, used) in looks {
                rate = Some(Rate::next(rate, at * second, used * second));
            }
            assert_eq!(rate.and_then(|rate| rate.nano_cores), expected, "{looks:?}");
        };
        check(&[(10, 5)], None);
        check(&[(10, 5), (14, 7)], Some(second / 2));
        // One that comes too soon is told what held before.
        check(&[(10, 5), (14, 7), (14, 8)], Some(second / 2));
        // A counter that falls is another one.
        check(&[(10, 5), (14, 3)], None);
    }

    #[test]
    fn what_a_pod_uses_is_told_as_far_as_it_is_known() {
        let value = |value| Some(UInt64Value { value });
        let memory = MemoryUsage {
            timestamp: 5_000_000_000,
            working_set_bytes: value(7),
            available_bytes: value(0),
            ..MemoryUsage::default()
        };
        let told = Value::Object(usage(&Memory::default(), "a", None, Some(&memory)));
        assert_eq!(told, json!({"memory": {"workingSetBytes": 7, "time": "1970-01-01T00:00:05Z"}}));
        let readings = [(Signal::NodeFsAvailable, Room { capacity: 10, available: 4 })].into();
        let taken = FolderUse { bytes: 2, inodes: 1 };
        let expected = json!({"time": "1970-01-01T00:00:00Z", "availableBytes": 4, "capacityBytes": 10, "usedBytes": 2, "inodesUsed": 1});
        assert_eq!(part_of(&readings, NODE_FS, taken, 0), expected);
    }
}
