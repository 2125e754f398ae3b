//! A pod as its node reads it: all that an agent has to carry out, or has to refuse.
//!
//! What the API server has validated is read leniently: an absent field is its default. What no agent can do without
//! being told (`hostUsers: false`, volumes of plugins) is found by [`Pod::refused`] and said by its name.

mod container;
mod probe;
mod refused;
mod security;
mod volume;

use std::collections::BTreeMap;
use std::sync::Arc;

use everynode_model::Value;
use everynode_model::pod_resources::{ResourceList, Side, with_overhead};
use serde::{Deserialize, Serialize};
use serde_json::json;

pub use container::{
    Container, ContainerPort, EnvFromSource, EnvVar, EnvVarSource, FieldRef, KeyRef, Lifecycle,
    LifecycleHandler, MessagePolicy, MountPropagation, OptionalObject, PullPolicy, ResizePolicy,
    ResourceFieldRef, Resources, SleepAction, VolumeMount,
};
pub use probe::{ExecAction, GrpcAction, HttpAction, HttpHeader, PortName, Probe, TcpAction};
pub use refused::Refused;
pub use security::{Capabilities, PodSecurityContext, Profile, SeLinuxOptions, SecurityContext, Sysctl};
pub use volume::{
    ConfigMapSource, DownwardFile, DownwardSource, EmptyDir, HostPath, KeyToPath, Projected, ProjectedSource,
    SecretSource, TokenSource, Volume, VolumeSource,
};

/// A Pod.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Pod {
    /// Who it is.
    pub metadata: Metadata,
    /// What is wanted of it.
    pub spec: PodSpec,
    /// What was last written of how it is.
    pub status: ShownStatus,
    /// The object that its node's file says, where it comes from one.
    #[serde(skip)]
    pub file: Option<Arc<serde_json::Value>>,
}

/// Who a pod is.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Metadata {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Never used twice.
    pub uid: String,
    /// Counts changes of the spec.
    pub generation: i64,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// When it was made (RFC 3339).
    pub creation_timestamp: Option<String>,
    /// When it is to be gone at the latest (RFC 3339); set once somebody has asked for that.
    pub deletion_timestamp: Option<String>,
    /// How long its containers may take to end, in seconds, from when its deletion was asked for.
    pub deletion_grace_period_seconds: Option<i64>,
}

/// What is wanted of a pod.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodSpec {
    /// The node that it is bound to.
    pub node_name: String,
    /// Containers.
    pub containers: Vec<Container>,
    /// Containers that run before those; those that are always restarted run beside them (sidecars).
    pub init_containers: Vec<Container>,
    /// Containers that were put into a pod that runs.
    pub ephemeral_containers: Vec<serde_json::Value>,
    /// Volumes.
    pub volumes: Vec<Volume>,
    /// Whether its containers are started again.
    pub restart_policy: RestartPolicy,
    /// How long containers may take to end, in seconds.
    pub termination_grace_period_seconds: Option<i64>,
    /// How long the pod may be active, in seconds.
    pub active_deadline_seconds: Option<i64>,
    /// Where names are looked up.
    pub dns_policy: String,
    /// More about where names are looked up.
    pub dns_config: DnsConfig,
    /// The ServiceAccount.
    pub service_account_name: String,
    /// Whether variables say where Services are. Absent: yes.
    pub enable_service_links: Option<bool>,
    /// It uses the node's network.
    pub host_network: bool,
    /// It sees the node's processes.
    #[serde(rename = "hostPID")]
    pub host_pid: bool,
    /// It shares the node's inter-process communication.
    #[serde(rename = "hostIPC")]
    pub host_ipc: bool,
    /// False: its users are not those of the node.
    pub host_users: Option<bool>,
    /// Its containers see each other's processes.
    pub share_process_namespace: Option<bool>,
    /// Its name as a host.
    pub hostname: String,
    /// Its domain.
    pub subdomain: String,
    /// Its hostname is its full name.
    #[serde(rename = "setHostnameAsFQDN")]
    pub set_hostname_as_fqdn: Option<bool>,
    /// Lines of its hosts file.
    pub host_aliases: Vec<HostAlias>,
    /// Secrets with the credentials of registries.
    pub image_pull_secrets: Vec<LocalObject>,
    /// Who the containers are, where they do not say themselves.
    pub security_context: PodSecurityContext,
    /// The kind of runtime.
    pub runtime_class_name: Option<String>,
    /// What has to be true beside ready containers for the pod to be ready.
    pub readiness_gates: Vec<ReadinessGate>,
    /// Its place among others when the node runs short.
    pub priority: i32,
    /// The class of that.
    pub priority_class_name: String,
    /// Taints of nodes that it tolerates.
    pub tolerations: Vec<serde_json::Value>,
    /// What it takes beside its containers.
    pub overhead: BTreeMap<String, Amount>,
    /// What it asks for as a whole.
    pub resources: Option<Resources>,
    /// Devices that it asks for.
    pub resource_claims: Vec<serde_json::Value>,
    /// The operating system that it is for.
    pub os: Option<LocalObject>,
}

/// What was last written of how a pod is: what an agent that starts anew goes on from.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ShownStatus {
    /// Phase.
    pub phase: String,
    /// How it is treated when the node runs short.
    pub qos_class: String,
    /// Why it is over.
    pub reason: String,
    /// A sentence about it.
    pub message: String,
    /// When an agent took the pod (RFC 3339).
    pub start_time: Option<String>,
    /// Conditions, ours and others'.
    pub conditions: Vec<ShownCondition>,
    /// Containers.
    pub container_statuses: Vec<ShownContainer>,
    /// Containers that run before those.
    pub init_container_statuses: Vec<ShownContainer>,
}

/// A condition as it was last written.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ShownCondition {
    /// What it is about.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Since when (RFC 3339).
    pub last_transition_time: Option<String>,
}

/// A container as it was last written.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ShownContainer {
    /// Name.
    pub name: String,
    /// The runtime's identifier, with its kind before `://`.
    #[serde(rename = "containerID")]
    pub container_id: String,
    /// It serves.
    pub ready: bool,
    /// Its startup probe has succeeded.
    pub started: Option<bool>,
    /// How often it was started again.
    pub restart_count: u32,
    /// What it has of the machine.
    pub resources: Option<Resources>,
    /// What it does.
    pub state: ShownState,
    /// How it ended before.
    pub last_state: ShownState,
}

/// What a container was last said to do. Nothing of this: it runs.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ShownState {
    /// It waits.
    pub waiting: Option<ShownWaiting>,
    /// It has ended.
    pub terminated: Option<ShownTerminated>,
}

/// A container that waits.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ShownWaiting {
    /// The word for what it waits for.
    pub reason: String,
}

/// A container that has ended.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ShownTerminated {
    /// The runtime's identifier, with its kind before `://`.
    #[serde(rename = "containerID")]
    pub container_id: String,
}

/// Whether containers are started again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum RestartPolicy {
    /// However they ended.
    #[default]
    Always,
    /// When they failed.
    OnFailure,
    /// Not at all.
    Never,
}

/// The name of an object in the pod's namespace, or of anything that has but a name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct LocalObject {
    /// Its name.
    pub name: String,
}

/// A line of the hosts file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct HostAlias {
    /// The address.
    pub ip: String,
    /// Its names.
    pub hostnames: Vec<String>,
}

/// Where names are looked up, beside or instead of the policy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct DnsConfig {
    /// Addresses of name servers.
    pub nameservers: Vec<String>,
    /// Domains that are tried.
    pub searches: Vec<String>,
    /// Options of the resolver.
    pub options: Vec<DnsOption>,
}

/// An option of the resolver.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct DnsOption {
    /// Name.
    pub name: String,
    /// Value, where it has one.
    pub value: Option<String>,
}

/// A condition that somebody else sets, without which the pod is not ready.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ReadinessGate {
    /// The type of the condition.
    pub condition_type: String,
}

/// An amount of a resource, as the API serves it.
pub type Amount = everynode_model::quantity::Quantity;

/// Pods of this priority and above are the cluster's own.
pub const CRITICAL_PRIORITY: i32 = 2_000_000_000;

impl Pod {
    /// Nodes do not go on well without it: it is not ended when the node runs short.
    pub fn is_critical(&self) -> bool {
        self.spec.priority >= CRITICAL_PRIORITY || self.is_static() || self.mirrors().is_some()
    }

    /// Whether another pod has the same name.
    pub fn has_name_of(&self, other: &Pod) -> bool {
        let (own, other) = (&self.metadata, &other.metadata);
        own.namespace == other.namespace && own.name == other.name
    }
}

impl PodSpec {
    /// A container of the pod by its name.
    pub fn container(&self, name: &str) -> Option<&Container> {
        self.init_containers.iter().chain(&self.containers).find(|one| one.name == name)
    }

    /// What the pod asks for as a whole, or may take at most.
    pub fn asks_for(&self, side: Side) -> ResourceList {
        let containers = |list: &[Container]| -> Value {
            let one =
                |one: &Container| json!({ "resources": one.resources, "restartPolicy": one.restart_policy });
            list.iter().map(one).collect()
        };
        let spec = json!({
            "containers": containers(&self.containers),
            "initContainers": containers(&self.init_containers),
            "resources": self.resources,
            "overhead": self.overhead,
        });
        with_overhead(&spec, side)
    }

    /// How long containers may take to end where the deletion does not say.
    pub fn grace_seconds(&self) -> u32 {
        bounded_seconds(self.termination_grace_period_seconds.unwrap_or(30))
    }
}

/// Seconds that came from outside: never below 0, and no longer than the API can mean.
pub(crate) fn bounded_seconds(seconds: i64) -> u32 {
    u32::try_from(seconds.max(0)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
