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
    /// The files are not what was written, but the objects can be told apart into those that are and those that are
    /// not.
    #[error("the store in {path} is damaged: {}", damage(.objects))]
    DamagedObjects {
        /// The file.
        path: String,
        /// The objects that are not what was written, as people name them.
        objects: Vec<String>,
    },
    /// An object is what was written, but nothing that this program can read.
    #[error("the store in {path} holds an object that cannot be read: {object}")]
    UnreadableObject {
        /// The file.
        path: String,
        /// Its key.
        object: String,
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

/// Objects that a message names; the others are counted.
const NAMED_OBJECTS: usize = 5;

fn damage(objects: &[String]) -> String {
    let named = objects[..objects.len().min(NAMED_OBJECTS)].join(", ");
    match (objects.len(), objects.len().saturating_sub(NAMED_OBJECTS)) {
        (0, _) => "all objects in it are whole, the rest is not".into(),
        (1, _) => format!("{named} is not what was written"),
        (_, 0) => format!("{named} are not what was written"),
        (_, more) => format!("{named} and {more} more are not what was written"),
    }
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
    /// Where it is, for messages.
    fn place(&self) -> String;

    /// Reads everything back. Called once, before any commit.
    fn load(&mut self) -> Result<Loaded, BackendError>;

    /// Makes all records and the revision last, or none of them. When it returns, they are safe.
    fn commit(&mut self, records: &[Record], revision: u64) -> Result<(), BackendError>;
}

/// A backend that forgets: everything lives in the store's own memory.
#[derive(Debug, Default)]
pub struct Memory;

impl Backend for Memory {
    fn place(&self) -> String {
        "memory".into()
    }

    fn load(&mut self) -> Result<Loaded, BackendError> {
        Ok(Loaded::default())
    }

    fn commit(&mut self, _records: &[Record], _revision: u64) -> Result<(), BackendError> {
        Ok(())
    }
}
