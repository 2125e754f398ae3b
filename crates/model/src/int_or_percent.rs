use std::fmt;

use serde_json::Value;

/// An absolute number, or a percentage of the desired number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntOrPercent {
    /// This number.
    Int(i32),
    /// This percentage, rounded up ([E2](crate::spec#e2)).
    Percent(i32),
}

impl IntOrPercent {
    /// Reads `3` or `"30%"`.
    pub fn from_json(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => text.strip_suffix('%')?.parse().ok().map(IntOrPercent::Percent),
            other => other.as_i64().and_then(|value| i32::try_from(value).ok()).map(IntOrPercent::Int),
        }
    }

    /// The number for a total, percentages rounded up.
    pub fn scaled(self, total: i32) -> i32 {
        match self {
            IntOrPercent::Int(value) => value,
            IntOrPercent::Percent(percent) => {
                let product = i64::from(percent) * i64::from(total);
                i32::try_from(product.div_euclid(100) + i64::from(product.rem_euclid(100) != 0))
                    .unwrap_or(i32::MAX)
            }
        }
    }
}

impl fmt::Display for IntOrPercent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IntOrPercent::Int(value) => write!(formatter, "{value}"),
            IntOrPercent::Percent(percent) => write!(formatter, "{percent}%"),
        }
    }
}
