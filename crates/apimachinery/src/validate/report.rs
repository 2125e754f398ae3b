//! Writing down mistakes in few words.

use everynode_model::{Value, names};

use super::Path;
use crate::status::{FieldError, MAX_ERRORS};

/// The list into which checks write.
pub(crate) type Errors = Vec<FieldError>;

/// Short forms of the constructors of [`FieldError`].
pub(crate) trait Report {
    /// Whether there are as many mistakes as are reported: more are not written down.
    fn is_full(&self) -> bool;
    /// A required value is missing; `detail` may be empty.
    fn required(&mut self, path: impl Into<String>, detail: &str);
    /// The value breaks a rule.
    fn invalid(&mut self, path: impl Into<String>, value: impl Into<Value>, detail: &str);
    /// The value is none of `supported`.
    fn not_supported(&mut self, path: impl Into<String>, value: impl Into<Value>, supported: &[&str]);
    /// The value appears twice.
    fn duplicate(&mut self, path: impl Into<String>, value: impl Into<Value>);
    /// The value names something that does not exist.
    fn not_found(&mut self, path: impl Into<String>, value: impl Into<Value>);
    /// The field may not be set here.
    fn forbidden(&mut self, path: impl Into<String>, detail: &str);

    /// One mistake per message about the same value.
    fn all_invalid(&mut self, path: &Path<'_>, value: &str, messages: Vec<String>) {
        for message in messages {
            self.invalid(path, value, &message);
        }
    }

    /// The number may not be below 0.
    fn not_negative(&mut self, path: &Path<'_>, number: i64) {
        if number < 0 {
            self.invalid(path, number, names::NOT_NEGATIVE);
        }
    }

    /// The text must be one of `supported`; an empty text is reported as missing.
    fn one_of(&mut self, path: &Path<'_>, text: &str, supported: &[&str]) {
        if text.is_empty() {
            self.required(path, "");
        } else if !supported.contains(&text) {
            self.not_supported(path, text, supported);
        }
    }
}

impl Report for Errors {
    fn is_full(&self) -> bool {
        self.len() >= MAX_ERRORS
    }

    fn required(&mut self, path: impl Into<String>, detail: &str) {
        add(self, || FieldError::required(path, detail));
    }

    fn invalid(&mut self, path: impl Into<String>, value: impl Into<Value>, detail: &str) {
        add(self, || FieldError::invalid(path, value, detail));
    }

    fn not_supported(&mut self, path: impl Into<String>, value: impl Into<Value>, supported: &[&str]) {
        add(self, || FieldError::not_supported(path, value, supported));
    }

    fn duplicate(&mut self, path: impl Into<String>, value: impl Into<Value>) {
        add(self, || FieldError::duplicate(path, value, ""));
    }

    fn not_found(&mut self, path: impl Into<String>, value: impl Into<Value>) {
        add(self, || FieldError::not_found(path, value));
    }

    fn forbidden(&mut self, path: impl Into<String>, detail: &str) {
        add(self, || FieldError::forbidden(path, detail));
    }
}

/// Writes a mistake down while there is room. What is not written down is not worded either.
fn add(errors: &mut Errors, error: impl FnOnce() -> FieldError) {
    if !errors.is_full() {
        errors.push(error());
    }
}
