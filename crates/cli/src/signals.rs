//! Ctrl-C and SIGTERM, which end a command.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::view::restore_terminal;

/// Status of a process that a second signal ended, as shells have it for Ctrl-C.
const INTERRUPTED: i32 = 130;

/// Cancels `stop` on Ctrl-C and on SIGTERM. The second one ends the process at once; every acknowledged write is
/// on disk by then.
pub fn stop_on_signals(stop: CancellationToken) {
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        let stop = stop.clone();
        match signal(kind) {
            Ok(mut signal) => {
                tokio::spawn(async move {
                    while signal.recv().await.is_some() {
                        if stop.is_cancelled() {
                            restore_terminal();
                            std::process::exit(INTERRUPTED);
                        }
                        stop.cancel();
                    }
                });
            }
            Err(error) => tracing::warn!(%error, "signals cannot be caught; stop with SIGKILL"),
        }
    }
}
