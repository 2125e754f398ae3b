//! What of a plan somebody should know before going on: stalls, losses and their causes.

mod conducted;
mod finding;
mod standing;

use everynode_engine::fit::MisfitReason;
use everynode_engine::pod_body::GENERATION_LABEL;
use everynode_engine::{Budget, IntOrPercent, Strategy, Time, available_at};
use everynode_model::time;

use crate::model::{Model, ModelNode};
use crate::run::{Left, Run};
use crate::standing::Standing;
use crate::words::{count, names, some};
use crate::world::{Refusal, Refused};

pub(crate) use finding::finding;
pub use finding::{Finding, FindingKind, Severity};

/// Everything that the runs show; the first run is the one with typical times.
pub(crate) fn of_runs(model: &Model, runs: &[Run]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Some(typical) = runs.first() else { return findings };
    let desired = model.desired();
    if desired == 0 {
        let then = if model.pods.is_empty() {
            "no pod is created"
        } else {
            "every pod is removed and none is created"
        };
        let message = format!("no node is eligible: {then}; look at nodeSelector, affinity and tolerations");
        findings.push(finding(FindingKind::NoEligibleNode, Severity::Unsafe, message, Vec::new()));
    }
    if model.policies.is_empty() {
        findings.extend(stall(model, typical).or_else(|| stalls_in_some(model, runs)));
    }
    findings.extend(no_room(model, typical));
    findings.extend(failures(model, typical));
    findings.extend(standing::of_run(model, typical));
    findings.extend(match model.policies.is_empty() {
        true => excess(model, runs).into_iter().collect(),
        false => conducted::of_runs(model, runs),
    });
    findings.extend(notes(model, typical));
    findings
}

/// The nodes that were left for a reason.
fn left<'a>(model: &'a Model, run: &'a Run, is: impl Fn(&Left) -> bool + 'a) -> Vec<&'a ModelNode> {
    let nodes = run.left.iter().filter(move |(_, why)| is(why));
    nodes.filter_map(|(index, _)| model.nodes.get(*index as usize)).collect()
}

fn budget(model: &Model) -> Option<Budget> {
    Budget::for_nodes(model.daemonset.strategy, i32::try_from(model.desired()).unwrap_or(i32::MAX))
}

/// How the budget reads: `the budget of 14 (5%)`.
fn budget_text(model: &Model) -> String {
    let of = |value: IntOrPercent, number: i32| match value {
        IntOrPercent::Int(_) => format!("{number}"),
        IntOrPercent::Percent(percent) => format!("{number} ({percent}%)"),
    };
    match (model.daemonset.strategy, budget(model)) {
        (Strategy::RollingUpdate { max_unavailable, .. }, Some(Budget::Unavailable(number))) => {
            format!("the budget of {}", of(max_unavailable, number))
        }
        (Strategy::RollingUpdate { max_surge, .. }, Some(Budget::Surge(number))) => {
            format!("the surge of {}", of(max_surge, number))
        }
        _ => "the budget".to_owned(),
    }
}

/// Old pods that the roll-out does not come to.
fn stall(model: &Model, run: &Run) -> Option<Finding> {
    let behind = left(model, run, |why| *why == Left::NotReached);
    budget(model).filter(|_| !behind.is_empty())?;
    let updated = model.desired() - run.left.len();
    let mut down = left(model, run, |why| *why == Left::Down);
    let holding = run.holding.iter().filter_map(|index| model.nodes.get(*index as usize));
    let (held_down, held_up): (Vec<_>, Vec<_>) = holding.partition(|node| !node.is_up);
    down.extend(held_down);
    down.sort_by(|a, b| a.name.cmp(&b.name));
    let down_names = names(&down);
    let mut causes = Vec::new();
    if !down.is_empty() {
        causes.push(format!("{} down ({})", are(down.len()), some(&down_names)));
    }
    let mut group = |is: fn(&Left) -> bool, what: &str| {
        let nodes = left(model, run, is);
        if !nodes.is_empty() {
            causes.push(format!("{} {what} ({})", nodes.len(), some(&names(&nodes))));
        }
        nodes.len()
    };
    let no_room = group(|why| matches!(why, Left::NoRoom(_)), "whose pod does not fit");
    let failed = group(|why| *why == Left::Failed, "whose new pod fails");
    group(|why| *why == Left::NoScheduler, "whose new pod no scheduler takes");
    group(|why| *why == Left::NotReady, "whose pod is not ready");
    group(|why| *why == Left::NotCreated, "without a pod");
    if !held_up.is_empty() {
        let names = some(&names(&held_up));
        causes
            .push(format!("{} not eligible any more, with a pod that is not ready ({names})", held_up.len()));
    }
    let ports = is_surge_with_ports(model, run);
    let kind = match () {
        () if ports => FindingKind::SurgeHostPorts,
        () if down.len() > no_room + failed => FindingKind::DeadNodesUseBudget,
        () => FindingKind::Stalls,
    };
    let mut message = format!(
        "stalls: {} of {} get the new template, {} not reached ({})",
        updated,
        count(model.desired(), "node"),
        are(behind.len()),
        some(&names(&behind))
    );
    if !causes.is_empty() {
        message.push_str(&format!("; {} is used up by: {}", budget_text(model), causes.join(", ")));
    }
    if ports {
        message.push_str(
            ". The new pods want host ports that the old ones hold until the new ones are available: set maxSurge \
             to 0 and maxUnavailable above 0",
        );
    } else if kind == FindingKind::DeadNodesUseBudget {
        let number = down.len() + no_room + failed;
        message.push_str(&format!(". Repair or remove these nodes, or set maxUnavailable above {number}"));
    }
    Some(finding(kind, Severity::Unsafe, message, if down.is_empty() { names(&behind) } else { down_names }))
}

/// The typical run comes to its end, and some of the others do not.
fn stalls_in_some(model: &Model, runs: &[Run]) -> Option<Finding> {
    budget(model)?;
    let stalls = |run: &&Run| run.left.iter().any(|(_, why)| *why == Left::NotReached);
    let stalled = runs.iter().filter(stalls).count();
    (stalled > 0).then(|| {
        let of = runs.len();
        let message =
            format!("stalls in {stalled} of {of} runs: {} is used up by failures", budget_text(model));
        finding(FindingKind::Stalls, Severity::Unsafe, message, Vec::new())
    })
}

fn are(number: usize) -> String {
    match number {
        1 => "1 is".to_owned(),
        number => format!("{number} are"),
    }
}

fn is_surge_with_ports(model: &Model, run: &Run) -> bool {
    model.daemonset.strategy.allows_surge()
        && !model.demand.ports.is_empty()
        && run.left.iter().any(|(_, why)| {
            matches!(why, Left::NoRoom(misfit) if misfit.reasons.contains(&MisfitReason::NoFreePorts))
        })
}

fn no_room(model: &Model, run: &Run) -> Option<Finding> {
    let misfits = run.misfits();
    let nodes: Vec<&ModelNode> = misfits.iter().map(|(index, _)| &model.nodes[*index as usize]).collect();
    if nodes.is_empty() {
        return None;
    }
    let mut reasons: Vec<String> = misfits.iter().flat_map(|(_, misfit)| misfit.texts()).collect();
    reasons.sort_unstable();
    reasons.dedup();
    let lost = |(index, why): &&(u32, Left)| {
        matches!(why, Left::NoRoom(_)) && run.was_available.get(*index as usize) == Some(&true)
    };
    let lost = run.left.iter().filter(lost).count();
    let is_surge = model.daemonset.strategy.allows_surge();
    let mut message =
        format!("the pod does not fit on {}: {}", count(nodes.len(), "node"), reasons.join(", "));
    if lost > 0 && !is_surge {
        message.push_str(
            match lost {
                1 => "; 1 of them has a daemon now and loses it".to_owned(),
                lost => format!("; {lost} of them have a daemon now and lose it"),
            }
            .as_str(),
        );
    }
    match run.unfit.len() {
        0 => {}
        1 => message.push_str("; 1 of them keeps its old pod as long as that is not replaced"),
        kept => message
            .push_str(&format!("; {kept} of them keep their old pods as long as these are not replaced")),
    }
    Some(finding(FindingKind::NoRoom, Severity::Unsafe, message, names(&nodes)))
}

fn failures(model: &Model, run: &Run) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut failed = left(model, run, |why| *why == Left::Failed);
    failed.retain(|node| node.standing != Some(Standing::Fails));
    if !failed.is_empty() {
        let message =
            format!("the new pod does not become ready on {}, as asked for", count(failed.len(), "node"));
        findings.push(finding(FindingKind::NewPodsFail, Severity::Unsafe, message, names(&failed)));
    }
    let waiting = left(model, run, |why| *why == Left::NoScheduler);
    if let Some(scheduler) = model.missing_scheduler().filter(|_| !waiting.is_empty()) {
        let message = format!(
            "schedulerName is {scheduler}, and no pod of that scheduler is on a node: nobody seems to run it, so new \
             pods stay Pending on {}",
            count(waiting.len(), "node")
        );
        findings.push(finding(FindingKind::NotScheduled, Severity::Unsafe, message, names(&waiting)));
    }
    findings.extend(refusal(model, run));
    findings
}

/// What the API server does not make.
fn refusal(model: &Model, run: &Run) -> Option<Finding> {
    let Refusal { of, message } = run.tally.refused.as_ref()?;
    let is_missing = |why: &Left| match of {
        Refused::Revision => matches!(why, Left::NotCreated | Left::NotReached),
        Refused::Pod | Refused::ByQuota => *why == Left::NotCreated,
    };
    let missing = left(model, run, is_missing);
    if missing.is_empty() {
        return None;
    }
    let nodes = count(missing.len(), "node");
    let (kind, message) = match of {
        Refused::ByQuota => (FindingKind::Quota, format!("pods are refused on {nodes}: {message}")),
        Refused::Pod => (FindingKind::Refused, format!("pods are refused on {nodes}: {message}")),
        Refused::Revision => (
            FindingKind::Refused,
            format!("the revision that pods are made from is refused, so {nodes} get none: {message}"),
        ),
    };
    Some(finding(kind, Severity::Unsafe, message, names(&missing)))
}

/// More nodes without a Ready pod than there may be.
fn excess(model: &Model, runs: &[Run]) -> Option<Finding> {
    let allowed = match budget(model)? {
        Budget::Unavailable(number) => u32::try_from(number).unwrap_or(0),
        Budget::Surge(_) => 0,
    };
    let worst = runs.iter().max_by_key(|run| run.tally.worst_unserved)?;
    let (most, before) = (worst.tally.worst_unserved, worst.unserved_before);
    if most <= allowed.max(before) {
        return None;
    }
    let young = young_pods(model);
    let text =
        format!("{most} nodes are without a Ready pod at once; {} allows {allowed}", budget_text(model));
    Some(if young > 0 {
        let message = format!(
            "{text}. {young} pods are Ready for less than minReadySeconds ({}s) and so count as unavailable: a new \
             template replaces them all at once, outside the budget. Wait until they are available",
            model.daemonset.min_ready_seconds
        );
        finding(FindingKind::YoungPods, Severity::Unsafe, message, Vec::new())
    } else {
        finding(FindingKind::ExceedsBudget, Severity::Unsafe, text, Vec::new())
    })
}

/// Pods that are Ready, but not yet for minReadySeconds.
fn young_pods(model: &Model) -> usize {
    let min_ready_seconds = model.daemonset.min_ready_seconds;
    let available_at = |since: Option<i64>| available_at(since.map(Time::from_seconds), min_ready_seconds);
    let pods = model.pods.iter().filter(|pod| pod.pod.ready && !pod.pod.deleting);
    pods.filter(|pod| available_at(pod.pod.ready_since).is_some_and(|at| at > model.begin)).count()
}

fn notes(model: &Model, run: &Run) -> Vec<Finding> {
    let mut findings = Vec::new();
    let down = left(model, run, |why| *why == Left::Down);
    let is_conducted = !model.policies.is_empty();
    let is_behind = run.left.iter().any(|(_, why)| *why == Left::NotReached);
    let stalls = is_behind && budget(model).is_some() && !is_conducted;
    if !down.is_empty() && !stalls {
        let since = down.iter().filter_map(|node| node.ready_since).min();
        let since = since.map(|since| format!(", the first since {}", time::format(since)));
        let message = format!(
            "{} down{} and will have no pod of the new template until they are back",
            are(down.len()),
            since.unwrap_or_default()
        );
        findings.push(finding(FindingKind::DeadNodes, Severity::Note, message, names(&down)));
    }
    if !run.pushed_out.is_empty() {
        let pods: i64 = run.pushed_out.iter().map(|(_, pods)| pods).sum();
        let nodes: Vec<&ModelNode> =
            run.pushed_out.iter().filter_map(|(index, _)| model.nodes.get(*index as usize)).collect();
        let message = format!(
            "the pod fits on {} only by pushing out pods of lower priority, {pods} at most",
            count(nodes.len(), "node")
        );
        findings.push(finding(FindingKind::PushesOut, Severity::Note, message, names(&nodes)));
    }
    let behind = left(model, run, |why| *why == Left::NotReached).len();
    if budget(model).is_none() && !is_conducted && behind > 0 {
        let message = format!(
            "updateStrategy is OnDelete: {} their old pod until somebody deletes it",
            match behind {
                1 => "1 node keeps".to_owned(),
                behind => format!("{behind} nodes keep"),
            }
        );
        findings.push(finding(FindingKind::OnDelete, Severity::Note, message, Vec::new()));
    }
    findings.extend(counts_as_updated(model, run));
    findings.extend(not_modelled(model));
    findings
}

/// Kubernetes takes a pod as updated whose label has the generation of the template, whatever it was made from.
fn counts_as_updated(model: &Model, run: &Run) -> Option<Finding> {
    let nodes: Vec<&ModelNode> =
        run.kept_as_updated.iter().filter_map(|index| model.nodes.get(*index as usize)).collect();
    (!nodes.is_empty()).then(|| {
        let message = format!(
            "pods of another template count as updated on {} and stay, as their label {GENERATION_LABEL} is {} like \
             that of new ones: delete these pods",
            count(nodes.len(), "node"),
            model.daemonset.template_generation.unwrap_or_default()
        );
        finding(FindingKind::CountsAsUpdated, Severity::Note, message, names(&nodes))
    })
}

/// Parts of the template that the scheduler reads and the model does not.
fn not_modelled(model: &Model) -> Option<Finding> {
    let spec = &model.daemonset.template.value()["spec"];
    let volumes = spec["volumes"].as_array().into_iter().flatten();
    let claims = volumes.filter(|volume| !volume["persistentVolumeClaim"].is_null()).count();
    let parts: Vec<&str> = [
        (!spec["affinity"]["podAffinity"].is_null(), "podAffinity"),
        (!spec["affinity"]["podAntiAffinity"].is_null(), "podAntiAffinity"),
        (!spec["topologySpreadConstraints"].is_null(), "topologySpreadConstraints"),
        (!spec["resourceClaims"].is_null(), "resourceClaims"),
        (claims > 0, "volumes of claims"),
    ]
    .into_iter()
    .filter_map(|(is_set, name)| is_set.then_some(name))
    .collect();
    (!parts.is_empty()).then(|| {
        let message = format!("not looked at, and may keep pods from their nodes: {}", parts.join(", "));
        finding(FindingKind::NotModelled, Severity::Note, message, Vec::new())
    })
}
