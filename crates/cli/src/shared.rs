//! Arguments that commands share, and how their values are read.

use std::path::PathBuf;
use std::time::Duration;

use everynode_client::{Client, Error};

/// Options that every command takes: below its own in the help.
pub const EVERYWHERE: &str = "Options of all commands";

/// Which cluster to talk to.
#[derive(Debug, clap::Args)]
pub struct ClusterArgs {
    /// Kubeconfig of the cluster [default: as kubectl; in a pod, its service account]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
}

impl ClusterArgs {
    /// A client of that cluster.
    pub async fn connect(&self) -> Result<Client, Error> {
        Client::infer(self.kubeconfig.as_deref(), self.context.as_deref()).await
    }
}

/// Nodes that one process simulates at most.
const NODES_LIMIT: i64 = 100_000;

/// A number of nodes to simulate.
pub fn node_count() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(0..=NODES_LIMIT)
}

/// A duration such as `500ms`, `2s` or `1m30s`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let hint = || format!("{text:?} is not a duration; write for example 500ms, 2s or 1m30s");
    let signed: jiff::SignedDuration = text.parse().map_err(|_| hint())?;
    Duration::try_from(signed).map_err(|_| hint())
}

/// Whether kubectl takes this as the name of the kind DaemonSet.
pub fn is_daemonset(kind: &str) -> bool {
    let kind = kind.to_ascii_lowercase();
    ["daemonset", "daemonsets", "ds", "daemonset.apps", "daemonsets.apps"].contains(&kind.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, millis) in [("500ms", 500), ("2s", 2_000), ("1m30s", 90_000), ("0s", 0)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "5", "-3s", "soon"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
