//! What `why` says of a daemon on a node, cause by cause.

// A test may panic anywhere, its helpers too.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::Arc;

use everynode_engine::Time;
use everynode_inspect::why::{WhyNode, WhySet};
use everynode_inspect::{Class, Kind, Look, Paint};
use everynode_plan::read::{PodRead, pod};
use everynode_plan::record::{Node, Pod, Record, Taint, Taken, Unseen};
use everynode_testkit::fleets;
use everynode_testkit::fleets::{Case, HASH, NOW, UID, fail, node_name};
use serde_json::value::to_raw_value;
use serde_json::{Value, json};

/// The node in question.
const NODE: usize = 1;

fn why(case: &Case) -> WhyNode {
    let fleet = case.fleet();
    let look = Look::of(&fleet, Time::from_seconds(NOW));
    let why = WhyNode::of(&look, "default", "agent", &node_name(NODE)).expect("both are there");
    let holds = why.predicates.iter().all(|predicate| predicate.holds);
    assert_eq!(why.should_run, holds, "the predicates are those that decide: {why:?}");
    why
}

/// What is said of the node contains all of this; the text for people tells it too.
fn check(case: &Case, class: Class, kind: Kind, parts: &[&str]) -> WhyNode {
    let why = why(case);
    let text = why.to_text(&Paint::default());
    assert_eq!((why.class, why.reason.kind), (class, kind), "{text}");
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
    why
}

fn any(_: &mut Value) {}

fn template(change: impl Fn(&mut Value)) -> impl Fn(&mut Value) {
    move |spec| change(&mut spec["template"]["spec"])
}

fn taint(node: &mut Node, key: &str, value: &str, effect: &str) {
    node.taints.push(Taint {
        key: key.into(),
        value: value.into(),
        effect: effect.into(),
        ..Taint::default()
    });
}

/// The pod on the node, as the API serves it with this status.
fn served(status: Value) -> Pod {
    let object = json!({
        "metadata": {
            "name": "agent-x", "namespace": "default", "uid": "22222222-2222-4222-8222-000000000001",
            "labels": {"app": "agent", "controller-revision-hash": HASH},
            "creationTimestamp": time(-600),
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "agent", "uid": UID,
                "controller": true}],
        },
        "spec": {"nodeName": node_name(NODE), "containers": [{"name": "main"}]},
        "status": status,
    });
    match pod(&to_raw_value(&object).unwrap()).expect("a pod") {
        PodRead::Kept(pod) => *pod,
        other => panic!("{other:?}"),
    }
}

/// So many seconds from now, as the API writes it.
fn time(seconds: i64) -> String {
    everynode_model::time::format(NOW + seconds)
}

fn container(state: Value, more: Value) -> Value {
    let mut status = json!({"name": "main", "ready": false, "restartCount": 0, "state": state});
    for (key, value) in more.as_object().into_iter().flatten() {
        status[key] = value.clone();
    }
    json!({"phase": "Running", "containerStatuses": [status], "conditions": [
        {"type": "Ready", "status": "False", "reason": "ContainersNotReady", "lastTransitionTime": time(-500)},
        {"type": "PodScheduled", "status": "True", "lastTransitionTime": time(-590)},
    ]})
}

fn with_status(status: Value) -> Case {
    let mut case = Case::new(3, any);
    case.pods[NODE] = served(status);
    case
}

#[test]
fn what_is_available_is_so_since_a_time() {
    let why = check(&Case::new(3, any), Class::Available, Kind::Available, &["runs, available", "1h ago"]);
    assert_eq!(why.reason.since, Some(NOW - 3_600));
}

#[test]
fn placement_is_told_with_labels_taints_and_their_values() {
    let mut case = Case::new(3, any);
    taint(&mut case.nodes[NODE], "gpu", "yes", "NoSchedule");
    let pods = case.pods.clone();
    case.pods.remove(NODE);
    check(
        &case,
        Class::NotEligible,
        Kind::Taint,
        &[
            "does not run, and should not",
            "taint gpu=yes:NoSchedule is not tolerated",
            "kubectl taint node n00001 gpu=yes:NoSchedule-",
            "{key: gpu, value: \"yes\", effect: NoSchedule}",
        ],
    );
    case.pods = pods;
    let parts = ["the pod that is there stays", "agent-00001, current revision: available"];
    check(&case, Class::Misscheduled, Kind::Taint, &parts);
    taint(&mut case.nodes[NODE], "broken", "", "NoExecute");
    let parts =
        ["the pod that is there goes", "because    taint broken:NoExecute is not tolerated", "gpu=yes"];
    check(&case, Class::Misscheduled, Kind::Taint, &parts);

    let tolerant = |spec: &mut Value| spec["tolerations"] = json!([{"key": "gpu", "operator": "Exists"}]);
    let mut case = Case::new(3, template(tolerant));
    taint(&mut case.nodes[NODE], "gpu", "yes", "NoSchedule");
    taint(&mut case.nodes[NODE], "node.kubernetes.io/unschedulable", "", "NoSchedule");
    case.nodes[NODE].unschedulable = true;
    check(
        &case,
        Class::Available,
        Kind::Available,
        &[
            "yes  taint gpu=yes:NoSchedule is tolerated by the template: gpu exists, every effect",
            "node.kubernetes.io/unschedulable:NoSchedule is tolerated as every daemon pod does",
            "cordoned: that keeps no daemon away",
        ],
    );
}

#[test]
fn selectors_and_affinity_are_told_requirement_by_requirement() {
    let selector =
        |spec: &mut Value| spec["nodeSelector"] = json!({"disk": "ssd", "kubernetes.io/os": "linux"});
    let mut case = Case::new(3, template(selector));
    case.pods.clear();
    check(
        &case,
        Class::NotEligible,
        Kind::NodeSelector,
        &[
            "because    nodeSelector wants disk=ssd, the node has no such label",
            "yes  nodeSelector wants kubernetes.io/os=linux, the node has kubernetes.io/os=linux",
            "kubectl label node n00001 disk=ssd\n",
        ],
    );
    case.nodes[NODE].labels.insert("disk", "hdd");
    let parts = ["the node has disk=hdd", "kubectl label node n00001 disk=ssd --overwrite"];
    check(&case, Class::NotEligible, Kind::NodeSelector, &parts);

    let affinity = |spec: &mut Value| {
        spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] = json!({
            "nodeSelectorTerms": [
                {"matchExpressions": [{"key": "a", "operator": "Exists"}, {"key": "b", "operator": "Exists"}]},
                {"matchExpressions": [
                    {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]},
                    {"key": "zone", "operator": "In", "values": ["a", "b"]},
                ]},
            ],
        });
    };
    let mut case = Case::new(3, template(affinity));
    case.nodes[NODE].labels.insert("zone", "c");
    case.pods.clear();
    check(
        &case,
        Class::NotEligible,
        Kind::NodeAffinity,
        &[
            "none of 2 terms of the required node affinity matches; the nearest: zone in (a, b) (the node has zone=c)",
            "yes  term 2: kubernetes.io/os in (linux)",
            "no   term 1: a exists (the node has no such label)",
            "kubectl label node n00001 zone=a --overwrite",
        ],
    );
    let mut case = Case::new(3, template(|spec| spec["nodeName"] = "n00000".into()));
    case.pods.truncate(1);
    check(&case, Class::NotEligible, Kind::NodeName, &["nodeName is n00000"]);
}

#[test]
fn a_pod_that_is_not_available_says_why_and_since_when() {
    let waiting = |reason: &str, message: &str| json!({"waiting": {"reason": reason, "message": message}});
    let none = || json!({});
    let ended = |code: i64, reason: &str| json!({"terminated": {"exitCode": code, "reason": reason, "finishedAt": time(-60)}});
    let check = |status: Value, kind: Kind, since: i64, parts: &[&str]| {
        let case = with_status(status);
        let why = check(&case, Class::NotAvailable, kind, parts);
        assert_eq!(why.reason.since, Some(NOW + since), "{:?}", why.reason);
    };
    check(
        container(waiting("ContainerCreating", ""), none()),
        Kind::Starting,
        -590,
        &["starting: images are pulled, or volumes are mounted", "container main: ContainerCreating"],
    );
    check(
        container(
            waiting("CrashLoopBackOff", "back-off 5m"),
            json!({"restartCount": 7, "lastState": ended(137, "OOMKilled")}),
        ),
        Kind::Crashing,
        -500,
        &[
            "container main crashes: exit code 137 (OOMKilled)",
            "7 restarts, the last end 1m ago, waits for the next",
            "1m ago",
            "kubectl -n default logs agent-x -c main --previous",
        ],
    );
    let mut with_words = ended(1, "Error");
    with_words["terminated"]["message"] = "starting\nno such device: /dev/x\n\n".into();
    check(
        container(with_words, json!({"restartCount": 1})),
        Kind::Crashing,
        -500,
        &["1 restart, the last end 1m ago; its last words: no such device: /dev/x\n"],
    );
    check(
        container(ended(1, "Error"), json!({"restartCount": 1})),
        Kind::Crashing,
        -500,
        &["exit code 1 (Error)", "1 restart, the last end 1m ago\n"],
    );
    check(
        container(
            json!({"running": {"startedAt": time(-100)}}),
            json!({"started": true, "restartCount": 2,
            "lastState": ended(0, "Completed")}),
        ),
        Kind::ReadinessProbe,
        -100,
        &["container main runs, and is not ready", "restarted 2 times, last end: exit code 0 (Completed)"],
    );
    check(
        json!({
            "phase": "Pending",
            "conditions": [{"type": "PodScheduled", "status": "True", "lastTransitionTime": time(-590)}],
            "initContainerStatuses": [
                {"name": "one", "restartCount": 0, "state": {"terminated": {"exitCode": 0}}},
                {"name": "two", "restartCount": 0, "state": {"running": {"startedAt": time(-30)}}},
            ],
            "containerStatuses": [{"name": "main", "state": waiting("PodInitializing", "")}],
        }),
        Kind::InitContainers,
        -30,
        &["init container two is at work"],
    );
    check(
        json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory.",
            "containerStatuses": [{"name": "main", "state": ended(137, "Error")}]}),
        Kind::Ended,
        -60,
        &["failed: Evicted", "The node was low on memory.; exit code 137"],
    );
    check(
        json!({"phase": "Running", "conditions": [
            {"type": "Ready", "status": "False", "reason": "ReadinessGatesNotReady",
                "message": "the status of pod readiness gate \"x\" is not \"True\"", "lastTransitionTime": time(-20)},
        ], "containerStatuses": [{"name": "main", "ready": true, "state": {"running": {}}}]}),
        Kind::ReadinessGate,
        -20,
        &["a readiness gate is not met", "pod readiness gate \"x\""],
    );
}

#[test]
fn images_and_settings_that_are_missing_are_named() {
    let waiting = |reason: &str, message: &str| {
        container(json!({"waiting": {"reason": reason, "message": message}}), json!({}))
    };
    let image = with_status(waiting("ImagePullBackOff", "Back-off pulling image \"agent:9\""));
    let parts = [
        "the image of container main cannot be pulled: ImagePullBackOff",
        "Back-off pulling image \"agent:9\"",
    ];
    check(&image, Class::NotAvailable, Kind::ImagePull, &parts);
    let held = with_status(waiting("CreateContainerConfigError", "secret \"x\" not found"));
    let parts = ["container main waits: CreateContainerConfigError", "secret \"x\" not found"];
    check(&held, Class::NotAvailable, Kind::Held, &parts);
}

#[test]
fn probes_are_told_as_they_are_written() {
    let probes = |spec: &mut Value| {
        spec["containers"][0]["readinessProbe"] = json!({"httpGet": {"path": "/ready", "port": 8080}});
        spec["containers"][0]["startupProbe"] =
            json!({"exec": {"command": ["cat", "/up"]}, "periodSeconds": 3});
    };
    let with_started = |started: bool| {
        let mut case = Case::new(3, template(probes));
        let running = json!({"running": {"startedAt": time(-100)}});
        case.pods[NODE] = served(container(running, json!({"started": started})));
        case
    };
    let parts = ["its readiness probe has not succeeded", "httpGet :8080/ready every 10s"];
    check(&with_started(true), Class::NotAvailable, Kind::ReadinessProbe, &parts);
    let parts = ["its startup probe has not succeeded", "exec cat /up every 3s"];
    check(&with_started(false), Class::NotAvailable, Kind::StartupProbe, &parts);
}

#[test]
fn nodes_that_are_down_and_pods_that_go_are_told() {
    let tolerant = template(|spec| spec["tolerations"] = json!([{"operator": "Exists"}]));
    let mut case = Case::new(3, &tolerant);
    case.down(NODE, "Unknown");
    case.nodes[NODE].ready_since = Some(NOW - 720);
    case.nodes[NODE].ready_message = "Kubelet stopped posting node status.".into();
    let parts = ["the node is down: its kubelet does not answer", "Kubelet stopped posting", "12m ago"];
    check(&case, Class::NotAvailable, Kind::NodeDown, &parts);

    let mut case = Case::new(3, any);
    let pod = &mut case.pods[NODE];
    (pod.deleting, pod.delete_by, pod.grace_seconds) = (true, Some(NOW + 20), Some(30));
    let why = check(&case, Class::NotAvailable, Kind::Terminating, &["20s of its 30s of grace are left"]);
    assert_eq!(why.reason.since, Some(NOW - 10));

    let mut case = Case::new(3, |spec| spec["minReadySeconds"] = 60.into());
    case.pods[NODE].ready_since = Some(NOW - 10);
    let parts = ["not yet for minReadySeconds (60s)", "available in 50s"];
    check(&case, Class::NotAvailable, Kind::MinReadySeconds, &parts);
}

#[test]
fn a_pod_that_is_not_scheduled_tells_what_the_scheduler_said_and_what_does_not_fit_here() {
    let hungry = template(|spec| spec["containers"][0]["resources"] = json!({"requests": {"cpu": "500m"}}));
    let mut case = Case::new(3, hungry);
    let pod = &mut case.pods[NODE];
    *pod = served(json!({"phase": "Pending", "conditions": [{
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "lastTransitionTime": time(-90),
        "message": "0/3 nodes are available: 1 Insufficient cpu.",
    }]}));
    pod.bound = false;
    Arc::make_mut(&mut pod.need).cpu_millis = 500;
    let need = everynode_plan::record::Need { cpu_millis: 3_900, ..Default::default() };
    case.more.push(Record::Taken(Taken { node: node_name(NODE), pods: 3, need, ..Taken::default() }));
    let parts = ["0/3 nodes are available: 1 Insufficient cpu.; here it does not fit: Insufficient cpu"];
    check(&case, Class::NotAvailable, Kind::Unschedulable, &parts);
}

#[test]
fn a_node_without_a_pod_tells_what_is_waited_for() {
    let mut case = Case::new(3, any);
    case.pods.remove(NODE);
    check(&case, Class::Missing, Kind::NoPod, &["should run, and has no pod", "no pod has been made"]);
    let fleet = {
        let mut fleet = case.fleet();
        fleet.daemonsets[0]["metadata"]["generation"] = 2.into();
        fleet
    };
    let look = Look::of(&fleet, Time::from_seconds(NOW));
    let why = WhyNode::of(&look, "default", "agent", &node_name(NODE)).unwrap();
    assert_eq!(why.reason.kind, Kind::WaitsForController);
    assert!(why.reason.text.contains("generation 2"), "{:?}", why.reason);
}

/// The pods of these nodes become old.
fn make_old(case: &mut Case, nodes: std::ops::Range<usize>) {
    for pod in &mut case.pods[nodes] {
        pod.labels.insert("controller-revision-hash", "older");
        pod.labels.insert("pod-template-generation", "0");
    }
}

#[test]
fn an_old_pod_tells_who_uses_up_the_budget() {
    let mut case =
        Case::new(6, |spec| spec["updateStrategy"]["rollingUpdate"]["maxUnavailable"] = "20%".into());
    make_old(&mut case, 0..4);
    check(&case, Class::Old, Kind::WaitsForTurn, &["of an old revision", "number 2 of those that wait"]);
    (case.pods[4].ready, case.pods[5].ready) = (false, false);
    check(
        &case,
        Class::Old,
        Kind::WaitsForBudget,
        &[
            "waits for the roll-out: maxUnavailable 2 (20%) is used up",
            "by n00004, n00005",
            "roll-out   maxUnavailable 2 (20%), 2 in use",
            "2 x not ready",
        ],
    );
    case.pods.remove(5);
    check(&case, Class::Old, Kind::WaitsForPods, &["other nodes get their missing pods first", "n00005"]);

    let mut case = Case::new(3, |spec| spec["updateStrategy"] = json!({"type": "OnDelete"}));
    make_old(&mut case, 0..3);
    check(&case, Class::Old, Kind::WaitsForSomebody, &["updateStrategy is OnDelete"]);

    let surge = |spec: &mut Value| {
        spec["updateStrategy"]["rollingUpdate"] = json!({"maxUnavailable": 0, "maxSurge": 1});
    };
    let mut case = Case::new(3, surge);
    make_old(&mut case, 0..3);
    let mut new = fleets::pod(9, &node_name(NODE));
    new.ready = false;
    case.pods.push(new);
    let parts = ["the old pod stays until the new one is available", "this node is one of them"];
    check(&case, Class::Old, Kind::WaitsForNewPod, &parts);
}

#[test]
fn pods_that_stand_alike_share_a_line() {
    let mut case = Case::new(3, any);
    case.pods[NODE].ready = false;
    for index in 100..220 {
        let mut pod = fleets::pod(index, &node_name(NODE));
        fail(&mut pod, "");
        case.pods.push(pod);
    }
    let text = why(&case).to_text(&Paint::default());
    assert!(text.contains(" and 119 more, current revision: failed"), "{text}");
    assert!(text.lines().count() < 20, "{text}");
}

#[test]
fn a_pod_of_another_template_that_counts_as_current_says_by_what() {
    let mut case = Case::new(3, any);
    case.pods[NODE].labels.insert("controller-revision-hash", "stranger");
    let part =
        "agent-00001, of another template, counts as current by its label pod-template-generation: available";
    check(&case, Class::Available, Kind::Available, &[part]);
}

#[test]
fn a_daemonset_groups_its_nodes_by_cause() {
    let mut case = Case::new(12, any);
    for index in 8..12 {
        taint(&mut case.nodes[index], "gpu", "yes", "NoSchedule");
    }
    case.pods.truncate(8);
    case.down(2, "Unknown");
    case.pods[5] = Pod {
        uid: case.pods[5].uid.clone(),
        node: Some(node_name(5).into()),
        ..served(container(
            json!({"waiting": {"reason": "CrashLoopBackOff"}}),
            json!({"restartCount": 3, "lastState": {"terminated": {"exitCode": 1}}}),
        ))
    };
    let fleet = case.fleet();
    let look = Look::of(&fleet, Time::from_seconds(NOW));
    let why = WhySet::of(&look, "default", "agent").unwrap();
    let groups: Vec<(Class, Kind, usize)> =
        why.row.groups.iter().map(|group| (group.class, group.reason.kind, group.nodes.len())).collect();
    assert_eq!(
        groups,
        [
            (Class::Available, Kind::Available, 6),
            (Class::NotAvailable, Kind::Crashing, 1),
            (Class::Misscheduled, Kind::Taint, 1),
            (Class::NotEligible, Kind::Taint, 4),
        ]
    );
    let text = why.to_text(&Paint::default());
    for part in [
        "DaemonSet default/agent: 7 of 12 nodes should run it, 6 are available",
        "  1  not available: container main crashes: exit code 1",
        "  4  should not run: taint gpu=yes:NoSchedule is not tolerated",
        "n00008, n00009, n00010, n00011",
    ] {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
    let narrow = why.to_text(&Paint { width: Some(80), ..Paint::default() });
    assert!(narrow.lines().all(|line| line.chars().count() <= 80), "{narrow}");
}

#[test]
fn nodes_that_differ_in_what_they_have_are_one_group_where_they_are_many() {
    let check = |change: fn(&mut Value), nodes: usize, expected: &[&str]| {
        let mut case = Case::new(nodes, template(change));
        for node in &mut case.nodes {
            node.labels.insert("kubernetes.io/hostname", node.name.clone());
        }
        let fleet = case.fleet();
        let look = Look::of(&fleet, Time::from_seconds(NOW));
        let why = WhySet::of(&look, "default", "agent").expect("it is there");
        let texts: Vec<&str> = why.row.groups.iter().map(|group| group.reason.text.as_str()).collect();
        assert_eq!(texts, expected);
    };
    let selector = |spec: &mut Value| spec["nodeSelector"] = json!({"kubernetes.io/hostname": "x"});
    let few = "nodeSelector wants kubernetes.io/hostname=x, the node has kubernetes.io/hostname=n0000";
    check(selector, 2, &[&format!("{few}0"), &format!("{few}1")]);
    check(selector, 9, &["nodeSelector wants kubernetes.io/hostname=x, the nodes have other values"]);
    let field = |spec: &mut Value| {
        let one = json!({"key": "metadata.name", "operator": "In", "values": ["x"]});
        spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] =
            json!({"nodeSelectorTerms": [{"matchFields": [one]}]});
    };
    check(field, 9, &["required node affinity does not match: metadata.name in (x)"]);
}

#[test]
fn what_is_not_there_is_told_with_what_somebody_may_have_meant() {
    let fleet = Case::new(3, any).fleet();
    let look = Look::of(&fleet, Time::from_seconds(NOW));
    let missing = |namespace: &str, name: &str, node: &str| {
        let missing = WhyNode::of(&look, namespace, name, node).expect_err("it is not there");
        (missing.name, missing.near)
    };
    assert_eq!(missing("default", "agnet", "n00001"), ("default/agnet".into(), vec!["default/agent".into()]));
    assert_eq!(missing("other", "agent", "n00001").1, ["default/agent"]);
    assert_eq!(missing("default", "agent", "n0001").1, ["n00001", "n00000", "n00002"]);
}

#[test]
fn what_could_not_be_seen_is_told_with_what_it_may_change() {
    let mut fleet = Case::new(3, any).fleet();
    fleet.nodes.clear();
    fleet.unseen.push(Unseen::all("nodes", "nodes is forbidden"));
    let look = Look::of(&fleet, Time::from_seconds(NOW));
    let why = WhyNode::of(&look, "default", "agent", &node_name(NODE)).unwrap();
    assert_eq!(why.class, Class::Available, "its pod is there and available");
    let text = why.to_text(&Paint::default());
    assert!(
        text.contains("nodes could not be seen (nodes is forbidden), so only nodes with pods are known"),
        "{text}"
    );
}
