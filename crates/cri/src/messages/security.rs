//! What processes may do, and what they share with the host or with each other.

use super::common::{IdMapping, Int64Value};

/// Who shares a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum NamespaceMode {
    /// The containers of the pod.
    Pod = 0,
    /// Nobody; the container has its own.
    Container = 1,
    /// The host.
    Node = 2,
    /// Another container, named by its id.
    Target = 3,
}

/// The user namespace of a pod.
#[derive(Clone, PartialEq, prost::Message)]
pub struct UserNamespace {
    /// `Pod` for one of its own, `Node` for the host's.
    #[prost(enumeration = "NamespaceMode", tag = "1")]
    pub mode: i32,
    /// User ids; one range with `Pod`, none with `Node`.
    #[prost(message, repeated, tag = "2")]
    pub uids: Vec<IdMapping>,
    /// Group ids, equal to the user ids.
    #[prost(message, repeated, tag = "3")]
    pub gids: Vec<IdMapping>,
}

/// Who shares which namespace.
#[derive(Clone, PartialEq, prost::Message)]
pub struct NamespaceOption {
    /// Network; `Container` is not possible.
    #[prost(enumeration = "NamespaceMode", tag = "1")]
    pub network: i32,
    /// Process ids; kubelets set `Container` unless the pod shares them.
    #[prost(enumeration = "NamespaceMode", tag = "2")]
    pub pid: i32,
    /// System V IPC and POSIX queues; `Container` is not possible.
    #[prost(enumeration = "NamespaceMode", tag = "3")]
    pub ipc: i32,
    /// The container to join with `Target`.
    #[prost(string, tag = "4")]
    pub target_id: String,
    /// User namespace; without, the host's. Runtimes that do not know the field ignore it: see
    /// [`Feature::UserNamespaces`](crate::Feature).
    #[prost(message, optional, tag = "5")]
    pub userns_options: Option<UserNamespace>,
}

/// Where a process' supplementary groups come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum SupplementalGroupsPolicy {
    /// Those that are asked for, and those of the user in the image's `/etc/group`.
    Merge = 0,
    /// Those that are asked for only.
    Strict = 1,
}

/// A label of SELinux.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SeLinuxOption {
    /// User.
    #[prost(string, tag = "1")]
    pub user: String,
    /// Role.
    #[prost(string, tag = "2")]
    pub role: String,
    /// Type.
    #[prost(string, tag = "3")]
    pub r#type: String,
    /// Level.
    #[prost(string, tag = "4")]
    pub level: String,
}

/// Where a profile comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum ProfileType {
    /// The runtime's own.
    RuntimeDefault = 0,
    /// There is none.
    Unconfined = 1,
    /// A file or loaded profile of the host.
    Localhost = 2,
}

/// A profile of seccomp or AppArmor.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SecurityProfile {
    /// Where it comes from.
    #[prost(enumeration = "ProfileType", tag = "1")]
    pub profile_type: i32,
    /// The file (seccomp, absolute) or name (AppArmor) with `Localhost`, else "".
    #[prost(string, tag = "2")]
    pub localhost_ref: String,
}

/// Differences to the runtime's default capabilities, by names without `CAP_`; `ALL` is all.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Capability {
    /// Given.
    #[prost(string, repeated, tag = "1")]
    pub add_capabilities: Vec<String>,
    /// Taken away.
    #[prost(string, repeated, tag = "2")]
    pub drop_capabilities: Vec<String>,
    /// Given as ambient ones, which survive an exec by another user.
    #[prost(string, repeated, tag = "3")]
    pub add_ambient_capabilities: Vec<String>,
}

/// What the sandbox's own process may do, and what the pod shares.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LinuxSandboxSecurityContext {
    /// Who shares which namespace.
    #[prost(message, optional, tag = "1")]
    pub namespace_options: Option<NamespaceOption>,
    /// Label.
    #[prost(message, optional, tag = "2")]
    pub selinux_options: Option<SeLinuxOption>,
    /// User id of the sandbox's process.
    #[prost(message, optional, tag = "3")]
    pub run_as_user: Option<Int64Value>,
    /// Group id of it; only with a user id.
    #[prost(message, optional, tag = "8")]
    pub run_as_group: Option<Int64Value>,
    /// Its root is read-only.
    #[prost(bool, tag = "4")]
    pub readonly_rootfs: bool,
    /// Further group ids.
    #[prost(int64, repeated, tag = "5")]
    pub supplemental_groups: Vec<i64>,
    /// Whether the image adds groups.
    #[prost(enumeration = "SupplementalGroupsPolicy", tag = "11")]
    pub supplemental_groups_policy: i32,
    /// Some container of the pod will be privileged.
    #[prost(bool, tag = "6")]
    pub privileged: bool,
    /// Seccomp profile.
    #[prost(message, optional, tag = "9")]
    pub seccomp: Option<SecurityProfile>,
    /// AppArmor profile.
    #[prost(message, optional, tag = "10")]
    pub apparmor: Option<SecurityProfile>,
}

/// What a container's processes may do.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LinuxContainerSecurityContext {
    /// Differences to the default capabilities; not with `privileged`.
    #[prost(message, optional, tag = "1")]
    pub capabilities: Option<Capability>,
    /// All capabilities and devices, no profiles, no masked paths.
    #[prost(bool, tag = "2")]
    pub privileged: bool,
    /// Who shares which namespace: what the sandbox was told has to be told again; without, process ids are shared.
    #[prost(message, optional, tag = "3")]
    pub namespace_options: Option<NamespaceOption>,
    /// Label.
    #[prost(message, optional, tag = "4")]
    pub selinux_options: Option<SeLinuxOption>,
    /// User id; not together with `run_as_username`.
    #[prost(message, optional, tag = "5")]
    pub run_as_user: Option<Int64Value>,
    /// Group id; only with a user.
    #[prost(message, optional, tag = "12")]
    pub run_as_group: Option<Int64Value>,
    /// User of the image's `/etc/passwd`.
    #[prost(string, tag = "6")]
    pub run_as_username: String,
    /// Its root is read-only.
    #[prost(bool, tag = "7")]
    pub readonly_rootfs: bool,
    /// Further group ids.
    #[prost(int64, repeated, tag = "8")]
    pub supplemental_groups: Vec<i64>,
    /// Whether the image adds groups.
    #[prost(enumeration = "SupplementalGroupsPolicy", tag = "17")]
    pub supplemental_groups_policy: i32,
    /// No program gains rights by being executed.
    #[prost(bool, tag = "11")]
    pub no_new_privs: bool,
    /// Paths that are hidden; the agent says which, the runtime has no default.
    #[prost(string, repeated, tag = "13")]
    pub masked_paths: Vec<String>,
    /// Paths that are read-only; the agent says which, the runtime has no default.
    #[prost(string, repeated, tag = "14")]
    pub readonly_paths: Vec<String>,
    /// Seccomp profile; without, there is none.
    #[prost(message, optional, tag = "15")]
    pub seccomp: Option<SecurityProfile>,
    /// AppArmor profile; without, the runtime's own where AppArmor is on.
    #[prost(message, optional, tag = "16")]
    pub apparmor: Option<SecurityProfile>,
}
