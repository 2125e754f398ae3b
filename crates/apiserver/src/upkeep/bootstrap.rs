//! The objects that every cluster has.

use everynode_admission::convert_and_default;
use everynode_apimachinery::decode::Decode as _;
use everynode_apimachinery::status::Status;
use everynode_model::{Object, Value, encode, time};
use serde_json::json;

use super::{aggregation, roles};
use crate::authz::GROUP;
use crate::decode::model_of;
use crate::meta;
use crate::objects::create::{self, Managed};
use crate::objects::managers::{SERVER, Writer};
use crate::pki::SERVICE_ADDRESS;
use crate::state::State;

/// Namespaces that every cluster has.
const SYSTEM_NAMESPACES: &[&str] = &["default", "kube-system", "kube-public", "kube-node-lease"];

/// Priority classes that every cluster has: name, value, description.
const SYSTEM_PRIORITIES: &[(&str, i64, &str)] = &[
    (
        "system-node-critical",
        2_000_001_000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
    (
        "system-cluster-critical",
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
];

/// Makes what every cluster has and this one has not yet.
pub async fn run(state: &State) -> Result<(), Status> {
    let namespaces = SYSTEM_NAMESPACES.iter().map(|name| (("", "namespaces"), named(name)));
    let classes = SYSTEM_PRIORITIES.iter().map(|(name, value, description)| {
        let mut class = named(name);
        class["value"] = (*value).into();
        class["description"] = (*description).into();
        (("scheduling.k8s.io", "priorityclasses"), class)
    });
    let roles = roles::of_cluster().into_iter().map(|(plural, object)| ((GROUP, plural), object));
    // All at once, so that a durable store commits them together.
    ensure_all(state, namespaces.chain(classes).chain(roles)).await?;
    aggregation::settle(state).await;
    ensure_own_service(state).await?;
    let in_namespaces = [
        (("", "configmaps"), authentication(state)),
        (("", "configmaps"), token_tracking(state)),
        ((GROUP, "roles"), roles::authentication_reader()),
        ((GROUP, "rolebindings"), roles::authentication_reader_binding()),
    ];
    ensure_all(state, in_namespaces.into_iter()).await
}

/// Makes the service `kubernetes` and its endpoints where they are not there.
pub async fn ensure_own_service(state: &State) -> Result<(), Status> {
    let objects = [
        (("", "services"), own_service()),
        (("", "endpoints"), own_endpoints()),
        (("discovery.k8s.io", "endpointslices"), own_endpoint_slice()),
    ];
    ensure_all(state, objects.into_iter()).await
}

/// Creates what is not there, each with its group and the name of its resource.
async fn ensure_all(
    state: &State,
    objects: impl Iterator<Item = ((&'static str, &'static str), Value)>,
) -> Result<(), Status> {
    let made = objects.map(|((group, plural), object)| ensure(state, group, plural, object));
    futures::future::try_join_all(made).await.map(drop)
}

/// How the API tells clients apart, for programs that let it say who their own clients are.
fn authentication(state: &State) -> Value {
    json!({
        "metadata": { "name": roles::AUTHENTICATION, "namespace": "kube-system" },
        "data": { "client-ca-file": state.credentials.authority.certificate },
    })
}

/// Since when the use of tokens in secrets could have been noted, for whoever cleans them up.
fn token_tracking(state: &State) -> Value {
    let now = time::format(state.now());
    json!({
        "metadata": { "name": "kube-apiserver-legacy-service-account-token-tracking", "namespace": "kube-system" },
        "data": { "since": now.split('T').next() },
    })
}

fn named(name: &str) -> Value {
    json!({ "metadata": { "name": name } })
}

/// The port of the service `kubernetes`.
const HTTPS: u16 = 443;

/// The service by which programs in a cluster reach the API. Its address is that of the API on nodes that really run
/// pods; nothing listens there for simulated ones. Clients read from it which IP family the cluster has.
fn own_service() -> Value {
    json!({
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": { "component": "apiserver", "provider": "kubernetes" },
        },
        "spec": {
            "clusterIP": SERVICE_ADDRESS,
            "ports": [{ "name": "https", "protocol": "TCP", "port": HTTPS, "targetPort": HTTPS }],
        },
    })
}

/// Where the service leads: to its own address, on each node.
fn own_endpoints() -> Value {
    json!({
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": { "endpointslice.kubernetes.io/skip-mirror": "true" },
        },
        "subsets": [{
            "addresses": [{ "ip": SERVICE_ADDRESS }],
            "ports": [{ "name": "https", "port": HTTPS, "protocol": "TCP" }],
        }],
    })
}

fn own_endpoint_slice() -> Value {
    json!({
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": { "kubernetes.io/service-name": "kubernetes" },
        },
        "addressType": "IPv4",
        "endpoints": [{ "addresses": [SERVICE_ADDRESS], "conditions": { "ready": true } }],
        "ports": [{ "name": "https", "protocol": "TCP", "port": HTTPS }],
    })
}

/// Creates an object when it is not there.
async fn ensure(state: &State, group: &str, plural: &str, object: Value) -> Result<(), Status> {
    let Some(resource) = everynode_apimachinery::resource_for(group, "v1", plural) else { return Ok(()) };
    let (namespace, name) = (meta::text(&object, "namespace"), meta::text(&object, "name"));
    let table = state.catalog.table(resource);
    if table.is_some_and(|table| state.store.get(table, namespace, name).is_some()) {
        return Ok(());
    }
    let mut whole = Object::new();
    whole.insert("kind".into(), (*resource.kind).into());
    whole.insert("apiVersion".into(), resource.api_version().into());
    if let Value::Object(fields) = object {
        whole.extend(fields);
    }
    let ty = model_of(resource)?;
    let mut object = ty.decode(&encode::to_vec(&Value::Object(whole))).map_err(Status::internal)?.value;
    convert_and_default(resource, &mut object)?;
    let writer = Writer { manager: SERVER, subresource: "" };
    create::create(state, resource, object, Managed::By(writer), false, &mut Vec::new()).await.map(drop)
}
