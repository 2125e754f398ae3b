//! Which nodes `up` simulates: those asked for, and those that its data directory knows already.

use std::collections::HashSet;
use std::path::PathBuf;

use everynode_client::{Client, Error};
use everynode_model::Value;
use everynode_model::access::Read as _;
use everynode_node::{Mode, NodeSpec};
use serde_json::json;

use super::NodesWanted;
use super::sources::{self, Document, SourceError};

/// Of numbered nodes, each one whose number is divisible by this has accelerators.
const ACCELERATED_EVERY: u32 = 3;

/// The nodes that are asked for.
pub fn wanted(nodes: &NodesWanted) -> Result<Vec<NodeSpec>, SourceError> {
    match nodes {
        NodesWanted::Count { count, prefix } => {
            Ok((1..=*count).map(|number| numbered(prefix, number)).collect())
        }
        NodesWanted::Fleet(file) => read_fleet(file),
    }
}

/// A node of the standard shape. Every third has accelerators, so that there is a subset to target.
fn numbered(prefix: &str, number: u32) -> NodeSpec {
    let name = format!("{prefix}{number}");
    if !number.is_multiple_of(ACCELERATED_EVERY) {
        return NodeSpec::new(name);
    }
    let mut labels = everynode_node::standard_labels(number as usize - 1);
    labels.insert("nvidia.com/gpu.present".into(), "true".into());
    let resources = json!({
        "cpu": "32", "memory": "256Gi", "ephemeral-storage": "500Gi", "pods": "250", "nvidia.com/gpu": "8",
    });
    let object = json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "status": {
            "capacity": resources,
            "allocatable": resources,
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    });
    NodeSpec { name, adopted: Some(object), mode: Mode::Healthy }
}

fn read_fleet(file: &PathBuf) -> Result<Vec<NodeSpec>, SourceError> {
    let (documents, errors) = sources::read(std::slice::from_ref(file));
    if let Some(error) = errors.into_iter().next() {
        return Err(error);
    }
    if documents.is_empty() {
        let message = "holds no Node; `kubectl get nodes -o yaml` prints a fleet".into();
        return Err(SourceError { place: file.display().to_string(), message });
    }
    let node = |document: Document| {
        NodeSpec::from_object(document.object)
            .map_err(|message| SourceError { place: document.place, message })
    };
    documents.into_iter().map(node).collect()
}

/// The wanted nodes and all others that the API knows and that no kubelet speaks for: simulated ones of an earlier start,
/// which come back healthy.
pub async fn with_known(mut wanted: Vec<NodeSpec>, client: &Client) -> Result<Vec<NodeSpec>, Error> {
    let list = client.get("/api/v1/nodes").await?;
    let mut list: Value = serde_json::from_slice(&list).map_err(|error| Error::Decode(error.to_string()))?;
    let Value::Array(known) = list["items"].take() else { return Ok(wanted) };
    let names: HashSet<String> = wanted.iter().map(|node| node.name.clone()).collect();
    for mut object in known {
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        if !names.contains(&name) && !has_kubelet(&object) {
            object["kind"] = "Node".into();
            wanted.push(NodeSpec { name, adopted: Some(object), mode: Mode::Healthy });
        }
    }
    Ok(wanted)
}

/// Whether the node says where its kubelet listens, which a simulated one has not.
fn has_kubelet(node: &Value) -> bool {
    node.number("status.daemonEndpoints.kubeletEndpoint.Port") > 0
}
