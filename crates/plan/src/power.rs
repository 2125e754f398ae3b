//! What an analysis can find, before it is made: how many nodes it takes to tell a revision that is worse.

use everynode_analysis::{Power, Rise, Rule, Signal};
use everynode_api::{AnalysisMode, AnalysisSpec};
use serde::Serialize;

use crate::conducted::PolicyWave;
use crate::words::count;

/// How much nodes are taken to vary where nobody has measured it: the standard deviation of their changes.
const DEVIATION: f64 = 0.1;

/// The changes that are told, in per cent.
const RISES: [f64; 3] = [20.0, 30.0, 50.0];

/// What an analysis can find.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AnalysisPower {
    /// `Observe` or `Halt`.
    pub mode: &'static str,
    /// Wave by wave, but for the last, which has nobody to be compared with.
    pub waves: Vec<WavePower>,
    /// Untouched nodes that get a fresh pod of the old revision.
    pub baseline_nodes: usize,
}

/// What a wave can show.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WavePower {
    /// From 1.
    pub number: usize,
    /// Nodes that are updated in it.
    pub nodes: usize,
    /// Nodes that nobody has touched at its end.
    pub others: usize,
    /// The fewest updated nodes that can be told to be worse than so many others, whatever they show; absent where no
    /// number can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fewest_nodes: Option<usize>,
    /// How likely a rise of CPU by so many per cent on all nodes is found by its end, in per cent.
    pub found: Vec<Found>,
}

/// How likely a change is found.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    /// The change.
    pub rise_percent: f64,
    /// How likely it is found by then.
    pub chance_percent: f64,
}

impl AnalysisPower {
    /// Of the waves of a roll-out over so many nodes.
    pub(crate) fn of(spec: &AnalysisSpec, waves: &[PolicyWave], all: usize) -> AnalysisPower {
        let plan = spec.plan(everynode_analysis::Basis::Randomised);
        let rule = spec.signals.iter().find_map(|one| match one.rule {
            Rule::Level(rule) if one.signal == Signal::Cpu => Some(rule),
            _ => None,
        });
        let mut updated = 0;
        let judged = &waves[..waves.len().saturating_sub(1)];
        let wave = |wave: &PolicyWave| {
            updated += wave.nodes.len();
            let others = all.saturating_sub(updated);
            let power = rule.as_ref().map(|rule| Power::new(&plan, rule, DEVIATION));
            let found = |percent: f64| {
                let chance = power?.chance(Rise::from_percent(percent).ok()?, updated);
                Some(Found { rise_percent: percent, chance_percent: chance.percent() })
            };
            WavePower {
                number: wave.number,
                nodes: wave.nodes.len(),
                others,
                fewest_nodes: plan.fewest_nodes(others),
                found: RISES.into_iter().filter_map(found).collect(),
            }
        };
        AnalysisPower {
            mode: match spec.mode {
                AnalysisMode::Observe => "Observe",
                AnalysisMode::Halt => "Halt",
            },
            waves: judged.iter().map(wave).collect(),
            baseline_nodes: spec.baseline_nodes,
        }
    }

    /// A line for each wave.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.waves.iter().map(WavePower::line).collect();
        if self.waves.is_empty() {
            lines.push(
                "nothing can be judged: one wave has all nodes, and leaves none to compare with".to_owned(),
            );
        }
        if self.baseline_nodes > 0 {
            let nodes = count(self.baseline_nodes, "untouched node");
            lines.push(format!("{nodes} get a fresh pod of the old revision, for memory and timeToReady"));
        }
        lines
    }
}

impl WavePower {
    fn line(&self) -> String {
        let head = format!("wave {}: {} against {}", self.number, count(self.nodes, "node"), self.others);
        match self.fewest_nodes {
            None => format!("{head} others cannot be judged: there are too few to compare with"),
            Some(fewest) if self.nodes < fewest => {
                format!("{head} cannot be judged alone, whatever they show: it takes {fewest}")
            }
            Some(_) => {
                let found = self.found.iter();
                let found: Vec<String> = found
                    .map(|one| format!("+{:.0} % with {:.0} %", one.rise_percent, one.chance_percent))
                    .collect();
                match found.is_empty() {
                    true => head,
                    false => format!("{head}: cpu {} is found, where nodes vary by 10 %", found.join(", ")),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lines(waves: &[usize], all: usize) -> Vec<String> {
        let wave = |(index, nodes): (usize, &usize)| PolicyWave {
            number: index + 1,
            name: (index + 1).to_string(),
            nodes: vec!["n".to_owned(); *nodes],
            from_millis: None,
            done_millis: None,
            bake_seconds: 0,
            gate: "Automatic",
        };
        let waves: Vec<PolicyWave> = waves.iter().enumerate().map(wave).collect();
        AnalysisPower::of(&AnalysisSpec::from_json(&json!({})), &waves, all).lines()
    }

    #[test]
    fn one_canary_can_never_decide_and_that_is_said() {
        let line = &lines(&[1, 49], 50)[0];
        assert!(line.starts_with("wave 1: 1 node against 49 cannot be judged alone"), "{line}");
    }

    #[test]
    fn one_wave_leaves_nobody_to_compare_with() {
        assert_eq!(
            lines(&[50], 50),
            ["nothing can be judged: one wave has all nodes, and leaves none to compare with"]
        );
    }

    #[test]
    fn larger_waves_find_smaller_changes() {
        let lines = lines(&[10, 40, 950], 1000);
        assert_eq!(lines.len(), 2);
        assert!(lines[0].contains("10 nodes against 990: cpu +20 % with "), "{lines:?}");
        assert!(lines[1].contains("+50 % with 100 %"), "{lines:?}");
    }
}
