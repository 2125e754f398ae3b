//! What a node does that runs short of memory, disk or numbers of processes: it says so by its conditions, takes back
//! what nobody uses, and ends pods one by one, in the kubelet's order and from the kubelet's limits on.

mod keeper;
mod pressure;
mod rank;
mod thresholds;
mod usage;

pub use keeper::{Eviction, keep};
pub use pressure::{Pressure, refusal};
pub use thresholds::{ThresholdError, Thresholds};
pub use usage::{FolderUse, folder_use, stats};
