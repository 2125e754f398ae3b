//! Conditions, as pods and nodes have them.

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

/// The conditions of an object.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Conditions<'a>(Vec<Condition<'a>>);

/// How a pod or a node says that it serves.
const READY: &str = "Ready";

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
