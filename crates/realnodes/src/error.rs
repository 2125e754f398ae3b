//! Why there are no real nodes.

use std::io;

/// Why there are no real nodes.
#[derive(Debug, thiserror::Error)]
pub enum RealNodesError {
    /// Somebody else than root asked for them.
    #[error("real nodes are made of namespaces and mounts, which only root may make")]
    NotRoot,
    /// The machine lacks a program.
    #[error("{program} is not on this machine, and real nodes need it")]
    Missing {
        /// What is not in the path.
        program: &'static str,
        /// What brings it, as Debian calls it.
        package: &'static str,
    },
    /// The network between nodes cannot be made: the kernel or the rights lack something.
    #[error("the network of real nodes cannot be made: {0}")]
    Network(String),
    /// The folder of nodes' files cannot be made or locked.
    #[error("the folder of real nodes, {path}, cannot be used: {source}")]
    Folder {
        /// The folder.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The first process of a node did not start.
    #[error("node {node} cannot be started: {source}")]
    Start {
        /// The node.
        node: String,
        /// Why.
        source: io::Error,
    },
}
