//! What a change of a DaemonSet will do to a fleet, before it is made.
//!
//! [`collect`] reads a cluster with read-only requests, page by page, into [`record`]s; [`mod@file`] keeps them in a file.
//! A [`Fleet`] is a cluster in memory, a [`Change`] what applying a manifest to it makes of a DaemonSet. [`Plan::make`]
//! runs the engine, the same one as the controller's, in virtual time against a model of the fleet, and says what
//! came of it.

mod change;
mod collect;
mod conducted;
pub mod diff;
pub mod file;
mod findings;
mod fleet;
mod made;
mod manifest;
mod mask;
mod model;
mod plausible;
pub mod policy;
mod power;
pub mod read;
pub mod record;
mod report;
mod run;
mod shared;
pub mod spread;
mod standing;
mod surroundings;
mod text;
mod token;
mod usage;
mod words;
mod world;

pub use change::Change;
pub use collect::{CollectError, collect};
pub use conducted::{Conducted, PolicyWave};
pub use findings::{Finding, FindingKind, Severity};
pub use fleet::{Fleet, Starts, TakePod, Wanted};
pub use made::Made;
pub use manifest::{Manifest, Written};
pub use mask::Mask;
pub use model::{Assumptions, Failing, Model};
pub use power::{AnalysisPower, Found, WavePower};
pub use report::{Options, Plan};
pub use run::{Left, Run};
pub use shared::Shared;
pub use standing::Standing;
pub use surroundings::Surroundings;
pub use token::Token;
pub use usage::{PodUsage, UsageSample, UsageSampler, usage_now};
pub use words::{count, some};
pub use world::{Step, Tally, Touch};
