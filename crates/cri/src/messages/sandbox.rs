//! Sandboxes: what a pod has before it has containers.

use std::collections::BTreeMap;

use super::container::ContainerStatus;
use super::resources::LinuxContainerResources;
use super::security::{LinuxSandboxSecurityContext, NamespaceOption};

/// Whose sandbox it is. No two have all four the same.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PodSandboxMetadata {
    /// Name of the pod.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Uid of the pod.
    #[prost(string, tag = "2")]
    pub uid: String,
    /// Namespace of the pod.
    #[prost(string, tag = "3")]
    pub namespace: String,
    /// 0 for the first sandbox of the pod, one more for each that replaces it.
    #[prost(uint32, tag = "4")]
    pub attempt: u32,
}

/// What goes into the pod's `/etc/resolv.conf`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DnsConfig {
    /// Name servers.
    #[prost(string, repeated, tag = "1")]
    pub servers: Vec<String>,
    /// Search domains.
    #[prost(string, repeated, tag = "2")]
    pub searches: Vec<String>,
    /// Options such as `ndots:5`.
    #[prost(string, repeated, tag = "3")]
    pub options: Vec<String>,
}

/// The protocol of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Protocol {
    /// TCP.
    Tcp = 0,
    /// UDP.
    Udp = 1,
    /// SCTP.
    Sctp = 2,
}

/// A port of the host that leads to the pod. With the host's network the runtime does nothing for it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PortMapping {
    /// Protocol.
    #[prost(enumeration = "Protocol", tag = "1")]
    pub protocol: i32,
    /// Port in the pod, 1 to 65535.
    #[prost(int32, tag = "2")]
    pub container_port: i32,
    /// Port of the host, 1 to 65535.
    #[prost(int32, tag = "3")]
    pub host_port: i32,
    /// Address of the host that listens; "" is all.
    #[prost(string, tag = "4")]
    pub host_ip: String,
}

/// The Linux part of a sandbox.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LinuxPodSandboxConfig {
    /// The cgroup that holds all of the pod, as the cgroup driver spells it.
    #[prost(string, tag = "1")]
    pub cgroup_parent: String,
    /// Rights and namespaces.
    #[prost(message, optional, tag = "2")]
    pub security_context: Option<LinuxSandboxSecurityContext>,
    /// Kernel parameters that are set in the pod's namespaces.
    #[prost(btree_map = "string, string", tag = "3")]
    pub sysctls: BTreeMap<String, String>,
    /// What the sandbox itself takes.
    #[prost(message, optional, tag = "4")]
    pub overhead: Option<LinuxContainerResources>,
    /// What all containers take together.
    #[prost(message, optional, tag = "5")]
    pub resources: Option<LinuxContainerResources>,
}

/// How a sandbox is made.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PodSandboxConfig {
    /// Whose it is.
    #[prost(message, optional, tag = "1")]
    pub metadata: Option<PodSandboxMetadata>,
    /// Host name; "" with the host's network, where setting one fails.
    #[prost(string, tag = "2")]
    pub hostname: String,
    /// The folder of the containers' logs on the host.
    #[prost(string, tag = "3")]
    pub log_directory: String,
    /// What goes into `/etc/resolv.conf`; without, the host's is used.
    #[prost(message, optional, tag = "4")]
    pub dns_config: Option<DnsConfig>,
    /// Ports of the host that lead here.
    #[prost(message, repeated, tag = "5")]
    pub port_mappings: Vec<PortMapping>,
    /// To find it by.
    #[prost(btree_map = "string, string", tag = "6")]
    pub labels: BTreeMap<String, String>,
    /// What else the runtime is told; kept as they are.
    #[prost(btree_map = "string, string", tag = "7")]
    pub annotations: BTreeMap<String, String>,
    /// The Linux part.
    #[prost(message, optional, tag = "8")]
    pub linux: Option<LinuxPodSandboxConfig>,
}

/// Makes a sandbox and starts it. It is ready when the answer comes.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RunPodSandboxRequest {
    /// How.
    #[prost(message, optional, tag = "1")]
    pub config: Option<PodSandboxConfig>,
    /// The runtime class's handler; "" is the default one.
    #[prost(string, tag = "2")]
    pub runtime_handler: String,
}

/// A sandbox was made.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RunPodSandboxResponse {
    /// Its id.
    #[prost(string, tag = "1")]
    pub pod_sandbox_id: String,
}

/// Kills all in a sandbox and gives its network back. Nothing happens when that was done before; of a sandbox that is
/// not there containerd 1.6 says so.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StopPodSandboxRequest {
    /// Which one.
    #[prost(string, tag = "1")]
    pub pod_sandbox_id: String,
}

/// A sandbox is stopped.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StopPodSandboxResponse {}

/// Removes a sandbox with its containers, running ones too. Nothing happens when it is not there.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RemovePodSandboxRequest {
    /// Which one.
    #[prost(string, tag = "1")]
    pub pod_sandbox_id: String,
}

/// A sandbox is gone.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RemovePodSandboxResponse {}

/// Asks how a sandbox is.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PodSandboxStatusRequest {
    /// Which one.
    #[prost(string, tag = "1")]
    pub pod_sandbox_id: String,
    /// Asks for `info` too.
    #[prost(bool, tag = "2")]
    pub verbose: bool,
}

/// A further address.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PodIp {
    /// The address.
    #[prost(string, tag = "1")]
    pub ip: String,
}

/// The addresses of a pod. With the host's network there are none.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PodSandboxNetworkStatus {
    /// The first address.
    #[prost(string, tag = "1")]
    pub ip: String,
    /// The others.
    #[prost(message, repeated, tag = "2")]
    pub additional_ips: Vec<PodIp>,
}

/// The namespaces of a sandbox.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Namespace {
    /// Who shares which one.
    #[prost(message, optional, tag = "2")]
    pub options: Option<NamespaceOption>,
}

/// The Linux part of a sandbox's status.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LinuxPodSandboxStatus {
    /// Its namespaces.
    #[prost(message, optional, tag = "1")]
    pub namespaces: Option<Namespace>,
}

/// Whether containers can be started in a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum PodSandboxState {
    /// They can.
    Ready = 0,
    /// It was stopped, or its process died.
    NotReady = 1,
}

/// How a sandbox is.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PodSandboxStatus {
    /// Its id.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Whose it is.
    #[prost(message, optional, tag = "2")]
    pub metadata: Option<PodSandboxMetadata>,
    /// Whether it is ready.
    #[prost(enumeration = "PodSandboxState", tag = "3")]
    pub state: i32,
    /// Nanoseconds since 1970.
    #[prost(int64, tag = "4")]
    pub created_at: i64,
    /// Its addresses.
    #[prost(message, optional, tag = "5")]
    pub network: Option<PodSandboxNetworkStatus>,
    /// The Linux part.
    #[prost(message, optional, tag = "6")]
    pub linux: Option<LinuxPodSandboxStatus>,
    /// As it was made.
    #[prost(btree_map = "string, string", tag = "7")]
    pub labels: BTreeMap<String, String>,
    /// As it was made.
    #[prost(btree_map = "string, string", tag = "8")]
    pub annotations: BTreeMap<String, String>,
    /// As it was made.
    #[prost(string, tag = "9")]
    pub runtime_handler: String,
}

/// How a sandbox is.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PodSandboxStatusResponse {
    /// Its status.
    #[prost(message, optional, tag = "1")]
    pub status: Option<PodSandboxStatus>,
    /// What else the runtime says, by key, in JSON.
    #[prost(btree_map = "string, string", tag = "2")]
    pub info: BTreeMap<String, String>,
    /// Its containers; only from runtimes that send events.
    #[prost(message, repeated, tag = "3")]
    pub containers_statuses: Vec<ContainerStatus>,
    /// When that was so, in nanoseconds since 1970; only from runtimes that send events.
    #[prost(int64, tag = "4")]
    pub timestamp: i64,
}

/// A state that may be missing.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PodSandboxStateValue {
    /// The state.
    #[prost(enumeration = "PodSandboxState", tag = "1")]
    pub state: i32,
}

/// Which sandboxes are listed: those of which all parts are true.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PodSandboxFilter {
    /// Id, or a beginning of it that no other has; "" is any.
    #[prost(string, tag = "1")]
    pub id: String,
    /// State.
    #[prost(message, optional, tag = "2")]
    pub state: Option<PodSandboxStateValue>,
    /// Labels with their values.
    #[prost(btree_map = "string, string", tag = "3")]
    pub label_selector: BTreeMap<String, String>,
}

/// Asks for sandboxes.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ListPodSandboxRequest {
    /// Which ones; without, all.
    #[prost(message, optional, tag = "1")]
    pub filter: Option<PodSandboxFilter>,
}

/// A sandbox in a list.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PodSandbox {
    /// Its id.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Whose it is.
    #[prost(message, optional, tag = "2")]
    pub metadata: Option<PodSandboxMetadata>,
    /// Whether it is ready.
    #[prost(enumeration = "PodSandboxState", tag = "3")]
    pub state: i32,
    /// Nanoseconds since 1970.
    #[prost(int64, tag = "4")]
    pub created_at: i64,
    /// As it was made.
    #[prost(btree_map = "string, string", tag = "5")]
    pub labels: BTreeMap<String, String>,
    /// As it was made.
    #[prost(btree_map = "string, string", tag = "6")]
    pub annotations: BTreeMap<String, String>,
    /// As it was made.
    #[prost(string, tag = "7")]
    pub runtime_handler: String,
}

/// Sandboxes.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ListPodSandboxResponse {
    /// The sandboxes.
    #[prost(message, repeated, tag = "1")]
    pub items: Vec<PodSandbox>,
}

/// Asks for a stream to ports of a pod.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PortForwardRequest {
    /// Which pod.
    #[prost(string, tag = "1")]
    pub pod_sandbox_id: String,
    /// Ports.
    #[prost(int32, repeated, tag = "2")]
    pub port: Vec<i32>,
}

/// Where the stream is.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PortForwardResponse {
    /// Its address; it can be used once, and soon.
    #[prost(string, tag = "1")]
    pub url: String,
}
