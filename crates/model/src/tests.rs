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
    assert_eq!((pod.node_name(), pod.target_node().as_deref()), ("", Some("node-1")));
    assert_eq!((pod.phase(), pod.ready().is_true), ("Running", true));
    assert_eq!(pod.ready().last_transition_time.as_deref(), Some("2026-01-01T00:00:05Z"));
    assert_eq!(pod.metadata.created_seconds(), Some(1_767_225_600));
    assert!(!pod.metadata.is_deleting());
    assert!(matches!(pod.metadata.name.0, Cow::Borrowed(_)));
    assert!(matches!(pod.metadata.creation_timestamp, Some(Text(Cow::Borrowed(_)))));
}

#[test]
fn a_pod_tells_why_its_first_container_in_trouble_waits() {
    let check = |status: &str, expected: Option<&str>| {
        let text = format!(r#"{{"metadata":{{"name":"p"}},"status":{status}}}"#);
        let pod: Pod<'_> = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(pod.waiting_reason(), expected, "{text}");
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
}

#[test]
fn nulls_and_absent_parts_read_as_nothing() {
    let text = br#"{"metadata":{"name":"n","labels":null,"ownerReferences":null,"finalizers":null,
        "annotations":null},"spec":{"taints":null},"status":{"conditions":null,"addresses":null}}"#;
    let node: Node<'_> = serde_json::from_slice(text).expect("a node");
    assert!(node.spec.taints.is_empty() && node.metadata.labels.0.is_empty());
    assert!(node.metadata.annotations.is_none() && node.status.conditions.is_empty());
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
    assert_eq!(condition_status(&node.status.conditions, "Ready"), Some("False"));
    assert_eq!(condition_status(&node.status.conditions, "DiskPressure"), None);
    assert_eq!(&*node.status.addresses[0].address, "10.0.0.1");
    assert_eq!(node.status.allocatable.map(|raw| raw.get()), Some(r#"{"cpu":"1"}"#));
    assert_eq!(node.metadata.annotations.map(|raw| raw.get()), Some(r#"{"a":"b"}"#));
    assert!(node.spec.unschedulable);
    assert_eq!((&*node.spec.taints[0].key, &*node.spec.taints[0].effect), ("k", "NoExecute"));
}

#[test]
fn template_and_revision_data_stay_as_they_came() {
    let text = br#"{"metadata":{"name":"a"},"spec":{"template":{"spec":{ "nodeSelector":{"a":"b"},"hostNetwork":true,
        "tolerations":[{"operator":"Exists"}]}},"minReadySeconds":3,"selector":{}}}"#;
    let set: DaemonSet<'_> = serde_json::from_slice(text).expect("a DaemonSet");
    assert!(set.spec.template.get().starts_with(r#"{"spec":{ "nodeSelector""#));
    let placement = set.spec.placement().expect("a template");
    assert_eq!(placement.node_selector.get("a"), Some("b"));
    assert!(placement.host_network && placement.tolerations.len() == 1);
    assert_eq!((set.spec.min_ready_seconds, set.spec.revision_history_limit), (3, None));
    let text = br#"{"metadata":{"name":"r"},"data":{"b":1.50},"revision":4}"#;
    let revision: ControllerRevision<'_> = serde_json::from_slice(text).expect("a revision");
    assert_eq!((revision.data.map(|data| data.get()), revision.revision), (Some(r#"{"b":1.50}"#), 4));
}
