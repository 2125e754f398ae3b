//! The suites.

pub mod edits;
pub mod rollouts;
pub mod storm;
pub mod systematic;
