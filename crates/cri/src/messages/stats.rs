//! What pods and containers use. A figure that the runtime does not have is missing, never zero.

use std::collections::BTreeMap;

use super::common::UInt64Value;
use super::container::ContainerMetadata;
use super::image::FilesystemUsage;
use super::sandbox::PodSandboxMetadata;

/// Asks for one container's figures.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ContainerStatsRequest {
    /// Which one.
    #[prost(string, tag = "1")]
    pub container_id: String,
}

/// One container's figures.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ContainerStatsResponse {
    /// The figures.
    #[prost(message, optional, tag = "1")]
    pub stats: Option<ContainerStats>,
}

/// Whose figures are listed: those of containers of which all parts are true.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ContainerStatsFilter {
    /// Id; "" is any.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Sandbox; "" is any.
    #[prost(string, tag = "2")]
    pub pod_sandbox_id: String,
    /// Labels with their values.
    #[prost(btree_map = "string, string", tag = "3")]
    pub label_selector: BTreeMap<String, String>,
}

/// Asks for containers' figures. Of those that do not run, older runtimes answer rows without CPU and memory.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ListContainerStatsRequest {
    /// Whose; without, all.
    #[prost(message, optional, tag = "1")]
    pub filter: Option<ContainerStatsFilter>,
}

/// Figures of containers.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ListContainerStatsResponse {
    /// One by one.
    #[prost(message, repeated, tag = "1")]
    pub stats: Vec<ContainerStats>,
}

/// Whose figures they are.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ContainerAttributes {
    /// Id of the container.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Which one it is.
    #[prost(message, optional, tag = "2")]
    pub metadata: Option<ContainerMetadata>,
    /// As it was made.
    #[prost(btree_map = "string, string", tag = "3")]
    pub labels: BTreeMap<String, String>,
    /// As it was made.
    #[prost(btree_map = "string, string", tag = "4")]
    pub annotations: BTreeMap<String, String>,
}

/// One container's figures.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ContainerStats {
    /// Whose they are.
    #[prost(message, optional, tag = "1")]
    pub attributes: Option<ContainerAttributes>,
    /// CPU.
    #[prost(message, optional, tag = "2")]
    pub cpu: Option<CpuUsage>,
    /// Memory.
    #[prost(message, optional, tag = "3")]
    pub memory: Option<MemoryUsage>,
    /// What it has written outside of mounts.
    #[prost(message, optional, tag = "4")]
    pub writable_layer: Option<FilesystemUsage>,
    /// Swap; newer runtimes only.
    #[prost(message, optional, tag = "5")]
    pub swap: Option<SwapUsage>,
    /// Waiting for disks; newer runtimes only.
    #[prost(message, optional, tag = "6")]
    pub io: Option<IoUsage>,
}

/// Pressure: time in which work waited for something.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PsiStats {
    /// Time in which all tasks waited.
    #[prost(message, optional, tag = "1")]
    pub full: Option<PsiData>,
    /// Time in which some task waited.
    #[prost(message, optional, tag = "2")]
    pub some: Option<PsiData>,
}

/// Time of waiting.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PsiData {
    /// All of it, in nanoseconds.
    #[prost(uint64, tag = "1")]
    pub total: u64,
    /// Percent of the last 10 seconds.
    #[prost(double, tag = "2")]
    pub avg10: f64,
    /// Percent of the last 60 seconds.
    #[prost(double, tag = "3")]
    pub avg60: f64,
    /// Percent of the last 300 seconds.
    #[prost(double, tag = "4")]
    pub avg300: f64,
}

/// Use of CPUs.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CpuUsage {
    /// When that was so, in nanoseconds since 1970.
    #[prost(int64, tag = "1")]
    pub timestamp: i64,
    /// CPU time since the start, in nanoseconds.
    #[prost(message, optional, tag = "2")]
    pub usage_core_nano_seconds: Option<UInt64Value>,
    /// CPU time per second of late, in nanoseconds; older runtimes have none.
    #[prost(message, optional, tag = "3")]
    pub usage_nano_cores: Option<UInt64Value>,
    /// Pressure.
    #[prost(message, optional, tag = "4")]
    pub psi: Option<PsiStats>,
}

/// Use of memory.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MemoryUsage {
    /// When that was so, in nanoseconds since 1970.
    #[prost(int64, tag = "1")]
    pub timestamp: i64,
    /// Bytes that cannot be given back easily.
    #[prost(message, optional, tag = "2")]
    pub working_set_bytes: Option<UInt64Value>,
    /// Limit less working set, in bytes.
    #[prost(message, optional, tag = "3")]
    pub available_bytes: Option<UInt64Value>,
    /// Bytes in all, caches included.
    #[prost(message, optional, tag = "4")]
    pub usage_bytes: Option<UInt64Value>,
    /// Bytes of anonymous memory.
    #[prost(message, optional, tag = "5")]
    pub rss_bytes: Option<UInt64Value>,
    /// Page faults so far.
    #[prost(message, optional, tag = "6")]
    pub page_faults: Option<UInt64Value>,
    /// Page faults so far that read from a disk.
    #[prost(message, optional, tag = "7")]
    pub major_page_faults: Option<UInt64Value>,
    /// Pressure.
    #[prost(message, optional, tag = "8")]
    pub psi: Option<PsiStats>,
}

/// Use of disks.
#[derive(Clone, PartialEq, prost::Message)]
pub struct IoUsage {
    /// When that was so, in nanoseconds since 1970.
    #[prost(int64, tag = "1")]
    pub timestamp: i64,
    /// Pressure.
    #[prost(message, optional, tag = "2")]
    pub psi: Option<PsiStats>,
}

/// Use of swap.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SwapUsage {
    /// When that was so, in nanoseconds since 1970.
    #[prost(int64, tag = "1")]
    pub timestamp: i64,
    /// Limit less use, in bytes.
    #[prost(message, optional, tag = "2")]
    pub swap_available_bytes: Option<UInt64Value>,
    /// Bytes in use.
    #[prost(message, optional, tag = "3")]
    pub swap_usage_bytes: Option<UInt64Value>,
}

/// Asks for one pod's figures.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PodSandboxStatsRequest {
    /// Which one.
    #[prost(string, tag = "1")]
    pub pod_sandbox_id: String,
}

/// One pod's figures.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PodSandboxStatsResponse {
    /// The figures.
    #[prost(message, optional, tag = "1")]
    pub stats: Option<PodSandboxStats>,
}

/// Whose figures are listed: those of sandboxes of which all parts are true.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PodSandboxStatsFilter {
    /// Id; "" is any.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Labels with their values.
    #[prost(btree_map = "string, string", tag = "2")]
    pub label_selector: BTreeMap<String, String>,
}

/// Asks for pods' figures.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ListPodSandboxStatsRequest {
    /// Whose; without, all.
    #[prost(message, optional, tag = "1")]
    pub filter: Option<PodSandboxStatsFilter>,
}

/// Figures of pods.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ListPodSandboxStatsResponse {
    /// One by one.
    #[prost(message, repeated, tag = "1")]
    pub stats: Vec<PodSandboxStats>,
}

/// Whose figures they are.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PodSandboxAttributes {
    /// Id of the sandbox.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Whose it is.
    #[prost(message, optional, tag = "2")]
    pub metadata: Option<PodSandboxMetadata>,
    /// As it was made.
    #[prost(btree_map = "string, string", tag = "3")]
    pub labels: BTreeMap<String, String>,
    /// As it was made.
    #[prost(btree_map = "string, string", tag = "4")]
    pub annotations: BTreeMap<String, String>,
}

/// One pod's figures.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PodSandboxStats {
    /// Whose they are.
    #[prost(message, optional, tag = "1")]
    pub attributes: Option<PodSandboxAttributes>,
    /// The Linux part.
    #[prost(message, optional, tag = "2")]
    pub linux: Option<LinuxPodSandboxStats>,
}

/// The figures themselves.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LinuxPodSandboxStats {
    /// CPU of all its containers.
    #[prost(message, optional, tag = "1")]
    pub cpu: Option<CpuUsage>,
    /// Memory of all its containers.
    #[prost(message, optional, tag = "2")]
    pub memory: Option<MemoryUsage>,
    /// Network; with the host's network that is the host's.
    #[prost(message, optional, tag = "3")]
    pub network: Option<NetworkUsage>,
    /// Processes.
    #[prost(message, optional, tag = "4")]
    pub process: Option<ProcessUsage>,
    /// Its containers.
    #[prost(message, repeated, tag = "5")]
    pub containers: Vec<ContainerStats>,
    /// Waiting for disks; newer runtimes only.
    #[prost(message, optional, tag = "6")]
    pub io: Option<IoUsage>,
}

/// Use of the network.
#[derive(Clone, PartialEq, prost::Message)]
pub struct NetworkUsage {
    /// When that was so, in nanoseconds since 1970.
    #[prost(int64, tag = "1")]
    pub timestamp: i64,
    /// The interface of the pod's address.
    #[prost(message, optional, tag = "2")]
    pub default_interface: Option<NetworkInterfaceUsage>,
    /// The others.
    #[prost(message, repeated, tag = "3")]
    pub interfaces: Vec<NetworkInterfaceUsage>,
}

/// Use of one interface.
#[derive(Clone, PartialEq, prost::Message)]
pub struct NetworkInterfaceUsage {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Bytes received.
    #[prost(message, optional, tag = "2")]
    pub rx_bytes: Option<UInt64Value>,
    /// Errors while receiving.
    #[prost(message, optional, tag = "3")]
    pub rx_errors: Option<UInt64Value>,
    /// Bytes sent.
    #[prost(message, optional, tag = "4")]
    pub tx_bytes: Option<UInt64Value>,
    /// Errors while sending.
    #[prost(message, optional, tag = "5")]
    pub tx_errors: Option<UInt64Value>,
}

/// Processes.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ProcessUsage {
    /// When that was so, in nanoseconds since 1970.
    #[prost(int64, tag = "1")]
    pub timestamp: i64,
    /// How many.
    #[prost(message, optional, tag = "2")]
    pub process_count: Option<UInt64Value>,
}
