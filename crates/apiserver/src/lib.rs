//! The embedded Kubernetes API: a revisioned store, watches and one set of handlers.

mod api;
mod authn;
mod catalog;
mod config;
mod http;
mod pki;
mod server;
pub mod store;
mod tls;

pub use config::{Config, Storage};
pub use pki::PkiError;
pub use server::{Error, Server};
