//! How `status` shows roll-outs: states, budgets, ends, the grid.

// A test may panic anywhere, its helpers too.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::indexing_slicing)]

use everynode_testkit::{fleets, server};
use std::time::Duration;

use everynode_engine::Time;
use everynode_inspect::grid::{ZONE, grid};
use everynode_inspect::live::Live;
use everynode_inspect::status::{Filter, State, Status};
use everynode_inspect::{Look, Paint};
use everynode_plan::record::Unseen;
use everynode_plan::{Fleet, Wanted};
use everynode_testkit::fleets::{Case, NOW, UID, fail, unbind};
use serde_json::{Value, json};

fn status_of(fleet: &Fleet) -> Status {
    Status::of(&Look::of(fleet, Time::from_seconds(NOW)), &Filter::default())
}

/// The state of the only DaemonSet, and what its text contains.
fn check(case: &Case, state: State, parts: &[&str]) -> String {
    let status = status_of(&case.fleet());
    let text = status.to_text(&Paint::default());
    assert_eq!(status.daemonsets[0].state, state, "{text}");
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
    text
}

fn budget(max_unavailable: i64) -> impl Fn(&mut Value) {
    move |spec| spec["updateStrategy"]["rollingUpdate"] = json!({"maxUnavailable": max_unavailable})
}

/// The pods of these nodes become old.
fn make_old(case: &mut Case, nodes: std::ops::Range<usize>) {
    for pod in &mut case.pods[nodes] {
        pod.labels.insert("controller-revision-hash", "older");
        pod.labels.insert("pod-template-generation", "0");
    }
}

#[test]
fn a_daemonset_that_is_complete_takes_one_line() {
    let text =
        check(&Case::new(24, budget(3)), State::Complete, &["24/24      24/24  ━━━━━━━━━━━━  complete"]);
    assert_eq!(text.lines().count(), 3, "{text}");
    assert_eq!(text.lines().last(), Some("coverage: 100.0 %"));
}

#[test]
fn long_names_give_way_to_what_a_narrow_terminal_has_to_show() {
    let mut status = status_of(&Case::new(24, budget(3)).fleet());
    status.daemonsets[0].name = "a-name-that-is-much-too-long-for-it".into();
    let check = |width: usize, expected: &str| {
        let text = status.to_text(&Paint { width: Some(width), ..Paint::default() });
        assert_eq!(text.lines().nth(1).unwrap(), expected, "{width}");
    };
    check(100, "default    a-name-that-is-much-too-long-for-it    24/24      24/24  ━━━━━━━━━━━━  complete");
    check(70, "default    a-name-…-for-it    24/24      24/24  ━━━━━━━━━━━━  complete");
    check(40, "default    a-na…r-it    24/24      24/24  ━━━━━━━━━━━━  complete");
}

#[test]
fn a_roll_out_tells_its_progress_its_budget_and_its_end() {
    let mut case = Case::new(24, budget(3));
    make_old(&mut case, 0..12);
    for pod in &mut case.pods[12..14] {
        (pod.ready, pod.ready_since, pod.created, pod.phase) = (false, None, NOW - 5, "Pending".into());
    }
    let text = check(
        &case,
        State::RollingOut,
        &[
            "default    agent    12/24      22/24  ━━━━━─┄┄┄┄┄┄  ~1m",
            "  ends     in about 1m",
            "  budget   maxUnavailable 3, 2 in use\n",
            "2 x starting: images are pulled, or volumes are mounted, for 5s: n00012, n00013",
        ],
    );
    assert!(text.lines().all(|line| line.chars().count() <= 90), "{text}");
}

#[test]
fn nodes_that_are_down_and_stall_a_roll_out_are_named() {
    let mut case = Case::new(24, budget(3));
    make_old(&mut case, 0..24);
    for index in [5, 11, 17] {
        case.down(index, "Unknown");
        case.nodes[index].ready_since = Some(NOW - 720);
    }
    check(
        &case,
        State::Stalled,
        &[
            "┄┄┄┄┄┄┄┄┄┄┄┄  stalled\n",
            "0 of 21 nodes get the new template, 21 are not reached",
            "3 are down (n00005, n00011, n00017)",
            "3 x should not run, has a pod: the node is down: its kubelet does not answer, for 12m: n00005, n00011",
        ],
    );
}

#[test]
fn states_that_are_no_roll_out_have_names_of_their_own() {
    let mut case = Case::new(3, |spec| spec["updateStrategy"] = json!({"type": "OnDelete"}));
    make_old(&mut case, 0..2);
    check(&case, State::OnDelete, &["OnDelete, 2 old"]);

    let mut case = Case::new(3, budget(1));
    (case.pods[0].ready, case.pods[0].restarts, case.pods[0].waiting) = (false, 4, "CrashLoopBackOff".into());
    check(&case, State::NotAvailable, &["1 not available", "1 x crashes, for 1h: n00000"]);

    let nowhere = |spec: &mut Value| spec["template"]["spec"]["nodeSelector"] = json!({"no": "where"});
    let mut case = Case::new(3, nowhere);
    case.pods.clear();
    check(&case, State::Complete, &["no node is eligible"]);

    let state = |change: fn(&mut Value)| {
        let mut fleet = Case::new(3, budget(1)).fleet();
        change(&mut fleet.daemonsets[0]["metadata"]);
        status_of(&fleet).daemonsets[0].state
    };
    assert_eq!(state(|metadata| metadata["generation"] = 2.into()), State::NotObserved);
    assert_eq!(
        state(|metadata| metadata["deletionTimestamp"] = "2026-09-01T00:00:00Z".into()),
        State::Deleting
    );
}

#[test]
fn pods_that_are_refused_are_no_roll_out_that_ends() {
    let mut case = Case::new(3, |spec| spec["template"]["spec"]["priorityClassName"] = "gold".into());
    case.pods.clear();
    check(&case, State::NotAvailable, &["3 not available", "no PriorityClass with name gold was found"]);
}

#[test]
fn where_there_is_no_progress_no_end_is_promised() {
    let check = |break_it: fn(&mut Case), parts: &[&str]| {
        let mut case = Case::new(3, budget(1));
        break_it(&mut case);
        let status = status_of(&case.settled_fleet());
        let text = status.to_text(&Paint::default());
        let row = &status.daemonsets[0];
        assert_eq!(row.state, State::NotAvailable, "{text}");
        assert!(!text.contains(" left"), "{text}");
        for part in parts {
            assert!(text.contains(part), "{part:?} is not in:\n{text}");
        }
        let told = serde_json::to_value(row).unwrap()["estimate"].take();
        assert_eq!((&told["left"], &told["p50Millis"]), (&json!(1), &Value::Null), "{told}");
    };
    check(
        |case| fail(&mut case.pods[1], "OutOfcpu"),
        &[
            "problem  pods fail on 1 node (n00001), one after the other",
            "1 x failed: OutOfcpu: n00001",
            "would change it: what ended it: kubectl -n default describe pod agent-00001 tells",
        ],
    );
    check(
        |case| drop(case.pods.remove(1)),
        &[
            "problem  no pod is made on 1 node (n00001)",
            "would change it: what refuses it, if something does: the events in kubectl -n default describe daemonset",
        ],
    );
    check(
        |case| unbind(&mut case.pods[1], None),
        &["problem  no scheduler binds the pods on 1 node", "would change it: a scheduler that runs"],
    );
    check(
        |case| {
            let template = &mut case.daemonset.as_mut().unwrap()["spec"]["template"]["spec"];
            template["schedulerName"] = "batch".into();
            unbind(&mut case.pods[1], None);
        },
        &[
            "schedulerName is batch, and no pod of that scheduler is on a node",
            "1 x no scheduler by the name batch has bound it, for 10m: n00001",
            "would change it: a scheduler that serves schedulerName batch, or a template without it",
        ],
    );
    check(
        |case| unbind(&mut case.pods[1], Some("0/3 nodes are available: 1 cannot allocate all claims.")),
        &["would change it: this is mended: 0/3 nodes are available: 1 cannot allocate all claims."],
    );
}

#[test]
fn where_there_is_progress_an_end_is_told() {
    let check = |begin: fn(&mut Case)| {
        let mut case = Case::new(3, budget(1));
        begin(&mut case);
        let status = status_of(&case.settled_fleet());
        assert_eq!(status.daemonsets[0].state, State::RollingOut, "{}", status.to_text(&Paint::default()));
    };
    // The controller made a pod just now, and comes to the next node.
    check(|case| {
        case.pods.remove(1);
        let pod = &mut case.pods[1];
        (pod.ready, pod.ready_since, pod.created, pod.phase) = (false, None, NOW - 1, "Pending".into());
    });
    // The node has joined just now.
    check(|case| {
        case.pods.remove(1);
        case.nodes[1].ready_since = Some(NOW - 1);
    });
    // The scheduler has come to as young a pod on another node.
    check(|case| {
        unbind(&mut case.pods[1], None);
        let pod = &mut case.pods[2];
        (pod.created, pod.ready_since) = (NOW - 600, Some(NOW - 580));
    });
}

#[test]
fn adopted_pods_of_another_template_that_count_as_updated_are_told() {
    let mut case = Case::new(3, budget(1));
    case.pods[1].labels.insert("controller-revision-hash", "stranger");
    let text = check(
        &case,
        State::Complete,
        &[
            "note     by their label pod-template-generation 1 pod counts as updated that is of another template",
        ],
    );
    assert!(text.contains("(agent-00001): kubectl delete pod has them made anew"), "{text}");
}

#[test]
fn the_grid_has_a_symbol_per_node_by_any_label() {
    let mut case = Case::new(9, budget(3));
    for (index, node) in case.nodes.iter_mut().enumerate().take(8) {
        node.labels.insert(ZONE, format!("zone-{}", index % 2));
    }
    make_old(&mut case, 4..8);
    case.pods[0].ready = false;
    let fleet = case.fleet();
    let status = status_of(&fleet);
    let by = |label: &str, paint: &Paint| grid(&status.daemonsets[0], &fleet, label, paint);
    assert_eq!(
        by(ZONE, &Paint::default()),
        "default/agent  ■ 4 available  ▪ 4 old  ✗ 1 not available\n  \
         zone-0  ✗■▪▪\n  zone-1  ■■▪▪\n  (none)  ■\n"
    );
    assert!(by("rack", &Paint::default()).ends_with("  all nodes  ✗■■■▪▪▪▪■\n"));
    let narrow = by("rack", &Paint { width: Some(23), ..Paint::default() });
    assert!(narrow.ends_with("  all nodes  ✗■■■▪▪▪▪■\n"), "{narrow}");
    let narrow = by("kubernetes.io/os", &Paint { width: Some(14), ..Paint::default() });
    assert_eq!(narrow.lines().count(), 2, "{narrow}");
}

#[test]
fn without_nodes_the_numbers_are_those_of_the_api() {
    let a_third = |spec: &mut Value| spec["updateStrategy"]["rollingUpdate"]["maxUnavailable"] = "30%".into();
    let mut fleet = Case::new(3, a_third).fleet();
    fleet.nodes.clear();
    fleet.daemonsets[0]["status"] = json!({
        "observedGeneration": 1, "desiredNumberScheduled": 7, "currentNumberScheduled": 7, "numberReady": 6,
        "updatedNumberScheduled": 7, "numberAvailable": 6,
    });
    fleet.unseen.push(Unseen::all("nodes", "nodes is forbidden"));
    fleet.unseen.push(Unseen::all("priorityclasses", "forbidden"));
    let status = status_of(&fleet);
    let row = &status.daemonsets[0];
    assert_eq!((row.desired, row.available, row.ready), (7, 6, 6));
    assert_eq!(row.budget.as_ref().unwrap().text, "maxUnavailable 3 (30%)", "of seven nodes");
    let text = status.to_text(&Paint::default());
    assert!(!text.contains("priorityclasses"), "nothing is estimated: {text}");
    assert!(text.contains("not seen: nodes could not be seen (nodes is forbidden), so only"), "{text}");
}

#[test]
fn a_fingerprint_stays_while_only_time_passes() {
    let mut case = Case::new(6, budget(2));
    make_old(&mut case, 0..3);
    case.pods[5].ready = false;
    let fleet = case.fleet();
    let at = |seconds| {
        Status::of(&Look::of(&fleet, Time::from_seconds(seconds)), &Filter::default()).fingerprint()
    };
    assert_eq!(at(NOW), at(NOW + 100));
    case.pods[5].ready = true;
    assert_ne!(status_of(&case.fleet()).fingerprint(), at(NOW));
}

/// An API server whose lists hold one DaemonSet and, in the end, a node; watches of them are refused.
fn answer(target: &str) -> (u16, String) {
    let path = target.split('?').next().unwrap_or_default();
    let items = match path {
        "/apis/apps/v1/daemonsets" => {
            let mut object = fleets::manifest("agent:1", |_| {});
            object["metadata"]["uid"] = UID.into();
            vec![object]
        }
        "/api/v1/nodes" => vec![json!({"metadata": {"name": "late"}})],
        _ => Vec::new(),
    };
    match target.contains("watch=") {
        true => (400, String::new()),
        false => (200, json!({"metadata": {"resourceVersion": "5"}, "items": items}).to_string()),
    }
}

#[tokio::test]
async fn a_live_fleet_takes_over_what_lists_bring() {
    let client = server::client(answer);
    let mut fleet = Fleet::from_part_of_cluster(&client, Wanted::All("default")).await.unwrap();
    fleet.nodes.clear();
    let mut live = Live::follow(&client, fleet, None, "default");
    let limit = Duration::from_secs(20);
    let seen = tokio::time::timeout(limit, async {
        while live.fleet(NOW * 1000).nodes.len() != 1 {
            live.next().await;
        }
    });
    seen.await.expect("the node is seen");
    assert_eq!(live.fleet(NOW * 1000).daemonsets.len(), 1);
}
