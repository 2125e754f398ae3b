//! Plans of roll-outs that a policy conducts: the recorded incidents, waves, gates, halts and what is refused.

// A test may panic anywhere, its helpers too.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::indexing_slicing)]

use everynode_plan::record::{Record, Taint};
use everynode_plan::{Failing, FindingKind, Fleet, Manifest, Options, Plan, Severity, policy};
use everynode_testkit::fleets;
use everynode_testkit::fleets::{Case, change, fixed, found, manifest};
use serde_json::{Value, json};

/// A policy for all DaemonSets of the namespace.
fn policy_of(name: &str, spec: Value) -> Value {
    let mut object = json!({
        "apiVersion": "everynode.dev/v1alpha1",
        "kind": "RolloutPolicy",
        "metadata": {"name": name, "namespace": "default", "uid": "44444444-4444-4444-8444-444444444444",
            "generation": 1},
        "spec": {"selector": {}},
    });
    for (key, value) in spec.as_object().into_iter().flatten() {
        object["spec"][key] = value.clone();
    }
    object
}

/// A fleet with a policy in it.
fn under(mut case: Case, spec: Value) -> Case {
    case.more.push(Record::RolloutPolicy(policy_of("careful", spec)));
    case
}

/// The template tolerates everything, as those of most node agents do.
fn tolerant(spec: &mut Value) {
    spec["template"]["spec"]["tolerations"] = json!([{"operator": "Exists"}]);
}

fn budget(max_unavailable: Value) -> impl Fn(&mut Value) {
    move |spec| {
        tolerant(spec);
        spec["updateStrategy"]["rollingUpdate"] = json!({"maxUnavailable": max_unavailable});
    }
}

fn three_waves() -> Value {
    json!({"maxUnavailable": 2, "waves": [
        {"name": "canary", "nodes": 1, "bakeSeconds": 300, "gate": "Manual"},
        {"name": "some", "nodes": "50%", "bakeSeconds": 60},
        {"nodes": "100%"},
    ]})
}

fn failing(node: usize) -> Options {
    let failing = vec![Failing { node: fleets::node_name(node), after_update: true }];
    Options { failing, ..fixed(20_000, 2_000) }
}

fn check(plan: &Plan, kind: FindingKind, severity: Severity, parts: &[&str]) {
    let finding = found(plan, kind);
    assert_eq!(finding.severity, severity, "{}", plan.to_text());
    let text = plan.to_text();
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

#[test]
fn dead_nodes_neither_use_the_budget_of_a_policy_nor_block_it() {
    let five_percent = budget(json!("5%"));
    let mut case = Case::new(288, &five_percent);
    (0..20).for_each(|index| case.down(index * 14, "Unknown"));
    assert!(!case.plan(&manifest("agent:2", &five_percent)).safe);
    let plan = under(case, json!({})).plan_with(&manifest("agent:2", &five_percent), &fixed(20_000, 2_000));
    assert!(plan.safe, "{}", plan.to_text());
    let conducted = plan.policy.as_ref().expect("a policy");
    assert_eq!((conducted.phase, conducted.max_unavailable, conducted.exempt.len()), ("Complete", 15, 20));
    assert_eq!((plan.unavailable.worst, plan.unavailable.allowed), (35, Some(15)));
    check(&plan, FindingKind::DeadNodes, Severity::Note, &["20 are down", "exempt: n00000"]);
}

#[test]
fn waves_have_their_times_bake_times_and_gates() {
    let case = under(Case::new(6, tolerant), three_waves());
    let plan = case.plan_with(&manifest("agent:2", tolerant), &fixed(20_000, 2_000));
    check(
        &plan,
        FindingKind::WaitsForPromotion,
        Severity::Note,
        &[
            "policy     careful: 3 waves, maxUnavailable 2, stops when 1 node has failed",
            "wave 1 (canary): 1 node, 0s to 22s, then watched for 5m, then promoted by hand",
            "wave 2 (some): 0 nodes, not reached",
            "it waits for promotion after wave 1 of 3 (canary)",
            "until it waits for promotion",
        ],
    );
    assert!(plan.safe && plan.left.len() == 5, "{}", plan.to_text());
    let options = Options { promote: true, ..fixed(20_000, 2_000) };
    let plan = case.plan_with(&manifest("agent:2", tolerant), &options);
    let text = plan.to_text();
    assert!(plan.safe && plan.left.is_empty(), "{text}");
    for part in
        ["wave 2 (some): 2 nodes, 5m 22s to 5m 44s, then watched for 1m", "wave 3: 3 nodes, 6m 44s to"]
    {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

#[test]
fn an_analysis_says_what_it_could_find_and_takes_nothing_for_worse() {
    let waves = json!([{"name": "canary", "nodes": 1}, {"nodes": 20}, {"nodes": "100%"}]);
    let analysis = json!({
        "mode": "Halt", "undecided": "Halt", "settleSeconds": 30, "afterSeconds": 60, "baseline": {"nodes": 5},
    });
    let case = under(
        Case::new(60, tolerant),
        json!({"maxUnavailable": 5, "waves": waves, "analysis": analysis, "failure": {"action": "Rollback"}}),
    );
    let plan = case.plan_with(&manifest("agent:2", tolerant), &fixed(20_000, 2_000));
    let text = plan.to_text();
    assert!(plan.safe && plan.left.is_empty(), "{text}");
    for part in [
        "wave 1 (canary): 1 node, 0s to ",
        ", then watched for 1m 30s",
        "wave 1: 1 node against 59 cannot be judged alone, whatever they show: it takes ",
        "wave 2: 19 nodes against 40: cpu +20 % with ",
        "5 untouched nodes get a fresh pod of the old revision",
    ] {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
    let nodes: usize = plan.waves.iter().map(|wave| wave.nodes.len()).sum();
    assert_eq!(nodes, 60, "{text}");
}

#[test]
fn a_revision_that_fails_halts_at_the_canary_and_goes_back_when_the_policy_says_so() {
    let run = |action: &str| {
        let spec = json!({"waves": [{"name": "canary", "nodes": 1}, {"nodes": "100%"}], "maxUnavailable": 3,
            "failure": {"action": action, "readyWithinSeconds": 120}});
        under(Case::new(9, tolerant), spec).plan_with(&manifest("agent:2", tolerant), &failing(0))
    };
    let plan = run("Pause");
    let said = [
        "halts in wave 1 of 2 (canary) after 2m 2s: 1 node fails, and policy careful halts at 1",
        "n00000 (NotReadyInTime)",
        "then nothing more is replaced",
        "until it halts",
    ];
    check(&plan, FindingKind::Halts, Severity::Unsafe, &said);
    assert_eq!((plan.safe, plan.left.len(), plan.unavailable.worst), (false, 9, 1));
    let plan = run("Rollback");
    check(&plan, FindingKind::Halts, Severity::Unsafe, &["all nodes go back to the last good revision"]);
    assert_eq!(plan.policy.as_ref().map(|one| one.phase), Some("RolledBack"), "{}", plan.to_text());
}

#[test]
fn what_keeps_a_policy_from_acting_is_told() {
    let plan = |spec: Value| {
        under(Case::new(4, tolerant), spec).plan_with(&manifest("agent:2", tolerant), &fixed(20_000, 2_000))
    };
    let paused = plan(json!({"paused": true}));
    check(&paused, FindingKind::Paused, Severity::Note, &["policy careful is paused"]);
    let none = plan(json!({"maxUnavailable": 0}));
    check(&none, FindingKind::Stalls, Severity::Unsafe, &["maxUnavailable is 0"]);
    let short = plan(json!({"waves": [{"nodes": 2}]}));
    check(&short, FindingKind::Stalls, Severity::Unsafe, &["2 nodes out", "until it stalls"]);
    let nowhere = plan(json!({"waves": [
        {"name": "gpu", "nodeSelector": {"matchLabels": {"pool": "gpu"}}}, {"nodes": "100%"},
    ]}));
    check(&nowhere, FindingKind::Stalls, Severity::Unsafe, &["wave 1 of 2 (gpu)", "matches no further node"]);
    let mut case = under(Case::new(4, tolerant), json!({}));
    let mut second = policy_of("other", json!({}));
    second["metadata"]["uid"] = "55555555-5555-4555-8555-555555555555".into();
    case.more.push(Record::RolloutPolicy(second));
    let plan = case.plan(&manifest("agent:2", tolerant));
    check(&plan, FindingKind::PolicyConflict, Severity::Unsafe, &["careful, other"]);
    assert_eq!(plan.left.len(), 4, "{}", plan.to_text());
}

#[test]
fn nodes_that_were_not_well_before_are_exempt() {
    let mut case = Case::new(5, tolerant);
    let cordon = Taint {
        key: "node.kubernetes.io/unschedulable".into(),
        effect: "NoSchedule".into(),
        ..Taint::default()
    };
    case.nodes[1].taints.push(cordon);
    case.pods[3].ready = false;
    case.pods[3].restarts = 7;
    let plan = under(case, json!({})).plan_with(&manifest("agent:2", tolerant), &fixed(20_000, 2_000));
    let text = plan.to_text();
    for part in ["exempt: n00001: the node is cordoned", "exempt: n00003: its pod is not ready"] {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
    assert!(plan.safe && plan.left.is_empty(), "{text}");
}

#[test]
fn a_first_roll_out_goes_in_waves_when_the_policy_says_so() {
    let plan = |spec: Value| {
        let mut case = under(Case::new(6, tolerant), spec);
        (case.daemonset, case.pods) = (None, Vec::new());
        case.plan_with(&manifest("agent:1", tolerant), &fixed(20_000, 2_000))
    };
    let waves = json!([{"nodes": 1, "bakeSeconds": 60}, {"nodes": "100%"}]);
    let at_once = plan(json!({"waves": waves, "maxUnavailable": 2}));
    assert_eq!(at_once.waves[0].nodes.len(), 6, "{}", at_once.to_text());
    assert!(at_once.to_text().contains("careful: a first roll-out without waves"), "{}", at_once.to_text());
    let in_waves = plan(json!({"waves": waves, "maxUnavailable": 2, "firstRollout": "Waves"}));
    assert_eq!(in_waves.waves[0].nodes.len(), 1, "{}", in_waves.to_text());
    assert!(in_waves.safe && in_waves.left.is_empty(), "{}", in_waves.to_text());
}

#[test]
fn the_way_back_to_the_last_good_revision_has_no_waves() {
    let mut case = Case::new(6, tolerant);
    for pod in &mut case.pods[..3] {
        pod.labels.insert("controller-revision-hash", "two");
    }
    let mut policy = policy_of("careful", three_waves());
    policy["status"] = json!({"observedGeneration": 1, "daemonSets": {"agent": {
        "phase": "Progressing", "revision": "two", "lastGoodRevision": fleets::HASH, "wave": 2,
    }}});
    case.more.push(Record::RolloutPolicy(policy));
    let mut fleet = case.fleet();
    fleet.daemonsets[0]["spec"]["template"]["spec"]["containers"][0]["image"] = "agent:2".into();
    let change = change(&fleet, &manifest("agent:1", tolerant)).expect("a good manifest");
    let plan = Plan::make(&fleet, &change, &fixed(20_000, 2_000)).expect("a plan");
    let (text, policy) = (plan.to_text(), plan.policy.as_ref().expect("a policy"));
    assert!(plan.safe && plan.left.is_empty() && policy.is_return && policy.waves.is_empty(), "{text}");
    assert!(text.contains("nodes go back to the last good revision: within maxUnavailable 2"), "{text}");
}

#[test]
fn pods_of_the_last_good_revision_need_what_they_needed() {
    let spec = json!({"maxUnavailable": 3, "failure": {"action": "Rollback", "readyWithinSeconds": 120}});
    let case = under(Case::new(9, tolerant), spec);
    let plan = case.plan_with(
        &manifest("agent:2", |spec| {
            tolerant(spec);
            spec["template"]["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "5"}});
        }),
        &fixed(20_000, 2_000),
    );
    check(&plan, FindingKind::Halts, Severity::Unsafe, &["all nodes go back to the last good revision"]);
    check(&plan, FindingKind::NoRoom, Severity::Unsafe, &["does not fit on 9 nodes: Insufficient cpu"]);
}

/// Plans a manifest of several objects.
fn plan_of(case: &Case, objects: &[Value]) -> Result<Plan, Vec<String>> {
    let text: Vec<String> = objects.iter().map(Value::to_string).collect();
    let read = Manifest::read("new.yaml", &text.join("\n---\n"), "default");
    assert_eq!(read.problems, Vec::<String>::new());
    let mut fleet: Fleet = case.fleet();
    policy::apply(&mut fleet.policies, &read.policies)?;
    let change = change(&fleet, &read.daemonsets[0].object)?;
    Ok(Plan::make(&fleet, &change, &fixed(20_000, 2_000)).expect("a plan"))
}

#[test]
fn a_policy_of_the_manifest_is_planned_with() {
    let case = Case::new(6, tolerant);
    let daemonset = manifest("agent:2", tolerant);
    let new = plan_of(&case, &[policy_of("new", three_waves()), daemonset.clone()]).expect("good");
    found(&new, FindingKind::WaitsForPromotion);
    let case = under(case, three_waves());
    let changed = plan_of(&case, &[daemonset.clone(), policy_of("careful", json!({}))]).expect("good");
    assert!(changed.safe && changed.left.is_empty(), "{}", changed.to_text());
    let kept = plan_of(&case, std::slice::from_ref(&daemonset)).expect("good");
    let moved = kept.token.moved(&changed.token);
    assert_eq!(moved, ["the DaemonSet or its manifest"]);
    for (spec, refusal) in [
        (json!({"waves": [{"nodes": 1, "nodeSelector": {}}]}), "waves[0]: Invalid value: exactly one of"),
        (json!({"maxUnavailable": "200%"}), "spec.maxUnavailable: Invalid value: \"200%\""),
        (json!({"selector": null}), "spec.selector: "),
        (json!({"failure": {"budget": -1}}), "spec.failure.budget: "),
        (json!({"failure": {"action": "Explode"}}), "supported values: \"Pause\", \"Rollback\""),
        (json!({"maxUnavailible": 1}), "unknown field \"spec.maxUnavailible\""),
    ] {
        let refused = plan_of(&case, &[policy_of("careful", spec), daemonset.clone()]).expect_err("refused");
        assert!(refused[0].contains(refusal), "{refused:?}");
    }
}

#[test]
fn every_update_strategy_is_conducted() {
    let check = |strategy: Value, worst: u32| {
        let change = |spec: &mut Value| {
            tolerant(spec);
            spec["updateStrategy"] = strategy.clone();
        };
        let spec =
            json!({"waves": [{"nodes": 1, "bakeSeconds": 30}, {"nodes": "100%"}], "maxUnavailable": 2});
        let plan =
            under(Case::new(5, change), spec).plan_with(&manifest("agent:2", change), &fixed(20_000, 2_000));
        let text = plan.to_text();
        assert!(plan.safe && plan.left.is_empty() && plan.unavailable.worst == worst, "{text}");
        let waves: Vec<usize> =
            plan.policy.iter().flat_map(|one| &one.waves).map(|wave| wave.nodes.len()).collect();
        assert_eq!(waves, [1, 4], "{text}");
    };
    check(json!({"type": "OnDelete"}), 2);
    check(json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}}), 2);
    check(json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}), 0);
}
