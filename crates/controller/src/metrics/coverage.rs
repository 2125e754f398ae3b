//! How long nodes were served, of each DaemonSet.

use std::fmt;

use everynode_engine::{Coverage, DaemonSetRef, Engine, Service, Time, UNSERVED_SECONDS};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::fleet::DaemonSetLabels;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    namespace: String,
    daemonset: String,
    state: &'static str,
}

/// The accounts of all DaemonSets at one time.
#[derive(Debug)]
pub(super) struct Accounts {
    accounts: Vec<(DaemonSetLabels, Coverage)>,
    now: Time,
}

impl Accounts {
    pub fn of(engine: &Engine, now: Time) -> Accounts {
        let account = |(of, coverage): (&DaemonSetRef, &Coverage)| {
            (DaemonSetLabels { namespace: of.namespace.clone(), daemonset: of.name.clone() }, *coverage)
        };
        Accounts { accounts: engine.coverage().map(account).collect(), now }
    }

    /// Each account in each state.
    fn states(&self) -> impl Iterator<Item = (StateLabels, &Coverage, Service)> {
        self.accounts.iter().flat_map(|(labels, coverage)| {
            Service::ALL.map(|state| {
                let DaemonSetLabels { namespace, daemonset } = labels.clone();
                (StateLabels { namespace, daemonset, state: state.name() }, coverage, state)
            })
        })
    }
}

impl Collector for Accounts {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "Nodes that should run the daemon, by whether a pod is ready there and why not.";
        let mut nodes =
            encoder.encode_descriptor("everynode_daemonset_nodes", help, None, MetricType::Gauge)?;
        for (labels, coverage, state) in self.states() {
            nodes.encode_family(&labels)?.encode_gauge(&i64::from(coverage.nodes(state)))?;
        }
        let help = "Seconds that nodes have spent in each state since this process looks.";
        let name = "everynode_daemonset_node_seconds";
        let mut seconds = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, coverage, state) in self.states() {
            let millis = coverage.node_millis(state, self.now);
            seconds
                .encode_family(&labels)?
                .encode_counter::<NoLabelSet, _, f64>(&seconds_of(millis), None)?;
        }
        let help = "For how long nodes from which a roll-out took the ready pod had none.";
        let name = "everynode_rollout_unserved_seconds";
        let mut unserved = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (labels, coverage) in &self.accounts {
            let seen = coverage.unserved();
            let bounds = UNSERVED_SECONDS.iter().map(|bound| f64::from(*bound)).chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = bounds.zip(seen.nodes).collect();
            let count = seen.nodes.iter().sum();
            let mut metric = unserved.encode_family(labels)?;
            metric.encode_histogram::<NoLabelSet>(seconds_of(seen.millis), count, &buckets, None)?;
        }
        Ok(())
    }
}

fn seconds_of(millis: u64) -> f64 {
    millis as f64 / 1000.0
}
