//! What people are told of pods, in the kubelet's words.

use everynode_client::event::{About, NewEvent, Source, Wording, allowance};
use everynode_client::{Client, TokenBucket, Uptime};
use everynode_model::time;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::pod_spec::Pod;

/// Events that wait to be written; what comes beside them is left out.
const QUEUE_LIMIT: usize = 256;
/// How many events of one node are written in a second.
const EVENTS_PER_SECOND: f64 = 5.0;

/// Takes events, and never waits.
#[derive(Debug, Clone)]
pub struct Events {
    queue: mpsc::Sender<NewEvent>,
    allowance: Arc<Mutex<TokenBucket>>,
    client: Client,
    node: Arc<str>,
}

/// What happened to a pod, or to one of its containers.
#[derive(Debug, Clone, Copy)]
pub struct PodEvent<'a> {
    /// The container; empty: the whole pod.
    pub container: &'a str,
    /// It is to be looked at by somebody.
    pub is_warning: bool,
    /// A word for programs.
    pub reason: &'a str,
    /// A sentence.
    pub message: &'a str,
}

impl Events {
    /// Of this node, and the task that writes them until it is cancelled.
    pub fn new(client: Client, node: &str) -> (Events, impl Future<Output = ()> + Send + use<>) {
        let (queue, waiting) = mpsc::channel(QUEUE_LIMIT);
        let allowance = Arc::new(Mutex::new(allowance(EVENTS_PER_SECOND)));
        let events = Events { queue, allowance, client: client.clone(), node: node.into() };
        (events, write(client, waiting))
    }

    /// Tells of something.
    pub fn tell(&self, pod: &Pod, event: PodEvent<'_>) {
        let uptime = self.client.clock().uptime().since(Uptime::default());
        let millis = u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX);
        let mut allowance = self.allowance.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !allowance.take(millis) {
            return;
        }
        let field_path = match event.container {
            "" => String::new(),
            name if pod.spec.init_containers.iter().any(|one| one.name == name) => {
                format!("spec.initContainers{{{name}}}")
            }
            name => format!("spec.containers{{{name}}}"),
        };
        let about = About {
            api_version: "v1",
            kind: "Pod",
            namespace: &pod.metadata.namespace,
            name: &pod.metadata.name,
            uid: &pod.metadata.uid,
            field_path: &field_path,
        };
        let source = Source { component: "kubelet", host: &self.node };
        let kind = if event.is_warning { "Warning" } else { "Normal" };
        let wording = Wording { kind, reason: event.reason, message: event.message };
        let at = time::format(self.client.clock().unix_millis().div_euclid(1_000));
        let event = NewEvent::new(&about, source, wording, &at, fastrand::u64(..));
        // Nothing depends on events: one that finds no room is left out.
        let _ = self.queue.try_send(event);
    }
}

async fn write(client: Client, mut waiting: mpsc::Receiver<NewEvent>) {
    while let Some(event) = waiting.recv().await {
        if let Err(error) = client.post(&event.path, event.body).await {
            tracing::debug!(%error, "an event was not written");
        }
    }
}

/// Runs the task that writes events until it is cancelled.
pub async fn run(writing: impl Future<Output = ()>, cancelled: CancellationToken) {
    tokio::select! {
        () = writing => {}
        () = cancelled.cancelled() => {}
    }
}
