//! What an evaluation may use, and how it fails.

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It makes no sense with these values.
    Error(String),
    /// A function takes no values of these types.
    Overload,
    /// It costs more than one expression may.
    Cost,
    /// It costs more than is left for all.
    Budget,
}

impl Failure {
    /// Whether nothing more may be worked out.
    pub fn is_final(&self) -> bool {
        matches!(self, Failure::Cost | Failure::Budget)
    }
}

/// What one or more evaluations may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// What is left, in the units in which Kubernetes counts: about one for each part of an expression that is worked
    /// out.
    pub cost: u64,
    /// What is left of real work. Costs say little about some work, such as the comparison of lists of lists, which
    /// takes a step for each value.
    pub work: u64,
}

impl Budget {
    /// Takes costs.
    ///
    /// # Errors
    /// There are not so many left.
    pub fn cost(&mut self, cost: u64) -> Result<(), Failure> {
        take(&mut self.cost, cost)
    }

    /// Takes steps of work.
    ///
    /// # Errors
    /// There are not so many left.
    pub fn steps(&mut self, steps: u64) -> Result<(), Failure> {
        take(&mut self.work, steps)
    }
}

fn take(left: &mut u64, wanted: u64) -> Result<(), Failure> {
    let (rest, is_too_much) = left.overflowing_sub(wanted);
    *left = if is_too_much { 0 } else { rest };
    if is_too_much { Err(Failure::Cost) } else { Ok(()) }
}
