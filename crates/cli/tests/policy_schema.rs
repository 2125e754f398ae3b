//! The schema of RolloutPolicy has the fields that the engine reads and writes, and no others.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a test may panic")]

mod common;

use std::sync::{Arc, Mutex};

use common::agent::Agent;
use common::bare::Bare;
use common::native::DEFINITION;
use common::over::over;
use common::{LIMIT, eventually, get};
use everynode_api::{AnalysisSpec, AnalysisStatus};
use everynode_apimachinery::definition;
use everynode_client::Method;
use everynode_controller::{Controller, ControllerConfig, Limits};
use everynode_engine::IntOrPercent;
use everynode_engine::policy::{Domain, PolicySpec, Wave, WaveNodes};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

fn definition() -> Value {
    everynode_apimachinery::manifest::documents(DEFINITION).remove(0).unwrap().value
}

/// The object as the API server keeps it, which takes out what the schema does not have.
#[track_caller]
fn kept(object: &Value) -> Value {
    let resource = definition::resources(&definition()).unwrap().remove(0);
    let decoded = resource.custom.unwrap().decode(object.to_string().as_bytes()).unwrap();
    assert_eq!(decoded.problems, Vec::<String>::new(), "{object}");
    decoded.value
}

/// A policy that says all that can be said.
fn full() -> Value {
    let selector = json!({
        "matchLabels": {"app": "agent"},
        "matchExpressions": [{"key": "team", "operator": "In", "values": ["a", "b"]}],
    });
    json!({
        "selector": selector,
        "paused": true,
        "maxUnavailable": "10%",
        "domain": {"label": "zone", "maxUnavailable": 2},
        "order": ["zone"],
        "waves": [
            {"name": "canary", "nodes": 3, "bakeSeconds": 7, "gate": "Manual"},
            {"name": "zone", "nodeSelector": selector},
            {"nodes": "100%"},
        ],
        "failure": {
            "budget": "2%", "action": "Rollback", "rewriteTemplate": true, "readyWithinSeconds": 11,
            "nodeWindowSeconds": 13,
        },
        "firstRollout": "Waves",
        "progressDeadlineSeconds": 17,
        "analysis": {
            "mode": "Halt", "falseHalts": "2%", "beforeSeconds": 19, "settleSeconds": 23, "afterSeconds": 29,
            "strata": ["type"], "baseline": {"nodes": 31}, "undecided": "Wait", "maxBakeSeconds": 37,
            "signals": [
                {"name": "memory", "worseBy": "41%", "harm": "43%", "floor": "47Mi"},
                {"name": "metricRate", "metric": "errors_total", "port": "http", "path": "/m", "floor": "53"},
            ],
        },
    })
}

#[test]
fn what_the_engine_reads_of_a_policy_is_in_the_schema_and_the_other_way_round() {
    let kept = kept(&json!({"metadata": {"name": "p", "namespace": "n"}, "spec": full()}));
    assert_eq!(unused(&schema("spec"), &[&full()], "spec"), Vec::<String>::new());
    let (read, default) = (PolicySpec::from_json(&kept["spec"]), PolicySpec::from_json(&json!({})));
    assert_eq!(read, PolicySpec::from_json(&full()));
    // A field that is new in the engine does not compile here, until `full` has it.
    let PolicySpec {
        selector,
        paused,
        max_unavailable,
        domain,
        order,
        waves,
        failure_budget,
        on_failure,
        rewrite_template,
        ready_within_seconds,
        node_window_seconds,
        paces_creations,
        progress_deadline_seconds,
        analysis,
    } = read;
    assert_ne!(selector, default.selector);
    assert_ne!(paused, default.paused);
    assert_ne!(max_unavailable, default.max_unavailable);
    assert_ne!(order, default.order);
    assert_ne!(failure_budget, default.failure_budget);
    assert_ne!(on_failure, default.on_failure);
    assert_ne!(rewrite_template, default.rewrite_template);
    assert_ne!(ready_within_seconds, default.ready_within_seconds);
    assert_ne!(node_window_seconds, default.node_window_seconds);
    assert_ne!(paces_creations, default.paces_creations);
    assert_ne!(progress_deadline_seconds, default.progress_deadline_seconds);
    assert_analysis_is_read(&analysis.unwrap());
    let Domain { label, max_unavailable } = domain.unwrap();
    assert_eq!((label.as_str(), max_unavailable), ("zone", IntOrPercent::Int(2)));
    let Wave { name, nodes, bake_seconds, gate } = &waves[0];
    assert_eq!((name.as_str(), *bake_seconds), ("canary", 7));
    assert_ne!(*gate, default.waves[0].gate);
    assert_ne!(*nodes, default.waves[0].nodes);
    assert_eq!(waves[1].nodes, WaveNodes::Selector(selector));
}

/// Nothing of the analysis is as it is assumed.
fn assert_analysis_is_read(analysis: &AnalysisSpec) {
    let assumed = AnalysisSpec::from_json(&json!({}));
    let AnalysisSpec {
        mode,
        false_halts,
        before_seconds,
        settle_seconds,
        after_seconds,
        strata,
        baseline_nodes,
        undecided,
        max_bake_seconds,
        signals,
    } = analysis;
    assert_ne!(*mode, assumed.mode);
    assert_ne!(*false_halts, assumed.false_halts);
    assert_ne!(*undecided, assumed.undecided);
    assert_eq!((*before_seconds, *settle_seconds, *after_seconds, *max_bake_seconds), (19, 23, 29, 37));
    assert_eq!((strata.as_slice(), *baseline_nodes), (["type".to_owned()].as_slice(), 31));
    assert_eq!((signals.len(), signals[0].floor), (2, 47.0 * 1024.0 * 1024.0));
    assert_ne!(signals[0].rule, signals[0].signal.default_rule());
}

/// Part of the schema.
fn schema(field: &str) -> Value {
    definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"][field].clone()
}

/// The fields of a schema that none of the values has.
fn unused(schema: &Value, values: &[&Value], path: &str) -> Vec<String> {
    if values.is_empty() {
        return vec![path.to_owned()];
    }
    let items: Vec<&Value> = values.iter().filter_map(|value| value.as_array()).flatten().collect();
    let of_items = schema.get("items").map(|of| unused(of, &items, &format!("{path}[]")));
    let objects = || values.iter().filter_map(|value| value.as_object());
    let inner: Vec<&Value> = objects().flat_map(|object| object.values()).collect();
    let of_inner = schema.get("additionalProperties").map(|of| unused(of, &inner, &format!("{path}.*")));
    let of_fields = schema["properties"].as_object().into_iter().flatten().flat_map(|(name, of)| {
        let inner: Vec<&Value> = objects().filter_map(|object| object.get(name)).collect();
        unused(of, &inner, &format!("{path}.{name}"))
    });
    of_items.into_iter().chain(of_inner).flatten().chain(of_fields).collect()
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let there = fields.iter().filter(|(_, value)| !value.is_null());
            there.map(|(name, value)| (name.clone(), without_nulls(value))).collect()
        }
        other => other.clone(),
    }
}

/// A canary that bakes, one that waits for promotion, a node that was broken before, and an image that cannot be pulled: all that a status can say.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_controller_writes_to_a_status_is_in_the_schema_and_the_other_way_round() {
    let bare = Bare::start_on(None, 4).await;
    let written = Arc::new(Mutex::new(Vec::<Value>::new()));
    let seen = written.clone();
    let client = over(bare.client.clone(), move |method, path, body| {
        if *method == Method::PATCH && path.contains("/rolloutpolicies/") && path.contains("/status") {
            seen.lock().unwrap().push(serde_json::from_slice(body).unwrap());
        }
        true
    });
    // Lists are cut, so that what stands in for them is written too.
    let limits = Limits { policy_status_names: 1, ..Limits::default() };
    let config = ControllerConfig { limits, ..ControllerConfig::default() };
    let controller = tokio::spawn(Controller::run(client, config, CancellationToken::new()));
    bare.create_daemonset("agent", json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 2}}))
        .await;
    let agent = Agent { client: bare.client.clone(), namespace: bare.namespace.clone() };
    let canary = json!({"name": "canary", "nodes": 1, "bakeSeconds": 1});
    let analysis = json!({
        "beforeSeconds": 10, "settleSeconds": 0, "afterSeconds": 5, "signals": [{"name": "restarts"}],
    });
    let spec = json!({"selector": {}, "waves": [canary, {"nodes": "100%"}], "analysis": analysis});
    agent.policy("careful", spec).await;
    let first = agent.phase("careful", "Complete").await["revision"].clone();
    let crash = json!({"metadata": {"annotations": {"simulate.everynode.dev/crash": "true"}}});
    let pods = get(&bare.client, &bare.pods()).await;
    let is_on_node_4 = |pod: &&Value| pod["spec"]["nodeName"] == "node-4";
    let pod = pods["items"].as_array().unwrap().iter().find(is_on_node_4).unwrap();
    agent.merge(&format!("{}/{}", bare.pods(), pod["metadata"]["name"].as_str().unwrap()), crash).await;
    agent.merge("/api/v1/nodes/node-4", json!({"spec": {"unschedulable": true}})).await;
    eventually("one is broken", LIMIT, async || {
        let status = get(&bare.client, &agent.daemonset()).await["status"].clone();
        if status["numberAvailable"] == 3 { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    agent.image("example/agent:2").await;
    let second = agent.phase_after(&first, "Complete").await["revision"].clone();
    let gated = json!([{"name": "canary", "nodes": 1, "gate": "Manual"}, {"nodes": "100%"}]);
    agent.merge(&agent.policies("careful"), json!({"spec": {"waves": gated}})).await;
    agent.image("example/agent:3").await;
    let third = agent.phase_after(&second, "WaitingForPromotion").await["revision"].clone();
    agent.image("example/agent:non-existent").await;
    agent.phase_after(&third, "Halted").await;
    controller.abort();
    let mut statuses: Vec<Value> =
        written.lock().unwrap().iter().map(|patch| without_nulls(&patch["status"])).collect();
    // To show that a revision is worse takes more nodes than there are here.
    let (common, worst_nodes) = (Some("zone=a".to_owned()), vec!["node-1".to_owned()]);
    let worse = AnalysisStatus { common, worst_nodes, ..AnalysisStatus::default() };
    statuses.push(json!({"daemonSets": {"agent": {"analysis": without_nulls(&worse.to_json())}}}));
    for status in &statuses {
        let metadata = json!({"name": "p", "namespace": "n"});
        kept(&json!({"metadata": metadata, "spec": {"selector": {}}, "status": status}));
    }
    let all: Vec<&Value> = statuses.iter().collect();
    assert_eq!(unused(&schema("status"), &all, "status"), Vec::<String>::new());
}
