//! Incidents on record, each of which could have been known beforehand; and changes that go well.

// A test may panic anywhere, its helpers too.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::Arc;

use everynode_plan::record::{Need, PriorityClass, Quota, Record, Taken, Unseen};
use everynode_plan::{Failing, FindingKind, Options, Plan, Severity, Token};
use everynode_testkit::fleets;
use everynode_testkit::fleets::{Case, NOW, change, fixed, found, manifest};
use serde_json::{Value, json};

fn budget(max_unavailable: Value) -> impl Fn(&mut Value) {
    move |spec| spec["updateStrategy"]["rollingUpdate"] = json!({"maxUnavailable": max_unavailable})
}

fn surge(max_surge: i64) -> impl Fn(&mut Value) {
    move |spec| {
        spec["updateStrategy"]["rollingUpdate"] = json!({"maxUnavailable": 0, "maxSurge": max_surge});
    }
}

fn check_unsafe(plan: &Plan, kind: FindingKind, message: &[&str]) {
    let finding = found(plan, kind);
    assert!(!plan.safe && finding.severity == Severity::Unsafe, "{}", plan.to_text());
    for part in message {
        assert!(finding.message.contains(part), "{:?} does not tell {part:?}", finding.message);
    }
}

/// The template tolerates everything, as those of most node agents do.
fn tolerant(change: impl Fn(&mut Value)) -> impl Fn(&mut Value) {
    move |spec| {
        change(spec);
        spec["template"]["spec"]["tolerations"] = json!([{"operator": "Exists"}]);
    }
}

#[test]
fn twenty_dead_nodes_of_288_use_up_a_budget_of_14() {
    let five_percent = budget(json!("5%"));
    let mut case = Case::new(288, &five_percent);
    (0..20).for_each(|index| case.down(index * 14, "Unknown"));
    let plan = case.plan(&manifest("agent:2", &five_percent));
    // Their taint is not tolerated: 5 % of the others is 13.4, rounded up. They count against it all the same.
    check_unsafe(
        &plan,
        FindingKind::DeadNodesUseBudget,
        &["0 of 268 nodes", "268 are not reached", "the budget of 14 (5%)", "20 are down", "above 20"],
    );
    assert_eq!((plan.unavailable.before, plan.unavailable.held), (0, 20));
    let plan = case.plan(&manifest("agent:2", budget(json!(21))));
    assert!(plan.safe, "{}", plan.to_text());
    // Where the taint is tolerated the nodes are eligible, and it is the same.
    let mut case = Case::new(288, tolerant(&five_percent));
    (0..20).for_each(|index| case.down(index * 14, "Unknown"));
    let plan = case.plan(&manifest("agent:2", tolerant(&five_percent)));
    check_unsafe(
        &plan,
        FindingKind::DeadNodesUseBudget,
        &["0 of 288 nodes", "268 are not reached", "the budget of 15 (5%)", "20 are down", "above 20"],
    );
    assert_eq!((plan.unavailable.before, plan.unavailable.worst, plan.unavailable.held), (20, 20, 0));
    let plan = case.plan(&manifest("agent:2", tolerant(budget(json!(34)))));
    assert!(plan.safe, "{}", plan.to_text());
    found(&plan, FindingKind::DeadNodes);
}

#[test]
fn three_unknown_nodes_of_164_use_up_a_budget_of_one() {
    let names = ["0 of 16", "161 are not reached", "the budget of 1", "n00003, n00077, n00130"];
    let check = |change: &dyn Fn(&mut Value)| {
        let mut case = Case::new(164, change);
        [3, 77, 130].into_iter().for_each(|index| case.down(index, "Unknown"));
        let plan = case.plan(&manifest("agent:2", change));
        check_unsafe(&plan, FindingKind::DeadNodesUseBudget, &names);
    };
    check(&|_| {});
    check(&tolerant(|_| {}));
}

#[test]
fn surging_pods_cannot_have_the_host_port_that_the_old_ones_hold() {
    let ports = |spec: &mut Value| {
        surge(1)(spec);
        spec["template"]["spec"]["containers"][0]["ports"] =
            json!([{"containerPort": 9100, "hostPort": 9100}]);
    };
    let mut case = Case::new(5, ports);
    for pod in &mut case.pods {
        Arc::make_mut(&mut pod.need).ports = vec![(9100, "TCP".into(), "".into())];
    }
    let plan = case.plan(&manifest("agent:2", ports));
    check_unsafe(&plan, FindingKind::SurgeHostPorts, &["0 of 5 nodes", "host ports", "maxSurge"]);
    assert_eq!(plan.unavailable.worst, 0, "the old pods go on");
}

#[test]
fn pods_that_fail_are_not_made_or_are_not_bound_already_make_an_update_unsafe() {
    let check = |break_it: fn(&mut Case), kind: FindingKind, part: &str| {
        let mut case =
            Case::new(4, |spec| spec["updateStrategy"]["rollingUpdate"]["maxUnavailable"] = 3.into());
        break_it(&mut case);
        let fleet = case.settled_fleet();
        let new = manifest("agent:2", |spec| {
            spec["updateStrategy"]["rollingUpdate"]["maxUnavailable"] = 3.into();
        });
        let change = fleets::change(&fleet, &new).expect("the manifest is good");
        let plan = Plan::make(&fleet, &change, &fixed(20_000, 2_000)).expect("a plan");
        check_unsafe(&plan, kind, &[part, "n00001", "Unless the change mends that"]);
    };
    let failed = |case: &mut Case| fleets::fail(&mut case.pods[1], "Evicted");
    check(failed, FindingKind::NewPodsFail, "pods fail on 1 node");
    check(|case| drop(case.pods.remove(1)), FindingKind::NotCreated, "no pod is made on 1 node");
    let unseen = |case: &mut Case| fleets::unbind(&mut case.pods[1], None);
    check(unseen, FindingKind::NotScheduled, "nobody serves schedulerName default-scheduler");
    let refused = |case: &mut Case| fleets::unbind(&mut case.pods[1], Some("1 cannot allocate all claims"));
    check(refused, FindingKind::NotScheduled, "the scheduler binds no pod on 1 node");
}

#[test]
fn a_pod_that_fits_no_better_than_before_makes_an_update_unsafe() {
    let mut case = Case::new(3, |spec| spec["updateStrategy"]["rollingUpdate"]["maxUnavailable"] = 2.into());
    fleets::unbind(&mut case.pods[1], Some("1 Too many pods"));
    Arc::make_mut(&mut case.nodes[1].allocatable)["pods"] = "0".into();
    let plan = case.plan(&manifest("agent:2", |spec| {
        spec["updateStrategy"]["rollingUpdate"]["maxUnavailable"] = 2.into();
    }));
    check_unsafe(&plan, FindingKind::NoRoom, &["1 node", "Too many pods"]);
}

#[test]
fn a_pod_that_cannot_fit_takes_the_daemon_from_its_node() {
    let cpu = |amount: &'static str| {
        move |spec: &mut Value| {
            spec["template"]["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": amount}});
        }
    };
    let mut case = Case::new(4, cpu("100m"));
    let need = |cpu_millis| Need { cpu_millis, ..Need::default() };
    case.pods.iter_mut().for_each(|pod| pod.need = need(100).into());
    let busy = Taken { node: "n00002".into(), pods: 9, need: need(3_700), ..Taken::default() };
    case.more.push(Record::Taken(busy));
    let plan = case.plan(&manifest("agent:2", cpu("500m")));
    check_unsafe(&plan, FindingKind::NoRoom, &["1 node", "Insufficient cpu", "1 of them has a daemon now"]);
    check_unsafe(&plan, FindingKind::Stalls, &["2 of 4 nodes", "n00002"]);
    assert_eq!(plan.misfits[0].node, "n00002");
    // Nodes that the roll-out does not come to are looked at too, without their old pods.
    let plan = case.plan(&manifest("agent:2", cpu("5")));
    assert_eq!(plan.misfits.len(), 4, "{}", plan.to_text());
    check_unsafe(&plan, FindingKind::NoRoom, &["4 nodes", "3 of them keep their old pods"]);
    let plan = case.plan(&manifest("agent:2", cpu("3900m")));
    assert_eq!(plan.misfits.len(), 1, "{}", plan.to_text());
    // The same pods with a priority push others out.
    let critical = |spec: &mut Value| {
        cpu("500m")(spec);
        spec["template"]["spec"]["priorityClassName"] = "system-node-critical".into();
    };
    let plan = case.plan(&manifest("agent:2", critical));
    assert!(plan.safe, "{}", plan.to_text());
    assert_eq!(found(&plan, FindingKind::PushesOut).nodes, ["n00002"]);
}

#[test]
fn a_second_update_within_min_ready_seconds_replaces_everything_at_once() {
    let slow = |spec: &mut Value| spec["minReadySeconds"] = 60.into();
    let mut case = Case::new(30, slow);
    case.pods.iter_mut().for_each(|pod| pod.ready_since = Some(NOW - 10));
    let plan = case.plan(&manifest("agent:2", slow));
    check_unsafe(
        &plan,
        FindingKind::YoungPods,
        &["30 nodes are without a Ready pod", "the budget of 1 ", "minReadySeconds (60s)", "all at once"],
    );
    case.pods.iter_mut().for_each(|pod| pod.ready_since = Some(NOW - 61));
    let plan = case.plan(&manifest("agent:2", slow));
    assert!(plan.safe && plan.unavailable.worst == 1, "{}", plan.to_text());
}

#[test]
fn an_ordinary_roll_out_goes_by_name_in_waves_of_the_budget() {
    let case = Case::new(7, budget(json!(3)));
    let plan = case.plan_with(&manifest("agent:2", budget(json!(3))), &fixed(20_000, 2_000));
    assert!(plan.safe, "{}", plan.to_text());
    let waves: Vec<usize> = plan.waves.iter().map(|wave| wave.nodes.len()).collect();
    assert_eq!(waves, [3, 3, 1]);
    assert_eq!(plan.waves[1].nodes, ["n00003", "n00004", "n00005"]);
    assert_eq!(plan.duration.typical_millis, 3 * 22_000);
    assert_eq!((plan.unavailable.worst, plan.unavailable.after), (3, 0));
    let paths: Vec<&str> = plan.changes.iter().map(|change| change.path.as_str()).collect();
    assert_eq!(paths, ["spec.template.spec.containers[main].image"]);
}

#[test]
fn surging_keeps_every_node_served() {
    let case = Case::new(6, surge(2));
    let plan = case.plan_with(&manifest("agent:2", surge(2)), &fixed(20_000, 2_000));
    assert!(plan.safe && plan.unavailable.worst == 0, "{}", plan.to_text());
    assert_eq!(plan.waves.len(), 3);
}

#[test]
fn min_ready_seconds_are_part_of_each_wave() {
    let slow = |spec: &mut Value| spec["minReadySeconds"] = 30.into();
    let case = Case::new(4, slow);
    let plan = case.plan_with(&manifest("agent:2", slow), &fixed(10_000, 0));
    assert_eq!(plan.duration.typical_millis, 4 * 40_000, "{}", plan.to_text());
}

#[test]
fn nodes_are_gained_and_lost_for_a_reason() {
    let mut case = Case::new(4, |_| {});
    case.nodes[1].labels.insert("gpu", "yes");
    let selector = |spec: &mut Value| spec["template"]["spec"]["nodeSelector"] = json!({"gpu": "yes"});
    let plan = case.plan(&manifest("agent:1", selector));
    assert_eq!(plan.nodes.desired, 1);
    let lost: Vec<&str> = plan.nodes.lost.iter().map(|one| one.node.as_str()).collect();
    assert_eq!(lost, ["n00000", "n00002", "n00003"]);
    assert!(plan.nodes.lost[0].reason.contains("nodeSelector wants gpu=yes"), "{}", plan.to_text());
    let mut case = Case::new(4, selector);
    case.pods.truncate(0);
    let plan = case.plan(&manifest("agent:1", |_| {}));
    assert_eq!((plan.nodes.gained.len(), plan.unavailable.before), (4, 4), "{}", plan.to_text());
    assert!(plan.safe);
}

#[test]
fn a_selector_that_matches_nothing_is_a_problem() {
    let nowhere = |spec: &mut Value| spec["template"]["spec"]["nodeSelector"] = json!({"no": "where"});
    let plan = Case::new(3, |_| {}).plan(&manifest("agent:1", nowhere));
    check_unsafe(&plan, FindingKind::NoEligibleNode, &["no node is eligible: every pod is removed"]);
    let mut case = Case::new(3, |_| {});
    case.pods.clear();
    case.daemonset = None;
    let plan = case.plan(&manifest("agent:1", nowhere));
    check_unsafe(&plan, FindingKind::NoEligibleNode, &["no node is eligible: no pod is created"]);
}

#[test]
fn a_quota_refuses_pods_that_were_deleted_for_an_update() {
    let mut case = Case::new(4, |_| {});
    let quota = Quota {
        namespace: "default".into(),
        name: "small".into(),
        hard: json!({"pods": "2"}),
        used: json!({"pods": "4"}),
        scoped: false,
    };
    case.more.push(Record::Quota(quota));
    let plan = case.plan(&manifest("agent:2", |_| {}));
    check_unsafe(
        &plan,
        FindingKind::Quota,
        &["exceeded quota: small, requested: pods=1, used: pods=3, limited: pods=2"],
    );
}

#[test]
fn pods_of_a_priority_class_that_does_not_exist_are_refused() {
    let with_class = |spec: &mut Value| spec["template"]["spec"]["priorityClassName"] = "gold".into();
    let mut case = Case::new(4, |_| {});
    let plan = case.plan(&manifest("agent:2", with_class));
    check_unsafe(
        &plan,
        FindingKind::Refused,
        &["refused on 1 node: pods \"agent-\" is forbidden: no PriorityClass with name gold was found"],
    );
    check_unsafe(&plan, FindingKind::Stalls, &["1 without a pod"]);
    let class = PriorityClass { name: "gold".into(), value: 1, ..PriorityClass::default() };
    case.more.push(Record::PriorityClass(class));
    let plan = case.plan(&manifest("agent:2", with_class));
    assert!(plan.safe, "{}", plan.to_text());
    let mut fleet = Case::new(4, |_| {}).fleet();
    fleet.unseen.push(Unseen::all("priorityclasses", "forbidden"));
    let change = fleets::change(&fleet, &manifest("agent:2", with_class)).expect("a good manifest");
    let plan = Plan::make(&fleet, &change, &Options::default()).expect("a plan");
    assert!(plan.safe, "what could not be seen is not held against it: {}", plan.to_text());
}

#[test]
fn a_first_roll_out_is_planned_too() {
    let mut case = Case::new(6, |_| {});
    case.pods.clear();
    case.daemonset = None;
    let plan = case.plan(&manifest("agent:1", |_| {}));
    assert!(plan.is_new && plan.safe, "{}", plan.to_text());
    assert_eq!((plan.waves.len(), plan.waves[0].nodes.len()), (1, 6));
    assert_eq!(plan.unavailable.after, 0);
}

#[test]
fn nothing_is_replaced_when_only_other_fields_change() {
    let case = Case::new(4, |_| {});
    let plan = case.plan(&manifest("agent:1", budget(json!(2))));
    assert!(plan.safe && plan.waves.is_empty(), "{}", plan.to_text());
    assert_eq!(plan.changes.len(), 1);
    assert_eq!(plan.unavailable.worst, 0);
    let mut labelled = manifest("agent:1", |_| {});
    labelled["metadata"]["labels"] = json!({"team": "a"});
    let plan = case.plan(&labelled);
    assert!(plan.safe && plan.waves.is_empty(), "{}", plan.to_text());
    assert!(plan.to_text().contains("+ metadata.labels"), "{}", plan.to_text());
}

#[test]
fn a_revision_that_fails_is_stopped_by_the_budget() {
    let case = Case::new(10, tolerant(budget(json!(3))));
    let options = Options { failure_rate: 1.0, ..fixed(5_000, 0) };
    let plan = case.plan_with(&manifest("agent:2", tolerant(budget(json!(3)))), &options);
    check_unsafe(
        &plan,
        FindingKind::Stalls,
        &["0 of 10 nodes", "7 are not reached", "3 whose new pod fails"],
    );
    assert_eq!(plan.unavailable.worst, 3);
    let failing = vec![Failing { node: "n00004".into(), after_update: true }];
    let plan = case
        .plan_with(&manifest("agent:2", tolerant(budget(json!(3)))), &Options { failing, ..fixed(5_000, 0) });
    check_unsafe(&plan, FindingKind::NewPodsFail, &["1 node"]);
    let failing = vec![Failing { node: "n00004".into(), after_update: false }];
    let plan = case
        .plan_with(&manifest("agent:2", tolerant(budget(json!(3)))), &Options { failing, ..fixed(5_000, 0) });
    assert!(plan.safe, "{}", plan.to_text());
    assert_eq!(found(&plan, FindingKind::DeadNodes).nodes, ["n00004"]);
}

#[test]
fn on_delete_waits_for_somebody() {
    let on_delete = |spec: &mut Value| spec["updateStrategy"] = json!({"type": "OnDelete"});
    let plan = Case::new(4, on_delete).plan(&manifest("agent:2", on_delete));
    assert!(plan.safe && plan.waves.is_empty(), "{}", plan.to_text());
    assert!(found(&plan, FindingKind::OnDelete).message.contains("4 nodes keep"));
}

#[test]
fn what_the_api_would_refuse_is_refused() {
    let fleet = Case::new(1, |_| {}).fleet();
    let check = |broken: fn(&mut Value), expected: &str| {
        let refusals = change(&fleet, &manifest("agent:2", broken)).expect_err("refused").join("\n");
        assert!(refusals.contains(expected), "{refusals:?} does not tell {expected:?}");
    };
    check(|spec| spec["selector"]["matchLabels"]["app"] = "x".into(), "field is immutable");
    check(|spec| spec["tempalte"] = json!({}), "unknown field \"spec.tempalte\"");
    check(
        |spec| spec["template"]["spec"]["containers"] = json!([]),
        "spec.template.spec.containers: Required value",
    );
    check(|spec| spec["minReadySeconds"] = json!("soon"), "minReadySeconds");
}

#[test]
fn a_token_tells_whether_the_fleet_has_moved() {
    let mut case = Case::new(5, |_| {});
    let next = manifest("agent:2", |_| {});
    let token = case.plan(&next).token;
    assert_eq!(token.moved(&case.plan(&next).token), Vec::<&str>::new());
    case.pods[2].ready = false;
    assert_eq!(token.moved(&case.plan(&next).token), ["its pods"]);
    case.down(3, "Unknown");
    assert!(token.moved(&case.plan(&next).token).contains(&"the nodes"));
    let other = case.plan(&manifest("agent:3", |_| {})).token;
    assert!(token.moved(&other).contains(&"the DaemonSet or its manifest"));
}

#[test]
fn each_plan_wants_a_token_of_its_own() {
    let case = Case::new(3, |_| {});
    let [one, two, three] =
        ["agent:2", "agent:3", "agent:4"].map(|image| case.plan(&manifest(image, |_| {})).token);
    let check = |then: &[&Token], now: &[&Token], expected: &[&str]| {
        let then: Vec<Token> = then.iter().map(|token| (*token).clone()).collect();
        assert_eq!(Token::all_moved(&then, now), expected, "{then:?} {now:?}");
    };
    check(&[&two, &one], &[&one, &two], &[]);
    check(&[&one, &three], &[&one, &two], &["the DaemonSet or its manifest"]);
    check(&[&one], &[&one, &two], &["the number of plans"]);
    check(&[&one, &two], &[&one], &["the number of plans"]);
}

#[test]
fn what_was_applied_by_the_server_is_planned_as_it_is_applied_again() {
    let check = |metadata: &Value, waits: &Value, conflict: Option<&str>| {
        let mut fleet = Case::new(2, |_| {}).fleet();
        let live = &mut fleet.daemonsets[0];
        live["spec"]["minReadySeconds"] = 7.into();
        live["metadata"]
            .as_object_mut()
            .expect("an object")
            .extend(metadata.as_object().cloned().expect("one"));
        let change = fleets::change(&fleet, &manifest("agent:2", |_| {})).expect("a good manifest");
        assert_eq!(change.new["spec"]["minReadySeconds"], *waits, "{metadata}");
        let image = &change.new["spec"]["template"]["spec"]["containers"][0]["image"];
        assert_eq!(image, "agent:2", "{metadata}");
        let plan = Plan::make(&fleet, &change, &Options::default()).expect("a plan");
        let told = plan.findings.iter().find(|one| one.kind == FindingKind::Conflicts);
        assert_eq!(told.is_some(), conflict.is_some(), "{metadata}");
        let message = told.map(|one| one.message.as_str()).unwrap_or_default();
        assert!(message.contains(conflict.unwrap_or_default()), "{message}");
        assert!(plan.findings.iter().all(|one| one.kind != FindingKind::NotApplied), "{metadata}");
    };
    let entry = |manager: &str, operation: &str, fields: Value| json!({"manager": manager, "operation": operation, "apiVersion": "apps/v1", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": fields}});
    let managed = |entries: &[Value]| json!({"managedFields": entries, "annotations": {}});
    let waits = entry("everynode", "Apply", json!({"f:minReadySeconds": {}}));
    let also = entry("kubectl-patch", "Update", json!({"f:minReadySeconds": {}}));
    let images =
        json!({"f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"main\"}": {"f:image": {}}}}}});
    let other = entry("kubectl-set", "Update", images);
    check(&managed(std::slice::from_ref(&waits)), &Value::Null, None);
    check(&managed(&[waits.clone(), also]), &json!(7), None);
    check(&managed(&[waits, other]), &Value::Null, Some("conflict with \"kubectl-set\""));
}

#[test]
fn a_daemonset_of_somebody_else_is_told() {
    let fleet_with = |change: fn(&mut Value)| {
        let mut fleet = Case::new(2, |_| {}).fleet();
        change(&mut fleet.daemonsets[0]["metadata"]);
        let change = fleets::change(&fleet, &manifest("agent:2", |_| {})).expect("a good manifest");
        Plan::make(&fleet, &change, &Options::default()).expect("a plan")
    };
    let helm =
        |metadata: &mut Value| metadata["annotations"]["meta.helm.sh/release-name"] = "monitoring".into();
    assert!(found(&fleet_with(helm), FindingKind::ManagedElsewhere).message.contains("release monitoring"));
    let operator = |metadata: &mut Value| {
        metadata["ownerReferences"] = json!([{
            "apiVersion": "nvidia.com/v1", "kind": "ClusterPolicy", "name": "gpu", "uid": "u", "controller": true,
        }]);
    };
    let told = fleet_with(operator);
    assert!(found(&told, FindingKind::ManagedElsewhere).message.contains("ClusterPolicy gpu controls"));
    for (mark, message) in [
        (json!({"labels": {"helm.toolkit.fluxcd.io/name": "logs"}}), "Flux HelmRelease logs"),
        (json!({"labels": {"app.kubernetes.io/managed-by": "addons"}}), "addons manages"),
        (json!({"managedFields": [{"manager": "argocd-controller"}]}), "Argo CD has written"),
    ] {
        let mut fleet = Case::new(2, |_| {}).fleet();
        let metadata = fleet.daemonsets[0]["metadata"].as_object_mut().expect("an object");
        metadata.extend(mark.as_object().expect("an object").clone());
        let change = fleets::change(&fleet, &manifest("agent:2", |_| {})).expect("a good manifest");
        let plan = Plan::make(&fleet, &change, &Options::default()).expect("a plan");
        assert!(found(&plan, FindingKind::ManagedElsewhere).message.contains(message), "{message}");
    }
    let bare = |metadata: &mut Value| {
        metadata["annotations"] = json!({"deprecated.daemonset.template.generation": "1"});
    };
    assert_eq!(found(&fleet_with(bare), FindingKind::NotApplied).severity, Severity::Note);
    let going = |metadata: &mut Value| metadata["deletionTimestamp"] = "2026-09-01T00:00:00Z".into();
    check_unsafe(&fleet_with(going), FindingKind::BeingDeleted, &["is being deleted"]);
}
