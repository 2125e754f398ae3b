//! The figures of each DaemonSet, under the names of kube-state-metrics, as the engine counts them now.

use everynode_engine::{Engine, Figures, StaleSkips, Time};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::coverage::Accounts;
use super::rollouts;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct DaemonSetLabels {
    pub namespace: String,
    pub daemonset: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResourceLabels {
    group: &'static str,
    resource: &'static str,
}

type Read = fn(&Figures<'_>) -> Option<i64>;

/// Name, help and source of each gauge.
const GAUGES: [(&str, &str, Read); 12] = [
    ("kube_daemonset_created", "Unix creation timestamp", |f| Some(f.created?.seconds())),
    ("kube_daemonset_metadata_generation", "Sequence number of the desired state", |f| Some(f.generation)),
    ("kube_daemonset_status_observed_generation", "The generation that was looked at last", |f| {
        Some(f.status.observed_generation)
    }),
    ("kube_daemonset_status_desired_number_scheduled", "Nodes that should run the daemon", |f| {
        Some(f.status.desired_number_scheduled.into())
    }),
    ("kube_daemonset_status_current_number_scheduled", "Nodes that should run it and have a pod", |f| {
        Some(f.status.current_number_scheduled.into())
    }),
    ("kube_daemonset_status_number_misscheduled", "Nodes that should not run it and have a pod", |f| {
        Some(f.status.number_misscheduled.into())
    }),
    ("kube_daemonset_status_number_ready", "Nodes with a ready pod", |f| Some(f.status.number_ready.into())),
    ("kube_daemonset_status_number_available", "Nodes with an available pod", |f| {
        Some(f.status.number_available.into())
    }),
    ("kube_daemonset_status_number_unavailable", "Nodes without an available pod", |f| {
        Some(f.status.number_unavailable.into())
    }),
    ("kube_daemonset_status_updated_number_scheduled", "Nodes with a pod of the present template", |f| {
        Some(f.status.updated_number_scheduled.into())
    }),
    ("everynode_daemonset_rolling", "1 while nodes wait for the present template", |f| {
        Some(f.is_rolling.into())
    }),
    ("everynode_daemonset_deleting", "1 while it is being deleted", |f| Some(f.deleting.into())),
];

/// The figures of all DaemonSets and their roll-outs in the OpenMetrics text format, without its last line.
pub(crate) fn encode(engine: &Engine, now: Time) -> String {
    let gauges: Vec<Family<DaemonSetLabels, Gauge>> = GAUGES.iter().map(|_| Family::default()).collect();
    for figures in engine.daemonsets() {
        let labels =
            DaemonSetLabels { namespace: figures.namespace.to_owned(), daemonset: figures.name.to_owned() };
        for ((_, _, read), gauge) in GAUGES.iter().zip(&gauges) {
            if let Some(value) = read(&figures) {
                gauge.get_or_create(&labels).set(value);
            }
        }
    }
    let mut all = Registry::default();
    for ((name, help, _), gauge) in GAUGES.iter().zip(gauges) {
        all.register(*name, *help, gauge);
    }
    all.register(
        "daemonset_controller_stale_sync_skips",
        "Decisions put off because an own write was not visible yet",
        stale_skips(engine.stale_skips()),
    );
    rollouts::register(engine, now, &mut all);
    all.register_collector(Box::new(Accounts::of(engine, now)));
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = prometheus_client::encoding::text::encode_registry(&mut text, &all);
    text
}

fn stale_skips(skips: StaleSkips) -> Family<ResourceLabels, Counter> {
    let family = Family::<ResourceLabels, Counter>::default();
    for (group, resource, count) in [
        ("", "pods", skips.pods),
        ("apps", "daemonsets", skips.daemonsets),
        ("apps", "controllerrevisions", skips.revisions),
    ] {
        family.get_or_create(&ResourceLabels { group, resource }).inc_by(count);
    }
    family
}

#[cfg(test)]
mod tests {
    use everynode_engine::{DaemonSetFact, Fact, Limits};
    use serde_json::json;

    use super::*;

    #[test]
    fn each_daemonset_has_its_figures_under_the_names_of_the_field() {
        let mut engine = Engine::new(Limits::default());
        let daemonset = json!({
            "metadata": {
                "namespace": "ns", "name": "agent", "uid": "00000000-0000-0000-0000-000000000001",
                "generation": 3, "resourceVersion": "7", "creationTimestamp": "2026-01-01T00:00:00Z",
            },
            "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}}},
            "status": {"observedGeneration": 2},
        });
        let fact = DaemonSetFact::from_json(&daemonset).unwrap();
        engine.observe(Fact::DaemonSet(Box::new(fact)), Time(0));
        let text = encode(&engine, Time(0));
        for line in [
            r#"kube_daemonset_created{namespace="ns",daemonset="agent"} 1767225600"#,
            r#"kube_daemonset_metadata_generation{namespace="ns",daemonset="agent"} 3"#,
            r#"kube_daemonset_status_observed_generation{namespace="ns",daemonset="agent"} 2"#,
            r#"kube_daemonset_status_desired_number_scheduled{namespace="ns",daemonset="agent"} 0"#,
            r#"everynode_daemonset_rolling{namespace="ns",daemonset="agent"} 1"#,
            r#"everynode_daemonset_nodes{namespace="ns",daemonset="agent",state="served"} 0"#,
            r#"everynode_daemonset_node_seconds_total{namespace="ns",daemonset="agent",state="nodeDown"} 0.0"#,
            r#"everynode_rollout_unserved_seconds_bucket{le="+Inf",namespace="ns",daemonset="agent"} 0"#,
            r#"daemonset_controller_stale_sync_skips_total{group="",resource="pods"} 0"#,
        ] {
            assert!(text.contains(line), "{line} is missing in:\n{text}");
        }
    }
}
