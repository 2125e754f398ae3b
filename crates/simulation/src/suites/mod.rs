//! The suites.

pub mod edits;
pub mod hostile;
pub mod rollouts;
pub mod storm;
pub mod systematic;
