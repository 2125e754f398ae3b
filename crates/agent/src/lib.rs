//! Node agent: makes the pods of one node real containers, by the Container Runtime Interface.
//!
//! What decides is without clock and I/O, as in the simulated kubelets of `everynode-node`: [`machine`] is the life of
//! one pod. It is told what the runtime has, and says the next step; after a restart it goes on from what runs. A task
//! for each pod carries the steps out ([`run`]); what a step makes is worked out by functions of the pod and the
//! objects that it refers to: [`mod@env`], [`fields`], [`runtime`], [`volumes`].

mod agent;
mod allotments;
mod ask;
mod bound;
mod context;
pub mod env;
mod events;
mod eviction;
pub mod fields;
mod hosts;
mod image_gc;
mod images;
mod kubelet;
mod layout;
mod log_keeper;
mod logs;
pub mod machine;
mod measure;
mod mirror;
mod node;
mod objects;
pub mod pod_spec;
mod readings;
mod recalled;
mod report;
mod resize;
pub mod runtime;
mod static_pods;
mod steps;
pub mod volumes;
mod worker;

pub use agent::{AgentConfig, AgentError, KUBELET_PORT, run};
pub use eviction::{ThresholdError, Thresholds};
pub use image_gc::ImageGc;
pub use layout::Layout;
pub use node::Registration;
pub use readings::{Meter, Places, Readings, Room, Signal};
pub use runtime::{Cgroups, Names};
pub use static_pods::StaticPods;
