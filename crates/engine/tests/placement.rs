//! Which nodes a pod can be on: specification 1.B, and the body of a pod, 1.C.
#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

use std::sync::Arc;

use everynode_engine::placement::{Effect, Reason, Taint, Toleration, Verdict};
use everynode_engine::{DaemonSetRef, NewPod, NodeFact, Template, Uid, pod_body};
use serde_json::{Value, json};

const LABELS: [(&str, &str); 3] = [("color", "blue"), ("cores", "8"), ("empty", "")];

fn template(spec: &Value) -> Template {
    Template::new(json!({"metadata": {"labels": {"app": "ds"}}, "spec": spec}))
}

fn check(spec: &Value, taints: &[Taint<'_>], expected: Verdict) {
    let node = NodeFact { name: "n1", labels: &LABELS, taints, not_ready_since: None };
    assert_eq!(template(spec).placement().verdict(&node), expected, "{spec} {taints:?}");
}

fn terms(terms: Value) -> Value {
    let required = json!({"nodeSelectorTerms": terms});
    json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}})
}

fn expression(key: &str, operator: &str, values: &[&str]) -> Value {
    terms(json!([{"matchExpressions": [{"key": key, "operator": operator, "values": values}]}]))
}

fn taint(key: &'static str, value: &'static str, effect: Effect) -> Taint<'static> {
    Taint { key, value, effect }
}

#[test]
fn b2_b3_names_and_selectors_must_match() {
    for (spec, expected) in [
        (json!({}), Verdict::RUN),
        (json!({"nodeName": "n1"}), Verdict::RUN),
        (json!({"nodeName": "n2"}), Verdict::AWAY),
        (json!({"nodeSelector": {"color": "blue", "empty": ""}}), Verdict::RUN),
        (json!({"nodeSelector": {"color": "blue", "missing": ""}}), Verdict::AWAY),
        (json!({"nodeSelector": {"color": "red"}}), Verdict::AWAY),
    ] {
        check(&spec, &[], expected);
    }
}

#[test]
fn b4_b5_terms_are_alternatives_of_requirements() {
    for (spec, expected) in [
        (expression("color", "In", &["red", "blue"]), Verdict::RUN),
        (expression("color", "In", &[]), Verdict::AWAY),
        (expression("color", "NotIn", &["blue"]), Verdict::AWAY),
        (expression("missing", "NotIn", &["blue"]), Verdict::RUN),
        (expression("empty", "Exists", &[]), Verdict::RUN),
        (expression("color", "Exists", &["blue"]), Verdict::AWAY),
        (expression("missing", "DoesNotExist", &[]), Verdict::RUN),
        (expression("cores", "Gt", &["7"]), Verdict::RUN),
        (expression("cores", "Gt", &["8"]), Verdict::AWAY),
        (expression("cores", "Lt", &["9"]), Verdict::RUN),
        (expression("color", "Lt", &["9"]), Verdict::AWAY),
        (expression("cores", "Gt", &["7", "6"]), Verdict::AWAY),
        (expression("cores", "Near", &["7"]), Verdict::AWAY),
        (terms(json!([])), Verdict::AWAY),
        (terms(json!([{}])), Verdict::AWAY),
        (
            terms(
                json!([{}, {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}]),
            ),
            Verdict::RUN,
        ),
        (
            terms(
                json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1", "n2"]}]}]),
            ),
            Verdict::AWAY,
        ),
        (
            terms(
                json!([{"matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": ["n1"]}]}]),
            ),
            Verdict::AWAY,
        ),
        (terms(json!([{"matchFields": [{"key": "metadata.name", "operator": "Exists"}]}])), Verdict::AWAY),
    ] {
        check(&spec, &[], expected);
    }
}

#[test]
fn b6_b7_only_untolerated_taints_of_two_effects_count() {
    let tolerate =
        json!({"tolerations": [{"key": "a", "operator": "Equal", "value": "1", "effect": "NoSchedule"}]});
    for (spec, taints, expected) in [
        (json!({}), vec![taint("a", "1", Effect::PreferNoSchedule)], Verdict::RUN),
        (json!({}), vec![taint("a", "1", Effect::NoSchedule)], Verdict::KEEP),
        (json!({}), vec![taint("a", "1", Effect::NoExecute)], Verdict::AWAY),
        (
            json!({}),
            vec![taint("a", "", Effect::NoSchedule), taint("b", "", Effect::NoExecute)],
            Verdict::AWAY,
        ),
        (tolerate.clone(), vec![taint("a", "1", Effect::NoSchedule)], Verdict::RUN),
        (tolerate.clone(), vec![taint("a", "2", Effect::NoSchedule)], Verdict::KEEP),
        (tolerate, vec![taint("a", "1", Effect::NoExecute)], Verdict::AWAY),
    ] {
        check(&spec, &taints, expected);
    }
}

#[test]
fn b8_tolerations_match_by_key_value_and_effect() {
    let one = |key: &str, exists: bool, value: &str, effect| Toleration {
        key: key.to_owned(),
        exists,
        unreadable: false,
        value: value.to_owned(),
        effect,
    };
    let a = taint("a", "1", Effect::NoSchedule);
    for (toleration, expected) in [
        (one("", true, "", None), true),
        (one("a", true, "", None), true),
        (one("a", false, "1", None), true),
        (one("a", false, "", None), false),
        (one("b", true, "", None), false),
        (one("a", true, "", Some(Effect::NoExecute)), false),
        (one("a", true, "", Some(Effect::NoSchedule)), true),
        (Toleration { unreadable: true, ..one("a", true, "", None) }, false),
    ] {
        assert_eq!(toleration.tolerates(&a), expected, "{toleration:?}");
    }
}

#[test]
fn the_predicate_that_decides_is_named() {
    let taints = [taint("a", "1", Effect::NoSchedule), taint("b", "2", Effect::NoExecute)];
    let node = NodeFact { name: "n1", labels: &LABELS, taints: &taints, not_ready_since: None };
    let reason = |spec: Value| template(&spec).placement().reason(&node);
    assert_eq!(reason(json!({"nodeName": "n2"})), Reason::OtherNodeName { wanted: "n2".to_owned() });
    assert_eq!(
        reason(json!({"nodeSelector": {"color": "red"}})),
        Reason::NodeSelector {
            key: "color".to_owned(),
            wanted: "red".to_owned(),
            actual: Some("blue".to_owned())
        }
    );
    assert_eq!(reason(terms(json!([]))), Reason::NodeAffinity);
    let evicting = Reason::Taint { key: "b".to_owned(), value: "2".to_owned(), effect: Effect::NoExecute };
    assert_eq!(reason(json!({})), evicting);
    assert_eq!(reason(json!({"tolerations": [{"operator": "Exists"}]})), Reason::Eligible);
}

fn body(spec: Value, metadata: Value, generation: Option<i64>) -> Value {
    let daemonset = DaemonSetRef { namespace: "default".to_owned(), name: "ds".to_owned(), uid: Uid(7) };
    let pod = NewPod {
        node: Arc::from("n1"),
        name: None,
        template: Arc::new(Template::new(json!({"metadata": metadata, "spec": spec}))),
        hash: Arc::from("abc"),
        template_generation: generation,
    };
    pod_body::body(&daemonset, &pod)
}

#[test]
fn c1_default_tolerations_follow_the_user_s_and_replace_equal_ones() {
    let mine = json!([
        {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5},
        {"key": "node.kubernetes.io/unreachable", "operator": "Equal", "value": "x", "effect": "NoExecute"},
    ]);
    let made = body(json!({"tolerations": mine, "hostNetwork": true}), json!({}), None);
    let made = made["spec"]["tolerations"].as_array().unwrap();
    let keys: Vec<&str> = made
        .iter()
        .map(|one| one["key"].as_str().unwrap().trim_start_matches("node.kubernetes.io/"))
        .collect();
    assert_eq!(
        keys,
        [
            "not-ready",
            "unreachable",
            "unreachable",
            "disk-pressure",
            "memory-pressure",
            "pid-pressure",
            "unschedulable",
            "network-unavailable"
        ]
    );
    assert_eq!(made[0].get("tolerationSeconds"), None);
}

#[test]
fn c2_c3_c5_metadata_is_the_template_s_labels_and_annotations_with_the_owner() {
    let metadata = json!({
        "name": "no", "labels": {"app": "ds", "controller-revision-hash": "mine"}, "annotations": {"a": "b"},
    });
    let made = body(json!({}), metadata, Some(3));
    assert_eq!(
        made["metadata"],
        json!({
            "generateName": "ds-",
            "namespace": "default",
            "labels": {"app": "ds", "controller-revision-hash": "abc", "pod-template-generation": "3"},
            "annotations": {"a": "b"},
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "DaemonSet", "name": "ds", "uid": "00000000-0000-0000-0000-000000000007",
                "controller": true, "blockOwnerDeletion": true,
            }],
        })
    );
    let without = body(json!({}), json!({}), None);
    assert_eq!(without["metadata"]["labels"], json!({"controller-revision-hash": "abc"}));
}

#[test]
fn c6_c7_the_node_replaces_required_terms_and_nothing_else() {
    let pinned = json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}]);
    let preferred = json!([{"weight": 1, "preference": {}}]);
    let mut spec = expression("color", "In", &["red"]);
    spec["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"] = preferred.clone();
    spec["affinity"]["podAffinity"] = json!({"x": 1});
    spec["surprise"] = json!({"kept": true});
    spec["nodeName"] = json!("n9");
    for spec in [spec, json!({}), json!({"affinity": null}), json!({"affinity": {"nodeAffinity": null}})] {
        let made = body(spec.clone(), json!({}), None);
        let affinity = &made["spec"]["affinity"];
        let required = &affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
        assert_eq!(required["nodeSelectorTerms"], pinned);
        assert_eq!(made["spec"]["nodeName"], spec["nodeName"]);
        assert_eq!(made["spec"]["surprise"], spec["surprise"]);
        assert_eq!(affinity["podAffinity"], spec["affinity"]["podAffinity"]);
    }
}

#[test]
fn b9_b11_what_the_scheduler_looks_at_is_not_looked_at() {
    let container = json!({
        "name": "c", "ports": [{"hostPort": 80}], "resources": {"requests": {"cpu": "1000", "memory": "1Ti"}},
    });
    let spec = json!({
        "containers": [container],
        "hostNetwork": true,
        "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "color"}]}},
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "color", "whenUnsatisfiable": "DoNotSchedule"}],
        "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "none"}}],
        "tolerations": [{"key": "node.kubernetes.io/unschedulable", "operator": "Exists", "effect": "NoSchedule"}],
    });
    check(&spec, &[], Verdict::RUN);
    check(&spec, &[taint("node.kubernetes.io/unschedulable", "", Effect::NoSchedule)], Verdict::RUN);
}

#[test]
fn c4_a_name_that_leaves_no_room_for_a_dash_goes_without() {
    for (length, expected) in [(1, "-"), (252, "-"), (253, "")] {
        let name = "d".repeat(length);
        let daemonset = DaemonSetRef { namespace: "default".to_owned(), name: name.clone(), uid: Uid(7) };
        let pod = NewPod {
            node: Arc::from("n1"),
            name: None,
            template: Arc::new(Template::new(json!({"metadata": {}, "spec": {}}))),
            hash: Arc::from("abc"),
            template_generation: None,
        };
        let made = pod_body::body(&daemonset, &pod);
        assert_eq!(made["metadata"]["generateName"], format!("{name}{expected}"));
    }
}
