//! Reads a cluster page by page and hands out records; no more than one page is in memory, beside the sums per node.

use std::collections::HashMap;

use everynode_admission::Kind;
use everynode_api::rollout_policy::PLURAL;
use everynode_client::{Client, Error, Pages};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::mask::Mask;
use crate::read::{self, PodRead};
use crate::record::{Record, Taken, Unseen};

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
    /// Where the kind is not served, there is none.
    may_be_absent: bool,
}

const NODES: Collection =
    Collection { what: "nodes", root: "/api/v1", namespaced: false, may_be_absent: false };
const DAEMONSETS: Collection =
    Collection { what: "daemonsets", root: "/apis/apps/v1", namespaced: true, may_be_absent: false };
const REVISIONS: Collection =
    Collection { what: "controllerrevisions", root: "/apis/apps/v1", namespaced: true, may_be_absent: false };
const PODS: Collection = Collection { what: "pods", root: "/api/v1", namespaced: true, may_be_absent: false };
const POLICIES: Collection =
    Collection { what: PLURAL, root: everynode_api::ROOT, namespaced: true, may_be_absent: true };

impl Collection {
    fn of(kind: Kind) -> Collection {
        let root = match kind {
            Kind::PriorityClass => "/apis/scheduling.k8s.io/v1",
            Kind::RuntimeClass => "/apis/node.k8s.io/v1",
            _ => "/api/v1",
        };
        Collection { what: kind.plural(), root, namespaced: kind.is_namespaced(), may_be_absent: false }
    }
}

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
    let mut without_words = |mut record: Record| {
        forget_last_words(&mut record);
        sink(record)
    };
    collect_parts(client, mask, namespace, true, &mut without_words).await
}

/// What containers wrote may hold a secret: it is told, and not kept.
fn forget_last_words(record: &mut Record) {
    let Record::Pod(pod) = record else { return };
    let containers = pod.detail.iter_mut().flat_map(|detail| &mut detail.containers);
    containers.filter_map(|one| one.ended.as_mut()).for_each(|ended| ended.last_words.clear());
}

/// As [`collect`]; whether nothing can be said without the nodes is told.
pub(crate) async fn collect_parts<S: std::error::Error + 'static>(
    client: &Client,
    mask: &Mask,
    namespace: Option<&str>,
    nodes_needed: bool,
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
    reader
        .list(REVISIONS, false, &mut |item| keep(Ok(read::revision(item, mask)?.map(Record::Revision))))
        .await?;
    reader
        .list(NODES, nodes_needed, &mut |item| keep(read::node(item).map(|node| Some(Record::Node(node)))))
        .await?;
    let mut taken = Sums::default();
    reader.list(PODS, false, &mut |item| keep(taken.pod(item))).await?;
    for kind in Kind::ALL {
        let mut take =
            |item: &RawValue| keep(read::around(item).map(|object| Some(Record::Around(kind, object))));
        reader.list(Collection::of(kind), false, &mut take).await?;
    }
    reader
        .list(POLICIES, false, &mut |item| {
            keep(read::policy(item).map(|policy| Some(Record::RolloutPolicy(policy))))
        })
        .await?;
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
        let Collection { what, root, namespaced, may_be_absent } = collection;
        let refused = match self.pages(what, &format!("{root}/{what}"), take).await {
            Err(CollectError::Api { source, .. }) if may_be_absent && source.code() == Some(404) => {
                return Ok(());
            }
            Err(CollectError::Api { source, .. }) if matches!(source.code(), Some(401 | 403 | 404)) => source,
            other => return other,
        };
        let Some(namespace) = self.namespace.filter(|_| namespaced) else {
            return self.leave_out(what, needed, refused);
        };
        match self.pages(what, &format!("{root}/namespaces/{namespace}/{what}"), take).await {
            Ok(()) => {
                self.unseen.push(Unseen::elsewhere(what, refused.to_string()));
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
        self.unseen.push(Unseen::all(what, source.to_string()));
        Ok(())
    }

    async fn pages<S: std::error::Error + 'static>(
        &self,
        what: &'static str,
        path: &str,
        take: &mut Take<'_, S>,
    ) -> Result<(), CollectError<S>> {
        let api = |source| CollectError::Api { what, source };
        let mut pages = Pages::default();
        let mut query = format!("{path}?limit={PAGE}");
        loop {
            let body = self.client.get(&query).await.map_err(api)?;
            let json = |source| CollectError::Json { what, source };
            let page: Page<'_> = serde_json::from_slice(&body).map_err(json)?;
            for item in &page.items {
                take(item).map_err(json)?.map_err(CollectError::Sink)?;
            }
            let token = page.metadata.continue_token;
            if token.is_empty() {
                return Ok(());
            }
            let more = pages.next(&token).map_err(|error| api(error.into()))?;
            query = format!("{path}?limit={PAGE}&{more}");
        }
    }
}

/// What the pods that are not kept one by one take, by node and priority.
#[derive(Default)]
struct Sums(HashMap<(String, i32), Taken>);

impl Sums {
    /// Reads a pod: a record of its own, or part of a sum.
    fn pod(&mut self, item: &RawValue) -> serde_json::Result<Option<Record>> {
        Ok(match read::pod(item)? {
            PodRead::Kept(pod) => Some(Record::Pod(pod)),
            PodRead::Other { node, priority, need, scheduler } => {
                let new = || Taken { node: node.clone(), priority, ..Taken::default() };
                let taken = self.0.entry((node.clone(), priority)).or_insert_with(new);
                taken.add(1, &need);
                taken.schedulers.extend(Some(scheduler).filter(|scheduler| !scheduler.is_empty()));
                None
            }
            PodRead::Nothing => None,
        })
    }

    fn into_records(self) -> impl Iterator<Item = Record> {
        let mut sums: Vec<Taken> = self.0.into_values().collect();
        sums.sort_by(|a, b| (&a.node, a.priority).cmp(&(&b.node, b.priority)));
        sums.into_iter().map(Record::Taken)
    }
}
