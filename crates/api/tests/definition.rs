//! The types say what the definition of the kind says: each field of its schema is read, and nothing else is written.
#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

use std::collections::BTreeSet;

use everynode_analysis::Verdict;
use everynode_api::rollout_policy::DEFINITION;
use everynode_api::{
    AnalysisStatus, Condition, FailedNode, PolicyPhase, PolicySpec, PolicyStatus, RolloutPhase,
    RolloutStatus, SignalStatus,
};
use serde_json::{Value, json};

fn definition() -> Value {
    everynode_apimachinery::manifest::documents(DEFINITION).remove(0).unwrap().value
}

fn schema_of(part: &str) -> Value {
    let version = definition()["spec"]["versions"][0].clone();
    version["schema"]["openAPIV3Schema"]["properties"][part].clone()
}

/// The paths of all fields of a schema, with their types; items of lists and values of maps are `*`.
fn fields(schema: &Value, path: &str, found: &mut BTreeSet<(String, String)>) {
    let kind = match schema["x-kubernetes-int-or-string"] == true {
        true => "integer",
        false => schema["type"].as_str().unwrap(),
    };
    if !path.is_empty() {
        found.insert((path.to_owned(), kind.to_owned()));
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        fields(property, &format!("{path}.{name}"), found);
    }
    for key in ["items", "additionalProperties"] {
        if schema[key].is_object() {
            fields(&schema[key], &format!("{path}.*"), found);
        }
    }
}

/// The same of a value, whose lists and maps have one item.
fn fields_of(value: &Value, path: &str, is_map: bool, found: &mut BTreeSet<(String, String)>) {
    let kind = match value {
        Value::Object(_) => "object",
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::Null => panic!("{path} says nothing"),
    };
    if !path.is_empty() {
        found.insert((path.to_owned(), kind.to_owned()));
    }
    for (name, field) in value.as_object().into_iter().flatten() {
        let name = if is_map { "*" } else { name };
        fields_of(field, &format!("{path}.{name}"), name == "daemonSets", found);
    }
    for item in value.as_array().into_iter().flatten() {
        fields_of(item, &format!("{path}.*"), false, found);
    }
}

fn full_analysis() -> AnalysisStatus {
    let signal = SignalStatus {
        name: "cpu".into(),
        verdict: Some(Verdict::Worse),
        message: "cpu is higher".into(),
        nodes: 20,
        controls: 400,
        chance_one_in: 240,
        evidence: "0.5 -1e-3".into(),
    };
    AnalysisStatus {
        verdict: Some(Verdict::Worse),
        basis: "Randomised".into(),
        message: "cpu is higher".into(),
        signals: vec![signal],
        common: Some("zone=a".into()),
        worst_nodes: vec!["d".into()],
        frontier: Some("00ff".into()),
        pool_end: Some("01ff".into()),
    }
}

/// A status in which nothing is left out.
fn full_status() -> PolicyStatus {
    let failed = FailedNode { node: "a".into(), reason: "PodFailed".into(), at: Some(1) };
    let rollout = RolloutStatus {
        revision: Some("new".into()),
        last_good_revision: Some("old".into()),
        last_good_data: Some("sum".into()),
        phase: RolloutPhase::Baking,
        message: "bakes".into(),
        promotion: Some("abc/2".to_owned()),
        wave: 2,
        waves: 3,
        wave_name: Some("half".into()),
        wave_done_at: Some(2),
        attempt: 4,
        aborted: true,
        desired: 5,
        updated: 6,
        available: 7,
        unavailable: 8,
        max_unavailable: 9,
        waiting: 10,
        failed: 11,
        failure_budget: 12,
        exempt: 13,
        failed_nodes: vec![failed],
        exempt_nodes: vec!["b".into()],
        unavailable_nodes: vec!["c".into()],
        node_hashes: Some("AAAA".into()),
        started_at: Some(3),
        progress_at: Some(4),
        analysis: Some(full_analysis()),
    };
    let condition = Condition {
        kind: "Progressing".into(),
        is_true: true,
        reason: "RollingOut".into(),
        message: "m".into(),
        last_transition_time: Some(5),
    };
    PolicyStatus {
        observed_generation: 1,
        phase: Some(PolicyPhase::Rollout(RolloutPhase::Baking)),
        message: "m".into(),
        conditions: vec![condition],
        rollouts: [("agent".to_owned(), rollout)].into(),
    }
}

#[test]
fn the_status_has_the_fields_of_the_definition_and_is_read_as_it_was_written() {
    let (mut defined, mut written) = (BTreeSet::new(), BTreeSet::new());
    let status = full_status();
    fields(&schema_of("status"), "", &mut defined);
    fields_of(&status.to_json(), "", false, &mut written);
    assert_eq!(written, defined);
    assert_eq!(PolicyStatus::from_json(&status.to_json()), status);
    assert_eq!(PolicyStatus::from_json(&Value::Null), PolicyStatus::default());
}

#[test]
fn a_patch_takes_away_what_is_not_said_any_more() {
    let last = full_status();
    let now =
        PolicyStatus { rollouts: [("other".to_owned(), RolloutStatus::default())].into(), ..last.clone() };
    let patch = now.merge_patch(&last);
    assert_eq!(patch["daemonSets"]["agent"], Value::Null);
    assert!(patch["daemonSets"].as_object().unwrap().contains_key("agent"));
    assert_eq!(patch["daemonSets"]["other"]["revision"], Value::Null);
}

/// A value of a field that is not the one that is assumed.
fn other_than_assumed(schema: &Value) -> Value {
    let last = schema["enum"].as_array().and_then(|values| values.last());
    match (last, schema["type"].as_str()) {
        (Some(last), _) => last.clone(),
        // All patterns of strings are percentages.
        (None, Some("string")) if schema["pattern"].is_string() => "7%".into(),
        (None, Some("string")) => "x".into(),
        (None, Some("boolean")) => true.into(),
        (None, Some("integer")) => 7.into(),
        (None, None) => 7.into(),
        (None, Some("array")) => json!([other_than_assumed(&schema["items"])]),
        (None, Some(_)) => match schema["properties"].as_object() {
            Some(fields) => {
                fields.iter().map(|(name, field)| (name.clone(), other_than_assumed(field))).collect()
            }
            None => json!({"x": "y"}),
        },
    }
}

/// Each field of the schema, alone where the others are not required, makes another spec of nothing.
fn check_read(schema: &Value, place: &mut dyn FnMut(Value) -> Value) {
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let always: Value = required
        .iter()
        .map(|name| ((*name).to_owned(), other_than_assumed(&schema["properties"][*name])))
        .collect::<serde_json::Map<_, _>>()
        .into();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let (mut with, mut without) = (always.clone(), always.clone());
        with[name] = other_than_assumed(field);
        without.as_object_mut().unwrap().shift_remove(name);
        let (with, without) = (PolicySpec::from_json(&place(with)), PolicySpec::from_json(&place(without)));
        assert_ne!(with, without, "{name} is not read");
    }
}

#[test]
fn every_field_of_the_spec_is_read() {
    let schema = schema_of("spec");
    check_read(&schema, &mut |spec| spec);
    check_read(&schema["properties"]["failure"], &mut |failure| json!({"failure": failure}));
    check_read(&schema["properties"]["domain"], &mut |domain| json!({"domain": domain}));
    let analysis = &schema["properties"]["analysis"];
    check_read(analysis, &mut |analysis| json!({"analysis": analysis}));
    // The signal that is tried is a figure of the daemon's own, which needs to be found.
    check_read(&analysis["properties"]["signals"]["items"], &mut |mut signal| {
        for (field, assumed) in [("metric", "some"), ("port", "some")] {
            if signal[field].is_null() {
                signal[field] = assumed.into();
            }
        }
        json!({"analysis": {"signals": [signal]}})
    });
    check_read(&schema["properties"]["waves"]["items"], &mut |wave| json!({"waves": [wave]}));
}

#[test]
fn the_kind_is_called_as_the_definition_has_it() {
    use everynode_api::rollout_policy::{KIND, PLURAL, RESOURCE, collection, status_path};
    let definition = definition();
    assert_eq!(definition["metadata"]["name"], RESOURCE);
    assert_eq!(definition["spec"]["names"]["kind"], KIND);
    assert_eq!(definition["spec"]["names"]["plural"], PLURAL);
    assert_eq!(definition["spec"]["group"], everynode_api::GROUP);
    assert_eq!(definition["spec"]["versions"][0]["name"], everynode_api::VERSION);
    assert_eq!(collection(None), "/apis/everynode.dev/v1alpha1/rolloutpolicies");
    assert_eq!(status_path("a", "b"), "/apis/everynode.dev/v1alpha1/namespaces/a/rolloutpolicies/b/status");
}
