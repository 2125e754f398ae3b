//! Field selectors: `metadata.name=x,status.phase!=Failed`.

use std::borrow::Cow;
use std::fmt;

use everynode_model::Value;

use super::error::SelectorError;
use crate::status::Status;

/// Comparisons of fields with texts that all must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldSelector {
    terms: Vec<FieldTerm>,
}

/// One comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldTerm {
    /// Field, such as `spec.nodeName`.
    pub field: String,
    /// Whether the field must have the value, or must not.
    pub equals: bool,
    /// Text to compare with.
    pub value: String,
}

impl FieldSelector {
    /// Reads the text of a `fieldSelector` query.
    ///
    /// # Errors
    /// The text is no selector; the message is the API's.
    pub fn parse(text: &str) -> Result<FieldSelector, SelectorError> {
        let mut parts = split_terms(text);
        parts.sort_unstable();
        let mut terms = Vec::new();
        for part in parts.into_iter().filter(|part| !part.is_empty()) {
            let (field, equals, value) = split_term(part).ok_or_else(|| {
                SelectorError(format!("invalid selector: '{text}'; can't understand '{part}'"))
            })?;
            terms.push(FieldTerm { field: field.into(), equals, value: unescape(value)? });
        }
        Ok(FieldSelector { terms })
    }

    /// Refuses fields that the kind does not offer. `selectable` lists those that it offers besides name
    /// and namespace.
    ///
    /// # Errors
    /// 400, worded as for kinds with or without fields of their own.
    pub fn check_fields(&self, selectable: &[&str]) -> Result<(), Status> {
        let is_known = |field: &str| {
            matches!(field, "metadata.name" | "metadata.namespace") || selectable.contains(&field)
        };
        let Some(unknown) = self.terms.iter().find(|term| !is_known(&term.field)) else { return Ok(()) };
        let field = &unknown.field;
        Err(Status::bad_request(if selectable.is_empty() {
            let quoted = everynode_model::go_quote(field);
            format!("{quoted} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")
        } else {
            format!("field label not supported: {field}")
        }))
    }

    /// Whether all objects match.
    pub fn is_everything(&self) -> bool {
        self.terms.is_empty()
    }

    /// The comparisons.
    pub fn terms(&self) -> &[FieldTerm] {
        &self.terms
    }

    /// The value that a field must have, where the selector demands one.
    pub fn exact(&self, field: &str) -> Option<&str> {
        self.terms.iter().find(|term| term.field == field && term.equals).map(|term| term.value.as_str())
    }

    /// Whether an object matches.
    pub fn matches(&self, object: &Value) -> bool {
        self.terms.iter().all(|term| (field_text(object, &term.field) == term.value) == term.equals)
    }
}

/// A field of an object as text, as field selectors see it. Absent fields are empty, absent flags false.
pub fn field_text<'a>(object: &'a Value, field: &str) -> Cow<'a, str> {
    // The API offers the source of an event under a name that is not its path.
    let path = if field == "source" { "source.component" } else { field };
    let value = path.split('.').try_fold(object, |value, name| value.get(name));
    match value {
        Some(Value::String(text)) => Cow::Borrowed(text),
        Some(Value::Bool(flag)) => Cow::Borrowed(if *flag { "true" } else { "false" }),
        Some(Value::Number(number)) => Cow::Owned(number.to_string()),
        _ if matches!(field, "spec.unschedulable" | "spec.hostNetwork") => Cow::Borrowed("false"),
        _ => Cow::Borrowed(""),
    }
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, term) in self.terms.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let operator = if term.equals { "=" } else { "!=" };
            let value = term.value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=");
            write!(f, "{comma}{}{operator}{value}", term.field)?;
        }
        Ok(())
    }
}

/// Splits at commas that no backslash escapes.
fn split_terms(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (index, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                terms.push(&text[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms
}

/// Field, whether it must be equal, and the rest.
fn split_term(term: &str) -> Option<(&str, bool, &str)> {
    let index = (0..term.len()).find(|&index| {
        let rest = &term.as_bytes()[index..];
        rest.starts_with(b"=") || rest.starts_with(b"!=")
    })?;
    let (field, rest) = term.split_at(index);
    match rest.strip_prefix("!=") {
        Some(value) => Some((field, false, value)),
        None => Some((field, true, rest.strip_prefix("==").unwrap_or(&rest[1..]))),
    }
}

fn unescape(value: &str) -> Result<String, SelectorError> {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => out.push(c),
                other => {
                    let sequence: String = std::iter::once('\\').chain(other).collect();
                    let message = format!("invalid field selector: invalid escape sequence: {sequence}");
                    return Err(SelectorError(message));
                }
            },
            // The API shows the number of the character.
            ',' | '=' => {
                let code = u32::from(c);
                let message = format!("invalid field selector: unescaped character in value: {code}");
                return Err(SelectorError(message));
            }
            c => out.push(c),
        }
    }
    Ok(out)
}
