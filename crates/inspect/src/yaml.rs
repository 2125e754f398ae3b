//! YAML for programs and people, from JSON values.

use std::fmt::Write;

use everynode_apimachinery::manifest;
use serde_json::Value;

/// A value as a YAML document.
pub fn to_yaml(value: &Value) -> String {
    let mut out = String::new();
    match is_block(value) {
        true => block(value, 0, &mut out),
        false => {
            out.push_str(&scalar(value));
            out.push('\n');
        }
    }
    out
}

fn is_block(value: &Value) -> bool {
    match value {
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    }
}

fn block(value: &Value, indent: usize, out: &mut String) {
    let pad = " ".repeat(indent);
    match value {
        Value::Object(fields) => {
            for (index, (key, value)) in fields.iter().enumerate() {
                // The first line of an item stands behind its dash.
                let pad = if index == 0 && out.ends_with("- ") { "" } else { &pad };
                let _ = write!(out, "{pad}{}:", text(key));
                entry(value, if value.is_array() { indent } else { indent + 2 }, out);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let pad = if index == 0 && out.ends_with("- ") { "" } else { &pad };
                let _ = write!(out, "{pad}- ");
                match is_block(item) {
                    true => block(item, indent + 2, out),
                    false => {
                        let _ = writeln!(out, "{}", scalar(item));
                    }
                }
            }
        }
        _ => {}
    }
}

fn entry(value: &Value, indent: usize, out: &mut String) {
    match is_block(value) {
        true => {
            out.push('\n');
            block(value, indent, out);
        }
        false => {
            let _ = writeln!(out, " {}", scalar(value));
        }
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(value) => text(value),
        other => other.to_string(),
    }
}

/// A text, in quotes where it would be read as something else. A text in JSON's quotes is YAML.
fn text(value: &str) -> String {
    let is_plain_char = |c: char| c.is_ascii_alphanumeric() || "-_./ ()".contains(c);
    let is_plain = value.starts_with(|c: char| c.is_ascii_alphanumeric() || "./_".contains(c))
        && value.chars().all(is_plain_char)
        && !value.ends_with(' ')
        && reads_as_itself(value);
    match is_plain {
        true => value.to_owned(),
        false => Value::from(value).to_string(),
    }
}

/// A reader of YAML 1.1 takes it for this text, not for a number, a truth or a date.
fn reads_as_itself(value: &str) -> bool {
    let looks_like_a_number = value.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let document = format!("v: {value}\n");
    !looks_like_a_number
        && matches!(
            manifest::documents(&document).as_slice(),
            [Ok(document)] if document.value["v"].as_str() == Some(value)
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn yaml_reads_back_as_what_was_written() {
        let value = json!({
            "name": "agent", "count": 3, "none": null, "empty": {}, "list": [], "yes": "yes", "number": "12",
            "date": "2026-09-01T00:00:00Z", "text": "a: b # c\n\"d\"", "taint": "gpu=yes:NoSchedule",
            "items": [{"a": 1, "b": [1, [2, 3]]}, "x", [], {"c": {"d": true}}], "key: odd": "~", "": " x ",
            "dash": "- x", "version": "1.0", "off": "off", "e": "1e3", "hex": "0x10", "sentence": "it is (well) so",
        });
        let text = to_yaml(&value);
        let read = manifest::documents(&text);
        assert_eq!(read.len(), 1, "{text}");
        let read = read[0].as_ref().map(|document| document.value.clone());
        assert_eq!(read.ok(), Some(value), "{text}");
        assert!(text.starts_with("name: agent\ncount: 3\n"), "{text}");
        assert!(text.contains("items:\n- a: 1\n  b:\n  - 1\n  - - 2\n"), "{text}");
    }
}
