//! Nodes on which pods fail, are not made or are not bound already.

use super::finding::{Finding, FindingKind, Severity, finding};
use crate::model::Model;
use crate::run::Run;
use crate::standing::Standing;
use crate::words::{count, some};

/// What is so before the change, and what it takes to be otherwise.
pub(super) fn of_run(model: &Model, run: &Run) -> Vec<Finding> {
    [Standing::Fails, Standing::NotCreated, Standing::NotScheduled, Standing::Unschedulable]
        .into_iter()
        .filter_map(|standing| of(standing, model, run))
        .collect()
}

fn of(standing: Standing, model: &Model, run: &Run) -> Option<Finding> {
    // What the model knows of room, quotas and schedulers it has said already.
    let is_said = |index: u32| match standing {
        Standing::NotCreated => run.tally.refused.is_some(),
        Standing::Unschedulable => run.misfits().iter().any(|(misfit, _)| *misfit == index),
        Standing::NotScheduled => model.missing_scheduler().is_some(),
        Standing::Fails => false,
    };
    let nodes = (0..).zip(&model.nodes).filter(|(index, node)| {
        node.standing == Some(standing) && node.verdict.should_run && !is_said(*index)
    });
    let nodes: Vec<String> = nodes.map(|(_, node)| node.name.clone()).collect();
    if nodes.is_empty() {
        return None;
    }
    let on = format!("on {} ({})", count(nodes.len(), "node"), some(&nodes));
    let (kind, text) = match standing {
        Standing::Fails => (FindingKind::NewPodsFail, format!("pods fail {on}, one after the other")),
        Standing::NotCreated => {
            let text = format!(
                "no pod is made {on}: they are refused, which events of the DaemonSet tell, or no controller runs"
            );
            (FindingKind::NotCreated, text)
        }
        Standing::NotScheduled => {
            let spec = &model.daemonset.template.value()["spec"];
            let scheduler = spec["schedulerName"].as_str().unwrap_or("default-scheduler");
            let text = format!("no scheduler binds the pods {on}: nobody serves schedulerName {scheduler}");
            (FindingKind::NotScheduled, text)
        }
        Standing::Unschedulable => {
            let text = format!("the scheduler binds no pod {on}, and says why in its condition PodScheduled");
            (FindingKind::NotScheduled, text)
        }
    };
    let then = if model.is_unchanged { "" } else { ". Unless the change mends that, it does not end there" };
    Some(finding(kind, Severity::Unsafe, format!("{text}{then}"), nodes))
}
