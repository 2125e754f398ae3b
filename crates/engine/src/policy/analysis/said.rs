//! What the status of a policy says of the analysis: for people, and for the next leader.

use everynode_analysis::{
    Assumption, Basis, Judge, Memory, Report, Signal, SignalMemory, SignalReport, Turn as Place, Verdict,
};
use everynode_api::{AnalysisStatus, SignalStatus};

use crate::policy::node_state::NodeState;

use super::places::Places;
use super::{Analysis, Harm};

impl Analysis {
    /// What the status is to say; nothing before something was looked at.
    pub fn status(&self) -> Option<AnalysisStatus> {
        let report = self.report.as_ref()?;
        let memory = self.judge.memory();
        let signal = |report: &SignalReport| {
            let known = memory.signals().iter().find(|one| one.signal == report.signal);
            let evidence = known.map(|known| written(&known.numbers())).unwrap_or_default();
            SignalStatus {
                name: report.signal.name().to_owned(),
                verdict: Some(report.verdict),
                message: report.to_string(),
                nodes: report.nodes,
                controls: report.controls,
                chance_one_in: report.chance.rolls(),
                evidence,
            }
        };
        let digest = self.places.as_ref().map(|places| places.digest.as_str()).unwrap_or_default();
        Some(AnalysisStatus {
            verdict: Some(report.verdict),
            basis: basis(report.basis).to_owned(),
            message: sentence(report),
            common: self.harm.common.clone(),
            worst_nodes: self.harm.nodes.clone(),
            signals: report.signals.iter().map(signal).collect(),
            frontier: Some(format!("{:016x}/{digest}", memory.frontier().0)),
            pool_end: Some(format!("{:016x}", memory.pool_end().0)),
        })
    }

    /// Goes on from what another leader has said. What cannot be read, or is about another order of nodes, is as if it
    /// had not been said.
    pub fn resume(&mut self, said: &AnalysisStatus, nodes: &[NodeState]) {
        let places = Places::of(nodes.iter());
        if let Some(memory) = memory(said, &places.digest) {
            self.judge = Judge::resume(self.judge.plan().clone(), &memory);
            self.report = Some(self.judge.report());
            self.harm = Harm { common: said.common.clone(), nodes: said.worst_nodes.clone() };
        }
        self.places = Some(places);
    }
}

fn memory(said: &AnalysisStatus, digest: &str) -> Option<Memory> {
    let place = |text: &str| u64::from_str_radix(text, 16).ok().map(Place);
    let (frontier, said_digest) = said.frontier.as_deref()?.split_once('/')?;
    let signals = said
        .signals
        .iter()
        .map(|one| SignalMemory::from_numbers(Signal::parse(&one.name)?, &one.numbers()).ok());
    let signals: Option<Vec<SignalMemory>> = signals.collect();
    let is_same = said_digest == digest;
    Memory::new(place(frontier)?, place(said.pool_end.as_deref()?)?, signals.filter(|_| is_same)?).ok()
}

/// Numbers with six digits each.
fn written(numbers: &[f64]) -> String {
    let numbers: Vec<String> = numbers.iter().map(|number| format!("{number:.5e}")).collect();
    numbers.join(" ")
}

fn basis(basis: Basis) -> &'static str {
    match basis {
        Basis::Randomised => "Randomised",
        Basis::Assumed(Assumption::OrderByName) => "Assumed: nodes come by name",
        Basis::Assumed(Assumption::NodeSelector) => "Assumed: a node selector has chosen who comes first",
        Basis::Assumed(Assumption::OnDelete) => "Assumed: somebody chooses pod by pod",
    }
}

/// The verdict in one sentence: that of the signal that has most to do with it.
pub(super) fn sentence(report: &Report) -> String {
    let nodes = || report.signals.iter().map(|one| one.nodes).max().unwrap_or_default();
    match report.verdict {
        Verdict::Worse => report.worst().map(ToString::to_string).unwrap_or_default(),
        Verdict::Blind => {
            let blind = report.signals.iter().find(|one| one.verdict == Verdict::Blind);
            blind.map(ToString::to_string).unwrap_or_default()
        }
        Verdict::NoWorse => format!("no signal is worse on {} updated nodes", nodes()),
        Verdict::Undecided => format!("undecided so far, by {} updated nodes", nodes()),
    }
}
