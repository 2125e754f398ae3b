//! Ingresses and network policies.

use everynode_model::Value;
use everynode_model::access::{Fill, Read};

use super::print;
use super::row::{ROW, Row, status};
use crate::rules::{Column, Rules, strategy};
use crate::validate::{Errors, Path, Report, probe, selector};

pub(super) const RESOURCES: &[Row] = &[
    Row {
        group: "networking.k8s.io",
        kind: "Ingress",
        plural: "ingresses",
        singular: "ingress",
        short_names: &["ing"],
        subresources: &[status("Ingress")],
        type_name: "networking.v1.Ingress",
        rules: &Ingress,
        ..ROW
    },
    Row {
        group: "networking.k8s.io",
        kind: "IngressClass",
        plural: "ingressclasses",
        singular: "ingressclass",
        namespaced: false,
        type_name: "networking.v1.IngressClass",
        rules: &IngressClass,
        ..ROW
    },
    Row {
        group: "networking.k8s.io",
        kind: "NetworkPolicy",
        plural: "networkpolicies",
        singular: "networkpolicy",
        short_names: &["netpol"],
        type_name: "networking.v1.NetworkPolicy",
        rules: &NetworkPolicy,
        ..ROW
    },
];

#[derive(Debug)]
struct Ingress;

impl Rules for Ingress {
    fn status_type(&self) -> Option<&'static str> {
        Some("networking.v1.IngressStatus")
    }

    fn columns(&self) -> &'static [Column] {
        print::network::INGRESS
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        print::network::ingress(object, now)
    }
}

#[derive(Debug)]
struct IngressClass;

impl Rules for IngressClass {
    fn default(&self, object: &mut Value) {
        if let Some(parameters) = object.at_mut("spec.parameters") {
            parameters.fill("scope", "Cluster");
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        strategy::first_generation(object);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        strategy::raise_generation(new, old, new.get("spec") != old.get("spec"));
    }

    fn columns(&self) -> &'static [Column] {
        print::network::INGRESS_CLASS
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        print::network::ingress_class(object, now)
    }
}

#[derive(Debug)]
struct NetworkPolicy;

impl Rules for NetworkPolicy {
    fn default(&self, object: &mut Value) {
        let Some(spec) = object.get_mut("spec") else { return };
        for direction in ["ingress", "egress"] {
            for rule in spec.items_mut(direction) {
                for port in rule.items_mut("ports") {
                    port.fill("protocol", "TCP");
                }
            }
        }
        if spec.items("policyTypes").is_empty() {
            let mut types = vec![Value::from("Ingress")];
            if !spec.items("egress").is_empty() {
                types.push("Egress".into());
            }
            spec.put("policyTypes", types);
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        strategy::first_generation(object);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        strategy::raise_generation(new, old, new.get("spec") != old.get("spec"));
    }

    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        let path = Path::root("spec");
        let spec = object.get("spec").unwrap_or(&Value::Null);
        selector::label_selector(spec.at("podSelector"), false, &path.child("podSelector"), errors);
        for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
            let list = path.child(direction);
            for (index, rule) in spec.items(direction).iter().enumerate() {
                policy_rule(rule, peers, &list.index(index), errors);
            }
        }
        let list = path.child("policyTypes");
        for (index, kind) in spec.items("policyTypes").iter().filter_map(Value::as_str).enumerate() {
            if !["Ingress", "Egress"].contains(&kind) {
                errors.not_supported(list.index(index), kind, &["Ingress", "Egress"]);
            }
        }
    }

    fn columns(&self) -> &'static [Column] {
        print::network::NETWORK_POLICY
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        print::network::network_policy(object, now)
    }
}

fn policy_rule(rule: &Value, peers: &str, path: &Path<'_>, errors: &mut Errors) {
    let list = path.child("ports");
    for (index, port) in rule.items("ports").iter().enumerate() {
        let path = list.index(index);
        let protocols = &["TCP", "UDP", "SCTP"];
        if !protocols.contains(&port.text("protocol")) {
            errors.not_supported(path.child("protocol"), port.text("protocol"), protocols);
        }
        if port.has("port") {
            probe::port(port.get("port"), &path.child("port"), errors);
        }
    }
    let list = path.child(peers);
    for (index, peer) in rule.items(peers).iter().enumerate() {
        let path = list.index(index);
        for field in ["podSelector", "namespaceSelector"] {
            selector::label_selector(peer.at(field), false, &path.child(field), errors);
        }
        let has_selector = peer.has("podSelector") || peer.has("namespaceSelector");
        match (peer.has("ipBlock"), has_selector) {
            (false, false) => errors.required(path, "must specify a peer"),
            (true, true) => errors.forbidden(path, "may not specify both ipBlock and another peer"),
            _ => {}
        }
    }
}
