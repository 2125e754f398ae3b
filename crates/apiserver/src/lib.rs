//! The embedded Kubernetes API: a revisioned store, watches and one set of handlers.
//!
//! # The way of a request
//!
//! ```text
//!  connection      serve           TLS, HTTP/1.1 or 2, limits on connections and headers
//!      |
//!  request         api             who asks (authn, tokens) and whether it may (authz); the audit log takes it down
//!      |
//!  method, path    router          which resource (http::target), which verb, and whether it is allowed; the gate
//!      |                           limits bodies, time and requests in flight; the guide answers what is served
//!  call            handlers        the body by schema, what to do, the answer (view: objects, tables, metadata)
//!      |
//!  object          objects         create, change, delete: admission -> rules -> checks -> compare and swap
//!      |                           (the resource table of `apimachinery` says what each kind needs)
//!  state           state           catalog, store, ledger of quotas, counters: what all share, and no more
//!      |
//!  write           store           queue -> one thread: decide, commit, publish, answer
//!                                       |                        |
//!                                  backend (redb or none)    ring of events per resource
//!                                                                |
//!                                                            watchers (handlers::watch)
//! ```
//!
//! Each part knows only those below it. What the server does by itself (`upkeep`) stands beside the handlers, on
//! `objects`.
//!
//! A write is a compare-and-swap on one object: it names the revision that it was computed from, and is
//! computed again when somebody was faster. The writer thread takes everything that is queued, gives each
//! write the next revision, commits all of it in one transaction, and only then shows it to readers and
//! watchers. So what anybody has seen is on the disk, and watchers see revisions in order.
//!
//! An object is encoded once, as the watch event that announces it; the stored object is a slice of that
//! line. Reads, lists and watches of whole objects copy bytes and decode nothing.
//!
//! # Invariants
//!
//! - An acknowledged write survives the process and a power failure (durable storage).
//! - After a failed commit the store takes no more writes, since what is on the disk is not known; reads go on.
//! - A watcher sees every event after its revision once and in order, or is told that it fell behind (410).
//! - Nothing here knows what a DaemonSet does. Rules of kinds are in `apimachinery`, decisions about clusters in
//!   `controller` and `local`.

mod admission;
mod api;
mod audit;
mod authn;
mod authz;
mod catalog;
mod certificates;
mod config;
mod credentials;
mod decode;
mod discovery;
mod gate;
mod guide;
mod handlers;
mod http;
mod intercept;
mod kubelet;
mod meta;
mod metrics;
mod objects;
mod openapi;
mod panics;
mod patch;
mod pki;
pub mod private;
mod protobuf;
mod router;
mod selection;
mod serve;
mod server;
mod state;
pub mod store;
mod tls;
mod tokens;
mod upkeep;
mod usage;
mod view;

pub use certificates::read_certificate_request;
pub use config::{Components, Config, Storage};
pub use http::attributes::{Attributes, Resource as AskedResource};
pub use http::body::{Body, BodyError, json as answer_json, refusal};
pub use http::read_head;
pub use intercept::{Interceptor, WallClock};
pub use kubelet::{KubeletConnector, KubeletStream, Opening};
pub use metrics::MoreFigures;
pub use pki::{PkiError, SERVICE_ADDRESS};
pub use server::{Error, NodeCredentials, Server};
pub use store::{BackendError, LeftOut, OnDamage};
pub use tokens::read_token;
pub use usage::{AskedNode, UsageError, UsageSource};
