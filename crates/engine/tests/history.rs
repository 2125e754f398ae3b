//! Revisions: specification 1.J.
#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

mod common;

use common::{Cluster, saturated, with_image};
use everynode_engine::pod_body::HASH_LABEL;
use everynode_engine::{PodController, RevisionFact, Uid, revision};
use serde_json::{Value, json};

fn plain(_: &mut Value) {}

fn change_image(cluster: &mut Cluster, uid: Uid, image: &str) {
    cluster.objects.change_daemonset(uid, true, |one| one.template = with_image(&one.template, image));
    cluster.settle();
}

fn numbers(cluster: &Cluster) -> Vec<i64> {
    let mut numbers: Vec<i64> = cluster.objects.revisions.values().map(|one| one.revision).collect();
    numbers.sort_unstable();
    numbers
}

/// A revision of the DaemonSet's current template under another name.
fn twin(cluster: &mut Cluster, of: Uid, name: &str, number: i64) -> RevisionFact {
    let template = cluster.daemonset(of).template.clone();
    RevisionFact {
        namespace: "default".to_owned(),
        name: format!("ds-{name}"),
        uid: cluster.objects.new_uid(),
        resource_version: 0,
        labels: vec![("app".to_owned(), "ds".to_owned()), (HASH_LABEL.to_owned(), name.to_owned())],
        controller: PodController::DaemonSet(of),
        deleting: false,
        revision: number,
        data: revision::data(template.value()).to_vec().into_boxed_slice(),
    }
}

#[test]
fn j3_data_is_canonical_json_with_the_patch_directive_inside() {
    let template =
        json!({"spec": {"z": "<a&b>\u{2028}", "a": 1}, "metadata": {"labels": {"b": "1", "a": "2"}}});
    let expected = r#"{"spec":{"template":{"$patch":"replace","metadata":{"labels":{"a":"2","b":"1"}},"spec":{"a":1,"z":"\u003ca\u0026b\u003e\u2028"}}}}"#;
    assert_eq!(String::from_utf8_lossy(&revision::data(&template)), expected);
}

#[test]
fn j3_data_equals_the_recorded_bytes_of_a_real_cluster() {
    let Some(golden) = everynode_testkit::shared("golden") else { return };
    let manifests = std::fs::read_dir(golden.join("manifests")).unwrap();
    let mut compared = 0;
    for entry in manifests {
        let path = entry.unwrap().path();
        let recorded: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        for (key, daemonset) in recorded["daemonsets"].as_object().unwrap() {
            let name = key.rsplit('/').next().unwrap();
            let expected = std::fs::read(golden.join(format!("revisions/{stem}.{name}.data.json"))).unwrap();
            let actual = revision::data(&daemonset["object"]["spec"]["template"]);
            assert_eq!(String::from_utf8_lossy(&actual), String::from_utf8_lossy(&expected), "{stem} {name}");
            compared += 1;
        }
    }
    assert!(compared >= 37, "only {compared} compared");
}

/// Statement J9.
#[test]
fn j5_each_template_gets_the_next_number() {
    let mut cluster = Cluster::new(0);
    let uid = cluster.add("ds", plain);
    cluster.settle();
    change_image(&mut cluster, uid, "i:2");
    change_image(&mut cluster, uid, "i:3");
    assert_eq!(numbers(&cluster), [1, 2, 3]);
    change_image(&mut cluster, uid, "i:1");
    assert_eq!(numbers(&cluster), [2, 3, 4], "J9");
}

#[test]
fn j10_old_revisions_beyond_the_limit_go_except_those_that_a_pod_carries() {
    let mut cluster = Cluster::new(1);
    let uid = cluster.add("ds", |object| {
        object["spec"]["revisionHistoryLimit"] = 1.into();
        object["spec"]["updateStrategy"] = json!({"type": "OnDelete"});
    });
    cluster.settle();
    for image in ["i:2", "i:3", "i:4"] {
        change_image(&mut cluster, uid, image);
    }
    assert_eq!(numbers(&cluster), [1, 4], "the pod carries the first");
    let pod = *cluster.objects.pods.keys().next().unwrap();
    cluster.objects.remove_pod(pod);
    cluster.settle();
    assert_eq!(numbers(&cluster), [1, 4], "one old revision is within the limit");
    change_image(&mut cluster, uid, "i:5");
    assert_eq!(numbers(&cluster), [4, 5]);
}

#[test]
fn j7_a_taken_name_with_other_data_raises_the_collision_count() {
    let mut cluster = Cluster::new(1);
    let uid = cluster.add("ds", plain);
    let template = cluster.daemonset(uid).template.clone();
    let hash = revision::hash(&revision::data(template.value()), None);
    let mut taken = twin(&mut cluster, uid, &hash, 7);
    taken.data = b"{}".to_vec().into_boxed_slice();
    taken.controller = PodController::Other;
    cluster.objects.put_revision(taken);
    cluster.settle();
    let status = cluster.daemonset(uid).status;
    assert_eq!((status.collision_count, status.current_number_scheduled), (Some(1), 1));
    assert_eq!(cluster.objects.revisions.len(), 2);
}

/// Statement J12.
#[test]
fn j7_a_taken_name_with_equal_data_is_used() {
    let mut cluster = Cluster::new(1);
    let uid = cluster.add("ds", plain);
    let template = cluster.daemonset(uid).template.clone();
    let hash = revision::hash(&revision::data(template.value()), None);
    let taken = twin(&mut cluster, uid, &hash, 1);
    cluster.objects.put_revision(taken);
    // The watch is late.
    cluster.objects.told.pop_back();
    cluster.settle();
    assert_eq!((cluster.objects.revisions.len(), cluster.objects.pods.len()), (1, 1));
    assert_eq!(cluster.daemonset(uid).status.collision_count, None);
}

#[test]
fn j2_a_revision_without_hash_gets_its_name_as_hash() {
    let mut cluster = Cluster::new(0);
    let uid = cluster.add("ds", plain);
    let mut old = twin(&mut cluster, uid, "x", 1);
    old.labels.pop();
    let old = cluster.objects.put_revision(old);
    cluster.settle();
    let labels = &cluster.objects.revisions[&old.uid].labels;
    assert!(labels.contains(&(HASH_LABEL.to_owned(), "ds-x".to_owned())), "{labels:?}");
}

#[test]
fn a9_j8_equal_revisions_are_merged_but_not_because_one_was_added() {
    let mut cluster = Cluster::new(2);
    let uid = cluster.add("ds", plain);
    cluster.settle();
    cluster.make_ready();
    cluster.settle();
    let second = twin(&mut cluster, uid, "second", 2);
    let second = cluster.objects.put_revision(second);
    cluster.settle();
    assert_eq!(cluster.objects.revisions.len(), 2, "A9");
    let first = cluster.objects.revisions.values().find(|one| one.uid != second.uid).cloned().unwrap();
    cluster.objects.put_revision(first);
    assert_eq!(cluster.run(), (0, 0));
    assert_eq!(cluster.objects.revisions.keys().copied().collect::<Vec<_>>(), [second.uid]);
    assert!(cluster.objects.pods.values().all(|pod| pod.label(HASH_LABEL) == Some("second")));
}

/// A copy of an old revision, of a backup or of somebody's hand, must not pass pods of the newer template for its own.
#[test]
fn j8_going_back_to_a_template_of_two_revisions_replaces_the_pods_of_others() {
    let mut cluster = Cluster::new(3);
    let uid = cluster.add("ds", plain);
    let (back, wait) = ((0, 0), |cluster: &mut Cluster| {
        for _ in 0..10 {
            cluster.settle();
            cluster.make_ready();
        }
    });
    wait(&mut cluster);
    let copy = twin(&mut cluster, uid, "copy", 1);
    change_image(&mut cluster, uid, "i:2");
    wait(&mut cluster);
    cluster.objects.put_revision(copy);
    assert_eq!(cluster.run(), back);
    change_image(&mut cluster, uid, "i:1");
    wait(&mut cluster);
    let images: Vec<String> = cluster.objects.pods.values().map(|pod| cluster.objects.image(pod)).collect();
    assert_eq!(images, ["i:1", "i:1", "i:1"]);
    assert_eq!(numbers(&cluster), [2, 3]);
}

#[test]
fn a9_a_revision_that_came_late_is_outnumbered_when_there_is_another_reason_to_look() {
    let mut cluster = Cluster::new(2);
    let uid = cluster.add("ds", plain);
    cluster.settle();
    let mut late = twin(&mut cluster, uid, "late", 7);
    late.data = revision::data(&json!({"metadata": {}, "spec": {}})).to_vec().into_boxed_slice();
    cluster.objects.put_revision(late);
    cluster.settle();
    assert_eq!(numbers(&cluster), [1, 7], "A9");
    cluster.make_ready();
    cluster.settle();
    assert_eq!(numbers(&cluster), [7, 8], "a pod has changed");
}

#[test]
fn the_life_of_revisions_as_the_conformance_test_has_it() {
    let mut cluster = Cluster::new(1);
    let uid = cluster.add("ds", plain);
    cluster.settle();
    cluster.make_ready();
    cluster.settle();
    let mut first = cluster.objects.revisions.values().next().cloned().unwrap();
    first.labels.push(("e2e".to_owned(), "patched".to_owned()));
    let first = cluster.objects.put_revision(first);
    cluster.settle();
    let second = twin(&mut cluster, uid, "second", 2);
    let second = cluster.objects.put_revision(second);
    cluster.settle();
    assert_eq!(numbers(&cluster), [1, 2]);
    cluster.objects.remove_revision(first.uid);
    assert_eq!(cluster.run(), (0, 0), "K3: nothing restarts");
    let mut labelled = cluster.objects.revisions[&second.uid].clone();
    labelled.labels.push(("e2e".to_owned(), "updated".to_owned()));
    cluster.objects.put_revision(labelled);
    cluster.settle();
    change_image(&mut cluster, uid, "i:2");
    assert_eq!(cluster.objects.revisions.len(), 2);
    cluster.objects.remove_revision(second.uid);
    cluster.settle();
    assert_eq!(numbers(&cluster), [3]);
}

#[test]
fn j4_revisions_match_by_bytes() {
    let mut cluster = Cluster::new(0);
    let uid = cluster.add("ds", plain);
    let mut same = twin(&mut cluster, uid, "spaced", 1);
    same.data = String::from_utf8_lossy(&same.data).replace(':', ": ").into_bytes().into_boxed_slice();
    cluster.objects.put_revision(same);
    cluster.settle();
    assert_eq!(numbers(&cluster), [1, 2], "equal in meaning is not equal");
}

#[test]
fn j6_a_new_revision_is_named_labelled_and_annotated_after_its_daemonset() {
    let name = "d".repeat(200);
    let mut cluster = Cluster::new(0);
    let uid = cluster.add(&name, |object| {
        object["metadata"]["annotations"]["kubernetes.io/change-cause"] = "why".into();
        object["spec"]["template"]["metadata"]["labels"][HASH_LABEL] = "mine".into();
    });
    cluster.tell();
    let actions = cluster.engine.decide(cluster.now);
    let [everynode_engine::Action { work: everynode_engine::Work::CreateRevision(new), .. }] = &actions[..]
    else {
        panic!("{actions:?}")
    };
    let hash = revision::hash(&new.data, None);
    assert_eq!(new.name, format!("{name}-{hash}"), "it is not cut");
    assert!(
        hash.len() <= 10 && hash.chars().all(|one| "bcdfghjklmnpqrstvwxz2456789".contains(one)),
        "{hash}"
    );
    let mut labels = new.labels.clone();
    labels.sort();
    assert_eq!(labels, [("app".to_owned(), name), (HASH_LABEL.to_owned(), hash)]);
    assert_eq!(new.annotations, cluster.daemonset(uid).annotations);
    assert_eq!((new.revision, new.annotations.len()), (1, 2));
    assert_ne!(revision::hash(&new.data, Some(1)), revision::hash(&new.data, None));
}

#[test]
fn j11_the_hash_that_the_current_revision_carries_is_used() {
    let mut cluster = Cluster::new(1);
    let uid = cluster.add("ds", plain);
    let old = twin(&mut cluster, uid, "from-another-hash-function", 1);
    cluster.objects.put_revision(old);
    cluster.settle();
    let pod = cluster.objects.pods.values().next().unwrap();
    assert_eq!(pod.label(HASH_LABEL), Some("from-another-hash-function"));
    assert_eq!(cluster.objects.revisions.len(), 1);
}

/// Statement J1.
#[test]
fn a_revision_that_nobody_may_adopt_holds_nothing_up_for_long() {
    let (mut cluster, uid) = saturated(2, plain);
    let mut orphan = twin(&mut cluster, uid, "forged", 7);
    (orphan.controller, orphan.data) = (PodController::Nobody, b"{\"z\":1,\"a\":2}".to_vec().into());
    let orphan = cluster.objects.put_revision(orphan);
    cluster.objects.frozen.insert(orphan.uid);
    cluster.settle();
    change_image(&mut cluster, uid, "i:2");
    cluster.make_ready();
    for _ in 0..10 {
        cluster.settle();
        cluster.make_ready();
    }
    let updated = cluster.objects.pods.values().filter(|pod| cluster.objects.image(pod) == "i:2").count();
    assert_eq!((updated, cluster.daemonset(uid).status.updated_number_scheduled), (2, 2));
    let asked = cluster.objects.refused_claims;
    assert!((10..18).contains(&asked), "asked {asked} times");
    // When it can be adopted, it is.
    cluster.objects.frozen.clear();
    cluster.now = cluster.now.plus_millis(60_000);
    cluster.settle();
    assert_eq!(cluster.objects.revisions[&orphan.uid].controller, PodController::DaemonSet(uid));
}
