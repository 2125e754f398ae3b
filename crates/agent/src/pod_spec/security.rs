//! Who containers are and what they may.

use serde::Deserialize;

/// Who the containers of a pod are, where they do not say themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodSecurityContext {
    /// User.
    pub run_as_user: Option<i64>,
    /// Group.
    pub run_as_group: Option<i64>,
    /// It must not be root.
    pub run_as_non_root: Option<bool>,
    /// More groups.
    pub supplemental_groups: Vec<i64>,
    /// `Merge` with those of the image, or `Strict`.
    pub supplemental_groups_policy: Option<String>,
    /// The group that owns the volumes.
    pub fs_group: Option<i64>,
    /// `Always`, or `OnRootMismatch`: only when the volume's folder is not of the group yet.
    pub fs_group_change_policy: Option<String>,
    /// Which system calls may be made.
    pub seccomp_profile: Option<Profile>,
    /// Which files may be reached.
    pub app_armor_profile: Option<Profile>,
    /// Labels of SELinux.
    pub se_linux_options: Option<SeLinuxOptions>,
    /// Settings of the kernel.
    pub sysctls: Vec<Sysctl>,
}

/// Who a container is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SecurityContext {
    /// User.
    pub run_as_user: Option<i64>,
    /// Group.
    pub run_as_group: Option<i64>,
    /// It must not be root.
    pub run_as_non_root: Option<bool>,
    /// It may do whatever the node's root may.
    pub privileged: Option<bool>,
    /// What of root's powers it has.
    pub capabilities: Option<Capabilities>,
    /// Its image cannot be written to.
    pub read_only_root_filesystem: Option<bool>,
    /// Its processes may get more power than it has.
    pub allow_privilege_escalation: Option<bool>,
    /// `Default` or `Unmasked`.
    pub proc_mount: Option<String>,
    /// Which system calls may be made.
    pub seccomp_profile: Option<Profile>,
    /// Which files may be reached.
    pub app_armor_profile: Option<Profile>,
    /// Labels of SELinux.
    pub se_linux_options: Option<SeLinuxOptions>,
}

/// Powers of root.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Capabilities {
    /// More than the runtime gives.
    pub add: Vec<String>,
    /// Fewer.
    pub drop: Vec<String>,
}

/// A profile of seccomp or AppArmor.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Profile {
    /// `RuntimeDefault`, `Unconfined` or `Localhost`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The file or the name of a profile of the node.
    pub localhost_profile: Option<String>,
}

/// Labels of SELinux.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct SeLinuxOptions {
    /// User.
    pub user: String,
    /// Role.
    pub role: String,
    /// Type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Level.
    pub level: String,
}

/// A setting of the kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Sysctl {
    /// Name.
    pub name: String,
    /// Value.
    pub value: String,
}
