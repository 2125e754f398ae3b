//! What an evaluation may use, and how it fails.

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It makes no sense with these values.
    Error(String),
    /// It took more steps than it may.
    Budget,
}

/// What one evaluation may use.
#[derive(Debug)]
pub struct Budget {
    /// Steps that are left: about one for each part of an expression that is worked out.
    pub steps: u64,
}

impl Budget {
    /// Takes steps; false when there are none left.
    pub fn spend(&mut self, steps: u64) -> bool {
        match self.steps.checked_sub(steps) {
            Some(left) => {
                self.steps = left;
                true
            }
            None => {
                self.steps = 0;
                false
            }
        }
    }

    /// Takes steps.
    ///
    /// # Errors
    /// There are not so many left.
    pub fn take(&mut self, steps: u64) -> Result<(), Failure> {
        if self.spend(steps) { Ok(()) } else { Err(Failure::Budget) }
    }
}
