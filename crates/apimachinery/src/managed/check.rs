//! Whether a configuration fits the schema, in the words of the API.

use std::collections::HashSet;

use everynode_model::{Value, encode};

use super::element::PathElement;
use super::view::{Relation, ScalarKind, Shape, View};

/// Mistakes that are told of one configuration.
const MAX_MISTAKES: usize = 100;

/// The mistakes of a configuration, as one text; empty when there are none. Elements of a list that are there twice are
/// one, unless the object is one that nobody applied.
pub fn mistakes(view: View<'_>, object: &Value) -> String {
    let mut check = Check { path: String::new(), found: Vec::new() };
    check.value(view, object);
    match check.found.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        several => {
            let lines: Vec<String> = several.iter().map(|one| format!("  {one}")).collect();
            format!("errors:\n{}", lines.join("\n"))
        }
    }
}

struct Check {
    path: String,
    found: Vec<String>,
}

impl Check {
    fn say(&mut self, what: &str) {
        if self.found.len() < MAX_MISTAKES {
            let colon = if self.path.is_empty() { "" } else { ": " };
            self.found.push(format!("{}{colon}{what}", self.path));
        }
    }

    fn within(&mut self, element: &PathElement, visit: impl FnOnce(&mut Check)) {
        let length = self.path.len();
        self.path.push_str(&element.to_string());
        visit(self);
        self.path.truncate(length);
    }

    fn value(&mut self, view: View<'_>, value: &Value) {
        match (view.form(Some(value)).shape, value) {
            (_, Value::Null) => {}
            (Shape::Scalar(kind), value) => self.scalar(kind, value),
            (Shape::List(list), Value::Array(items)) => {
                let mut seen = HashSet::new();
                for (at, item) in items.iter().enumerate() {
                    let element = match (list.relation, list.element(item)) {
                        (Relation::Atomic, _) => PathElement::Index(at as i64),
                        (_, Ok(element)) => element,
                        (_, Err(why)) => return self.say(&format!("element {at}: {}", why.0)),
                    };
                    if !matches!(list.relation, Relation::Atomic) && !seen.insert(element.clone()) {
                        self.say(&format!("duplicate entries for key {element}"));
                    }
                    self.within(&element, |check| check.value(list.item, item));
                }
            }
            (Shape::List(_), other) => self.say(&format!("expected list, got &{{{}}}", go_plain(other))),
            (Shape::Map(map), Value::Object(fields)) => {
                for (name, value) in fields {
                    let element = PathElement::field(name);
                    match map.child(name) {
                        Some(child) => self.within(&element, |check| check.value(child.view, value)),
                        None => {
                            self.within(&element, |check| check.say("field not declared in schema"));
                            return;
                        }
                    }
                }
            }
            (Shape::Map(_), other) => self.say(&format!("expected map, got &{{{}}}", go_plain(other))),
        }
    }

    fn scalar(&mut self, kind: ScalarKind, value: &Value) {
        let shown = || format!("&value.valueUnstructured{{Value:{}}}", go_syntax(value));
        let plain = || format!("&{{{}}}", go_plain(value));
        match (kind, value) {
            (ScalarKind::Number, Value::Number(_))
            | (ScalarKind::Text, Value::String(_))
            | (ScalarKind::Truth, Value::Bool(_))
            | (ScalarKind::Any, Value::Number(_) | Value::String(_) | Value::Bool(_)) => {}
            (ScalarKind::Number, other) => {
                self.say(&format!("expected numeric (int or float), got {}", go_type(other)));
            }
            (ScalarKind::Text, _) => self.say(&format!("expected string, got {}", shown())),
            (ScalarKind::Truth, _) => self.say(&format!("expected boolean, got {}", plain())),
            (ScalarKind::Any, _) => self.say(&format!("expected any scalar, got {}", plain())),
        }
    }
}

/// The type of a value in the language of the API server.
fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.as_i64().is_some() => "int64",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// A value as that language prints it.
fn go_plain(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".into(),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(go_plain).collect::<Vec<_>>().join(" "))
        }
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            let pairs: Vec<String> =
                fields.iter().map(|(name, value)| format!("{name}:{}", go_plain(value))).collect();
            format!("map[{}]", pairs.join(" "))
        }
        other => encode::to_text(other),
    }
}

/// A value as one would write it in that language.
fn go_syntax(value: &Value) -> String {
    match value {
        Value::Null => "interface {}(nil)".into(),
        Value::String(text) => everynode_model::go_quote(text),
        Value::Array(items) => {
            format!("[]interface {{}}{{{}}}", items.iter().map(go_syntax).collect::<Vec<_>>().join(", "))
        }
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            let pair = |(name, value): &(&String, &Value)| {
                format!("{}:{}", everynode_model::go_quote(name), go_syntax(value))
            };
            let pairs: Vec<String> = fields.iter().map(pair).collect();
            format!("map[string]interface {{}}{{{}}}", pairs.join(", "))
        }
        other => encode::to_text(other),
    }
}
