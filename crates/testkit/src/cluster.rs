//! A cluster in one process: the embedded API server, and what runs against it.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may panic anywhere, its helpers too")]

use std::time::Duration;

use everynode_apiserver::{Config, Server};
use everynode_client::{Client, content_type};
use everynode_controller::{Controller, ControllerConfig};
use everynode_local::{LoopsConfig, loops};
use everynode_node::{Fleet, FleetConfig};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::wait::LOOK;

/// The longest wait for a condition.
const LIMIT: Duration = Duration::from_secs(60);

/// An API server on a random port, a client of it, and the parts that run against it.
pub struct Cluster {
    /// With the rights of an administrator.
    pub client: Client,
    /// The API server.
    pub server: Server,
    cancel: CancellationToken,
    parts: JoinSet<()>,
}

impl Cluster {
    /// Starts the API server; nothing works on it yet.
    pub async fn start(config: Config) -> Cluster {
        let server = Server::start(config).await.expect("the server starts");
        let client =
            Client::from_kubeconfig_text(&server.kubeconfig()).await.expect("its kubeconfig is good");
        Cluster { client, server, cancel: CancellationToken::new(), parts: JoinSet::new() }
    }

    /// Starts the loops that a small cluster needs, with this change of their configuration.
    pub fn run_loops(&mut self, change: impl FnOnce(&mut LoopsConfig)) {
        let mut config = LoopsConfig::new(self.server.authority_certificate());
        change(&mut config);
        self.parts.spawn(loops(self.client.clone(), config, self.cancel.clone()));
    }

    /// Starts simulated nodes.
    pub fn run_nodes(&mut self, config: FleetConfig) {
        self.parts.spawn(Fleet::run(self.client.clone(), config, self.cancel.clone()));
    }

    /// Starts a controller.
    pub fn run_controller(&mut self, config: ControllerConfig) {
        let controller = Controller::run(self.client.clone(), config, self.cancel.clone());
        self.parts.spawn(async move { controller.await.expect("the controller runs") });
    }

    /// Ends all parts, and the server after them.
    pub async fn stop(mut self) {
        self.cancel.cancel();
        while let Some(ended) = self.parts.join_next().await {
            ended.expect("no part panics");
        }
        self.server.shutdown().await;
    }

    /// What a path shows; null when there is nothing.
    pub async fn get(&self, path: &str) -> Value {
        match self.client.get(path).await {
            Ok(body) => serde_json::from_slice(&body).expect("the server answers in JSON"),
            Err(error) if error.is_not_found() => Value::Null,
            Err(error) => panic!("GET {path}: {error}"),
        }
    }

    /// The objects of a list.
    pub async fn items(&self, path: &str) -> Vec<Value> {
        self.get(path).await["items"].as_array().cloned().unwrap_or_default()
    }

    /// Creates an object in a collection.
    pub async fn create(&self, path: &str, object: Value) {
        let result = self.client.post(path, object.to_string()).await;
        result.unwrap_or_else(|error| panic!("POST {path}: {error}"));
    }

    /// Changes an object by a merge patch.
    pub async fn merge(&self, path: &str, patch: Value) {
        let result = self.client.patch(path, content_type::MERGE_PATCH, patch.to_string()).await;
        result.unwrap_or_else(|error| panic!("PATCH {path}: {error}"));
    }

    /// Waits until what a path shows is as wanted.
    pub async fn until(&self, path: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        // Not by an async closure: tests wait in tasks of their own, and futures of such closures are not known as Send.
        let deadline = Instant::now() + LIMIT;
        loop {
            let shown = self.get(path).await;
            if wanted(&shown) {
                return shown;
            }
            assert!(Instant::now() < deadline, "{what}: not within {LIMIT:?}; {path} shows {shown:#}");
            tokio::time::sleep(LOOK).await;
        }
    }
}
