//! Defaults that several kinds share.

mod image;
mod order;
pub(crate) mod pod;
pub(crate) mod resources;

pub use order::order;
pub(crate) use order::zero;
