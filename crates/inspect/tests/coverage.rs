//! How many nodes are served, and what keeps the others from it.
#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

use everynode_engine::Time;
use everynode_inspect::coverage::Coverage;
use everynode_inspect::status::Filter;
use everynode_inspect::{Look, Paint};
use everynode_testkit::fleets::{Case, NOW, fail, unbind};
use serde_json::json;

const POOL: &str = "pool";

/// Twelve nodes, every third in pool `b` and the last in none; on three of them something is wrong.
fn coverage() -> Coverage {
    let mut case = Case::new(12, |_| {});
    for (index, node) in case.nodes.iter_mut().enumerate().take(11) {
        node.labels.insert(POOL, if index % 3 == 0 { "b" } else { "a" });
    }
    fail(&mut case.pods[0], "CrashLoopBackOff");
    case.down(1, "Unknown");
    unbind(&mut case.pods[3], None);
    let fleet = case.fleet();
    Coverage::of(&Look::of(&fleet, Time::from_seconds(NOW)), &Filter::default(), Some(POOL))
}

#[test]
fn values_of_a_label_come_with_the_worst_first() {
    let text = coverage().to_text(&Paint::default());
    let expected = "\
default/agent  9 of 12 nodes served (75.0 %): 1 crashing, 1 nodeDown, 1 unschedulable
  b       2 of 4 nodes served (50.0 %): 1 crashing, 1 unschedulable
  a       6 of 7 nodes served (85.7 %): 1 nodeDown
  (none)  1 of 1 nodes served (100.0 %)
";
    assert_eq!(text, expected);
}

#[test]
fn programs_read_what_people_see() {
    let value = serde_json::to_value(coverage()).unwrap();
    let agent = &value["daemonsets"][0];
    let causes = json!({"crashing": 1, "nodeDown": 1, "unschedulable": 1});
    assert_eq!((&agent["nodes"], &agent["served"], &agent["causes"]), (&json!(12), &json!(9), &causes));
    let last = json!({"value": null, "nodes": 1, "served": 1, "causes": {}});
    assert_eq!(agent["values"][2], last);
}
