//! Ingresses and network policies.

use super::{ROW, status, strategy};
use crate::Value;
use crate::access::{Fill, Read};
use crate::resource::{Resource, Rules};

pub(super) const RESOURCES: &[Resource] = &[
    Resource {
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
    Resource {
        group: "networking.k8s.io",
        kind: "IngressClass",
        plural: "ingressclasses",
        singular: "ingressclass",
        namespaced: false,
        type_name: "networking.v1.IngressClass",
        rules: &IngressClass,
        ..ROW
    },
    Resource {
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
    fn prepare_create(&self, object: &mut Value) {
        strategy::create(object, "networking.v1.IngressStatus");
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        strategy::update(new, old);
    }

    fn prepare_status_update(&self, new: &mut Value, old: &Value) {
        strategy::status_update(new, old);
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
}
