//! The part of a node that placement reads.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, de};

use crate::text::null_as_default;
use crate::{Labels, Text, TimedTaint};

/// A Node without its status: kubelets write that every few minutes, with kilobytes of images, and it decides nothing.
#[derive(Debug, Default)]
pub struct NodePlacement<'a> {
    /// metadata.name.
    pub name: Text<'a>,
    /// metadata.labels.
    pub labels: Labels<'a>,
    /// spec.taints.
    pub taints: Vec<TimedTaint<'a>>,
}

impl<'a> NodePlacement<'a> {
    /// Reads a node as far as its status, which Kubernetes writes last; what follows is not even looked at.
    ///
    /// # Errors
    /// What was read is not a node.
    pub fn read(object: &'a [u8]) -> Result<NodePlacement<'a>, serde_json::Error> {
        let (mut node, mut is_complete) = (NodePlacement::default(), false);
        let mut json = serde_json::Deserializer::from_slice(object);
        let read = UntilStatus { node: &mut node, is_complete: &mut is_complete }.deserialize(&mut json);
        match read {
            Err(error) if !is_complete => Err(error),
            _ => Ok(node),
        }
    }
}

/// Fills a node, and stops with an error of no meaning when it is complete.
struct UntilStatus<'n, 'a> {
    node: &'n mut NodePlacement<'a>,
    is_complete: &'n mut bool,
}

impl<'de> DeserializeSeed<'de> for UntilStatus<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for UntilStatus<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a Node")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let (mut has_metadata, mut has_spec) = (false, false);
        while let Some(Key(key)) = fields.next_key()? {
            match &*key {
                "metadata" => {
                    let Metadata { name, labels } = fields.next_value::<Option<_>>()?.unwrap_or_default();
                    (self.node.name, self.node.labels, has_metadata) = (name, labels, true);
                }
                "spec" => {
                    let Spec { taints } = fields.next_value::<Option<_>>()?.unwrap_or_default();
                    (self.node.taints, has_spec) = (taints, true);
                }
                "status" if has_metadata && has_spec => {
                    *self.is_complete = true;
                    return Err(A::Error::custom("complete"));
                }
                _ => drop(fields.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        from.deserialize_str(Text)
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    labels: Labels<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Spec<'a> {
    #[serde(borrow, deserialize_with = "null_as_default")]
    taints: Vec<TimedTaint<'a>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(object: &str, name: &str, labels: usize, taints: usize) {
        let node = NodePlacement::read(object.as_bytes()).unwrap();
        assert_eq!((&*node.name, node.labels.iter().count(), node.taints.len()), (name, labels, taints));
    }

    #[test]
    fn a_node_is_read_in_any_order_and_no_further_than_its_status() {
        let metadata = r#""metadata":{"name":"n","labels":{"a":"b","c":"d"},"managedFields":[{"x":1}]}"#;
        let spec = r#""spec":{"podCIDR":"10.0.0.0/24","taints":[{"key":"k","effect":"NoExecute"}]}"#;
        check(&format!(r#"{{"kind":"Node",{metadata},{spec},"status":{{"images":[]}}}}"#), "n", 2, 1);
        check(&format!(r#"{{"status":{{"images":[]}},{spec},{metadata}}}"#), "n", 2, 1);
        check(&format!(r#"{{{metadata},"status":{{}}}}"#), "n", 2, 0);
        check(&format!(r#"{{{metadata},{spec},"status":cut"#), "n", 2, 1);
        check(r#"{"metadata":{"name":"n","labels":null},"spec":{"taints":null}}"#, "n", 0, 0);
        check("{}", "", 0, 0);
    }

    #[test]
    fn what_is_no_node_is_refused() {
        for text in ["", "[]", "7", r#"{"metadata":"#, r#"{"metadata":{"name":3},"spec":{},"status":{}}"#] {
            assert!(NodePlacement::read(text.as_bytes()).is_err(), "{text}");
        }
    }
}
