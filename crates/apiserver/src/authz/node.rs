//! What a kubelet may do, beyond what roles allow: with the objects of its own node, with the pods that are bound to
//! it, and with what those refer to. (A kube-apiserver has this in its Node authorizer and NodeRestriction admission.)

use std::collections::BTreeMap;
use std::sync::LazyLock;

use everynode_admission::forbid;
use everynode_apimachinery::resource::Resource as Row;
use everynode_apimachinery::status::Status;
use everynode_model::Value;
use everynode_model::access::Read as _;
use serde_json::json;

use super::rule::Rule;
use crate::authn::{NODE_PREFIX, NODES, User};
use crate::http::attributes::{Attributes, Resource};
use crate::meta;
use crate::state::State;

/// The namespace of the leases of nodes.
const LEASES: &str = "kube-node-lease";

/// The annotation of a pod that stands for one that its kubelet runs from a file.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// What kubelets may do with resources that are not their own: verbs, group, resources.
const SHARED: &[(&[&str], &str, &[&str])] = &[
    (&["create"], "authentication.k8s.io", &["tokenreviews"]),
    (&["create"], "authorization.k8s.io", &["subjectaccessreviews", "localsubjectaccessreviews"]),
    (&["get", "list", "watch"], "", &["services"]),
    (&["get"], "", &["endpoints"]),
    (&["create", "update", "patch"], "", &["events"]),
    (&["create", "update", "patch"], "events.k8s.io", &["events"]),
    (&["get", "list", "watch"], "storage.k8s.io", &["csidrivers"]),
    (&["get", "list", "watch"], "node.k8s.io", &["runtimeclasses"]),
    (&["create", "get", "list", "watch"], "certificates.k8s.io", &["certificatesigningrequests"]),
];

static SHARED_RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    let rule = |(verbs, group, resources): &(&[&str], &str, &[&str])| {
        Rule::read(&json!({ "verbs": verbs, "apiGroups": [group], "resources": resources }))
    };
    SHARED.iter().map(rule).collect()
});

/// The node whose kubelet a user is.
pub fn of(user: &User) -> Option<&str> {
    let node = user.name.strip_prefix(NODE_PREFIX).filter(|node| !node.is_empty())?;
    user.is_in(NODES).then_some(node)
}

/// Whether the kubelet of a node may do what is asked.
pub fn allows(state: &State, node: &str, asked: &Attributes) -> bool {
    let Some(resource) = &asked.resource else { return false };
    let verb = asked.verb.as_str();
    let Resource { group, resource: plural, subresource, namespace, name, .. } = resource;
    let is_own = || name == node;
    let runs = || pods_of(state, node, namespace).any(|pod| meta::text(&pod, "name") == name);
    let needs = |wanted| pods_of(state, node, namespace).any(|pod| refers_to(&pod, wanted, name));
    let reads = || matches!(verb, "get" | "list" | "watch");
    match (group.as_str(), plural.as_str(), subresource.as_str()) {
        ("", "nodes", "") => verb == "create" || is_own() && (reads() || matches!(verb, "update" | "patch")),
        ("", "nodes", "status") => is_own() && matches!(verb, "update" | "patch"),
        ("", "pods", "") => match verb {
            "create" => true,
            "list" | "watch" if resource.fields.exact("spec.nodeName") == Some(node) => true,
            "get" | "list" | "watch" | "delete" => runs(),
            _ => false,
        },
        ("", "pods", "status") => matches!(verb, "update" | "patch") && runs(),
        ("", "pods", "eviction") => verb == "create" && runs(),
        ("", "secrets", "") => reads() && needs(Wanted::Secret),
        ("", "configmaps", "") => reads() && needs(Wanted::ConfigMap),
        ("", "persistentvolumeclaims", "") => verb == "get" && needs(Wanted::Claim),
        ("", "persistentvolumes", "") => verb == "get" && needs_volume(state, node, name),
        ("", "serviceaccounts", "") => verb == "get" && needs(Wanted::ServiceAccount),
        ("", "serviceaccounts", "token") => verb == "create" && needs(Wanted::ServiceAccount),
        ("coordination.k8s.io", "leases", "") => namespace == LEASES && keeps(verb, is_own()),
        ("storage.k8s.io", "csinodes", "") => keeps(verb, is_own()),
        ("resource.k8s.io", "resourceslices", "") => match verb {
            "create" => true,
            "list" | "watch" | "deletecollection" => resource.fields.exact("spec.nodeName") == Some(node),
            _ => publishes(state, node, name),
        },
        ("resource.k8s.io", "resourceclaims", "") => {
            verb == "get" && pods_of(state, node, namespace).any(|pod| claims(&pod, name))
        }
        _ => SHARED_RULES.iter().any(|rule| rule.allows(asked)),
    }
}

/// Whether a kubelet may do this with an object that has the name of its node. The name of a new one is not known yet.
fn keeps(verb: &str, is_own: bool) -> bool {
    verb == "create" || is_own && matches!(verb, "get" | "update" | "patch" | "delete")
}

/// The pods of a namespace that are bound to a node.
fn pods_of<'a>(state: &'a State, node: &'a str, namespace: &str) -> impl Iterator<Item = Value> + use<'a> {
    let registry = state.catalog.registry();
    let entry = registry.find("", "v1", "pods");
    let at =
        entry.and_then(|entry| entry.resource.selectable_fields.iter().position(|f| f == "spec.nodeName"));
    let pods = entry.and_then(|entry| entry.table).filter(|_| !namespace.is_empty());
    let items = pods.map_or_else(Vec::new, |pods| state.store.list(pods, Some(namespace)).items);
    items
        .into_iter()
        .filter(move |(_, pod)| at.and_then(|at| pod.facts.fields.get(at)).is_some_and(|on| **on == *node))
        .map(|(_, pod)| pod.value())
}

/// What a pod may refer to by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Secret,
    ConfigMap,
    Claim,
    ServiceAccount,
}

impl Wanted {
    /// Where a volume, or a source of a projected one, has the name.
    fn in_volumes(self) -> &'static [&'static str] {
        match self {
            Wanted::Secret => &["secret.secretName", "secret.name", "csi.nodePublishSecretRef.name"],
            Wanted::ConfigMap => &["configMap.name"],
            Wanted::Claim => &["persistentVolumeClaim.claimName"],
            Wanted::ServiceAccount => &[],
        }
    }

    /// Where an environment variable, or a source of many, has the name.
    fn in_environment(self) -> &'static [&'static str] {
        match self {
            Wanted::Secret => &["valueFrom.secretKeyRef.name", "secretRef.name"],
            Wanted::ConfigMap => &["valueFrom.configMapKeyRef.name", "configMapRef.name"],
            Wanted::Claim | Wanted::ServiceAccount => &[],
        }
    }
}

fn refers_to(pod: &Value, wanted: Wanted, name: &str) -> bool {
    let is_at = |object: &Value, paths: &[&str]| paths.iter().any(|path| object.text(path) == name);
    if name.is_empty() {
        return false;
    }
    let own = match wanted {
        Wanted::ServiceAccount => pod.text("spec.serviceAccountName") == name,
        Wanted::Secret => pod.items("spec.imagePullSecrets").iter().any(|one| one.text("name") == name),
        Wanted::Claim | Wanted::ConfigMap => false,
    };
    let volumes = pod.items("spec.volumes").iter().any(|volume| {
        let is_ephemeral = wanted == Wanted::Claim && volume.has("ephemeral");
        let parts = volume.items("projected.sources").iter().chain([volume]);
        is_ephemeral && name == format!("{}-{}", meta::text(pod, "name"), volume.text("name"))
            || parts.into_iter().any(|part| is_at(part, wanted.in_volumes()))
    });
    let containers = ["spec.containers", "spec.initContainers", "spec.ephemeralContainers"];
    let mut containers = containers.iter().flat_map(|list| pod.items(list));
    let environment = |container: &Value| {
        let mut sources = container.items("env").iter().chain(container.items("envFrom"));
        sources.any(|source| is_at(source, wanted.in_environment()))
    };
    own || volumes || containers.any(environment)
}

/// Whether a pod of the node claims this volume.
fn needs_volume(state: &State, node: &str, name: &str) -> bool {
    let Some(table) = state.catalog.table_named("", "v1", "persistentvolumes") else { return false };
    let Some(volume) = state.store.get(table, "", name).map(|stored| stored.value()) else { return false };
    let claim = |field: &str| volume.text(&format!("spec.claimRef.{field}")).to_owned();
    let name = claim("name");
    pods_of(state, node, &claim("namespace")).any(|pod| refers_to(&pod, Wanted::Claim, &name))
}

/// Whether a slice has devices of the node.
fn publishes(state: &State, node: &str, name: &str) -> bool {
    let Some(table) = state.catalog.table_named("resource.k8s.io", "v1", "resourceslices") else {
        return false;
    };
    state.store.get(table, "", name).is_some_and(|slice| slice.value().text("spec.nodeName") == node)
}

/// Whether a pod asks for devices by this claim, or by one that was made for it.
fn claims(pod: &Value, name: &str) -> bool {
    let lists = ["spec.resourceClaims", "status.resourceClaimStatuses"];
    let mut named = lists.iter().flat_map(|list| pod.items(list));
    !name.is_empty() && named.any(|claim| claim.text("resourceClaimName") == name)
}

/// Refuses what a kubelet may not create: what bears another name than its node's, and pods that are no mirrors of its
/// own. Others may create what roles allow.
///
/// # Errors
/// The refusal.
pub fn check_created(user: &User, row: &Row, object: &Value) -> Result<(), Status> {
    let Some(node) = of(user) else { return Ok(()) };
    check_labels(user, row, object, None)?;
    let is_own = || meta::text(object, "name") == node;
    let refuse = |why: &str| Err(forbid(row, object, why));
    match (&*row.group, &*row.plural) {
        ("", "nodes") if !is_own() => refuse("a node may create only its own Node object"),
        ("coordination.k8s.io", "leases") if !is_own() => {
            refuse("can only access node lease with the same name as the requesting node")
        }
        ("storage.k8s.io", "csinodes") if !is_own() => {
            refuse("can only access CSINode with the same name as the requesting node")
        }
        ("resource.k8s.io", "resourceslices") if object.text("spec.nodeName") != node => {
            refuse("can only create ResourceSlice with the same NodeName as the requesting node")
        }
        ("", "pods") => {
            let annotations = object.at("metadata.annotations");
            let is_mirror = annotations.is_some_and(|annotations| annotations.get(MIRROR).is_some());
            match is_mirror && object.text("spec.nodeName") == node {
                true => Ok(()),
                false => refuse("a node may create only mirror pods that are bound to itself"),
            }
        }
        _ => Ok(()),
    }
}

/// What begins the names of labels that say to a scheduler what a node may be trusted with.
const RESTRICTED: &str = "node-restriction.kubernetes.io/";

/// Refuses a kubelet a change of its node by which it would draw pods to itself that are not meant for it: of labels under
/// `node-restriction.kubernetes.io/`. A new node has none before.
///
/// # Errors
/// The refusal.
pub fn check_labels(user: &User, row: &Row, new: &Value, old: Option<&Value>) -> Result<(), Status> {
    let Some(node) = changes_node(user, row) else { return Ok(()) };
    let restricted = |node: &Value| -> BTreeMap<String, Value> {
        let labels = node.entries("metadata.labels").filter(|(name, _)| name.starts_with(RESTRICTED));
        labels.map(|(name, value)| (name.to_owned(), value.clone())).collect()
    };
    if restricted(new) == old.map(restricted).unwrap_or_default() {
        return Ok(());
    }
    let why = format!("node \"{node}\" is not allowed to modify labels under {RESTRICTED}");
    Err(forbid(row, new, &why))
}

/// Refuses a kubelet a change of the taints of its node.
///
/// # Errors
/// The refusal.
pub fn check_taints(user: &User, row: &Row, new: &Value, old: &Value) -> Result<(), Status> {
    match changes_node(user, row) {
        Some(node) if old.items("spec.taints") != new.items("spec.taints") => {
            Err(forbid(row, new, &format!("node \"{node}\" is not allowed to modify taints")))
        }
        _ => Ok(()),
    }
}

/// The node of a kubelet that changes a node.
fn changes_node<'a>(user: &'a User, row: &Row) -> Option<&'a str> {
    of(user).filter(|_| (&*row.group, &*row.plural) == ("", "nodes"))
}

/// Refuses a kubelet a token that is not bound to a pod of its node.
///
/// # Errors
/// The refusal.
pub fn check_token(
    state: &State,
    user: &User,
    namespace: &str,
    account: &str,
    request: &Value,
) -> Result<(), Status> {
    let Some(node) = of(user) else { return Ok(()) };
    let refuse = |why: &str| Err(Status::forbidden("", "serviceaccounts", account, why));
    let reference = |field: &str| request.text(&format!("spec.boundObjectRef.{field}"));
    if reference("kind") != "Pod" || reference("apiVersion") != "v1" {
        return refuse("node requested token not bound to a pod");
    }
    let mut pods = pods_of(state, node, namespace);
    match pods.any(|pod| meta::text(&pod, "name") == reference("name")) {
        true => Ok(()),
        false => refuse("node requested token bound to a pod scheduled on a different node"),
    }
}
