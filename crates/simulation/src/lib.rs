//! The real controller, the real local loops and the real simulated kubelets against a model API server, in one
//! process and in virtual time.
//!
//! Everything in this workspace that talks to an API does it through one client, whose network and clocks can be
//! given. Here they are: requests end in a model of the API server (`model`), under faults that are drawn from a
//! seed (`faults`, `network`, `watching`). A checker looks at every change (`safety`), and plain rules say what the
//! world must have become in the end (`naive`). The same seed makes the same world, event for event.
//!
//! [`suites`] holds what is run.

mod actor;
mod chaos;
mod clock;
mod cluster;
mod faults;
mod injected;
mod metrics;
mod model;
mod naive;
mod network;
mod objects;
#[cfg(test)]
mod observed_tests;
mod replica;
mod safety;
pub mod suites;
mod trace;
mod watching;
mod world;

pub use cluster::Report;
pub use injected::Fault;
pub use world::Counts;

/// A seed that nobody has seen, of a world with all that worlds can have.
pub fn fresh_seed() -> u64 {
    fastrand::u64(suites::storm::FIRST_ANALYSED_SEED..1 << 52)
}
