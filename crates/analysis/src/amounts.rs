//! Numbers with a meaning. None of them is ever NaN or infinite.

use std::fmt;

/// More than this is no tolerance any more.
const PERCENT_LIMIT: f64 = 10_000.0;

/// An estimate beyond a factor of a thousand says only that it is huge.
const LOG_LIMIT: f64 = 6.907_755_278_982_137;

/// An amount that is out of its range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AmountError {
    /// A rise is from 0 to 10,000 %.
    Rise(f64),
    /// A share of nodes is from 0 to 100 %.
    Share(f64),
    /// The chance of a false halt is above 0 and at most 50 %.
    FalseHalts(f64),
}

impl fmt::Display for AmountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AmountError::Rise(percent) => write!(f, "{percent} % is no rise: use 0 to {PERCENT_LIMIT} %"),
            AmountError::Share(percent) => write!(f, "{percent} % is no share of nodes: use 0 to 100 %"),
            AmountError::FalseHalts(percent) => {
                write!(f, "{percent} % is no chance of a false halt: use more than 0 and at most 50 %")
            }
        }
    }
}

impl std::error::Error for AmountError {}

/// How much higher a level is, 0 or more.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Rise {
    log: f64,
}

impl Rise {
    /// A rise by so many per cent.
    ///
    /// # Errors
    /// When it is not from 0 to 10,000.
    pub fn from_percent(percent: f64) -> Result<Rise, AmountError> {
        let is_rise = (0.0..=PERCENT_LIMIT).contains(&percent);
        if is_rise { Ok(Rise { log: (percent / 100.0).ln_1p() }) } else { Err(AmountError::Rise(percent)) }
    }

    /// From the logarithm of the factor; below 0 it is no rise.
    pub(crate) fn from_log(log: f64) -> Rise {
        Rise { log: log.clamp(0.0, LOG_LIMIT) }
    }

    /// The logarithm of the factor: of 1.1 for 10 %.
    pub fn log(self) -> f64 {
        self.log
    }

    /// In per cent.
    pub fn percent(self) -> f64 {
        self.log.exp_m1() * 100.0
    }
}

/// How a level has changed, up or down.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Change {
    log: f64,
}

impl Change {
    /// From the logarithm of the factor, at most a factor of a thousand up or down.
    pub(crate) fn from_log(log: f64) -> Change {
        Change { log: if log.is_nan() { 0.0 } else { log.clamp(-LOG_LIMIT, LOG_LIMIT) } }
    }

    /// The logarithm of the factor.
    pub fn log(self) -> f64 {
        self.log
    }

    /// In per cent: -50 for half.
    pub fn percent(self) -> f64 {
        self.log.exp_m1() * 100.0
    }
}

/// A share of nodes.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Share {
    fraction: f64,
}

impl Share {
    /// A share of so many per cent.
    ///
    /// # Errors
    /// When it is not from 0 to 100.
    pub fn from_percent(percent: f64) -> Result<Share, AmountError> {
        let is_share = (0.0..=100.0).contains(&percent);
        if is_share { Ok(Share { fraction: percent / 100.0 }) } else { Err(AmountError::Share(percent)) }
    }

    /// From a fraction that is one by how it was made.
    pub(crate) fn from_fraction(fraction: f64) -> Share {
        Share { fraction: fraction.clamp(0.0, 1.0) }
    }

    /// From 0 to 1.
    pub fn fraction(self) -> f64 {
        self.fraction
    }

    /// From 0 to 100.
    pub fn percent(self) -> f64 {
        self.fraction * 100.0
    }
}

/// How likely a roll-out of a revision that is not worse may be halted.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct FalseHalts {
    chance: f64,
}

impl FalseHalts {
    /// What is assumed where nobody says otherwise: 5 %.
    pub const USUAL: FalseHalts = FalseHalts { chance: 0.05 };

    /// At most so many per cent of good roll-outs.
    ///
    /// # Errors
    /// When it is not above 0 and at most 50.
    pub fn from_percent(percent: f64) -> Result<FalseHalts, AmountError> {
        let is_chance = percent > 0.0 && percent <= 50.0;
        if is_chance {
            Ok(FalseHalts { chance: percent / 100.0 })
        } else {
            Err(AmountError::FalseHalts(percent))
        }
    }

    /// What the logarithm of the evidence has to reach when one of so many tests may be wrong.
    pub(crate) fn log_threshold(self, tests: usize) -> f64 {
        (tests.max(1) as f64 / self.chance).ln()
    }
}

/// How rarely chance alone would show as much: once in so many roll-outs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OneIn(u64);

impl OneIn {
    /// Rarer than this is said as this.
    pub const LIMIT: u64 = 1_000_000_000;

    /// From the logarithm of the evidence, of which so many are watched at once.
    pub(crate) fn from_log_evidence(log: f64, tests: usize) -> OneIn {
        let rolls = (log - (tests.max(1) as f64).ln()).exp();
        OneIn(if rolls < 1.0 { 1 } else { rolls.min(OneIn::LIMIT as f64) as u64 })
    }

    /// The number of roll-outs.
    pub fn rolls(self) -> u64 {
        self.0
    }
}
