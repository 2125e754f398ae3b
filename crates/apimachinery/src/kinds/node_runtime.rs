//! Runtime classes.

use everynode_model::access::Read;
use everynode_model::{Value, names};

use super::print;
use super::row::{ROW, Row};
use crate::rules::{Column, Rules};
use crate::validate::{Errors, Path, Report, meta};

pub(super) const RESOURCES: &[Row] = &[Row {
    group: "node.k8s.io",
    kind: "RuntimeClass",
    plural: "runtimeclasses",
    singular: "runtimeclass",
    namespaced: false,
    type_name: "node.v1.RuntimeClass",
    create_on_update: true,
    unconditional_update: false,
    rules: &RuntimeClass,
    ..ROW
}];

#[derive(Debug)]
struct RuntimeClass;

impl Rules for RuntimeClass {
    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        let handler = object.text("handler");
        if handler.is_empty() {
            errors.required("handler", "");
        } else {
            errors.all_invalid(&Path::root("handler"), handler, names::dns_label(handler));
        }
    }

    fn validate_update(&self, new: &Value, old: &Value, errors: &mut Errors) {
        meta::immutable_field(new, old, "handler", &Path::root("handler"), errors);
    }

    fn columns(&self) -> &'static [Column] {
        print::cluster::RUNTIME_CLASS
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        print::cluster::runtime_class(object, now)
    }
}
