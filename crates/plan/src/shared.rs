//! What many objects of a fleet have alike is held once: texts, labels, resources. 100,000 nodes have a few kernels and
//! as many sets of labels as there are kinds of nodes, but for what names each of them.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};
use serde_json::Value;

use crate::record::{Node, Pod};

/// A text that several objects may hold together.
pub type Text = Arc<str>;

/// A label and its value.
type Pair = (Text, Text);

/// Values of a label by which objects are taken to be alike, at most: more of them name objects.
const VALUES: usize = 256;
/// What nobody uses any more is looked for when so much is held, and then each time that twice as much is.
const FIRST_SWEEP: usize = 1 << 14;

/// Labels, or other texts by names, in the order of these.
#[derive(Clone, Default)]
pub struct Labels {
    /// Those that other objects have too, by name.
    common: Arc<[Pair]>,
    /// The object's own, by name.
    own: Box<[Pair]>,
}

impl Labels {
    /// The value of a label.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.text(name).map(|value| &**value)
    }

    /// The same, to be held.
    pub fn text(&self, name: &str) -> Option<&Text> {
        let find = |pairs: &[Pair]| pairs.binary_search_by(|(one, _)| (**one).cmp(name)).ok();
        let pair = find(&self.own).map(|place| &self.own[place]);
        let pair = pair.or_else(|| find(&self.common).map(|place| &self.common[place]));
        pair.map(|(_, value)| value)
    }

    /// Labels and their values, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        self.pairs().map(|(name, value)| (&**name, &**value))
    }

    /// Adds a label, or changes its value.
    pub fn insert(&mut self, name: impl Into<Text>, value: impl Into<Text>) {
        let (name, value) = (name.into(), value.into());
        let others = self.pairs().filter(|(one, _)| *one != name).cloned();
        *self = others.chain([(name.clone(), value)]).collect();
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.common.is_empty() && self.own.is_empty()
    }

    fn pairs(&self) -> impl Iterator<Item = &Pair> + Clone {
        let (mut common, mut own) = (self.common.iter().peekable(), self.own.iter().peekable());
        std::iter::from_fn(move || match (common.peek(), own.peek()) {
            (Some(one), Some(other)) if other.0 < one.0 => own.next(),
            (Some(_), _) => common.next(),
            (None, _) => own.next(),
        })
    }
}

impl<N: Into<Text>, V: Into<Text>> FromIterator<(N, V)> for Labels {
    /// Of a name that comes twice the last value counts.
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Labels {
        let mut pairs: Vec<Pair> =
            pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        pairs.sort_by(|(one, _), (other, _)| one.cmp(other));
        pairs.reverse();
        pairs.dedup_by(|(one, _), (other, _)| one == other);
        pairs.reverse();
        Labels { common: pairs.into(), own: Box::default() }
    }
}

impl<N: Into<Text>, V: Into<Text>, const COUNT: usize> From<[(N, V); COUNT]> for Labels {
    fn from(pairs: [(N, V); COUNT]) -> Labels {
        pairs.into_iter().collect()
    }
}

impl PartialEq for Labels {
    fn eq(&self, other: &Labels) -> bool {
        let is_same = Arc::ptr_eq(&self.common, &other.common) && self.own == other.own;
        is_same || self.pairs().eq(other.pairs())
    }
}

impl Eq for Labels {}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Serialize for Labels {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Labels, D::Error> {
        let pairs = std::collections::BTreeMap::<Text, Text>::deserialize(from)?;
        Ok(pairs.into_iter().collect())
    }
}

/// Holds what it was shown once.
#[derive(Clone, Debug, Default)]
pub struct Shared {
    texts: HashSet<Text>,
    sets: HashSet<Arc<[Pair]>>,
    resources: HashMap<String, Arc<Value>>,
    /// The values of each label, as long as they are few.
    values: HashMap<Text, HashSet<Text>>,
    sweep_at: usize,
}

impl Shared {
    /// Has a node hold what it has alike with others together with them.
    pub fn node(&mut self, node: &mut Node) {
        self.text(&mut node.name);
        self.text(&mut node.ready);
        self.labels(&mut node.labels);
        self.labels(&mut node.system);
        for taint in &mut node.taints {
            [&mut taint.key, &mut taint.value, &mut taint.effect].into_iter().for_each(|one| self.text(one));
        }
        let text = node.allocatable.to_string();
        node.allocatable = self.resources.entry(text).or_insert_with(|| node.allocatable.clone()).clone();
        self.sweep();
    }

    /// Has a pod hold what it has alike with others together with them.
    pub fn pod(&mut self, pod: &mut Pod) {
        let Pod { namespace, phase, daemon_set, node, .. } = pod;
        let texts = [namespace, phase].into_iter().chain(daemon_set).chain(node);
        texts.for_each(|text| self.text(text));
        self.labels(&mut pod.labels);
        self.sweep();
    }

    /// Has a text be the one that is held.
    pub fn text(&mut self, text: &mut Text) {
        match self.texts.get(&**text) {
            Some(held) => *text = held.clone(),
            None => drop(self.texts.insert(text.clone())),
        }
    }

    fn labels(&mut self, labels: &mut Labels) {
        let (mut common, mut own) = (Vec::new(), Vec::new());
        for (name, value) in labels.pairs() {
            let (mut name, mut value) = (name.clone(), value.clone());
            self.text(&mut name);
            self.text(&mut value);
            match self.is_common(&name, &value) {
                true => common.push((name, value)),
                false => own.push((name, value)),
            }
        }
        let held = self.sets.get(common.as_slice()).cloned();
        let common = held.unwrap_or_else(|| common.into());
        self.sets.insert(common.clone());
        *labels = Labels { common, own: own.into() };
    }

    /// Objects are alike by such a label.
    fn is_common(&mut self, name: &Text, value: &Text) -> bool {
        let values = self.values.entry(name.clone()).or_default();
        if values.len() <= VALUES && !values.contains(value) {
            values.insert(value.clone());
        }
        values.len() <= VALUES
    }

    fn sweep(&mut self) {
        let held = self.texts.len() + self.sets.len() + self.resources.len();
        if held < self.sweep_at.max(FIRST_SWEEP) {
            return;
        }
        self.sets.retain(|set| Arc::strong_count(set) > 1);
        self.resources.retain(|_, value| Arc::strong_count(value) > 1);
        self.texts.retain(|text| Arc::strong_count(text) > 1);
        self.sweep_at = 2 * (self.texts.len() + self.sets.len() + self.resources.len());
    }
}
