//! Every engine observes the same of the same objects, whoever feeds it.
//!
//! The objects are on the model API server. The controller reads what is served; a plan and inspect make records of
//! it first and read those; the checker of worlds reads for itself, as it must, and has to come to the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use everynode_client::Client;
use everynode_controller::decode;
use everynode_engine::{
    ContainerStatuses, DaemonSetFact, Fact, NodeFact, PodController, PodFact, RevisionFact, Uid,
};
use everynode_model::Value;
use everynode_plan::spread::Spread;
use everynode_plan::{Assumptions, Change, Fleet, Model, Run, Wanted};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::actor::{Actor, Role};
use crate::cluster::in_virtual_time;
use crate::faults::Faults;
use crate::model::{self, Key, Kind};
use crate::network;
use crate::world::{World, lock};

const NAMESPACE: &str = "alpha";
const AGENT: &str = "00000000-0000-4000-8000-00000000000a";
const SINCE: &str = "2026-01-02T03:04:05Z";
const LATER: &str = "2026-01-02T03:05:00.5Z";

/// Facts as text, by the kind and name of what they are about.
type Observed = BTreeMap<String, String>;

/// Writes a fact down. Records keep no versions, and of containers only what keeps them from running.
fn note(observed: &mut Observed, fact: &Fact<'_>) {
    let (key, text) = match fact {
        Fact::Node(node) => (format!("node {}", node.name), format!("{:?}", NodeFact { ..*node })),
        Fact::Pod(pod) => {
            let statuses = ContainerStatuses::default();
            let kept = PodFact { resource_version: 0, statuses, ..*pod };
            (format!("pod {}", pod.name), format!("{kept:?}"))
        }
        Fact::DaemonSet(one) => {
            let one = DaemonSetFact { resource_version: 0, ..(**one).clone() };
            (format!("daemonset {}", one.name), format!("{one:?}"))
        }
        Fact::Revision(one) => {
            let one = RevisionFact { resource_version: 0, ..(**one).clone() };
            (format!("revision {}", one.name), format!("{one:?}"))
        }
        _ => return,
    };
    observed.insert(key, text);
}

fn taint(key: &str, effect: &str, added: Option<&str>) -> Value {
    json!({"key": key, "effect": effect, "timeAdded": added})
}

fn node(name: &str, ready: &str, taints: &[Value]) -> Value {
    json!({
        "metadata": {"name": name, "labels": {"kubernetes.io/os": "linux", "zone": "a"}},
        "spec": {"taints": taints},
        "status": {"conditions": [
            {"type": "DiskPressure", "status": "False"},
            {"type": "Ready", "status": ready, "lastTransitionTime": SINCE, "message": "m"},
        ]},
    })
}

fn nodes() -> Vec<Value> {
    let (not_ready, unreachable) = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable");
    let mut cordoned =
        node("cordoned", "True", &[taint("node.kubernetes.io/unschedulable", "NoSchedule", None)]);
    cordoned["spec"]["unschedulable"] = true.into();
    vec![
        node("plain", "True", &[]),
        json!({"metadata": {"name": "bare"}}),
        json!({"metadata": {"name": "nulls", "labels": null}, "spec": {"taints": null},
            "status": {"conditions": null, "allocatable": null, "addresses": null}}),
        node(
            "gpu",
            "True",
            &[
                json!({"key": "gpu", "value": "k80", "effect": "NoSchedule"}),
                taint("soft", "PreferNoSchedule", None),
            ],
        ),
        cordoned,
        node(
            "sick",
            "False",
            &[taint(not_ready, "NoSchedule", None), taint(not_ready, "NoExecute", Some(LATER))],
        ),
        node(
            "silent",
            "Unknown",
            &[taint(unreachable, "NoExecute", Some(LATER)), taint(not_ready, "NoExecute", Some(SINCE))],
        ),
        node("starting", "True", &[taint(not_ready, "NoSchedule", None)]),
        node(
            "marked",
            "True",
            &[taint(unreachable, "NoExecute", None), taint("x", "NoExecute", Some(SINCE))],
        ),
        node("untainted", "False", &[]),
    ]
}

/// A pod of the DaemonSet, with these parts of it set.
fn pod(name: &str, changes: &[(&str, Value)]) -> Value {
    let mut pod = json!({
        "metadata": {"name": name, "creationTimestamp": SINCE, "labels": {"app": "agent", "b": "c"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "agent", "uid": AGENT,
                "controller": true}]},
        "spec": {"nodeName": "plain", "containers": [{"name": "c", "image": "i"}]},
        "status": {"phase": "Running"},
    });
    for (pointer, value) in changes {
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        pod.pointer_mut(parent).unwrap()[field] = value.clone();
    }
    pod
}

fn ready(status: &str) -> (&'static str, Value) {
    let other = json!({"type": "Initialized", "status": "True"});
    ("/status/conditions", json!([other, {"type": "Ready", "status": status, "lastTransitionTime": LATER}]))
}

fn waiting(reasons: &[&str]) -> Value {
    let waits = |reason: &&str| json!({"name": "c", "state": {"waiting": {"reason": reason}}});
    reasons.iter().map(waits).collect()
}

/// The affinity of a pod that is for the node that the first of these requirements names.
fn pinned(names: &[Value]) -> [(&'static str, Value); 3] {
    let term = |values: &Value| json!({"matchExpressions": null, "matchFields": [{"key": "metadata.name", "operator": "In", "values": values}]});
    let mut terms =
        vec![json!({"matchFields": [{"key": "metadata.uid", "operator": "In", "values": ["plain"]}]})];
    terms.extend(names.iter().map(term));
    let required = json!({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}});
    [
        ("/spec/nodeName", Value::Null),
        ("/spec/affinity", json!({"nodeAffinity": required})),
        ("/status/phase", "Pending".into()),
    ]
}

fn pods() -> Vec<Value> {
    let owner = |kind: &str, uid: &str, controller: Value| {
        ("/metadata/ownerReferences", json!([{"kind": kind, "uid": uid, "controller": controller}]))
    };
    let gone = |seconds: i64| {
        [
            ("/metadata/deletionTimestamp", LATER.into()),
            ("/metadata/deletionGracePeriodSeconds", seconds.into()),
        ]
    };
    let mut all = vec![
        pod("ready", &[ready("True")]),
        pod("unready", &[ready("False")]),
        pod("unknown", &[ready("Unknown"), ("/status/phase", "Unknown".into())]),
        pod("ready-terminating", &[ready("True"), gone(30)[0].clone(), gone(30)[1].clone()]),
        pod("failed", &[("/status/phase", "Failed".into()), ("/status/reason", "Evicted".into())]),
        pod("succeeded", &[("/status/phase", "Succeeded".into()), ready("False")]),
        pod("absent", &[("/spec/nodeName", "gone".into())]),
        pod("pinned", &pinned(&[json!(["plain"])])),
        pod("pinned-to-several", &pinned(&[json!(["plain", "gpu"]), json!(["plain"])])),
        pod("pinned-to-nothing", &pinned(&[Value::Null])),
        pod("pinned-to-absent", &pinned(&[json!(["gone"]), json!(["plain"])])),
        pod("orphan", &[("/metadata/ownerReferences", Value::Null), ready("True")]),
        pod("orphan-of-a-guest", &[owner("DaemonSet", AGENT, false.into())]),
        pod("of-a-replicaset", &[owner("ReplicaSet", AGENT, true.into())]),
        pod("of-no-uuid", &[owner("DaemonSet", "x", true.into())]),
        pod(
            "nulls",
            &[
                ("/metadata/creationTimestamp", Value::Null),
                ("/status", json!({"phase": null, "conditions": null, "containerStatuses": null})),
                ("/spec/tolerations", Value::Null),
                ("/spec/initContainers", Value::Null),
            ],
        ),
        pod("without-status", &[("/status", Value::Null)]),
        pod("without-spec", &[("/spec", Value::Null), ("/status", Value::Null)]),
        pod(
            "waits-before",
            &[
                ("/status/initContainerStatuses", waiting(&["", "CrashLoopBackOff"])),
                ("/status/containerStatuses", waiting(&["PodInitializing"])),
            ],
        ),
        pod("waits-twice", &[("/status/containerStatuses", waiting(&["Paused", "ErrImagePull"]))]),
        pod(
            "waits-and-is-ready",
            &[ready("True"), ("/status/containerStatuses", waiting(&["ErrImagePull"]))],
        ),
    ];
    for reason in [
        "CrashLoopBackOff",
        "ImagePullBackOff",
        "ErrImagePull",
        "InvalidImageName",
        "ErrImageNeverPull",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
        "ContainerCreating",
        "PodInitializing",
        "Paused",
    ] {
        let name = format!("waits-{}", reason.to_lowercase());
        all.push(pod(&name, &[("/status/containerStatuses", waiting(&[reason]))]));
    }
    all
}

fn daemonsets() -> Vec<Value> {
    let template = json!({"metadata": {"labels": {"app": "agent"}}, "spec": {
        "containers": [{"name": "c", "image": "i"}], "tolerations": [{"operator": "Exists", "effect": "NoExecute"}],
        "nodeSelector": {"zone": "a"}}});
    vec![
        json!({
            "metadata": {"name": "agent", "uid": AGENT, "generation": 3, "creationTimestamp": SINCE,
                "labels": {"team": "x"}, "annotations": {"deprecated.daemonset.template.generation": "3"}},
            "spec": {"selector": {"matchLabels": {"app": "agent"}, "matchExpressions": [
                    {"key": "b", "operator": "Exists"}]}, "template": template, "minReadySeconds": 5,
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "10%", "maxSurge": 0}}},
            "status": {"observedGeneration": 2, "desiredNumberScheduled": 4, "collisionCount": 1},
        }),
        json!({
            "metadata": {"name": "going", "generation": 1, "deletionTimestamp": LATER},
            "spec": {"selector": {"matchLabels": {"app": "going"}}, "template": {"metadata": {"labels": {"app": "going"}},
                "spec": {"containers": []}}, "updateStrategy": {"type": "OnDelete"}},
        }),
    ]
}

fn revisions() -> Vec<Value> {
    let revision = |name: &str, owners: Value, more: &[(&str, Value)]| {
        let mut metadata =
            json!({"name": name, "labels": {"app": "agent", "b": "c"}, "ownerReferences": owners});
        more.iter().for_each(|(key, value)| metadata[key] = value.clone());
        json!({"metadata": metadata, "revision": 2, "data": {"spec": {"template": {"$patch": "replace", "n": 1.50}}}})
    };
    let owner = |kind: &str| json!([{"kind": kind, "uid": AGENT, "controller": true}]);
    vec![
        revision("agent-1", owner("DaemonSet"), &[]),
        revision("agent-2", owner("DaemonSet"), &[("deletionTimestamp", LATER.into())]),
        revision("agent-3", Value::Null, &[]),
        revision("agent-4", owner("StatefulSet"), &[]),
    ]
}

/// What the controller tells its engine of everything that the server has.
async fn observed_by_controller(client: &Client) -> Observed {
    #[derive(Deserialize)]
    struct List<'a> {
        #[serde(borrow)]
        items: Vec<&'a RawValue>,
    }
    let mut observed = Observed::new();
    for (kind, path) in [
        (everynode_engine::Kind::Node, "/api/v1/nodes"),
        (everynode_engine::Kind::Pod, "/api/v1/pods"),
        (everynode_engine::Kind::DaemonSet, "/apis/apps/v1/daemonsets"),
        (everynode_engine::Kind::Revision, "/apis/apps/v1/controllerrevisions"),
    ] {
        let body = client.get(path).await.unwrap();
        for item in serde_json::from_slice::<List<'_>>(&body).unwrap().items {
            decode::applied(kind, item.get().as_bytes(), |fact| note(&mut observed, &fact))
                .unwrap_or_else(|error| panic!("{}: {error}", item.get()));
        }
    }
    observed
}

fn observed_by_inspect(fleet: &Fleet) -> Observed {
    let mut observed = Observed::new();
    everynode_inspect::look::told(fleet, &mut |fact| note(&mut observed, &fact));
    observed
}

fn observed_by_plan(fleet: &Fleet, daemonset: &str) -> Observed {
    let change = Change::none(fleet.daemonset(NAMESPACE, daemonset).unwrap());
    let assumptions = Assumptions {
        start: Spread::Fixed(1000),
        stop: Spread::Fixed(1000),
        failure_rate: 0.0,
        failing: Vec::new(),
        promote: false,
    };
    let model = Model::new(fleet, &change, assumptions).unwrap();
    let mut observed = Observed::new();
    Run::told(&model, &mut |fact| note(&mut observed, &fact));
    observed
}

/// Holds what the engine of somebody observes against what the controller's observes; only of these there is nothing.
fn check(who: &str, observed: &Observed, controller: &Observed, unobserved: &[&str]) {
    for (key, text) in observed {
        assert_eq!(Some(text), controller.get(key), "{who} says otherwise of {key}");
    }
    let missing: BTreeSet<&str> =
        controller.keys().filter(|key| !observed.contains_key(*key)).map(String::as_str).collect();
    assert_eq!(missing, unobserved.iter().copied().collect(), "{who} observes nothing of these");
}

/// The checker's own readers against the fact about a pod.
fn check_checker(served: &Value, fact: &PodFact<'_>) {
    let name = fact.name;
    assert_eq!(model::is_ready(served), fact.ready, "{name}");
    assert_eq!(model::is_terminal(served), fact.phase.is_terminal(), "{name}");
    assert_eq!(model::is_deleting(served), fact.deleting, "{name}");
    assert_eq!(model::target_node(served), fact.node, "{name}");
    assert_eq!(model::is_bound_to(served).is_some(), fact.bound, "{name}");
    let controller = match model::controller_uid(served) {
        None => PodController::Nobody,
        Some(("DaemonSet", uid)) => Uid::parse(uid).map_or(PodController::Other, PodController::DaemonSet),
        Some(_) => PodController::Other,
    };
    assert_eq!(controller, fact.controller, "{name}");
}

/// A server that has these objects, and a client of it.
fn server() -> Client {
    let shared = Arc::new(Mutex::new(World::new(1, Faults::calm(), false)));
    let kinds = [
        (Kind::Node, nodes()),
        (Kind::DaemonSet, daemonsets()),
        (Kind::Revision, revisions()),
        (Kind::Pod, pods()),
    ];
    for (kind, objects) in kinds {
        for mut object in objects {
            let mut world = lock(&shared);
            if object["metadata"].get("uid").is_none() {
                object["metadata"]["uid"] = world.store.new_uid().into();
            }
            if kind.is_namespaced() {
                object["metadata"]["namespace"] = NAMESPACE.into();
            }
            let key = Key::new(kind, NAMESPACE, model::name(&object));
            world.store.put(key, object, 0);
        }
    }
    network::client(&shared, &Actor::new(Role::Loops, "reader"))
}

#[test]
fn all_drivers_tell_the_same_of_the_same_objects() {
    in_virtual_time(1, async {
        let client = server();
        let controller = observed_by_controller(&client).await;
        assert_eq!(controller.len(), nodes().len() + pods().len() + daemonsets().len() + revisions().len());
        let fleet = Fleet::from_cluster(&client, Wanted::Namespace(NAMESPACE), "salt").await.unwrap();
        // What others control is summed up, and nobody adopts in a look.
        let of_others = ["pod of-a-replicaset", "pod of-no-uuid", "revision agent-4"];
        let look = observed_by_inspect(&fleet);
        check("inspect", &look, &controller, &[&of_others[..], &["revision agent-3"]].concat());

        let mut plan = observed_by_plan(&fleet, "agent");
        // In a plan a node that is down without a taint that says so is about to get one.
        for node in ["node untainted", "node bare", "node nulls"] {
            let (rest, since) = plan[node].split_once("not_ready_since: ").unwrap();
            assert!(since.starts_with("Some("), "{node}: {since}");
            let text = format!("{rest}not_ready_since: None }}");
            plan.insert(node.to_owned(), text);
        }
        check("plan", &plan, &controller, &[&of_others[..], &["daemonset going"]].concat());
    });
}

#[test]
fn the_checker_reads_pods_as_the_engine_is_told_of_them() {
    for mut pod in pods() {
        pod["metadata"]["namespace"] = NAMESPACE.into();
        pod["metadata"]["uid"] = AGENT.into();
        let bytes = pod.to_string();
        let mut called = false;
        decode::applied(everynode_engine::Kind::Pod, bytes.as_bytes(), |fact| match fact {
            Fact::Pod(fact) => {
                called = true;
                check_checker(&pod, &fact);
            }
            other => panic!("{other:?}"),
        })
        .unwrap();
        assert!(called);
    }
}
