//! Events on DaemonSets: a lane of their own, which never delays a pod and drops what is too much.

mod correlator;

use std::sync::Arc;
use std::time::Duration;

use everynode_client::Clock;
use everynode_engine::{DaemonSetRef, Event, Time};
use everynode_model::encode::to_vec;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::Metrics;
use crate::api::Api;
use crate::events::correlator::{Correlator, Decision, Row};

/// The name under which the controller reports (specification 1.L).
const COMPONENT: &str = "daemonset-controller";
/// Events that may wait.
const WAITING: usize = 1000;
/// How often an event is tried while the server cannot be reached.
const ATTEMPTS: u32 = 4;
/// The pause between two attempts.
const PAUSE: Duration = Duration::from_secs(5);

type Asked = (Arc<DaemonSetRef>, Event);

/// Takes events in. Clones share the lane.
#[derive(Clone, Debug)]
pub(crate) struct Recorder {
    lane: mpsc::Sender<Asked>,
    metrics: Metrics,
}

impl Recorder {
    /// A recorder, and what it feeds; [`Lane::run`] is to be run.
    pub(crate) fn new(api: Api, clock: Arc<dyn Clock>, metrics: Metrics) -> (Recorder, Lane) {
        let (lane, asked) = mpsc::channel(WAITING);
        (Recorder { lane, metrics }, Lane { api, clock, asked, correlator: Correlator::default() })
    }

    /// Queues an event to be recorded, or drops it when too many are waiting.
    pub(crate) fn record(&self, daemonset: Arc<DaemonSetRef>, event: Event) {
        if self.lane.try_send((daemonset, event)).is_err() {
            self.metrics.event_dropped();
        }
    }
}

/// Sends events, one at a time.
#[derive(Debug)]
pub(crate) struct Lane {
    api: Api,
    clock: Arc<dyn Clock>,
    asked: mpsc::Receiver<Asked>,
    correlator: Correlator,
}

impl Lane {
    /// Runs until cancelled, or until there is no recorder any more.
    pub(crate) async fn run(mut self, cancel: CancellationToken) {
        cancel.run_until_cancelled_owned(async move { while self.next().await.is_some() {} }).await;
    }

    async fn next(&mut self) -> Option<()> {
        let (daemonset, event) = self.asked.recv().await?;
        let (reason, warning) = (event.reason, event.warning);
        let now = Time(self.clock.unix_millis());
        let row = match self.correlator.decide(daemonset.uid, &daemonset.name, event, now) {
            Decision::Drop => return Some(()),
            Decision::Create(row) => self.create(&daemonset, reason, warning, row).await,
            Decision::CountUp(row) => self.count_up(&daemonset, reason, warning, row).await,
        };
        if let Some(row) = row {
            self.correlator.recorded(row);
        }
        Some(())
    }

    async fn create(&self, daemonset: &DaemonSetRef, reason: &str, warning: bool, row: Row) -> Option<Row> {
        let path = format!("/api/v1/namespaces/{}/events", daemonset.namespace);
        let body = body(daemonset, reason, warning, &row);
        for _ in 0..ATTEMPTS {
            match self.api.post_for_metadata(&path, body.clone()).await {
                Ok(_) => return Some(row),
                Err(error) if error.is_transient() => tokio::time::sleep(PAUSE).await,
                Err(error) => {
                    tracing::debug!(%error, daemonset = %daemonset.name, reason, "event refused");
                    return None;
                }
            }
        }
        None
    }

    async fn count_up(&self, daemonset: &DaemonSetRef, reason: &str, warning: bool, row: Row) -> Option<Row> {
        let path = format!("/api/v1/namespaces/{}/events/{}", daemonset.namespace, row.name);
        let patch = to_vec(&json!({
            "count": row.count,
            "lastTimestamp": timestamp(row.last),
            "message": row.message,
        }));
        match self.api.strategic_patch_for_metadata(&path, patch).await {
            Ok(_) => Some(row),
            // Events live for an hour or so.
            Err(error) if error.is_not_found() => self.create(daemonset, reason, warning, row).await,
            Err(error) => {
                tracing::debug!(%error, daemonset = %daemonset.name, reason, "event refused");
                None
            }
        }
    }
}

fn body(daemonset: &DaemonSetRef, reason: &str, warning: bool, row: &Row) -> Vec<u8> {
    to_vec(&json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": row.name, "namespace": daemonset.namespace},
        "involvedObject": {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "namespace": daemonset.namespace,
            "name": daemonset.name,
            "uid": daemonset.uid.to_string(),
        },
        "reason": reason,
        "message": row.message,
        "source": {"component": COMPONENT},
        "firstTimestamp": timestamp(row.first),
        "lastTimestamp": timestamp(row.last),
        "count": row.count,
        "type": if warning { "Warning" } else { "Normal" },
        "reportingComponent": COMPONENT,
        "reportingInstance": "",
    }))
}

/// RFC 3339 in whole seconds, the form of Kubernetes' own times.
fn timestamp(time: Time) -> String {
    jiff::Timestamp::from_second(time.seconds()).unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use everynode_engine::Uid;

    use super::*;

    /// Statement A1.
    #[test]
    fn an_event_names_its_daemonset_and_its_source() {
        let daemonset = DaemonSetRef { namespace: "ns".to_owned(), name: "ds".to_owned(), uid: Uid(1) };
        let time = Time(1_767_323_045_678);
        let event = Event { warning: true, reason: "FailedCreate", message: "Error creating: x".to_owned() };
        let Decision::Create(row) = Correlator::default().decide(Uid(1), "ds", event, time) else { panic!() };
        let value: serde_json::Value =
            serde_json::from_slice(&body(&daemonset, "FailedCreate", true, &row)).unwrap();
        assert_eq!(value["involvedObject"]["uid"], Uid(1).to_string());
        assert_eq!(value["source"]["component"], "daemonset-controller");
        assert_eq!(value["firstTimestamp"], "2026-01-02T03:04:05Z");
        assert_eq!((&value["type"], &value["count"]), (&"Warning".into(), &1.into()));
    }
}
