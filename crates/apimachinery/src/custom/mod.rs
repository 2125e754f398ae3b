//! Custom resources: kinds that definitions make, and what the server does with their objects.

mod check;
mod column;
mod costs;
mod exposure;
mod form;
pub mod json_path;
mod path;
mod prune;
mod rule;
mod rule_check;
mod rules;
pub mod schema;
mod structural;
mod version;

pub(crate) use check::is_known_format;
pub use form::order;
pub(crate) use structural::validate_schema;
pub use version::{Custom, Scale};
