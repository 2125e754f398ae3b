//! Containers within sandboxes.

use std::collections::BTreeMap;

use super::common::{ImageSpec, KeyValue};
use super::resources::{CdiDevice, Device, LinuxContainerResources, Mount};
use super::sandbox::PodSandboxConfig;
use super::security::LinuxContainerSecurityContext;

/// Which container of its sandbox it is. No two there have both the same.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ContainerMetadata {
    /// Name in the pod.
    #[prost(string, tag = "1")]
    pub name: String,
    /// 0 for the first one, one more for each that replaces it.
    #[prost(uint32, tag = "2")]
    pub attempt: u32,
}

/// The Linux part of a container.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LinuxContainerConfig {
    /// Shares and limits.
    #[prost(message, optional, tag = "1")]
    pub resources: Option<LinuxContainerResources>,
    /// Rights.
    #[prost(message, optional, tag = "2")]
    pub security_context: Option<LinuxContainerSecurityContext>,
}

/// A signal, by the number that the Container Runtime Interface gives it; the kernel's is another.
#[allow(missing_docs, reason = "their names are those of signal(7)")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Signal {
    RuntimeDefault = 0,
    Sigabrt = 1,
    Sigalrm = 2,
    Sigbus = 3,
    Sigchld = 4,
    Sigcld = 5,
    Sigcont = 6,
    Sigfpe = 7,
    Sighup = 8,
    Sigill = 9,
    Sigint = 10,
    Sigio = 11,
    Sigiot = 12,
    Sigkill = 13,
    Sigpipe = 14,
    Sigpoll = 15,
    Sigprof = 16,
    Sigpwr = 17,
    Sigquit = 18,
    Sigsegv = 19,
    Sigstkflt = 20,
    Sigstop = 21,
    Sigsys = 22,
    Sigterm = 23,
    Sigtrap = 24,
    Sigtstp = 25,
    Sigttin = 26,
    Sigttou = 27,
    Sigurg = 28,
    Sigusr1 = 29,
    Sigusr2 = 30,
    Sigvtalrm = 31,
    Sigwinch = 32,
    Sigxcpu = 33,
    Sigxfsz = 34,
    Sigrtmin = 35,
    SigrtminPlus1 = 36,
    SigrtminPlus2 = 37,
    SigrtminPlus3 = 38,
    SigrtminPlus4 = 39,
    SigrtminPlus5 = 40,
    SigrtminPlus6 = 41,
    SigrtminPlus7 = 42,
    SigrtminPlus8 = 43,
    SigrtminPlus9 = 44,
    SigrtminPlus10 = 45,
    SigrtminPlus11 = 46,
    SigrtminPlus12 = 47,
    SigrtminPlus13 = 48,
    SigrtminPlus14 = 49,
    SigrtminPlus15 = 50,
    SigrtmaxMinus14 = 51,
    SigrtmaxMinus13 = 52,
    SigrtmaxMinus12 = 53,
    SigrtmaxMinus11 = 54,
    SigrtmaxMinus10 = 55,
    SigrtmaxMinus9 = 56,
    SigrtmaxMinus8 = 57,
    SigrtmaxMinus7 = 58,
    SigrtmaxMinus6 = 59,
    SigrtmaxMinus5 = 60,
    SigrtmaxMinus4 = 61,
    SigrtmaxMinus3 = 62,
    SigrtmaxMinus2 = 63,
    SigrtmaxMinus1 = 64,
    Sigrtmax = 65,
}

/// How a container is made.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ContainerConfig {
    /// Which one it is.
    #[prost(message, optional, tag = "1")]
    pub metadata: Option<ContainerMetadata>,
    /// The image, by the id that `PullImage` or `ImageStatus` told.
    #[prost(message, optional, tag = "2")]
    pub image: Option<ImageSpec>,
    /// Program; without, the image's entry point.
    #[prost(string, repeated, tag = "3")]
    pub command: Vec<String>,
    /// Arguments; without these and `command`, the image's.
    #[prost(string, repeated, tag = "4")]
    pub args: Vec<String>,
    /// Folder in which it is started; "" is the image's.
    #[prost(string, tag = "5")]
    pub working_dir: String,
    /// Environment variables, beside the image's.
    #[prost(message, repeated, tag = "6")]
    pub envs: Vec<KeyValue>,
    /// What is mounted.
    #[prost(message, repeated, tag = "7")]
    pub mounts: Vec<Mount>,
    /// Devices.
    #[prost(message, repeated, tag = "8")]
    pub devices: Vec<Device>,
    /// To find it by.
    #[prost(btree_map = "string, string", tag = "9")]
    pub labels: BTreeMap<String, String>,
    /// What else the runtime is told; kept as they are.
    #[prost(btree_map = "string, string", tag = "10")]
    pub annotations: BTreeMap<String, String>,
    /// Log file within the sandbox's log folder.
    #[prost(string, tag = "11")]
    pub log_path: String,
    /// Its standard input stays open.
    #[prost(bool, tag = "12")]
    pub stdin: bool,
    /// Its standard input is closed when the first who attached leaves.
    #[prost(bool, tag = "13")]
    pub stdin_once: bool,
    /// It has a terminal.
    #[prost(bool, tag = "14")]
    pub tty: bool,
    /// The Linux part.
    #[prost(message, optional, tag = "15")]
    pub linux: Option<LinuxContainerConfig>,
    /// Devices by the Container Device Interface.
    #[prost(message, repeated, tag = "17")]
    pub cdi_devices: Vec<CdiDevice>,
    /// What it is asked to stop with. Runtimes that do not know the field ignore it: see
    /// [`Feature::StopSignal`](crate::Feature).
    #[prost(enumeration = "Signal", tag = "18")]
    pub stop_signal: i32,
}

/// Makes a container in a sandbox that is ready. It does not run yet.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CreateContainerRequest {
    /// Which sandbox.
    #[prost(string, tag = "1")]
    pub pod_sandbox_id: String,
    /// How.
    #[prost(message, optional, tag = "2")]
    pub config: Option<ContainerConfig>,
    /// How the sandbox was made.
    #[prost(message, optional, tag = "3")]
    pub sandbox_config: Option<PodSandboxConfig>,
}

/// A container was made.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CreateContainerResponse {
    /// Its id.
    #[prost(string, tag = "1")]
    pub container_id: String,
}

/// Starts a container.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StartContainerRequest {
    /// Which one.
    #[prost(string, tag = "1")]
    pub container_id: String,
}

/// A container was started.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StartContainerResponse {}

/// Asks a container to stop, and kills it when its time is over. Nothing happens when it does not
/// run; of one that is not there containerd 1.6 says so.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StopContainerRequest {
    /// Which one.
    #[prost(string, tag = "1")]
    pub container_id: String,
    /// Seconds until it is killed; 0 kills at once. The answer comes when it has stopped, so the call's
    /// deadline must be longer.
    #[prost(int64, tag = "2")]
    pub timeout: i64,
}

/// A container has stopped.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StopContainerResponse {}

/// Removes a container, a running one too. Nothing happens when it is not there.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RemoveContainerRequest {
    /// Which one.
    #[prost(string, tag = "1")]
    pub container_id: String,
}

/// A container is gone.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RemoveContainerResponse {}

/// What became of a container so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum ContainerState {
    /// It was made and not started.
    Created = 0,
    /// It runs.
    Running = 1,
    /// It ran and has stopped.
    Exited = 2,
    /// The runtime does not know.
    Unknown = 3,
}

/// A state that may be missing.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ContainerStateValue {
    /// The state.
    #[prost(enumeration = "ContainerState", tag = "1")]
    pub state: i32,
}

/// Which containers are listed: those of which all parts are true.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ContainerFilter {
    /// Id, or a beginning of it that no other has; "" is any.
    #[prost(string, tag = "1")]
    pub id: String,
    /// State.
    #[prost(message, optional, tag = "2")]
    pub state: Option<ContainerStateValue>,
    /// Sandbox; "" is any.
    #[prost(string, tag = "3")]
    pub pod_sandbox_id: String,
    /// Labels with their values.
    #[prost(btree_map = "string, string", tag = "4")]
    pub label_selector: BTreeMap<String, String>,
}

/// Asks for containers.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ListContainersRequest {
    /// Which ones; without, all.
    #[prost(message, optional, tag = "1")]
    pub filter: Option<ContainerFilter>,
}

/// A container in a list.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Container {
    /// Its id.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Its sandbox.
    #[prost(string, tag = "2")]
    pub pod_sandbox_id: String,
    /// Which one it is.
    #[prost(message, optional, tag = "3")]
    pub metadata: Option<ContainerMetadata>,
    /// Its image as it was asked for.
    #[prost(message, optional, tag = "4")]
    pub image: Option<ImageSpec>,
    /// Its image as the runtime names it, usually by digest.
    #[prost(string, tag = "5")]
    pub image_ref: String,
    /// What became of it.
    #[prost(enumeration = "ContainerState", tag = "6")]
    pub state: i32,
    /// Nanoseconds since 1970.
    #[prost(int64, tag = "7")]
    pub created_at: i64,
    /// As it was made.
    #[prost(btree_map = "string, string", tag = "8")]
    pub labels: BTreeMap<String, String>,
    /// As it was made.
    #[prost(btree_map = "string, string", tag = "9")]
    pub annotations: BTreeMap<String, String>,
    /// The runtime's id of its image; "" from older ones.
    #[prost(string, tag = "10")]
    pub image_id: String,
}

/// Containers.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ListContainersResponse {
    /// The containers.
    #[prost(message, repeated, tag = "1")]
    pub containers: Vec<Container>,
}

/// Asks how a container is.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ContainerStatusRequest {
    /// Which one.
    #[prost(string, tag = "1")]
    pub container_id: String,
    /// Asks for `info` too.
    #[prost(bool, tag = "2")]
    pub verbose: bool,
}

/// Whom the first process was started as.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LinuxContainerUser {
    /// User id.
    #[prost(int64, tag = "1")]
    pub uid: i64,
    /// Group id.
    #[prost(int64, tag = "2")]
    pub gid: i64,
    /// Further group ids.
    #[prost(int64, repeated, tag = "3")]
    pub supplemental_groups: Vec<i64>,
}

/// Whom the first process was started as.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ContainerUser {
    /// The Linux part.
    #[prost(message, optional, tag = "1")]
    pub linux: Option<LinuxContainerUser>,
}

/// Shares and limits that are in force.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ContainerResources {
    /// The Linux part.
    #[prost(message, optional, tag = "1")]
    pub linux: Option<LinuxContainerResources>,
}

/// How a container is.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ContainerStatus {
    /// Its id.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Which one it is.
    #[prost(message, optional, tag = "2")]
    pub metadata: Option<ContainerMetadata>,
    /// What became of it.
    #[prost(enumeration = "ContainerState", tag = "3")]
    pub state: i32,
    /// Nanoseconds since 1970.
    #[prost(int64, tag = "4")]
    pub created_at: i64,
    /// Nanoseconds since 1970; 0 before that.
    #[prost(int64, tag = "5")]
    pub started_at: i64,
    /// Nanoseconds since 1970; 0 before that.
    #[prost(int64, tag = "6")]
    pub finished_at: i64,
    /// Exit code, or 128 and the number of the signal that ended it; only when it has stopped.
    #[prost(int32, tag = "7")]
    pub exit_code: i32,
    /// Its image as it was asked for.
    #[prost(message, optional, tag = "8")]
    pub image: Option<ImageSpec>,
    /// Its image as the runtime names it, usually by digest.
    #[prost(string, tag = "9")]
    pub image_ref: String,
    /// One word about its end, such as `Completed`, `Error`, `OOMKilled`.
    #[prost(string, tag = "10")]
    pub reason: String,
    /// A sentence about its end, for people.
    #[prost(string, tag = "11")]
    pub message: String,
    /// As it was made.
    #[prost(btree_map = "string, string", tag = "12")]
    pub labels: BTreeMap<String, String>,
    /// As it was made.
    #[prost(btree_map = "string, string", tag = "13")]
    pub annotations: BTreeMap<String, String>,
    /// What is mounted.
    #[prost(message, repeated, tag = "14")]
    pub mounts: Vec<Mount>,
    /// Its log file, as a path of the host.
    #[prost(string, tag = "15")]
    pub log_path: String,
    /// Shares and limits in force; nothing from older runtimes.
    #[prost(message, optional, tag = "16")]
    pub resources: Option<ContainerResources>,
    /// The runtime's id of its image; "" from older ones.
    #[prost(string, tag = "17")]
    pub image_id: String,
    /// Whom it was started as; nothing from older runtimes.
    #[prost(message, optional, tag = "18")]
    pub user: Option<ContainerUser>,
    /// What it is asked to stop with; from newer runtimes.
    #[prost(enumeration = "Signal", tag = "19")]
    pub stop_signal: i32,
}

/// How a container is.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ContainerStatusResponse {
    /// Its status.
    #[prost(message, optional, tag = "1")]
    pub status: Option<ContainerStatus>,
    /// What else the runtime says, by key, in JSON.
    #[prost(btree_map = "string, string", tag = "2")]
    pub info: BTreeMap<String, String>,
}

/// Changes shares and limits of a container.
#[derive(Clone, PartialEq, prost::Message)]
pub struct UpdateContainerResourcesRequest {
    /// Which one.
    #[prost(string, tag = "1")]
    pub container_id: String,
    /// The new ones.
    #[prost(message, optional, tag = "2")]
    pub linux: Option<LinuxContainerResources>,
    /// What else the runtime is told.
    #[prost(btree_map = "string, string", tag = "4")]
    pub annotations: BTreeMap<String, String>,
}

/// Shares and limits are changed.
#[derive(Clone, PartialEq, prost::Message)]
pub struct UpdateContainerResourcesResponse {}

/// Has the runtime open the log file anew, after the old one was moved away.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ReopenContainerLogRequest {
    /// Which container, a running one.
    #[prost(string, tag = "1")]
    pub container_id: String,
}

/// The log file was opened.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ReopenContainerLogResponse {}

/// Runs a program in a container and waits for its end.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ExecSyncRequest {
    /// Which container.
    #[prost(string, tag = "1")]
    pub container_id: String,
    /// Program and arguments; no shell is added.
    #[prost(string, repeated, tag = "2")]
    pub cmd: Vec<String>,
    /// Seconds until the program is killed; 0 is never.
    #[prost(int64, tag = "3")]
    pub timeout: i64,
}

/// How a program ended, and what it wrote; runtimes cut that at 16 MiB.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ExecSyncResponse {
    /// Standard output.
    #[prost(bytes = "vec", tag = "1")]
    pub stdout: Vec<u8>,
    /// Standard error.
    #[prost(bytes = "vec", tag = "2")]
    pub stderr: Vec<u8>,
    /// Its exit code.
    #[prost(int32, tag = "3")]
    pub exit_code: i32,
}

/// Asks for a stream to a program that is run in a container.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ExecRequest {
    /// Which container.
    #[prost(string, tag = "1")]
    pub container_id: String,
    /// Program and arguments.
    #[prost(string, repeated, tag = "2")]
    pub cmd: Vec<String>,
    /// With a terminal.
    #[prost(bool, tag = "3")]
    pub tty: bool,
    /// With standard input.
    #[prost(bool, tag = "4")]
    pub stdin: bool,
    /// With standard output.
    #[prost(bool, tag = "5")]
    pub stdout: bool,
    /// With standard error; not together with `tty`.
    #[prost(bool, tag = "6")]
    pub stderr: bool,
}

/// Where the stream is.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ExecResponse {
    /// Its address; it can be used once, and soon.
    #[prost(string, tag = "1")]
    pub url: String,
}

/// Asks for a stream to a container's own process.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AttachRequest {
    /// Which container.
    #[prost(string, tag = "1")]
    pub container_id: String,
    /// With standard input.
    #[prost(bool, tag = "2")]
    pub stdin: bool,
    /// The container has a terminal.
    #[prost(bool, tag = "3")]
    pub tty: bool,
    /// With standard output.
    #[prost(bool, tag = "4")]
    pub stdout: bool,
    /// With standard error; not together with `tty`.
    #[prost(bool, tag = "5")]
    pub stderr: bool,
}

/// Where the stream is.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AttachResponse {
    /// Its address; it can be used once, and soon.
    #[prost(string, tag = "1")]
    pub url: String,
}
