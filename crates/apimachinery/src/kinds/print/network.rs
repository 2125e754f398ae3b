//! Services, endpoints, ingresses and network policies.

use everynode_model::Value;
use everynode_model::access::Read;

use super::cell::{
    AGE, NAME, NONE, UNKNOWN, UNSET, age, labels, name, name_with_default, or, selector_text, some_of, text,
    wide,
};
use crate::rules::Column;

pub(in crate::kinds) const SERVICE: &[Column] = &[
    NAME,
    text("Type", "How the service is exposed."),
    text("Cluster-IP", "The address of the service inside the cluster."),
    text("External-IP", "Addresses of the service outside the cluster."),
    text("Port(s)", "Ports of the service."),
    AGE,
    wide("Selector", "Labels of the pods behind the service."),
];

pub(in crate::kinds) fn service(object: &Value, now: i64) -> Vec<Value> {
    let ports: Vec<String> = object.items("spec.ports").iter().map(service_port).collect();
    let first = object.items("spec.clusterIPs").first().and_then(Value::as_str).unwrap_or(NONE);
    vec![
        name(object),
        object.text("spec.type").into(),
        first.into(),
        external_ip(object).into(),
        or(&ports.join(","), NONE).into(),
        age(object, now),
        labels(object.at("spec.selector")),
    ]
}

fn service_port(port: &Value) -> String {
    let (number, protocol) = (port.number("port"), port.text("protocol"));
    match port.number("nodePort") {
        0 => format!("{number}/{protocol}"),
        node_port => format!("{number}:{node_port}/{protocol}"),
    }
}

fn external_ip(service: &Value) -> String {
    let ips: Vec<String> =
        service.items("spec.externalIPs").iter().filter_map(Value::as_str).map(str::to_owned).collect();
    match service.text("spec.type") {
        "ClusterIP" | "NodePort" => or(&ips.join(","), NONE).to_owned(),
        "LoadBalancer" => {
            let mut all = load_balancer(service);
            all.extend(ips);
            or(&all.join(","), "<pending>").to_owned()
        }
        "ExternalName" => service.text("spec.externalName").to_owned(),
        _ => UNKNOWN.to_owned(),
    }
}

/// Addresses of the load balancer, sorted.
fn load_balancer(object: &Value) -> Vec<String> {
    let mut all: Vec<String> = object
        .items("status.loadBalancer.ingress")
        .iter()
        .map(|point| or(point.text("ip"), point.text("hostname")).to_owned())
        .filter(|address| !address.is_empty())
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

pub(in crate::kinds) const ENDPOINTS: &[Column] =
    &[NAME, text("Endpoints", "Addresses behind the service."), AGE];

pub(in crate::kinds) fn endpoints(object: &Value, now: i64) -> Vec<Value> {
    let mut list = Vec::new();
    for subset in object.items("subsets") {
        let addresses = subset.items("addresses").iter().map(|address| address.text("ip"));
        let ports = subset.items("ports");
        if ports.is_empty() {
            list.extend(addresses.clone().map(str::to_owned));
        }
        for port in ports {
            let number = port.number("port");
            list.extend(addresses.clone().map(|ip| match ip.contains(':') {
                true => format!("[{ip}]:{number}"),
                false => format!("{ip}:{number}"),
            }));
        }
    }
    vec![name(object), or(&some_of(&list, 3), NONE).into(), age(object, now)]
}

pub(in crate::kinds) const ENDPOINT_SLICE: &[Column] = &[
    NAME,
    text("AddressType", "The family of the addresses."),
    text("Ports", "Ports of the endpoints."),
    text("Endpoints", "Addresses of the endpoints."),
    AGE,
];

pub(in crate::kinds) fn endpoint_slice(object: &Value, now: i64) -> Vec<Value> {
    let ports: Vec<String> = object
        .items("ports")
        .iter()
        .map(|port| match (port.number_opt("port"), port.text("name")) {
            (Some(number), _) => number.to_string(),
            (None, name) if port.has("name") => name.to_owned(),
            _ => "*".to_owned(),
        })
        .collect();
    let addresses: Vec<String> = object
        .items("endpoints")
        .iter()
        .flat_map(|endpoint| endpoint.items("addresses"))
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    vec![
        name(object),
        object.text("addressType").into(),
        or(&some_of(&ports, 3), UNSET).into(),
        or(&some_of(&addresses, 3), UNSET).into(),
        age(object, now),
    ]
}

pub(in crate::kinds) const INGRESS: &[Column] = &[
    NAME,
    text("Class", "The name of the IngressClass resource that should be used for additional configuration"),
    text("Hosts", "Hosts that incoming requests are matched against before the ingress rule"),
    text("Address", "Address is a list containing ingress points for the load-balancer"),
    text("Ports", "Ports of TLS configurations that open"),
    AGE,
];

pub(in crate::kinds) fn ingress(object: &Value, now: i64) -> Vec<Value> {
    let hosts: Vec<String> = object
        .items("spec.rules")
        .iter()
        .map(|rule| rule.text("host").to_owned())
        .filter(|host| !host.is_empty())
        .collect();
    let ports = if object.items("spec.tls").is_empty() { "80" } else { "80, 443" };
    vec![
        name(object),
        or(object.text("spec.ingressClassName"), NONE).into(),
        or(&some_of(&hosts, 3), "*").into(),
        load_balancer(object).join(",").into(),
        ports.into(),
        age(object, now),
    ]
}

pub(in crate::kinds) const INGRESS_CLASS: &[Column] = &[
    NAME,
    text("Controller", "Controller that is responsible for handling this class"),
    text("Parameters", "A reference to a resource with additional parameters"),
    AGE,
];

pub(in crate::kinds) fn ingress_class(object: &Value, now: i64) -> Vec<Value> {
    let parameters = object.at("spec.parameters").map_or_else(
        || NONE.to_owned(),
        |parameters| {
            let group = parameters.text("apiGroup");
            let dot = if group.is_empty() { "" } else { "." };
            format!("{}{dot}{group}/{}", parameters.text("kind"), parameters.text("name"))
        },
    );
    let shown = name_with_default(object, &["ingressclass.kubernetes.io/is-default-class"]);
    vec![shown, object.text("spec.controller").into(), parameters.into(), age(object, now)]
}

pub(in crate::kinds) const NETWORK_POLICY: &[Column] =
    &[NAME, text("Pod-Selector", "Labels of the pods that the policy is about."), AGE];

pub(in crate::kinds) fn network_policy(object: &Value, now: i64) -> Vec<Value> {
    vec![name(object), selector_text(object.at("spec.podSelector")).into(), age(object, now)]
}

pub(in crate::kinds) const IP_ADDRESS: &[Column] =
    &[NAME, text("ParentRef", "The object that the address belongs to.")];

pub(in crate::kinds) fn ip_address(object: &Value, now: i64) -> Vec<Value> {
    let parent = object.at("spec.parentRef").unwrap_or(&Value::Null);
    let resource = match parent.text("group") {
        "" => parent.text("resource").to_lowercase(),
        group => format!("{}.{group}", parent.text("resource")).to_lowercase(),
    };
    let shown = match (parent.text("namespace"), parent.text("name")) {
        ("", "") => NONE.to_owned(),
        ("", name) => format!("{resource}/{name}"),
        (namespace, name) => format!("{resource}/{namespace}/{name}"),
    };
    // The API gives the age too, under no heading.
    vec![name(object), shown.into(), age(object, now)]
}

pub(in crate::kinds) const SERVICE_CIDR: &[Column] = &[NAME, text("CIDRs", "The ranges of addresses."), AGE];

pub(in crate::kinds) fn service_cidr(object: &Value, now: i64) -> Vec<Value> {
    let ranges: Vec<&str> = object.items("spec.cidrs").iter().filter_map(Value::as_str).collect();
    vec![name(object), ranges.join(",").into(), age(object, now)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn services_show_their_addresses_and_ports() {
        let check = |spec: Value, status: Value, expected: [&str; 4]| {
            let service = json!({"metadata": {"name": "s"}, "spec": spec, "status": status});
            let cells = service_cells(&service);
            assert_eq!(cells, expected.map(Value::from), "{service}");
        };
        check(json!({"type": "ClusterIP"}), json!({}), ["ClusterIP", "<none>", "<none>", "<none>"]);
        check(
            json!({"type": "NodePort", "clusterIPs": ["10.0.0.1"], "ports": [
                {"port": 80, "protocol": "TCP", "nodePort": 30080}, {"port": 53, "protocol": "UDP"}
            ]}),
            json!({}),
            ["NodePort", "10.0.0.1", "<none>", "80:30080/TCP,53/UDP"],
        );
        let balanced = json!({"loadBalancer": {"ingress": [{"hostname": "h"}, {"ip": "1.2.3.4"}]}});
        check(json!({"type": "LoadBalancer"}), balanced, ["LoadBalancer", "<none>", "1.2.3.4,h", "<none>"]);
        check(json!({"type": "LoadBalancer"}), json!({}), ["LoadBalancer", "<none>", "<pending>", "<none>"]);
    }

    fn service_cells(object: &Value) -> [Value; 4] {
        let cells = service(object, 0);
        [1, 2, 3, 4].map(|index| cells[index].clone())
    }
}
