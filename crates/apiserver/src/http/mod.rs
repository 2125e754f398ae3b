//! Connections, requests and responses.

pub mod body;
pub mod serve;
