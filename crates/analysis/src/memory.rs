//! What is remembered of closed blocks: enough for another leader to go on with, whatever the size of the fleet.

use std::fmt;

use crate::amounts::{Change, Rise, Share};
use crate::block::{Bounds, Turn};
use crate::evidence::{LANES, Lanes};
use crate::signal::{Rule, Signal};
use crate::verdict::Figures;

/// Numbers that are remembered of a signal.
pub const NUMBERS: usize = LANES + 5;

/// No evidence of a roll-out comes near this, either way.
const LOG_LIMIT: f64 = 1e8;

/// More nodes than this no cluster has.
const NODES_LIMIT: f64 = 1e7;

/// Why numbers are no memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MemoryError {
    /// There are more or fewer than [`NUMBERS`] of a signal.
    Length(Signal, usize),
    /// One of them cannot have been written.
    Number(Signal, f64),
    /// A signal is there twice.
    Twice(Signal),
}

impl fmt::Display for MemoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MemoryError::Length(signal, length) => {
                write!(f, "{signal} has {length} numbers of evidence instead of {NUMBERS}")
            }
            MemoryError::Number(signal, number) => write!(f, "{number} is no number of {signal}'s evidence"),
            MemoryError::Twice(signal) => write!(f, "the evidence of {signal} is there twice"),
        }
    }
}

impl std::error::Error for MemoryError {}

/// What is remembered of one signal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SignalMemory {
    /// Of which one.
    pub signal: Signal,
    /// The logarithms of the evidence in all closed blocks.
    pub(crate) lanes: Lanes,
    /// The highest that all tests together ever were.
    pub(crate) log_peak: f64,
    pub(crate) tally: Tally,
}

/// Numbers of nodes, and how much they have changed. They are for people; no verdict rests on them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Tally {
    pub nodes: f64,
    pub controls: f64,
    /// Of a level the mean logarithm of its change; of a count the share of updated nodes.
    pub first: f64,
    /// Of a level the logarithm of its least rise, or -1; of a count the share of others.
    pub second: f64,
}

/// Nothing is known of how much a level has risen at least.
const NO_RISE: f64 = -1.0;

impl Tally {
    /// Of one block.
    pub fn new(nodes: usize, controls: usize, figures: Figures) -> Tally {
        let (first, second) = match figures {
            Figures::Level { change, at_least } => (change.log(), at_least.map_or(NO_RISE, Rise::log)),
            Figures::Count { updated, others } => (updated.fraction(), others.fraction()),
        };
        Tally { nodes: nodes as f64, controls: controls as f64, first, second }
    }

    /// With a later block's. Means are by updated nodes; of two least rises both hold, so the higher one is kept.
    pub fn and(self, block: Tally, rule: &Rule) -> Tally {
        if self.nodes == 0.0 {
            return block;
        }
        let nodes = self.nodes + block.nodes;
        let mean = |all: f64, one: f64| (all * self.nodes + one * block.nodes) / nodes;
        let second = match rule {
            Rule::Level(_) => self.second.max(block.second),
            Rule::Count(_) => mean(self.second, block.second),
        };
        let controls = self.controls.max(block.controls);
        Tally { nodes, controls, first: mean(self.first, block.first), second }
    }

    /// How much a signal has changed.
    pub fn figures(&self, rule: &Rule) -> Figures {
        match rule {
            Rule::Level(_) => Figures::Level {
                change: Change::from_log(self.first),
                at_least: (self.second >= 0.0 && self.nodes > 0.0).then(|| Rise::from_log(self.second)),
            },
            Rule::Count(_) => Figures::Count {
                updated: Share::from_fraction(self.first),
                others: Share::from_fraction(self.second),
            },
        }
    }
}

impl SignalMemory {
    /// Of a signal of which nothing was seen.
    pub fn new(signal: Signal) -> SignalMemory {
        SignalMemory { signal, lanes: [0.0; LANES], log_peak: 0.0, tally: Tally::default() }
    }

    /// As numbers, for a status: 7 logarithms of evidence, their peak, the nodes, the controls, and two figures.
    pub fn numbers(&self) -> [f64; NUMBERS] {
        let mut numbers = [0.0; NUMBERS];
        numbers[..LANES].copy_from_slice(&self.lanes);
        let tally = self.tally;
        numbers[LANES..].copy_from_slice(&[
            self.log_peak,
            tally.nodes,
            tally.controls,
            tally.first,
            tally.second,
        ]);
        numbers
    }

    /// From numbers that [`SignalMemory::numbers`] made.
    ///
    /// # Errors
    /// When it cannot have made them.
    pub fn from_numbers(signal: Signal, numbers: &[f64]) -> Result<SignalMemory, MemoryError> {
        let Ok(numbers) = <[f64; NUMBERS]>::try_from(numbers) else {
            return Err(MemoryError::Length(signal, numbers.len()));
        };
        let lanes: Lanes = std::array::from_fn(|lane| numbers[lane]);
        let [log_peak, nodes, controls, first, second] = std::array::from_fn(|place| numbers[LANES + place]);
        let check = |number: f64, is_good: bool| {
            if is_good { Ok(number) } else { Err(MemoryError::Number(signal, number)) }
        };
        for lane in lanes {
            check(lane, lane.abs() <= LOG_LIMIT)?;
        }
        let tally = Tally {
            nodes: check(nodes, (0.0..=NODES_LIMIT).contains(&nodes))?,
            controls: check(controls, (0.0..=NODES_LIMIT).contains(&controls))?,
            first: check(first, first.abs() <= 10.0)?,
            second: check(second, second.abs() <= 10.0)?,
        };
        let log_peak = check(log_peak, (0.0..=LOG_LIMIT).contains(&log_peak))?;
        Ok(SignalMemory { signal, lanes, log_peak, tally })
    }
}

/// What is remembered of a roll-out's closed blocks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    pub(crate) bounds: Bounds,
    pub(crate) signals: Vec<SignalMemory>,
}

impl Memory {
    /// From what [`Memory::frontier`], [`Memory::pool_end`] and [`Memory::signals`] said.
    ///
    /// # Errors
    /// When a signal is there twice.
    pub fn new(frontier: Turn, pool_end: Turn, signals: Vec<SignalMemory>) -> Result<Memory, MemoryError> {
        let is_again = |(index, one): &(usize, &SignalMemory)| {
            signals[..*index].iter().any(|earlier| earlier.signal == one.signal)
        };
        if let Some((_, twice)) = signals.iter().enumerate().find(is_again) {
            return Err(MemoryError::Twice(twice.signal));
        }
        Ok(Memory { bounds: Bounds { frontier, pool_end }, signals })
    }

    /// Nodes from this turn on were untouched when the last block closed.
    pub fn frontier(&self) -> Turn {
        self.bounds.frontier
    }

    /// Nodes before this turn were compared in blocks.
    pub fn pool_end(&self) -> Turn {
        self.bounds.pool_end
    }

    /// Signal by signal.
    pub fn signals(&self) -> &[SignalMemory] {
        &self.signals
    }

    /// What is remembered of one of them.
    pub(crate) fn of(&self, signal: Signal) -> SignalMemory {
        let known = self.signals.iter().find(|memory| memory.signal == signal);
        known.copied().unwrap_or_else(|| SignalMemory::new(signal))
    }
}
