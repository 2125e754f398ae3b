//! A client of the Container Runtime Interface, by which kubelets speak to containerd and CRI-O: the messages, the calls,
//! and one function that sends them over a Unix socket.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//!
//! use everynode_cri::{Client, messages::VersionRequest};
//!
//! let client = Client::new("unix:///run/containerd/containerd.sock".parse()?);
//! let version = client.call(VersionRequest::default(), Duration::from_secs(2)).await?;
//! println!("{} {}", version.runtime_name, version.runtime_version);
//! # Ok(())
//! # }
//! ```
//!
//! What a runtime may do is said by [`Runtime`] and [`Feature`]: runtimes ignore fields that they do not know, and an
//! agent must refuse a pod that asks for them. With the feature `testing` there is a runtime in memory.

mod calls;
mod client;
mod endpoint;
mod error;
mod features;
pub mod messages;
#[cfg(feature = "testing")]
pub mod testing;

pub use calls::Call;
pub use client::{ANSWER_LIMIT_BYTES, Client, LONGEST_DEADLINE};
pub use endpoint::{Endpoint, EndpointError};
pub use error::{CriError, ErrorKind, Fate};
pub use features::{Feature, Runtime};
