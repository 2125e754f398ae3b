//! How a DaemonSet goes on as it is: a plan of no change.

use everynode_plan::{Change, FindingKind, Fleet, Options, Plan};
use serde::Serialize;
use serde_json::Value;

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
    /// Half of the runs come to their end within this time.
    pub p50_millis: i64,
    /// 95 % of the runs do.
    pub p95_millis: i64,
    /// Nodes that are without an available pod of the current template in the end.
    pub left: usize,
    /// The roll-out does not come to its end: why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stalls: Option<String>,
    /// It ends where a wave of its policy waits for somebody to promote it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub waits_for_promotion: bool,
    /// What else keeps pods away: room, quotas and refusals.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
    /// Nodes on which the pod does not fit, and why.
    #[serde(skip)]
    pub misfits: Vec<(String, String)>,
}

impl Estimate {
    /// Runs the engine on, from the fleet as it is; `None` when the DaemonSet has no proper name or uid.
    pub fn of(fleet: &Fleet, daemonset: &Value) -> Option<Estimate> {
        let nodes = fleet.nodes.len().max(1);
        let quick = if fleet.policies.is_empty() { QUICK / nodes } else { QUICK_CONDUCTED / nodes.pow(2) };
        let runs = quick.clamp(1, RUNS);
        let options = Options { runs: Some(runs), ..Options::default() };
        let plan = Plan::make(fleet, &Change::none(daemonset), &options)?;
        let of = |kinds: &[FindingKind]| -> Vec<String> {
            let found = plan.findings.iter().filter(|finding| kinds.contains(&finding.kind));
            found.map(|finding| finding.message.clone()).collect()
        };
        let stalls = [
            FindingKind::DeadNodesUseBudget,
            FindingKind::Stalls,
            FindingKind::SurgeHostPorts,
            FindingKind::Halts,
            FindingKind::PolicyConflict,
        ];
        Some(Estimate {
            p50_millis: plan.duration.p50_millis,
            p95_millis: plan.duration.p95_millis,
            left: plan.left.len(),
            stalls: of(&stalls).into_iter().next(),
            waits_for_promotion: !of(&[FindingKind::WaitsForPromotion]).is_empty(),
            problems: of(&[FindingKind::NoRoom, FindingKind::Quota, FindingKind::Refused]),
            misfits: plan.misfits.into_iter().map(|one| (one.node, one.reason)).collect(),
        })
    }
}
