//! The kinds of everynode's own API, `everynode.dev/v1alpha1`: what they are called and where they are, what they say,
//! and how that is read and written. Everything that has to do with a RolloutPolicy goes through these types.
//!
//! Reading takes what is absent, or of another type than the definition allows, for not said: the API server has
//! validated what it serves, and a snapshot may come from anybody.

mod analysis;
mod command;
mod phase;
pub mod rollout_policy;
mod spec;
mod status;

pub use analysis::{
    AnalysisMode, AnalysisSpec, AnalysisStatus, MetricPort, MetricSource, SignalSpec, SignalStatus, Undecided,
};
pub use command::Command;
pub use phase::{PolicyPhase, RolloutPhase};
pub use spec::{Domain, Gate, OnFailure, PolicySpec, Wave, WaveNodes};
pub use status::{Condition, FailedNode, PolicyStatus, RolloutStatus};

/// The group of the kinds, and the prefix of annotations.
pub const GROUP: &str = "everynode.dev";
/// Their version.
pub const VERSION: &str = "v1alpha1";
/// Both, as objects name them.
pub const API_VERSION: &str = "everynode.dev/v1alpha1";
/// Where the API is served.
pub const ROOT: &str = "/apis/everynode.dev/v1alpha1";
