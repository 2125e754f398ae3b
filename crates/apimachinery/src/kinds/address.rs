//! Addresses of services and the ranges that they come from. This server gives out addresses without them.

use std::net::IpAddr;

use everynode_model::Value;
use everynode_model::access::Read;
use everynode_model::names::{self, NameRule};

use super::print;
use super::row::{ROW, Row, status};
use crate::rules::{Column, Rules, strategy};
use crate::validate::{Errors, Path, Report, internal, pod_spec};

pub(super) const RESOURCES: &[Row] = &[
    Row {
        group: "networking.k8s.io",
        kind: "IPAddress",
        plural: "ipaddresses",
        singular: "ipaddress",
        short_names: &["ip"],
        namespaced: false,
        type_name: "networking.v1.IPAddress",
        selectable_fields: &[
            "spec.parentRef.group",
            "spec.parentRef.resource",
            "spec.parentRef.namespace",
            "spec.parentRef.name",
        ],
        name_rule: NameRule::PathSegment,
        rules: &IpAddress,
        ..ROW
    },
    Row {
        group: "networking.k8s.io",
        kind: "ServiceCIDR",
        plural: "servicecidrs",
        singular: "servicecidr",
        namespaced: false,
        subresources: &[status("ServiceCIDR")],
        type_name: "networking.v1.ServiceCIDR",
        rules: &ServiceCidr,
        ..ROW
    },
];

#[derive(Debug)]
struct IpAddress;

impl Rules for IpAddress {
    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        let name = object.text("metadata.name");
        let path = Path::root("metadata.name");
        pod_spec::ip(name, &path, errors);
        if let Ok(address) = name.parse::<IpAddr>()
            && address.to_string() != name
        {
            errors.invalid(path, name, &format!("must be in canonical form (\"{address}\")"));
        }
        let path = Path::root("spec.parentRef");
        match object.at("spec.parentRef") {
            None => errors.required(path, ""),
            Some(parent) => parent_reference(parent, &path, errors),
        }
    }

    fn validate_update(&self, new: &Value, old: &Value, errors: &mut Errors) {
        if new.at("spec.parentRef") != old.at("spec.parentRef") {
            let parent = new.at("spec.parentRef").unwrap_or(&Value::Null);
            let shown = internal::form("networking.v1.ParentReference", parent);
            errors.invalid("spec.parentRef", shown, names::IMMUTABLE);
        }
    }

    fn columns(&self) -> &'static [Column] {
        print::network::IP_ADDRESS
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        print::network::ip_address(object, now)
    }
}

fn parent_reference(parent: &Value, path: &Path<'_>, errors: &mut Errors) {
    let group = parent.text("group");
    if !group.is_empty() {
        errors.all_invalid(&path.child("group"), group, names::dns_subdomain(group));
    }
    for field in ["resource", "name", "namespace"] {
        let (text, at) = (parent.text(field), path.child(field));
        match text {
            "" if field == "namespace" => {}
            "" => errors.required(at, ""),
            text => errors.all_invalid(&at, text, names::path_segment(text)),
        }
    }
}

#[derive(Debug)]
struct ServiceCidr;

impl Rules for ServiceCidr {
    fn prepare_create(&self, object: &mut Value) {
        strategy::reset_status(object, "networking.v1.ServiceCIDRStatus");
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        strategy::keep(new, old, "status");
    }

    fn prepare_status_update(&self, new: &mut Value, old: &Value) {
        strategy::status_update_keeps_labels(new, old);
    }

    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        ranges(object.items("spec.cidrs"), &Path::root("spec.cidrs"), errors);
    }

    fn validate_update(&self, new: &Value, old: &Value, errors: &mut Errors) {
        let (now, before) = (new.items("spec.cidrs"), old.items("spec.cidrs"));
        let path = Path::root("spec.cidrs");
        // A second range may come, of the other family.
        if now.len() != before.len() && (before.len(), now.len()) != (1, 2) {
            return errors.invalid(path, Value::from(now.to_vec()), names::IMMUTABLE);
        }
        for (index, (new, old)) in now.iter().zip(before).enumerate() {
            if new != old {
                errors.invalid(path.index(index), new.clone(), names::IMMUTABLE);
            }
        }
        if now.len() != before.len() {
            ranges(now, &path, errors);
        }
    }

    fn columns(&self) -> &'static [Column] {
        print::network::SERVICE_CIDR
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        print::network::service_cidr(object, now)
    }
}

fn ranges(list: &[Value], path: &Path<'_>, errors: &mut Errors) {
    if list.is_empty() {
        return errors.required(path, "at least one CIDR required");
    }
    if list.len() > 2 {
        let shown = serde_json::json!({ "CIDRs": list });
        return errors.invalid(path, shown, "may only hold up to 2 values");
    }
    let read: Vec<Option<IpAddr>> = list.iter().map(|text| base_address(text.as_str()?)).collect();
    for (index, (text, base)) in list.iter().zip(&read).enumerate() {
        if base.is_none() {
            let message = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
            errors.invalid(path.index(index), text.clone(), message);
        }
    }
    if let [Some(first), Some(second)] = read.as_slice()
        && first.is_ipv4() == second.is_ipv4()
    {
        let message =
            "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
        errors.invalid(path, Value::from(list.to_vec()), message);
    }
}

/// The first address of a range such as `10.96.0.0/12`.
fn base_address(text: &str) -> Option<IpAddr> {
    let (address, bits) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let is_number = !bits.is_empty() && bits.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && bits.parse::<u8>().ok()? <= most).then_some(address)
}
