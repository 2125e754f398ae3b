//! Label selectors: objects read without complaint, and checked ones from objects and texts.

mod error;
mod parse;
mod words;

use std::fmt;

use serde_json::Value;

use crate::json::{items, string_pairs};

pub use error::SelectorError;

/// How a requirement compares a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operator {
    /// The value is this one.
    Equals,
    /// The value is another one, or there is none.
    NotEquals,
    /// The value is one of these.
    In,
    /// The value is none of these, or there is none.
    NotIn,
    /// There is a value.
    Exists,
    /// There is no value.
    DoesNotExist,
    /// The value is an integer greater than this one.
    Gt,
    /// The value is an integer less than this one.
    Lt,
}

impl Operator {
    /// Reads the API's word. [`Operator::Equals`] and [`Operator::NotEquals`] have none.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "In" => Operator::In,
            "NotIn" => Operator::NotIn,
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            "Gt" => Operator::Gt,
            "Lt" => Operator::Lt,
            _ => return None,
        })
    }
}

/// One condition on the value of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The label's key, or a field's name.
    pub key: String,
    /// The comparison.
    pub operator: Operator,
    /// What it compares with.
    pub values: Vec<String>,
}

impl Requirement {
    /// Reads an item of `matchExpressions`; `None` when it has no key, or an operator that is not known.
    pub fn from_json(value: &Value) -> Option<Self> {
        Some(Requirement {
            key: value["key"].as_str()?.to_owned(),
            operator: Operator::parse(value["operator"].as_str()?)?,
            values: items(&value["values"]).filter_map(Value::as_str).map(str::to_owned).collect(),
        })
    }

    /// Whether the requirement holds for the value of its key.
    pub fn holds(&self, value: Option<&str>) -> bool {
        let integer = |text: &str| text.parse::<i64>().ok();
        let compare = |test: fn(&i64, &i64) -> bool| {
            let have = value.and_then(integer);
            let want = self.values.first().map(String::as_str).and_then(integer);
            have.zip(want).is_some_and(|(have, want)| test(&have, &want))
        };
        match self.operator {
            Operator::Equals | Operator::In => {
                value.is_some_and(|value| self.values.iter().any(|one| one == value))
            }
            Operator::NotEquals | Operator::NotIn => {
                !value.is_some_and(|value| self.values.iter().any(|one| one == value))
            }
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::Gt => compare(i64::gt),
            Operator::Lt => compare(i64::lt),
        }
    }

    /// Whether a label requirement of a node selector term can be read at all ([B4](crate::spec#b4)).
    pub fn is_readable_expression(&self) -> bool {
        match self.operator {
            Operator::Equals | Operator::NotEquals => self.values.len() == 1,
            Operator::In | Operator::NotIn => !self.values.is_empty(),
            Operator::Exists | Operator::DoesNotExist => self.values.is_empty(),
            Operator::Gt | Operator::Lt => {
                self.values.len() == 1 && self.values.iter().all(|value| value.parse::<i64>().is_ok())
            }
        }
    }

    /// Whether a field requirement of a node selector term can be read at all ([B5](crate::spec#b5)).
    pub fn is_readable_field(&self) -> bool {
        matches!(self.operator, Operator::In | Operator::NotIn) && self.values.len() == 1
    }
}

/// What a LabelSelector object selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LabelSelector {
    /// No selector, or one that cannot be read: matches nothing.
    Nothing,
    /// `{}`: would match everything, so that a DaemonSet with it is left alone ([M6](crate::spec#m6)).
    Everything,
    /// All of these must hold.
    All(Vec<Requirement>),
}

impl LabelSelector {
    /// Reads a LabelSelector object.
    pub fn from_json(selector: &Value) -> Self {
        if !selector.is_object() {
            return LabelSelector::Nothing;
        }
        let pairs = string_pairs(&selector["matchLabels"]);
        let mut all: Vec<Requirement> = pairs
            .into_iter()
            .map(|(key, value)| Requirement { key, operator: Operator::Equals, values: vec![value] })
            .collect();
        for expression in items(&selector["matchExpressions"]) {
            match Requirement::from_json(expression) {
                Some(one) if !matches!(one.operator, Operator::Gt | Operator::Lt) => all.push(one),
                _ => return LabelSelector::Nothing,
            }
        }
        LabelSelector::of(all)
    }

    /// What these requirements select.
    fn of(all: Vec<Requirement>) -> Self {
        if all.is_empty() { LabelSelector::Everything } else { LabelSelector::All(all) }
    }

    /// Whether an object's labels are selected. [`LabelSelector::Everything`] selects nothing here, because
    /// such a DaemonSet must not touch anything ([A16](crate::spec#a16), [M6](crate::spec#m6)).
    pub fn matches<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        match self {
            LabelSelector::All(all) => all.iter().all(|one| one.holds(label(&one.key))),
            LabelSelector::Nothing | LabelSelector::Everything => false,
        }
    }

    /// Whether labels are selected, where a selector that says nothing selects all: nodes of a wave, DaemonSets of a
    /// policy.
    pub fn selects<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        *self == LabelSelector::Everything || self.matches(label)
    }

    /// Whether an object with these labels (the object `metadata.labels`, or null) is selected, where a selector that
    /// says nothing selects all.
    pub fn selects_labels(&self, labels: &Value) -> bool {
        self.selects(|key| labels.get(key).and_then(Value::as_str))
    }
}

/// As kubectl writes it.
impl fmt::Display for LabelSelector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LabelSelector::All(all) = self else {
            return formatter.write_str(if *self == LabelSelector::Everything { "<all>" } else { "<none>" });
        };
        for (index, one) in all.iter().enumerate() {
            write!(formatter, "{}{one}", if index > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, values) = (&self.key, self.values.join(","));
        match self.operator {
            Operator::Equals => write!(formatter, "{key}={values}"),
            Operator::NotEquals => write!(formatter, "{key}!={values}"),
            Operator::In => write!(formatter, "{key} in ({values})"),
            Operator::NotIn => write!(formatter, "{key} notin ({values})"),
            Operator::Exists => formatter.write_str(key),
            Operator::DoesNotExist => write!(formatter, "!{key}"),
            Operator::Gt => write!(formatter, "{key}>{values}"),
            Operator::Lt => write!(formatter, "{key}<{values}"),
        }
    }
}

#[cfg(test)]
mod tests;
