//! The runtime itself: who it is, whether it is well, what it can do.

use std::collections::BTreeMap;

/// Asks who the runtime is.
#[derive(Clone, PartialEq, prost::Message)]
pub struct VersionRequest {
    /// Version of the kubelet's API; runtimes ignore it.
    #[prost(string, tag = "1")]
    pub version: String,
}

/// Who the runtime is.
#[derive(Clone, PartialEq, prost::Message)]
pub struct VersionResponse {
    /// As in the request, or `0.1.0`.
    #[prost(string, tag = "1")]
    pub version: String,
    /// Its name, such as `containerd`.
    #[prost(string, tag = "2")]
    pub runtime_name: String,
    /// Its version.
    #[prost(string, tag = "3")]
    pub runtime_version: String,
    /// Version of the interface, such as `v1`.
    #[prost(string, tag = "4")]
    pub runtime_api_version: String,
}

/// Asks whether the runtime is well, and what it can do.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StatusRequest {
    /// Asks for `info` too.
    #[prost(bool, tag = "1")]
    pub verbose: bool,
}

/// One thing that must be well.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RuntimeCondition {
    /// `RuntimeReady` or `NetworkReady`; others may come.
    #[prost(string, tag = "1")]
    pub r#type: String,
    /// It is well.
    #[prost(bool, tag = "2")]
    pub status: bool,
    /// One word on why it is not.
    #[prost(string, tag = "3")]
    pub reason: String,
    /// A sentence for people.
    #[prost(string, tag = "4")]
    pub message: String,
}

/// What must be well.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RuntimeStatus {
    /// One by one.
    #[prost(message, repeated, tag = "1")]
    pub conditions: Vec<RuntimeCondition>,
}

/// What a handler can do.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RuntimeHandlerFeatures {
    /// Mounts that are read-only with all below them.
    #[prost(bool, tag = "1")]
    pub recursive_read_only_mounts: bool,
    /// User namespaces, with id-mapped mounts.
    #[prost(bool, tag = "2")]
    pub user_namespaces: bool,
}

/// A handler of runtime classes.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RuntimeHandler {
    /// Its name; "" is the default one.
    #[prost(string, tag = "1")]
    pub name: String,
    /// What it can do.
    #[prost(message, optional, tag = "2")]
    pub features: Option<RuntimeHandlerFeatures>,
}

/// What the runtime can do with any handler.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RuntimeFeatures {
    /// The policy of supplementary groups.
    #[prost(bool, tag = "1")]
    pub supplemental_groups_policy: bool,
    /// User namespaces with the host's network.
    #[prost(bool, tag = "2")]
    pub user_namespaces_host_network: bool,
}

/// Whether the runtime is well, and what it can do.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StatusResponse {
    /// What must be well.
    #[prost(message, optional, tag = "1")]
    pub status: Option<RuntimeStatus>,
    /// What else the runtime says, by key, in JSON.
    #[prost(btree_map = "string, string", tag = "2")]
    pub info: BTreeMap<String, String>,
    /// Handlers; none from older runtimes.
    #[prost(message, repeated, tag = "3")]
    pub runtime_handlers: Vec<RuntimeHandler>,
    /// What it can do with any handler; nothing from older runtimes.
    #[prost(message, optional, tag = "4")]
    pub features: Option<RuntimeFeatures>,
}

/// Asks how the runtime is set up. Not known to containerd before 2.0.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RuntimeConfigRequest {}

/// How cgroups are made and named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum CgroupDriver {
    /// By systemd: `parent.slice`.
    Systemd = 0,
    /// By folders: `/parent`.
    Cgroupfs = 1,
}

/// The Linux part of a setup.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LinuxRuntimeConfiguration {
    /// How cgroups are made.
    #[prost(enumeration = "CgroupDriver", tag = "1")]
    pub cgroup_driver: i32,
}

/// How the runtime is set up.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RuntimeConfigResponse {
    /// The Linux part.
    #[prost(message, optional, tag = "1")]
    pub linux: Option<LinuxRuntimeConfiguration>,
}

/// The network of the node's pods.
#[derive(Clone, PartialEq, prost::Message)]
pub struct NetworkConfig {
    /// Ranges of addresses, with commas between.
    #[prost(string, tag = "1")]
    pub pod_cidr: String,
}

/// What the runtime is told of the node.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RuntimeConfig {
    /// The network of its pods.
    #[prost(message, optional, tag = "1")]
    pub network_config: Option<NetworkConfig>,
}

/// Tells the runtime of the node.
#[derive(Clone, PartialEq, prost::Message)]
pub struct UpdateRuntimeConfigRequest {
    /// What it is told.
    #[prost(message, optional, tag = "1")]
    pub runtime_config: Option<RuntimeConfig>,
}

/// The runtime was told.
#[derive(Clone, PartialEq, prost::Message)]
pub struct UpdateRuntimeConfigResponse {}
