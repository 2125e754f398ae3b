//! What nodes and pods use: `metrics.k8s.io`, as metrics-server answers.

use std::collections::HashMap;
use std::sync::Arc;

use everynode_apimachinery::resource::Resource;
use everynode_apimachinery::status::Status;
use everynode_model::quantity::{Format, Quantity};
use everynode_model::{NodeSample, Object, Usage, Value, duration, time};
use http::Response;
use serde_json::json;

use super::Call;
use crate::catalog::Registry;
use crate::http::body::Body;
use crate::http::verb::Verb;
use crate::store::{Stored, TableId};
use crate::usage::{AskedNode, UsageError, UsageSource};
use crate::view;

/// Nodes that are asked about at the same time.
const NODES_AT_ONCE: usize = 64;
/// Bytes of a Ki, in which memory is told.
const KI: u64 = 1_024;

/// Answers with what one object uses, or all that are selected.
pub async fn answer(call: &Call<'_>, verb: Verb) -> Result<Response<Body>, Status> {
    let source = call.state.config.usage.clone().ok_or_else(Status::unknown_path)?;
    let cluster = Cluster::of(call)?;
    let asked = match call.resource.namespaced {
        true => cluster.of_pods(call, verb)?,
        false => cluster.of_nodes(call, verb)?,
    };
    let mut items = Vec::new();
    let mut failed = None;
    for (asked, answered) in all_samples(&*source, asked, call.now).await {
        match answered {
            Ok(sample) if call.resource.namespaced => items.extend(pod_items(&asked, &sample)),
            Ok(sample) => items.push(item(&asked.node, &sample, [("usage", amounts(sample.node))])),
            Err(error) => failed = Some(error),
        }
    }
    match (verb, items.pop()) {
        (Verb::Get, Some(found)) => Ok(call.answer_value(200, with_kind(&call.resource, found))),
        (Verb::Get, None) => Err(failed.map_or_else(|| unknown(call), Status::from)),
        (_, last) => {
            items.extend(last);
            Ok(call.answer(200, view::unstored_list(&call.resource, items, call.shape())))
        }
    }
}

/// The samples of all nodes. Between some nodes and the next ones others have their turn.
async fn all_samples(
    source: &dyn UsageSource,
    asked: Vec<AskedNode>,
    now: i64,
) -> Vec<(AskedNode, Result<NodeSample, UsageError>)> {
    let mut all = Vec::with_capacity(asked.len());
    for some in asked.chunks(NODES_AT_ONCE) {
        let answered = source.samples(some.to_vec(), now).await;
        all.extend(some.iter().cloned().zip(answered));
        tokio::task::yield_now().await;
    }
    all
}

/// Where nodes and pods lie.
struct Cluster<'a> {
    call: &'a Call<'a>,
    nodes: TableId,
    pods: TableId,
    /// Which of the selectable fields of a pod is the name of its node.
    node_name: usize,
}

impl<'a> Cluster<'a> {
    fn of(call: &'a Call<'a>) -> Result<Cluster<'a>, Status> {
        let registry: Arc<Registry> = call.state.catalog.registry();
        let entry = |plural| registry.find("", "v1", plural).ok_or_else(Status::unknown_path);
        let table = |plural| entry(plural)?.table.ok_or_else(Status::unknown_path);
        let fields = &entry("pods")?.resource.selectable_fields;
        let node_name = fields.iter().position(|field| field == "spec.nodeName");
        Ok(Cluster {
            call,
            nodes: table("nodes")?,
            pods: table("pods")?,
            node_name: node_name.ok_or_else(Status::unknown_path)?,
        })
    }

    fn node_of<'b>(&self, pod: &'b Stored) -> &'b str {
        pod.facts.fields.get(self.node_name).map_or("", |name| name)
    }

    /// The object of the path, or all that are selected.
    fn wanted(&self, call: &Call<'_>, verb: Verb, table: TableId) -> Result<Vec<Arc<Stored>>, Status> {
        if verb == Verb::Get {
            let found = call.state.store.get(table, &call.namespace, &call.name);
            return found.map(|found| vec![found]).ok_or_else(|| unknown(call));
        }
        let selection = call.selection()?;
        let namespace = (!call.namespace.is_empty()).then_some(call.namespace.as_str());
        let all = call.state.store.list(table, namespace).items.into_iter().map(|(_, stored)| stored);
        Ok(all.filter(|stored| selection.matches(stored)).collect())
    }

    /// The nodes that are asked for, each with all its pods.
    fn of_nodes(&self, call: &Call<'_>, verb: Verb) -> Result<Vec<AskedNode>, Status> {
        let nodes = self.wanted(call, verb, self.nodes)?;
        let places: HashMap<&str, usize> =
            nodes.iter().enumerate().map(|(place, node)| (&*node.facts.name, place)).collect();
        let mut pods = vec![Vec::new(); nodes.len()];
        for (_, pod) in self.call.state.store.list(self.pods, None).items {
            if let Some(&place) = places.get(self.node_of(&pod)) {
                pods[place].push(pod);
            }
        }
        Ok(nodes.iter().cloned().zip(pods).map(|(node, pods)| AskedNode { node, pods }).collect())
    }

    /// The nodes of the pods that are asked for. A pod that is bound to none uses nothing.
    fn of_pods(&self, call: &Call<'_>, verb: Verb) -> Result<Vec<AskedNode>, Status> {
        let mut places: HashMap<Box<str>, usize> = HashMap::new();
        let mut asked: Vec<AskedNode> = Vec::new();
        for pod in self.wanted(call, verb, self.pods)? {
            let name = self.node_of(&pod);
            if let Some(&place) = places.get(name) {
                asked[place].pods.push(pod);
            } else if let Some(node) = self.call.state.store.get(self.nodes, "", name) {
                places.insert(name.into(), asked.len());
                asked.push(AskedNode { node, pods: vec![pod] });
            }
        }
        Ok(asked)
    }
}

/// 404 about what is not measured, or not yet, as metrics-server says it.
fn unknown(call: &Call<'_>) -> Status {
    let name = match call.namespace.as_str() {
        "" => call.name.clone(),
        namespace => format!("{namespace}/{}", call.name),
    };
    Status::not_found(&call.resource.group, &call.resource.plural, &name)
}

/// What pods use, but those of which nothing is known yet.
fn pod_items(asked: &AskedNode, sample: &NodeSample) -> Vec<Value> {
    let known = asked.pods.iter().zip(&sample.pods).filter(|(_, containers)| !containers.is_empty());
    let of_pod = known.map(|(pod, containers)| {
        let one = |container: &everynode_model::ContainerUsage| json!({ "name": container.name, "usage": amounts(container.usage) });
        item(pod, sample, [("containers", containers.iter().map(one).collect())])
    });
    of_pod.collect()
}

/// An item of a list about an object.
fn item(about: &Stored, sample: &NodeSample, fields: [(&str, Value); 1]) -> Value {
    let taken = time::format(sample.taken_seconds);
    let mut metadata = Object::new();
    metadata.insert("name".into(), (*about.facts.name).into());
    if !about.facts.namespace.is_empty() {
        metadata.insert("namespace".into(), (*about.facts.namespace).into());
    }
    metadata.insert("creationTimestamp".into(), taken.clone().into());
    let labels: Object =
        about.facts.labels.iter().map(|(key, value)| (key.to_string(), (**value).into())).collect();
    if !labels.is_empty() {
        metadata.insert("labels".into(), labels.into());
    }
    let mut item = Object::new();
    item.insert("metadata".into(), metadata.into());
    item.insert("timestamp".into(), taken.into());
    item.insert("window".into(), duration::format_seconds(sample.window_seconds.into()).into());
    item.extend(fields.map(|(name, value)| (name.to_owned(), value)));
    item.into()
}

/// An item as an object of its own.
fn with_kind(resource: &Resource, item: Value) -> Value {
    let mut object = Object::new();
    object.insert("kind".into(), (*resource.kind).into());
    object.insert("apiVersion".into(), resource.api_version().into());
    if let Value::Object(fields) = item {
        object.extend(fields);
    }
    object.into()
}

/// Amounts in the units of metrics-server.
fn amounts(usage: Usage) -> Value {
    let ki = i64::try_from(usage.memory_bytes / KI).unwrap_or(i64::MAX);
    let memory = Quantity::from_units(ki.saturating_mul(1_024), Format::BinarySi);
    json!({ "cpu": format!("{}n", usage.cpu_nanocores), "memory": memory.to_string() })
}
