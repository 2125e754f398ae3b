//! Objects, and every change of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use everynode_model::Value;

use crate::model::Kind;

/// Names an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) kind: Kind,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Key {
    pub(crate) fn new(kind: Kind, namespace: &str, name: &str) -> Key {
        let namespace = if kind.is_namespaced() { namespace } else { "" };
        Key { kind, namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

/// What became of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moved {
    Added,
    Modified,
    Deleted,
}

/// One change.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) version: u64,
    pub(crate) key: Key,
    pub(crate) moved: Moved,
    /// What the object was before; `None` when it was not.
    pub(crate) old: Option<Arc<Value>>,
    /// What it is, or last was, with the version of this change.
    pub(crate) new: Arc<Value>,
    /// The same as the API serves it.
    pub(crate) bytes: Bytes,
    /// When, in milliseconds since the world began.
    pub(crate) at_millis: u64,
}

/// All objects.
#[derive(Debug)]
pub(crate) struct Store {
    objects: BTreeMap<Key, Arc<Value>>,
    log: Vec<Arc<Change>>,
    /// Watches cannot begin at this version or before.
    compacted: u64,
    next_uid: u64,
    pub(crate) random: fastrand::Rng,
}

impl Store {
    pub(crate) fn new(seed: u64) -> Store {
        Store {
            objects: BTreeMap::new(),
            log: Vec::new(),
            compacted: 0,
            next_uid: 0,
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// The version of the last change. Versions are consecutive, from 1.
    pub(crate) fn version(&self) -> u64 {
        self.log.len() as u64
    }

    pub(crate) fn get(&self, key: &Key) -> Option<&Arc<Value>> {
        self.objects.get(key)
    }

    /// The objects of a kind, by namespace and name.
    pub(crate) fn all(&self, kind: Kind) -> impl Iterator<Item = &Arc<Value>> {
        let first = Key::new(kind, "", "");
        self.objects.range(first..).take_while(move |(key, _)| key.kind == kind).map(|(_, object)| object)
    }

    /// The changes after a version.
    pub(crate) fn since(&self, version: u64) -> &[Arc<Change>] {
        let from = usize::try_from(version).unwrap_or(usize::MAX).min(self.log.len());
        &self.log[from..]
    }

    pub(crate) fn is_compacted(&self, version: u64) -> bool {
        version < self.compacted
    }

    /// Forgets old versions: who watches from before must list anew.
    pub(crate) fn compact(&mut self, version: u64) {
        self.compacted = self.compacted.max(version.min(self.version()));
    }

    pub(crate) fn new_uid(&mut self) -> String {
        self.next_uid += 1;
        format!("{:08x}-0000-4000-8000-{:012x}", self.random.u32(..), self.next_uid)
    }

    /// Puts an object in, gives it the next version, and returns the change.
    pub(crate) fn put(&mut self, key: Key, mut object: Value, at_millis: u64) -> Arc<Change> {
        let version = self.version() + 1;
        object["metadata"]["resourceVersion"] = version.to_string().into();
        let new = Arc::new(object);
        let old = self.objects.insert(key.clone(), new.clone());
        let moved = if old.is_some() { Moved::Modified } else { Moved::Added };
        self.record(Change { version, key, moved, old, bytes: encode(&new), new, at_millis })
    }

    /// Takes an object out.
    pub(crate) fn remove(&mut self, key: Key, at_millis: u64) -> Option<Arc<Change>> {
        let old = self.objects.remove(&key)?;
        let version = self.version() + 1;
        let mut last = (*old).clone();
        last["metadata"]["resourceVersion"] = version.to_string().into();
        let (moved, new) = (Moved::Deleted, Arc::new(last));
        let change = Change { version, key, moved, old: Some(old), bytes: encode(&new), new, at_millis };
        Some(self.record(change))
    }

    fn record(&mut self, change: Change) -> Arc<Change> {
        let change = Arc::new(change);
        self.log.push(change.clone());
        change
    }
}

pub(crate) fn encode(object: &Value) -> Bytes {
    Bytes::from(serde_json::to_vec(object).unwrap_or_default())
}
