//! Connections, requests and responses.

pub mod accept;
pub mod body;
pub mod query;
pub mod serve;
pub mod target;
