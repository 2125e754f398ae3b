//! How a plan names nodes, and how many.

use serde::Serialize;

use crate::model::ModelNode;

/// A node and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeReason {
    /// The node.
    pub node: String,
    /// A clause.
    pub reason: String,
}

/// The names of nodes.
pub(crate) fn names(nodes: &[&ModelNode]) -> Vec<String> {
    nodes.iter().map(|node| node.name.clone()).collect()
}

/// `n1, n2, n3 and 17 more`.
pub fn some(nodes: &[impl AsRef<str>]) -> String {
    const SHOWN: usize = 5;
    let shown = nodes.iter().take(SHOWN).map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    match nodes.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// `1 node`, `3 nodes`.
pub fn count(number: usize, thing: &str) -> String {
    match number {
        1 => format!("1 {thing}"),
        number => format!("{number} {thing}s"),
    }
}

/// Nodes in the text form: some of them, or all.
pub(crate) fn some_nodes(nodes: &[String], full: bool) -> String {
    if full { nodes.join(", ") } else { some(nodes) }
}
