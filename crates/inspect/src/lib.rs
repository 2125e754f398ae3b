//! Why a daemon is, or is not, on a node, and how roll-outs stand.
//!
//! A [`Look`] tells an engine, the same one as the controller's, all of a [`everynode_plan::Fleet`], and asks it about
//! every node. [`why`] and [`status`] put the answers together, for people and for programs; [`live`] follows a cluster.

mod book;
mod cells;
mod cohort;
pub mod coverage;
mod estimate;
pub mod events;
pub mod grid;
pub mod lean;
pub mod live;
pub mod look;
pub mod near;
pub mod outliers;
mod outlook;
pub mod paint;
mod pods;
pub mod policy;
pub mod predicates;
pub mod reason;
pub mod rollout;
pub mod status;
pub mod usage;
pub mod why;
pub mod yaml;

pub use cells::Cell;
pub use cohort::FailedWhere;
pub use estimate::{End, Estimate, Problem};
pub use lean::LeanFleet;
pub use look::{Answer, Look, Set};
pub use paint::{Paint, Tone};
pub use reason::{Class, Kind, Reason};
