//! `everynode why`: what decided about a DaemonSet, or about a DaemonSet on a node.

use std::path::PathBuf;
use std::process::ExitCode;

use everynode_engine::Time;
use everynode_inspect::Look;
use everynode_inspect::near::any_of;
use everynode_inspect::why::{NotFound, NotFoundKind, WhyNode, WhySet};
use everynode_plan::Wanted;

use crate::failure::Failure;
use crate::out::{Colour, Output};
use crate::shared::{ClusterArgs, is_daemonset};
use crate::source::Source;

/// Arguments of `why`.
#[derive(Debug, clap::Args)]
pub struct WhyArgs {
    /// The DaemonSet
    #[arg(value_name = "daemonset/NAME", value_parser = daemonset)]
    pub daemonset: String,
    /// The node; without it all nodes are grouped by cause
    #[arg(value_name = "node/NAME", value_parser = node)]
    pub node: Option<String>,
    /// Ask about this snapshot, offline, instead of a cluster
    #[arg(long, value_name = "FILE", conflicts_with_all = ["kubeconfig", "context"])]
    pub snapshot: Option<PathBuf>,
    /// The cluster to read.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Namespace of the DaemonSet [default: the context's]
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Format of the answer
    #[arg(short, long, value_enum, default_value = "text", value_name = "FORMAT")]
    pub output: Output,
}

/// Answers.
pub async fn run(args: WhyArgs, colour: Colour) -> Result<ExitCode, Failure> {
    let source = Source::open(args.snapshot.as_ref(), &args.cluster, "everynode-why").await?;
    let namespace = args.namespace.as_deref().unwrap_or_else(|| source.default_namespace());
    let wanted = [(namespace.to_owned(), args.daemonset.clone())];
    let fleet = args.output.fleet(source.part(Wanted::Named(&wanted)).await?);
    let look = Look::of(&fleet, Time(fleet.taken_at_millis));
    let paint = colour.paint(args.output);
    let (value, text) = match &args.node {
        Some(node) => {
            let mut why = WhyNode::of(&look, namespace, &args.daemonset, node).map_err(missing)?;
            if let Some(events) = source.events(why.subject(), &mut why.not_seen).await {
                why.take_events(args.output.events(events));
            }
            (serde_json::to_value(&why)?, why.to_text(&paint))
        }
        None => {
            let mut why = WhySet::of(&look, namespace, &args.daemonset).map_err(missing)?;
            if let Some(events) = source.events(why.row.subject(), &mut why.not_seen).await {
                why.take_events(args.output.events(events));
            }
            (serde_json::to_value(&why)?, why.to_text(&paint))
        }
    };
    args.output.say(&args.output.of(&value).unwrap_or(text));
    Ok(ExitCode::SUCCESS)
}

fn missing(missing: NotFound) -> Failure {
    let (kind, list) = match missing.kind {
        NotFoundKind::DaemonSet => ("DaemonSet", "`everynode status -A` lists what there is"),
        NotFoundKind::Node => ("Node", "`kubectl get nodes` lists what there is"),
    };
    let hint = match missing.near.is_empty() {
        true => list.to_owned(),
        false => format!("there is {}", any_of(&missing.near)),
    };
    Failure::with_hint(format!("there is no {kind} {}", missing.name), hint)
}

/// `daemonset/NAME`, as kubectl writes it.
fn daemonset(text: &str) -> Result<String, String> {
    named(text, is_daemonset, "daemonset")
}

/// `node/NAME`.
fn node(text: &str) -> Result<String, String> {
    let is_node = |kind: &str| ["node", "nodes", "no"].contains(&kind.to_ascii_lowercase().as_str());
    named(text, is_node, "node")
}

fn named(text: &str, is_kind: impl Fn(&str) -> bool, kind: &str) -> Result<String, String> {
    match text.split_once('/') {
        Some((_, "")) => Err(format!("the name is missing: write {kind}/NAME")),
        Some((written, name)) if is_kind(written) => Ok(name.to_owned()),
        Some((written, _)) => Err(format!("{written} is another kind: write {kind}/NAME")),
        None => Err(format!("write {kind}/{text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_named_as_kubectl_names_them() {
        for text in ["daemonset/agent", "ds/agent", "daemonsets/agent", "DaemonSet.apps/agent"] {
            assert_eq!(daemonset(text), Ok("agent".to_owned()), "{text}");
        }
        assert_eq!(node("node/a"), Ok("a".to_owned()));
        for (text, expected) in [
            ("agent", "write daemonset/agent"),
            ("deployment/web", "deployment is another kind: write daemonset/NAME"),
            ("ds/", "the name is missing: write daemonset/NAME"),
        ] {
            assert_eq!(daemonset(text), Err(expected.to_owned()));
        }
    }
}
