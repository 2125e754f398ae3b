//! A fleet that follows its cluster by watches of nodes, DaemonSets, their revisions, pods and roll-out policies.
//!
//! What other pods take, quotas and priority classes stay as they were read first.

use std::collections::BTreeSet;

use everynode_api::rollout_policy::PLURAL;
use everynode_client::{Client, Collection, Event, ListWatch};
use everynode_engine::policy::PolicyFact;
use everynode_plan::read::{self, PodRead};
use everynode_plan::record::{Revision, Text};
use everynode_plan::{Fleet, Mask};
use futures::stream::{BoxStream, SelectAll, StreamExt};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::lean::LeanFleet;

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Watched {
    Nodes,
    DaemonSets,
    Revisions,
    Pods,
    Policies,
}

/// A fleet that is kept up to date.
pub struct Live {
    events: SelectAll<BoxStream<'static, (Watched, Event)>>,
    fleet: LeanFleet,
    /// DaemonSets of other namespaces: it is only told that there are some.
    others: Vec<Value>,
    mask: Mask,
    daemonsets: Collection<String, Value>,
    revisions: Collection<String, Revision>,
    policies: Collection<String, PolicyFact>,
    changes: Changes,
    interrupted: Option<String>,
}

/// What events have changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Something that concerns all DaemonSets.
    pub all: bool,
    /// Something of these DaemonSets, by their uids.
    pub daemonsets: BTreeSet<Text>,
}

impl Changes {
    /// Nothing has changed.
    pub fn is_empty(&self) -> bool {
        !self.all && self.daemonsets.is_empty()
    }

    /// Takes in what has changed since.
    pub fn merge(&mut self, since: Changes) {
        self.all |= since.all;
        self.daemonsets.extend(since.daemonsets);
    }

    /// Takes a change of the objects of a DaemonSet in; of objects that nobody controls, by no uid.
    fn note(&mut self, uid: Text) {
        match uid.is_empty() {
            true => self.all = true,
            false => drop(self.daemonsets.insert(uid)),
        }
    }
}

impl Live {
    /// Follows the cluster from a fleet on that was read from it, as far as it could be read. With a namespace, the
    /// pods of that one only; where others must not be read, those of `fallback`.
    pub fn follow(client: &Client, fleet: Fleet, namespace: Option<&str>, fallback: &str) -> Live {
        Live::follow_lean(client, LeanFleet::from(fleet), namespace, fallback)
    }

    /// As [`Live::follow`].
    pub fn follow_lean(
        client: &Client,
        mut fleet: LeanFleet,
        namespace: Option<&str>,
        fallback: &str,
    ) -> Live {
        let base = fleet.frame();
        let place = |root: &str, what: &str| {
            let is_narrowed = !base.sees(what) && !base.misses(what);
            let narrowed = is_narrowed.then_some(fallback);
            match namespace.or(narrowed) {
                Some(namespace) => format!("{root}/namespaces/{namespace}/{what}"),
                None => format!("{root}/{what}"),
            }
        };
        let watches = [
            (Watched::Nodes, "/api/v1/nodes".to_owned(), "nodes"),
            (Watched::DaemonSets, place("/apis/apps/v1", "daemonsets"), "daemonsets"),
            (Watched::Revisions, place("/apis/apps/v1", "controllerrevisions"), "controllerrevisions"),
            (Watched::Pods, place("/api/v1", "pods"), "pods"),
            (Watched::Policies, place(everynode_api::ROOT, PLURAL), PLURAL),
        ];
        let allowed = watches.into_iter().filter(|(.., what)| !base.misses(what));
        let events = allowed.map(|(watched, path, _)| {
            ListWatch::new(path).run(client.clone()).map(move |event| (watched, event)).boxed()
        });
        let events = events.collect();
        let (mask, policies, revisions) = (base.mask.clone(), base.policies.clone(), base.revisions.clone());
        let is_followed = |value: &Value| namespace.is_none_or(|one| value["metadata"]["namespace"] == one);
        let known = fleet.daemonsets().iter().map(|(uid, value)| (uid.clone(), value.clone()));
        let (followed, others): (Vec<_>, Vec<_>) = known.partition(|(_, value)| is_followed(value));
        let daemonsets: Collection<String, Value> = followed.into_iter().collect();
        fleet.set_daemonsets(daemonsets.values());
        Live {
            events,
            mask,
            fleet,
            others: others.into_iter().map(|(_, value)| value).collect(),
            daemonsets,
            revisions: revisions.into_iter().map(|one| (one.uid.clone(), one)).collect(),
            policies: policies.into_iter().map(|one| (one.key.uid.to_string(), one)).collect(),
            changes: Changes::default(),
            interrupted: None,
        }
    }

    /// Waits for the next event; true when the fleet may have changed. It never ends by itself.
    pub async fn next(&mut self) -> bool {
        match self.events.next().await {
            Some((watched, event)) => self.take(watched, event),
            None => std::future::pending().await,
        }
    }

    /// Why the cluster is not heard of, when it is not.
    pub fn interrupted(&self) -> Option<&str> {
        self.interrupted.as_deref()
    }

    /// The fleet as it is known now.
    pub fn fleet(&self, now_millis: i64) -> Fleet {
        let mut fleet = self.fleet.whole(now_millis);
        fleet.daemonsets.extend(self.others.iter().cloned());
        fleet
    }

    /// The same, to be looked at one DaemonSet at a time.
    pub fn lean(&mut self) -> &mut LeanFleet {
        &mut self.fleet
    }

    /// What has changed since this was asked for last.
    pub fn changes(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }

    fn take(&mut self, watched: Watched, event: Event) -> bool {
        if let Event::Interrupted(error) = event {
            // Where the kind is not served there are no policies.
            if watched == Watched::Policies && error.code() == Some(404) {
                let is_gone = !std::mem::take(&mut self.policies).is_empty();
                self.settle(watched, is_gone);
                return is_gone;
            }
            return self.interrupted.replace(error.to_string()).is_none();
        }
        let was_interrupted = self.interrupted.take().is_some();
        let changed = match event {
            Event::Restarted => self.begin_list(watched),
            Event::InitialDone(_) => self.end_list(watched),
            Event::InitialObject(body) | Event::Applied(body) => self.put(watched, &body).is_ok(),
            Event::Deleted(body) => self.remove(watched, &body).is_ok(),
            Event::Bookmark(_) | Event::Interrupted(_) => false,
        };
        changed || was_interrupted
    }

    fn begin_list(&mut self, watched: Watched) -> bool {
        match watched {
            Watched::Nodes => self.fleet.begin_nodes(),
            Watched::DaemonSets => self.daemonsets.begin_list(),
            Watched::Revisions => self.revisions.begin_list(),
            Watched::Pods => self.fleet.begin_pods(),
            Watched::Policies => self.policies.begin_list(),
        }
        false
    }

    fn end_list(&mut self, watched: Watched) -> bool {
        match watched {
            Watched::Nodes => self.changes.all |= self.fleet.end_nodes(),
            Watched::DaemonSets => drop(self.daemonsets.end_list()),
            Watched::Revisions => drop(self.revisions.end_list()),
            Watched::Pods => self.fleet.end_pods().into_iter().for_each(|uid| self.changes.note(uid)),
            Watched::Policies => drop(self.policies.end_list()),
        }
        self.settle(watched, true);
        true
    }

    /// Has the fleet hold what a collection of few objects does.
    fn settle(&mut self, watched: Watched, has_changed: bool) {
        if !has_changed {
            return;
        }
        match watched {
            Watched::Nodes | Watched::Pods => return,
            Watched::DaemonSets => self.fleet.set_daemonsets(self.daemonsets.values()),
            Watched::Revisions => self.fleet.set_revisions(self.revisions.values()),
            Watched::Policies => self.fleet.set_policies(self.policies.values()),
        }
        self.changes.all = true;
    }

    /// Takes an object in. One that cannot be read changes nothing.
    fn put(&mut self, watched: Watched, body: &[u8]) -> serde_json::Result<()> {
        let item: &RawValue = serde_json::from_slice(body)?;
        let is_listing = match watched {
            Watched::Nodes => {
                self.changes.all |= self.fleet.put_node(read::node(item)?);
                true
            }
            Watched::DaemonSets => {
                let mut value: Value = serde_json::from_str(item.get())?;
                self.mask.daemonset(&mut value);
                self.daemonsets.put(value["metadata"]["uid"].as_str().unwrap_or_default().to_owned(), value);
                self.daemonsets.is_listing()
            }
            Watched::Revisions => {
                if let Some(revision) = read::revision(item, &self.mask)? {
                    self.revisions.put(revision.uid.clone(), revision);
                }
                self.revisions.is_listing()
            }
            Watched::Pods => {
                if let PodRead::Kept(pod) = read::pod(item)? {
                    self.changes.note(pod.daemon_set.clone().unwrap_or_default());
                    self.fleet.put_pod(*pod);
                }
                true
            }
            Watched::Policies => {
                if let Some(policy) = PolicyFact::from_json(&read::policy(item)?) {
                    self.policies.put(policy.key.uid.to_string(), policy);
                }
                self.policies.is_listing()
            }
        };
        self.settle(watched, !is_listing);
        Ok(())
    }

    fn remove(&mut self, watched: Watched, body: &[u8]) -> serde_json::Result<()> {
        let value: Value = serde_json::from_slice(body)?;
        let text = |key: &str| value["metadata"][key].as_str().unwrap_or_default();
        match watched {
            Watched::Nodes => self.changes.all |= self.fleet.remove_node(text("name")),
            Watched::DaemonSets => drop(self.daemonsets.remove(text("uid"))),
            Watched::Revisions => drop(self.revisions.remove(text("uid"))),
            Watched::Pods => {
                self.fleet.remove_pod(text("uid")).into_iter().for_each(|uid| self.changes.note(uid));
            }
            Watched::Policies => drop(self.policies.remove(text("uid"))),
        }
        self.settle(watched, true);
        Ok(())
    }
}
