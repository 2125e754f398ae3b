//! Requests for certificates.

use std::collections::HashSet;

use everynode_model::Value;
use everynode_model::access::{Fill, Read};

use super::print;
use super::row::{ROW, Row, status};
use crate::resource::{READ_WRITE, Subresource};
use crate::rules::{Column, Rules, strategy};
use crate::validate::{Errors, Path, Report};
use everynode_model::names::{self, NameRule};

pub(super) const RESOURCES: &[Row] = &[Row {
    group: "certificates.k8s.io",
    kind: "CertificateSigningRequest",
    plural: "certificatesigningrequests",
    singular: "certificatesigningrequest",
    short_names: &["csr"],
    namespaced: false,
    subresources: &[
        Subresource::new("approval", "CertificateSigningRequest", READ_WRITE),
        status("CertificateSigningRequest"),
    ],
    type_name: "certificates.v1.CertificateSigningRequest",
    selectable_fields: &["spec.signerName"],
    name_rule: NameRule::PathSegment,
    rules: &CertificateSigningRequest,
    ..ROW
}];

/// What a certificate may be for.
const USAGES: &[&str] = &[
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

/// The shortest life of a certificate, in seconds.
const LEAST_SECONDS: i64 = 600;

/// Conditions that do not go again.
const FINAL: [&str; 3] = ["Approved", "Denied", "Failed"];

/// Conditions that only the subresource `approval` sets.
const OF_APPROVAL: [&str; 2] = ["Approved", "Denied"];

/// What is asked does not change; conditions are set by `approval` and, like the certificate, by `status`.
#[derive(Debug)]
struct CertificateSigningRequest;

impl Rules for CertificateSigningRequest {
    fn prepare_create(&self, object: &mut Value) {
        strategy::reset_status(object, "certificates.v1.CertificateSigningRequestStatus");
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        strategy::keep(new, old, "spec");
        strategy::keep(new, old, "status");
    }

    fn prepare_status_update(&self, new: &mut Value, old: &Value) {
        strategy::keep(new, old, "spec");
    }

    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        let path = Path::root("spec");
        usages(object.items("spec.usages"), &path.child("usages"), errors);
        signer_name(object.text("spec.signerName"), &path.child("signerName"), errors);
        if let Some(seconds) = object.number_opt("spec.expirationSeconds")
            && seconds < LEAST_SECONDS
        {
            let why = "may not specify a duration less than 600 seconds (10 minutes)";
            errors.invalid(path.child("expirationSeconds"), seconds, why);
        }
        conditions(object, errors);
    }

    /// Also of the subresource `approval`, which may add conditions and not take them away.
    fn validate_update(&self, new: &Value, old: &Value, errors: &mut Errors) {
        self.validate_create(new, errors);
        for kind in
            FINAL.iter().filter(|kind| condition(old, kind).is_some() && condition(new, kind).is_none())
        {
            errors.forbidden(
                "status.conditions",
                &format!("updates may not remove a condition of type \"{kind}\""),
            );
        }
        if new.text("status.certificate") != old.text("status.certificate") {
            errors.forbidden("status.certificate", "updates may not set certificate content");
        }
    }

    fn validate_status_update(&self, new: &Value, old: &Value, errors: &mut Errors) {
        let certificate = |object: &Value| object.text("status.certificate").to_owned();
        let mut same = new.clone();
        if let Some(status) = same.make("status") {
            status.put("certificate", certificate(old));
        }
        self.validate_update(&same, old, errors);
        for kind in OF_APPROVAL {
            match (condition(old, kind), condition(new, kind)) {
                (None, Some(_)) => errors.forbidden(
                    "status.conditions",
                    &format!("updates may not add a condition of type \"{kind}\""),
                ),
                (Some(before), Some(after)) if before != after => errors.forbidden(
                    "status.conditions",
                    &format!("updates may not modify a condition of type \"{kind}\""),
                ),
                _ => {}
            }
        }
        if !certificate(old).is_empty() && certificate(old) != certificate(new) {
            errors.forbidden("status.certificate", "updates may not modify existing certificate content");
        }
    }

    fn columns(&self) -> &'static [Column] {
        print::access_control::CERTIFICATE
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        print::access_control::certificate(object, now)
    }
}

fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object.items("status.conditions").iter().find(|one| one.text("type") == kind)
}

fn usages(usages: &[Value], path: &Path<'_>, errors: &mut Errors) {
    if usages.is_empty() {
        errors.required(path.to_string(), "");
    }
    let mut seen = HashSet::new();
    for (index, usage) in usages.iter().enumerate() {
        let (path, usage) = (path.index(index), usage.as_str().unwrap_or_default());
        errors.one_of(&path, usage, USAGES);
        if !seen.insert(usage) {
            errors.duplicate(path.to_string(), usage);
        }
    }
}

/// A domain and a path, such as `kubernetes.io/kubelet-serving`.
fn signer_name(name: &str, path: &Path<'_>, errors: &mut Errors) {
    match name.split_once('/') {
        None if name.is_empty() => errors.required(path.to_string(), ""),
        Some((domain, rest)) if domain.contains('.') && !rest.is_empty() => {
            errors.all_invalid(path, name, names::dns_subdomain(domain).into_iter().collect());
            errors.all_invalid(path, name, rest.split('.').flat_map(names::dns_label).collect());
        }
        _ => errors.invalid(
            path.to_string(),
            name,
            "must be a fully qualified domain and path of the form 'example.com/signer-name'",
        ),
    }
}

fn conditions(object: &Value, errors: &mut Errors) {
    let list = Path::root("status.conditions");
    let mut seen = HashSet::new();
    for (index, one) in object.items("status.conditions").iter().enumerate() {
        let (kind, status) = (one.text("type"), one.text("status"));
        let path = list.index(index);
        if kind.is_empty() {
            errors.required(path.child("type"), "");
        }
        let allowed: &[&str] = if FINAL.contains(&kind) { &["True"] } else { &["False", "True", "Unknown"] };
        match status {
            "" => errors.required(path.child("status"), ""),
            _ => errors.one_of(&path.child("status"), status, allowed),
        }
        if !seen.insert(kind) {
            errors.duplicate(path.child("type"), kind);
        }
    }
    if OF_APPROVAL.iter().all(|kind| seen.contains(kind)) {
        let why = "Approved and Denied conditions are mutually exclusive";
        errors.invalid("status.conditions", "Denied", why);
    }
}
