//! Controller revisions: the history of a workload's templates.

use everynode_model::access::Read;
use everynode_model::{Value, names};

use super::print;
use super::row::{ROW, Row};
use crate::rules::{Column, Rules};
use crate::validate::{Errors, Path, Report};

pub(super) const RESOURCES: &[Row] = &[Row {
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn n9_data_is_an_object_that_stays_and_the_number_may_change() {
        let check = |old: Option<Value>, new: Value, expected: &[&str]| {
            let mut errors = Vec::new();
            match old {
                None => ControllerRevision.validate_create(&new, &mut errors),
                Some(old) => ControllerRevision.validate_update(&new, &old, &mut errors),
            }
            let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(errors, expected, "{new}");
        };
        let revision = |data: Value, number: i64| json!({"data": data, "revision": number});
        check(None, revision(json!({"a": 1}), 0), &[]);
        check(None, json!({"revision": 1}), &["data: Required value: data is mandatory"]);
        check(None, revision(json!([1]), 1), &["data: Required value: data must be a valid JSON object"]);
        let negative = "revision: Invalid value: -1: must be greater than or equal to 0";
        check(None, revision(json!({}), -1), &[negative]);
        check(Some(revision(json!({}), 3)), revision(json!({}), 1), &[]);
        let changed = "data: Invalid value: {\"b\":1}: field is immutable";
        check(Some(revision(json!({"a": 1}), 1)), revision(json!({"b": 1}), 1), &[changed]);
        assert!(RESOURCES[0].unconditional_update);
    }
}
