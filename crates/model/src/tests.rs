use std::borrow::Cow;

use crate::*;

const POD: &str = r#"{"type":"MODIFIED","object":{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a-x",
    "namespace":"n","uid":"u","resourceVersion":"17","creationTimestamp":"2026-01-01T00:00:00Z",
    "labels":{"app":"a","es\u0063":"q\"q"},"annotations":{"x":"y"},"ownerReferences":[{"apiVersion":"apps/v1",
    "kind":"DaemonSet","name":"a","uid":"d","controller":true}],"managedFields":[{"fieldsV1":{"f:a":{}}}]},
    "spec":{"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":
    [{"matchFields":[{"key":"metadata.name","operator":"In","values":["node-1"]}]}]}}},"containers":[{"x":1.5}]},
    "status":{"phase":"Running","conditions":[{"type":"Initialized","status":"True"},{"type":"Ready",
    "status":"True","lastTransitionTime":"2026-01-01T00:00:05Z"}]}}}"#;

#[test]
fn a_pod_event_gives_what_the_engine_reads_and_borrows_its_texts() {
    let event: WatchEvent<Pod<'_>> = event(POD.as_bytes()).expect("an event");
    let pod = event.object;
    assert_eq!(event.kind, EventKind::Modified);
    assert_eq!((&*pod.metadata.name, pod.metadata.version()), ("a-x", Some(17)));
    assert_eq!(pod.metadata.controller().map(|owner| &*owner.uid), Some("d"));
    assert_eq!(pod.metadata.labels.get("app"), Some("a"));
    assert_eq!(pod.metadata.labels.get("esc"), Some("q\"q"));
    assert_eq!((pod.bound_to(), pod.target_node().as_deref()), (None, Some("node-1")));
    assert_eq!((pod.phase(), pod.is_ready(), pod.is_terminating()), (Phase::Running, true, false));
    assert_eq!(pod.ready().and_then(Condition::since_seconds), Some(1_767_225_605));
    assert_eq!(pod.metadata.created_seconds(), Some(1_767_225_600));
    assert!(matches!(pod.metadata.name.0, Cow::Borrowed(_)));
    assert!(matches!(pod.metadata.creation_timestamp, Some(Text(Cow::Borrowed(_)))));
}

#[test]
fn a_pod_tells_why_its_first_container_in_trouble_waits() {
    let check = |status: &str, expected: Option<&str>| {
        let text = format!(r#"{{"metadata":{{"name":"p"}},"status":{status}}}"#);
        let pod: Pod<'_> = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(pod.waiting_reason().as_deref(), expected, "{text}");
        assert_eq!(pod.trouble().map(Trouble::name), expected.filter(|reason| *reason != "Paused"), "{text}");
    };
    let waits = |reason: &str| {
        format!(
            r#"{{"name":"c","ready":false,"lastState":{{"terminated":{{"exitCode":1}}}},"state":{{"waiting":{{"reason":"{reason}","message":"m"}}}}}}"#
        )
    };
    let (runs, creating) =
        (r#"{"name":"r","state":{"running":{"startedAt":"x"}}}"#, waits("ContainerCreating"));
    let (crash, pull) = (waits("CrashLoopBackOff"), waits("ImagePullBackOff"));
    check(r#"{"containerStatuses":null,"initContainerStatuses":null}"#, None);
    check(r#"{"containerStatuses":[{},{"state":null},{"state":{}},{"state":{"waiting":{}}}]}"#, None);
    check(&format!(r#"{{"containerStatuses":[{runs},{creating}]}}"#), None);
    check(
        &format!(r#"{{"containerStatuses":[{runs},{creating},{crash},{pull}]}}"#),
        Some("CrashLoopBackOff"),
    );
    let initializing = waits("PodInitializing");
    check(
        &format!(r#"{{"containerStatuses":[{initializing}],"initContainerStatuses":[{runs},{pull}]}}"#),
        Some("ImagePullBackOff"),
    );
    let paused = waits("Paused");
    check(&format!(r#"{{"containerStatuses":[{creating},{paused}]}}"#), Some("Paused"));
    check(&format!(r#"{{"containerStatuses":[{paused},{crash}]}}"#), Some("CrashLoopBackOff"));
}

/// Statement D1.
#[test]
fn a_pod_that_is_not_bound_is_for_the_node_of_its_affinity() {
    let check = |terms: &str, expected: Option<&str>| {
        let text = format!(
            r#"{{"spec":{{"affinity":{{"nodeAffinity":{{"requiredDuringSchedulingIgnoredDuringExecution":
            {{"nodeSelectorTerms":[{terms}]}}}}}}}}}}"#
        );
        let pod: Pod<'_> = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(pod.target_node().as_deref(), expected, "{text}");
    };
    let field = |key: &str, operator: &str, values: &str| {
        format!(
            r#"{{"matchExpressions":null,"matchFields":[{{"key":"{key}","operator":"{operator}","values":{values}}}]}}"#
        )
    };
    let names = |values: &str| field("metadata.name", "In", values);
    let (one, other) = (names(r#"["n7"]"#), names(r#"["n8"]"#));
    check("", None);
    check(&one, Some("n7"));
    check(&format!("{{}},{one},{other}"), Some("n7"));
    check(&format!("{},{one}", field("metadata.uid", "In", r#"["n6"]"#)), Some("n7"));
    check(&format!("{},{one}", field("metadata.name", "NotIn", r#"["n6"]"#)), Some("n7"));
    // The first requirement decides, also when it names no one node.
    check(&format!("{},{one}", names(r#"["n5","n6"]"#)), None);
    check(&format!("{},{one}", names("null")), None);
}

#[test]
fn a_node_is_not_ready_since_its_evicting_taint_was_added() {
    let check = |taints: &[(&str, &str, Option<&str>)], expected: Option<i64>| {
        let taints = taints.iter().map(|(key, effect, added)| TimedTaint {
            key: Text(format!("node.kubernetes.io/{key}").into()),
            effect: Text::from(*effect),
            time_added: added.map(Text::from),
            ..TimedTaint::default()
        });
        let taints: Vec<TimedTaint<'_>> = taints.collect();
        let since = not_ready_since(taints.iter().map(|one| (one.taint(), one.added_seconds())));
        assert_eq!(since, expected, "{taints:?}");
    };
    let (at, later) = (Some("2026-01-02T03:04:05Z"), Some("2026-01-02T03:04:06Z"));
    check(&[("not-ready", "NoExecute", at)], Some(1_767_323_045));
    check(&[("not-ready", "NoExecute", later), ("unreachable", "NoExecute", at)], Some(1_767_323_045));
    check(&[("not-ready", "NoSchedule", at)], None);
    check(&[("disk-pressure", "NoExecute", at)], None);
    check(&[("unreachable", "NoExecute", None)], None);
    check(&[("unreachable", "NoExecute", Some("yesterday"))], None);
}

#[test]
fn nulls_and_absent_parts_read_as_nothing() {
    let text = br#"{"metadata":{"name":"n","labels":null,"ownerReferences":null,"finalizers":null,
        "annotations":null},"spec":{"taints":null},"status":{"conditions":null,"addresses":null}}"#;
    let node: Node<'_> = serde_json::from_slice(text).expect("a node");
    assert!(node.spec.taints.is_empty() && node.metadata.labels.0.is_empty());
    assert!(node.metadata.annotations.is_none() && node.ready().is_none());
    let node: Node<'_> = serde_json::from_slice(br#"{"spec":null,"status":null}"#).expect("a node");
    assert!(node.spec.taints.is_empty() && node.ready().is_none());
    assert!(NodePlacement::read(br#"{"metadata":{"name":"n"},"spec":null,"status":{}}"#).is_ok());
    let pod: Pod<'_> = serde_json::from_slice(br#"{"spec":null,"status":null}"#).expect("a pod");
    assert!(pod.target_node().is_none() && !pod.is_ready() && pod.waiting_reason().is_none());
    let bookmark = br#"{"type":"BOOKMARK","object":{"kind":"Pod","metadata":{"resourceVersion":"9"}}}"#;
    let bookmark: WatchEvent<Pod<'_>> = event(bookmark).expect("a bookmark");
    assert_eq!((bookmark.kind, bookmark.object.metadata.version()), (EventKind::Bookmark, Some(9)));
}

#[test]
fn a_node_tells_its_taints_and_what_its_kubelet_reports() {
    let text = br#"{"metadata":{"name":"n","annotations":{"a":"b"}},"spec":{"unschedulable":true,"taints":[{"key":"k",
        "effect":"NoExecute"}]},"status":{"allocatable":{"cpu":"1"},"conditions":[{"type":"Ready","status":"False"}],
        "addresses":[{"type":"InternalIP","address":"10.0.0.1"}]}}"#;
    let node: Node<'_> = serde_json::from_slice(text).expect("a node");
    assert!(node.ready().is_some() && !node.is_ready());
    assert_eq!(node.status.conditions.get("DiskPressure"), None);
    assert_eq!(&*node.status.addresses[0].address, "10.0.0.1");
    assert_eq!(node.status.allocatable.map(|raw| raw.get()), Some(r#"{"cpu":"1"}"#));
    assert_eq!(node.metadata.annotations.map(|raw| raw.get()), Some(r#"{"a":"b"}"#));
    assert!(node.spec.unschedulable);
    assert_eq!((&*node.spec.taints[0].key, &*node.spec.taints[0].effect), ("k", "NoExecute"));
}

#[test]
fn the_data_of_a_revision_stays_as_it_came() {
    let text = br#"{"metadata":{"name":"r"},"data":{"b":1.50},"revision":4}"#;
    let revision: ControllerRevision<'_> = serde_json::from_slice(text).expect("a revision");
    assert_eq!((revision.data.map(|data| data.get()), revision.revision), (Some(r#"{"b":1.50}"#), 4));
}

#[test]
fn of_the_conditions_of_a_pod_the_first_of_each_that_is_asked_for_is_kept() {
    let text = r#"{"status":{"conditions":[{"type":"Initialized","status":"True"},{"type":"Ready","status":"True"},
        {"type":"Ready","status":"False"},{"type":"PodScheduled","status":"False","reason":"Unschedulable"}]}}"#;
    let pod: Pod<'_> = serde_json::from_str(text).expect("a pod");
    assert!(pod.is_ready());
    let scheduled = pod.status.conditions.scheduled.as_ref().expect("a condition");
    assert_eq!((&*scheduled.reason, scheduled.is_true()), ("Unschedulable", false));
}

#[test]
fn bytes_that_are_no_text_do_no_harm_where_nobody_reads_them() {
    let line = |name: &[u8], kind: &[u8]| {
        let parts: [&[u8]; 5] =
            [br#"{"type":"ADDED","object":{"metadata":{"name":""#, name, br#""},"kind":""#, kind, br#""}}"#];
        parts.concat()
    };
    let read = |line: &[u8]| event::<Pod<'_>>(line).map(|event| event.object.metadata.name.to_string());
    assert_eq!(read(&line(b"p", b"Pod")).ok().as_deref(), Some("p"));
    assert_eq!(read(&line(b"p", b"\xff")).ok().as_deref(), Some("p"));
    assert!(read(&line(b"\xff", b"Pod")).is_err());
}

#[test]
fn what_others_want_of_a_pod_is_there_unread() {
    let text = r#"{"spec":{"hostNetwork":true,"priority":7,"containers":[{"name":"c"}],"tolerations":null,
        "nodeSelector":{"a":"b"}},"status":{"conditions":null,"reason":"Evicted","containerStatuses":[{"name":"c",
        "restartCount":2,"ready":true,"state":{"running":{"startedAt":"2026-01-01T00:00:05Z"}},
        "lastState":{"terminated":{"exitCode":137,"reason":"OOMKilled","message":"secret"}}}]}}"#;
    let pod: Pod<'_> = serde_json::from_str(text).expect("a pod");
    assert_eq!((pod.spec.priority, &*pod.status.reason), (7, "Evicted"));
    let (needs, wishes) = (pod.spec.needs(), pod.spec.wishes());
    assert_eq!((&needs["containers"][0]["name"], &needs["hostNetwork"]), (&"c".into(), &true.into()));
    assert_eq!((&wishes["nodeSelector"]["a"], wishes["tolerations"].is_null()), (&"b".into(), true));
    let containers = pod.status.containers();
    let [container] = containers.as_slice() else { panic!("{containers:?}") };
    assert_eq!((container.restart_count, container.running_since_seconds()), (2, Some(1_767_225_605)));
    assert_eq!(container.ended_last().map(|ended| ended.exit_code), Some(137));
    assert!(container.waiting().is_none() && container.ended().is_none());
}
