//! The loop that connects the agents with the API.

use everynode_client::{Client, Error, Event, ListWatch};
use everynode_model::{Node, Pod};
use futures::StreamExt;
use serde::Deserialize;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

use crate::config::FleetConfig;
use crate::core::{FleetCore, Task, Write};
use crate::pod::Now;
use crate::status::Timestamp;

/// A fleet of simulated nodes.
#[derive(Debug)]
pub struct Fleet;

impl Fleet {
    /// Runs the agents of all nodes of `config` until `cancelled`. The Nodes stay in the API; so a later run
    /// with the same nodes takes up where this one stopped, and no pod is started again.
    ///
    /// Failed requests are repeated with a growing pause for as long as the fleet runs.
    pub async fn run(client: Client, config: FleetConfig, cancelled: CancellationToken) {
        if config.nodes.is_empty() {
            return cancelled.cancelled().await;
        }
        let concurrency = config.concurrency.max(1);
        let mut driver = Driver {
            core: FleetCore::new(config),
            client,
            requests: JoinSet::new(),
            started: Instant::now(),
        };
        tokio::select! {
            biased;
            () = cancelled.cancelled() => {}
            () = driver.run(concurrency) => {}
        }
        driver.requests.shutdown().await;
    }
}

struct Driver {
    core: FleetCore,
    client: Client,
    requests: JoinSet<(Task, Result<bytes::Bytes, Error>)>,
    started: Instant,
}

impl Driver {
    async fn run(&mut self, concurrency: usize) {
        let mut nodes = ListWatch::new("/api/v1/nodes").run(self.client.clone());
        // Pods are read once the nodes are known, since what a pod does may depend on its node's labels.
        while !self.node_event(nodes.next().await) {}
        let mut pods = ListWatch::new("/api/v1/pods")
            .query("fieldSelector=spec.nodeName%21%3D")
            .run(self.client.clone());
        loop {
            let now = self.now();
            self.core.wake(now);
            while self.requests.len() < concurrency
                && let Some(write) = self.core.next_write(now)
            {
                self.requests.spawn(send(self.client.clone(), write));
            }
            let wake =
                self.started + Duration::from_millis(self.core.next_wake().unwrap_or(u64::from(u32::MAX)));
            // Nodes are few, and what a pod does may depend on its node.
            tokio::select! {
                biased;
                Some(answer) = self.requests.join_next() => self.answered(answer),
                event = nodes.next() => { self.node_event(event); }
                event = pods.next() => self.pod_event(event),
                () = tokio::time::sleep_until(wake) => {}
            }
        }
    }

    fn now(&self) -> Now {
        let millis = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let wall = self.client.clock().unix_millis();
        let wall_millis = u16::try_from(wall.rem_euclid(1000)).unwrap_or_default();
        Now { millis, wall: Timestamp(wall.div_euclid(1000)), wall_millis }
    }

    fn answered(&mut self, answer: Result<(Task, Result<bytes::Bytes, Error>), tokio::task::JoinError>) {
        match answer {
            Ok((task, result)) => {
                let now = self.now();
                self.core.done(task, result, now);
            }
            Err(error) => tracing::error!(%error, "a request was lost"),
        }
    }

    /// Takes an event about Nodes; true when the list of them is complete.
    fn node_event(&mut self, event: Option<Event>) -> bool {
        let now = self.now();
        match event {
            Some(Event::InitialObject(object) | Event::Applied(object)) => {
                if let Some(node) = read::<Node<'_>>(&object) {
                    self.core.node_applied(&node, now);
                }
            }
            Some(Event::Deleted(object)) => {
                if let Some(node) = read::<Node<'_>>(&object) {
                    self.core.node_deleted(&node.metadata.name, now);
                }
            }
            Some(Event::InitialDone(_)) => {
                self.core.nodes_listed(now);
                return true;
            }
            Some(Event::Interrupted(error)) => tracing::warn!(%error, "the watch of nodes was interrupted"),
            Some(Event::Restarted) => self.core.nodes_restarted(),
            Some(Event::Bookmark(_)) | None => {}
        }
        false
    }

    fn pod_event(&mut self, event: Option<Event>) {
        match event {
            Some(Event::InitialObject(object) | Event::Applied(object)) => {
                let now = self.now();
                if let Some(pod) = read::<Pod<'_>>(&object) {
                    self.core.pod_applied(&pod, now);
                }
            }
            Some(Event::Deleted(object)) => {
                if let Some(pod) = read::<Pod<'_>>(&object) {
                    self.core.pod_deleted(&pod.metadata.uid);
                }
            }
            Some(Event::Restarted) => self.core.pods_restarted(),
            Some(Event::InitialDone(_)) => self.core.pods_listed(),
            Some(Event::Interrupted(error)) => tracing::warn!(%error, "the watch of pods was interrupted"),
            Some(Event::Bookmark(_)) | None => {}
        }
    }
}

async fn send(client: Client, write: Write) -> (Task, Result<bytes::Bytes, Error>) {
    let Write { task, method, path, content_type, body } = write;
    (task, client.request(method, &path, content_type, body.into()).await)
}

fn read<'a, T: Deserialize<'a>>(object: &'a [u8]) -> Option<T> {
    match serde_json::from_slice(object) {
        Ok(value) => Some(value),
        Err(error) => {
            tracing::warn!(%error, "an object of the watch cannot be read");
            None
        }
    }
}
