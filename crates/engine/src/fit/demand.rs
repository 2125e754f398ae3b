//! What a pod needs of its node: resources and host ports.

use std::collections::BTreeMap;

use everynode_model::Value;
use everynode_model::pod_resources::{self, ResourceList, Side};
use everynode_model::quantity::{Format, Quantity};

/// Amounts of resources: thousandths of cpu, whole units of the others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Amounts {
    /// cpu, in thousandths.
    pub cpu_millis: i64,
    /// memory, in bytes.
    pub memory_bytes: i64,
    /// ephemeral-storage, in bytes.
    pub ephemeral_bytes: i64,
    /// Extended resources and huge pages.
    pub others: BTreeMap<Box<str>, i64>,
}

/// What one pod needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Demand {
    /// The resources.
    pub amounts: Amounts,
    /// The ports of the node.
    pub ports: Vec<HostPort>,
}

/// A port of the node that a container takes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    /// The number.
    pub port: u16,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: Box<str>,
    /// The address; empty for all of them.
    pub ip: Box<str>,
}

impl HostPort {
    /// Both cannot be taken on one node.
    pub fn clashes(&self, other: &HostPort) -> bool {
        self.port == other.port
            && self.protocol == other.protocol
            && (self.ip.is_empty() || other.ip.is_empty() || self.ip == other.ip)
    }
}

impl Amounts {
    /// Reads a list of resources, such as a node's allocatable.
    pub fn read(resources: &Value) -> Amounts {
        Amounts::of(&pod_resources::list(Some(resources)))
    }

    fn of(resources: &ResourceList) -> Amounts {
        let mut amounts = Amounts::default();
        for (name, quantity) in resources {
            match name.as_str() {
                "cpu" => amounts.cpu_millis = quantity.millis(),
                "memory" => amounts.memory_bytes = quantity.value(),
                "ephemeral-storage" => amounts.ephemeral_bytes = quantity.value(),
                "pods" | "storage" => {}
                _ => {
                    amounts.others.insert(name.as_str().into(), quantity.value());
                }
            }
        }
        amounts
    }

    /// cpu and memory, as a list of resources.
    pub fn cpu_and_memory(&self) -> ResourceList {
        let cpu = Quantity::from_millis(self.cpu_millis);
        let memory = Quantity::from_units(self.memory_bytes, Format::BinarySi);
        ResourceList::from([("cpu".to_owned(), cpu), ("memory".to_owned(), memory)])
    }

    /// Adds what another pod needs.
    pub fn add(&mut self, more: &Amounts) {
        self.cpu_millis += more.cpu_millis;
        self.memory_bytes += more.memory_bytes;
        self.ephemeral_bytes += more.ephemeral_bytes;
        for (name, amount) in &more.others {
            *self.others.entry(name.clone()).or_default() += amount;
        }
    }

    /// Takes away what another pod needed.
    pub fn subtract(&mut self, less: &Amounts) {
        self.cpu_millis -= less.cpu_millis;
        self.memory_bytes -= less.memory_bytes;
        self.ephemeral_bytes -= less.ephemeral_bytes;
        for (name, amount) in &less.others {
            *self.others.entry(name.clone()).or_default() -= amount;
        }
    }
}

impl Demand {
    /// The need of a pod with this spec, or of a pod made from a template with it as far as that says so: requests that
    /// only the API server fills in are not counted. With the host's network each port of a container is the node's.
    pub fn of_pod(spec: &Value) -> Demand {
        let sidecars = items(&spec["initContainers"]).filter(|one| one["restartPolicy"] == "Always");
        let is_host_network = spec["hostNetwork"] == true;
        let ports = |container| host_ports(container, is_host_network);
        Demand {
            amounts: Amounts::of(&pod_resources::with_overhead(spec, Side::Requests)),
            ports: items(&spec["containers"]).chain(sidecars).flat_map(ports).collect(),
        }
    }
}

/// Whether two pods with this spec cannot be on one node: they hold a port of the node, or a volume claim.
pub fn holds_the_node(spec: &Value) -> bool {
    !Demand::of_pod(spec).ports.is_empty()
        || items(&spec["volumes"]).any(|volume| volume["persistentVolumeClaim"].is_object())
}

fn host_ports(container: &Value, is_host_network: bool) -> impl Iterator<Item = HostPort> {
    items(&container["ports"]).filter_map(move |port| {
        let number = |field: &str| port[field].as_u64().filter(|number| *number > 0);
        let number = number("hostPort").or_else(|| number("containerPort").filter(|_| is_host_network))?;
        let text = |field: &str| port[field].as_str().unwrap_or_default();
        Some(HostPort {
            port: u16::try_from(number).ok()?,
            protocol: if text("protocol").is_empty() { "TCP".into() } else { text("protocol").into() },
            ip: if matches!(text("hostIP"), "0.0.0.0" | "::") { "".into() } else { text("hostIP").into() },
        })
    })
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn host_ports_clash_on_the_same_address_or_all_addresses() {
        let port = |ip: &str, protocol: &str| HostPort { port: 80, protocol: protocol.into(), ip: ip.into() };
        assert!(port("", "TCP").clashes(&port("10.0.0.1", "TCP")));
        assert!(!port("10.0.0.2", "TCP").clashes(&port("10.0.0.1", "TCP")));
        assert!(!port("", "UDP").clashes(&port("", "TCP")));
    }

    #[test]
    fn a_pod_holds_its_host_ports_and_with_the_hosts_network_all_of_its_ports() {
        let check = |spec: Value, expected: &[u16]| {
            let ports: Vec<u16> = Demand::of_pod(&spec).ports.iter().map(|port| port.port).collect();
            assert_eq!(ports, expected, "{spec}");
            assert_eq!(holds_the_node(&spec), !expected.is_empty(), "{spec}");
        };
        let ports = json!([{"ports": [{"hostPort": 80, "hostIP": "0.0.0.0", "containerPort": 80}, {"containerPort": 9}]}]);
        check(json!({"containers": ports}), &[80]);
        check(json!({"containers": ports, "hostNetwork": true}), &[80, 9]);
        check(json!({"containers": [{}], "hostNetwork": true}), &[]);
        let init = |policy: &str| json!([{"restartPolicy": policy, "ports": [{"containerPort": 7}]}]);
        check(json!({"containers": [{}], "initContainers": init("Always"), "hostNetwork": true}), &[7]);
        check(json!({"containers": [{}], "initContainers": init(""), "hostNetwork": true}), &[]);
        let claim = json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]});
        assert!(holds_the_node(&claim));
    }
}
