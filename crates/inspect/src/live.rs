//! A fleet that follows its cluster by watches of nodes, DaemonSets, their revisions, pods and roll-out policies.
//!
//! What other pods take, quotas and priority classes stay as they were read first.

use everynode_api::rollout_policy::PLURAL;
use everynode_client::{Client, Collection, Event, ListWatch};
use everynode_engine::policy::PolicyFact;
use everynode_plan::read::{self, PodRead};
use everynode_plan::record::{Node, Pod, Revision};
use everynode_plan::{Fleet, Mask};
use futures::stream::{BoxStream, SelectAll, StreamExt};
use serde_json::Value;
use serde_json::value::RawValue;

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
    /// What is not watched.
    base: Fleet,
    mask: Mask,
    nodes: Collection<String, Node>,
    daemonsets: Collection<String, Value>,
    revisions: Collection<String, Revision>,
    pods: Collection<String, Pod>,
    policies: Collection<String, PolicyFact>,
    interrupted: Option<String>,
}

impl Live {
    /// Follows the cluster from a fleet on that was read from it, as far as it could be read. With a namespace, the
    /// pods of that one only; where others must not be read, those of `fallback`.
    pub fn follow(client: &Client, fleet: Fleet, namespace: Option<&str>, fallback: &str) -> Live {
        let mut base = fleet;
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
        let uid = |value: &Value| value["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        let nodes = std::mem::take(&mut base.nodes).into_iter().map(|node| (node.name.clone(), node));
        let pods = std::mem::take(&mut base.pods).into_iter().map(|pod| (pod.uid.clone(), pod));
        let policies = std::mem::take(&mut base.policies);
        let policies = policies.into_iter().map(|policy| (policy.key.uid.to_string(), policy));
        let revisions = std::mem::take(&mut base.revisions).into_iter().map(|one| (one.uid.clone(), one));
        // Of other namespaces it is only told that there are some.
        let is_followed = |value: &Value| namespace.is_none_or(|one| value["metadata"]["namespace"] == one);
        let (followed, others): (Vec<Value>, Vec<Value>) =
            std::mem::take(&mut base.daemonsets).into_iter().partition(is_followed);
        base.daemonsets = others;
        Live {
            events,
            mask: base.mask.clone(),
            nodes: nodes.collect(),
            daemonsets: followed.into_iter().map(|value| (uid(&value), value)).collect(),
            revisions: revisions.collect(),
            pods: pods.collect(),
            policies: policies.collect(),
            base,
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
        let mut fleet = self.base.clone();
        fleet.taken_at_millis = now_millis;
        fleet.nodes = self.nodes.values().cloned().collect();
        fleet.daemonsets.extend(self.daemonsets.values().cloned());
        fleet.revisions = self.revisions.values().cloned().collect();
        fleet.pods = self.pods.values().cloned().collect();
        fleet.policies = self.policies.values().cloned().collect();
        fleet.policies.sort_by(|a, b| a.key.cmp(&b.key));
        fleet
    }

    fn take(&mut self, watched: Watched, event: Event) -> bool {
        if let Event::Interrupted(error) = event {
            // Where the kind is not served there are no policies.
            if watched == Watched::Policies && error.code() == Some(404) {
                return !std::mem::take(&mut self.policies).is_empty();
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
            Watched::Nodes => self.nodes.begin_list(),
            Watched::DaemonSets => self.daemonsets.begin_list(),
            Watched::Revisions => self.revisions.begin_list(),
            Watched::Pods => self.pods.begin_list(),
            Watched::Policies => self.policies.begin_list(),
        }
        false
    }

    fn end_list(&mut self, watched: Watched) -> bool {
        match watched {
            Watched::Nodes => drop(self.nodes.end_list()),
            Watched::DaemonSets => drop(self.daemonsets.end_list()),
            Watched::Revisions => drop(self.revisions.end_list()),
            Watched::Pods => drop(self.pods.end_list()),
            Watched::Policies => drop(self.policies.end_list()),
        }
        true
    }

    /// Takes an object in. One that cannot be read changes nothing.
    fn put(&mut self, watched: Watched, body: &[u8]) -> serde_json::Result<()> {
        let item: &RawValue = serde_json::from_slice(body)?;
        match watched {
            Watched::Nodes => {
                let node = read::node(item)?;
                self.nodes.put(node.name.clone(), node);
            }
            Watched::DaemonSets => {
                let mut value: Value = serde_json::from_str(item.get())?;
                self.mask.daemonset(&mut value);
                self.daemonsets.put(value["metadata"]["uid"].as_str().unwrap_or_default().to_owned(), value);
            }
            Watched::Revisions => {
                if let Some(revision) = read::revision(item, &self.mask)? {
                    self.revisions.put(revision.uid.clone(), revision);
                }
            }
            Watched::Pods => {
                if let PodRead::Kept(pod) = read::pod(item)? {
                    self.pods.put(pod.uid.clone(), *pod);
                }
            }
            Watched::Policies => {
                if let Some(policy) = PolicyFact::from_json(&read::policy(item)?) {
                    self.policies.put(policy.key.uid.to_string(), policy);
                }
            }
        }
        Ok(())
    }

    fn remove(&mut self, watched: Watched, body: &[u8]) -> serde_json::Result<()> {
        let value: Value = serde_json::from_slice(body)?;
        let text = |key: &str| value["metadata"][key].as_str().unwrap_or_default();
        match watched {
            Watched::Nodes => drop(self.nodes.remove(text("name"))),
            Watched::DaemonSets => drop(self.daemonsets.remove(text("uid"))),
            Watched::Revisions => drop(self.revisions.remove(text("uid"))),
            Watched::Pods => drop(self.pods.remove(text("uid"))),
            Watched::Policies => drop(self.policies.remove(text("uid"))),
        }
        Ok(())
    }
}
