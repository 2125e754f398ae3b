//! What the server does by itself, beside requests.

pub mod aggregation;
pub mod bootstrap;
pub mod certificates;
pub mod definitions;
pub mod own_service;
pub mod quotas;
mod roles;
pub mod sweeper;
pub mod token_secrets;
