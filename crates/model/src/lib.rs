//! The words of Kubernetes that all of everynode speaks, as lean types that are read once.
//!
//! Statements such as "D3" in the documentation of all crates are those of the [specification](spec) of the built-in
//! controller of Kubernetes 1.36.

mod int_or_percent;
pub mod json;
mod selector;
#[doc = include_str!("../spec/daemonset.md")]
pub mod spec {}

pub use int_or_percent::IntOrPercent;
pub use selector::{LabelSelector, Operator, Requirement};
