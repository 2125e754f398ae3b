//! Objects against the validation rules of their schema.

use everynode_cel::{Budget, Failure, Subject};
use everynode_model::Value;

use super::check::{counterpart, kind_of};
use super::rule::Rule;
use super::schema::{Additional, Schema};
use crate::status::{Cause, FieldError};

/// Steps of all rules for one object.
const OBJECT_STEPS: u64 = 2_000_000;

/// Checks an object, or a part of it, against the rules of its schema. What is as it was in `old` is not checked
/// again. Rules say nothing sensible about an object that breaks its schema, so they wait until it does not.
pub fn check_rules(
    schema: &Schema,
    value: &Value,
    old: Option<&Value>,
    path: &str,
    errors: &mut Vec<FieldError>,
) {
    if !schema.has_rules {
        return;
    }
    let blocks = |error: &FieldError| {
        let kinds =
            [Cause::NotSupported, Cause::Required, Cause::TooLong, Cause::TooMany, Cause::TypeInvalid];
        kinds.contains(&error.cause)
    };
    if errors.iter().any(blocks) {
        let why = "some validation rules were not checked because the object was invalid; correct the existing \
                   errors to complete validation";
        errors.push(FieldError::invalid("<nil>", Value::Null, why));
        return;
    }
    let budget = Budget { steps: OBJECT_STEPS };
    let mut walk = Walk { path: path.to_owned(), budget, errors };
    if walk.value(schema, value, old).is_err() {
        let why =
            "validation failed due to running out of cost budget, no further validation rules will be run";
        let path = if walk.path.is_empty() { "<nil>".to_owned() } else { walk.path };
        walk.errors.push(FieldError::invalid_unshown(path, why));
    }
}

struct Walk<'a> {
    path: String,
    budget: Budget,
    errors: &'a mut Vec<FieldError>,
}

/// The steps are used up.
struct Exhausted;

impl Walk<'_> {
    fn value(&mut self, schema: &Schema, value: &Value, old: Option<&Value>) -> Result<(), Exhausted> {
        if !schema.has_rules || old == Some(value) || value.is_null() {
            return Ok(());
        }
        for rule in &schema.rules {
            self.rule(rule, Subject { ty: schema, value, old })?;
        }
        let length = self.path.len();
        match value {
            Value::Array(items) => {
                let Some(of) = schema.items.as_deref() else { return Ok(()) };
                for (at, item) in items.iter().enumerate() {
                    self.path.push_str(&format!("[{at}]"));
                    self.value(of, item, old.and_then(|old| counterpart(schema, item, old)))?;
                    self.path.truncate(length);
                }
            }
            Value::Object(fields) => {
                for (name, inner) in fields {
                    let Some(of) = schema.field(name) else { continue };
                    match &schema.additional {
                        Additional::Of(_) => self.path.push_str(&format!("[{name}]")),
                        _ if length == 0 => self.path.push_str(name),
                        _ => self.path.push_str(&format!(".{name}")),
                    }
                    self.value(of, inner, old.and_then(|old| old.get(name)))?;
                    self.path.truncate(length);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn rule(&mut self, rule: &Rule, subject: Subject<'_>) -> Result<(), Exhausted> {
        let Ok(program) = &rule.program else { return Ok(()) };
        if program.is_transition && subject.old.is_none() {
            // Without a value as it was there is nothing to compare with.
            return Ok(());
        }
        match program.holds(subject, &mut self.budget) {
            Ok(true) => Ok(()),
            Ok(false) => {
                let detail = self.detail(rule, subject);
                let error = self.refusal(rule, subject.value, &detail);
                self.errors.push(error);
                Ok(())
            }
            Err(Failure::Budget) => Err(Exhausted),
            Err(Failure::Error(why)) => {
                let detail = format!("{why} evaluating rule: {}", said(rule));
                let shown = kind_of(subject.value);
                self.errors.push(FieldError::invalid(self.place(""), shown, &detail));
                Ok(())
            }
        }
    }

    fn detail(&mut self, rule: &Rule, subject: Subject<'_>) -> String {
        if let Some(Ok(program)) = &rule.message_program
            && let Ok(text) = program.text(subject, &mut self.budget)
            && !text.trim().is_empty()
            && !text.contains('\n')
        {
            return text.trim().to_owned();
        }
        match rule.message.as_str() {
            "" => format!("failed rule: {}", rule.text),
            message => message.to_owned(),
        }
    }

    fn refusal(&self, rule: &Rule, value: &Value, detail: &str) -> FieldError {
        let place = self.place(&rule.field_path);
        let is_scalar = !value.is_object() && !value.is_array() && rule.field_path.is_empty();
        match rule.reason.as_str() {
            "FieldValueRequired" => FieldError::required(place, detail),
            "FieldValueForbidden" => FieldError::forbidden(place, detail),
            "FieldValueDuplicate" if is_scalar => FieldError::duplicate(place, value.clone(), ""),
            "FieldValueDuplicate" => FieldError::duplicate_unshown(place),
            _ if is_scalar => FieldError::invalid(place, value.clone(), detail),
            _ => FieldError::invalid_unshown(place, detail),
        }
    }

    fn place(&self, field_path: &str) -> String {
        match (self.path.as_str(), field_path) {
            ("", "") => "<nil>".to_owned(),
            ("", path) => path.trim_start_matches('.').to_owned(),
            (path, more) => format!("{path}{more}"),
        }
    }
}

fn said(rule: &Rule) -> &str {
    if rule.message.is_empty() { &rule.text } else { &rule.message }
}
