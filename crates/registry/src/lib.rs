//! Container images without a network and without Docker.
//!
//! [`ImageStore`] reads a directory of archives in place, [`serve`] hands what it holds to container runtimes as a
//! registry would, under the images' own names; [`Upstream`] asks real registries for what it does not hold, where that
//! is wanted. Everything that is read here may be damaged or hostile: sizes and counts are bounded, names in archives are
//! never paths on this machine, and every blob is held against its digest.
//!
//! Sources: the image and distribution specifications of the Open Container Initiative (1.1), and the form of
//! `docker save`.

mod archive;
pub mod build;
mod digest;
mod docker;
mod document;
mod image_file;
mod name;
mod pause;
mod serve;
mod store;
mod tar;
mod upstream;

pub use archive::Blob;
pub use digest::Digest;
pub use document::{Document, MediaType};
pub use name::{ImageName, NameError, Reference};
pub use serve::{Sources, serve};
pub use store::{ImageStore, StoreError};
pub use upstream::Upstream;

#[cfg(test)]
mod tests;
