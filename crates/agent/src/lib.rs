//! Node agent: makes the pods of one node real containers, by the Container Runtime Interface.
//!
//! What decides is without clock and I/O, as in the simulated kubelets of `everynode-node`: [`machine`] is the life of
//! one pod. It is told what the runtime has, and says the next step; after a restart it goes on from what runs.

pub mod env;
pub mod fields;
pub mod machine;
pub mod pod_spec;
pub mod volumes;
