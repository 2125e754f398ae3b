//! Event objects do not live for ever: the old ones go, and the oldest when there are too many.

use std::sync::Arc;
use std::time::Duration;

use everynode_model::time;
use tokio::sync::watch;

use crate::meta;
use crate::state::State;
use crate::store::{Action, Expect, Key, Stored, TableId, Write};

/// How often the sweeper looks.
const INTERVAL: Duration = Duration::from_secs(30);

/// Deletions per look at most; the rest waits for the next one.
const DELETIONS: usize = 2_000;

/// Sweeps until the server stops.
pub async fn run(state: Arc<State>, mut stop: watch::Receiver<bool>) {
    let Some(table) = state.catalog.table_named("", "v1", "events") else { return };
    loop {
        let stopped = tokio::time::timeout(INTERVAL, stop.wait_for(|stopped| *stopped)).await.is_ok();
        if stopped {
            return;
        }
        sweep(&state, table, state.now()).await;
    }
}

/// Deletes the event objects that are too old or too many at `now`, Unix time in seconds.
pub async fn sweep(state: &State, table: TableId, now: i64) {
    let life_seconds = i64::try_from(state.config.event_life.as_secs()).unwrap_or(i64::MAX);
    let listing = state.store.list(table, None);
    let surplus = listing.items.len().saturating_sub(state.config.event_limit);
    let mut aged: Vec<(i64, Key, Arc<Stored>)> =
        listing.items.into_iter().map(|(key, stored)| (last_seen(&stored), key, stored)).collect();
    aged.sort_by_key(|(seen, ..)| *seen);
    let doomed = aged
        .into_iter()
        .enumerate()
        .take_while(|(at, (seen, ..))| *at < surplus || seen.saturating_add(life_seconds) < now);
    for (_, (_, key, stored)) in doomed.take(DELETIONS) {
        let write = Write {
            table,
            namespace: key.0.to_string(),
            name: key.1.to_string(),
            expect: Expect::Revision(stored.revision),
            action: Action::Remove(None),
        };
        // An event that was just counted up again is younger now and stays.
        if let Err(error) = state.store.write(write).await {
            tracing::debug!(%error, "an old event stays");
        }
    }
}

/// When an event was last seen, Unix time in seconds.
fn last_seen(stored: &Stored) -> i64 {
    let event = stored.value();
    let at = |pointer: &str| {
        let text = event.pointer(pointer)?.as_str()?;
        time::parse(text).ok()
    };
    let seen = [at("/lastTimestamp"), at("/series/lastObservedTime"), at("/eventTime")];
    let created = time::parse(meta::text(&event, "creationTimestamp")).ok();
    seen.into_iter().chain([created]).flatten().max().unwrap_or(0)
}
