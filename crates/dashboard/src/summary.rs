//! What `status` says of a DaemonSet, with numbers of nodes where it has their names: those are in columns.

use std::collections::BTreeMap;

use everynode_analysis::Verdict;
use everynode_api::AnalysisStatus;
use everynode_engine::Service;
use everynode_inspect::status::{Group, Row};
use serde::Serialize;
use serde_json::{Value, json};

/// Names that are told of a group.
const NAMES: usize = 5;
/// Failed and exempt nodes that are told one by one.
const FAILED: usize = 200;

/// The summary of a DaemonSet.
pub fn of_row(mut row: Row, analysis: Option<&(AnalysisStatus, u64)>) -> Value {
    let groups = std::mem::take(&mut row.groups);
    let used_by = row.budget.as_mut().map(|budget| std::mem::take(&mut budget.used_by));
    let exempt = row.policy.as_ref().map_or(0, |policy| policy.exempt.len());
    let failed = row.policy.as_ref().map_or(0, |policy| policy.failed.len());
    if let Some(policy) = &mut row.policy {
        policy.exempt.truncate(FAILED);
        policy.failed.truncate(FAILED);
    }
    let coverage = coverage(&row);
    let mut summary = serde_json::to_value(&row).unwrap_or_default();
    summary["groups"] = groups.iter().map(of_group).collect();
    if let Some(used_by) = used_by {
        summary["budget"]["usedBy"] = used_by.iter().map(of_group).collect();
    }
    if row.policy.is_some() {
        summary["policy"]["failedCount"] = failed.into();
        summary["policy"]["exemptCount"] = exempt.into();
        summary["policy"]["analysis"] = analysis.map(of_analysis).unwrap_or_default();
    }
    summary["coverage"] = coverage;
    summary
}

/// What evidence there is that a revision is worse, without what is there for the next leader only.
fn of_analysis((analysis, worse_from): &(AnalysisStatus, u64)) -> Value {
    let signals = analysis.signals.iter().map(|signal| {
        json!({
            "name": signal.name,
            "verdict": signal.verdict.map(Verdict::name),
            "message": signal.message,
            "nodes": signal.nodes,
            "controls": signal.controls,
            "chanceOneIn": signal.chance_one_in,
        })
    });
    json!({
        "verdict": analysis.verdict.map(Verdict::name),
        "basis": analysis.basis,
        "message": analysis.message,
        "common": analysis.common,
        "worstNodes": analysis.worst_nodes,
        "worseFrom": worse_from,
        "signals": signals.collect::<Vec<_>>(),
    })
}

/// As `everynode coverage` counts.
fn coverage(row: &Row) -> Value {
    let (mut nodes, mut served, mut causes) = (0, 0, BTreeMap::new());
    for service in row.cells.iter().filter_map(|cell| cell.service) {
        nodes += 1;
        match service {
            Service::Served => served += 1,
            cause => *causes.entry(cause.name()).or_insert(0) += 1,
        }
    }
    json!({"nodes": nodes, "served": served, "causes": causes})
}

fn of_group(group: &Group) -> Value {
    let mut value = serde_json::to_value(&group.reason).unwrap_or_default();
    value["class"] = word(&group.class).into();
    value["count"] = group.nodes.len().into();
    value["nodes"] = group.nodes.iter().take(NAMES).map(|name| &**name).collect();
    value
}

/// How a unit variant is written in JSON.
pub fn word(variant: &impl Serialize) -> String {
    let value = serde_json::to_value(variant).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}
