//! Pods.

use super::{PROXY, READ_WRITE, ROW, status, subresource};
use crate::resource::{Resource, Subresource};

pub(super) const RESOURCES: &[Resource] = &[Resource {
    kind: "Pod",
    plural: "pods",
    singular: "pod",
    short_names: &["po"],
    categories: &["all"],
    subresources: &[
        subresource("attach", "PodAttachOptions", &["create", "get"]),
        subresource("binding", "Binding", &["create"]),
        subresource("ephemeralcontainers", "Pod", READ_WRITE),
        Subresource {
            name: "eviction",
            kind: "Eviction",
            group: "policy",
            version: "v1",
            verbs: &["create"],
        },
        subresource("exec", "PodExecOptions", &["create", "get"]),
        subresource("log", "Pod", &["get"]),
        subresource("portforward", "PodPortForwardOptions", &["create", "get"]),
        subresource("proxy", "PodProxyOptions", PROXY),
        subresource("resize", "Pod", READ_WRITE),
        status("Pod"),
    ],
    type_name: "core.v1.Pod",
    selectable_fields: &[
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.podIPs",
        "status.nominatedNodeName",
    ],
    ..ROW
}];
