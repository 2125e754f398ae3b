//! What a pod's volumes hold, and the folders that its containers see.
//!
//! Everything here is called from threads that may block. Names of files come from what users of a namespace write: a
//! path that leaves its volume is refused, and links in a volume lead nowhere outside it.

mod atomic;
mod host_path;
mod mounts;
mod payload;

pub use atomic::{WriteError, write_atomically};
pub use host_path::HostPathError;
pub use mounts::{MountError, make_file, make_folder, mounts, path_of, remove};
pub use payload::{Ingredients, Payload, PayloadError, PayloadFile, Tokens, payload};
