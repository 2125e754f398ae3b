//! The node itself: what it is, its object in the API, and the sign of life that others go by.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use everynode_client::{Backoff, Client, Error, content_type};
use everynode_cri::messages::StatusRequest;
use everynode_model::node_agent::{self, LEASES};
use everynode_model::quantity::{Format, Quantity};
use everynode_model::{Value, time};
use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::eviction::Pressure;
use crate::machine::ConditionTimes;
use crate::readings::NodeUsage;

/// The version of Kubernetes whose kubelet this agent stands in for.
const KUBELET_VERSION: &str = "v1.36.2";
/// Between two signs of life, and how long the last one holds.
const LEASE_INTERVAL: Duration = Duration::from_secs(10);
const LEASE_SECONDS: i64 = 40;
/// Between two looks at the node, and between two writes of what has not changed.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
const STATUS_INTERVAL: Duration = Duration::from_secs(300);
const PAUSES: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
const DEADLINE: Duration = Duration::from_secs(5);

/// What somebody says of the node when it is registered.
#[derive(Debug, Clone, Default)]
pub struct Registration {
    /// Labels beside those of every node.
    pub labels: BTreeMap<String, String>,
    /// Taints, as the API has them.
    pub taints: Vec<Value>,
    /// How many pods it takes.
    pub max_pods: u32,
    /// The range of its pods' addresses, where no controller gives it one.
    pub pod_cidr: Option<String>,
}

/// What the machine has, by resource.
pub fn capacity(max_pods: u32, disk: &std::path::Path) -> BTreeMap<String, Quantity> {
    let units =
        |count: u64| Quantity::from_units(i64::try_from(count).unwrap_or(i64::MAX), Format::DecimalSi);
    let cpus = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let memory = Quantity::from_units(memory_bytes() / 1_024 * 1_024, Format::BinarySi);
    let mut found: BTreeMap<String, Quantity> = [
        ("cpu".to_owned(), units(cpus)),
        ("memory".to_owned(), memory),
        ("pods".to_owned(), units(max_pods.into())),
    ]
    .into();
    if let Ok(disk) = rustix::fs::statvfs(disk) {
        let bytes = disk.f_blocks.saturating_mul(disk.f_frsize);
        found.insert("ephemeral-storage".to_owned(), units(bytes));
    }
    found
}

/// The memory of the machine in bytes.
pub fn memory_bytes() -> i64 {
    NodeUsage::now().memory_bytes.and_then(|bytes| i64::try_from(bytes).ok()).unwrap_or(0)
}

/// Keeps the node's object and its lease until it is cancelled.
pub async fn keep(context: Arc<Context>, registration: Registration, cancelled: CancellationToken) {
    tokio::select! {
        () = cancelled.cancelled() => {}
        () = keep_status(&context, &registration) => {}
        () = keep_lease(&context) => {}
    }
}

/// Registers the node, and brings its object up to date whenever something about the node changes.
async fn keep_status(context: &Context, registration: &Registration) {
    let (mut failures, mut written, mut written_at) = (0, None, Instant::now());
    let (info, mut times) = (info(context), ConditionTimes::default());
    let mut pressures = context.pressures.clone();
    loop {
        let status = status(context, &info, &mut times).await;
        let is_due = written.as_ref() != Some(&status) || written_at.elapsed() >= STATUS_INTERVAL;
        let pause = match is_due {
            false => LOOK_INTERVAL,
            true => match write(context, registration, &status).await {
                Ok(()) => {
                    (failures, written, written_at) = (0, Some(status), Instant::now());
                    LOOK_INTERVAL
                }
                Err(error) => {
                    failures += 1;
                    tracing::warn!(%error, "the node's object was not written");
                    PAUSES.after(failures)
                }
            },
        };
        tokio::select! {
            () = sleep(pause) => {}
            Ok(()) = pressures.changed() => {}
        }
    }
}

async fn write(context: &Context, registration: &Registration, status: &Value) -> Result<(), Error> {
    let now = time::format(context.now().wall_seconds());
    let mut status = status.clone();
    for condition in status["conditions"].as_array_mut().into_iter().flatten() {
        condition["lastHeartbeatTime"] = now.as_str().into();
    }
    let path = format!("/api/v1/nodes/{}/status", context.node.name);
    let patch = json!({ "status": status }).to_string();
    match context.api.patch(&path, content_type::STRATEGIC_MERGE_PATCH, patch).await {
        Err(error) if error.is_not_found() => register(context, registration, &status).await,
        other => other.map(drop),
    }
}

async fn register(context: &Context, registration: &Registration, status: &Value) -> Result<(), Error> {
    let name = &context.node.name;
    let arch = arch();
    let mut labels = registration.labels.clone();
    for (key, value) in [
        ("beta.kubernetes.io/arch", arch),
        ("beta.kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", arch),
        ("kubernetes.io/hostname", name),
        ("kubernetes.io/os", "linux"),
    ] {
        labels.entry(key.to_owned()).or_insert_with(|| value.to_owned());
    }
    let mut node = json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": { "name": name, "labels": labels },
        "spec": { "taints": registration.taints },
        "status": status,
    });
    if let Some(range) = &registration.pod_cidr {
        node["spec"]["podCIDR"] = range.as_str().into();
        node["spec"]["podCIDRs"] = json!([range]);
    }
    match context.api.post("/api/v1/nodes", node.to_string()).await {
        Err(error) if error.is_already_exists() => Ok(()),
        other => other.map(drop),
    }
}

/// As Go names architectures.
fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

async fn status(context: &Context, info: &Value, times: &mut ConditionTimes) -> Value {
    let now_seconds = context.now().wall_seconds();
    let (is_ready, reason, message) = ready(context).await;
    let mut condition = |kind: &str, is_true: bool, reason: &str, message: &str| {
        json!({
            "type": kind,
            "status": if is_true { "True" } else { "False" },
            "reason": reason,
            "message": message,
            "lastTransitionTime": time::format(times.since(kind, is_true, now_seconds)),
        })
    };
    let pressures = context.pressures.borrow().clone();
    let mut conditions: Vec<Value> = Vec::new();
    for pressure in Pressure::ALL {
        let is_short = pressures.contains(&pressure);
        let (reason, message) = pressure.words(is_short);
        conditions.push(condition(pressure.condition(), is_short, reason, message));
    }
    conditions.push(condition("Ready", is_ready, reason, &message));
    let addresses = context.node.ips.iter().map(|ip| json!({ "type": "InternalIP", "address": ip }));
    let name = json!({ "type": "Hostname", "address": context.node.name });
    let mut status = json!({
        "capacity": context.node.allocatable,
        "allocatable": context.node.allocatable,
        "conditions": conditions,
        "addresses": addresses.chain([name]).collect::<Vec<_>>(),
        "nodeInfo": info,
    });
    if context.node.kubelet_port != 0 {
        status["daemonEndpoints"] = json!({ "kubeletEndpoint": { "Port": context.node.kubelet_port } });
    }
    status
}

/// Whether the node can run pods: whether its container runtime is well and has a network for pods.
async fn ready(context: &Context) -> (bool, &'static str, String) {
    let not_ready = |message: String| (false, "KubeletNotReady", message);
    match context.runtime.call(StatusRequest::default(), DEADLINE).await {
        Err(error) => not_ready(format!("container runtime is down: {error}")),
        Ok(answer) => {
            let conditions = answer.status.unwrap_or_default().conditions;
            match conditions.iter().find(|one| !one.status) {
                Some(bad) => not_ready(format!(
                    "container runtime {} not ready: {} reason:{} message:{}",
                    if bad.r#type == "NetworkReady" { "network" } else { "status" },
                    bad.r#type,
                    bad.reason,
                    bad.message
                )),
                None => (true, "KubeletReady", "kubelet is posting ready status".to_owned()),
            }
        }
    }
}

/// What does not change while the agent runs.
fn info(context: &Context) -> Value {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let release = read("/etc/os-release");
    let os = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or("Linux");
    let version = &context.abilities.version;
    json!({
        "machineID": read("/etc/machine-id"),
        "systemUUID": read("/sys/class/dmi/id/product_uuid"),
        "bootID": read("/proc/sys/kernel/random/boot_id"),
        "kernelVersion": read("/proc/sys/kernel/osrelease"),
        "osImage": os.trim_matches('"'),
        "containerRuntimeVersion": format!("{}://{}", version.runtime_name, version.runtime_version),
        "kubeletVersion": KUBELET_VERSION,
        "kubeProxyVersion": "",
        "operatingSystem": "linux",
        "architecture": arch(),
    })
}

/// Renews the node's lease, and makes it where it is not there.
async fn keep_lease(context: &Context) {
    let mut failures = 0;
    loop {
        let next = Instant::now() + LEASE_INTERVAL;
        match renew(&context.api, &context.node.name, context).await {
            Ok(()) => failures = 0,
            Err(error) => {
                failures += 1;
                tracing::warn!(%error, "the node's lease was not renewed");
            }
        }
        match failures {
            0 => sleep_until(next).await,
            failures => sleep(PAUSES.after(failures).min(LEASE_INTERVAL)).await,
        }
    }
}

async fn renew(api: &Client, name: &str, context: &Context) -> Result<(), Error> {
    let renewed = time::format_micros(context.now().wall_nanos / 1_000);
    let lease = node_agent::lease(name, None, LEASE_SECONDS, &renewed);
    let patch = json!({ "spec": lease["spec"] }).to_string();
    match api.patch(&format!("{LEASES}/{name}"), content_type::MERGE_PATCH, patch).await {
        Err(error) if error.is_not_found() => api.post(LEASES, lease.to_string()).await.map(drop),
        other => other.map(drop),
    }
}
