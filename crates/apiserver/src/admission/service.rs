//! Addresses and node ports of services.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::Ipv4Addr;

use everynode_apimachinery::status::Status;
use everynode_model::Value;

use crate::meta;
use crate::state::State;

/// Addresses are given out of `10.96.0.0/16`; the first ones are left to those who ask for them by number.
const FIRST_ADDRESS: u32 = u32::from_be_bytes([10, 96, 1, 0]);
const ADDRESSES: u32 = 0xfe00;

const FIRST_NODE_PORT: u32 = 30_000;
const NODE_PORTS: u32 = 2_768;

/// Gives a service the address and node ports that it needs and does not have. The same name gets the same
/// ones, unless they are taken.
pub fn allocate(state: &State, service: &mut Value) -> Result<(), Status> {
    let kind = text(service, "/spec/type").to_owned();
    if kind == "ExternalName" {
        return Ok(());
    }
    let seed = seed(service);
    if text(service, "/spec/clusterIP").is_empty() {
        let taken = taken_addresses(state);
        let free = (0..ADDRESSES)
            .map(|step| Ipv4Addr::from(FIRST_ADDRESS + (seed.wrapping_add(step)) % ADDRESSES).to_string())
            .find(|address| !taken.contains(address));
        let address = free.ok_or_else(|| Status::internal("no service addresses are left"))?;
        set(service, "clusterIP", address.into());
    }
    let address = text(service, "/spec/clusterIP").to_owned();
    let spec = service.get("spec");
    if spec.and_then(|spec| spec.get("clusterIPs")).is_none() {
        set(service, "clusterIPs", Value::Array(vec![address.clone().into()]));
    }
    for (field, value) in [
        ("ipFamilies", Value::Array(vec![if address.contains(':') { "IPv6" } else { "IPv4" }.into()])),
        ("ipFamilyPolicy", "SingleStack".into()),
    ] {
        if service.get("spec").and_then(|spec| spec.get(field)).is_none() {
            set(service, field, value);
        }
    }
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer") {
        allocate_node_ports(state, service, seed)?;
    }
    Ok(())
}

/// Takes over what an update left out.
pub fn keep(new: &mut Value, old: &Value) {
    if text(new, "/spec/type") == "ExternalName" {
        return;
    }
    for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        let missing = new.get("spec").and_then(|spec| spec.get(field)).is_none();
        let before = old.get("spec").and_then(|spec| spec.get(field));
        if let (true, Some(before)) = (missing, before) {
            set(new, field, before.clone());
        }
    }
    let before = old.pointer("/spec/ports").and_then(Value::as_array).cloned().unwrap_or_default();
    let same =
        |a: &Value, b: &Value| a.get("port") == b.get("port") && a.get("protocol") == b.get("protocol");
    let has_node_ports = matches!(text(new, "/spec/type"), "NodePort" | "LoadBalancer");
    let ports = new.pointer_mut("/spec/ports").and_then(Value::as_array_mut);
    for port in ports.into_iter().flatten().filter(|_| has_node_ports) {
        let found = before.iter().find(|old| same(old, port)).and_then(|old| old.get("nodePort")).cloned();
        if let (Some(found), Some(port)) = (found, port.as_object_mut()) {
            port.entry("nodePort").or_insert(found);
        }
    }
}

fn allocate_node_ports(state: &State, service: &mut Value, seed: u32) -> Result<(), Status> {
    let mut taken = taken_node_ports(state);
    let ports = service.pointer_mut("/spec/ports").and_then(Value::as_array_mut);
    for port in ports.into_iter().flatten().filter_map(Value::as_object_mut) {
        if port.get("nodePort").and_then(Value::as_u64).is_some_and(|port| port > 0) {
            continue;
        }
        let free = (0..NODE_PORTS)
            .map(|step| u64::from(FIRST_NODE_PORT + seed.wrapping_add(step) % NODE_PORTS))
            .find(|port| !taken.contains(port));
        let free = free.ok_or_else(|| Status::internal("no node ports are left"))?;
        taken.insert(free);
        port.insert("nodePort".into(), free.into());
    }
    Ok(())
}

fn services(state: &State) -> Vec<Value> {
    let Some(table) = state.catalog.table_named("", "v1", "services") else { return Vec::new() };
    let listing = state.store.list(table, None);
    listing.items.iter().map(|(_, stored)| stored.value()).collect()
}

fn taken_addresses(state: &State) -> HashSet<String> {
    services(state).iter().map(|service| text(service, "/spec/clusterIP").to_owned()).collect()
}

fn taken_node_ports(state: &State) -> HashSet<u64> {
    let services = services(state);
    let ports = services.iter().filter_map(|service| service.pointer("/spec/ports")?.as_array());
    ports.flatten().filter_map(|port| port.get("nodePort")?.as_u64()).collect()
}

fn seed(service: &Value) -> u32 {
    let mut hasher = DefaultHasher::new();
    meta::text(service, "namespace").hash(&mut hasher);
    meta::text(service, "name").hash(&mut hasher);
    // The low half is as good as any.
    (hasher.finish() & u64::from(u32::MAX)) as u32 % ADDRESSES
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

fn set(service: &mut Value, field: &str, value: Value) {
    if let Some(spec) = service.get_mut("spec").and_then(Value::as_object_mut) {
        spec.insert(field.to_owned(), value);
    }
}
