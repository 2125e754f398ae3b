//! What the server does by itself, beside requests.

pub mod bootstrap;
pub mod definitions;
pub mod quotas;
pub mod sweeper;
pub mod token_secrets;
