//! What daemons use: asked for while a cluster is watched, or as a snapshot has it; and why it is not there.

use std::time::Duration;

use everynode_client::{Client, Error};
use everynode_inspect::LeanFleet;
use everynode_inspect::outliers::{INSTANCE_TYPE, Report};
use everynode_inspect::status::Filter;
use everynode_inspect::usage::{BeforeAfter, Measure, Sampled, Usage, sampled};
use everynode_plan::{UsageSample, usage_now};
use futures::stream::{self, BoxStream, StreamExt};
use serde_json::{Map, Value, json};

use crate::picture::{Picture, Places};

/// How often a cluster is asked.
const PAUSE: Duration = Duration::from_secs(30);
/// Of more pods nothing is asked: the list of so many has 8 MB.
const MOST_PODS: usize = 20_000;
/// Nodes of which points before and after are told, at most.
const POINTS: usize = 2_000;

/// What one look at the cluster's figures gave.
type Looked = Result<Vec<(String, String, UsageSample)>, Error>;

/// What daemons use.
#[derive(Debug, Default)]
pub struct Used {
    usage: Usage,
    /// Why there are no figures, a sentence.
    missing: Option<String>,
}

impl Used {
    /// Of a cluster that was not asked yet.
    pub fn awaited() -> Used {
        Used { missing: Some("The first figures come within a minute.".to_owned()), ..Used::default() }
    }

    /// Takes in what a snapshot has. They come in the order of time.
    pub fn take_snapshot(&mut self, later: Usage) {
        self.usage.follow(later);
        let hint =
            "This snapshot has no samples of what pods use: everynode snapshot FILE --samples 5m takes some.";
        self.missing = self.usage.is_empty().then(|| hint.to_owned());
    }

    /// Takes in what the cluster has said.
    pub fn take(&mut self, fleet: &LeanFleet, looked: Looked) {
        if fleet.pod_count() > MOST_PODS {
            *self = Used {
                missing: Some(
                    "Of more than 20,000 pods figures are not asked for: a snapshot with --samples has them."
                        .to_owned(),
                ),
                ..Used::default()
            };
            return;
        }
        match looked {
            Ok(list) => {
                let sampled: Sampled<'_> = list
                    .iter()
                    .map(|(namespace, name, sample)| {
                        ((namespace.as_str(), name.as_str()), std::slice::from_ref(sample))
                    })
                    .collect();
                fleet.watch_usage(&mut self.usage, &sampled);
                let nothing = "The cluster has no figures of these pods yet.";
                self.missing = self.usage.is_empty().then(|| nothing.to_owned());
            }
            Err(error) => self.missing = Some(unreadable(&error)),
        }
    }

    /// Why there are no figures; what there was stays.
    fn told(&self, mut value: Value) -> Value {
        value["missing"] = self.missing.clone().filter(|_| self.usage.is_empty()).into();
        value
    }

    /// Each daemon on each node against its peers: of each DaemonSet the places of nodes, and hundredths.
    pub fn peers(&self, fleet: &LeanFleet, picture: &Picture, measure: Measure) -> Value {
        let places = Places::of(picture);
        let mut columns: Map<String, Value> = Map::new();
        for peer in self.usage.peers(&fleet.frame().nodes, INSTANCE_TYPE, measure) {
            let Some(place) = places.get(&peer.node) else { continue };
            let cells = columns.entry(&*peer.daemonset).or_insert_with(|| json!([]));
            if let Some(cells) = cells.as_array_mut() {
                cells.extend([json!(place), json!((peer.times * 100.0).round().min(1e9))]);
            }
        }
        self.told(json!({"label": INSTANCE_TYPE, "measure": measure.name(), "columns": columns}))
    }

    /// What `everynode outliers` says.
    pub fn outliers(&self, fleet: &LeanFleet) -> Value {
        let report = Report::of_usage(&self.usage, None, &fleet.frame().nodes, &Filter::default(), None);
        self.told(serde_json::to_value(report).unwrap_or_default())
    }

    /// What a DaemonSet used before and after its nodes got the revision of this hash.
    pub fn before_after(&self, daemonset: &str, revision: &str, measure: Measure) -> Value {
        let mut points = self.usage.before_after(daemonset, revision, measure);
        // Updated nodes are fewer, and what it is about.
        points.sort_by_key(|point| !point.is_updated);
        let updated = points.partition_point(|point| point.is_updated);
        let times = |points: &[BeforeAfter]| {
            let mut times: Vec<f64> = points.iter().map(|point| point.after / point.before).collect();
            times.sort_by(f64::total_cmp);
            times.get(times.len() / 2).copied().filter(|times| times.is_finite())
        };
        let (updated_times, other_times) = (times(&points[..updated]), times(&points[updated..]));
        let others = points.len() - updated;
        points.truncate(POINTS);
        self.told(json!({
            "measure": measure.name(),
            "points": points,
            "updated": updated,
            "others": others,
            "updatedTimes": updated_times,
            "otherTimes": other_times,
        }))
    }
}

/// What the pods of a snapshot used.
pub fn usage_of(fleet: &LeanFleet) -> Usage {
    let mut usage = Usage::default();
    let sampled = sampled(fleet.frame());
    if !sampled.is_empty() {
        fleet.watch_usage(&mut usage, &sampled);
    }
    usage
}

fn unreadable(error: &Error) -> String {
    match error.code() {
        Some(404) => "The cluster does not serve metrics.k8s.io: metrics-server brings it.".to_owned(),
        Some(403) => "You may not list pods.metrics.k8s.io.".to_owned(),
        _ => format!("What pods use could not be read: {error}"),
    }
}

/// Looks at the figures of a cluster again and again.
pub fn looks(client: Client, namespace: Option<String>) -> BoxStream<'static, Looked> {
    let look = |(client, namespace, is_first): (Client, Option<String>, bool)| async move {
        if !is_first {
            tokio::time::sleep(PAUSE).await;
        }
        let looked = usage_now(&client, namespace.as_deref()).await;
        Some((looked, (client, namespace, false)))
    };
    stream::unfold((client, namespace, true), look).boxed()
}
