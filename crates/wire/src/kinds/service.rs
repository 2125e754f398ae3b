//! Services and their endpoints.

use super::{PROXY, ROW, status, strategy, subresource};
use crate::Value;
use crate::access::{Fill, Read};
use crate::resource::{Resource, Rules};
use crate::validate::meta::NameRule;

pub(super) const RESOURCES: &[Resource] = &[
    Resource {
        kind: "Endpoints",
        plural: "endpoints",
        singular: "endpoints",
        short_names: &["ep"],
        type_name: "core.v1.Endpoints",
        create_on_update: true,
        rules: &Endpoints,
        ..ROW
    },
    Resource {
        kind: "Service",
        plural: "services",
        singular: "service",
        short_names: &["svc"],
        categories: &["all"],
        subresources: &[subresource("proxy", "ServiceProxyOptions", PROXY), status("Service")],
        type_name: "core.v1.Service",
        selectable_fields: &["spec.clusterIP", "spec.type"],
        name_rule: NameRule::Label,
        create_on_update: true,
        rules: &Service,
        ..ROW
    },
    Resource {
        group: "discovery.k8s.io",
        kind: "EndpointSlice",
        plural: "endpointslices",
        singular: "endpointslice",
        type_name: "discovery.v1.EndpointSlice",
        rules: &EndpointSlice,
        ..ROW
    },
];

#[derive(Debug)]
struct Endpoints;

impl Rules for Endpoints {
    fn default(&self, object: &mut Value) {
        for subset in object.items_mut("subsets") {
            for port in subset.items_mut("ports") {
                port.fill("protocol", "TCP");
            }
        }
    }
}

#[derive(Debug)]
struct EndpointSlice;

impl Rules for EndpointSlice {
    fn default(&self, object: &mut Value) {
        for port in object.items_mut("ports") {
            port.fill("name", "");
            port.fill("protocol", "TCP");
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        strategy::first_generation(object);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        let fields = ["addressType", "endpoints", "ports"];
        let changed = fields.iter().any(|field| new.get(field) != old.get(field))
            || new.at("metadata.labels") != old.at("metadata.labels");
        strategy::raise_generation(new, old, changed);
    }
}

#[derive(Debug)]
struct Service;

impl Rules for Service {
    fn default(&self, object: &mut Value) {
        let Some(spec) = object.get_mut("spec") else { return };
        spec.fill("sessionAffinity", "None");
        spec.fill("type", "ClusterIP");
        affinity_config(spec);
        for port in spec.items_mut("ports") {
            port.fill("protocol", "TCP");
            let target = port.at("targetPort");
            if target.is_none_or(|target| target == 0 || target == "") {
                port.put("targetPort", port.number("port"));
            }
        }
        let kind = spec.text("type").to_owned();
        let has_external_ips = !spec.items("externalIPs").is_empty();
        if matches!(kind.as_str(), "NodePort" | "LoadBalancer") || (kind == "ClusterIP" && has_external_ips) {
            spec.fill("externalTrafficPolicy", "Cluster");
        }
        if matches!(kind.as_str(), "NodePort" | "LoadBalancer" | "ClusterIP") {
            spec.fill("internalTrafficPolicy", "Cluster");
        }
        if kind == "LoadBalancer" {
            spec.fill("allocateLoadBalancerNodePorts", true);
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        strategy::reset_status(object, "core.v1.ServiceStatus");
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        strategy::keep(new, old, "status");
    }

    fn prepare_status_update(&self, new: &mut Value, old: &Value) {
        strategy::status_update(new, old);
    }
}

/// Seconds for which a client keeps its endpoint: three hours.
const AFFINITY_SECONDS: i32 = 10_800;

fn affinity_config(spec: &mut Value) {
    match spec.text("sessionAffinity") {
        "None" => drop(spec.take_out("sessionAffinityConfig")),
        "ClientIP" => {
            let config = spec.make("sessionAffinityConfig").and_then(|config| config.make("clientIP"));
            if let Some(config) = config {
                config.fill("timeoutSeconds", AFFINITY_SECONDS);
            }
        }
        _ => {}
    }
}
