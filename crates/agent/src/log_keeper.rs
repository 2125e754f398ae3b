//! Keeps logs from filling the disk: one that has become large is put aside, and the runtime begins a new one.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use everynode_cri::messages::ReopenContainerLogRequest;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::layout::{Layout, log_path};
use crate::logs::{self, SIZE_LIMIT_BYTES};
use crate::runtime::Listing;

/// Between two looks at the sizes of logs, as the kubelet takes them.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// How long the runtime may take to begin a log anew.
const DEADLINE: Duration = Duration::from_secs(10);

/// Looks at the logs of the containers that run until it is cancelled.
pub async fn keep(
    context: Arc<Context>,
    listings: watch::Receiver<Arc<Listing>>,
    cancelled: CancellationToken,
) {
    let mut ticks = interval(LOOK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = cancelled.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let listing = listings.borrow().clone();
        for (id, log) in growing(&context.layout, &listing) {
            if cancelled.is_cancelled() {
                return;
            }
            if let Err(error) = look_at(&context, &id, &log).await {
                tracing::warn!(log = %log.display(), error, "a log was not put aside");
            }
        }
    }
}

/// The containers that run, and their logs: others do not grow.
fn growing(layout: &Layout, listing: &Listing) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for (uid, owner) in &listing.owners {
        let containers = listing.pods.get(uid).map(|view| view.containers()).unwrap_or_default();
        let folder = layout.logs(owner);
        let running = containers.iter().filter(|one| one.is_running());
        found.extend(running.map(|one| (one.id.clone(), folder.join(log_path(&one.name, one.attempt)))));
    }
    found
}

async fn look_at(context: &Context, id: &str, log: &Path) -> Result<(), String> {
    let reopen = async || {
        let request = ReopenContainerLogRequest { container_id: id.to_owned() };
        let reopened = context.runtime.call(request, DEADLINE).await;
        reopened.map(drop).map_err(|error| error.to_string())
    };
    match tokio::fs::metadata(log).await {
        Ok(metadata) if metadata.len() < SIZE_LIMIT_BYTES => Ok(()),
        Ok(_) => logs::rotate(log, context.now().wall_seconds(), reopen).await,
        // An agent ended just when it had put the log aside.
        Err(error) if error.kind() == ErrorKind::NotFound => reopen().await,
        Err(error) => Err(error.to_string()),
    }
}
