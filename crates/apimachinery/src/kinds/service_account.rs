//! Service accounts.

use everynode_model::Value;
use everynode_model::access::Fill;

use super::print;
use super::row::{ROW, Row};
use crate::resource::Subresource;
use crate::rules::{Column, Rules};

pub(super) const RESOURCES: &[Row] = &[Row {
    kind: "ServiceAccount",
    plural: "serviceaccounts",
    singular: "serviceaccount",
    short_names: &["sa"],
    subresources: &[Subresource {
        name: "token",
        kind: "TokenRequest",
        group: "authentication.k8s.io",
        version: "v1",
        verbs: &["create"],
    }],
    type_name: "core.v1.ServiceAccount",
    rules: &ServiceAccount,
    ..ROW
}];

#[derive(Debug)]
struct ServiceAccount;

impl Rules for ServiceAccount {
    fn prepare_create(&self, object: &mut Value) {
        keep_only_names(object);
    }

    fn prepare_update(&self, new: &mut Value, _old: &Value) {
        keep_only_names(new);
    }

    fn columns(&self) -> &'static [Column] {
        print::cluster::NAME_AND_AGE
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        print::cluster::name_and_age(object, now)
    }
}

/// Secrets are referred to by name alone.
fn keep_only_names(object: &mut Value) {
    for secret in object.items_mut("secrets") {
        if let Some(secret) = secret.as_object_mut() {
            secret.retain(|field, _| field == "name");
        }
    }
}
