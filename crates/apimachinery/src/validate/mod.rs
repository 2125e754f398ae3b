//! Checks of objects, with the messages of the Kubernetes API (specification 1.N).
//!
//! The order of checks is the API's, because clients see all mistakes of an object in one message.

pub(crate) mod admission;
pub(crate) mod claim;
pub(crate) mod container;
pub(crate) mod container_list;
pub(crate) mod env;
pub(crate) mod internal;
pub mod meta;
mod path;
pub(crate) mod pod_ephemeral;
pub(crate) mod pod_resize;
pub(crate) mod pod_spec;
pub(crate) mod pod_update;
pub(crate) mod probe;
mod report;
pub(crate) mod resource_list;
pub(crate) mod rolling;
pub(crate) mod schedule;
pub(crate) mod scheduling;
pub(crate) mod security;
pub(crate) mod selector;
pub(crate) mod virtual_paths;
pub(crate) mod volume;
pub(crate) mod volume_mount;
pub(crate) mod warnings;
pub(crate) mod workload;

pub(crate) use path::Path;
pub(crate) use report::{Errors, Report};
