//! The container runtime: what it is asked to make of pods, and what it has of them.

mod cgroup;
mod configs;
mod listing;
mod names;
mod resources;
mod security;

pub use cgroup::Cgroups;
pub use configs::{ContainerPlan, container_config, hostname, sandbox_config};
pub use listing::{Lister, Listing};
pub use names::Names;
pub use resources::{PodLimits, QosClass, cgroup_of_class, cgroup_parent, container_resources, shares};
pub use security::{ImageUser, UserError};

/// Labels by which pods are found again; the first four are the kubelet's.
pub mod label {
    /// The pod's name.
    pub const POD_NAME: &str = "io.kubernetes.pod.name";
    /// The pod's namespace.
    pub const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
    /// The pod's uid.
    pub const POD_UID: &str = "io.kubernetes.pod.uid";
    /// The container's name.
    pub const CONTAINER_NAME: &str = "io.kubernetes.container.name";
    /// The node whose agent made it: an agent touches nothing else.
    pub const NODE: &str = "everynode.dev/node";
    /// The image as the pod named it; an annotation, since an image's name may be longer than a label's value.
    pub const IMAGE: &str = "everynode.dev/image";
    /// Where a container's last words come from, unless from its file alone; an annotation, and the kubelet's.
    pub const MESSAGE_POLICY: &str = "io.kubernetes.container.terminationMessagePolicy";
    /// The one that takes them from the log of a container that failed.
    pub const FALLBACK_TO_LOGS: &str = "FallbackToLogsOnError";
    /// How long containers may take to end, in seconds; an annotation.
    pub const GRACE_SECONDS: &str = "everynode.dev/grace-seconds";
}
