//! Aggregated APIs: kept for manifests that bring them. Nothing is passed on to them.

use everynode_model::access::{Fill, Read};
use everynode_model::{Value, names};

use super::print;
use super::row::{ROW, Row, status};
use crate::rules::{Column, Rules, strategy};
use crate::validate::{Errors, Path, Report};
use everynode_model::names::NameRule;

pub(super) const RESOURCES: &[Row] = &[Row {
    group: "apiregistration.k8s.io",
    kind: "APIService",
    plural: "apiservices",
    singular: "apiservice",
    categories: &["api-extensions"],
    namespaced: false,
    subresources: &[status("APIService")],
    type_name: "apiregistration.v1.APIService",
    name_rule: NameRule::PathSegment,
    unconditional_update: false,
    rules: &ApiService,
    ..ROW
}];

/// What is said of an API that another server would answer.
const NOT_PASSED_ON: &str = "apiregistration.k8s.io/v1 APIService: everynode passes no request on to the service; the group is not served";

#[derive(Debug)]
struct ApiService;

impl Rules for ApiService {
    fn default(&self, object: &mut Value) {
        if let Some(service) = object.at_mut("spec.service") {
            service.fill("port", 443);
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        strategy::reset_status(object, "apiregistration.v1.APIServiceStatus");
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        strategy::keep(new, old, "status");
    }

    fn prepare_status_update(&self, new: &mut Value, old: &Value) {
        strategy::status_update_keeps_labels(new, old);
    }

    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        let spec = object.get("spec").unwrap_or(&Value::Null);
        let path = Path::root("spec");
        let (name, group, version) = (object.text("metadata.name"), spec.text("group"), spec.text("version"));
        let wanted = format!("{version}.{group}");
        if name != wanted && !name.is_empty() {
            let message = format!("must be `spec.version+\".\"+spec.group`: {wanted:?}");
            errors.invalid("metadata.name", name, &message);
        }
        if group.is_empty() {
            if version != "v1" {
                let message = "only v1 may have an empty group and it better be legacy kube";
                errors.required(path.child("group"), message);
            }
        } else {
            errors.all_invalid(&path.child("group"), group, names::dns_subdomain(group));
        }
        errors.all_invalid(&path.child("version"), version, names::dns_1035_label(version));
        for (field, most) in [("groupPriorityMinimum", 20_000), ("versionPriority", 1_000)] {
            let number = spec.number(field);
            if !(1..=most).contains(&number) {
                errors.invalid(path.child(field), number, &format!("must be positive and less than {most}"));
            }
        }
        match spec.at("service") {
            Some(service) => remote(spec, service, &path, errors),
            None => local(spec, &path, errors),
        }
    }

    fn validate_status_update(&self, new: &Value, _old: &Value, errors: &mut Errors) {
        let path = Path::root("status.conditions");
        for (index, condition) in new.items("status.conditions").iter().enumerate() {
            let status = condition.text("status");
            let supported = &["True", "False", "Unknown"];
            if !supported.contains(&status) {
                errors.not_supported(path.index(index).child("status"), status, supported);
            }
        }
    }

    fn warnings(&self, new: &Value, _old: Option<&Value>) -> Vec<String> {
        if new.has("spec.service") { vec![NOT_PASSED_ON.to_owned()] } else { Vec::new() }
    }

    fn columns(&self) -> &'static [Column] {
        print::cluster::API_SERVICE
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        print::cluster::api_service(object, now)
    }
}

/// An API that another server would answer.
fn remote(spec: &Value, service: &Value, path: &Path<'_>, errors: &mut Errors) {
    let inner = path.child("service");
    for field in ["namespace", "name"] {
        if service.text(field).is_empty() {
            errors.required(inner.child(field), "");
        }
    }
    let port = service.number("port");
    if let Some(message) = names::port_number(port) {
        errors.invalid(inner.child("port"), port, &format!("port is not valid: {message}"));
    }
    if spec.flag("insecureSkipTLSVerify") && !spec.text("caBundle").is_empty() {
        let message = "may not be true if caBundle is present";
        errors.invalid(path.child("insecureSkipTLSVerify"), true, message);
    }
}

/// An API of this server.
fn local(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let bundle = spec.text("caBundle");
    if !bundle.is_empty() {
        let bytes = bundle.trim_end_matches('=').len() * 3 / 4;
        let message = "local APIServices may not have a caBundle";
        errors.invalid(path.child("caBundle"), format!("{bytes} bytes"), message);
    }
    if spec.flag("insecureSkipTLSVerify") {
        let message = "local APIServices may not have insecureSkipTLSVerify";
        errors.invalid(path.child("insecureSkipTLSVerify"), true, message);
    }
}
