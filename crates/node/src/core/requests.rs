//! What the fleet sends, and what it makes of the answers.

use std::cmp::Reverse;
use std::time::Duration;

use everynode_client::{Backoff, Error, Method, content_type};

use super::{FleetCore, Task, Timer, Write, millis};
use everynode_model::node_agent::{self, LEASES};
use everynode_model::{Node, Pod};

use crate::facts;
use crate::identity;
use crate::node::NodeAgent;
use crate::pod::Now;
use crate::status;

const BACKOFF: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));

impl FleetCore {
    /// The next request to send, if there is one.
    pub(crate) fn next_write(&mut self, now: Now) -> Option<Write> {
        while let Some(task) = self.queue.pop_front() {
            match self.write(task, now) {
                Some(write) => return Some(write),
                None => self.dropped(task),
            }
        }
        let event = self.events.pop_front()?;
        Some(Write {
            task: Task::Event,
            method: Method::POST,
            path: event.path,
            content_type: content_type::JSON,
            body: event.body,
        })
    }

    /// A queued request turned out to be needless.
    fn dropped(&mut self, task: Task) {
        if let Some(owed) = self.owed(task) {
            *owed = false;
        }
    }

    fn write(&mut self, task: Task, now: Now) -> Option<Write> {
        let (method, path, content_type, body) = match task {
            Task::Register(index) => {
                let agent = self.nodes.get(index).filter(|agent| !agent.is_registered())?;
                let node = identity::node_object(&agent.spec, index, now.wall);
                (Method::POST, "/api/v1/nodes".to_owned(), content_type::JSON, node.to_string().into_bytes())
            }
            Task::NodeStatus(index) => {
                let agent = self.nodes.get(index).filter(|agent| agent.lives())?;
                let body = identity::heartbeat(agent.mode_now(), agent.status_differs(), now.wall);
                let path = format!("/api/v1/nodes/{}/status", agent.spec.name);
                (Method::PATCH, path, content_type::STRATEGIC_MERGE_PATCH, body)
            }
            Task::Lease(index) => {
                let agent = self.nodes.get(index).filter(|agent| agent.renews())?;
                let path = format!("{LEASES}/{}", agent.spec.name);
                let body = format!(r#"{{"spec":{{"renewTime":"{}"}}}}"#, micro_time(now));
                (Method::PATCH, path, content_type::MERGE_PATCH, body.into_bytes())
            }
            Task::CreateLease(index) => {
                let agent = self.nodes.get(index).filter(|agent| agent.renews())?;
                (
                    Method::POST,
                    LEASES.to_owned(),
                    content_type::JSON,
                    lease(agent, self.config.lease_duration, now),
                )
            }
            Task::ListPods(index) => {
                let agent = self.nodes.get_mut(index).filter(|agent| agent.runs_pods())?;
                agent.missed_pods = false;
                let path = format!("/api/v1/pods?fieldSelector=spec.nodeName%3D{}", agent.spec.name);
                (Method::GET, path, content_type::JSON, Vec::new())
            }
            Task::PodStatus(id) => {
                let entry = self.pods.get_mut(&id)?;
                entry.owes_status = false;
                let Some(view) = entry.machine.status() else {
                    self.queue_pod(id);
                    return None;
                };
                let facts = &entry.machine.facts;
                let path = format!("/api/v1/namespaces/{}/pods/{}/status", facts.namespace, facts.name);
                let body = status::patch(&view, &self.nodes[entry.node].host_ip, &entry.pod_ip);
                (Method::PATCH, path, content_type::STRATEGIC_MERGE_PATCH, body)
            }
            Task::PodDelete(id) => {
                let facts = &self.pods.get(&id)?.machine.facts;
                let path = format!("/api/v1/namespaces/{}/pods/{}", facts.namespace, facts.name);
                let body = node_agent::deletion(&facts.uid).to_string();
                (Method::DELETE, path, content_type::JSON, body.into_bytes())
            }
            Task::Event => return None,
        };
        Some(Write { task, method, path, content_type, body })
    }

    /// A request has been answered.
    pub(crate) fn done(&mut self, task: Task, result: Result<bytes::Bytes, Error>, now: Now) {
        if let Some(owed) = self.owed(task) {
            *owed = false;
        }
        match task {
            Task::PodStatus(id) | Task::PodDelete(id) => self.pod_done(id, task, result, now),
            Task::Event => {
                if let Err(error) = result {
                    tracing::debug!(%error, "event not created");
                }
            }
            Task::Register(index)
            | Task::NodeStatus(index)
            | Task::Lease(index)
            | Task::CreateLease(index)
            | Task::ListPods(index) => self.node_done(index, task, result, now),
        }
    }

    fn node_done(&mut self, index: usize, task: Task, result: Result<bytes::Bytes, Error>, now: Now) {
        match (task, result) {
            (Task::Register(_), Ok(body)) => {
                self.nodes[index].lease_exists = false;
                self.node_answered(&body, now);
            }
            (Task::Register(_), Err(error)) if error.is_already_exists() => {}
            (Task::ListPods(_), Ok(body)) => {
                self.pods_answered(&body, now);
                // Pods that were shown while the answer was on its way, to an agent that ran none again.
                if self.nodes[index].missed_pods && self.nodes[index].runs_pods() {
                    self.owe(task);
                }
            }
            (Task::CreateLease(_), Ok(_)) => self.nodes[index].lease_exists = true,
            (Task::CreateLease(_), Err(error)) if error.is_already_exists() => {
                self.nodes[index].lease_exists = true
            }
            (Task::Lease(_), Err(error)) if error.is_not_found() => {
                self.nodes[index].lease_exists = false;
                self.owe(Task::CreateLease(index));
            }
            // The watch will tell that the Node was deleted.
            (Task::NodeStatus(_), Err(error)) if error.is_not_found() => {}
            (_, Ok(_)) => {}
            (_, Err(error)) => {
                tracing::warn!(node = %self.nodes[index].spec.name, ?task, %error, "request failed");
                // Should the agent stop before it is tried again, it asks when it goes on.
                self.nodes[index].missed_pods |= matches!(task, Task::ListPods(_));
                self.nodes[index].failures += 1;
                let at = now.millis + millis(BACKOFF.jittered(self.nodes[index].failures, &mut self.random));
                self.timers.push(Reverse((at, Timer::Retry(task))));
                return;
            }
        }
        self.nodes[index].failures = 0;
    }

    /// The answer to a registration shows the Node before the watch does.
    fn node_answered(&mut self, body: &[u8], now: Now) {
        match serde_json::from_slice::<Node<'_>>(body) {
            Ok(node) => self.node_applied(&node, now),
            Err(error) => tracing::warn!(%error, "cannot read the registered Node"),
        }
    }

    /// The pods of a node that speaks again. Of those that the watch has shown since, the answer is older.
    fn pods_answered(&mut self, body: &[u8], now: Now) {
        let list = match serde_json::from_slice::<facts::PodList<'_>>(body) {
            Ok(list) => list,
            Err(error) => return tracing::warn!(%error, "cannot read a list of pods"),
        };
        for item in list.items {
            match serde_json::from_str::<Pod<'_>>(item.get()) {
                Ok(pod) if self.pod_by_uid.contains_key(&*pod.metadata.uid) => {}
                Ok(pod) => self.pod_applied(&pod, now),
                Err(error) => tracing::warn!(%error, "cannot read a pod"),
            }
        }
    }

    fn pod_done(&mut self, id: u64, task: Task, result: Result<bytes::Bytes, Error>, now: Now) {
        let Some(entry) = self.pods.get_mut(&id) else { return };
        match result {
            Ok(_) => {
                entry.failures = 0;
                if matches!(task, Task::PodDelete(_)) {
                    // With finalizers the pod stays, and others see to it.
                    entry.owes_delete = false;
                }
                self.queue_pod(id);
            }
            // The pod is gone, or another one has its name.
            Err(error) if matches!(error.code(), Some(404 | 409 | 422)) => {
                tracing::debug!(pod = %entry.machine.facts.name, %error, "pod forgotten");
                self.forget_pod(id);
            }
            Err(error) => {
                tracing::warn!(pod = %entry.machine.facts.name, ?task, %error, "request failed");
                entry.owes_status |= matches!(task, Task::PodStatus(_));
                entry.failures += 1;
                let at = now.millis + millis(BACKOFF.jittered(entry.failures, &mut self.random));
                self.timers.push(Reverse((at, Timer::Retry(task))));
            }
        }
    }
}

fn lease(agent: &NodeAgent, duration: Duration, now: Now) -> Vec<u8> {
    let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    let lease = node_agent::lease(&agent.spec.name, Some(&agent.uid), seconds, &micro_time(now));
    lease.to_string().into_bytes()
}

/// The present as Lease writes it, with microseconds.
fn micro_time(now: Now) -> String {
    let millis = now.wall.0.saturating_mul(1000).saturating_add(now.wall_millis.into());
    format!("{:.6}", jiff::Timestamp::from_millisecond(millis).unwrap_or_default())
}
