//! What a pod needs of its node: resources and host ports.

use std::collections::BTreeMap;

use everynode_wire::Value;
use everynode_wire::quantity::Quantity;

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
        let mut amounts = Amounts::default();
        for (name, amount) in resources.as_object().into_iter().flatten() {
            let Some(quantity) = quantity(amount) else { continue };
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

    fn raise_to(&mut self, other: &Amounts) {
        self.cpu_millis = self.cpu_millis.max(other.cpu_millis);
        self.memory_bytes = self.memory_bytes.max(other.memory_bytes);
        self.ephemeral_bytes = self.ephemeral_bytes.max(other.ephemeral_bytes);
        for (name, amount) in &other.others {
            let mine = self.others.entry(name.clone()).or_default();
            *mine = (*mine).max(*amount);
        }
    }
}

/// Reads a quantity as the API serves it, or as a bare number.
pub fn quantity(amount: &Value) -> Option<Quantity> {
    match amount {
        Value::String(text) => Quantity::parse(text).ok(),
        Value::Number(number) => Quantity::parse(&number.to_string()).ok(),
        _ => None,
    }
}

/// The parts of a pod spec that say what it needs.
pub struct DemandSpec<'a> {
    /// spec.containers.
    pub containers: &'a Value,
    /// spec.initContainers.
    pub init_containers: &'a Value,
    /// spec.overhead.
    pub overhead: &'a Value,
    /// Resources of the pod as a whole, which count instead of its containers'.
    pub resources: &'a Value,
}

impl Demand {
    /// The need of a pod with this spec.
    pub fn of_pod(spec: &Value) -> Demand {
        Demand::of(&DemandSpec {
            containers: &spec["containers"],
            init_containers: &spec["initContainers"],
            overhead: &spec["overhead"],
            resources: &spec["resources"],
        })
    }

    /// The need of a pod: its containers together, or any init container with the sidecars started before it,
    /// whichever is more, and the overhead.
    pub fn of(spec: &DemandSpec<'_>) -> Demand {
        let requests = |container: &Value| Amounts::read(&container["resources"]["requests"]);
        let mut running = Amounts::default();
        let mut sidecars = Amounts::default();
        let mut starting = Amounts::default();
        for container in items(spec.init_containers) {
            let mut need = requests(container);
            if container["restartPolicy"] == "Always" {
                sidecars.add(&need);
                starting.raise_to(&sidecars);
            } else {
                need.add(&sidecars);
                starting.raise_to(&need);
            }
        }
        for container in items(spec.containers) {
            running.add(&requests(container));
        }
        running.add(&sidecars);
        running.raise_to(&starting);
        replace(&mut running, &spec.resources["requests"]);
        running.add(&Amounts::read(spec.overhead));
        let sidecars = items(spec.init_containers).filter(|container| container["restartPolicy"] == "Always");
        Demand {
            amounts: running,
            ports: items(spec.containers).chain(sidecars).flat_map(host_ports).collect(),
        }
    }
}

/// Resources that are asked for the pod as a whole count as asked.
fn replace(amounts: &mut Amounts, whole: &Value) {
    let asked = Amounts::read(whole);
    for (name, _) in whole.as_object().into_iter().flatten() {
        match name.as_str() {
            "cpu" => amounts.cpu_millis = asked.cpu_millis,
            "memory" => amounts.memory_bytes = asked.memory_bytes,
            _ => {}
        }
    }
}

fn host_ports(container: &Value) -> impl Iterator<Item = HostPort> {
    items(&container["ports"]).filter_map(|port| {
        let number = u16::try_from(port["hostPort"].as_u64()?).ok().filter(|number| *number > 0)?;
        let text = |field: &str| port[field].as_str().unwrap_or_default();
        Some(HostPort {
            port: number,
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

    fn container(cpu: &str, more: Value) -> Value {
        let mut container = json!({"resources": {"requests": {"cpu": cpu}}});
        for (key, value) in more.as_object().unwrap() {
            container[key] = value.clone();
        }
        container
    }

    fn check_cpu(containers: &[Value], init: &[Value], pod: Value, overhead: &str, expected_millis: i64) {
        let demand = Demand::of(&DemandSpec {
            containers: &containers.into(),
            init_containers: &init.into(),
            overhead: &json!({"cpu": overhead}),
            resources: &pod,
        });
        assert_eq!(demand.amounts.cpu_millis, expected_millis);
    }

    #[test]
    fn containers_run_together_and_init_containers_one_after_the_other() {
        let plain = |cpu| container(cpu, json!({}));
        let sidecar = |cpu| container(cpu, json!({"restartPolicy": "Always"}));
        check_cpu(&[plain("100m"), plain("1")], &[], json!({}), "0", 1100);
        check_cpu(&[plain("100m")], &[plain("2"), plain("500m")], json!({}), "0", 2000);
        check_cpu(&[plain("100m")], &[sidecar("300m"), plain("2")], json!({}), "0", 2300);
        check_cpu(&[plain("2")], &[plain("1"), sidecar("300m")], json!({}), "10m", 2310);
        check_cpu(&[plain("2")], &[], json!({"requests": {"cpu": "5"}}), "0", 5000);
    }

    #[test]
    fn host_ports_clash_on_the_same_address_or_all_addresses() {
        let port = |ip: &str, protocol: &str| HostPort { port: 80, protocol: protocol.into(), ip: ip.into() };
        assert!(port("", "TCP").clashes(&port("10.0.0.1", "TCP")));
        assert!(!port("10.0.0.2", "TCP").clashes(&port("10.0.0.1", "TCP")));
        assert!(!port("", "UDP").clashes(&port("", "TCP")));
        let containers = json!([{"ports": [{"hostPort": 80, "hostIP": "0.0.0.0"}, {"containerPort": 9}]}]);
        let demand = Demand::of(&DemandSpec {
            containers: &containers,
            init_containers: &Value::Null,
            overhead: &Value::Null,
            resources: &Value::Null,
        });
        assert_eq!(demand.ports, [port("", "TCP")]);
    }
}
