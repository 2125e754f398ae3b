//! The task that sees to it that a node does not run out of anything.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::pressure::{Pressure, Pressures};
use super::thresholds::{Shortage, Thresholds};
use super::{rank, usage};
use crate::context::Context;
use crate::measure;
use crate::runtime::Listing;

/// Between two looks, and after a pod had to go: its memory may be free a moment later.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
const EVICTION_PAUSE: Duration = Duration::from_secs(1);
/// How long the end of a pod is waited for before another one has to go.
const END_LIMIT: Duration = Duration::from_secs(30);

/// A pod that has to go.
#[derive(Debug, Clone)]
pub struct Eviction {
    /// Its uid.
    pub uid: String,
    /// Why, for its status.
    pub message: Arc<str>,
}

/// Looks again and again until it is cancelled: says in `told` what the node is short of, and in `evictions` who has to
/// go.
pub async fn keep(
    context: Arc<Context>,
    thresholds: Thresholds,
    listings: watch::Receiver<Arc<Listing>>,
    told: watch::Sender<BTreeSet<Pressure>>,
    evictions: mpsc::Sender<Eviction>,
    cancelled: CancellationToken,
) {
    let pressures = Pressures::new(thresholds);
    let mut keeper = Keeper { context, listings, told, evictions, pressures, is_helpless: false };
    let looking = async {
        // Who could go is known once the runtime has told what it has.
        let _ = keeper.listings.wait_for(|listing| listing.number > 0).await;
        loop {
            let has_evicted = keeper.look().await;
            sleep(if has_evicted { EVICTION_PAUSE } else { LOOK_INTERVAL }).await;
        }
    };
    tokio::select! {
        () = cancelled.cancelled() => {}
        () = looking => {}
    }
}

struct Keeper {
    context: Arc<Context>,
    listings: watch::Receiver<Arc<Listing>>,
    told: watch::Sender<BTreeSet<Pressure>>,
    evictions: mpsc::Sender<Eviction>,
    pressures: Pressures,
    /// Nobody could go the last time, which has been told.
    is_helpless: bool,
}

impl Keeper {
    /// Looks once, and does what is to be done. Returns whether a pod had to go.
    async fn look(&mut self) -> bool {
        let Some(mut shortage) = self.read().await else { return false };
        if Pressure::of(shortage.signal) == Pressure::Disk {
            // What nobody uses goes before what runs.
            if let Err(error) = self.context.images.free(&self.context, u64::MAX).await {
                tracing::warn!(%error, "images that nobody uses are not removed");
            }
            match self.read().await {
                Some(still) => shortage = still,
                None => return false,
            }
        }
        self.evict(shortage).await
    }

    /// What is short now, and is to be seen to first.
    async fn read(&mut self) -> Option<Shortage> {
        let readings = measure::now(&self.context).await;
        let short = self.pressures.observe(&readings, self.context.now().millis);
        let told = self.pressures.told();
        self.told.send_if_modified(|before| {
            let is_new = *before != told;
            *before = told;
            is_new
        });
        short.first().copied()
    }

    /// Has one pod go, and waits until it has ended. Returns whether there was one.
    async fn evict(&mut self, shortage: Shortage) -> bool {
        let listing = self.listings.borrow().clone();
        let candidates = usage::candidates(&self.context, &listing, shortage.signal).await;
        let Some(pod) = rank::first(candidates) else {
            if !self.is_helpless {
                tracing::warn!(?shortage, "the node runs short, and no pod can go");
            }
            self.is_helpless = true;
            return false;
        };
        self.is_helpless = false;
        let uid = pod.uid.clone();
        tracing::warn!(?shortage, ?pod, "a pod has to go");
        let eviction = Eviction { uid: pod.uid, message: shortage.message().into() };
        if self.evictions.send(eviction).await.is_err() {
            return false;
        }
        let has_ended = |listing: &Arc<Listing>| {
            listing.pods.get(&uid).is_none_or(|view| view.running().next().is_none())
        };
        // One that takes longer is not waited for.
        let _ = timeout(END_LIMIT, self.listings.wait_for(has_ended)).await;
        true
    }
}
