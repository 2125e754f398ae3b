//! Addresses and node ports of services.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::Ipv4Addr;

use everynode_apimachinery::status::{FieldError, Status};
use everynode_model::Value;
use everynode_model::access::{Fill as _, Read as _};

use crate::meta;
use crate::state::State;

/// Addresses are given out of `10.96.0.0/16`; the first ones are left to those who ask for them by number.
const FIRST_ADDRESS: u32 = u32::from_be_bytes([10, 96, 1, 0]);
const ADDRESSES: u32 = 0xfe00;

const FIRST_NODE_PORT: u64 = 30_000;
const LAST_NODE_PORT: u64 = 32_767;

/// The address of a service that has none.
const HEADLESS: &str = "None";

/// Gives a service the address and node ports that it needs and does not have. The same name gets the same
/// ones, unless they are taken.
pub fn allocate(state: &State, service: &mut Value) -> Result<(), Status> {
    let kind = text(service, "/spec/type").to_owned();
    if kind == "ExternalName" {
        return Ok(());
    }
    let seed = seed(service);
    let wanted = text(service, "/spec/clusterIP");
    if wanted.is_empty() {
        let taken = taken_addresses(state, service);
        let free = (0..ADDRESSES)
            .map(|step| Ipv4Addr::from(FIRST_ADDRESS + (seed.wrapping_add(step)) % ADDRESSES).to_string())
            .find(|address| !taken.contains(address));
        let address = free.ok_or_else(|| Status::internal("no service addresses are left"))?;
        set(service, "clusterIP", address.into());
    } else if wanted != HEADLESS && taken_addresses(state, service).contains(wanted) {
        let why = format!("failed to allocate IP {wanted}: provided IP is already allocated");
        let mistake = FieldError::invalid("spec.clusterIPs", vec![wanted], &why);
        return Err(invalid(service, mistake));
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
    if has_node_ports(service) {
        let given = service.at("spec.allocateLoadBalancerNodePorts") != Some(&Value::Bool(false));
        allocate_node_ports(state, service, kind == "NodePort" || given, seed)?;
    }
    Ok(())
}

/// Takes over what an update left out, and takes away what the former type had and the new one has not.
pub fn keep(new: &mut Value, old: &Value) {
    drop_by_type(new, old);
    if text(new, "/spec/type") == "ExternalName" {
        return;
    }
    for field in ADDRESS_FIELDS {
        let missing = new.get("spec").and_then(|spec| spec.get(field)).is_none_or(|value| value == "");
        let before = old.get("spec").and_then(|spec| spec.get(field));
        if let (true, Some(before)) = (missing, before) {
            set(new, field, before.clone());
        }
    }
    let address = text(new, "/spec/clusterIP").to_owned();
    if address != text(old, "/spec/clusterIP") && new.at("spec.clusterIPs") == old.at("spec.clusterIPs") {
        set(new, "clusterIPs", vec![address].into());
    }
    let same =
        |a: &Value, b: &Value| a.get("port") == b.get("port") && a.get("protocol") == b.get("protocol");
    let keeps_node_ports = has_node_ports(new);
    for port in new.items_mut("spec.ports").iter_mut().filter(|_| keeps_node_ports) {
        let found = old.items("spec.ports").iter().find(|old| same(old, port));
        if let Some(found) = found.and_then(|port| port.get("nodePort")) {
            port.fill("nodePort", found.clone());
        }
    }
}

/// Fields that only a service with an address has.
const ADDRESS_FIELDS: [&str; 4] = ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"];

/// What came with the former type goes with it, unless the update says something else about it.
fn drop_by_type(new: &mut Value, old: &Value) {
    let (is, was) = (text(new, "/spec/type").to_owned(), text(old, "/spec/type").to_owned());
    let mut fields = Vec::new();
    if is == "ExternalName" && is != was {
        fields.extend(ADDRESS_FIELDS);
        fields.push("internalTrafficPolicy");
    }
    if was == "LoadBalancer" && is != was {
        fields.push("allocateLoadBalancerNodePorts");
    }
    if has_node_ports(old) && !has_node_ports(new) {
        if new.items("spec.externalIPs").is_empty() {
            fields.push("externalTrafficPolicy");
        }
        if node_ports(new).eq(node_ports(old)) {
            for port in new.items_mut("spec.ports") {
                port.take_out("nodePort");
            }
        }
    }
    let Some(spec) = new.get_mut("spec") else { return };
    for field in fields {
        if spec.get(field) == old.get("spec").and_then(|spec| spec.get(field)) {
            spec.take_out(field);
        }
    }
}

fn has_node_ports(service: &Value) -> bool {
    matches!(text(service, "/spec/type"), "NodePort" | "LoadBalancer")
}

/// Gives out the node ports that are missing, if they are to be `given`, and refuses those that are not to be had.
fn allocate_node_ports(state: &State, service: &mut Value, given: bool, seed: u32) -> Result<(), Status> {
    let mut taken = taken_node_ports(state, service);
    let mut own = HashSet::new();
    for (index, port) in service.items("spec.ports").iter().enumerate() {
        let Some(number) = port.number_opt("nodePort").filter(|number| *number != 0) else { continue };
        // TCP and UDP may share a port, as those of DNS do.
        let again = !own.insert((number, port.text("protocol")));
        let why = match u64::try_from(number) {
            Ok(number) if again || taken.contains(&number) => "provided port is already allocated".to_owned(),
            Ok(FIRST_NODE_PORT..=LAST_NODE_PORT) => continue,
            _ => format!(
                "provided port is not in the valid range. The range of valid ports is \
                 {FIRST_NODE_PORT}-{LAST_NODE_PORT}"
            ),
        };
        let mistake = FieldError::invalid(format!("spec.ports[{index}].nodePort"), number, &why);
        return Err(invalid(service, mistake));
    }
    taken.extend(node_ports(service));
    for port in service.items_mut("spec.ports").iter_mut().filter(|_| given) {
        if port.number("nodePort") > 0 {
            continue;
        }
        let count = LAST_NODE_PORT - FIRST_NODE_PORT + 1;
        let mut tried = (0..count).map(|step| FIRST_NODE_PORT + (u64::from(seed) + step) % count);
        let free = tried.find(|port| !taken.contains(port));
        let free = free.ok_or_else(|| Status::internal("no node ports are left"))?;
        taken.insert(free);
        port.put("nodePort", free);
    }
    Ok(())
}

fn invalid(service: &Value, mistake: FieldError) -> Status {
    Status::invalid("", "Service", meta::text(service, "name"), &[mistake])
}

/// All services but this one.
fn others(state: &State, service: &Value) -> Vec<Value> {
    let is_other = |other: &Value| {
        ["namespace", "name"].iter().any(|field| meta::text(other, field) != meta::text(service, field))
    };
    services(state).into_iter().filter(is_other).collect()
}

fn node_ports(service: &Value) -> impl Iterator<Item = u64> + '_ {
    service.items("spec.ports").iter().filter_map(|port| port.get("nodePort")?.as_u64())
}

fn services(state: &State) -> Vec<Value> {
    let Some(table) = state.catalog.table_named("", "v1", "services") else { return Vec::new() };
    let listing = state.store.list(table, None);
    listing.items.iter().map(|(_, stored)| stored.value()).collect()
}

fn taken_addresses(state: &State, service: &Value) -> HashSet<String> {
    others(state, service).iter().map(|service| text(service, "/spec/clusterIP").to_owned()).collect()
}

fn taken_node_ports(state: &State, service: &Value) -> HashSet<u64> {
    others(state, service).iter().flat_map(node_ports).collect()
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
