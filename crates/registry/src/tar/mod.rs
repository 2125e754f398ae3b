//! Archives of the kind tar: `ustar` with the long names of POSIX and GNU.
//!
//! Only what is needed here, so that each size that an archive tells has a limit before memory is taken for it, and so
//! that it is known where in a file a content stands.

mod read;
mod write;

pub(crate) use read::{Reader, Skip, TarError};
pub(crate) use write::{Header, Writer};

/// The length of a block, in bytes.
pub(crate) const BLOCK_BYTES: u64 = 512;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Directory,
    /// Leads to a path, from where it stands.
    Symlink,
    /// Another name of an earlier entry.
    HardLink,
    /// Devices, and what is known to few.
    Other,
}
