//! Roll-out policies on their way to the engine: followed like other kinds, but told as a whole.
//!
//! The engine decides nothing before it knows the policies, because a roll-out that goes on without the policy that
//! should hold it cannot be taken back. So three answers of the API server differ: a list is what it is; a kind that
//! is not served has no objects, and is asked for again after [`ABSENT_PAUSE`]; a refusal says nothing about
//! policies, and is waited out.

use std::time::Duration;

use everynode_api::rollout_policy::{KIND, RESOURCE};
use everynode_client::{Client, Collection, Event, ListWatch};
use everynode_engine::policy::{PolicyFact, PolicyRef};
use futures::StreamExt;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::Metrics;
use crate::ingest::Complaint;

/// How soon a kind that is not served is asked for again: installing it later needs no restart.
const ABSENT_PAUSE: Duration = Duration::from_secs(60);

/// All policies.
pub(crate) type AllPolicies = Vec<PolicyFact>;

/// Sends all policies, and again after each change, until cancelled or until nobody listens.
pub(crate) async fn follow(
    list: ListWatch,
    client: Client,
    metrics: Metrics,
    policies: mpsc::Sender<AllPolicies>,
    cancel: CancellationToken,
) {
    let all = follow_all(list, client, metrics, policies);
    cancel.run_until_cancelled(all).await;
}

async fn follow_all(list: ListWatch, client: Client, metrics: Metrics, policies: mpsc::Sender<AllPolicies>) {
    let mut set = Set::default();
    let mut complaint = Complaint::new(KIND, RESOURCE);
    let mut events = list.clone().run(client.clone());
    while let Some(event) = events.next().await {
        if let Event::Interrupted(error) = &event {
            if error.code() == Some(404) {
                tracing::debug!("{} is not served; asking again in {ABSENT_PAUSE:?}", list.path());
                if policies.send(set.clear()).await.is_err() {
                    return;
                }
                tokio::time::sleep(ABSENT_PAUSE).await;
                events = list.clone().run(client.clone());
                continue;
            }
            metrics.interruption(KIND);
            complaint.about(list.path(), error);
            continue;
        }
        complaint.ended();
        if set.take(event) && policies.send(set.all()).await.is_err() {
            return;
        }
    }
}

/// What is known of the collection.
#[derive(Default)]
struct Set {
    known: Collection<PolicyRef, PolicyFact>,
}

impl Set {
    /// Whether there is something to tell.
    fn take(&mut self, event: Event) -> bool {
        match event {
            Event::Restarted => self.known.begin_list(),
            Event::InitialObject(object) | Event::Applied(object) => {
                if let Some(policy) = read(&object) {
                    self.known.put(policy.key.clone(), policy);
                }
            }
            Event::Deleted(object) => {
                if let Some(policy) = read(&object) {
                    self.known.remove(&policy.key);
                }
            }
            Event::InitialDone(_) => drop(self.known.end_list()),
            Event::Bookmark(_) | Event::Interrupted(_) => return false,
        }
        !self.known.is_listing()
    }

    fn all(&self) -> AllPolicies {
        self.known.values().cloned().collect()
    }

    /// There are none, because their kind is not served.
    fn clear(&mut self) -> AllPolicies {
        *self = Set::default();
        AllPolicies::new()
    }
}

fn read(object: &[u8]) -> Option<PolicyFact> {
    let policy = serde_json::from_slice::<Value>(object).ok().as_ref().and_then(PolicyFact::from_json);
    if policy.is_none() {
        tracing::warn!("skipping a {KIND} that cannot be read: {}", crate::decode::name_of(object));
    }
    policy
}

#[cfg(test)]
#[path = "policies_tests.rs"]
mod tests;
