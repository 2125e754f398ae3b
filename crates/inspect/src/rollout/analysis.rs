//! Whether a revision is worse, as the status of its policy has it.

use everynode_analysis::Verdict;
use everynode_api::{AnalysisStatus, SignalStatus};
use serde::Serialize;

/// Whether a revision is worse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Analysis {
    /// `Worse`, `NoWorse`, `Undecided` or `Blind`.
    pub verdict: &'static str,
    /// Whether chance has chosen the nodes that come first.
    pub basis: String,
    /// The verdict in one sentence.
    pub message: String,
    /// What the nodes on which it is worse have in common, if chance does not explain that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub common: Option<String>,
    /// The first of these nodes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub worst_nodes: Vec<String>,
    /// Signal by signal.
    pub signals: Vec<SignalAnalysis>,
}

/// What one signal shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SignalAnalysis {
    /// Its name.
    pub name: String,
    /// As that of all.
    pub verdict: &'static str,
    /// The same in one sentence.
    pub message: String,
    /// Updated nodes that were judged.
    pub nodes: usize,
    /// Nodes that they were compared with.
    pub controls: usize,
    /// If the revision changed nothing, one in so many roll-outs would show as much.
    pub chance_one_in: u64,
}

impl Analysis {
    pub(super) fn of(said: AnalysisStatus) -> Analysis {
        Analysis {
            verdict: word(said.verdict),
            basis: said.basis,
            message: said.message,
            common: said.common,
            worst_nodes: said.worst_nodes,
            signals: said.signals.into_iter().map(SignalAnalysis::of).collect(),
        }
    }
}

impl SignalAnalysis {
    fn of(said: SignalStatus) -> SignalAnalysis {
        SignalAnalysis {
            name: said.name,
            verdict: word(said.verdict),
            message: said.message,
            nodes: said.nodes,
            controls: said.controls,
            chance_one_in: said.chance_one_in,
        }
    }
}

fn word(verdict: Option<Verdict>) -> &'static str {
    verdict.unwrap_or(Verdict::Undecided).name()
}
