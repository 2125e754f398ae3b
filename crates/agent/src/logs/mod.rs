//! Logs of containers as runtimes write them: a file for each container, and beside it what was rotated out of it.

mod line;
mod reader;
mod rotated;
mod tail;

pub use line::Stream;
pub use reader::{LogOptions, LogReader};
