//! Lines of watches.

use serde::Deserialize;

/// One line of a watch: what happened, and the object as it is now (as it was, for a deletion).
#[derive(Debug, Deserialize)]
pub struct WatchEvent<T> {
    /// What happened.
    #[serde(rename = "type")]
    pub kind: EventKind,
    /// The object. That of a bookmark has only a version; an error's is a `Status`.
    pub object: T,
}

/// What a line of a watch says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum EventKind {
    /// The object is new, or new to this watch.
    Added,
    /// The object has changed.
    Modified,
    /// The object is gone.
    Deleted,
    /// All changes up to this version have been sent.
    Bookmark,
    /// The watch has failed.
    Error,
}

/// Reads one line of a watch of objects of type `T`, such as [`crate::Pod`].
///
/// # Errors
/// The line is not such an event.
pub fn event<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<WatchEvent<T>, serde_json::Error> {
    // Checked as a whole, the line need not be checked text by text.
    match str::from_utf8(line) {
        Ok(text) => serde_json::from_str(text),
        // Bytes that are no text do no harm where nobody reads them.
        Err(_) => serde_json::from_slice(line),
    }
}
