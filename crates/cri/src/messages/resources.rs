//! What a container gets of the machine: shares and limits, mounts, devices.

use std::collections::BTreeMap;

use super::common::{IdMapping, ImageSpec};

/// Shares and limits. Zero leaves a limit to the runtime.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LinuxContainerResources {
    /// Period of the CPU quota, in microseconds.
    #[prost(int64, tag = "1")]
    pub cpu_period: i64,
    /// CPU time per period, in microseconds; -1 is no limit.
    #[prost(int64, tag = "2")]
    pub cpu_quota: i64,
    /// Weight against others when CPU is short; 1024 is one CPU's worth of requests.
    #[prost(int64, tag = "3")]
    pub cpu_shares: i64,
    /// Memory limit in bytes.
    #[prost(int64, tag = "4")]
    pub memory_limit_in_bytes: i64,
    /// How early the kernel kills it when memory is short, from -1000 (never) to 1000 (first).
    #[prost(int64, tag = "5")]
    pub oom_score_adj: i64,
    /// CPUs that it may use, such as `0-2,7`; "" is all.
    #[prost(string, tag = "6")]
    pub cpuset_cpus: String,
    /// Memory nodes that it may use; "" is all.
    #[prost(string, tag = "7")]
    pub cpuset_mems: String,
    /// Limits of huge pages.
    #[prost(message, repeated, tag = "8")]
    pub hugepage_limits: Vec<HugepageLimit>,
    /// Files of cgroup v2 to write, with their values.
    #[prost(btree_map = "string, string", tag = "9")]
    pub unified: BTreeMap<String, String>,
    /// Limit of memory and swap together, in bytes.
    #[prost(int64, tag = "10")]
    pub memory_swap_limit_in_bytes: i64,
}

/// A limit of huge pages of one size.
#[derive(Clone, PartialEq, prost::Message)]
pub struct HugepageLimit {
    /// The size as the kernel spells it, such as `2MB`.
    #[prost(string, tag = "1")]
    pub page_size: String,
    /// Limit in bytes.
    #[prost(uint64, tag = "2")]
    pub limit: u64,
}

/// Which mounts that are made later are seen on the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum MountPropagation {
    /// None, as in Kubernetes' `None`.
    Private = 0,
    /// The host's are seen in the container.
    HostToContainer = 1,
    /// Both sides see the other's.
    Bidirectional = 2,
}

/// Something of the host, or of an image, in a container.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Mount {
    /// Where it is in the container.
    #[prost(string, tag = "1")]
    pub container_path: String,
    /// The file or folder on the host; symbolic links are followed by the runtime.
    #[prost(string, tag = "2")]
    pub host_path: String,
    /// The container cannot write to it.
    #[prost(bool, tag = "3")]
    pub readonly: bool,
    /// The runtime labels the files so that SELinux lets the container in.
    #[prost(bool, tag = "4")]
    pub selinux_relabel: bool,
    /// Which later mounts are seen on the other side.
    #[prost(enumeration = "MountPropagation", tag = "5")]
    pub propagation: i32,
    /// User ids of an id-mapped mount.
    #[prost(message, repeated, tag = "6")]
    pub uid_mappings: Vec<IdMapping>,
    /// Group ids of an id-mapped mount.
    #[prost(message, repeated, tag = "7")]
    pub gid_mappings: Vec<IdMapping>,
    /// Mounts below it are read-only too; needs `readonly` and no propagation. Not known to containerd before
    /// 2.0.
    #[prost(bool, tag = "8")]
    pub recursive_read_only: bool,
    /// The image whose files are mounted instead of a host path. Not known to containerd before 2.1.
    #[prost(message, optional, tag = "9")]
    pub image: Option<ImageSpec>,
    /// The folder within the image.
    #[prost(string, tag = "10")]
    pub image_sub_path: String,
}

/// A device of the host in a container.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Device {
    /// Where it is in the container.
    #[prost(string, tag = "1")]
    pub container_path: String,
    /// The device on the host.
    #[prost(string, tag = "2")]
    pub host_path: String,
    /// What is allowed, of `rwm`: read, write, make nodes.
    #[prost(string, tag = "3")]
    pub permissions: String,
}

/// A device by the Container Device Interface.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CdiDevice {
    /// Its full name, such as `vendor.com/class=device`.
    #[prost(string, tag = "1")]
    pub name: String,
}
