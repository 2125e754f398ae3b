//! Reads a cluster page by page and hands out records; no more than one page is in memory, beside the sums per node.

use std::collections::{BTreeMap, HashMap};

use everynode_client::{Client, Error};
use everynode_engine::fit::{Demand, DemandSpec};
use everynode_wire::lean::{self, Condition, Metadata, Text};
use everynode_wire::time;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::mask::Mask;
use crate::record::{Need, Node, Pod, PriorityClass, Quota, Record, Revision, Taint, Taken, Unseen};

/// Objects per page.
const PAGE: u32 = 500;

/// Why a cluster could not be read.
#[derive(Debug, thiserror::Error)]
pub enum CollectError<S: std::error::Error + 'static> {
    /// The API did not give what is needed.
    #[error("cannot list {what}: {source}")]
    Api {
        /// Of what.
        what: &'static str,
        /// Why.
        source: Error,
    },
    /// The API gave something else.
    #[error("cannot read the list of {what}: {source}")]
    Json {
        /// Of what.
        what: &'static str,
        /// Why.
        source: serde_json::Error,
    },
    /// The records were not taken.
    #[error(transparent)]
    Sink(S),
}

/// A list of the API: the part of it that is read.
#[derive(Deserialize)]
struct Page<'a> {
    #[serde(default)]
    metadata: PageMetadata,
    #[serde(borrow, deserialize_with = "null_as_empty")]
    items: Vec<&'a RawValue>,
}

fn null_as_empty<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PageMetadata {
    #[serde(rename = "continue")]
    continue_token: String,
}

/// A collection and where it is.
#[derive(Clone, Copy)]
struct Collection {
    what: &'static str,
    root: &'static str,
    namespaced: bool,
}

const NODES: Collection = Collection { what: "nodes", root: "/api/v1", namespaced: false };
const DAEMONSETS: Collection = Collection { what: "daemonsets", root: "/apis/apps/v1", namespaced: true };
const REVISIONS: Collection =
    Collection { what: "controllerrevisions", root: "/apis/apps/v1", namespaced: true };
const PODS: Collection = Collection { what: "pods", root: "/api/v1", namespaced: true };
const QUOTAS: Collection = Collection { what: "resourcequotas", root: "/api/v1", namespaced: true };
const CLASSES: Collection =
    Collection { what: "priorityclasses", root: "/apis/scheduling.k8s.io/v1", namespaced: false };

/// Reads a cluster. What may not be listed for all namespaces is listed for `namespace`, if one is given; what may
/// not be listed at all is told in the result, unless nothing can be said without it (nodes, DaemonSets).
///
/// # Errors
/// [`CollectError`]; the records handed out before are part of a state only.
pub async fn collect<S: std::error::Error + 'static>(
    client: &Client,
    mask: &Mask,
    namespace: Option<&str>,
    sink: &mut (dyn FnMut(Record) -> Result<(), S> + Send),
) -> Result<Vec<Unseen>, CollectError<S>> {
    let mut reader = Reader { client, namespace, unseen: Vec::new() };
    reader
        .list(DAEMONSETS, true, &mut |item| {
            let mut object: Value = serde_json::from_str(item.get())?;
            mask.daemonset(&mut object);
            Ok(sink(Record::DaemonSet(object)))
        })
        .await?;
    let mut keep = |record: serde_json::Result<Option<Record>>| match record? {
        Some(record) => Ok(sink(record)),
        None => Ok(Ok(())),
    };
    reader.list(REVISIONS, false, &mut |item| keep(revision(item, mask))).await?;
    reader.list(NODES, true, &mut |item| keep(node(item).map(|node| Some(Record::Node(node))))).await?;
    let mut taken = Sums::default();
    reader.list(PODS, false, &mut |item| keep(taken.pod(item))).await?;
    reader.list(QUOTAS, false, &mut |item| keep(quota(item).map(Some))).await?;
    reader.list(CLASSES, false, &mut |item| keep(priority_class(item).map(Some))).await?;
    for record in taken.into_records() {
        sink(record).map_err(CollectError::Sink)?;
    }
    Ok(reader.unseen)
}

struct Reader<'a> {
    client: &'a Client,
    namespace: Option<&'a str>,
    unseen: Vec<Unseen>,
}

type Take<'a, S> = dyn FnMut(&RawValue) -> serde_json::Result<Result<(), S>> + Send + 'a;

impl Reader<'_> {
    async fn list<S: std::error::Error + 'static>(
        &mut self,
        collection: Collection,
        needed: bool,
        take: &mut Take<'_, S>,
    ) -> Result<(), CollectError<S>> {
        let Collection { what, root, namespaced } = collection;
        let refused = match self.pages(what, &format!("{root}/{what}"), take).await {
            Err(CollectError::Api { source, .. }) if matches!(source.code(), Some(401 | 403 | 404)) => source,
            other => return other,
        };
        let Some(namespace) = self.namespace.filter(|_| namespaced) else {
            return self.leave_out(what, needed, refused);
        };
        match self.pages(what, &format!("{root}/namespaces/{namespace}/{what}"), take).await {
            Ok(()) => {
                let why = refused.to_string();
                self.unseen.push(Unseen { what: format!("{what} of other namespaces"), why });
                Ok(())
            }
            Err(CollectError::Api { source, .. }) if matches!(source.code(), Some(401 | 403 | 404)) => {
                self.leave_out(what, needed, source)
            }
            other => other,
        }
    }

    fn leave_out<S: std::error::Error + 'static>(
        &mut self,
        what: &'static str,
        needed: bool,
        source: Error,
    ) -> Result<(), CollectError<S>> {
        if needed {
            return Err(CollectError::Api { what, source });
        }
        self.unseen.push(Unseen { what: what.to_owned(), why: source.to_string() });
        Ok(())
    }

    async fn pages<S: std::error::Error + 'static>(
        &self,
        what: &'static str,
        path: &str,
        take: &mut Take<'_, S>,
    ) -> Result<(), CollectError<S>> {
        let mut token = String::new();
        loop {
            let query = match token.as_str() {
                "" => format!("{path}?limit={PAGE}"),
                token => format!("{path}?limit={PAGE}&continue={}", encoded(token)),
            };
            let body = self.client.get(&query).await.map_err(|source| CollectError::Api { what, source })?;
            let json = |source| CollectError::Json { what, source };
            let page: Page<'_> = serde_json::from_slice(&body).map_err(json)?;
            for item in &page.items {
                take(item).map_err(json)?.map_err(CollectError::Sink)?;
            }
            token = page.metadata.continue_token;
            if token.is_empty() {
                return Ok(());
            }
        }
    }
}

/// A continue token as part of a query.
fn encoded(token: &str) -> String {
    let mut text = String::with_capacity(token.len());
    for byte in token.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => text.push(byte.into()),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

fn map(labels: &lean::Labels<'_>) -> BTreeMap<String, String> {
    labels.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn seconds(text: Option<&Text<'_>>) -> Option<i64> {
    text.and_then(|text| time::parse(text).ok())
}

/// The uid of the DaemonSet that controls an object; `Err` when something else does.
fn owner(metadata: &Metadata<'_>) -> Result<Option<String>, ()> {
    match metadata.controller() {
        None => Ok(None),
        Some(owner) if owner.kind == "DaemonSet" => Ok(Some(owner.uid.to_string())),
        Some(_) => Err(()),
    }
}

fn node(item: &RawValue) -> serde_json::Result<Node> {
    let node: lean::Node<'_> = serde_json::from_str(item.get())?;
    let ready = node.status.conditions.iter().find(|condition| condition.kind == "Ready");
    let taint = |taint: &lean::Taint<'_>| Taint {
        key: taint.key.to_string(),
        value: taint.value.to_string(),
        effect: taint.effect.to_string(),
    };
    Ok(Node {
        name: node.metadata.name.to_string(),
        labels: map(&node.metadata.labels),
        taints: node.spec.taints.iter().map(taint).collect(),
        unschedulable: node.spec.unschedulable,
        allocatable: node
            .status
            .allocatable
            .map(|raw| serde_json::from_str(raw.get()))
            .transpose()?
            .unwrap_or_default(),
        ready: ready.map_or("Unknown", |ready| &*ready.status).to_owned(),
        ready_since: seconds(ready.and_then(|ready| ready.last_transition_time.as_ref())),
    })
}

fn revision(item: &RawValue, mask: &Mask) -> serde_json::Result<Option<Record>> {
    let lean::ControllerRevision { metadata, data, revision } = serde_json::from_str(item.get())?;
    let Ok(Some(daemon_set)) = owner(&metadata) else { return Ok(None) };
    Ok(Some(Record::Revision(Revision {
        namespace: metadata.namespace.to_string(),
        name: metadata.name.to_string(),
        uid: metadata.uid.to_string(),
        labels: map(&metadata.labels),
        daemon_set,
        revision,
        data: mask.revision_data(data.map_or("", RawValue::get)),
    })))
}

#[derive(Deserialize)]
struct QuotaIn {
    metadata: Named,
    #[serde(default)]
    spec: Value,
    #[serde(default)]
    status: Value,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    #[serde(default)]
    namespace: String,
}

fn quota(item: &RawValue) -> serde_json::Result<Record> {
    let QuotaIn { metadata, spec, mut status } = serde_json::from_str(item.get())?;
    let scoped = !spec["scopes"].is_null() || !spec["scopeSelector"].is_null();
    let hard = if status["hard"].is_object() { status["hard"].take() } else { spec["hard"].clone() };
    Ok(Record::Quota(Quota {
        namespace: metadata.namespace,
        name: metadata.name,
        hard,
        used: status["used"].take(),
        scoped,
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClassIn {
    metadata: Named,
    #[serde(default)]
    value: i32,
    #[serde(default)]
    global_default: bool,
    #[serde(default)]
    preemption_policy: Option<String>,
}

fn priority_class(item: &RawValue) -> serde_json::Result<Record> {
    let class: ClassIn = serde_json::from_str(item.get())?;
    Ok(Record::PriorityClass(PriorityClass {
        name: class.metadata.name,
        value: class.value,
        global_default: class.global_default,
        never_preempts: class.preemption_policy.as_deref() == Some("Never"),
    }))
}

#[derive(Deserialize)]
struct PodIn<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
    #[serde(borrow)]
    spec: PodSpecIn<'a>,
    #[serde(borrow, default)]
    status: PodStatusIn<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodSpecIn<'a> {
    #[serde(borrow, default)]
    node_name: Text<'a>,
    #[serde(default)]
    priority: i32,
    #[serde(default)]
    containers: Vec<ContainerIn>,
    #[serde(default)]
    init_containers: Vec<ContainerIn>,
    #[serde(default)]
    overhead: Value,
    #[serde(default)]
    resources: Value,
}

/// The part of a container that says what it needs.
#[derive(Deserialize, serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct ContainerIn {
    #[serde(default)]
    resources: Value,
    #[serde(default)]
    ports: Value,
    #[serde(default)]
    restart_policy: Value,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct PodStatusIn<'a> {
    #[serde(borrow)]
    phase: Text<'a>,
    #[serde(borrow, deserialize_with = "null_as_empty")]
    conditions: Vec<Condition<'a>>,
    #[serde(borrow, deserialize_with = "null_as_empty")]
    container_statuses: Vec<ContainerStatusIn<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct ContainerStatusIn<'a> {
    restart_count: i64,
    #[serde(borrow)]
    state: StateIn<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct StateIn<'a> {
    #[serde(borrow)]
    waiting: Option<WaitingIn<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct WaitingIn<'a> {
    #[serde(borrow)]
    reason: Text<'a>,
}

/// What the pods that are not kept one by one take, by node and priority.
#[derive(Default)]
struct Sums(HashMap<(String, i32), Taken>);

impl Sums {
    /// Reads a pod: a record of its own, or part of a sum.
    fn pod(&mut self, item: &RawValue) -> serde_json::Result<Option<Record>> {
        let pod: PodIn<'_> = serde_json::from_str(item.get())?;
        let has_ended = matches!(&*pod.status.phase, "Succeeded" | "Failed");
        let Ok(daemon_set) = owner(&pod.metadata) else {
            if !has_ended && !pod.spec.node_name.is_empty() {
                self.add(&pod.spec);
            }
            return Ok(None);
        };
        let ready = pod.status.conditions.iter().find(|condition| condition.kind == "Ready");
        let waiting = pod.status.container_statuses.iter().find_map(|status| status.state.waiting.as_ref());
        let bound = !pod.spec.node_name.is_empty();
        Ok(Some(Record::Pod(Box::new(Pod {
            namespace: pod.metadata.namespace.to_string(),
            name: pod.metadata.name.to_string(),
            uid: pod.metadata.uid.to_string(),
            labels: map(&pod.metadata.labels),
            daemon_set,
            node: if bound { Some(pod.spec.node_name.to_string()) } else { target(item)? },
            bound,
            phase: pod.status.phase.to_string(),
            ready: ready.is_some_and(|ready| ready.status == "True"),
            ready_since: seconds(ready.and_then(|ready| ready.last_transition_time.as_ref())),
            deleting: pod.metadata.is_deleting(),
            created: pod.metadata.created_seconds().unwrap_or_default(),
            restarts: pod.status.container_statuses.iter().map(|one| one.restart_count).max().unwrap_or(0),
            waiting: waiting.map(|waiting| waiting.reason.to_string()).unwrap_or_default(),
            priority: pod.spec.priority,
            need: need(&pod.spec),
        }))))
    }

    fn add(&mut self, spec: &PodSpecIn<'_>) {
        let key = (spec.node_name.to_string(), spec.priority);
        let taken = self.0.entry(key).or_insert_with(|| Taken {
            node: spec.node_name.to_string(),
            priority: spec.priority,
            ..Taken::default()
        });
        taken.add(1, &need(spec));
    }

    fn into_records(self) -> impl Iterator<Item = Record> {
        let mut sums: Vec<Taken> = self.0.into_values().collect();
        sums.sort_by(|a, b| (&a.node, a.priority).cmp(&(&b.node, b.priority)));
        sums.into_iter().map(Record::Taken)
    }
}

fn need(spec: &PodSpecIn<'_>) -> Need {
    let list = |containers: &[ContainerIn]| serde_json::to_value(containers).unwrap_or_default();
    Need::from(&Demand::of(&DemandSpec {
        containers: &list(&spec.containers),
        init_containers: &list(&spec.init_containers),
        overhead: &spec.overhead,
        resources: &spec.resources,
    }))
}

/// The node that a pod without one is for.
fn target(item: &RawValue) -> serde_json::Result<Option<String>> {
    let pod: lean::Pod<'_> = serde_json::from_str(item.get())?;
    Ok(pod.target_node())
}
