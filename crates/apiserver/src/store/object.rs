//! What the store keeps of an object: its encoded bytes, and the little that selectors need.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use everynode_model::Value;

use super::scan;

/// The text that stands in `metadata.resourceVersion` of a [`Draft`] until its revision is known.
pub const REVISION_PLACEHOLDER: &str = "<revision>";

const REVISION_FIELD: &str = "\"resourceVersion\":\"";
const EVENT_OBJECT: &str = "\",\"object\":";

/// What happened to an object, in the words of the watch protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    /// The object is new.
    Added,
    /// The object was there before and is different now.
    Modified,
    /// The object is gone; the event carries its last state.
    Deleted,
}

impl Change {
    /// The `type` of the watch event.
    pub fn name(self) -> &'static str {
        match self {
            Change::Added => "ADDED",
            Change::Modified => "MODIFIED",
            Change::Deleted => "DELETED",
        }
    }
}

/// Labels and selectable field values of an object, parsed once when it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// `metadata.namespace`, empty for objects that live in none.
    pub namespace: Arc<str>,
    /// `metadata.name`.
    pub name: Arc<str>,
    /// `metadata.labels` as written.
    pub labels: Box<[(Box<str>, Box<str>)]>,
    /// Values of the resource's selectable fields, in the order of its row.
    pub fields: Box<[Box<str>]>,
}

impl Facts {
    /// `metadata.namespace`, empty for objects that live in none.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The value of one label.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.iter().find(|(k, _)| &**k == key).map(|(_, v)| &**v)
    }
}

/// An object on its way into the store: encoded, with the place of its revision marked.
#[derive(Debug, Clone)]
pub struct Draft {
    bytes: Vec<u8>,
    revision_at: usize,
    revision_len: usize,
    facts: Facts,
}

impl Draft {
    /// Takes an encoded object whose `metadata.resourceVersion` is [`REVISION_PLACEHOLDER`] or any other
    /// text. Gives `None` when the bytes hold no resourceVersion.
    pub fn new(bytes: Vec<u8>, facts: Facts) -> Option<Draft> {
        let (revision_at, revision_len) = find_revision(&bytes)?;
        Some(Draft { bytes, revision_at, revision_len, facts })
    }

    /// The size of the encoded object in bytes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there are no bytes; never so for a draft that `new` accepted.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether a stored object is the same but for its revision.
    pub fn same_as(&self, stored: &Stored) -> bool {
        let (at, len) = (stored.revision_at as usize, stored.revision_len as usize);
        let theirs = stored.bytes();
        self.bytes[..self.revision_at] == theirs[..at]
            && self.bytes[self.revision_at + self.revision_len..] == theirs[at + len..]
    }

    /// The object at its revision, inside the watch event that announces it.
    pub(super) fn seal(self, revision: u64, change: Change) -> Stored {
        let line = event_line(change, &self.bytes, self.revision_at, self.revision_len, revision);
        Stored::in_line(line, change, revision, self.facts)
    }
}

/// One object as the store keeps it. Its bytes lie inside the line of the watch event that announced it,
/// so that the object and the event are encoded once and shared by everybody who reads either.
#[derive(Debug)]
pub struct Stored {
    line: Bytes,
    bytes: Bytes,
    revision_at: u32,
    revision_len: u32,
    /// Where it says who manages its fields; empty when it does not.
    managed: (u32, u32),
    /// The revision of the write that made this state.
    pub revision: u64,
    /// Labels and selectable fields.
    pub facts: Facts,
}

impl Stored {
    /// An object read back from a backend; its bytes carry the revision already.
    pub(super) fn loaded(bytes: &[u8], revision: u64, facts: Facts) -> Option<Stored> {
        let (at, len) = find_revision(bytes)?;
        let line = event_line(Change::Added, bytes, at, len, revision);
        Some(Stored::in_line(line, Change::Added, revision, facts))
    }

    fn in_line(line: Bytes, change: Change, revision: u64, facts: Facts) -> Stored {
        let start = event_head_len(change);
        let bytes = line.slice(start..line.len() - 2);
        let (at, len) = find_revision(&bytes).unwrap_or((0, 0));
        let managed = scan::managed_fields(&bytes).unwrap_or_default();
        let managed = (managed.start as u32, managed.end as u32);
        Stored { line, bytes, revision_at: at as u32, revision_len: len as u32, managed, revision, facts }
    }

    /// Its key, which shares its texts.
    pub fn key(&self) -> super::Key {
        (self.facts.namespace.clone(), self.facts.name.clone())
    }

    /// The encoded object, resourceVersion included.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The object, but for who manages its fields: that is large, and seldom asked for.
    pub fn value(&self) -> Value {
        let managed = self.managed_at();
        // It was encoded here, or read back with its checksum.
        if managed.is_empty() {
            return serde_json::from_slice(&self.bytes).unwrap_or_default();
        }
        serde_json::from_slice(&scan::without(&self.bytes, &managed)).unwrap_or_default()
    }

    /// Who manages its fields, as JSON; empty when nobody is known to.
    pub fn managed_fields(&self) -> &str {
        std::str::from_utf8(&self.bytes[self.managed_at()]).unwrap_or_default()
    }

    fn managed_at(&self) -> Range<usize> {
        self.managed.0 as usize..self.managed.1 as usize
    }

    /// The watch event with which this state was announced, as a line.
    pub(super) fn line(&self) -> &Bytes {
        &self.line
    }

    /// A watch event about this state with another type or revision, as a line.
    pub fn line_as(&self, change: Change, revision: u64) -> Bytes {
        event_line(change, &self.bytes, self.revision_at as usize, self.revision_len as usize, revision)
    }

    /// The same object at another revision: the last state that a deletion announces.
    pub(super) fn at_revision(&self, revision: u64, change: Change) -> Stored {
        let line = self.line_as(change, revision);
        Stored::in_line(line, change, revision, self.facts.clone())
    }
}

/// One entry of a watch ring.
#[derive(Debug)]
pub struct Event {
    /// What happened.
    pub change: Change,
    /// The object after the change; the last state of a deleted object.
    pub object: Arc<Stored>,
    /// The state before the change, for watchers whose selector it matched.
    pub previous: Option<Arc<Stored>>,
    as_added: OnceLock<Bytes>,
    as_deleted: OnceLock<Bytes>,
}

impl Event {
    pub(super) fn new(change: Change, object: Arc<Stored>, previous: Option<Arc<Stored>>) -> Event {
        Event { change, object, previous, as_added: OnceLock::new(), as_deleted: OnceLock::new() }
    }

    /// The revision of the write.
    pub fn revision(&self) -> u64 {
        self.object.revision
    }

    /// The event as a line, shared by all watchers that see it this way. A watcher with a selector sees an
    /// object that began to match as added, and one that ceased to match as deleted in its previous state.
    pub fn line(&self, seen_as: Change) -> Bytes {
        if seen_as == self.change {
            return self.object.line().clone();
        }
        match seen_as {
            Change::Added => {
                self.as_added.get_or_init(|| self.object.line_as(Change::Added, self.revision())).clone()
            }
            Change::Deleted => self
                .as_deleted
                .get_or_init(|| {
                    let last = self.previous.as_ref().unwrap_or(&self.object);
                    last.line_as(Change::Deleted, self.revision())
                })
                .clone(),
            Change::Modified => self.object.line_as(Change::Modified, self.revision()),
        }
    }

    /// The state that a watcher who sees the event as `seen_as` is shown.
    pub fn shown(&self, seen_as: Change) -> &Stored {
        match (seen_as, &self.previous) {
            (Change::Deleted, Some(previous)) if self.change != Change::Deleted => previous,
            _ => &self.object,
        }
    }

    /// What the event costs in memory beyond the objects that the store holds anyway, in bytes.
    pub(super) fn weight_bytes(&self) -> usize {
        self.object.line.len() + std::mem::size_of::<Event>() + std::mem::size_of::<Stored>()
    }
}

fn event_head_len(change: Change) -> usize {
    "{\"type\":\"".len() + change.name().len() + EVENT_OBJECT.len()
}

fn event_line(change: Change, object: &[u8], at: usize, len: usize, revision: u64) -> Bytes {
    let mut line = Vec::with_capacity(object.len() + 64);
    line.extend_from_slice(b"{\"type\":\"");
    line.extend_from_slice(change.name().as_bytes());
    line.extend_from_slice(EVENT_OBJECT.as_bytes());
    line.extend_from_slice(&object[..at]);
    line.extend_from_slice(revision.to_string().as_bytes());
    line.extend_from_slice(&object[at + len..]);
    line.extend_from_slice(b"}\n");
    line.shrink_to_fit();
    Bytes::from(line)
}

/// Where the digits of `metadata.resourceVersion` lie. The first match is the right one: `metadata` comes
/// before every other object in the encoding, and quotes inside strings are escaped.
fn find_revision(bytes: &[u8]) -> Option<(usize, usize)> {
    let needle = REVISION_FIELD.as_bytes();
    let found = bytes.windows(needle.len()).position(|window| window == needle)?;
    let at = found + needle.len();
    let len = bytes[at..].iter().position(|&b| b == b'"')?;
    Some((at, len))
}

/// The revision that an encoded object carries.
pub(super) fn revision_of(bytes: &[u8]) -> Option<u64> {
    let (at, len) = find_revision(bytes)?;
    std::str::from_utf8(&bytes[at..at + len]).ok()?.parse().ok()
}
