//! What is said of a roll-out.

use crate::amounts::{Change, OneIn, Rise, Share};
use crate::signal::{Rule, Signal};

/// What the evidence says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Neither this nor that, so far.
    Undecided,
    /// It has not become worse by so much as counts.
    NoWorse,
    /// The new revision is worse.
    Worse,
    /// There is nothing to judge by. That is no success.
    Blind,
}

impl Verdict {
    /// All of them.
    pub const ALL: [Verdict; 4] = [Verdict::Undecided, Verdict::NoWorse, Verdict::Worse, Verdict::Blind];

    /// The word for it in a status.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Undecided => "Undecided",
            Verdict::NoWorse => "NoWorse",
            Verdict::Worse => "Worse",
            Verdict::Blind => "Blind",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Verdict> {
        Verdict::ALL.into_iter().find(|verdict| verdict.name() == text)
    }
}

/// Why the evidence means what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// Chance has chosen which nodes are updated first: the bound on false halts holds whatever the nodes are like.
    Randomised,
    /// Something else has; that the nodes are alike is an assumption.
    Assumed(Assumption),
}

/// What has chosen the nodes that are updated first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assumption {
    /// Their names.
    OrderByName,
    /// A selector of labels.
    NodeSelector,
    /// Somebody, pod by pod.
    OnDelete,
}

/// Whether there was something to judge a signal by, when it was last looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// There was.
    Clear,
    /// No node was looked at yet.
    NotYet,
    /// Of more than a fifth of the nodes on one side nothing was known.
    NoSamples,
    /// There were no nodes to compare with.
    NoControls,
}

/// How much a signal has changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Figures {
    /// Of a level.
    Level {
        /// The median difference between an updated node's change and another one's, failed ones included.
        change: Change,
        /// If all nodes changed alike, it was by more than this, as sure as the verdict is.
        at_least: Option<Rise>,
    },
    /// Of a count.
    Count {
        /// The updated nodes on which it happened.
        updated: Share,
        /// The others on which it happened.
        others: Share,
    },
}

/// Nodes on which a level has risen by more than is harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Harmed {
    /// Of the updated nodes of the latest block, beyond what is tolerated.
    pub updated: usize,
    /// How many updated nodes it has.
    pub nodes: usize,
    /// Of the others.
    pub others: usize,
    /// How many others it has.
    pub controls: usize,
}

/// What is said of one signal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SignalReport {
    /// Of which one.
    pub signal: Signal,
    /// By which rule.
    pub rule: Rule,
    /// What the evidence says. Once worse, it stays so.
    pub verdict: Verdict,
    /// Whether there was something to judge by.
    pub sight: Sight,
    /// How much it has changed.
    pub figures: Figures,
    /// Nodes that were harmed, while the block is known in which they were; none of a count.
    pub harmed: Option<Harmed>,
    /// Updated nodes that were judged.
    pub nodes: usize,
    /// Nodes that they were compared with: of the block with the most.
    pub controls: usize,
    /// If the revision changed nothing, so much evidence would appear in one of so many roll-outs at most.
    pub chance: OneIn,
}

/// What is said of a roll-out.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Worse if one signal is, no worse if all are, blind if there was nothing to judge the rest by.
    pub verdict: Verdict,
    /// Why the evidence means what it says.
    pub basis: Basis,
    /// Signal by signal.
    pub signals: Vec<SignalReport>,
}

impl Report {
    /// The signal that is worse, and the surest of several.
    pub fn worst(&self) -> Option<&SignalReport> {
        let worse = self.signals.iter().filter(|one| one.verdict == Verdict::Worse);
        worse.max_by_key(|one| one.chance)
    }

    /// Of signals.
    pub(crate) fn new(basis: Basis, signals: Vec<SignalReport>) -> Report {
        let any = |verdict| signals.iter().any(|signal| signal.verdict == verdict);
        let verdict = if any(Verdict::Worse) {
            Verdict::Worse
        } else if any(Verdict::Undecided) {
            Verdict::Undecided
        } else if any(Verdict::Blind) || signals.is_empty() {
            Verdict::Blind
        } else {
            Verdict::NoWorse
        };
        Report { verdict, basis, signals }
    }
}
