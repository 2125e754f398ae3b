//! A thin Kubernetes client: connection settings, raw requests, watch streams.
//!
//! [`Client`] sends bytes and returns bytes; nothing here knows the shape of a Pod. What every consumer of
//! the API needs is here once: typed errors with the server's own `Status`, a rate limit, and [`list_watch`],
//! which turns a collection into a stream of events that survives disconnections.
//!
//! kube gives the connection settings (kubeconfig, in-cluster, exec plugins, TLS), hyper the connections. Their
//! types do not appear in this crate's interface.

mod backoff;
mod clock;
mod collection;
pub mod error;
pub mod event;
mod fence;
mod hosts;
mod http_client;
mod lines;
pub mod list_watch;
mod pages;
mod rate_limit;
mod token_bucket;
mod transport;

pub use backoff::Backoff;
pub use clock::{Clock, SystemClock, Uptime};
pub use collection::Collection;
pub use error::{ApiStatus, Error};
pub use fence::Fence;
pub use hosts::{HostError, Hosts};
pub use http::Method;
pub use http_client::{Client, Observer, content_type, ensure_crypto_provider};
pub use lines::LineSplitter;
pub use list_watch::{Event, ListWatch};
pub use pages::{Pages, PagesError};
pub use token_bucket::TokenBucket;
pub use transport::{AnswerBody, KubeletTrust, Transport};
