//! What a list and the watch behind it have shown.

use std::borrow::Borrow;
use std::collections::BTreeMap;

/// The objects of a collection by key, as the events of a [`ListWatch`](crate::ListWatch) tell of them. While a list is
/// made anew, what it has not named yet stays; when it is complete, what it did not name is swept out.
#[derive(Debug, Clone)]
pub struct Collection<K, V> {
    known: BTreeMap<K, Seen<V>>,
    /// Which list is, or was the last, to name objects.
    list: u64,
    is_listing: bool,
}

#[derive(Debug, Clone)]
struct Seen<V> {
    value: V,
    list: u64,
}

impl<K: Ord, V> Collection<K, V> {
    /// A list begins: [`Event::Restarted`](crate::Event::Restarted).
    pub fn begin_list(&mut self) {
        self.list += 1;
        self.is_listing = true;
    }

    /// The list is complete: [`Event::InitialDone`](crate::Event::InitialDone). Gives what it did not name.
    pub fn end_list(&mut self) -> Vec<(K, V)> {
        self.is_listing = false;
        let list = self.list;
        let swept = self.known.extract_if(.., |_, seen| seen.list != list);
        swept.map(|(key, seen)| (key, seen.value)).collect()
    }

    /// An object as it stands.
    pub fn put(&mut self, key: K, value: V) {
        self.known.insert(key, Seen { value, list: self.list });
    }

    /// An object is gone, or has left the selection.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.known.remove(key).map(|seen| seen.value)
    }

    /// Whether a list has begun that is not complete.
    pub fn is_listing(&self) -> bool {
        self.is_listing
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// What is known, in the order of the keys.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.known.values().map(|seen| &seen.value)
    }
}

impl<K, V> Default for Collection<K, V> {
    fn default() -> Self {
        Collection { known: BTreeMap::new(), list: 0, is_listing: false }
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for Collection<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let mut collection = Collection::default();
        pairs.into_iter().for_each(|(key, value)| collection.put(key, value));
        collection
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_complete_list_does_not_name_is_swept_out_and_nothing_before() {
        let mut collection = Collection::from_iter([("a", 1), ("b", 1), ("c", 1)]);
        let known = |collection: &Collection<&str, i32>| collection.values().copied().collect::<Vec<i32>>();
        collection.begin_list();
        collection.put("b", 2);
        assert!(collection.is_listing() && known(&collection) == [1, 2, 1]);
        // A list that broke off counts for nothing.
        collection.begin_list();
        collection.put("c", 3);
        collection.put("d", 3);
        assert_eq!(collection.remove("d"), Some(3));
        assert_eq!(collection.end_list(), [("a", 1), ("b", 2)]);
        assert!(!collection.is_listing() && known(&collection) == [3]);
        collection.put("e", 4);
        assert_eq!(collection.end_list(), [], "what came by the watch stays");
    }
}
