//! Storms over roll-outs under policies: no budget is exceeded, what is halted or paused takes nothing, and when the
//! faults have ended one more roll-out goes to its end.

use super::storm::{Cast, world};
use crate::cluster::{Report, in_virtual_time};

/// Runs the world of a seed.
pub fn run(seed: u64, is_traced: bool) -> Report {
    in_virtual_time(seed, world(seed, is_traced, Cast::Policies))
}
