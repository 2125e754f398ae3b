//! A fleet whose pods take little memory is looked at as any other.

// A test may panic anywhere, its helpers too.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use everynode_engine::Time;
use everynode_inspect::status::Row;
use everynode_inspect::{LeanFleet, Look};
use everynode_testkit::fleets::{Case, NOW, UID, fail};

/// All that is told of the one DaemonSet.
fn told(look: &Look<'_>) -> String {
    let set = look.set("default", "agent").unwrap();
    let row = Row::without_estimate(look, &set);
    format!("{} {:?}", serde_json::to_string(&row).unwrap(), row.cells)
}

#[test]
fn a_glance_tells_what_a_look_does() {
    let mut case = Case::new(60, |_| {});
    fail(&mut case.pods[3], "Evicted");
    case.down(7, "Unknown");
    case.pods.remove(11);
    case.pods[20].labels.insert("controller-revision-hash", "stranger");
    case.pods[21].labels.insert("controller-revision-hash", "older");
    case.pods[21].labels.insert("pod-template-generation", "0");
    case.pods[22].restarts = 9;
    case.pods[23].deleting = true;
    case.pods[24].node = Some("gone".into());
    let now = Time::from_seconds(NOW);
    let whole = told(&Look::of(&case.fleet(), now));
    let mut lean = LeanFleet::from(case.fleet());
    assert_eq!(lean.look_at(UID, now, true, told).unwrap(), whole);
    assert_eq!(lean.glance_at(UID, now, told).unwrap(), whole);
}
