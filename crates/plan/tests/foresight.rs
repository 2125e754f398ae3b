//! The pod that is planned is the one that the API server would make: what it fills in counts, and what it refuses is
//! foreseen.

// A test may panic anywhere, its helpers too.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::indexing_slicing)]

use everynode_admission::Kind;
use everynode_plan::file::{Header, VERSION, Writer};
use everynode_plan::record::{Need, Record, Taken};
use everynode_plan::{Change, FindingKind, Fleet, Manifest, Options, Plan, Severity};
use everynode_testkit::fleets::{Case, NOW, change, found, manifest, node_name};
use serde_json::{Value, json};

/// Three empty nodes with 4 cpu and 8 GiB.
fn empty() -> Case {
    let mut case = Case::new(3, |_| {});
    case.pods.clear();
    case.daemonset = None;
    case
}

/// The manifest of `agent` with these fields of its pods' spec.
fn agent(fields: Value) -> Value {
    manifest("agent:1", |spec| lay_over(&mut spec["template"]["spec"], &fields))
}

fn lay_over(target: &mut Value, fields: &Value) {
    for (key, value) in fields.as_object().expect("an object") {
        target[key] = value.clone();
    }
}

fn with_resources(resources: Value) -> Value {
    agent(json!({"containers": [{"name": "main", "image": "agent:1", "resources": resources}]}))
}

fn around(kind: Kind, name: &str, fields: Value) -> Record {
    let mut object = json!({"metadata": {"name": name, "namespace": "default"}});
    lay_over(&mut object, &fields);
    Record::Around(kind, object)
}

fn check(case: &Case, manifest: &Value, expected: Option<(FindingKind, &str)>) {
    let plan = case.plan(manifest);
    let Some((kind, part)) = expected else {
        return assert!(plan.safe, "{}", plan.to_text());
    };
    let finding = found(&plan, kind);
    assert!(!plan.safe && finding.severity == Severity::Unsafe, "{}", plan.to_text());
    assert!(finding.message.contains(part), "{:?} does not tell {part:?}", finding.message);
}

#[test]
fn limits_become_requests() {
    let case = empty();
    let too_much = Some((FindingKind::NoRoom, "3 nodes: Insufficient cpu"));
    check(&case, &with_resources(json!({"limits": {"cpu": "5"}})), too_much);
    check(&case, &with_resources(json!({"limits": {"cpu": "5"}, "requests": {"cpu": "1"}})), None);
    let gpu = Some((FindingKind::NoRoom, "3 nodes: Insufficient example.com/gpu"));
    check(&case, &with_resources(json!({"limits": {"example.com/gpu": "1"}})), gpu);
    check(&case, &agent(json!({"resources": {"limits": {"cpu": "5"}}})), too_much);
}

#[test]
fn a_limit_range_gives_defaults_and_sets_bounds() {
    let range = |limit: Value| {
        let mut case = empty();
        case.more.push(around(Kind::LimitRange, "range", json!({"spec": {"limits": [limit]}})));
        case
    };
    let plain = agent(json!({}));
    let too_much = Some((FindingKind::NoRoom, "3 nodes: Insufficient cpu"));
    check(&range(json!({"type": "Container", "defaultRequest": {"cpu": "5"}})), &plain, too_much);
    check(&range(json!({"type": "Container", "defaultRequest": {"cpu": "1"}})), &plain, None);
    let most = json!({"type": "Container", "max": {"cpu": "1"}});
    let over = "maximum cpu usage per Container is 1, but limit is 2";
    let asks = with_resources(json!({"limits": {"cpu": "2"}}));
    check(&range(most.clone()), &asks, Some((FindingKind::Refused, over)));
    check(&range(most), &with_resources(json!({"limits": {"cpu": "1"}})), None);
    let least = json!({"type": "Pod", "min": {"memory": "1Gi"}});
    let none = "minimum memory usage per Pod is 1Gi.  No request is specified";
    check(&range(least), &plain, Some((FindingKind::Refused, none)));
    let ratio = json!({"type": "Container", "maxLimitRequestRatio": {"cpu": "2"}});
    let wide = with_resources(json!({"limits": {"cpu": "3"}, "requests": {"cpu": "1"}}));
    check(&range(ratio), &wide, Some((FindingKind::Refused, "provided ratio is 3.000000")));
}

#[test]
fn a_runtime_class_adds_overhead_and_a_node_selector() {
    let with_class = |class: Value| {
        let mut case = empty();
        case.more.push(around(Kind::RuntimeClass, "sandbox", class));
        case
    };
    let sandboxed = agent(json!({"runtimeClassName": "sandbox"}));
    let missing = "RuntimeClass \"sandbox\" not found";
    check(&empty(), &sandboxed, Some((FindingKind::Refused, missing)));
    check(&with_class(json!({})), &sandboxed, None);
    let heavy = json!({"overhead": {"podFixed": {"memory": "9Gi"}}});
    let too_much = Some((FindingKind::NoRoom, "3 nodes: Insufficient memory"));
    check(&with_class(heavy), &sandboxed, too_much);
    let elsewhere = json!({"scheduling": {"nodeSelector": {"sandbox": "yes"}}});
    let unfit = "3 nodes: node(s) didn't match Pod's node affinity/selector";
    check(&with_class(elsewhere), &sandboxed, Some((FindingKind::NoRoom, unfit)));
}

#[test]
fn ports_of_pods_on_the_hosts_network_are_ports_of_the_node() {
    let fields = json!({"hostNetwork": true, "containers": [
        {"name": "main", "image": "agent:1", "ports": [{"containerPort": 9000}]},
    ]});
    let mut case = empty();
    let ports = vec![(9000, "TCP".into(), "".into())];
    let need = Need { ports, ..Need::default() };
    case.more.push(Record::Taken(Taken {
        node: node_name(1),
        pods: 1,
        need: need.clone(),
        ..Taken::default()
    }));
    let clash = "1 node: node(s) didn't have free ports";
    check(&case, &agent(fields.clone()), Some((FindingKind::NoRoom, clash)));
    // In a surge the old pods of its own hold them.
    let surge = |image: &'static str| {
        let mut surge = agent(fields.clone());
        surge["spec"]["updateStrategy"]["rollingUpdate"] = json!({"maxSurge": 1, "maxUnavailable": 0});
        surge["spec"]["template"]["spec"]["containers"][0]["image"] = image.into();
        surge
    };
    let mut case = Case::new(3, |_| {});
    case.daemonset = Some(surge("agent:1"));
    case.pods.iter_mut().for_each(|pod| pod.need = need.clone().into());
    check(&case, &surge("agent:2"), Some((FindingKind::SurgeHostPorts, "host ports that the old ones hold")));
}

#[test]
fn a_pod_without_its_service_account_is_refused() {
    let wants = agent(json!({"serviceAccountName": "agent"}));
    let missing = "serviceaccount \"agent\" not found";
    check(&empty(), &wants, Some((FindingKind::Refused, missing)));
    let mut case = empty();
    case.more.push(around(Kind::ServiceAccount, "agent", json!({})));
    check(&case, &wants, None);
    let mut elsewhere = empty();
    let other = json!({"metadata": {"name": "agent", "namespace": "other"}});
    elsewhere.more.push(Record::Around(Kind::ServiceAccount, other));
    check(&elsewhere, &wants, Some((FindingKind::Refused, missing)));
}

#[test]
fn quotas_count_the_pods_in_their_scopes() {
    let quota = |spec: Value| {
        let mut case = empty();
        let status = json!({"hard": spec["hard"], "used": {"pods": "0"}});
        case.more.push(around(Kind::ResourceQuota, "few", json!({"spec": spec, "status": status})));
        case
    };
    let refused =
        Some((FindingKind::Quota, "exceeded quota: few, requested: pods=1, used: pods=2, limited: pods=2"));
    let plain = agent(json!({}));
    check(&quota(json!({"hard": {"pods": "2"}})), &plain, refused);
    check(&quota(json!({"hard": {"pods": "3"}})), &plain, None);
    check(&quota(json!({"hard": {"pods": "2"}, "scopes": ["BestEffort"]})), &plain, refused);
    let burstable = with_resources(json!({"requests": {"cpu": "100m"}}));
    check(&quota(json!({"hard": {"pods": "2"}, "scopes": ["BestEffort"]})), &burstable, None);
    let by_class =
        json!({"scopeName": "PriorityClass", "operator": "In", "values": ["system-node-critical"]});
    let critical = quota(json!({"hard": {"pods": "2"}, "scopeSelector": {"matchExpressions": [by_class]}}));
    check(&critical, &plain, None);
    check(&critical, &agent(json!({"priorityClassName": "system-node-critical"})), refused);
    let silent = "failed quota: few: must specify limits.memory for: main";
    check(&quota(json!({"hard": {"limits.memory": "9Gi"}})), &plain, Some((FindingKind::Quota, silent)));
}

#[test]
fn a_pod_that_goes_gives_back_what_it_took_of_a_quota() {
    let resources = json!({"limits": {"memory": "1Gi"}});
    let mut case = Case::new(3, |_| {});
    case.daemonset = Some(with_resources(resources.clone()));
    let spec = json!({"hard": {"limits.memory": "3Gi"}});
    let status = json!({"hard": spec["hard"], "used": {"limits.memory": "3Gi"}});
    case.more.push(around(Kind::ResourceQuota, "tight", json!({"spec": spec, "status": status})));
    let mut next = with_resources(resources);
    next["spec"]["template"]["spec"]["containers"][0]["image"] = "agent:2".into();
    check(&case, &next, None);
}

#[test]
fn what_is_too_long_is_refused() {
    let name = |length: usize| {
        let mut named = agent(json!({}));
        let parts: Vec<String> = (0..length).map(|at| if at % 50 == 49 { "." } else { "a" }.into()).collect();
        named["metadata"]["name"] = parts.concat().into();
        named
    };
    let too_long = "the revision that pods are made from is refused, so 3 nodes get none";
    check(&empty(), &name(252), Some((FindingKind::Refused, too_long)));
    check(&empty(), &name(240), None);
    let fleet = empty().fleet();
    let refusals = |manifest: &Value| change(&fleet, manifest).map(drop).map_err(|why| why.join("\n"));
    let annotated = |bytes: usize| {
        let mut annotated = agent(json!({}));
        annotated["spec"]["template"]["metadata"]["annotations"] = json!({"a": "x".repeat(bytes)});
        annotated
    };
    let told = refusals(&annotated(262_144)).expect_err("it is too long");
    assert!(told.contains("spec.template.annotations: Too long"), "{told}");
    // The manifest itself becomes an annotation.
    let told = refusals(&annotated(262_000)).expect_err("it is too long");
    assert!(told.contains("metadata.annotations: Too long") && !told.contains("template"), "{told}");
    assert_eq!(refusals(&annotated(200_000)), Ok(()));
    let live = Case::new(3, |_| {}).fleet();
    let told = change(&live, &annotated(262_000)).expect_err("it is too long for an update").join("\n");
    assert!(told.contains("metadata.annotations: Too long"), "{told}");
}

/// What applying a manifest with several objects to a fleet makes of its DaemonSet.
fn plan_of(fleet: &mut Fleet, objects: &[Value]) -> Result<Plan, Vec<String>> {
    let text: Vec<String> = objects.iter().map(Value::to_string).collect();
    let read = Manifest::read("all.yaml", &text.join("\n---\n"), "default");
    assert_eq!((read.problems.len(), read.ignored.len()), (0, 0), "{read:?}");
    fleet.surroundings.apply(&read.surroundings)?;
    let change = Change::of(&read.daemonsets[0], fleet)?;
    Ok(Plan::make(fleet, &change, &Options::default()).expect("a plan"))
}

#[test]
fn what_the_same_manifest_brings_is_there() {
    let mut all = agent(json!({
        "priorityClassName": "agents", "serviceAccountName": "agent", "runtimeClassName": "sandbox",
    }));
    all["metadata"]["namespace"] = "agents".into();
    let brought = [
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "agents"}}),
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "agent", "namespace": "agents"}}),
        json!({
            "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "agents"}, "value": 7,
        }),
        json!({
            "apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "sandbox"}, "handler": "gv",
            "overhead": {"podFixed": {"cpu": "10m"}},
        }),
        all,
    ];
    let plan = plan_of(&mut empty().fleet(), &brought).expect("it is good");
    assert!(plan.safe, "{}", plan.to_text());
    let without = |missing: usize| {
        let mut some = brought.to_vec();
        some.remove(missing);
        plan_of(&mut empty().fleet(), &some)
    };
    let plan = without(0).expect("it is good");
    assert!(plan.safe, "{}", plan.to_text());
    assert!(
        found(&plan, FindingKind::NoNamespace).message.contains("no namespace agents"),
        "{}",
        plan.to_text()
    );
    for (missing, part) in [
        (1, "serviceaccount \"agent\" not found"),
        (2, "no PriorityClass with name agents"),
        (3, "RuntimeClass \"sandbox\" not found"),
    ] {
        let plan = without(missing).expect("the DaemonSet is good");
        assert!(
            !plan.safe && found(&plan, FindingKind::Refused).message.contains(part),
            "{}",
            plan.to_text()
        );
    }
    let mut wrong = brought.clone();
    wrong[2]["value"] = json!(2_000_000_000);
    let told = plan_of(&mut empty().fleet(), &wrong).expect_err("the value is too high").join("\n");
    assert!(told.contains("maximum allowed value"), "{told}");
}

#[test]
fn pods_of_the_default_priority_class_push_others_out() {
    let mut case = empty();
    let need = Need { cpu_millis: 4000, ..Need::default() };
    case.more.push(Record::Taken(Taken { node: node_name(0), pods: 1, need, ..Taken::default() }));
    let asks = with_resources(json!({"limits": {"cpu": "1"}}));
    check(&case, &asks, Some((FindingKind::NoRoom, "1 node: Insufficient cpu")));
    let class = json!({"value": 5, "globalDefault": true});
    case.more.push(around(Kind::PriorityClass, "usual", class));
    let plan = case.plan(&asks);
    assert!(plan.safe, "{}", plan.to_text());
    found(&plan, FindingKind::PushesOut);
}

#[test]
fn a_scheduler_that_has_put_no_pod_anywhere_is_told() {
    let theirs = agent(json!({"schedulerName": "theirs"}));
    let mut case = empty();
    check(&case, &theirs, Some((FindingKind::NotScheduled, "schedulerName is theirs")));
    let schedulers = ["theirs".to_owned()].into();
    case.more.push(Record::Taken(Taken { node: node_name(0), pods: 1, schedulers, ..Taken::default() }));
    check(&case, &theirs, None);
}

#[test]
fn orphans_of_another_template_that_count_as_updated_are_told() {
    let mut case = Case::new(3, |_| {});
    case.daemonset = None;
    case.pods.iter_mut().for_each(|pod| pod.daemon_set = None);
    let plan = case.plan(&manifest("agent:2", |_| {}));
    let told = found(&plan, FindingKind::CountsAsUpdated);
    assert_eq!(
        (told.severity, told.nodes.len(), plan.waves.len()),
        (Severity::Note, 3, 0),
        "{}",
        plan.to_text()
    );
    // Of the same template, with the revision that was left behind with them, they are updated indeed.
    let mut same = Case::new(3, |_| {});
    same.pods.iter_mut().for_each(|pod| pod.daemon_set = None);
    let mut records = same.records();
    records.retain(|record| !matches!(record, Record::DaemonSet(_)));
    for record in &mut records {
        if let Record::Revision(revision) = record {
            revision.daemon_set = String::new();
        }
    }
    let wanted = [("default".to_owned(), "agent".to_owned())];
    let fleet = Fleet::from_records(records, &wanted, NOW * 1000);
    let unchanged = change(&fleet, &manifest("agent:1", |_| {})).expect("it is good");
    let plan = Plan::make(&fleet, &unchanged, &Options::default()).expect("a plan");
    assert!(plan.findings.is_empty() && plan.waves.is_empty(), "{}", plan.to_text());
    // Of another generation they are replaced like any old pod.
    let label = |pod: &mut everynode_plan::record::Pod| {
        pod.labels.insert("pod-template-generation", "7");
    };
    case.pods.iter_mut().for_each(label);
    let plan = case.plan(&manifest("agent:2", |_| {}));
    assert!(plan.findings.iter().all(|one| one.kind != FindingKind::CountsAsUpdated), "{}", plan.to_text());
    assert_eq!(plan.waves.iter().map(|wave| wave.nodes.len()).sum::<usize>(), 3);
}

#[test]
fn what_an_older_snapshot_does_not_hold_is_taken_as_there_and_told() {
    let wanted = [("default".to_owned(), "agent".to_owned())];
    let plan = |format: u32| {
        let header = Header { format, taken_at: NOW, salt: String::new(), writer: "test".into() };
        let mut writer = Writer::new(Vec::new(), header).expect("it begins");
        empty().records().iter().for_each(|record| writer.write(record).expect("it is written"));
        let (bytes, _) = writer.finish(Vec::new()).expect("it ends");
        let fleet = Fleet::from_file(&bytes[..], &wanted).expect("it is read");
        let change = change(&fleet, &agent(json!({"serviceAccountName": "agent"}))).expect("it is good");
        Plan::make(&fleet, &change, &Options::default()).expect("a plan")
    };
    assert!(!plan(VERSION).safe, "there is no such account");
    let older = plan(2);
    assert!(older.safe, "{}", older.to_text());
    let told = found(&older, FindingKind::NotSeen);
    assert!(told.message.contains("the snapshot has format 2"), "{told:?}");
}
