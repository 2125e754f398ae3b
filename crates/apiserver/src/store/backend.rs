//! Where writes are made to last.

use bytes::Bytes;

/// Why a backend could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// Another process has the files open.
    #[error("the data directory {0} is in use by another process")]
    InUse(String),
    /// The files are not what was written.
    #[error("the store in {path} is damaged: {detail}")]
    Damaged {
        /// The file.
        path: String,
        /// What was found.
        detail: String,
    },
    /// The files belong to another program or to a newer version of this one.
    #[error("{path} was not written by this version of everynode: {detail}")]
    Foreign {
        /// The file.
        path: String,
        /// What was found.
        detail: String,
    },
    /// The disk has no room.
    #[error("no space is left on the disk")]
    Full,
    /// Anything else that the disk or the operating system refused.
    #[error("{0}")]
    Io(String),
}

/// One change of one object, as a backend stores it.
#[derive(Debug, Clone)]
pub struct Record {
    /// The key, `/group/plural/namespace/name`.
    pub key: String,
    /// The encoded object, or nothing when it is gone.
    pub bytes: Option<Bytes>,
}

/// What was found when a backend was opened.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Every object: key and encoded bytes.
    pub objects: Vec<(String, Vec<u8>)>,
    /// The last revision that was committed.
    pub revision: u64,
}

/// A place for objects that survives, or does not survive, the process.
pub trait Backend: Send {
    /// Reads everything back. Called once, before any commit.
    fn load(&mut self) -> Result<Loaded, BackendError>;

    /// Makes all records and the revision last, or none of them. When it returns, they are safe.
    fn commit(&mut self, records: &[Record], revision: u64) -> Result<(), BackendError>;
}

/// A backend that forgets: everything lives in the store's own memory.
#[derive(Debug, Default)]
pub struct Memory;

impl Backend for Memory {
    fn load(&mut self) -> Result<Loaded, BackendError> {
        Ok(Loaded::default())
    }

    fn commit(&mut self, _records: &[Record], _revision: u64) -> Result<(), BackendError> {
        Ok(())
    }
}
