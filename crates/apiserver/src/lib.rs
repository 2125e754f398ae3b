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
mod metrics;
mod openapi;
mod patch;
mod pki;
mod protobuf;
mod reviews;
mod selection;
mod server;
pub mod store;
mod sweeper;
mod tls;
mod view;

pub use config::{Config, Storage};
pub use pki::PkiError;
pub use server::{Error, Server};
