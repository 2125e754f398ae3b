//! Field selectors: `metadata.name=x,status.phase!=Failed`.

use std::borrow::Cow;
use std::fmt;

use everynode_model::{SelectorError, Value};

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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn field_selectors_compare_fields_as_text() {
        let node = json!({"metadata": {"name": "n1"}, "spec": {"unschedulable": true}});
        let check = |text: &str, expected: bool| {
            assert_eq!(FieldSelector::parse(text).expect("a selector").matches(&node), expected, "{text}");
        };
        check("metadata.name=n1", true);
        check("metadata.name==n1,spec.unschedulable=true", true);
        check("metadata.name!=n1", false);
        check("spec.none=", true);
        check("spec.none!=x", true);
        let absent = json!({"metadata": {}});
        assert!(FieldSelector::parse("spec.unschedulable=false").expect("a selector").matches(&absent));
        let event = json!({"source": {"component": "kubelet"}});
        assert!(FieldSelector::parse("source=kubelet").expect("a selector").matches(&event));
        assert_eq!(
            FieldSelector::parse("a=b,spec.nodeName=x").expect("a selector").exact("spec.nodeName"),
            Some("x")
        );
    }

    #[test]
    fn what_is_no_field_selector_is_refused_in_the_words_of_the_api() {
        let check = |text: &str, expected: &str| {
            assert_eq!(FieldSelector::parse(text).map_err(|error| error.0), Err(expected.into()), "{text}");
        };
        check("metadata.name", "invalid selector: 'metadata.name'; can't understand 'metadata.name'");
        check("a=b=c", "invalid field selector: unescaped character in value: 61");
        check("a=b\\c", "invalid field selector: invalid escape sequence: \\c");
        check("a=b\\", "invalid field selector: invalid escape sequence: \\");
        let refusal = |text: &str, known: &[&str]| {
            FieldSelector::parse(text).expect("a selector").check_fields(known).expect_err("refused").message
        };
        assert_eq!(
            refusal("data.k=1", &[]),
            "\"data.k\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
        );
        assert_eq!(refusal("spec.color=red", &["spec.nodeName"]), "field label not supported: spec.color");
    }

    proptest! {
        #[test]
        fn a_printed_field_selector_reads_back(field in "[a-z.]{1,8}", value in "[a-z,=\\\\]{0,8}", equals: bool) {
            let operator = if equals { "=" } else { "!=" };
            let escaped = value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=");
            let selector = FieldSelector::parse(&format!("{field}{operator}{escaped}")).expect("a selector");
            prop_assert_eq!(&selector.terms()[0].value, &value);
            prop_assert_eq!(FieldSelector::parse(&selector.to_string()), Ok(selector));
        }

        #[test]
        fn no_text_breaks_the_reader(text in "[a-c(),=!<>\\\\ iné]{0,20}") {
            let _ = FieldSelector::parse(&text);
        }
    }
}
