//! Label and field selectors.

mod error;
mod field;
mod label;
mod lex;

pub use error::SelectorError;
pub use field::{FieldSelector, FieldTerm};
pub use label::{LabelSelector, Operator, Requirement};

#[cfg(test)]
mod tests;
