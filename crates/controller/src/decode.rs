//! From the bytes of a watched object to a fact: borrowed text, and no field that the engine does not read.

use std::borrow::Cow;
use std::fmt;

use everynode_engine::placement::{Effect, Taint};
use everynode_engine::{
    DaemonSetFact, Fact, Kind, NodeFact, Phase, PodController, PodFact, RevisionFact, Time, Uid,
};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// An object that cannot be told to the engine.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    /// It is not the JSON that the API promises.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// It lacks what every served object has.
    #[error("it has no proper {0}")]
    Lacks(&'static str),
}

/// Reads an object as it now is and hands the fact to `tell`.
///
/// # Errors
/// [`Unreadable`] when there is no such fact in the bytes; `tell` was not called.
pub(crate) fn applied(kind: Kind, object: &[u8], tell: impl FnOnce(Fact<'_>)) -> Result<(), Unreadable> {
    match kind {
        Kind::Node => node(&serde_json::from_slice(object)?, tell),
        Kind::Pod => pod(&serde_json::from_slice(object)?, tell),
        Kind::DaemonSet => {
            let value: serde_json::Value = serde_json::from_slice(object)?;
            let fact = DaemonSetFact::from_json(&value).ok_or(Unreadable::Lacks("name, namespace or uid"))?;
            tell(Fact::DaemonSet(Box::new(fact)));
            Ok(())
        }
        Kind::Revision => {
            tell(Fact::Revision(Box::new(revision(object)?)));
            Ok(())
        }
    }
}

/// Reads the last state of an object that is gone and hands the fact to `tell`.
///
/// # Errors
/// As [`applied`].
pub(crate) fn gone(kind: Kind, object: &[u8], tell: impl FnOnce(Fact<'_>)) -> Result<(), Unreadable> {
    let object: Headed<'_> = serde_json::from_slice(object)?;
    let metadata = &object.metadata;
    match kind {
        Kind::Node if metadata.name.is_empty() => return Err(Unreadable::Lacks("name")),
        Kind::Node => tell(Fact::NodeGone(&metadata.name)),
        Kind::DaemonSet => tell(Fact::DaemonSetGone(metadata.uid()?)),
        Kind::Revision => tell(Fact::RevisionGone(metadata.uid()?)),
        Kind::Pod => {
            tell(Fact::PodGone { uid: metadata.uid()?, resource_version: metadata.resource_version() })
        }
    }
    Ok(())
}

/// The `namespace/name` of an object, for messages; as much of it as can be read.
pub(crate) fn name_of(object: &[u8]) -> String {
    match serde_json::from_slice::<Headed<'_>>(object) {
        Ok(object) if object.metadata.namespace.is_empty() => object.metadata.name.into_owned(),
        Ok(object) => format!("{}/{}", object.metadata.namespace, object.metadata.name),
        Err(_) => String::new(),
    }
}

/// What the answer to a write tells about the object.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// metadata.name.
    pub(crate) name: String,
    /// metadata.uid.
    pub(crate) uid: Uid,
    /// metadata.resourceVersion as a number, else 0.
    pub(crate) resource_version: u64,
    /// metadata.deletionTimestamp is set.
    pub(crate) deleting: bool,
}

/// Reads the identity and version of a served object.
///
/// # Errors
/// [`Unreadable`] when there is no object with a proper uid in the bytes.
pub(crate) fn written(object: &[u8]) -> Result<Written, Unreadable> {
    let Headed { metadata } = serde_json::from_slice(object)?;
    Ok(Written {
        uid: metadata.uid()?,
        resource_version: metadata.resource_version(),
        deleting: metadata.deletion_timestamp.is_some(),
        name: metadata.name.into_owned(),
    })
}

/// Reads a served ControllerRevision.
///
/// # Errors
/// [`Unreadable`] when there is none in the bytes.
pub(crate) fn revision(object: &[u8]) -> Result<RevisionFact, Unreadable> {
    let object: Revision<'_> = serde_json::from_slice(object)?;
    let metadata = object.metadata;
    let owned = |(key, value): &(Cow<'_, str>, Cow<'_, str>)| (key.to_string(), value.to_string());
    Ok(RevisionFact {
        uid: metadata.uid()?,
        resource_version: metadata.resource_version(),
        labels: metadata.labels.0.iter().map(owned).collect(),
        controller: metadata.controller(),
        deleting: metadata.deletion_timestamp.is_some(),
        namespace: metadata.namespace.into_owned(),
        name: metadata.name.into_owned(),
        revision: object.revision,
        data: object.data.map(|data| data.get().as_bytes().into()).unwrap_or_default(),
    })
}

fn node(object: &Node<'_>, tell: impl FnOnce(Fact<'_>)) -> Result<(), Unreadable> {
    if object.metadata.name.is_empty() {
        return Err(Unreadable::Lacks("name"));
    }
    let labels = object.metadata.labels.borrowed();
    let taints: Vec<Taint<'_>> = object.spec.taints.iter().flatten().map(TaintText::borrowed).collect();
    tell(Fact::Node(NodeFact { name: &object.metadata.name, labels: &labels, taints: &taints }));
    Ok(())
}

fn pod(object: &Pod<'_>, tell: impl FnOnce(Fact<'_>)) -> Result<(), Unreadable> {
    let Pod { metadata, spec, status } = object;
    if metadata.name.is_empty() || metadata.namespace.is_empty() {
        return Err(Unreadable::Lacks("name or namespace"));
    }
    let bound = !spec.node_name.is_empty();
    let pinned = if bound { None } else { spec.affinity.and_then(pinned_node) };
    let labels = metadata.labels.borrowed();
    tell(Fact::Pod(PodFact {
        namespace: &metadata.namespace,
        name: &metadata.name,
        uid: metadata.uid()?,
        resource_version: metadata.resource_version(),
        labels: &labels,
        controller: metadata.controller(),
        node: if bound { Some(&spec.node_name) } else { pinned.as_deref() },
        bound,
        phase: Phase::parse(&status.phase),
        ready: status.conditions.ready,
        ready_since: status.conditions.since.as_deref().and_then(time),
        deleting: metadata.deletion_timestamp.is_some(),
        created: metadata.creation_timestamp.as_deref().and_then(time).unwrap_or_default(),
    }));
    Ok(())
}

/// The value of the first matchFields requirement `metadata.name In [x]` (specification D1).
fn pinned_node(affinity: &RawValue) -> Option<String> {
    let affinity: serde_json::Value = serde_json::from_str(affinity.get()).ok()?;
    let required = &affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    let terms = required["nodeSelectorTerms"].as_array()?;
    let mut fields = terms.iter().filter_map(|term| term["matchFields"].as_array()).flatten();
    fields.find_map(|field| match (field["key"].as_str()?, field["operator"].as_str()?) {
        ("metadata.name", "In") => match field["values"].as_array()?.as_slice() {
            [value] => value.as_str().map(str::to_owned),
            _ => None,
        },
        _ => None,
    })
}

fn time(text: &str) -> Option<Time> {
    text.parse::<jiff::Timestamp>().ok().map(|time| Time(time.as_millisecond()))
}

#[derive(Deserialize)]
struct Headed<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
}

#[derive(Deserialize)]
struct Node<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
    #[serde(borrow, default)]
    spec: NodeSpec<'a>,
}

#[derive(Deserialize)]
struct Pod<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
    #[serde(borrow, default)]
    spec: PodSpec<'a>,
    #[serde(borrow, default)]
    status: PodStatus<'a>,
}

#[derive(Deserialize)]
struct Revision<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
    #[serde(default)]
    revision: i64,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Metadata<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    namespace: Cow<'a, str>,
    #[serde(borrow)]
    uid: Cow<'a, str>,
    #[serde(borrow)]
    resource_version: Cow<'a, str>,
    #[serde(borrow)]
    labels: Pairs<'a>,
    #[serde(borrow)]
    owner_references: Option<Vec<Owner<'a>>>,
    #[serde(borrow)]
    creation_timestamp: Option<Text<'a>>,
    #[serde(borrow)]
    deletion_timestamp: Option<Text<'a>>,
}

impl Metadata<'_> {
    fn uid(&self) -> Result<Uid, Unreadable> {
        Uid::parse(&self.uid).ok_or(Unreadable::Lacks("uid"))
    }

    fn resource_version(&self) -> u64 {
        self.resource_version.parse().unwrap_or_default()
    }

    /// The owner with `controller: true`. The group of its apiVersion is not looked at (specification A15).
    fn controller(&self) -> PodController {
        match self.owner_references.iter().flatten().find(|owner| owner.controller == Some(true)) {
            None => PodController::Nobody,
            Some(owner) if owner.kind == "DaemonSet" => {
                Uid::parse(&owner.uid).map_or(PodController::Other, PodController::DaemonSet)
            }
            Some(_) => PodController::Other,
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Owner<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    uid: Cow<'a, str>,
    controller: Option<bool>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct NodeSpec<'a> {
    #[serde(borrow)]
    taints: Option<Vec<TaintText<'a>>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct TaintText<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(borrow)]
    value: Cow<'a, str>,
    #[serde(borrow)]
    effect: Cow<'a, str>,
}

impl TaintText<'_> {
    fn borrowed(&self) -> Taint<'_> {
        Taint { key: &self.key, value: &self.value, effect: Effect::parse(&self.effect) }
    }
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct PodSpec<'a> {
    #[serde(borrow)]
    node_name: Cow<'a, str>,
    #[serde(borrow)]
    affinity: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PodStatus<'a> {
    #[serde(borrow)]
    phase: Cow<'a, str>,
    #[serde(borrow)]
    conditions: Ready<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Condition<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(borrow)]
    last_transition_time: Option<Text<'a>>,
}

/// A text that borrows where it can; inside of other types, serde borrows only through a type of its own.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl std::ops::Deref for Text<'_> {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

/// The entries of an object with text values, in their order.
#[derive(Default)]
struct Pairs<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl Pairs<'_> {
    fn borrowed(&self) -> Vec<(&str, &str)> {
        self.0.iter().map(|(key, value)| (&**key, &**value)).collect()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;
        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with text values")
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Pairs::default())
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::with_capacity(8);
                while let Some((key, value)) = map.next_entry::<Text<'de>, Text<'de>>()? {
                    pairs.push((key.0, value.0));
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_any(PairsVisitor)
    }
}

/// The Ready condition among status.conditions; the others are passed over.
#[derive(Default)]
struct Ready<'a> {
    ready: bool,
    since: Option<Text<'a>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Ready<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ReadyVisitor;
        impl<'de> Visitor<'de> for ReadyVisitor {
            type Value = Ready<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of conditions")
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Ready::default())
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                while let Some(one) = list.next_element::<Condition<'de>>()? {
                    if one.kind == "Ready" {
                        while list.next_element::<IgnoredAny>()?.is_some() {}
                        return Ok(Ready { ready: one.status == "True", since: one.last_transition_time });
                    }
                }
                Ok(Ready::default())
            }
        }
        deserializer.deserialize_any(ReadyVisitor)
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
