//! The three kinds of patches, applied and refused as the API server does; and the patch of a client-side apply.

mod directive;
mod json;
mod merge;
mod order;
mod patched;
mod strategic;
pub mod three_way;

pub use json::json_patch;
pub use merge::merge_patch;
pub use patched::Patched;
pub use strategic::strategic_merge;

#[cfg(test)]
mod tests;
