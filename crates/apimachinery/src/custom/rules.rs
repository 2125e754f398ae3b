//! What makes a custom resource that kind: its definition.

use everynode_model::Value;
use everynode_model::access::{Fill, Read};

use super::form::order;
use super::rule_check::check_rules;
use super::version::Custom;
use super::{check, prune};
use crate::rules::{NAME, Rules};
use crate::status::FieldError;
use crate::validate::Errors;

impl Rules for Custom {
    fn convert(&self, object: &Value) -> Result<(), String> {
        let (found, expected) = (object.text("apiVersion"), self.api_version());
        if found == expected {
            return Ok(());
        }
        Err(format!(
            "the API version in the data ({found}) does not match the expected API version ({expected})"
        ))
    }

    fn default(&self, object: &mut Value) {
        prune::fill(&self.schema, object);
    }

    fn prepare_create(&self, object: &mut Value) {
        if self.has_status {
            object.take_out("status");
            // What has a default is there again.
            prune::fill(&self.schema, object);
        }
        if let Some(metadata) = object.make("metadata") {
            metadata.put("generation", 1);
        }
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        if self.has_status {
            match old.get("status") {
                Some(status) => new.put("status", status.clone()),
                None => drop(new.take_out("status")),
            }
        }
        let changed = without_metadata(new) != without_metadata(old);
        let generation = old.number("metadata.generation") + i64::from(changed);
        if let Some(metadata) = new.make("metadata") {
            metadata.put("generation", generation);
        }
    }

    fn prepare_status_update(&self, new: &mut Value, old: &Value) {
        let status = new.take_out("status");
        let version = new.pointer("/metadata/resourceVersion").cloned();
        new.clone_from(old);
        match status {
            Some(status) => new.put("status", status),
            None => drop(new.take_out("status")),
        }
        if let (Some(version), Some(metadata)) = (version, new.make("metadata")) {
            metadata.put("resourceVersion", version);
        }
    }

    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        self.validate(object, None, errors);
    }

    fn validate_update(&self, new: &Value, old: &Value, errors: &mut Errors) {
        self.validate(new, Some(old), errors);
    }

    fn validate_status_update(&self, new: &Value, old: &Value, errors: &mut Errors) {
        let Some((schema, status)) = self.schema.field("status").zip(new.get("status")) else { return };
        check::check(schema, status, old.get("status"), ("status", "status."), errors);
        self.validate_scale(new, &["status"], errors);
        check::check_lists(schema, status, old.get("status"), &mut "status".to_owned(), errors);
        check_rules(schema, status, old.get("status"), "status", errors);
    }

    fn column_definitions(&self) -> Vec<Value> {
        let own = self.columns.iter().map(|column| column.definition.clone());
        std::iter::once(NAME.definition()).chain(own).collect()
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        let name = object.pointer("/metadata/name").cloned().unwrap_or_default();
        std::iter::once(name).chain(self.columns.iter().map(|column| column.cell(object, now))).collect()
    }
}

impl Custom {
    fn validate(&self, object: &Value, old: Option<&Value>, errors: &mut Errors) {
        if object.text("kind") != self.kind {
            let detail = format!("must be {}", self.kind);
            errors.push(FieldError::invalid("kind", object.text("kind"), &detail));
        }
        check::check(&self.schema, object, old, ("", ""), errors);
        self.validate_scale(object, &["spec", "status"], errors);
        check::check_lists(&self.schema, object, old, &mut String::new(), errors);
        check_rules(&self.schema, object, old, "", errors);
    }

    /// Checks the numbers that a scale shows, in those parts of the object.
    fn validate_scale(&self, object: &Value, parts: &[&str], errors: &mut Errors) {
        let Some(scale) = &self.scale else { return };
        for path in [&scale.spec_replicas, &scale.status_replicas] {
            if path.first().is_some_and(|part| parts.contains(&part.as_str())) {
                replicas(object, path, errors);
            }
        }
    }
}

fn replicas(object: &Value, path: &[String], errors: &mut Errors) {
    let field = format!(".{}", path.join("."));
    let mut value = object;
    for name in path {
        match value {
            Value::Object(fields) => match fields.get(name) {
                Some(inner) => value = inner,
                None => return,
            },
            other => return refuse(other, "map[string]interface{}", &field, errors),
        }
    }
    match value.as_i64() {
        None => refuse(value, "int64", &field, errors),
        Some(count) if count < 0 => {
            errors.push(FieldError::invalid(field, count, "should be a non-negative integer"));
        }
        Some(count) if count > i64::from(i32::MAX) => {
            let detail = format!("should be less than or equal to {}", i32::MAX);
            errors.push(FieldError::invalid(field, count, &detail));
        }
        Some(_) => {}
    }
}

fn refuse(value: &Value, wanted: &str, field: &str, errors: &mut Errors) {
    let (shown, kind) = match value {
        Value::String(text) => (text.clone(), "string"),
        Value::Bool(truth) => (truth.to_string(), "bool"),
        Value::Number(number) => (number.to_string(), "float64"),
        Value::Array(_) => (everynode_model::encode::to_text(value), "[]interface {}"),
        other => (everynode_model::encode::to_text(other), "interface {}"),
    };
    let detail = format!("{field} accessor error: {shown} is of the type {kind}, expected {wanted}");
    errors.push(FieldError::invalid(field, 0, &detail));
}

fn without_metadata(object: &Value) -> Value {
    let mut bare = object.clone();
    bare.take_out("metadata");
    order(&mut bare);
    bare
}
