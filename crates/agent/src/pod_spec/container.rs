//! Containers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::probe::{ExecAction, HttpAction, TcpAction};
use super::{Amount, LocalObject, Probe, SecurityContext};

/// A container.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Container {
    /// Name.
    pub name: String,
    /// The image's reference.
    pub image: String,
    /// `Always`, `IfNotPresent` or `Never`; the API server fills it in.
    pub image_pull_policy: PullPolicy,
    /// Instead of the image's entry point.
    pub command: Vec<String>,
    /// Instead of the image's arguments.
    pub args: Vec<String>,
    /// Where it begins.
    pub working_dir: String,
    /// Ports that it says it has.
    pub ports: Vec<ContainerPort>,
    /// Variables from whole objects.
    pub env_from: Vec<EnvFromSource>,
    /// Variables.
    pub env: Vec<EnvVar>,
    /// What it asks for, and what it may take.
    pub resources: Resources,
    /// Whether it has to be started anew to get more or less.
    pub resize_policy: Vec<ResizePolicy>,
    /// What it sees of the volumes.
    pub volume_mounts: Vec<VolumeMount>,
    /// Devices of volumes.
    pub volume_devices: Vec<serde_json::Value>,
    /// Whether it is to be killed.
    pub liveness_probe: Option<Probe>,
    /// Whether it serves.
    pub readiness_probe: Option<Probe>,
    /// Whether it has come up; the other probes wait for it.
    pub startup_probe: Option<Probe>,
    /// What is done after it has started and before it ends.
    pub lifecycle: Lifecycle,
    /// Where it writes why it ended.
    pub termination_message_path: String,
    /// Whether its log stands in for that.
    pub termination_message_policy: MessagePolicy,
    /// Who it is.
    pub security_context: SecurityContext,
    /// `Always` makes an init container a sidecar.
    pub restart_policy: Option<String>,
    /// Its input is open.
    pub stdin: bool,
    /// Its input is closed after the first who attached.
    pub stdin_once: bool,
    /// It has a terminal.
    pub tty: bool,
}

/// When an image is pulled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum PullPolicy {
    /// Before each start.
    Always,
    /// When it is not there.
    #[default]
    IfNotPresent,
    /// Not at all.
    Never,
}

/// Where the last words of a container come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum MessagePolicy {
    /// From the file alone.
    #[default]
    File,
    /// From the end of its log when it failed and the file is empty.
    FallbackToLogsOnError,
}

/// A port.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ContainerPort {
    /// By which probes may call it.
    pub name: String,
    /// In the container.
    pub container_port: u16,
    /// On the node; 0: on none.
    pub host_port: u16,
    /// The address of the node; empty: all.
    #[serde(rename = "hostIP")]
    pub host_ip: String,
    /// `TCP`, `UDP` or `SCTP`; empty: `TCP`.
    pub protocol: String,
}

/// Variables from all keys of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EnvFromSource {
    /// Before each name.
    pub prefix: String,
    /// A ConfigMap.
    pub config_map_ref: Option<OptionalObject>,
    /// A Secret.
    pub secret_ref: Option<OptionalObject>,
}

/// An object that may be missing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct OptionalObject {
    /// Its name.
    pub name: String,
    /// It may be missing.
    pub optional: bool,
}

/// A variable.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EnvVar {
    /// Name.
    pub name: String,
    /// Value, in which `$(OTHER)` stands for variables before it.
    pub value: String,
    /// Where the value comes from instead.
    pub value_from: Option<EnvVarSource>,
}

/// Where a value comes from: one of these.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EnvVarSource {
    /// A field of the pod.
    pub field_ref: Option<FieldRef>,
    /// An amount of a container.
    pub resource_field_ref: Option<ResourceFieldRef>,
    /// A key of a ConfigMap.
    pub config_map_key_ref: Option<KeyRef>,
    /// A key of a Secret.
    pub secret_key_ref: Option<KeyRef>,
    /// A key of a file in a volume.
    pub file_key_ref: Option<serde_json::Value>,
}

/// A field of the pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct FieldRef {
    /// Such as `metadata.labels['app']`.
    pub field_path: String,
}

/// An amount of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ResourceFieldRef {
    /// Of this container; empty: of the one that asks.
    pub container_name: String,
    /// Such as `limits.cpu`.
    pub resource: String,
    /// In units of this; absent or 0: of 1.
    pub divisor: Option<Amount>,
}

/// A key of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct KeyRef {
    /// The object's name.
    pub name: String,
    /// Its key.
    pub key: String,
    /// The object or the key may be missing.
    pub optional: bool,
}

/// What a container asks for, and what it may take.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Resources {
    /// Asked for.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub requests: BTreeMap<String, Amount>,
    /// At most.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, Amount>,
    /// Devices.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<LocalObject>,
}

/// What it takes to give a container more or less of a resource.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ResizePolicy {
    /// `cpu` or `memory`.
    pub resource_name: String,
    /// `NotRequired` or `RestartContainer`.
    pub restart_policy: String,
}

/// The resources that may change while a container runs.
const COMPUTE: [&str; 2] = ["cpu", "memory"];

impl Resources {
    /// Both are the same for containers that run.
    pub fn same_compute(&self, other: &Resources) -> bool {
        COMPUTE.iter().all(|name| self.same_of(other, name))
    }

    fn same_of(&self, other: &Resources, name: &str) -> bool {
        self.requests.get(name) == other.requests.get(name) && self.limits.get(name) == other.limits.get(name)
    }

    /// What is asked for of a resource; what is only limited is asked for in full.
    pub fn request(&self, resource: &str) -> Option<&Amount> {
        self.requests.get(resource).or_else(|| self.limits.get(resource))
    }
}

/// What a container sees of a volume.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct VolumeMount {
    /// The volume's name.
    pub name: String,
    /// Where it is seen.
    pub mount_path: String,
    /// It cannot be written to.
    pub read_only: bool,
    /// Nor can what is mounted below it.
    pub recursive_read_only: Option<String>,
    /// A part of the volume.
    pub sub_path: String,
    /// The same, in which `$(VAR)` stands for variables of the container.
    pub sub_path_expr: String,
    /// Whether mounts go from the node to the container, and back.
    pub mount_propagation: Option<MountPropagation>,
}

/// How mounts go between node and container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum MountPropagation {
    /// Not at all.
    None,
    /// From the node to the container.
    HostToContainer,
    /// Both ways.
    Bidirectional,
}

/// What is done after a container has started and before it ends.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Lifecycle {
    /// After it has started; until it is done the container is not shown as running.
    pub post_start: Option<LifecycleHandler>,
    /// Before it is told to end.
    pub pre_stop: Option<LifecycleHandler>,
    /// The signal by which it is told to end.
    pub stop_signal: Option<String>,
}

/// What is done: one of these.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LifecycleHandler {
    /// A command in the container.
    pub exec: Option<ExecAction>,
    /// A request.
    pub http_get: Option<HttpAction>,
    /// A connection; kept by the API for old objects, and not carried out.
    pub tcp_socket: Option<TcpAction>,
    /// A pause.
    pub sleep: Option<SleepAction>,
}

/// A pause.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct SleepAction {
    /// Its length in seconds.
    pub seconds: i64,
}

impl Container {
    /// Whether the container has to be started anew to have these resources instead of those.
    pub fn restarts_to_get(&self, to: &Resources, from: &Resources) -> bool {
        let restarts = self.resize_policy.iter().filter(|one| one.restart_policy == "RestartContainer");
        restarts.into_iter().any(|one| !to.same_of(from, &one.resource_name))
    }

    /// It runs beside the others, though it stands among those that run before them.
    pub fn is_sidecar(&self) -> bool {
        self.restart_policy.as_deref() == Some("Always")
    }
}
