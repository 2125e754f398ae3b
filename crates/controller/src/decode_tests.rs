use everynode_engine::{Phase, PodController, PodFact, Time, Trouble};

use super::*;

const UID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";
const OWNER: &str = "1f8fad5b-d9cb-469f-a165-70867728950e";

/// The fact that these bytes make, as text; borrowed facts cannot leave `observe`.
fn observed(kind: Kind, object: &str) -> Result<String, String> {
    let mut text = String::new();
    applied(kind, object.as_bytes(), |fact| text = format!("{fact:?}")).map_err(|e| e.to_string())?;
    Ok(text)
}

fn check_pod(more: &str, check: impl FnOnce(PodFact<'_>)) {
    let more = if more.is_empty() { String::new() } else { format!(",{more}") };
    let object = format!(
        r#"{{"kind":"Pod","metadata":{{"name":"p","namespace":"ns","uid":"{UID}","resourceVersion":"12"{more}}}"#
    );
    // `more` closes metadata when it goes on to other fields.
    let object =
        if object.matches('{').count() > object.matches('}').count() { object + "}" } else { object };
    let mut called = false;
    applied(Kind::Pod, object.as_bytes(), |fact| match fact {
        Fact::Pod(pod) => {
            called = true;
            check(pod);
        }
        other => panic!("{other:?}"),
    })
    .unwrap_or_else(|error| panic!("{object}: {error}"));
    assert!(called);
}

#[test]
fn a_pod_is_reduced_to_what_the_engine_reads() {
    check_pod(
        &format!(
            r#""labels":{{"a":"1","b":"\u0032"}},"creationTimestamp":"2026-01-02T03:04:05Z",
            "ownerReferences":[{{"kind":"DaemonSet","uid":"{OWNER}","controller":true}}]}},
            "spec":{{"nodeName":"n1","containers":[{{"name":"c"}}]}},
            "status":{{"phase":"Running","conditions":[{{"type":"Initialized","status":"True"}},
            {{"type":"Ready","status":"True","lastTransitionTime":"2026-01-02T03:04:06Z"}},{{"type":"Other"}}]}}"#
        ),
        |pod| {
            assert_eq!((pod.namespace, pod.name, pod.resource_version), ("ns", "p", 12));
            assert_eq!(pod.labels, [("a", "1"), ("b", "2")]);
            assert_eq!(pod.controller, PodController::DaemonSet(Uid::parse(OWNER).unwrap()));
            assert_eq!((pod.node, pod.bound, pod.phase, pod.ready), (Some("n1"), true, Phase::Running, true));
            assert_eq!(pod.created, Time(1_767_323_045_000));
            assert_eq!(pod.ready_since, Some(Time(1_767_323_046_000)));
            assert!(!pod.deleting);
        },
    );
}

#[test]
fn absent_and_null_parts_of_a_pod_are_the_same() {
    for more in [
        "",
        r#""labels":null,"ownerReferences":null,"creationTimestamp":null"#,
        r#""labels":{}},"spec":{},"status":{"conditions":null}"#,
    ] {
        check_pod(more, |pod| {
            assert!(pod.labels.is_empty() && pod.node.is_none() && !pod.bound && !pod.ready);
            assert_eq!((pod.controller, pod.phase), (PodController::Nobody, Phase::Pending));
        });
    }
}

/// Statement D1.
#[test]
fn a_pod_that_is_not_bound_is_for_the_node_of_its_affinity() {
    let affinity = |fields: &str| {
        format!(
            r#""labels":{{}}}},"spec":{{"affinity":{{"nodeAffinity":{{"requiredDuringSchedulingIgnoredDuringExecution":
            {{"nodeSelectorTerms":[{{"matchExpressions":[]}},{{"matchFields":[{fields}]}}]}}}}}}}}"#
        )
    };
    for (fields, node) in [
        (r#"{"key":"metadata.name","operator":"In","values":["n7"]}"#, Some("n7")),
        (r#"{"key":"metadata.name","operator":"NotIn","values":["n7"]}"#, None),
        (r#"{"key":"metadata.name","operator":"In","values":["n7","n8"]}"#, None),
        (r#"{"key":"metadata.uid","operator":"In","values":["n7"]}"#, None),
    ] {
        check_pod(&affinity(fields), |pod| {
            assert_eq!((pod.node, pod.bound), (node, false), "{fields}");
        });
    }
}

/// Statement A15.
#[test]
fn the_controller_of_a_pod_is_the_owner_that_says_so() {
    for (owners, controller) in [
        (format!(r#"{{"kind":"DaemonSet","uid":"{OWNER}"}}"#), PodController::Nobody),
        (r#"{"kind":"Job","uid":"x","controller":true}"#.to_owned(), PodController::Other),
        (r#"{"kind":"DaemonSet","uid":"x","controller":true}"#.to_owned(), PodController::Other),
    ] {
        check_pod(&format!(r#""ownerReferences":[{owners}]"#), |pod| assert_eq!(pod.controller, controller));
    }
}

#[test]
fn a_node_is_its_labels_and_taints() {
    let text = observed(
        Kind::Node,
        r#"{"metadata":{"name":"n","labels":{"os":"linux"}},"spec":{"podCIDR":"x","taints":
        [{"key":"k","effect":"NoExecute","timeAdded":"2026-01-02T03:04:05Z"}]},"status":{"images":[{}]}}"#,
    )
    .unwrap();
    for part in [r#"name: "n""#, r#"[("os", "linux")]"#, r#"key: "k", value: "", effect: NoExecute"#] {
        assert!(text.contains(part), "{text}");
    }
    assert!(observed(Kind::Node, r#"{"metadata":{"name":"n"}}"#).is_ok(), "a node without spec is a node");
}

#[test]
fn a_pod_tells_what_its_container_waits_for() {
    for (reason, trouble) in [("CrashLoopBackOff", Some(Trouble::CrashLoopBackOff)), ("Paused", None)] {
        let status =
            format!(r#"{{"containerStatuses":[{{"state":{{"waiting":{{"reason":"{reason}"}}}}}}]}}"#);
        check_pod(&format!(r#""labels":{{}}}},"status":{status}"#), |pod| assert_eq!(pod.trouble, trouble));
    }
}

/// Statement J4.
#[test]
fn the_data_of_a_revision_keeps_its_bytes() {
    let data = r#"{"spec":{"template":{"$patch":"replace","x":"\u003c","n":1.50}}}"#;
    let object = format!(
        r#"{{"metadata":{{"name":"r","namespace":"ns","uid":"{UID}","resourceVersion":"3"}},"data":{data},"revision":4}}"#
    );
    let fact = revision(object.as_bytes()).unwrap();
    assert_eq!(&*fact.data, data.as_bytes());
    assert_eq!((fact.revision, fact.resource_version, fact.controller), (4, 3, PodController::Nobody));
}

#[test]
fn objects_that_are_gone_need_no_more_than_their_identity() {
    let object = format!(
        r#"{{"metadata":{{"name":"x","uid":"{UID}","resourceVersion":"9"}},"spec":"of another form"}}"#
    );
    for (kind, expected) in [
        (Kind::Node, r#"NodeGone("x")"#.to_owned()),
        (Kind::Pod, format!("PodGone {{ uid: {UID}, resource_version: 9 }}")),
        (Kind::DaemonSet, format!("DaemonSetGone({UID})")),
        (Kind::Revision, format!("RevisionGone({UID})")),
    ] {
        let mut text = String::new();
        gone(kind, object.as_bytes(), |fact| text = format!("{fact:?}")).unwrap();
        assert_eq!(text, expected);
    }
}

#[test]
fn what_is_no_object_of_its_kind_is_said_and_not_told() {
    for (kind, object) in [
        (Kind::Pod, r#"{"metadata":{"name":"p","namespace":"ns","uid":"no uuid"}}"#),
        (Kind::Pod, r#"{"metadata":{"name":"p"#),
        (Kind::Pod, r#"{"metadata":{"name":7}}"#),
        (Kind::Node, r#"{"metadata":{}}"#),
        (Kind::DaemonSet, r#"{"metadata":{"name":"d"}}"#),
        (Kind::Revision, "[]"),
    ] {
        assert!(observed(kind, object).is_err(), "{object}");
    }
    assert_eq!(name_of(br#"{"metadata":{"name":"p","namespace":"ns"}}"#), "ns/p");
    assert_eq!(name_of(br#"{"metadata":{"name":"n"}}"#), "n");
}

#[test]
fn changed_objects_are_observed_once_or_refused() {
    let objects = [
        format!(
            r#"{{"metadata":{{"name":"n","namespace":"s","uid":"{UID}","resourceVersion":"9","labels":{{"a":"\u0062"}},"ownerReferences":[{{"kind":"DaemonSet","uid":"{OWNER}","controller":true}}]}},"spec":{{"taints":[{{"key":"k","effect":"NoExecute"}}],"nodeName":"n1","affinity":null}},"status":{{"phase":"Running","conditions":[{{"type":"Ready","status":"True","lastTransitionTime":"2026-01-02T03:04:06Z"}}]}}}}"#
        ),
        format!(
            r#"{{"metadata":{{"name":"d","namespace":"s","uid":"{UID}","generation":3,"annotations":{{"deprecated.daemonset.template.generation":"x"}}}},"spec":{{"selector":{{"matchExpressions":[{{"key":"a","operator":"In","values":["b"]}}]}},"template":{{"metadata":{{"labels":{{"a":"b"}}}},"spec":{{"tolerations":[{{"operator":"Exists"}}],"nodeSelector":{{"a":"b"}}}}}},"updateStrategy":{{"type":"RollingUpdate","rollingUpdate":{{"maxUnavailable":"10%"}}}}}},"status":{{"collisionCount":1}}}}"#
        ),
        format!(
            r#"{{"metadata":{{"name":"r","namespace":"s","uid":"{UID}"}},"data":{{"spec":{{"n":1.50}}}},"revision":4}}"#
        ),
    ];
    let words: [&[u8]; 8] =
        [b"null", b"{}", b"[]", b"-1", b"1e99", b"\"\"", b"18446744073709551616", b"\xff"];
    for seed in 1..=20_000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut object = objects[random.usize(0..objects.len())].clone().into_bytes();
        for _ in 0..random.usize(1..5) {
            let at = random.usize(0..object.len());
            let end = (at + random.usize(0..12)).min(object.len());
            let word = words[random.usize(0..words.len())];
            object.splice(at..end, word.iter().copied()).for_each(drop);
        }
        for kind in [Kind::Node, Kind::Pod, Kind::DaemonSet, Kind::Revision] {
            let mut engine = everynode_engine::Engine::new(everynode_engine::Limits::default());
            let mut observed = 0;
            let result = applied(kind, &object, |fact| {
                observed += 1;
                engine.observe(fact, Time(0));
            });
            assert_eq!(observed, usize::from(result.is_ok()), "seed {seed} {kind:?}");
            let _ = gone(kind, &object, |fact| engine.observe(fact, Time(0)));
        }
        let _ = (name_of(&object), written(&object));
    }
}
