//! Ingresses and network policies.

use super::{ROW, status};
use crate::resource::Resource;

pub(super) const RESOURCES: &[Resource] = &[
    Resource {
        group: "networking.k8s.io",
        kind: "Ingress",
        plural: "ingresses",
        singular: "ingress",
        short_names: &["ing"],
        subresources: &[status("Ingress")],
        type_name: "networking.v1.Ingress",
        ..ROW
    },
    Resource {
        group: "networking.k8s.io",
        kind: "IngressClass",
        plural: "ingressclasses",
        singular: "ingressclass",
        namespaced: false,
        type_name: "networking.v1.IngressClass",
        ..ROW
    },
    Resource {
        group: "networking.k8s.io",
        kind: "NetworkPolicy",
        plural: "networkpolicies",
        singular: "networkpolicy",
        short_names: &["netpol"],
        type_name: "networking.v1.NetworkPolicy",
        ..ROW
    },
];
