//! Logs of containers as runtimes write them: a file for each container, and beside it what was rotated out of it.

mod last;
mod line;
mod reader;
mod rotate;
mod rotated;
mod tail;

pub use last::last_words;
pub use line::Stream;
pub use reader::{LogOptions, LogReader};
pub use rotate::{SIZE_LIMIT_BYTES, remove, rotate};
