//! What is watched of a node, and what counts as worse there.

use std::fmt;

use crate::amounts::{Rise, Share};

/// What is taken off, in times of what is tolerated.
const MARGIN: f64 = 1.2;

/// A node that varies much is harmed only by a rise of so many times that.
const HARM_NOISES: f64 = 2.5;

/// Something that is measured or counted on each node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
    /// What the daemon's pod takes of the CPU.
    Cpu,
    /// What it takes of the memory.
    Memory,
    /// From the start of its containers until it is ready.
    TimeToReady,
    /// Its containers that ended.
    Restarts,
    /// Its containers that were ended because memory ran out.
    OomKills,
    /// How often it ceased to be ready.
    ReadinessFlaps,
    /// A gauge of the daemon's own.
    MetricLevel,
    /// How fast a counter of the daemon's own grows.
    MetricRate,
}

/// Which nodes a signal is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Controls {
    /// Those whose pod was not touched.
    Untouched,
    /// Those that got a fresh pod of the old revision: what depends on a pod's age says nothing about old pods.
    Restarted,
}

impl Signal {
    /// All of them.
    pub const ALL: [Signal; 8] = [
        Signal::Cpu,
        Signal::Memory,
        Signal::TimeToReady,
        Signal::Restarts,
        Signal::OomKills,
        Signal::ReadinessFlaps,
        Signal::MetricLevel,
        Signal::MetricRate,
    ];

    /// Those that every daemon has.
    pub fn usual() -> impl Iterator<Item = Signal> {
        Signal::ALL.into_iter().filter(|signal| !signal.is_own_metric())
    }

    /// Its name in a policy.
    pub fn name(self) -> &'static str {
        match self {
            Signal::Cpu => "cpu",
            Signal::Memory => "memory",
            Signal::TimeToReady => "timeToReady",
            Signal::Restarts => "restarts",
            Signal::OomKills => "oomKills",
            Signal::ReadinessFlaps => "readinessFlaps",
            Signal::MetricLevel => "metricLevel",
            Signal::MetricRate => "metricRate",
        }
    }

    /// Reads a name.
    pub fn parse(name: &str) -> Option<Signal> {
        Signal::ALL.into_iter().find(|signal| signal.name() == name)
    }

    /// It has a level that somebody has to measure.
    pub fn is_sampled(self) -> bool {
        matches!(self, Signal::Cpu | Signal::Memory) || self.is_own_metric()
    }

    /// It is a figure on the daemon's own page of metrics.
    pub fn is_own_metric(self) -> bool {
        matches!(self, Signal::MetricLevel | Signal::MetricRate)
    }

    /// Its place in a node's readings.
    pub(crate) fn index(self) -> usize {
        self as usize
    }

    /// Which nodes it is compared with.
    pub fn controls(self) -> Controls {
        match self {
            Signal::Memory | Signal::TimeToReady | Signal::MetricLevel => Controls::Restarted,
            Signal::Cpu
            | Signal::Restarts
            | Signal::OomKills
            | Signal::ReadinessFlaps
            | Signal::MetricRate => Controls::Untouched,
        }
    }

    /// What counts as worse where nobody says otherwise.
    pub fn default_rule(self) -> Rule {
        let rise = |percent: f64| Rise::from_log((percent / 100.0).ln_1p());
        let level = |worse_by, harm, no_worse| {
            Rule::Level(LevelRule { worse_by: rise(worse_by), harm: rise(harm), no_worse: rise(no_worse) })
        };
        match self {
            Signal::Cpu | Signal::Memory | Signal::MetricLevel | Signal::MetricRate => {
                level(10.0, 50.0, 25.0)
            }
            Signal::TimeToReady => level(50.0, 200.0, 100.0),
            Signal::Restarts | Signal::OomKills | Signal::ReadinessFlaps => {
                Rule::Count(CountRule { worse_by: rise(70.0), no_worse: Share::from_fraction(0.1) })
            }
        }
    }
}

impl fmt::Display for Signal {
    /// The name in a policy.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What counts as worse.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// For what has a level, such as CPU.
    Level(LevelRule),
    /// For what happens so many times, such as restarts.
    Count(CountRule),
}

/// What counts as worse of a level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LevelRule {
    /// A rise by so much on every node is tolerated.
    pub worse_by: Rise,
    /// A rise by so much more than that on some nodes is harm to these, and is looked for by itself.
    pub harm: Rise,
    /// What is shown not to have risen by so much is no worse.
    pub no_worse: Rise,
}

impl LevelRule {
    /// What is taken off the updated nodes. Exactly the tolerated rise is to be within what is tolerated, not on its
    /// edge, where nothing but the bound on false halts is in its favour.
    pub(crate) fn log_tolerated(&self) -> f64 {
        MARGIN * self.worse_by.log()
    }

    /// A rise beyond what is tolerated is harm to a node that varies so much by itself.
    pub(crate) fn exceeds_harm(&self, log_rise: f64, noise: f64) -> bool {
        log_rise > self.harm.log() && log_rise > HARM_NOISES * noise
    }

    /// A change is harm to a node that varies so much by itself.
    pub(crate) fn is_harm(&self, log_change: f64, noise: f64) -> bool {
        self.exceeds_harm(log_change - self.log_tolerated(), noise)
    }
}

/// What counts as worse of a count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CountRule {
    /// That the odds of it rise by so much is tolerated: 100 % for twice as likely.
    pub worse_by: Rise,
    /// What is shown to happen on fewer nodes than that is no worse.
    pub no_worse: Share,
}
