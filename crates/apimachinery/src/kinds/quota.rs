//! Limit ranges and resource quotas.

use everynode_model::Value;
use everynode_model::access::{Fill, Read};

use super::print;
use super::row::{ROW, Row, status};
use crate::rules::{Column, Rules, strategy};

pub(super) const RESOURCES: &[Row] = &[
    Row {
        kind: "LimitRange",
        plural: "limitranges",
        singular: "limitrange",
        short_names: &["limits"],
        type_name: "core.v1.LimitRange",
        create_on_update: true,
        rules: &LimitRange,
        ..ROW
    },
    Row {
        kind: "ResourceQuota",
        plural: "resourcequotas",
        singular: "resourcequota",
        short_names: &["quota"],
        subresources: &[status("ResourceQuota")],
        type_name: "core.v1.ResourceQuota",
        rules: &ResourceQuota,
        ..ROW
    },
];

#[derive(Debug)]
struct LimitRange;

impl Rules for LimitRange {
    fn default(&self, object: &mut Value) {
        for item in object.items_mut("spec.limits") {
            if item.text("type") == "Container" {
                fill_from(item, "default", "max");
                fill_from(item, "defaultRequest", "default");
                fill_from(item, "defaultRequest", "min");
            }
        }
    }
}

/// Takes over from one resource list what another one lacks.
fn fill_from(item: &mut Value, target: &str, source: &str) {
    let Some(Value::Object(source)) = item.at(source).cloned() else { return };
    if source.is_empty() {
        return;
    }
    if let Some(target) = item.make(target) {
        for (name, quantity) in source {
            target.fill(&name, quantity);
        }
    }
}

#[derive(Debug)]
struct ResourceQuota;

impl Rules for ResourceQuota {
    fn prepare_create(&self, object: &mut Value) {
        strategy::reset_status(object, "core.v1.ResourceQuotaStatus");
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        strategy::keep(new, old, "status");
    }

    fn prepare_status_update(&self, new: &mut Value, old: &Value) {
        strategy::status_update(new, old);
    }

    fn columns(&self) -> &'static [Column] {
        print::cluster::QUOTA
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        print::cluster::quota(object, now)
    }
}
