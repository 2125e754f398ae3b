//! What is said to people. Nothing is decided by it, and nothing else makes sentences.

use std::fmt;

use crate::signal::Rule;
use crate::verdict::{Figures, Sight, SignalReport, Verdict};

impl fmt::Display for SignalReport {
    /// One sentence, without a full stop.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.verdict {
            Verdict::Worse => {
                self.worse(f)?;
                write!(f, "; by chance 1 in {}", self.chance.rolls())
            }
            Verdict::NoWorse => self.no_worse(f),
            Verdict::Undecided if self.nodes == 0 => write!(f, "{} was not looked at yet", self.signal),
            Verdict::Undecided => {
                write!(f, "{} is undecided: ", self.signal)?;
                self.figures(f)
            }
            Verdict::Blind => match self.sight {
                Sight::NoControls => write!(f, "{} cannot be judged: no nodes to compare with", self.signal),
                Sight::NoSamples | Sight::NotYet | Sight::Clear => {
                    write!(f, "{} cannot be judged: too few nodes have samples", self.signal)
                }
            },
        }
    }
}

impl SignalReport {
    fn worse(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (signal, nodes, controls) = (self.signal, self.nodes, self.controls);
        match (self.figures, self.rule, self.harmed) {
            (Figures::Level { change, at_least: Some(rise) }, ..) => write!(
                f,
                "{signal} is higher by {:.0} % (at least {:.0} %) on {nodes} updated {} than on {controls} others",
                change.percent(),
                rise.percent(),
                plural(nodes)
            ),
            (Figures::Level { .. }, Rule::Level(rule), Some(harmed)) if harmed.updated > 0 => write!(
                f,
                "{signal} rose by {:.0} % or more on {} of {} updated {}, and on {} of {} others",
                rule.harm.percent(),
                harmed.updated,
                harmed.nodes,
                plural(harmed.nodes),
                harmed.others,
                harmed.controls
            ),
            (Figures::Level { .. }, ..) => {
                write!(
                    f,
                    "{signal} rose on more of {nodes} updated {} than of {controls} others",
                    plural(nodes)
                )
            }
            (Figures::Count { .. }, ..) => {
                write!(f, "{signal} happened ")?;
                self.figures(f)
            }
        }
    }

    fn no_worse(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rule {
            Rule::Level(rule) => {
                write!(f, "{} is not higher by {:.0} %: ", self.signal, rule.no_worse.percent())?;
            }
            Rule::Count(rule) => write!(
                f,
                "{} would happen on fewer than {:.0} % of the nodes: ",
                self.signal,
                rule.no_worse.percent()
            )?,
        }
        self.figures(f)
    }

    fn figures(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (nodes, controls) = (self.nodes, self.controls);
        match self.figures {
            Figures::Level { change, .. } => write!(
                f,
                "{:+.0} % on {nodes} updated {} against {controls} others",
                change.percent(),
                plural(nodes)
            ),
            Figures::Count { updated, others } => write!(
                f,
                "on {:.1} % of {nodes} updated {} and on {:.1} % of {controls} others",
                updated.percent(),
                plural(nodes),
                others.percent()
            ),
        }
    }
}

fn plural(nodes: usize) -> &'static str {
    if nodes == 1 { "node" } else { "nodes" }
}
