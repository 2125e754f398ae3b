//! The embedded Kubernetes API: a revisioned store, watches and one set of handlers.

mod admission;
mod api;
mod authn;
mod catalog;
mod config;
mod discovery;
mod handlers;
mod http;
mod meta;
mod openapi;
mod patch;
mod pki;
mod selection;
mod server;
pub mod store;
mod tls;
mod view;

pub use config::{Config, Storage};
pub use pki::PkiError;
pub use server::{Error, Server};
