//! The figures of the roll-outs that policies conduct.

use everynode_analysis::Verdict;
use everynode_engine::policy::RolloutPhase;
use everynode_engine::{Engine, Rollout, Time};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RolloutLabels {
    namespace: String,
    daemonset: String,
    policy: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PhaseLabels {
    namespace: String,
    daemonset: String,
    policy: String,
    phase: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerdictLabels {
    namespace: String,
    daemonset: String,
    policy: String,
    verdict: &'static str,
}

type Read = fn(&Rollout<'_>, Time) -> Option<i64>;

/// Name, help and source of each gauge.
const GAUGES: [(&str, &str, Read); 12] = [
    ("everynode_rollout_wave", "The wave under way, from 1", |r, _| count(r.wave)),
    ("everynode_rollout_waves", "Waves of the policy", |r, _| count(r.waves)),
    ("everynode_rollout_nodes_desired", "Nodes that should run the daemon", |r, _| count(r.figures.desired)),
    ("everynode_rollout_nodes_updated", "Nodes with the revision", |r, _| count(r.figures.updated)),
    ("everynode_rollout_nodes_available", "Nodes where the revision is available", |r, _| {
        count(r.figures.available)
    }),
    (
        "everynode_rollout_nodes_unavailable",
        "Nodes whose pod was taken away and where none is available yet",
        |r, _| count(r.figures.unavailable),
    ),
    ("everynode_rollout_budget", "So many nodes may be unavailable for the roll-out", |r, _| {
        count(r.figures.max_unavailable)
    }),
    ("everynode_rollout_nodes_waiting", "Nodes whose turn has not come", |r, _| count(r.figures.waiting)),
    ("everynode_rollout_nodes_failed", "Nodes that failed with the revision", |r, _| count(r.failed)),
    ("everynode_rollout_failure_budget", "So many failed nodes halt the roll-out", |r, _| {
        count(r.figures.failure_budget)
    }),
    ("everynode_rollout_start_time_seconds", "Unix time at which the roll-out began", |r, _| {
        Some(r.started_at?.seconds())
    }),
    ("everynode_rollout_duration_seconds", "How long it has taken so far, or took", |r, now| {
        duration_seconds(r.phase, r.started_at, r.progress_at, now)
    }),
];

fn count(number: usize) -> Option<i64> {
    i64::try_from(number).ok()
}

fn duration_seconds(
    phase: RolloutPhase,
    began: Option<Time>,
    further: Option<Time>,
    now: Time,
) -> Option<i64> {
    let has_ended = matches!(phase, RolloutPhase::Complete | RolloutPhase::RolledBack);
    let end = if has_ended { further? } else { now };
    Some(end.millis_since(began?).max(0) / 1000)
}

/// Adds the gauges of all roll-outs under policies.
pub(super) fn register(engine: &Engine, now: Time, all: &mut Registry) {
    let phases = Family::<PhaseLabels, Gauge>::default();
    let verdicts = Family::<VerdictLabels, Gauge>::default();
    let gauges: Vec<Family<RolloutLabels, Gauge>> = GAUGES.iter().map(|_| Family::default()).collect();
    for rollout in engine.rollouts() {
        let labels = RolloutLabels {
            namespace: rollout.namespace.to_owned(),
            daemonset: rollout.daemonset.to_owned(),
            policy: rollout.policy.to_owned(),
        };
        for phase in RolloutPhase::ALL {
            let RolloutLabels { namespace, daemonset, policy } = labels.clone();
            let labels = PhaseLabels { namespace, daemonset, policy, phase: phase.name() };
            phases.get_or_create(&labels).set((phase == rollout.phase).into());
        }
        for verdict in Verdict::ALL {
            let RolloutLabels { namespace, daemonset, policy } = labels.clone();
            let labels = VerdictLabels { namespace, daemonset, policy, verdict: verdict.name() };
            verdicts.get_or_create(&labels).set((Some(verdict) == rollout.verdict).into());
        }
        for ((_, _, read), gauge) in GAUGES.iter().zip(&gauges) {
            if let Some(value) = read(&rollout, now) {
                gauge.get_or_create(&labels).set(value);
            }
        }
    }
    all.register("everynode_rollout_phase", "1 for the phase that the roll-out is in, else 0", phases);
    let help = "1 for what the analysis says of the revision, else 0";
    all.register("everynode_rollout_analysis_verdict", help, verdicts);
    for ((name, help, _), gauge) in GAUGES.iter().zip(gauges) {
        all.register(*name, *help, gauge);
    }
}

#[cfg(test)]
mod tests {
    use everynode_engine::policy::{PolicyFact, PolicySpec};
    use everynode_engine::{DaemonSetFact, Fact, Limits};
    use serde_json::json;

    use super::super::fleet;
    use super::*;

    /// One that knows the DaemonSet `ns/agent`, which the policy `careful` selects.
    fn engine() -> Engine {
        let uid = |digit: u8| format!("00000000-0000-0000-0000-00000000000{digit}");
        let mut engine = Engine::new(Limits::default());
        let metadata = |name: &str, uid: String| json!({"namespace": "ns", "name": name, "uid": uid});
        let daemonset = json!({
            "metadata": metadata("agent", uid(1)),
            "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}}},
        });
        let policy = json!({
            "metadata": metadata("careful", uid(2)),
            "spec": {"selector": {}, "waves": [{"nodes": 1}, {"nodes": "100%"}]},
        });
        let fact = DaemonSetFact::from_json(&daemonset).unwrap();
        engine.observe(Fact::DaemonSet(Box::new(fact)), Time(0));
        assert_eq!(engine.rollouts().count(), 0);
        engine.observe(Fact::Policies(vec![PolicyFact::from_json(&policy).unwrap()]), Time(0));
        assert_eq!(PolicySpec::from_json(&policy["spec"]).waves.len(), 2);
        engine
    }

    #[test]
    fn each_rollout_under_a_policy_has_its_figures() {
        let text = fleet::encode(&engine(), Time(0));
        let labels = r#"namespace="ns",daemonset="agent",policy="careful""#;
        for line in [
            format!(r#"everynode_rollout_phase{{{labels},phase="Progressing"}} 1"#),
            format!(r#"everynode_rollout_phase{{{labels},phase="Halted"}} 0"#),
            format!("everynode_rollout_wave{{{labels}}} 1"),
            format!("everynode_rollout_waves{{{labels}}} 2"),
            format!("everynode_rollout_nodes_failed{{{labels}}} 0"),
            format!(r#"everynode_rollout_analysis_verdict{{{labels},verdict="Worse"}} 0"#),
        ] {
            assert!(text.contains(&line), "{line} is missing in:\n{text}");
        }
    }

    #[test]
    fn prometheus_has_nothing_to_say_about_the_figures() {
        let text = fleet::encode(&engine(), Time(0)) + &crate::Metrics::new().encode();
        everynode_testkit::check_metrics(&super::super::text::prometheus(&text));
    }

    #[test]
    fn alerts_and_dashboard_ask_for_figures_that_there_are() {
        let text = fleet::encode(&engine(), Time(0));
        for file in ["alerts.yaml", "dashboard.json"] {
            let file = everynode_testkit::repository().join("deploy/monitoring").join(file);
            let asked = std::fs::read_to_string(file).unwrap();
            let words = asked.split(|one: char| !one.is_ascii_alphanumeric() && !"_:".contains(one));
            let figures: Vec<&str> = words.filter(|word| word.starts_with("everynode_")).collect();
            assert!(!figures.is_empty());
            for figure in figures {
                let name = figure.trim_end_matches("_total").trim_end_matches("_bucket");
                assert!(text.contains(&format!("# TYPE {name} ")), "{figure} is not in:\n{text}");
            }
        }
    }

    #[test]
    fn a_rollout_that_has_ended_gets_no_longer() {
        let check = |phase, expected| {
            let (began, further) = (Some(Time(1000)), Some(Time(5000)));
            assert_eq!(duration_seconds(phase, began, further, Time(9000)), Some(expected), "{phase:?}");
        };
        check(RolloutPhase::Progressing, 8);
        check(RolloutPhase::Halted, 8);
        check(RolloutPhase::Complete, 4);
        check(RolloutPhase::RolledBack, 4);
    }
}
