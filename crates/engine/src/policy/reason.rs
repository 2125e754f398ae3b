//! What a roll-out does or waits for, and the sentences for it.

use std::fmt;
use std::sync::Arc;

use super::NodeFailure;

/// What a roll-out does or waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RolloutReason {
    /// As the status of another leader has it; nothing before the first look.
    Said(String),
    NoEligibleNode,
    /// All nodes get the revision, without waves.
    AtOnce,
    /// Nodes that are led back to what is good have not all got it.
    Returning {
        hash: Arc<str>,
    },
    WaveUnderWay {
        number: usize,
        of: usize,
        name: String,
    },
    /// The wave is complete and watched.
    Baking {
        wave: String,
        seconds: i64,
    },
    /// The wave is complete, and the next one waits for somebody.
    AwaitsPromotion {
        wave: String,
    },
    /// The wave's selector matches no further node.
    WaveIsEmpty {
        wave: String,
    },
    /// Nodes whose wave has not come and which serve nobody use the budget up.
    BudgetUsedUp {
        nodes: usize,
    },
    /// No node of the wave serves the revision, though none of them is waited for.
    WaveServesNowhere {
        wave: String,
        nodes: usize,
    },
    /// It is the last wave, and no node at all serves the revision.
    ServesNowhere,
    /// The waves are over and leave nodes out.
    LeavesOut {
        nodes: usize,
    },
    /// Nothing holds it up any more; so many nodes lack the revision.
    Complete {
        down: usize,
        unwell: usize,
    },
    Halted {
        cause: Cause,
        way: Way,
    },
    /// What was good is not there any more, or not what it was.
    LostGood {
        good: Arc<str>,
    },
    Paused,
    /// maxUnavailable is 0.
    NoBudget,
}

/// Why a roll-out was halted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    Aborted,
    /// The nodes of a wave have all failed, of which this is the first.
    WaveFailed {
        number: usize,
        node: Arc<str>,
        failure: NodeFailure,
    },
    /// So many nodes have failed, and so many halt it.
    Failures {
        failed: usize,
        budget: usize,
        node: Arc<str>,
        failure: NodeFailure,
    },
    Unknown,
}

/// Where nodes go when a roll-out was halted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// They stay as they are.
    Stay,
    /// They would go back, and there is no revision to go back to.
    None,
    /// They go back. `template_stays` says that the template would have been written back in scope rollouts only.
    Back { good: Arc<str>, template_stays: bool },
    /// The template is written back, and another controller leads them.
    Template { good: Arc<str> },
    /// Another controller makes the pods, and may not be led back.
    NotOurs,
}

impl Default for RolloutReason {
    fn default() -> Self {
        RolloutReason::Said(String::new())
    }
}

impl RolloutReason {
    /// It goes on when somebody promotes the wave.
    pub fn is_promotable(&self) -> bool {
        matches!(
            self,
            RolloutReason::AwaitsPromotion { .. }
                | RolloutReason::WaveIsEmpty { .. }
                | RolloutReason::BudgetUsedUp { .. }
                | RolloutReason::WaveServesNowhere { .. }
        )
    }
}

impl fmt::Display for RolloutReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RolloutReason::Said(message) => f.write_str(message),
            RolloutReason::NoEligibleNode => f.write_str("no node is eligible"),
            RolloutReason::AtOnce => f.write_str("all nodes get the revision"),
            RolloutReason::Returning { hash } => write!(f, "nodes go back to revision {hash}"),
            RolloutReason::WaveUnderWay { number, of, name } => {
                write!(f, "wave {number} of {of} ({name}) is under way")
            }
            RolloutReason::Baking { wave, seconds } => {
                write!(f, "wave {wave} is complete and watched for {seconds} s")
            }
            RolloutReason::AwaitsPromotion { wave } => write!(f, "wave {wave} is complete"),
            RolloutReason::WaveIsEmpty { wave } => write!(f, "wave {wave} matches no further node"),
            RolloutReason::BudgetUsedUp { nodes } => {
                write!(
                    f,
                    "the budget is used up by {nodes} nodes that do not serve and whose wave has not come"
                )
            }
            RolloutReason::WaveServesNowhere { wave, nodes } => {
                write!(f, "the revision serves on none of the {nodes} nodes of wave {wave}")
            }
            RolloutReason::ServesNowhere => f.write_str("the revision serves on no node"),
            RolloutReason::LeavesOut { nodes } => {
                write!(f, "the waves leave {nodes} nodes out: add a last wave with nodes: \"100%\"")
            }
            RolloutReason::Complete { down, unwell } => complete(f, *down, *unwell),
            RolloutReason::Halted { cause, way } => write!(f, "{cause}{way}"),
            RolloutReason::LostGood { good } => {
                write!(f, "revision {good} is not there any more, or not what it was: nothing goes back")
            }
            RolloutReason::Paused => f.write_str("paused"),
            RolloutReason::NoBudget => f.write_str("maxUnavailable is 0: nothing can be replaced"),
        }
    }
}

fn complete(f: &mut fmt::Formatter<'_>, down: usize, unwell: usize) -> fmt::Result {
    f.write_str("all nodes have the revision")?;
    match (down, unwell) {
        (0, 0) => Ok(()),
        (down, 0) => write!(f, ", but for {down} that are down"),
        (0, unwell) => write!(f, ", but for {unwell} that were not well"),
        (down, unwell) => write!(f, ", but for {down} that are down and {unwell} that were not well"),
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Aborted => f.write_str("aborted"),
            Cause::WaveFailed { number, node, failure } => {
                write!(f, "no node of wave {number} came up: {node} ({})", failure.reason)
            }
            Cause::Failures { failed, budget, node, failure } => write!(
                f,
                "nodes that failed: {failed}, and {budget} halt the roll-out; the first: {node} ({})",
                failure.reason
            ),
            Cause::Unknown => f.write_str("too many nodes failed"),
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Way::Stay => Ok(()),
            Way::None => f.write_str("; there is no revision to go back to"),
            Way::Back { good, template_stays: false } => write!(f, "; nodes go back to revision {good}"),
            Way::Back { good, template_stays: true } => write!(
                f,
                "; nodes go back to revision {good} (failure.rewriteTemplate is for scope rollouts: the \
                 template stays here)"
            ),
            Way::Template { good } => write!(f, "; the template goes back to that of revision {good}"),
            Way::NotOurs => f.write_str("; in scope rollouts only failure.rewriteTemplate leads back"),
        }
    }
}
