//! Claims to volumes, and the pods that wait until theirs are bound.

use std::collections::{BTreeSet, HashMap};

use everynode_model::Metadata;

use crate::facts::Claim;

/// A claim by namespace and name.
type Key = (Box<str>, Box<str>);

/// What is known of all claims.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// Whether each is bound to a volume.
    bound: HashMap<Key, bool>,
    /// Pods by the claim that each waits for.
    waiting: HashMap<Key, BTreeSet<u64>>,
    /// Whether all claims are known.
    pub listed: bool,
}

impl Claims {
    /// Takes what a claim shows, and gives the pods that waited for it.
    pub(super) fn observe(&mut self, claim: &Claim<'_>) -> BTreeSet<u64> {
        let key = key(&claim.metadata.namespace, &claim.metadata.name);
        let is_bound = !claim.metadata.is_deleting() && !claim.spec.volume_name.is_empty();
        if self.bound.insert(key.clone(), is_bound) == Some(is_bound) {
            return BTreeSet::new();
        }
        self.waiting.remove(&key).unwrap_or_default()
    }

    /// Takes that a claim is gone, and gives the pods that waited for it: they say something else now.
    pub(super) fn gone(&mut self, metadata: &Metadata<'_>) -> BTreeSet<u64> {
        let key = key(&metadata.namespace, &metadata.name);
        self.bound.remove(&key);
        self.waiting.remove(&key).unwrap_or_default()
    }

    /// Lets a pod wait for the first of its claims that is not bound, and says why; none where all are.
    pub(super) fn wait(&mut self, pod: u64, namespace: &str, names: &[Box<str>]) -> Option<String> {
        let keys = names.iter().map(|name| key(namespace, name));
        let first = keys.into_iter().find(|key| self.bound.get(key) != Some(&true))?;
        let why = match self.bound.get(&first) {
            Some(_) => "pod has unbound immediate PersistentVolumeClaims".to_owned(),
            None => format!("persistentvolumeclaim \"{}\" not found", first.1),
        };
        self.waiting.entry(first).or_default().insert(pod);
        Some(why)
    }

    /// Forgets a pod that waits.
    pub(super) fn forget(&mut self, pod: u64, namespace: &str, names: &[Box<str>]) {
        for key in names.iter().map(|name| key(namespace, name)) {
            let Some(waiting) = self.waiting.get_mut(&key) else { continue };
            waiting.remove(&pod);
            if waiting.is_empty() {
                self.waiting.remove(&key);
            }
        }
    }
}

fn key(namespace: &str, name: &str) -> Key {
    (namespace.into(), name.into())
}
