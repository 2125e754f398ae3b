//! Checks of objects, with the messages of the Kubernetes API.

pub mod meta;
