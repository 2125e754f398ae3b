//! What `kubectl get` shows: the columns and cells of every kind.
//!
//! Headings, order and descriptions are the API's; descriptions of columns that clients rarely ask for are
//! our own.

pub(super) mod access_control;
mod cell;
pub(super) mod cluster;
pub(super) mod device;
pub(super) mod network;
pub(super) mod node;
pub(super) mod pod;
pub(super) mod policy;
pub(super) mod storage;
pub(super) mod workload;
