//! The service `kubernetes` is always there: who deletes it, or its endpoints, finds it again at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::bootstrap;
use crate::state::State;
use crate::store::TableId;

/// The pause after an attempt that failed.
const PAUSE: Duration = Duration::from_secs(1);

/// Makes the service and its endpoints anew when they go, until the server stops.
pub async fn run(state: Arc<State>, mut stop: watch::Receiver<bool>) {
    let table = |group, plural| state.catalog.table_named(group, "v1", plural);
    let tables = [table("", "services"), table("", "endpoints"), table("discovery.k8s.io", "endpointslices")];
    let tables: Vec<TableId> = tables.into_iter().flatten().collect();
    loop {
        // The watches begin before the look, so that nothing falls in between.
        let revision = state.store.revision();
        let mut watchers: Vec<_> =
            tables.iter().filter_map(|table| state.store.watch(*table, revision).ok()).collect();
        if watchers.is_empty() {
            return;
        }
        if let Err(error) = bootstrap::ensure_own_service(&state).await {
            tracing::warn!(error = error.message, "the service kubernetes was not made anew");
            tokio::time::sleep(PAUSE).await;
        }
        let changed = watchers.iter_mut().map(|watcher| Box::pin(watcher.ready()));
        tokio::select! {
            _ = futures::future::select_all(changed) => {}
            _ = stop.wait_for(|stopped| *stopped) => return,
        }
    }
}
