//! Conditions, as pods and nodes have them.

use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::text::null_as_default;
use crate::{Text, time};

/// One statement about an object.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Condition<'a> {
    /// Type, such as `Ready`.
    #[serde(borrow, rename = "type")]
    pub kind: Text<'a>,
    /// `True`, `False` or `Unknown`.
    #[serde(borrow)]
    pub status: Text<'a>,
    /// A word for programs.
    #[serde(borrow)]
    pub reason: Text<'a>,
    /// A sentence for people.
    #[serde(borrow)]
    pub message: Text<'a>,
    /// When its reporter last spoke; on nodes.
    #[serde(borrow)]
    pub last_heartbeat_time: Option<Text<'a>>,
    /// Since when the status is so.
    #[serde(borrow)]
    pub last_transition_time: Option<Text<'a>>,
}

impl Condition<'_> {
    /// The status is `True`.
    pub fn is_true(&self) -> bool {
        self.status == "True"
    }

    /// Since when the status is so, in Unix seconds.
    pub fn since_seconds(&self) -> Option<i64> {
        time::seconds(self.last_transition_time.as_ref())
    }
}

/// The conditions of an object, all of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Conditions<'a>(Vec<Condition<'a>>);

/// How a pod or a node says that it serves.
const READY: &str = "Ready";

/// How a pod says that there is a node for it, or why there is none.
const SCHEDULED: &str = "PodScheduled";

/// The conditions of a pod that somebody asks for. Others are passed over: an event of a pod needs no list of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PodConditions<'a> {
    /// Whether it serves.
    pub ready: Option<Condition<'a>>,
    /// Whether there is a node for it.
    pub scheduled: Option<Condition<'a>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for PodConditions<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(PodConditionsVisitor)
    }
}

struct PodConditionsVisitor;

impl<'de> Visitor<'de> for PodConditionsVisitor {
    type Value = PodConditions<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of conditions or null")
    }

    fn visit_unit<E>(self) -> Result<PodConditions<'de>, E> {
        Ok(PodConditions::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<PodConditions<'de>, A::Error> {
        let mut found = PodConditions::default();
        while let Some(condition) = list.next_element::<Condition<'de>>()? {
            let place = match &*condition.kind {
                READY => &mut found.ready,
                SCHEDULED => &mut found.scheduled,
                _ => continue,
            };
            place.get_or_insert(condition);
        }
        Ok(found)
    }
}

impl<'a> Conditions<'a> {
    /// Those of an object that is there as a value.
    pub fn of(object: &'a Value) -> Conditions<'a> {
        Conditions::deserialize(&object["status"]["conditions"]).unwrap_or_default()
    }

    /// The condition of this type.
    pub fn get(&self, kind: &str) -> Option<&Condition<'a>> {
        self.0.iter().find(|condition| condition.kind == *kind)
    }

    /// How the object says whether it is ready, and since when.
    pub fn ready(&self) -> Option<&Condition<'a>> {
        self.get(READY)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Condition<'a>> {
        self.0.iter()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Conditions<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        null_as_default(from).map(Conditions)
    }
}
