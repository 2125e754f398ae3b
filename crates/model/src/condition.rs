//! Conditions, as pods and nodes have them.

use serde::Deserialize;

use crate::Text;

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

/// The status of the condition of this type, if it is in the list.
pub fn condition_status<'a>(conditions: &'a [Condition<'_>], kind: &str) -> Option<&'a str> {
    conditions.iter().find(|condition| condition.kind == *kind).map(|condition| &*condition.status)
}
