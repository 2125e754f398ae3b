//! The rules of DaemonSets once more, as plainly as possible, for judging what the engine did. They share no code
//! with it.

use everynode_model::Value;
use serde_json::json;

use crate::model::{Key, Kind, Store};
use crate::model::{
    controller_uid, is_available_at, is_deleting, is_ready, is_terminal, name, namespace, target_node, uid,
};

/// What a DaemonSet's pods may do on a node (specification B6, B7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) should_run: bool,
    pub(crate) may_stay: bool,
}

const DEFAULT_TOLERATIONS: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];

pub(crate) fn place(template: &Value, node: &Value) -> Place {
    let spec = &template["spec"];
    let wanted = spec["nodeSelector"].as_object().into_iter().flatten();
    let selected = wanted.into_iter().all(|(key, value)| node["metadata"]["labels"].get(key) == Some(value));
    if !selected {
        return Place { should_run: false, may_stay: false };
    }
    let taints = node["spec"]["taints"].as_array().into_iter().flatten();
    let hard = taints.filter(|taint| taint["effect"] != "PreferNoSchedule");
    let untolerated: Vec<&Value> = hard.filter(|taint| !is_tolerated(spec, taint)).collect();
    Place {
        should_run: untolerated.is_empty(),
        may_stay: untolerated.iter().all(|taint| taint["effect"] == "NoSchedule"),
    }
}

fn is_tolerated(spec: &Value, taint: &Value) -> bool {
    let defaults = DEFAULT_TOLERATIONS
        .iter()
        .map(|(key, effect)| json!({"key": key, "effect": effect, "operator": "Exists"}));
    let own = spec["tolerations"].as_array().cloned().unwrap_or_default();
    own.into_iter().chain(defaults).any(|one| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (key, effect) = (text(&one["key"]), text(&one["effect"]));
        (key.is_empty() || key == text(&taint["key"]))
            && (effect.is_empty() || effect == text(&taint["effect"]))
            && (one["operator"] == "Exists" || text(&one["value"]) == text(&taint["value"]))
    })
}

/// Whether the labels of a pod or revision fit the DaemonSet's matchLabels.
pub(crate) fn selects(daemonset: &Value, object: &Value) -> bool {
    let wanted = daemonset["spec"]["selector"]["matchLabels"].as_object();
    wanted.is_some_and(|wanted| {
        wanted.iter().all(|(key, value)| object["metadata"]["labels"].get(key) == Some(value))
    })
}

/// The policies that conduct a DaemonSet: those that select it, and beside another controller only under OnDelete.
pub(crate) fn conducting<'a>(
    daemonset: &Value,
    all: impl Iterator<Item = &'a Value>,
    is_beside: bool,
) -> Vec<&'a Value> {
    let is_left = is_beside && daemonset["spec"]["updateStrategy"]["type"] != "OnDelete";
    if is_left { Vec::new() } else { policies_of(daemonset, all) }
}

/// The policies that select a DaemonSet.
fn policies_of<'a>(daemonset: &Value, all: impl Iterator<Item = &'a Value>) -> Vec<&'a Value> {
    let labels = &daemonset["metadata"]["labels"];
    let selects = |policy: &&Value| {
        let wanted = policy["spec"]["selector"]["matchLabels"].as_object().into_iter().flatten();
        namespace(policy) == namespace(daemonset)
            && wanted.into_iter().all(|(key, value)| labels.get(key) == Some(value))
    };
    all.filter(selects).collect()
}

/// A number, or a percentage of a total rounded up.
pub(crate) fn scaled(value: &Value, total: i64) -> i64 {
    match value.as_str().and_then(|text| text.strip_suffix('%')).and_then(|text| text.parse::<i64>().ok()) {
        Some(percent) => (percent * total + 99) / 100,
        None => value.as_i64().unwrap_or(0),
    }
}

/// The version of the template: its one container's image.
pub(crate) fn image(spec: &Value) -> &str {
    spec["containers"][0]["image"].as_str().unwrap_or_default()
}

/// What is missing of the desired state; `None` when nothing is.
pub(crate) fn missing(store: &Store, is_beside: bool, now_seconds: i64) -> Option<String> {
    let nodes: Vec<_> = store.all(Kind::Node).collect();
    // When it is ready again its daemons come, or are counted.
    if let Some(down) = nodes.iter().find(|node| is_down(node)) {
        return Some(format!("{} is not ready", name(down)));
    }
    for daemonset in store.all(Kind::DaemonSet) {
        let who = name(daemonset);
        if is_deleting(daemonset) {
            return Some(format!("{who} is still being deleted"));
        }
        let policies = conducting(daemonset, store.all(Kind::Policy).map(|policy| &**policy), is_beside);
        if let Some(what) = missing_pods(store, daemonset, &policies, &nodes, now_seconds) {
            return Some(format!("{who}: {what}"));
        }
        if let [policy] = policies.as_slice()
            && let entry = &policy["status"]["daemonSets"][who]
            && entry["phase"] != "Complete"
            // For want of nodes it waits.
            && !(entry["phase"] == "Progressing" && entry["desired"] == 0)
        {
            return Some(format!("{who}: its roll-out is {}", entry["phase"]));
        }
        if let Some(what) = missing_revision(store, daemonset).or_else(|| surplus_revision(store, daemonset))
        {
            return Some(format!("{who}: {what}"));
        }
    }
    let known = |owner: &str| store.all(Kind::DaemonSet).any(|daemonset| uid(daemonset) == owner);
    for kind in [Kind::Pod, Kind::Revision] {
        for object in store.all(kind) {
            if let Some(("DaemonSet", owner)) = controller_uid(object).filter(|(_, owner)| !known(owner)) {
                return Some(format!("{} still belongs to the DaemonSet {owner} that is gone", name(object)));
            }
        }
    }
    None
}

fn missing_pods(
    store: &Store,
    daemonset: &Value,
    policies: &[&Value],
    nodes: &[&std::sync::Arc<Value>],
    now_seconds: i64,
) -> Option<String> {
    let spec = &daemonset["spec"];
    // A policy rolls DaemonSets with OnDelete too; of several none acts.
    let rolls = match policies {
        [] => spec["updateStrategy"]["type"] == "RollingUpdate",
        policies => policies.len() == 1,
    };
    let min_ready_seconds = spec["minReadySeconds"].as_i64().unwrap_or(0);
    let own = |pod: &&std::sync::Arc<Value>| is_of(pod, daemonset);
    let mut expected = json!({
        "desiredNumberScheduled": 0, "currentNumberScheduled": 0, "numberMisscheduled": 0, "numberReady": 0,
        "updatedNumberScheduled": 0, "numberAvailable": 0, "numberUnavailable": 0,
    });
    let mut count = |key: &str, by: bool| {
        expected[key] = (expected[key].as_i64().unwrap_or(0) + i64::from(by)).into();
    };
    for node in nodes {
        let place = place(&spec["template"], node);
        let pods: Vec<_> =
            store.all(Kind::Pod).filter(own).filter(|pod| target_node(pod) == Some(name(node))).collect();
        if pods.iter().any(|pod| is_deleting(pod) || is_terminal(pod)) {
            return Some(format!("a pod on {} has not gone", name(node)));
        }
        match (place, pods.as_slice()) {
            (Place { should_run: true, .. }, [pod]) => {
                let is_new = is_updated(store, daemonset, pod);
                if rolls && !is_new {
                    return Some(format!("{} on {} is old", name(pod), name(node)));
                }
                let available = is_available_at(pod, min_ready_seconds, now_seconds);
                if !available {
                    return Some(format!("{} on {} is not available", name(pod), name(node)));
                }
                count("desiredNumberScheduled", true);
                count("currentNumberScheduled", true);
                count("numberReady", is_ready(pod));
                count("numberAvailable", available);
                count("updatedNumberScheduled", is_new);
            }
            (Place { should_run: true, .. }, pods) => {
                return Some(format!("{} pods on {}", pods.len(), name(node)));
            }
            (Place { may_stay: true, .. }, [] | [_]) => count("numberMisscheduled", !pods.is_empty()),
            (_, []) => {}
            (_, pods) => return Some(format!("{} pods on {}, which must have none", pods.len(), name(node))),
        }
    }
    if let Some(lost) = store
        .all(Kind::Pod)
        .filter(own)
        .find(|pod| !nodes.iter().any(|node| target_node(pod) == Some(name(node))))
    {
        return Some(format!("{} is on no node", name(lost)));
    }
    if let Some(stray) = store.all(Kind::Pod).find(|pod| {
        namespace(pod) == namespace(daemonset)
            && controller_uid(pod).is_none()
            && !is_deleting(pod)
            && selects(daemonset, pod)
    }) {
        return Some(format!("{} is not adopted", name(stray)));
    }
    if let Some(stray) = store.all(Kind::Pod).filter(own).find(|pod| !selects(daemonset, pod)) {
        return Some(format!("{} is not released", name(stray)));
    }
    let status = &daemonset["status"];
    if status["observedGeneration"] != daemonset["metadata"]["generation"] {
        return Some("its generation is not observed".to_owned());
    }
    let wrong = expected.as_object()?.iter().find(|(key, value)| {
        status.get(*key).and_then(Value::as_i64).unwrap_or(0) != value.as_i64().unwrap_or(0)
    });
    wrong.map(|(key, value)| format!("status.{key} is {} and not {value}", status[key]))
}

/// The DaemonSet controls the pod or revision; owners are of the same namespace.
fn is_of(object: &Value, daemonset: &Value) -> bool {
    let is_owner = |(_, owner)| owner == uid(daemonset);
    controller_uid(object).is_some_and(is_owner) && namespace(object) == namespace(daemonset)
}

/// Whether a revision holds the DaemonSet's template.
fn is_of_template(revision: &Value, daemonset: &Value) -> bool {
    let mut template = revision["data"]["spec"]["template"].clone();
    template.as_object_mut().map(|template| template.shift_remove("$patch"));
    template == daemonset["spec"]["template"]
}

fn hash(object: &Value) -> Value {
    object["metadata"]["labels"]["controller-revision-hash"].clone()
}

/// Specification F1: by the revision's hash, or by the template's generation.
pub(crate) fn is_updated(store: &Store, daemonset: &Value, pod: &Value) -> bool {
    let generation = &daemonset["metadata"]["annotations"]["deprecated.daemonset.template.generation"];
    let by_generation = pod["metadata"]["labels"].get("pod-template-generation") == Some(generation);
    let mut current = store
        .all(Kind::Revision)
        .filter(|revision| is_of(revision, daemonset) && is_of_template(revision, daemonset));
    by_generation || current.any(|revision| !hash(pod).is_null() && hash(revision) == hash(pod))
}

/// A revision of this hash holds the DaemonSet's template.
pub(crate) fn has_revision(store: &Store, daemonset: &Value, wanted: &Value) -> bool {
    let of_hash = own_revisions(store, daemonset).into_iter().filter(|revision| hash(revision) == *wanted);
    of_hash.into_iter().any(|revision| is_of_template(revision, daemonset))
}

/// The DaemonSets whose revisions are not as they are to be: one that comes with its owner wakes nobody, so that it stays
/// as it is until the DaemonSet is looked at for another reason (A9).
pub(crate) fn with_revisions_that_wait(store: &Store) -> Vec<Key> {
    let waits = |daemonset: &&std::sync::Arc<Value>| {
        missing_revision(store, daemonset).or_else(|| surplus_revision(store, daemonset)).is_some()
    };
    let key =
        |daemonset: &std::sync::Arc<Value>| Key::new(Kind::DaemonSet, namespace(daemonset), name(daemonset));
    store.all(Kind::DaemonSet).filter(waits).map(key).collect()
}

/// The node lifecycle has found it not ready, and not ready again since.
fn is_down(node: &Value) -> bool {
    let mut taints = node["spec"]["taints"].as_array().into_iter().flatten();
    taints.any(|taint| {
        taint["key"] == "node.kubernetes.io/not-ready" || taint["key"] == "node.kubernetes.io/unreachable"
    })
}

fn own_revisions<'a>(store: &'a Store, daemonset: &'a Value) -> Vec<&'a std::sync::Arc<Value>> {
    let own = |object: &&std::sync::Arc<Value>| is_of(object, daemonset);
    store.all(Kind::Revision).filter(own).collect()
}

fn missing_revision(store: &Store, daemonset: &Value) -> Option<String> {
    let revisions = own_revisions(store, daemonset);
    let newest = |is_current: bool| {
        let those = revisions.iter().filter(|one| is_of_template(one, daemonset) == is_current);
        those.filter_map(|one| one["revision"].as_i64()).max()
    };
    // The largest number there is has no successor.
    let is_there = match (newest(true), newest(false)) {
        (Some(current), Some(old)) => current > old || old == i64::MAX,
        (current, _) => current.is_some(),
    };
    (!is_there).then(|| "its newest revision is not its template".to_owned())
}

fn surplus_revision(store: &Store, daemonset: &Value) -> Option<String> {
    let revisions = own_revisions(store, daemonset);
    // Equal ones of an earlier template, which somebody made, or took away and gave back, stay (J8).
    if revisions.iter().filter(|one| is_of_template(one, daemonset)).count() > 1 {
        return Some("two revisions have the same data".to_owned());
    }
    let own = |pod: &&std::sync::Arc<Value>| is_of(pod, daemonset);
    let mut live: Vec<Value> = store.all(Kind::Pod).filter(own).map(|pod| hash(pod)).collect();
    // A policy keeps the revision that leads back.
    let policies = policies_of(daemonset, store.all(Kind::Policy).map(|policy| &**policy)).into_iter();
    live.extend(
        policies.map(|policy| policy["status"]["daemonSets"][name(daemonset)]["lastGoodRevision"].clone()),
    );
    let old = revisions.iter().filter(|one| !is_of_template(one, daemonset));
    let dead = old.filter(|revision| !live.contains(&hash(revision))).count();
    let limit = daemonset["spec"]["revisionHistoryLimit"].as_u64().unwrap_or(10);
    (dead as u64 > limit).then(|| format!("{dead} old revisions where {limit} may be"))
}

/// A line for each object that matters, for people.
pub(crate) fn describe(store: &Store) -> Vec<String> {
    let mut lines = Vec::new();
    for node in store.all(Kind::Node) {
        let (pool, taints) = (&node["metadata"]["labels"]["pool"], &node["spec"]["taints"]);
        lines.push(format!("node {}: pool {pool}, taints {taints}", name(node)));
    }
    for daemonset in store.all(Kind::DaemonSet) {
        let (metadata, spec) = (&daemonset["metadata"], &daemonset["spec"]);
        lines.push(format!(
            "daemonset {}/{}: uid {}, {}, {}, min ready {}, selector {}, tolerations {}, generation {}, finalizers {}, status {}",
            namespace(daemonset), name(daemonset), uid(daemonset), image(&spec["template"]["spec"]),
            spec["updateStrategy"], spec["minReadySeconds"], spec["template"]["spec"]["nodeSelector"],
            spec["template"]["spec"]["tolerations"], metadata["generation"], metadata["finalizers"], daemonset["status"]
        ));
    }
    for policy in store.all(Kind::Policy) {
        let (namespace, name, annotations) =
            (namespace(policy), name(policy), &policy["metadata"]["annotations"]);
        let (spec, status) = (&policy["spec"], &policy["status"]);
        lines.push(format!("policy {namespace}/{name}: {annotations}, {spec}, status {status}"));
    }
    for pod in store.all(Kind::Pod) {
        let (labels, status) = (&pod["metadata"]["labels"], &pod["status"]);
        lines.push(format!(
            "pod {}/{} on {:?}: {}, labels {labels}, of {:?}, {} ready {}{}",
            namespace(pod),
            name(pod),
            target_node(pod),
            image(&pod["spec"]),
            controller_uid(pod),
            status["phase"],
            is_ready(pod),
            if is_deleting(pod) { ", deleting" } else { "" },
        ));
    }
    for revision in store.all(Kind::Revision) {
        let template = &revision["data"]["spec"]["template"]["spec"];
        lines.push(format!(
            "revision {}/{}: number {}, {}, labels {}, of {:?}",
            namespace(revision),
            name(revision),
            revision["revision"],
            image(template),
            revision["metadata"]["labels"],
            controller_uid(revision),
        ));
    }
    lines
}
