//! Making of images: the files that go into one, where they come from, and how it is written.

mod elf;
mod error;
mod libraries;
mod packages;
mod tree;
mod write;

pub use error::BuildError;
pub use packages::Packages;
pub use tree::{Content, Node, Tree};
pub use write::{Image, Written};
