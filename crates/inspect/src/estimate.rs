//! How a DaemonSet goes on as it is: a plan of no change.

use everynode_plan::{Change, Finding, FindingKind, Fleet, Options, Plan, count, some};
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::events::{self, EventLine};
use crate::look::Answer;
use crate::reason::{Kind, Reason, mended};

/// Nodes of all runs together.
const QUICK: usize = 8_000;
/// The same with roll-out policies, where each step of a run looks at all nodes: the square of their number.
const QUICK_CONDUCTED: usize = 2_000_000;
/// Runs at most.
const RUNS: usize = 20;

/// What is to be expected when nothing changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Estimate {
    /// When it ends; nothing where there is no progress from which that could be told.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub end: Option<End>,
    /// Nodes that are without an available pod of the current template in the end.
    pub left: usize,
    /// The roll-out does not come to its end: why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stalls: Option<String>,
    /// It ends where a wave of its policy waits for somebody to promote it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub waits_for_promotion: bool,
    /// What else keeps pods away: room, quotas, refusals, failures and schedulers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
    /// Nodes on which the pod does not fit, and why.
    #[serde(skip)]
    misfits: Vec<(String, String)>,
}

/// When a roll-out ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct End {
    /// Half of the runs come to their end within this time.
    pub p50_millis: i64,
    /// 95 % of the runs do.
    pub p95_millis: i64,
}

/// What keeps pods away from nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// A sentence.
    pub text: String,
    kind: FindingKind,
    nodes: Vec<String>,
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl From<Finding> for Problem {
    fn from(finding: Finding) -> Problem {
        Problem { text: finding.message, kind: finding.kind, nodes: finding.nodes }
    }
}

/// Findings by which a roll-out does not come to its end.
const STALLS: [FindingKind; 5] = [
    FindingKind::DeadNodesUseBudget,
    FindingKind::Stalls,
    FindingKind::SurgeHostPorts,
    FindingKind::Halts,
    FindingKind::PolicyConflict,
];

/// Findings that say what keeps pods from nodes.
const PROBLEMS: [FindingKind; 6] = [
    FindingKind::NoRoom,
    FindingKind::Quota,
    FindingKind::Refused,
    FindingKind::NotCreated,
    FindingKind::NewPodsFail,
    FindingKind::NotScheduled,
];

impl Estimate {
    /// Runs the engine on, from the fleet as it is, where so many nodes lack an available pod of the current template;
    /// `None` when the DaemonSet has no proper name or uid.
    pub fn of(fleet: &Fleet, daemonset: &Value, lacking: usize) -> Option<Estimate> {
        let nodes = fleet.nodes.len().max(1);
        let quick = if fleet.policies.is_empty() { QUICK / nodes } else { QUICK_CONDUCTED / nodes.pow(2) };
        let runs = quick.clamp(1, RUNS);
        let options = Options { runs: Some(runs), ..Options::default() };
        let plan = Plan::make(fleet, &Change::none(daemonset), &options)?;
        let of = |kinds: &[FindingKind]| -> Vec<Finding> {
            plan.findings.iter().filter(|finding| kinds.contains(&finding.kind)).cloned().collect()
        };
        let stalls = of(&STALLS).into_iter().next().map(|finding| finding.message);
        let left = plan.left.len();
        let waits_for_promotion = !of(&[FindingKind::WaitsForPromotion]).is_empty();
        let end = End { p50_millis: plan.duration.p50_millis, p95_millis: plan.duration.p95_millis };
        Some(Estimate {
            end: (stalls.is_none() && (left < lacking || waits_for_promotion)).then_some(end),
            left,
            stalls,
            waits_for_promotion,
            problems: of(&PROBLEMS).into_iter().map(Problem::from).collect(),
            misfits: plan.misfits.into_iter().map(|one| (one.node, one.reason)).collect(),
        })
    }

    /// Where pods are not made, the reason is what the API server told the controller last.
    pub(crate) fn name_refusal(&mut self, events: &[EventLine]) {
        let Some(refusal) = events::refusal(events) else { return };
        for problem in self.problems.iter_mut().filter(|one| one.kind == FindingKind::NotCreated) {
            let number = count(problem.nodes.len(), "node");
            problem.text = format!("no pod is made on {number} ({}): {refusal}", some(&problem.nodes));
        }
    }

    /// Whether the runs can tell more of a cause.
    pub(crate) fn explains(kind: Kind) -> bool {
        matches!(kind, Kind::Unschedulable | Kind::WaitsForScheduler | Kind::NoPod)
    }

    /// Adds to a node's cause what the runs found: where a problem names it, what would change the cause is that.
    pub(crate) fn explain(&self, answer: &mut Answer) {
        let misfit = self.misfits.iter().find(|(node, _)| **node == *answer.node).map(|(_, why)| why);
        let problem = |kinds: &[FindingKind]| {
            self.problems
                .iter()
                .find(|one| kinds.contains(&one.kind) && one.nodes.iter().any(|node| **node == *answer.node))
        };
        let reason = &mut answer.reason;
        match (reason.kind, misfit) {
            (Kind::Unschedulable | Kind::WaitsForScheduler, Some(why)) => {
                reason.general = Some(reason.text.clone());
                reason.text = format!("{}: {why}", reason.text);
                reason.would_change = vec![format!(
                    "room on the node ({why}): smaller requests, other host ports, or fewer other pods"
                )];
                add(reason, &format!("here it does not fit: {why}"));
            }
            (Kind::NoPod, misfit) => {
                if let Some(problem) = problem(&[FindingKind::Quota, FindingKind::Refused]) {
                    reason.would_change = vec![mended(&problem.text)];
                }
                if let Some(why) = misfit {
                    add(reason, &format!("here it does not fit: {why}"));
                }
            }
            _ => {}
        }
    }
}

fn add(reason: &mut Reason, detail: &str) {
    if !reason.detail.is_empty() {
        reason.detail.push_str("; ");
    }
    reason.detail.push_str(detail);
}
