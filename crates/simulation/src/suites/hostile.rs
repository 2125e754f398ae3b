//! Storms over policies with one more in the cast: somebody who may write everything in a namespace but DaemonSets. No
//! pod is made of a template that was never the DaemonSet's own, creations stay bounded, nothing is written in other
//! namespaces, and when it is over the fleet comes to the desired state.

use super::storm::{Cast, world};
use crate::cluster::{Report, in_virtual_time};

/// Runs the world of a seed.
pub fn run(seed: u64, is_traced: bool) -> Report {
    in_virtual_time(seed, world(seed, is_traced, Cast::Hostile))
}
