//! Field errors in the API's words.

use std::fmt;

use everynode_model::{Value, encode, go_quote};

/// Why one field was refused; the `reason` of a cause in a `Status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The value has the right type but breaks a rule.
    Invalid,
    /// The value is not one of those allowed.
    NotSupported,
    /// A required value is missing.
    Required,
    /// The same value appears twice where it must be unique.
    Duplicate,
    /// The value may not be set here.
    Forbidden,
    /// The value names something that does not exist.
    NotFound,
    /// The value is longer than allowed.
    TooLong,
    /// The value is shorter than allowed.
    TooShort,
    /// The list has more items than allowed.
    TooMany,
    /// The list has fewer items than allowed.
    TooFew,
    /// The value has the wrong type.
    TypeInvalid,
}

impl Cause {
    /// The `reason` string of the API.
    pub fn reason(self) -> &'static str {
        match self {
            Cause::Invalid => "FieldValueInvalid",
            Cause::NotSupported => "FieldValueNotSupported",
            Cause::Required => "FieldValueRequired",
            Cause::Duplicate => "FieldValueDuplicate",
            Cause::Forbidden => "FieldValueForbidden",
            Cause::NotFound => "FieldValueNotFound",
            Cause::TooLong => "FieldValueTooLong",
            Cause::TooShort => "FieldValueTooShort",
            Cause::TooMany => "FieldValueTooMany",
            Cause::TooFew => "FieldValueTooFew",
            Cause::TypeInvalid => "FieldValueTypeInvalid",
        }
    }
}

/// One refused field: where, why, and the sentence that kubectl prints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// The path, such as `spec.template.spec.containers[0].name`.
    pub field: String,
    /// The class of the mistake.
    pub cause: Cause,
    /// The message without the path, such as `Required value: must be set`.
    pub message: String,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

impl FieldError {
    fn new(field: impl Into<String>, cause: Cause, head: String, detail: &str) -> FieldError {
        let message = if detail.is_empty() { head } else { format!("{head}: {detail}") };
        FieldError { field: field.into(), cause, message }
    }

    fn with_value(
        field: impl Into<String>,
        cause: Cause,
        head: &str,
        value: impl Into<Value>,
        detail: &str,
    ) -> FieldError {
        let value = match value.into() {
            Value::String(text) => go_quote(&text),
            other => encode::to_text(&other),
        };
        let value = shown(value);
        FieldError::new(field, cause, format!("{head}: {value}"), detail)
    }

    /// The value breaks a rule, and is not shown.
    pub fn invalid_unshown(field: impl Into<String>, detail: &str) -> FieldError {
        FieldError::new(field, Cause::Invalid, "Invalid value".into(), detail)
    }

    /// The value appears twice, and is not shown.
    pub fn duplicate_unshown(field: impl Into<String>) -> FieldError {
        FieldError::new(field, Cause::Duplicate, "Duplicate value".into(), "")
    }

    /// A required value is missing. `detail` may be empty.
    pub fn required(field: impl Into<String>, detail: &str) -> FieldError {
        FieldError::new(field, Cause::Required, "Required value".into(), detail)
    }

    /// The value breaks a rule.
    pub fn invalid(field: impl Into<String>, value: impl Into<Value>, detail: &str) -> FieldError {
        FieldError::with_value(field, Cause::Invalid, "Invalid value", value, detail)
    }

    /// The value has the wrong type.
    pub fn type_invalid(field: impl Into<String>, value: impl Into<Value>, detail: &str) -> FieldError {
        FieldError::with_value(field, Cause::TypeInvalid, "Invalid value", value, detail)
    }

    /// The value is none of `supported`.
    pub fn not_supported<S: AsRef<str>>(
        field: impl Into<String>,
        value: impl Into<Value>,
        supported: &[S],
    ) -> FieldError {
        let quoted: Vec<String> = supported.iter().map(|value| go_quote(value.as_ref())).collect();
        let detail = if quoted.is_empty() {
            String::new()
        } else {
            format!("supported values: {}", quoted.join(", "))
        };
        FieldError::with_value(field, Cause::NotSupported, "Unsupported value", value, &detail)
    }

    /// The value appears twice. Some rules add a `detail`.
    pub fn duplicate(field: impl Into<String>, value: impl Into<Value>, detail: &str) -> FieldError {
        FieldError::with_value(field, Cause::Duplicate, "Duplicate value", value, detail)
    }

    /// The value names something that does not exist.
    pub fn not_found(field: impl Into<String>, value: impl Into<Value>) -> FieldError {
        FieldError::with_value(field, Cause::NotFound, "Not found", value, "")
    }

    /// The field may not be set here.
    pub fn forbidden(field: impl Into<String>, detail: &str) -> FieldError {
        FieldError::new(field, Cause::Forbidden, "Forbidden".into(), detail)
    }

    /// The value has more than `max_bytes` bytes.
    pub fn too_long(field: impl Into<String>, max_bytes: usize) -> FieldError {
        let unit = if max_bytes == 1 { "byte" } else { "bytes" };
        let detail = format!("may not be more than {max_bytes} {unit}");
        FieldError::new(field, Cause::TooLong, "Too long".into(), &detail)
    }

    /// The list has `actual` items and may have `max`.
    pub fn too_many(field: impl Into<String>, actual: usize, max: usize) -> FieldError {
        let unit = if max == 1 { "item" } else { "items" };
        let detail = format!("must have at most {max} {unit}");
        FieldError::with_value(field, Cause::TooMany, "Too many", actual as u64, &detail)
    }
}

/// Bytes of a value that an error shows.
const SHOWN_BYTES: usize = 64 << 10;

/// The beginning of a text that is too long to be shown.
fn shown(mut text: String) -> String {
    if text.len() > SHOWN_BYTES {
        text.truncate(text.floor_char_boundary(SHOWN_BYTES));
        text.push_str("...");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(error: FieldError, expected: &str) {
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn field_errors_read_as_the_api_words_them() {
        check(FieldError::required("a.b", ""), "a.b: Required value");
        check(FieldError::required("a.b", "must be set"), "a.b: Required value: must be set");
        check(FieldError::invalid("n", -1, "must be positive"), "n: Invalid value: -1: must be positive");
        check(FieldError::invalid("n", "x<\"", "bad"), r#"n: Invalid value: "x<\"": bad"#);
        check(FieldError::invalid("n", json!({"a": "<"}), "bad"), r#"n: Invalid value: {"a":"\u003c"}: bad"#);
        check(FieldError::invalid("n", Value::Null, "bad"), "n: Invalid value: null: bad");
        check(
            FieldError::not_supported("p", "x", &["A", "B"]),
            r#"p: Unsupported value: "x": supported values: "A", "B""#,
        );
        check(FieldError::duplicate("c[1].name", "c", ""), r#"c[1].name: Duplicate value: "c""#);
        check(FieldError::not_found("v", "x"), r#"v: Not found: "x""#);
        check(FieldError::forbidden("s", "no"), "s: Forbidden: no");
        check(FieldError::too_long("s", 63), "s: Too long: may not be more than 63 bytes");
        check(FieldError::too_many("s", 3, 1), "s: Too many: 3: must have at most 1 item");
    }
}
