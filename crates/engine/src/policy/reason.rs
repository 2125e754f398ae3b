//! What a roll-out does or waits for, and the sentences for it.

use std::fmt;
use std::sync::Arc;

use super::NodeFailure;

/// What a roll-out does or waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RolloutReason {
    /// As the status of another leader has it; nothing before the first look.
    Said(String),
    /// There is no node to roll.
    NoEligibleNode,
    /// All nodes get the revision, without waves.
    AtOnce,
    /// Nodes that are led back to what is good have not all got it.
    Returning {
        /// The hash of its revision.
        hash: Arc<str>,
    },
    /// Nodes of a wave get the revision.
    WaveUnderWay {
        /// Which wave, from 1.
        number: usize,
        /// How many waves there are.
        of: usize,
        /// What it is called.
        name: String,
    },
    /// The wave is complete and watched.
    Baking {
        /// What it is called.
        wave: String,
        /// For how long in all.
        seconds: i64,
    },
    /// The wave is complete, and the next one waits for somebody.
    AwaitsPromotion {
        /// What it is called.
        wave: String,
    },
    /// The wave's selector matches no further node.
    WaveIsEmpty {
        /// What it is called.
        wave: String,
    },
    /// Nodes whose wave has not come and which serve nobody use the budget up.
    BudgetUsedUp {
        /// How many.
        nodes: usize,
    },
    /// No node of the wave serves the revision, though none of them is waited for.
    WaveServesNowhere {
        /// What it is called.
        wave: String,
        /// How many nodes it has.
        nodes: usize,
    },
    /// It is the last wave, and no node at all serves the revision.
    ServesNowhere,
    /// The waves are over and leave nodes out.
    LeavesOut {
        /// How many.
        nodes: usize,
    },
    /// Nothing holds it up any more; so many nodes lack the revision.
    Complete {
        /// ... because they are down.
        down: usize,
        /// ... because something else is wrong with them.
        unwell: usize,
    },
    /// It goes no further.
    Halted {
        /// Why.
        cause: Cause,
        /// Where nodes go now.
        way: Way,
    },
    /// What was good is not there any more, or not what it was.
    LostGood {
        /// The hash of that revision.
        good: Arc<str>,
    },
    /// spec.paused is set.
    Paused,
    /// maxUnavailable is 0.
    NoBudget,
}

/// Why a roll-out was halted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Somebody aborted it.
    Aborted,
    /// The nodes of a wave have all failed, of which this is the first.
    WaveFailed {
        /// Which wave, from 1.
        number: usize,
        /// The first node that failed.
        node: Arc<str>,
        /// How.
        failure: NodeFailure,
    },
    /// So many nodes have failed, and so many halt it.
    Failures {
        /// How many failed.
        failed: usize,
        /// How many halt it.
        budget: usize,
        /// The first node that failed.
        node: Arc<str>,
        /// How.
        failure: NodeFailure,
    },
    /// The revision is worse, by what its nodes show.
    Worse {
        /// What is worse, with its numbers.
        sentence: String,
    },
    /// The end of a wave has shown nothing, and the policy wants a verdict.
    Unjudged {
        /// Which wave, from 1.
        number: usize,
        /// What is known instead; nothing when no node was looked at.
        sentence: Option<String>,
    },
    /// As the status says, which does not name them.
    Unknown,
}

/// Where nodes go when a roll-out was halted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// They stay as they are.
    Stay,
    /// They would go back, and there is no revision to go back to.
    None,
    /// They go back. `template_stays` says that the template would have been written back in scope rollouts only.
    Back {
        /// The hash of the revision that they go back to.
        good: Arc<str>,
        /// The template stays although the policy says otherwise.
        template_stays: bool,
    },
    /// The template is written back, and another controller leads them.
    Template {
        /// The hash of the revision that has it.
        good: Arc<str>,
    },
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
            Cause::Worse { sentence } => write!(f, "the revision is worse: {sentence}"),
            Cause::Unjudged { number, sentence: None } => {
                write!(f, "wave {number} was not judged, and undecided: Halt asks for a verdict")
            }
            Cause::Unjudged { number, sentence: Some(sentence) } => {
                write!(
                    f,
                    "wave {number} ends without a verdict ({sentence}), and undecided: Halt asks for one"
                )
            }
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
