//! Controller revisions: the history of a workload's templates.

use super::{ROW, print};
use crate::Value;
use crate::access::Read;
use crate::resource::{Column, Resource, Rules};
use crate::validate::{Errors, Path, Report, names};

pub(super) const RESOURCES: &[Resource] = &[Resource {
    group: "apps",
    kind: "ControllerRevision",
    plural: "controllerrevisions",
    singular: "controllerrevision",
    type_name: "apps.v1.ControllerRevision",
    rules: &ControllerRevision,
    ..ROW
}];

#[derive(Debug)]
struct ControllerRevision;

impl Rules for ControllerRevision {
    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        number(object, errors);
        match object.at("data") {
            None => errors.required("data", "data is mandatory"),
            Some(Value::Object(_)) => {}
            Some(_) => errors.required("data", "data must be a valid JSON object"),
        }
    }

    fn validate_update(&self, new: &Value, old: &Value, errors: &mut Errors) {
        number(new, errors);
        if new.get("data") != old.get("data") {
            errors.invalid("data", new.get("data").cloned().unwrap_or_default(), names::IMMUTABLE);
        }
    }

    fn columns(&self) -> &'static [Column] {
        print::workload::REVISION
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        print::workload::revision(object, now)
    }
}

fn number(object: &Value, errors: &mut Errors) {
    errors.not_negative(&Path::root("revision"), object.number("revision"));
}
