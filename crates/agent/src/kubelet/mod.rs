//! The kubelet endpoint of a node: what API servers and collectors of figures ask of it, by HTTPS.
//!
//! Everybody has to show who they are, and the API says what they may ([`access`]), as with the kubelet. What a path
//! asks for is read in one place ([`route`]). The endpoint reads no bodies of requests, and speaks HTTP/1.1 only, since
//! streams of commands begin as its upgrades: so the number of connections limits everything else.

mod access;
mod answer;
mod answers;
mod figures;
mod log;
mod query;
mod route;
mod serve;
mod server;
mod state;
mod streams;
mod summary;
mod tls;
mod user;

pub use server::{ListenError, Server};
pub use state::Kubelet;
