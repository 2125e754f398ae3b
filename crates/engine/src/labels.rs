//! Label sets of pods. Pods of one DaemonSet and revision carry equal labels, so a set is kept once and a pod names it.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::ids::LabelSetId;
use crate::pod_body::{GENERATION_LABEL, HASH_LABEL};

#[derive(Clone, Debug, Default)]
struct LabelSet {
    pairs: Box<[(Box<str>, Box<str>)]>,
    users: u32,
}

/// Label sets by number, counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct LabelSets {
    sets: Vec<LabelSet>,
    free: Vec<u32>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

fn equal(set: &LabelSet, pairs: &[(&str, &str)]) -> bool {
    set.pairs.len() == pairs.len() && set.pairs.iter().zip(pairs).all(|(a, b)| *a.0 == *b.0 && *a.1 == *b.1)
}

impl LabelSets {
    /// The set of these labels, with one more user.
    pub fn acquire(&mut self, pairs: &[(&str, &str)]) -> LabelSetId {
        let hash = self.hasher.hash_one(pairs);
        if let Some(&id) = self.index.find(hash, |&id| equal(&self.sets[id as usize], pairs)) {
            self.sets[id as usize].users += 1;
            return LabelSetId(id);
        }
        let id = self.free.pop().unwrap_or_else(|| {
            self.sets.push(LabelSet::default());
            (self.sets.len() - 1) as u32
        });
        let owned = pairs.iter().map(|&(key, value)| (key.into(), value.into())).collect();
        self.sets[id as usize] = LabelSet { pairs: owned, users: 1 };
        let (sets, hasher) = (&self.sets, &self.hasher);
        self.index.insert_unique(hash, id, |&id| hash_of(hasher, &sets[id as usize]));
        LabelSetId(id)
    }

    /// The set that differs from another one in one label only, with one more user.
    pub fn acquire_changed(&mut self, from: LabelSetId, key: &str, value: &str) -> LabelSetId {
        let kept = self.sets[from.0 as usize].pairs.clone();
        let mut pairs: Vec<(&str, &str)> = kept.iter().map(|(key, value)| (&**key, &**value)).collect();
        match pairs.iter_mut().find(|(one, _)| *one == key) {
            Some(pair) => pair.1 = value,
            None => {
                let place = pairs.partition_point(|(one, _)| *one < key);
                pairs.insert(place, (key, value));
            }
        }
        self.acquire(&pairs)
    }

    /// One user less.
    pub fn release(&mut self, id: LabelSetId) {
        let set = &mut self.sets[id.0 as usize];
        set.users -= 1;
        if set.users > 0 {
            return;
        }
        let hash = hash_of(&self.hasher, &self.sets[id.0 as usize]);
        if let Ok(found) = self.index.find_entry(hash, |&one| one == id.0) {
            found.remove();
        }
        self.sets[id.0 as usize].pairs = Box::default();
        self.free.push(id.0);
    }

    /// The set is of exactly these labels.
    pub fn is(&self, id: LabelSetId, pairs: &[(&str, &str)]) -> bool {
        equal(&self.sets[id.0 as usize], pairs)
    }

    /// The value of a label.
    pub fn get(&self, id: LabelSetId, key: &str) -> Option<&str> {
        let pairs = &self.sets[id.0 as usize].pairs;
        pairs.iter().find(|(one, _)| **one == *key).map(|(_, value)| &**value)
    }

    /// The label `controller-revision-hash`, empty when there is none.
    pub fn hash(&self, id: LabelSetId) -> &str {
        self.get(id, HASH_LABEL).unwrap_or_default()
    }

    /// The label `pod-template-generation`.
    pub fn generation(&self, id: LabelSetId) -> Option<&str> {
        self.get(id, GENERATION_LABEL)
    }

    /// How many sets are kept.
    pub fn len(&self) -> usize {
        self.index.len()
    }
}

fn hash_of(hasher: &DefaultHashBuilder, set: &LabelSet) -> u64 {
    let pairs: smallvec::SmallVec<[(&str, &str); 16]> =
        set.pairs.iter().map(|(key, value)| (&**key, &**value)).collect();
    hasher.hash_one(&pairs[..])
}
