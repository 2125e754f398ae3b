//! Devices that pods ask for: classes, claims and what drivers publish. Nothing here allocates one; drivers and a
//! scheduler that does are served.

use std::collections::HashSet;

use everynode_model::access::{Fill, Read};
use everynode_model::{Object, Value, names};

use super::print;
use super::row::{ROW, Row, status};
use crate::rules::{Column, Rules, strategy};
use crate::status::FieldError;
use crate::validate::{Errors, Path, Report, internal, meta, scheduling, volume};

pub(super) const RESOURCES: &[Row] = &[
    Row {
        group: "resource.k8s.io",
        kind: "DeviceClass",
        plural: "deviceclasses",
        singular: "deviceclass",
        namespaced: false,
        type_name: "resource.v1.DeviceClass",
        rules: &DeviceClass,
        ..ROW
    },
    Row {
        group: "resource.k8s.io",
        kind: "ResourceClaim",
        plural: "resourceclaims",
        singular: "resourceclaim",
        subresources: &[status("ResourceClaim")],
        type_name: "resource.v1.ResourceClaim",
        rules: &ResourceClaim,
        ..ROW
    },
    Row {
        group: "resource.k8s.io",
        kind: "ResourceClaimTemplate",
        plural: "resourceclaimtemplates",
        singular: "resourceclaimtemplate",
        type_name: "resource.v1.ResourceClaimTemplate",
        rules: &ResourceClaimTemplate,
        ..ROW
    },
    Row {
        group: "resource.k8s.io",
        kind: "ResourceSlice",
        plural: "resourceslices",
        singular: "resourceslice",
        namespaced: false,
        type_name: "resource.v1.ResourceSlice",
        selectable_fields: &["spec.nodeName", "spec.driver"],
        rules: &ResourceSlice,
        ..ROW
    },
];

/// Requests, constraints, configurations and selectors of one claim or class, each.
const MAX_PARTS: usize = 32;

/// Alternatives of one request.
const MAX_ALTERNATIVES: usize = 8;

/// Bytes of an expression that selects devices.
const MAX_EXPRESSION_BYTES: usize = 10 << 10;

/// Devices of one slice.
const MAX_DEVICES: usize = 128;

/// Bytes of the name of a pool.
const MAX_POOL_BYTES: usize = 253;

/// Whoever gets a device.
const MAX_CONSUMERS: usize = 256;

/// A list that may not grow without end.
fn at_most(list: &[Value], most: usize, path: &Path<'_>, errors: &mut Errors) {
    if list.len() > most && !errors.is_full() {
        errors.push(FieldError::too_many(path, list.len(), most));
    }
}

fn selectors(list: &[Value], path: &Path<'_>, errors: &mut Errors) {
    at_most(list, MAX_PARTS, path, errors);
    for (index, selector) in list.iter().enumerate() {
        let path = path.index(index);
        let path = path.child("cel");
        match selector.at("cel") {
            None => errors.required(path, ""),
            Some(cel) if cel.text("expression").len() > MAX_EXPRESSION_BYTES => {
                errors.push(FieldError::too_long(path.child("expression"), MAX_EXPRESSION_BYTES));
            }
            Some(_) => {}
        }
    }
}

fn configurations(list: &[Value], path: &Path<'_>, errors: &mut Errors) {
    at_most(list, MAX_PARTS, path, errors);
    for (index, configuration) in list.iter().enumerate() {
        let path = path.index(index);
        let path = path.child("opaque");
        let Some(opaque) = configuration.at("opaque") else {
            errors.required(path, "");
            continue;
        };
        volume::driver_name(opaque.text("driver"), &path.child("driver"), errors);
        let parameters = opaque.at("parameters");
        if parameters.is_none() {
            errors.required(path.child("parameters"), "");
        } else if !parameters.is_some_and(Value::is_object) {
            let shown = parameters.cloned().unwrap_or_default();
            errors.invalid(path.child("parameters"), shown, "parameters must be a valid JSON object");
        }
    }
}

#[derive(Debug)]
struct DeviceClass;

impl Rules for DeviceClass {
    fn prepare_create(&self, object: &mut Value) {
        strategy::first_generation(object);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        strategy::raise_generation(new, old, new.get("spec") != old.get("spec"));
    }

    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        let path = Path::root("spec");
        selectors(object.items("spec.selectors"), &path.child("selectors"), errors);
        configurations(object.items("spec.config"), &path.child("config"), errors);
    }

    fn columns(&self) -> &'static [Column] {
        print::cluster::NAME_AND_AGE
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        print::cluster::name_and_age(object, now)
    }
}

#[derive(Debug)]
struct ResourceClaim;

impl Rules for ResourceClaim {
    fn default(&self, object: &mut Value) {
        default_requests(object.items_mut("spec.devices.requests"));
    }

    fn prepare_create(&self, object: &mut Value) {
        strategy::reset_status(object, "resource.v1.ResourceClaimStatus");
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        strategy::keep(new, old, "status");
    }

    fn prepare_status_update(&self, new: &mut Value, old: &Value) {
        strategy::status_update(new, old);
        // What a driver holds is let go by a finalizer that goes with the status.
        let finalizers = new.at("metadata.finalizers").cloned();
        strategy::keep(new, old, "metadata");
        if let Some(metadata) = new.make("metadata") {
            match finalizers {
                Some(finalizers) => metadata.put("finalizers", finalizers),
                None => drop(metadata.take_out("finalizers")),
            }
        }
    }

    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        device_claim(object.at("spec.devices"), &Path::root("spec.devices"), errors);
    }

    fn validate_update(&self, new: &Value, old: &Value, errors: &mut Errors) {
        if new.get("spec") != old.get("spec") {
            let shown = internal::form("resource.v1.ResourceClaimSpec", &new["spec"]);
            errors.invalid("spec", shown, names::IMMUTABLE);
        }
    }

    fn validate_status_update(&self, new: &Value, old: &Value, errors: &mut Errors) {
        claim_status(new, old, &Path::root("status"), errors);
    }

    fn columns(&self) -> &'static [Column] {
        print::device::CLAIM
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        print::device::claim(object, now)
    }
}

fn default_requests(requests: &mut [Value]) {
    for request in requests {
        if let Some(exactly) = request.get_mut("exactly") {
            default_request(exactly);
        }
        request.items_mut("firstAvailable").iter_mut().for_each(default_request);
    }
}

fn default_request(request: &mut Value) {
    if request.text("allocationMode").is_empty() {
        request.put("allocationMode", "ExactCount");
    }
    if request.text("allocationMode") == "ExactCount" && request.number("count") == 0 {
        request.put("count", 1);
    }
}

fn device_claim(claim: Option<&Value>, path: &Path<'_>, errors: &mut Errors) {
    let claim = claim.unwrap_or(&Value::Null);
    let (requests, list) = (claim.items("requests"), path.child("requests"));
    at_most(requests, MAX_PARTS, &list, errors);
    let mut seen = HashSet::new();
    for (index, request) in requests.iter().enumerate() {
        let path = list.index(index);
        device_request(request, &path, errors);
        if !seen.insert(request.text("name")) {
            errors.duplicate(path, request.text("name"));
        }
    }
    at_most(claim.items("constraints"), MAX_PARTS, &path.child("constraints"), errors);
    configurations(claim.items("config"), &path.child("config"), errors);
}

fn device_request(request: &Value, path: &Path<'_>, errors: &mut Errors) {
    const ONE: &str = "exactly one of `exactly` or `firstAvailable` is required";
    request_name(request, path, errors);
    let alternatives = request.items("firstAvailable");
    match (request.at("exactly"), alternatives.is_empty()) {
        (None, true) => errors.required(path, ONE),
        (Some(_), false) => {
            errors.invalid(path, Value::Null, &format!("{ONE}, but multiple fields are set"));
        }
        (Some(exactly), true) => asked(exactly, &path.child("exactly"), errors),
        (None, false) => {
            let list = path.child("firstAvailable");
            at_most(alternatives, MAX_ALTERNATIVES, &list, errors);
            for (index, alternative) in alternatives.iter().enumerate() {
                let path = list.index(index);
                request_name(alternative, &path, errors);
                asked(alternative, &path, errors);
            }
        }
    }
}

fn request_name(request: &Value, path: &Path<'_>, errors: &mut Errors) {
    let name = request.text("name");
    errors.all_invalid(&path.child("name"), name, names::dns_label(name));
}

/// What a request asks for, or one of its alternatives.
fn asked(request: &Value, path: &Path<'_>, errors: &mut Errors) {
    let (class, at) = (request.text("deviceClassName"), path.child("deviceClassName"));
    match class {
        "" => errors.required(at, ""),
        class => errors.all_invalid(&at, class, names::dns_subdomain(class)),
    }
    selectors(request.items("selectors"), &path.child("selectors"), errors);
    let (count, at) = (request.number("count"), path.child("count"));
    match request.text("allocationMode") {
        "All" if count != 0 => {
            errors.invalid(at, count, "must not be specified when allocationMode is 'All'");
        }
        "ExactCount" if count <= 0 => errors.invalid(at, count, "must be greater than zero"),
        "All" | "ExactCount" => {}
        mode => errors.not_supported(path.child("allocationMode"), mode, &["All", "ExactCount"]),
    }
}

fn claim_status(new: &Value, old: &Value, path: &Path<'_>, errors: &mut Errors) {
    let (allocation, before) = (new.at("status.allocation"), old.at("status.allocation"));
    let reserved = new.items("status.reservedFor");
    let list = path.child("reservedFor");
    if !reserved.is_empty() && allocation.is_none() {
        errors.forbidden(list, "may not be specified when `allocated` is not set");
    }
    at_most(reserved, MAX_CONSUMERS, &list, errors);
    let mut seen = HashSet::new();
    for (index, consumer) in reserved.iter().enumerate() {
        let path = list.index(index);
        for field in ["resource", "name", "uid"] {
            if consumer.text(field).is_empty() {
                errors.required(path.child(field), "");
            }
        }
        if !seen.insert(consumer.text("uid")) {
            errors.duplicate(path.child("uid"), consumer.text("uid"));
        }
    }
    if let (Some(allocation), Some(before)) = (allocation, before)
        && allocation != before
    {
        errors.invalid(path.child("allocation"), allocation.clone(), names::IMMUTABLE);
    }
}

#[derive(Debug)]
struct ResourceClaimTemplate;

impl Rules for ResourceClaimTemplate {
    fn default(&self, object: &mut Value) {
        default_requests(object.items_mut("spec.spec.devices.requests"));
    }

    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        device_claim(object.at("spec.spec.devices"), &Path::root("spec.spec.devices"), errors);
    }

    fn validate_update(&self, new: &Value, old: &Value, errors: &mut Errors) {
        if new.get("spec") != old.get("spec") {
            errors.invalid("spec", template_form(&new["spec"]), names::IMMUTABLE);
        }
    }

    fn columns(&self) -> &'static [Column] {
        print::cluster::NAME_AND_AGE
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        print::cluster::name_and_age(object, now)
    }
}

/// The spec of a template as messages show it: the metadata has no name of its own in the unversioned form.
fn template_form(spec: &Value) -> Value {
    let mut shown = spec.get("metadata").cloned().unwrap_or_else(|| Value::Object(Object::new()));
    shown.put("Spec", internal::form("resource.v1.ResourceClaimSpec", &spec["spec"]));
    shown
}

#[derive(Debug)]
struct ResourceSlice;

impl Rules for ResourceSlice {
    fn prepare_create(&self, object: &mut Value) {
        strategy::first_generation(object);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        strategy::raise_generation(new, old, new.get("spec") != old.get("spec"));
    }

    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        let spec = object.get("spec").unwrap_or(&Value::Null);
        let path = Path::root("spec");
        volume::driver_name(spec.text("driver"), &path.child("driver"), errors);
        pool(spec.at("pool").unwrap_or(&Value::Null), &path.child("pool"), errors);
        where_it_is(spec, &path, errors);
        let (devices, list) = (spec.items("devices"), path.child("devices"));
        at_most(devices, MAX_DEVICES, &list, errors);
        let mut seen = HashSet::new();
        for (index, device) in devices.iter().enumerate() {
            let path = list.index(index);
            let name = device.text("name");
            errors.all_invalid(&path.child("name"), name, names::dns_label(name));
            if !seen.insert(name) {
                errors.duplicate(path.child("name"), name);
            }
        }
    }

    fn validate_update(&self, new: &Value, old: &Value, errors: &mut Errors) {
        self.validate_create(new, errors);
        for field in ["spec.pool.name", "spec.driver", "spec.nodeName"] {
            meta::immutable_field(new, old, field, &Path::root(field), errors);
        }
    }

    fn columns(&self) -> &'static [Column] {
        print::device::SLICE
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        print::device::slice(object, now)
    }
}

fn pool(pool: &Value, path: &Path<'_>, errors: &mut Errors) {
    let (name, at) = (pool.text("name"), path.child("name"));
    if name.is_empty() {
        errors.required(at, "");
    } else {
        if name.len() > MAX_POOL_BYTES {
            errors.push(FieldError::too_long(at, MAX_POOL_BYTES));
        }
        for part in name.split('/') {
            errors.all_invalid(&at, part, names::dns_subdomain(part));
        }
    }
    let slices = pool.number("resourceSliceCount");
    if slices <= 0 {
        errors.invalid(path.child("resourceSliceCount"), slices, "must be greater than zero");
    }
    errors.not_negative(&path.child("generation"), pool.number("generation"));
}

/// A slice says in one way on which nodes its devices are.
fn where_it_is(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    const WAYS: [&str; 4] = ["nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection"];
    const ONE: &str =
        "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
    if spec.has("nodeName") {
        let (name, at) = (spec.text("nodeName"), path.child("nodeName"));
        match name {
            "" => errors.invalid(at, name, "must be either unset or set to a non-empty string"),
            name => errors.all_invalid(&at, name, names::dns_subdomain(name)),
        }
    }
    if let Some(selector) = spec.at("nodeSelector") {
        scheduling::node_selector(selector, &path.child("nodeSelector"), errors);
    }
    for field in ["allNodes", "perDeviceNodeSelection"] {
        if spec.has(field) && !spec.flag(field) {
            errors.invalid(path.child(field), false, "must be either unset or set to true");
        }
    }
    let is_set =
        |field: &&str| spec.has(field) && spec.at(field).is_some_and(|value| value != "" && value != false);
    let set: Vec<String> =
        WAYS.iter().filter(|field| is_set(field)).map(|field| format!("`{field}`")).collect();
    match set.len() {
        0 => errors.required(path, ONE),
        1 => {}
        _ => {
            let message = format!("{ONE}, but multiple fields are set");
            errors.invalid(path, format!("{{{}}}", set.join(", ")), &message);
        }
    }
}
