//! Real nodes on one machine, without Docker: each is a set of Linux namespaces (mounts, network, host name, process
//! ids) with a containerd of its own, in which an agent makes pods real containers.
//!
//! To a daemon such a node is a machine: `/` is the machine's file system, whose changes stay in the node; its network
//! has an address of its own and all ports; `hostPID` sees the processes of the node. To the machine it is one process
//! tree that ends with the process that began it, however that ends, and takes its mounts and its network along.
//!
//! [`RealNodes`] is the side of the process that has the API; [`inside`] is what the first process of a node does.

mod error;
mod folder;
pub mod inside;
mod lan;
mod needs;
mod nodes;
mod process;
mod setup;

pub use error::RealNodesError;
pub use lan::Lan;
pub use nodes::{RealNodes, RealNodesConfig};
pub use setup::NodeSetup;
