//! The DaemonSets as the API server last served them, for writing their status without reading them first.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use everynode_engine::Uid;

/// The last served bytes of each DaemonSet. DaemonSets are few; no other kind is kept. Clones share the state.
#[derive(Clone, Debug, Default)]
pub(crate) struct Served {
    daemonsets: Arc<Mutex<HashMap<Uid, Version>>>,
}

#[derive(Debug)]
struct Version {
    resource_version: u64,
    object: Bytes,
}

impl Served {
    fn lock(&self) -> MutexGuard<'_, HashMap<Uid, Version>> {
        match self.daemonsets.lock() {
            Ok(guard) => guard,
            // No step under the lock leaves the map half changed.
            Err(poisoned) => poisoned.into_inner(),
        }
    }

    /// Keeps these bytes unless newer ones are here. They are copied: a slice would keep its whole frame alive.
    pub(crate) fn keep(&self, uid: Uid, resource_version: u64, object: &[u8]) {
        let mut all = self.lock();
        if all.get(&uid).is_none_or(|known| known.resource_version <= resource_version) {
            all.insert(uid, Version { resource_version, object: Bytes::copy_from_slice(object) });
        }
    }

    /// As [`keep`](Self::keep), for the answer to a write: a DaemonSet that is gone by now stays forgotten.
    pub(crate) fn refresh(&self, uid: Uid, resource_version: u64, object: &[u8]) {
        if let Some(known) =
            self.lock().get_mut(&uid).filter(|known| known.resource_version < resource_version)
        {
            *known = Version { resource_version, object: Bytes::copy_from_slice(object) };
        }
    }

    /// The last bytes.
    pub(crate) fn get(&self, uid: Uid) -> Option<Bytes> {
        self.lock().get(&uid).map(|version| version.object.clone())
    }

    /// The DaemonSet is gone.
    pub(crate) fn forget(&self, uid: Uid) {
        self.lock().remove(&uid);
    }

    /// A new list begins.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_version_does_not_replace_a_newer_one() {
        let (served, uid) = (Served::default(), Uid(7));
        for (version, object) in [(5, "five"), (4, "four"), (6, "six")] {
            served.keep(uid, version, object.as_bytes());
        }
        assert_eq!(served.get(uid).as_deref(), Some("six".as_bytes()));
        served.refresh(uid, 7, b"seven");
        assert_eq!(served.get(uid).as_deref(), Some("seven".as_bytes()));
        served.forget(uid);
        served.refresh(uid, 8, b"eight");
        assert_eq!(served.get(uid), None, "an answer that comes late brings nothing back");
    }
}
