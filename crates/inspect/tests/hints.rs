//! What `why` and `status` say would change a cause: the cause that their own findings name.

// A test may panic anywhere, its helpers too.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::Arc;

use everynode_engine::Time;
use everynode_inspect::events::EventLine;
use everynode_inspect::status::{Filter, Group, Status};
use everynode_inspect::why::{WhyNode, WhySet};
use everynode_inspect::{Kind, Look, Paint};
use everynode_plan::record::{Container, Detail, Quota, Record, Statement, Taint};
use everynode_testkit::fleets::{Case, NOW, fail, unbind};
use serde_json::{Value, json};

/// The node in question.
const NODE: usize = 1;

fn any(_: &mut Value) {}

/// What would change the cause of the only group of this kind; the text for people says it too.
fn hint(case: &Case, events: &[EventLine], kind: Kind) -> String {
    let fleet = case.settled_fleet();
    let look = Look::of(&fleet, Time::from_seconds(NOW));
    let mut why = WhySet::of(&look, "default", "agent").expect("it is there");
    why.take_events(events.to_vec());
    let text = why.to_text(&Paint::default());
    let of_kind = |group: &&Group| group.reason.kind == kind;
    let group = why.row.groups.iter().find(of_kind).unwrap_or_else(|| panic!("no {kind:?} in:\n{text}"));
    let hint = group.reason.would_change[0].clone();
    assert!(text.contains(&format!("would change it: {hint}\n")), "{text}");
    let of_node = WhyNode::of(&look, "default", "agent", &group.nodes[0]).map(|mut why| {
        why.take_events(events.to_vec());
        why.reason.would_change
    });
    assert_eq!(of_node.unwrap()[0], hint, "what is said of a node is what is said of all");
    hint
}

#[test]
fn a_hint_names_the_cause_that_the_problem_names() {
    let classless = |spec: &mut Value| spec["template"]["spec"]["priorityClassName"] = "gold".into();
    let mut case = Case::new(3, classless);
    case.pods.clear();
    let problem = "pods are refused on 3 nodes: pods \"agent-\" is forbidden: no PriorityClass with name gold was found";
    assert_eq!(hint(&case, &[], Kind::NoPod), format!("this is mended: {problem}"));

    let mut case = Case::new(3, any);
    case.pods.clear();
    let quota = Quota {
        namespace: "default".into(),
        name: "small".into(),
        hard: json!({"pods": "0"}),
        ..Quota::default()
    };
    case.more.push(Record::Quota(quota));
    let problem = "pods are refused on 3 nodes: exceeded quota: small, requested: pods=1, used: pods=0, limited: pods=0";
    assert_eq!(hint(&case, &[], Kind::NoPod), format!("this is mended: {problem}"));

    case.more.clear();
    let refused = "Error creating: pods \"agent-\" is forbidden";
    let event = |reason: &str, message: &str, at: i64| EventLine {
        last_seconds: Some(NOW + at),
        count: 25,
        reason: reason.into(),
        message: message.into(),
    };
    let events = [
        event("FailedCreate", "an older one", -20),
        event("FailedCreate", refused, -10),
        event("FailedDaemonPod", "another matter", -5),
    ];
    assert_eq!(hint(&case, &events, Kind::NoPod), format!("this is mended: {refused}"));
    let mut status =
        Status::of(&Look::of(&case.settled_fleet(), Time::from_seconds(NOW)), &Filter::default());
    status.daemonsets[0].take_events(&events);
    let text = status.to_text(&Paint::default());
    assert!(
        text.contains(&format!("no pod is made on 3 nodes (n00000, n00001, n00002): {refused}")),
        "{text}"
    );

    let mut case = Case::new(3, any);
    unbind(&mut case.pods[NODE], Some("1 Too many pods"));
    Arc::make_mut(&mut case.nodes[NODE].allocatable)["pods"] = "0".into();
    let said = "room on the node (Too many pods): smaller requests, other host ports, or fewer other pods";
    assert_eq!(hint(&case, &[], Kind::Unschedulable), said);
}

#[test]
fn what_the_cluster_says_of_a_pod_is_what_has_to_be_mended() {
    let check = |detail: Detail, kind: Kind, expected: &str| {
        let mut case = Case::new(3, any);
        (case.pods[NODE].ready, case.pods[NODE].restarts) = (false, 1);
        case.pods[NODE].detail = Some(Box::new(detail));
        assert_eq!(hint(&case, &[], kind), format!("this is mended: {expected}"));
    };
    let held = Container {
        name: "main".into(),
        waiting: "CreateContainerConfigError".into(),
        message: "secret \"x\" not found".into(),
        ..Container::default()
    };
    check(Detail { containers: vec![held], ..Detail::default() }, Kind::Held, "secret \"x\" not found");
    let not_ready = |reason: &str| {
        let said = Statement { reason: reason.into(), message: "the gate is shut".into(), since: None };
        Detail { not_ready: Some(said), ..Detail::default() }
    };
    check(not_ready("ReadinessGatesNotReady"), Kind::ReadinessGate, "the gate is shut");
    check(not_ready("Other"), Kind::NotReady, "the gate is shut");
}

#[test]
fn a_node_that_is_short_of_something_is_named_where_pods_fail() {
    let check = |key: &str, short_of: &str| {
        let mut case = Case::new(3, any);
        fail(&mut case.pods[NODE], "Evicted");
        case.nodes[NODE].taints.push(Taint {
            key: key.into(),
            effect: "NoSchedule".into(),
            ..Taint::default()
        });
        let change = format!("more {short_of} on the node: other pods go, or it gets more");
        assert_eq!(hint(&case, &[], Kind::Ended), change);
    };
    check("node.kubernetes.io/disk-pressure", "disk space");
    check("node.kubernetes.io/memory-pressure", "memory");
    check("node.kubernetes.io/pid-pressure", "process ids");
}

#[test]
fn a_revision_whose_name_is_too_long_is_told_and_no_controller_is_asked_for() {
    for (length, kind) in [(230, Kind::WaitsForController), (250, Kind::RevisionRefused)] {
        let part = "a".repeat(60);
        let name = format!("{part}.{part}.{part}.{}", "b".repeat(length - 183));
        let mut fleet = Case::new(3, any).fleet();
        fleet.daemonsets[0]["metadata"]["name"] = name.as_str().into();
        fleet.daemonsets[0]["metadata"]["generation"] = 2.into();
        (fleet.revisions, fleet.pods) = (Vec::new(), Vec::new());
        let look = Look::of(&fleet, Time::from_seconds(NOW));
        let why = WhySet::of(&look, "default", &name).expect("it is there");
        let group = &why.row.groups[0];
        assert_eq!(group.reason.kind, kind, "{length}: {}", why.to_text(&Paint::default()));
        let is_asked_for = group.reason.would_change[0].contains("a DaemonSet controller that runs");
        assert_eq!(is_asked_for, kind == Kind::WaitsForController);
        assert_eq!(why.row.estimate, None, "nothing goes on");
    }
}
