//! Texts that occur many times, kept once and named by a number. Counted, so that nothing stays when its last user
//! leaves.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

/// Names one text of one [`Interner`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Name(u32);

#[derive(Clone, Debug, Default)]
struct Entry {
    text: Box<str>,
    users: u32,
}

/// Texts by number, numbers by text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interner {
    entries: Vec<Entry>,
    free: Vec<u32>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl Interner {
    /// The name of a text, with one more user.
    pub fn acquire(&mut self, text: &str) -> Name {
        let hash = self.hasher.hash_one(text);
        if let Some(&id) = self.index.find(hash, |&id| &*self.entries[id as usize].text == text) {
            self.entries[id as usize].users += 1;
            return Name(id);
        }
        let id = self.free.pop().unwrap_or_else(|| {
            self.entries.push(Entry::default());
            (self.entries.len() - 1) as u32
        });
        self.entries[id as usize] = Entry { text: text.into(), users: 1 };
        let (entries, hasher) = (&self.entries, &self.hasher);
        self.index.insert_unique(hash, id, |&id| hasher.hash_one(&*entries[id as usize].text));
        Name(id)
    }

    /// One user less; the last one takes the text with it.
    pub fn release(&mut self, name: Name) {
        let entry = &mut self.entries[name.0 as usize];
        entry.users -= 1;
        if entry.users > 0 {
            return;
        }
        let hash = self.hasher.hash_one(&*entry.text);
        if let Ok(found) = self.index.find_entry(hash, |&id| id == name.0) {
            found.remove();
        }
        self.entries[name.0 as usize].text = Box::default();
        self.free.push(name.0);
    }

    /// The name of a text that has one.
    pub fn find(&self, text: &str) -> Option<Name> {
        let hash = self.hasher.hash_one(text);
        self.index.find(hash, |&id| &*self.entries[id as usize].text == text).map(|&id| Name(id))
    }

    /// The text of a name.
    pub fn text(&self, name: Name) -> &str {
        &self.entries[name.0 as usize].text
    }

    /// How many texts are kept.
    pub fn len(&self) -> usize {
        self.index.len()
    }
}
