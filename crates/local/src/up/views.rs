//! Follows the cluster through watches and publishes snapshots of it.

use std::sync::Arc;
use std::time::Duration;

use everynode_client::{Client, Event, ListWatch};
use futures::StreamExt;
use futures::stream::select_all;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::model::{Followed, Model, Snapshot};

/// The shortest time between two snapshots: each costs a pass over all pods.
const INTERVAL: Duration = Duration::from_millis(100);

const COLLECTIONS: [(Followed, &str); 4] = [
    (Followed::DaemonSets, "/apis/apps/v1/daemonsets"),
    (Followed::Nodes, "/api/v1/nodes"),
    (Followed::Pods, "/api/v1/pods"),
    (Followed::Events, "/api/v1/events"),
];

/// Starts following; the receiver has an empty snapshot until the first lists are in.
pub fn follow(
    parts: &mut JoinSet<()>,
    client: Client,
    cancel: CancellationToken,
) -> watch::Receiver<Arc<Snapshot>> {
    let (sender, receiver) = watch::channel(Arc::default());
    parts.spawn(async move {
        cancel.run_until_cancelled(run(client, sender)).await;
    });
    receiver
}

async fn run(client: Client, sender: watch::Sender<Arc<Snapshot>>) {
    let streams = COLLECTIONS.map(|(followed, path)| {
        ListWatch::new(path).run(client.clone()).map(move |event| (followed, event)).boxed()
    });
    let mut events = select_all(streams);
    let mut model = Model::default();
    let mut listed = 0;
    let mut changed = false;
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some((followed, event)) => {
                    listed += usize::from(matches!(event, Event::InitialDone(_)));
                    changed |= take(&mut model, followed, event);
                }
                None => return,
            },
            _ = interval.tick(), if changed && listed >= COLLECTIONS.len() => {
                changed = false;
                sender.send_replace(Arc::new(model.snapshot()));
            }
        }
    }
}

fn take(model: &mut Model, followed: Followed, event: Event) -> bool {
    match event {
        Event::Restarted => model.reset(followed),
        Event::InitialObject(object) | Event::Applied(object) => model.apply(followed, &object),
        Event::Deleted(object) => model.delete(followed, &object),
        Event::Interrupted(error) => {
            tracing::debug!(%error, ?followed, "the view's watch was interrupted");
            return false;
        }
        Event::InitialDone(_) | Event::Bookmark(_) => {}
    }
    true
}
