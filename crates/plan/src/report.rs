//! A plan: what the runs show, put together.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use everynode_apimachinery::patch::three_way;
use everynode_engine::fit::Misfit;
use everynode_engine::placement::{Reason, Verdict};
use everynode_engine::{Budget, Template};
use serde::Serialize;
use serde_json::Value;

use crate::change::Change;
use crate::conducted::Conducted;
use crate::diff::{FieldChange, diff};
use crate::findings::{Finding, FindingKind, Severity, finding, of_runs};
use crate::fleet::Fleet;
use crate::model::{Assumptions, Failing, Model, ModelNode};
use crate::record::Unseen;
use crate::run::Run;
use crate::spread::{Spread, percentile};
use crate::token::Token;
use crate::words::NodeReason;

/// What a plan may be told.
#[derive(Clone, Debug)]
pub struct Options {
    /// From a pod's creation to Ready; `None` learns it from the fleet.
    pub start: Option<Spread>,
    /// From a pod's deletion to its end.
    pub stop: Spread,
    /// The share of new pods that never become ready, from 0 to 1.
    pub failure_rate: f64,
    /// Nodes on which something goes wrong.
    pub failing: Vec<Failing>,
    /// Waves of a policy that wait for somebody are promoted at once.
    pub promote: bool,
    /// Seeded runs for durations; `None` takes as many as are quick.
    pub runs: Option<usize>,
    /// Fixes the runs.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            start: None,
            stop: Spread::Fixed(2_000),
            failure_rate: 0.0,
            failing: Vec::new(),
            promote: false,
            runs: None,
            seed: 1,
        }
    }
}

/// Nodes of all runs together: with this many, a plan is quick.
const QUICK: usize = 80_000;
/// The same under a policy.
const QUICK_CONDUCTED: usize = 40_000;
/// Seeded runs at most and at least, unless told.
const RUNS: (usize, usize) = (8, 40);

/// What a change will do. Its JSON form is documented in `docs/plan.md`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// metadata.namespace.
    pub namespace: String,
    /// metadata.name.
    pub name: String,
    /// Whether it can be made as it is.
    pub safe: bool,
    /// The DaemonSet does not exist yet.
    pub is_new: bool,
    /// What changes in the labels and in the spec.
    pub changes: Vec<FieldChange>,
    /// Where it runs.
    pub nodes: Placement,
    /// How many replacements there are, by waves.
    pub waves: Vec<Wave>,
    /// What the policy makes of it that conducts it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<Conducted>,
    /// How long it takes.
    pub duration: Duration,
    /// How bad it gets.
    pub unavailable: Unavailable,
    /// The nodes that should run a pod after the change.
    #[serde(skip)]
    pub desired: Vec<String>,
    /// A pod of the new template as the API server stores it, or why it makes none.
    #[serde(skip)]
    pub pod: Result<Value, String>,
    /// Those of them without an available pod of the new template in the end.
    pub left: Vec<String>,
    /// Pods that do not fit.
    pub misfits: Vec<NodeReason>,
    /// What somebody should know.
    pub findings: Vec<Finding>,
    /// What the API server warns of.
    pub warnings: Vec<String>,
    /// A fingerprint of what the plan depended on.
    pub token: Token,
}

/// Where a DaemonSet runs.
#[derive(Clone, Debug, Serialize)]
pub struct Placement {
    /// How many nodes should run a pod after the change.
    pub desired: usize,
    /// How many there are.
    pub total: usize,
    /// Nodes that get a pod because of the change.
    pub gained: Vec<NodeReason>,
    /// Nodes that lose theirs.
    pub lost: Vec<NodeReason>,
}

/// Nodes that change at about the same time: each begins when some node of the wave before is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Wave {
    /// When the first of them begins, in milliseconds after the change.
    pub from_millis: i64,
    /// The nodes, in their order.
    pub nodes: Vec<String>,
}

/// How long the change takes.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Duration {
    /// With typical times only: every pod takes the median.
    pub typical_millis: i64,
    /// The median of the runs.
    pub p50_millis: i64,
    /// The 95th percentile of the runs.
    pub p95_millis: i64,
    /// How many runs.
    pub runs: usize,
    /// The median start of a pod.
    pub start_p50_millis: i64,
    /// The 99th percentile of a pod's start.
    pub start_p99_millis: i64,
    /// Where these come from.
    pub start_origin: String,
}

/// How many nodes lack a daemon.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Unavailable {
    /// Nodes without an available pod before the change, nodes that it adds included.
    pub before: u32,
    /// The most at once, over all runs.
    pub worst: u32,
    /// The most at once with typical times.
    pub worst_typical: u32,
    /// When that is, in milliseconds after the change.
    pub worst_at_millis: i64,
    /// Which nodes, then.
    pub worst_nodes: Vec<String>,
    /// Nodes without a Ready pod at once, at most, over all runs.
    pub worst_not_ready: u32,
    /// Nodes that are not eligible, with a pod that is not available: they count against the budget as well.
    pub held: usize,
    /// Nodes without an available pod of the new template in the end.
    pub after: usize,
    /// What the strategy allows: maxUnavailable as a number of nodes; absent with surge or OnDelete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed: Option<i32>,
    /// maxSurge as a number of nodes; absent without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub surge: Option<i32>,
}

impl Plan {
    /// Plans a change of a fleet; `None` when the changed DaemonSet has no proper name or uid.
    pub fn make(fleet: &Fleet, change: &Change, options: &Options) -> Option<Plan> {
        let learned = fleet.starts(change.uid());
        let (start, origin) = match &options.start {
            Some(given) => (given.clone(), "as given".to_owned()),
            None => (learned.spread, learned.origin),
        };
        let assumptions = Assumptions {
            start: start.clone(),
            stop: options.stop.clone(),
            failure_rate: options.failure_rate,
            failing: options.failing.clone(),
            promote: options.promote,
        };
        let model = Model::new(fleet, change, assumptions)?;
        let runs = runs(&model, options);
        let typical = runs.first()?;
        let mut findings = of_runs(&model, &runs);
        findings.extend(around(fleet, change));
        Some(Plan {
            namespace: change.namespace.clone(),
            name: change.name.clone(),
            safe: findings.iter().all(|one| one.severity != Severity::Unsafe),
            is_new: change.live.is_none(),
            changes: changes(change),
            nodes: placement(&model, change),
            waves: waves(&model, typical),
            policy: Conducted::of(&model, typical),
            duration: duration(&runs, &start, origin),
            unavailable: unavailable(&model, &runs, typical),
            desired: (0..model.nodes.len() as u32)
                .filter(|index| model.nodes[*index as usize].verdict.should_run)
                .filter_map(|index| name_of(&model, index))
                .collect(),
            pod: model.made.as_ref().map(|made| made.pod.clone()).map_err(String::clone),
            left: typical.left.iter().filter_map(|(index, _)| name_of(&model, *index)).collect(),
            misfits: misfits(&model, typical),
            findings,
            warnings: change.warnings.clone(),
            token: Token::of(change, &model, typical),
        })
    }
}

fn name_of(model: &Model, index: u32) -> Option<String> {
    model.nodes.get(index as usize).map(|node| node.name.clone())
}

/// The run with typical times, then the seeded ones.
fn runs(model: &Model, options: &Options) -> Vec<Run> {
    let steady = Model {
        assumptions: Assumptions {
            start: Spread::Fixed(model.assumptions.start.percentile(50)),
            stop: Spread::Fixed(model.assumptions.stop.percentile(50)),
            ..model.assumptions.clone()
        },
        ..model.clone()
    };
    let is_fixed = |spread: &Spread| matches!(spread, Spread::Fixed(_));
    let nothing_is_drawn = is_fixed(&model.assumptions.start)
        && is_fixed(&model.assumptions.stop)
        && model.assumptions.failure_rate == 0.0;
    let count = match options.runs {
        _ if nothing_is_drawn => 0,
        Some(runs) => runs,
        None => {
            let quick = if model.policies.is_empty() { QUICK } else { QUICK_CONDUCTED };
            (quick / model.nodes.len().max(1)).clamp(RUNS.0, RUNS.1)
        }
    };
    let seeds: Vec<u64> = (0..count as u64).map(|run| options.seed.wrapping_add(run)).collect();
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let mut runs = vec![Run::of(&steady, options.seed)];
    std::thread::scope(|scope| {
        let share = |first: usize| seeds.iter().skip(first).step_by(threads).copied().collect::<Vec<u64>>();
        let work = |seeds: Vec<u64>| move || seeds.iter().map(|seed| Run::of(model, *seed)).collect();
        let workers: Vec<_> = (0..threads).map(|first| scope.spawn(work(share(first)))).collect();
        for worker in workers {
            let done: Vec<Run> = worker.join().unwrap_or_default();
            runs.extend(done);
        }
    });
    runs
}

fn changes(change: &Change) -> Vec<FieldChange> {
    let Some(live) = &change.live else { return Vec::new() };
    let mut changes = diff("metadata.labels", &live["metadata"]["labels"], &change.new["metadata"]["labels"]);
    changes.extend(diff("spec", &live["spec"], &change.new["spec"]));
    changes
}

fn placement(model: &Model, change: &Change) -> Placement {
    let old = change.live.as_ref().map(|live| Template::new(live["spec"]["template"].clone()));
    let new = model.daemonset.template.placement();
    let (mut gained, mut lost) = (Vec::new(), Vec::new());
    for node in &model.nodes {
        let before = old.as_ref().map_or(Verdict::AWAY, |old| old.placement().verdict(node));
        let reason = |node: &ModelNode, reason: Reason| NodeReason {
            node: node.name.clone(),
            reason: reason_text(&reason),
        };
        match (before.should_run, node.verdict.should_run, node.verdict.should_continue) {
            (false, true, _) if old.is_some() => {
                let why = old.as_ref().map_or(Reason::Eligible, |old| old.placement().reason(node));
                gained.push(NodeReason {
                    reason: format!("no longer kept away: {}", reason_text(&why)),
                    ..reason(node, why)
                });
            }
            (true, _, false) => lost.push(reason(node, new.reason(node))),
            _ => {}
        }
    }
    Placement { desired: model.desired(), total: model.nodes.len(), gained, lost }
}

/// A reason as a clause.
fn reason_text(reason: &Reason) -> String {
    match reason {
        Reason::Eligible => "eligible".to_owned(),
        Reason::OtherNodeName { wanted } => format!("nodeName is {wanted}"),
        Reason::NodeSelector { key, wanted, actual: Some(actual) } => {
            format!("nodeSelector wants {key}={wanted}, the node has {actual}")
        }
        Reason::NodeSelector { key, wanted, actual: None } => {
            format!("nodeSelector wants {key}={wanted}, the node has no such label")
        }
        Reason::NodeAffinity => "required node affinity does not match".to_owned(),
        Reason::Taint { key, value, effect } => match value.as_str() {
            "" => format!("taint {key}:{} is not tolerated", effect.as_str()),
            value => format!("taint {key}={value}:{} is not tolerated", effect.as_str()),
        },
    }
}

fn waves(model: &Model, run: &Run) -> Vec<Wave> {
    let mut waves: BTreeMap<u32, Wave> = BTreeMap::new();
    for touch in &run.tally.order {
        let new = || Wave { from_millis: touch.at_millis, nodes: Vec::new() };
        waves.entry(touch.wave).or_insert_with(new).nodes.extend(name_of(model, touch.node));
    }
    waves.into_values().collect()
}

fn duration(runs: &[Run], start: &Spread, start_origin: String) -> Duration {
    let millis = |run: &Run| run.tally.last_progress_millis;
    let typical_millis = runs.first().map_or(0, millis);
    let mut seeded: Vec<i64> = runs.iter().skip(1).map(millis).collect();
    seeded.sort_unstable();
    let at = |percent: usize| match seeded.is_empty() {
        true => typical_millis,
        false => percentile(&seeded, percent),
    };
    Duration {
        typical_millis,
        p50_millis: at(50),
        p95_millis: at(95),
        runs: seeded.len(),
        start_p50_millis: start.percentile(50),
        start_p99_millis: start.percentile(99),
        start_origin,
    }
}

fn unavailable(model: &Model, runs: &[Run], typical: &Run) -> Unavailable {
    let budget =
        Budget::for_nodes(model.daemonset.strategy, i32::try_from(model.desired()).unwrap_or(i32::MAX));
    let name = |index: &u32| name_of(model, *index);
    Unavailable {
        before: typical.unavailable_before,
        worst: runs.iter().map(|run| run.tally.worst).max().unwrap_or(0),
        worst_typical: typical.tally.worst,
        worst_at_millis: typical.tally.worst_at_millis,
        worst_nodes: typical.tally.worst_nodes.iter().filter_map(name).collect(),
        worst_not_ready: runs.iter().map(|run| run.tally.worst_unserved).max().unwrap_or(0),
        held: typical.holding.len(),
        after: typical.left.len(),
        allowed: match (Conducted::of(model, typical), budget) {
            (Some(conducted), _) => i32::try_from(conducted.max_unavailable).ok(),
            (None, Some(Budget::Unavailable(number))) => Some(number),
            _ => None,
        },
        surge: match budget {
            Some(Budget::Surge(number)) => Some(number),
            _ => None,
        },
    }
}

fn misfits(model: &Model, run: &Run) -> Vec<NodeReason> {
    let named = |(index, misfit): (u32, &Misfit)| {
        Some(NodeReason {
            node: name_of(model, index)?,
            reason: misfit.texts().collect::<Vec<_>>().join(", "),
        })
    };
    run.misfits().into_iter().filter_map(named).collect()
}

/// What else is to be known: who owns the DaemonSet, and what was not seen.
fn around(fleet: &Fleet, change: &Change) -> Vec<Finding> {
    let mut found = Vec::new();
    let metadata = change.live.as_ref().map_or(&Value::Null, |live| &live["metadata"]);
    if metadata["deletionTimestamp"].is_string() {
        let message = "the DaemonSet is being deleted: a change does nothing any more";
        found.push(finding(FindingKind::BeingDeleted, Severity::Unsafe, message, Vec::new()));
    }
    if !fleet.view().has_namespace(&change.namespace) {
        let message = format!(
            "there is no namespace {}, and the manifest brings none: the DaemonSet is refused until somebody makes it",
            change.namespace
        );
        found.push(finding(FindingKind::NoNamespace, Severity::Note, message, Vec::new()));
    }
    let is_applied =
        change.applied_by.is_some() || metadata["annotations"][three_way::LAST_APPLIED].is_string();
    if change.live.is_some() && !is_applied {
        let message =
            "it was not made by kubectl apply: fields that the manifest leaves out keep their values";
        found.push(finding(FindingKind::NotApplied, Severity::Note, message, Vec::new()));
    }
    if let (Some(manager), Some(conflicts)) = (&change.applied_by, &change.conflicts) {
        let message = format!(
            "a server-side apply as {manager:?} is refused unless it takes fields from others by force: {}",
            conflicts.replace('\n', " ")
        );
        found.push(finding(FindingKind::Conflicts, Severity::Note, message, Vec::new()));
    }
    if let Some(owner) = change.live.as_ref().and_then(owner) {
        let message = format!("{owner}: it may undo a change that is made elsewhere");
        found.push(finding(FindingKind::ManagedElsewhere, Severity::Note, message, Vec::new()));
    }
    for unseen in fleet.unseen.iter().filter(|unseen| matters(change, &unseen.resource)) {
        let message =
            format!("{} could not be seen ({}), so {}", unseen.what(), unseen.why, consequence(unseen));
        found.push(finding(FindingKind::NotSeen, Severity::Note, message, Vec::new()));
    }
    found
}

/// Whether a part that was not seen can change what a plan says.
fn matters(change: &Change, resource: &str) -> bool {
    let spec = &change.new["spec"]["template"]["spec"];
    match resource {
        "runtimeclasses" => !spec["runtimeClassName"].is_null(),
        "namespaces" => change.live.is_none(),
        _ => true,
    }
}

/// Labels and annotations by which tools know what is theirs.
const MARKS: [(&str, &str, &str); 5] = [
    ("annotations", "meta.helm.sh/release-name", "the Helm release {} brought this DaemonSet"),
    ("annotations", "argocd.argoproj.io/tracking-id", "Argo CD keeps this DaemonSet"),
    ("labels", "kustomize.toolkit.fluxcd.io/name", "the Flux Kustomization {} keeps this DaemonSet"),
    ("labels", "helm.toolkit.fluxcd.io/name", "the Flux HelmRelease {} keeps this DaemonSet"),
    ("labels", "app.kubernetes.io/managed-by", "{} manages this DaemonSet"),
];

fn owner(live: &Value) -> Option<String> {
    let metadata = &live["metadata"];
    let owners = metadata["ownerReferences"].as_array().into_iter().flatten();
    if let Some(owner) = owners.into_iter().find(|owner| owner["controller"] == true) {
        let text = |key: &str| owner[key].as_str().unwrap_or_default();
        return Some(format!("{} {} controls this DaemonSet", text("kind"), text("name")));
    }
    let marked = |(part, key, text): (&str, &str, &str)| {
        let value = metadata[part][key].as_str()?;
        Some(text.replace("{}", value))
    };
    if let Some(marked) = MARKS.into_iter().find_map(marked) {
        return Some(marked);
    }
    let managers = metadata["managedFields"].as_array().into_iter().flatten();
    let tool = managers.filter_map(|one| one["manager"].as_str()).find_map(tool)?;
    Some(format!("{tool} has written this DaemonSet"))
}

/// The tool that goes by this name in managedFields, of those that write again by themselves what they once wrote.
fn tool(manager: &str) -> Option<&'static str> {
    match manager {
        "argocd-controller" | "argocd-application-controller" => Some("Argo CD"),
        "kustomize-controller" | "helm-controller" => Some("Flux"),
        "helm" => Some("Helm"),
        "fleetagent" | "fleet-agent" => Some("Fleet"),
        _ => None,
    }
}

/// What may be otherwise because a part was not seen.
fn consequence(unseen: &Unseen) -> &'static str {
    match (unseen.resource.as_str(), unseen.is_elsewhere) {
        ("pods", false) => "every node counts as empty and without the daemon: nothing here is certain",
        ("pods", true) => "nodes have less room than it seems, and pods may not fit",
        ("controllerrevisions", _) => "pods may count as old that are not, and the order may differ",
        ("resourcequotas", _) => "a quota may refuse pods",
        ("rolloutpolicies", _) => {
            "a policy may conduct the roll-out: in waves, in another order and within another budget"
        }
        ("namespaces", _) => "the namespace may not be there",
        ("serviceaccounts", _) => "pods may be refused because their ServiceAccount is not there",
        ("runtimeclasses", _) => "pods may be refused, or need more, because of their RuntimeClass",
        ("limitranges", _) => "a LimitRange may refuse pods, or change what they need",
        ("priorityclasses", _) => "pods of lower priority may be pushed out where a pod is said not to fit",
        _ => "the result may differ",
    }
}
