//! Services and their endpoints.

use std::collections::HashSet;

use everynode_model::Value;
use everynode_model::access::{Fill, Read};
use serde_json::json;

use super::print;
use super::row::{PROXY, ROW, Row, status};
use crate::resource::Subresource;
use crate::rules::{Column, Rules, strategy};
use crate::validate::{Errors, Path, Report, internal, pod_spec, probe, selector};
use everynode_model::names::{self, NameRule};

pub(super) const RESOURCES: &[Row] = &[
    Row {
        kind: "Endpoints",
        plural: "endpoints",
        singular: "endpoints",
        short_names: &["ep"],
        type_name: "core.v1.Endpoints",
        create_on_update: true,
        deprecation: Some("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"),
        rules: &Endpoints,
        ..ROW
    },
    Row {
        kind: "Service",
        plural: "services",
        singular: "service",
        short_names: &["svc"],
        categories: &["all"],
        subresources: &[Subresource::new("proxy", "ServiceProxyOptions", PROXY), status("Service")],
        type_name: "core.v1.Service",
        selectable_fields: &["spec.clusterIP", "spec.type"],
        name_rule: NameRule::Label,
        create_on_update: true,
        rules: &Service,
        ..ROW
    },
    Row {
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

    fn columns(&self) -> &'static [Column] {
        print::network::ENDPOINTS
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        print::network::endpoints(object, now)
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

    fn columns(&self) -> &'static [Column] {
        print::network::ENDPOINT_SLICE
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        print::network::endpoint_slice(object, now)
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

    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        let path = Path::root("spec");
        let spec = object.get("spec").unwrap_or(&Value::Null);
        let kind = spec.text("type");
        let (ports, list) = (spec.items("ports"), path.child("ports"));
        let headless = spec.text("clusterIP") == HEADLESS;
        if ports.is_empty() && !headless && kind != "ExternalName" {
            errors.required(list, "");
        }
        for (index, port) in ports.iter().enumerate() {
            let item = list.index(index);
            service_port(port, ports.len() > 1, headless, &item, errors);
            if kind == "ClusterIP" && port.number("nodePort") != 0 {
                errors.forbidden(item.child("nodePort"), "may not be used when `type` is 'ClusterIP'");
            }
        }
        unique_ports(ports, &list, errors);
        selector::labels(spec.at("selector"), &path.child("selector"), errors);
        let affinities = &["ClientIP", "None"];
        errors.one_of(&path.child("sessionAffinity"), spec.text("sessionAffinity"), affinities);
        let kinds = &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
        errors.one_of(&path.child("type"), kind, kinds);
        if kind == "ExternalName" && spec.text("externalName").is_empty() {
            errors.required(path.child("externalName"), "");
        }
        address(spec, &path, errors);
        traffic_policy(spec, &path, errors);
    }

    fn validate_update(&self, new: &Value, old: &Value, errors: &mut Errors) {
        self.validate_create(new, errors);
        let had_address = |service: &Value| {
            service.text("spec.type") != "ExternalName" && !service.text("spec.clusterIP").is_empty()
        };
        let changed = new.text("spec.clusterIP") != old.text("spec.clusterIP");
        if had_address(new) && had_address(old) && changed {
            let shown = new.at("spec.clusterIPs").cloned().unwrap_or_default();
            errors.invalid("spec.clusterIPs[0]", shown, "may not change once set");
        }
    }

    fn columns(&self) -> &'static [Column] {
        print::network::SERVICE
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        print::network::service(object, now)
    }
}

/// The address of a service that has none.
const HEADLESS: &str = "None";

fn address(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let (kind, address) = (spec.text("type"), spec.text("clusterIP"));
    let path = path.child("clusterIPs");
    if address.is_empty() {
        return;
    }
    if kind == "ExternalName" {
        errors.forbidden(path, "may not be set for ExternalName services");
        return;
    }
    let first = path.index(0);
    if address == HEADLESS {
        if kind != "ClusterIP" {
            errors.invalid(first, address, &format!("may not be set to 'None' for {kind} services"));
        }
    } else {
        pod_spec::ip(address, &first, errors);
    }
}

/// Where traffic from outside goes can be said of services that get some.
fn traffic_policy(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let policy = spec.text("externalTrafficPolicy");
    if policy.is_empty() {
        return;
    }
    let path = path.child("externalTrafficPolicy");
    let kind = spec.text("type");
    let from_outside = matches!(kind, "NodePort" | "LoadBalancer")
        || kind == "ClusterIP" && !spec.items("externalIPs").is_empty();
    if !from_outside {
        errors.invalid(path, policy, "may only be set for externally-accessible services");
    } else {
        errors.one_of(&path, policy, &["Cluster", "Local"]);
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

fn service_port(port: &Value, needs_name: bool, headless: bool, path: &Path<'_>, errors: &mut Errors) {
    let name = port.text("name");
    if !name.is_empty() {
        errors.all_invalid(&path.child("name"), name, names::dns_label(name));
    } else if needs_name {
        errors.required(path.child("name"), "");
    }
    let number = port.number("port");
    if let Some(message) = names::port_number(number) {
        errors.invalid(path.child("port"), number, &message);
    }
    errors.one_of(&path.child("protocol"), port.text("protocol"), &["SCTP", "TCP", "UDP"]);
    if !headless {
        probe::port(port.get("targetPort"), &path.child("targetPort"), errors);
    }
}

/// Two ports of a service differ in name, and in number or protocol.
fn unique_ports(ports: &[Value], path: &Path<'_>, errors: &mut Errors) {
    let (mut names, mut numbers) = (HashSet::new(), HashSet::new());
    for (index, port) in ports.iter().enumerate() {
        let item = path.index(index);
        let name = port.text("name");
        if !names.insert(name) && !name.is_empty() {
            errors.duplicate(item.child("name"), name);
        }
        if !numbers.insert((port.number("port"), port.text("protocol"))) && !errors.is_full() {
            let shown = json!({"protocol": port.text("protocol"), "port": port.number("port")});
            errors.duplicate(item, internal::form("core.v1.ServicePort", &shown));
        }
    }
}
