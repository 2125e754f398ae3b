//! What the watches bring, on its way to the engine.

use std::sync::Arc;
use std::time::Duration;

use everynode_client::{Client, Error, Event, ListWatch};
use everynode_engine::Kind;
use futures::{FutureExt, Stream, StreamExt};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Metrics;
use crate::metrics::kind_name;

/// The kinds that are watched.
pub(crate) const KINDS: [Kind; 4] = [Kind::Node, Kind::DaemonSet, Kind::Revision, Kind::Pod];

/// One event of one watch. It is decoded where the engine is, because what is decoded borrows from it.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) kind: Kind,
    pub(crate) event: Event,
    /// When it came.
    pub(crate) at: Instant,
}

/// The path of a kind's collection; nodes have no namespace.
pub(crate) fn path(kind: Kind, namespace: Option<&str>) -> String {
    let (group, plural) = match kind {
        Kind::Node => return "/api/v1/nodes".to_owned(),
        Kind::Pod => ("/api/v1", "pods"),
        Kind::DaemonSet => ("/apis/apps/v1", "daemonsets"),
        Kind::Revision => ("/apis/apps/v1", "controllerrevisions"),
    };
    match namespace {
        Some(namespace) => format!("{group}/namespaces/{namespace}/{plural}"),
        None => format!("{group}/{plural}"),
    }
}

/// Requests to list a kind anew, because its watch has not shown what is known to be there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Relists {
    asked: [Arc<Notify>; KINDS.len()],
}

impl Relists {
    /// Starts the watch of a kind over with a list. Asking again before it has begun changes nothing.
    pub(crate) fn ask(&self, kind: Kind) {
        self.asked[kind as usize].notify_one();
    }

    async fn asked(&self, kind: Kind) {
        self.asked[kind as usize].notified().await;
    }
}

/// The rest after changes of nodes. Kubelets write at any time; a look at the network for each of their heartbeats
/// costs more than the heartbeat, and nothing about a node is that urgent.
const NODE_REST: Duration = Duration::from_millis(10);

/// More changes than these in a millisecond are a burst, such as of nodes that join together: it is taken in whole, as
/// the connection hands its lines on one at a time and a rest after each would make seconds of it.
const BURST_PER_MILLI: u128 = 2;

/// How long the next change of a burst is waited for.
const BURST_GAP: Duration = Duration::from_millis(1);

/// What came of a watch since its last rest.
struct Since {
    rest: Instant,
    changes: u128,
}

impl Since {
    fn now() -> Since {
        Since { rest: Instant::now(), changes: 0 }
    }

    fn is_burst(&self) -> bool {
        self.changes > BURST_PER_MILLI * self.rest.elapsed().as_millis()
    }
}

/// Follows one kind until cancelled, or until nobody listens.
pub(crate) async fn follow(
    kind: Kind,
    list: ListWatch,
    client: Client,
    metrics: Metrics,
    relists: Relists,
    arrivals: mpsc::Sender<Arrival>,
    cancel: CancellationToken,
) {
    let path = list.path();
    let mut events = list.clone().run(client.clone());
    let (mut complaint, mut since) = (Complaint::new(kind_name(kind), plural(kind)), Since::now());
    loop {
        let is_burst = kind == Kind::Node && since.is_burst();
        let event = match next_at_once(&mut events, is_burst).await {
            Some(event) => event,
            None => {
                if since.changes > 0 && kind == Kind::Node {
                    let _ = cancel.run_until_cancelled(tokio::time::sleep(NODE_REST)).await;
                }
                since = Since::now();
                tokio::select! {
                    biased;
                    () = cancel.cancelled() => break,
                    event = events.next() => event,
                    () = relists.asked(kind) => {
                        tracing::warn!("the watch of {path} is behind: it does not show what was written; listing anew");
                        events = list.clone().run(client.clone());
                        continue;
                    }
                }
            }
        };
        let Some(event) = event else { break };
        if let Event::Interrupted(error) = &event {
            metrics.interruption(kind_name(kind));
            complaint.about(path, error);
            continue;
        }
        complaint.ended();
        since.changes += u128::from(matches!(event, Event::Applied(_) | Event::Deleted(_)));
        let arrival = Arrival { kind, event, at: Instant::now() };
        match cancel.run_until_cancelled(arrivals.send(arrival)).await {
            Some(Ok(())) => {}
            Some(Err(_)) | None => break,
        }
    }
}

/// The next event, if it is there or, in a burst, about to come.
async fn next_at_once<S: Stream + Unpin>(events: &mut S, is_burst: bool) -> Option<Option<S::Item>> {
    match events.next().now_or_never() {
        None if is_burst => tokio::time::timeout(BURST_GAP, events.next()).await.ok(),
        found => found,
    }
}

/// Says a trouble of a watch once, until it is over or becomes another one.
pub(crate) struct Complaint {
    kind: &'static str,
    resource: &'static str,
    said: String,
}

impl Complaint {
    /// About the objects of a kind, and their resource as rules of roles name it.
    pub(crate) fn new(kind: &'static str, resource: &'static str) -> Complaint {
        Complaint { kind, resource, said: String::new() }
    }

    pub(crate) fn about(&mut self, path: &str, error: &Error) {
        // A watch whose version has become too old, or that nothing happened on, is everyday life.
        if error.is_expired() || matches!(error, Error::TimedOut(_)) {
            tracing::debug!("the watch of {path} is opened anew: {error}");
            return;
        }
        let text = error.to_string();
        if text == self.said {
            return;
        }
        match error.code() {
            Some(403) => tracing::warn!(
                "cannot watch {path}: {text}; give this user the verbs list and watch on {} and it goes on by itself",
                self.resource
            ),
            _ => tracing::warn!("the watch of {path} is interrupted, trying again: {text}"),
        }
        self.said = text;
    }

    pub(crate) fn ended(&mut self) {
        if !self.said.is_empty() {
            self.said.clear();
            tracing::info!("the watch of {} objects goes on", self.kind);
        }
    }
}

/// The resource of a kind as rules of roles name it.
fn plural(kind: Kind) -> &'static str {
    match kind {
        Kind::Node => "nodes",
        Kind::Pod => "pods",
        Kind::DaemonSet => "daemonsets.apps",
        Kind::Revision => "controllerrevisions.apps",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_narrows_all_but_nodes() {
        for (kind, all, one) in [
            (Kind::Node, "/api/v1/nodes", "/api/v1/nodes"),
            (Kind::Pod, "/api/v1/pods", "/api/v1/namespaces/x/pods"),
            (Kind::DaemonSet, "/apis/apps/v1/daemonsets", "/apis/apps/v1/namespaces/x/daemonsets"),
            (
                Kind::Revision,
                "/apis/apps/v1/controllerrevisions",
                "/apis/apps/v1/namespaces/x/controllerrevisions",
            ),
        ] {
            assert_eq!(path(kind, None), all);
            assert_eq!(path(kind, Some("x")), one);
        }
    }
}
