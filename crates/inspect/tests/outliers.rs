//! What `outliers` says of a fleet whose pods were sampled.

// A test may panic anywhere, its helpers too.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::indexing_slicing)]

use everynode_inspect::Paint;
use everynode_inspect::outliers::{Basis, Report};
use everynode_inspect::status::Filter;
use everynode_plan::{Fleet, PodUsage, UsageSample};
use everynode_testkit::fleets::{Case, NOW, node_name};

/// A fleet of 20 nodes whose pods used so many thousandths of a core, by node, and 100 MiB.
fn fleet(millicores: impl Fn(usize) -> u64) -> Fleet {
    let case = Case::new(20, |_| {});
    let mut fleet = case.fleet();
    fleet.usage = (case.pods.iter().enumerate())
        .map(|(index, pod)| PodUsage {
            namespace: pod.namespace.to_string(),
            name: pod.name.clone(),
            samples: (0..9)
                .map(|sample| UsageSample {
                    at: NOW + sample * 15,
                    cpu_nanocores: (millicores(index) + sample as u64) * 1_000_000,
                    memory_bytes: 100 << 20,
                })
                .collect(),
        })
        .collect();
    fleet
}

#[test]
fn a_daemon_that_left_its_level_is_named_with_its_node() {
    // Levels differ by node, and all rise by half.
    let before = fleet(|node| 100 + 20 * node as u64);
    let now = fleet(|node| (100 + 20 * node as u64) * if node == 7 { 4 } else { 1 } * 3 / 2);
    let report = Report::of(&now, Some(&before), &Filter::default(), None);
    assert_eq!(report.basis, Basis::OwnLevel);
    let cpu = &report.signals[0];
    assert_eq!((cpu.judged, cpu.unknown, cpu.pairs.len(), cpu.nodes.len()), (20, 0, 1, 0), "{cpu:?}");
    assert_eq!(
        (cpu.pairs[0].node.as_str(), cpu.pairs[0].daemonset.as_str()),
        (&*node_name(7), "default/agent")
    );
    assert!(report.signals[1].pairs.is_empty());
    let text = report.to_text(&Paint::default());
    let lines = ["cpu: 20 pairs judged, 0 not", "default/agent on n00007: 4.", "memory: nothing is out"];
    lines.iter().for_each(|line| assert!(text.contains(line), "{line} is not in\n{text}"));
    let other = Filter { names: vec!["other".into()], ..Filter::default() };
    assert!(Report::of(&now, Some(&before), &other, None).signals[0].pairs.is_empty());
}

#[test]
fn without_samples_nothing_is_judged_and_that_is_said() {
    let mut now = fleet(|_| 100);
    now.usage.clear();
    let report = Report::of(&now, None, &Filter::default(), None);
    assert_eq!(report.basis, Basis::LevelsOfOthers);
    assert_eq!((report.signals[0].judged, report.signals[0].unknown), (0, 20));
}
