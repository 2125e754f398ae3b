//! Objects against the validation rules of their schema.

use everynode_cel::{Budget, Failure, Subject};
use everynode_model::Value;

use super::check::counterpart;
use super::rule::Rule;
use super::schema::{Additional, Schema};
use crate::status::{Cause, FieldError};

/// What all rules may cost for one object, and steps of work.
const OBJECT_BUDGET: Budget = Budget { cost: 10_000_000, work: 20_000_000 };

/// Bytes of a message that an expression makes.
const MAX_MESSAGE: usize = 5 << 10;

const EXHAUSTED: &str =
    "validation failed due to running out of cost budget, no further validation rules will be run";

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
    let mut walk = Walk { path: path.to_owned(), budget: OBJECT_BUDGET, errors };
    // What is told of it says why it ended.
    let _ = walk.value(schema, value, old, false);
}

struct Walk<'a> {
    path: String,
    budget: Budget,
    errors: &'a mut Vec<FieldError>,
}

/// No more rules are looked at.
struct Ended;

impl Walk<'_> {
    /// Looks at a value. Where it, or something around it, is as it was, only rules that compare are looked at.
    fn value(
        &mut self,
        schema: &Schema,
        value: &Value,
        old: Option<&Value>,
        is_unchanged: bool,
    ) -> Result<(), Ended> {
        if !schema.has_rules || value.is_null() {
            return Ok(());
        }
        let is_unchanged = is_unchanged || old == Some(value);
        for rule in &schema.rules {
            self.rule(rule, schema, Subject { ty: schema, value, old }, is_unchanged)?;
        }
        let length = self.path.len();
        match value {
            Value::Array(items) => {
                let Some(of) = schema.items.as_deref() else { return Ok(()) };
                for (at, item) in items.iter().enumerate() {
                    self.path.push_str(&format!("[{at}]"));
                    self.value(of, item, old.and_then(|old| counterpart(schema, item, old)), is_unchanged)?;
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
                    self.value(of, inner, old.and_then(|old| old.get(name)), is_unchanged)?;
                    self.path.truncate(length);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn rule(
        &mut self,
        rule: &Rule,
        schema: &Schema,
        subject: Subject<'_>,
        is_unchanged: bool,
    ) -> Result<(), Ended> {
        let Ok(program) = &rule.program else { return Ok(()) };
        let lacks_old = program.uses_old && subject.old.is_none() && !rule.is_optional;
        if lacks_old || is_unchanged && !program.uses_old {
            // Without a value as it was there is nothing to compare with.
            return Ok(());
        }
        let told = |this: &mut Self, detail: &str| {
            this.errors.push(FieldError::invalid(this.place(""), schema.kind.as_str(), detail));
        };
        match program.holds(subject, &mut self.budget) {
            Ok(true) => Ok(()),
            Ok(false) => {
                let detail = match self.message(rule, subject) {
                    Ok(detail) => detail,
                    Err(failure) if !failure.is_final() => default_message(rule),
                    Err(_) => {
                        told(self, "messageExpression evaluation failed due to running out of cost budget");
                        return Err(Ended);
                    }
                };
                let error = self.refusal(rule, subject.value, &detail);
                self.errors.push(error);
                Ok(())
            }
            Err(Failure::Budget) => {
                told(self, EXHAUSTED);
                Err(Ended)
            }
            Err(Failure::Cost) => {
                let said = said(rule);
                told(
                    self,
                    &format!(
                        "'operation cancelled: actual cost limit exceeded': no further validation rules will be run due to call cost exceeds limit for rule: {said}"
                    ),
                );
                Err(Ended)
            }
            Err(Failure::Error(why)) => {
                told(self, &format!("{why} evaluating rule: {}", said(rule)));
                Ok(())
            }
            Err(Failure::Overload) => {
                let said = said(rule);
                told(
                    self,
                    &format!(
                        "'no such overload': call arguments did not match a supported operator, function or macro signature for rule: {said}"
                    ),
                );
                Ok(())
            }
        }
    }

    /// What the expression for the message comes to, where there is one that comes to something.
    fn message(&mut self, rule: &Rule, subject: Subject<'_>) -> Result<String, Failure> {
        let Some(Ok(program)) = &rule.message_program else { return Ok(default_message(rule)) };
        let text = program.text(subject, &mut self.budget)?;
        let text = text.trim();
        match text.is_empty() || text.len() > MAX_MESSAGE || text.contains(['\n', '\r']) {
            true => Ok(default_message(rule)),
            false => Ok(text.to_owned()),
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

fn default_message(rule: &Rule) -> String {
    match rule.message.as_str() {
        "" => format!("failed rule: {}", rule.text),
        message => message.to_owned(),
    }
}

fn said(rule: &Rule) -> &str {
    if rule.message.is_empty() { &rule.text } else { &rule.message }
}
