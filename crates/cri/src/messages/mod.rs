//! The messages of the Container Runtime Interface, as far as an agent for pods on Linux needs them, with their field
//! numbers. A field that a runtime does not know is ignored by it, and one that is not here is ignored by us; in a
//! message of proto3 a missing field and a zero are the same.
//!
//! Source: `runtime.v1` in `k8s.io/cri-api`.

mod common;
mod container;
mod image;
mod resources;
mod runtime;
mod sandbox;
mod security;
mod stats;

pub use common::*;
pub use container::*;
pub use image::*;
pub use resources::*;
pub use runtime::*;
pub use sandbox::*;
pub use security::*;
pub use stats::*;
