//! The suites.

pub mod edits;
pub mod storm;
pub mod systematic;
