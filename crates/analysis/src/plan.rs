//! How a roll-out is judged.

use crate::amounts::{FalseHalts, OneIn};
use crate::signal::{Rule, Signal};
use crate::verdict::Basis;

/// So many times more evidence is asked for than the bound on false halts needs. Whoever was halted for nothing does
/// not listen the next time, and a regression that is one shows it a few nodes later.
const CAUTION: f64 = 5.0;

/// A signal that is watched, by which rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Watch {
    /// What is watched.
    pub signal: Signal,
    /// What counts as worse.
    pub rule: Rule,
}

/// How a roll-out is judged. It must be the same from its begin to its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    watches: Vec<Watch>,
    false_halts: FalseHalts,
    basis: Basis,
}

impl Plan {
    /// Watches signals, each once: of one that is named again the first rule counts. `basis` says how nodes come by
    /// their turn.
    pub fn new(watches: &[Watch], false_halts: FalseHalts, basis: Basis) -> Plan {
        let named = |signal: Signal| watches.iter().find(|watch| watch.signal == signal).copied();
        Plan { watches: Signal::ALL.into_iter().filter_map(named).collect(), false_halts, basis }
    }

    /// Watches the signals that every daemon has by their usual rules.
    pub fn usual(false_halts: FalseHalts, basis: Basis) -> Plan {
        let watches = Signal::usual().map(|signal| Watch { signal, rule: signal.default_rule() });
        Plan::new(&watches.collect::<Vec<Watch>>(), false_halts, basis)
    }

    /// What is watched.
    pub fn watches(&self) -> &[Watch] {
        &self.watches
    }

    /// How likely a good roll-out may be halted.
    pub fn false_halts(&self) -> FalseHalts {
        self.false_halts
    }

    /// How nodes come by their turn.
    pub fn basis(&self) -> Basis {
        self.basis
    }

    /// What the logarithm of a signal's evidence has to reach to be worse.
    pub(crate) fn log_worse(&self) -> f64 {
        self.false_halts.log_threshold(self.watches.len()) + CAUTION.ln()
    }

    /// Evidence as rare as this by chance makes a signal worse.
    pub fn worse_from(&self) -> OneIn {
        // What comes back from the logarithm is a little less than what went in.
        OneIn::from_log_evidence(self.log_worse() + 1e-9, self.watches.len())
    }

    /// What it has to reach to be no worse: all signals must, so that each may be wrong as often as one alone.
    pub(crate) fn log_no_worse(&self) -> f64 {
        self.false_halts.log_threshold(1)
    }
}
