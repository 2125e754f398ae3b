//! A Kubernetes API for tests: within the process of the test, on no port, ready in some milliseconds, and each its own.
//!
//! ```
//! # async fn test() -> Result<(), Box<dyn std::error::Error>> {
//! use everynode_testapi::{Fault, TestApi, Verb};
//! use k8s_openapi::api::core::v1::ConfigMap;
//! use kube::api::{Api, ListParams};
//!
//! let api = TestApi::start().await;
//! let client = kube::Client::new(api.service(), "default");
//! api.apply("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {colour: red}").await;
//! let maps: Api<ConfigMap> = Api::default_namespaced(client);
//! api.add_fault(Fault::refuse(429).of(Verb::List).of_resource("configmaps").times(1));
//! assert!(maps.list(&ListParams::default()).await.is_err());
//! assert_eq!(maps.list(&ListParams::default()).await?.items.len(), 1);
//! # Ok(())
//! # }
//! # tokio::runtime::Runtime::new().unwrap().block_on(test()).unwrap();
//! ```
//!
//! It is the API server of everynode: validation, defaults, custom resources, watches, patches, subresources and RBAC as
//! docs/api.md has them. No controller runs: what a Deployment or a Job would become is up to the test. [`service`] is a
//! tower service for any version of kube; [`kubeconfig`] is for clients that want a port, in any language.
//!
//! [`service`]: TestApi::service
//! [`kubeconfig`]: TestApi::kubeconfig

mod clock;
mod faults;
mod service;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use everynode_apimachinery::{manifest, resource_for_kind};
use everynode_apiserver::{Config, Server, WallClock};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};

use clock::Clock;
use faults::Faults;
pub use faults::{Fault, Verb};
pub use service::{Service, ServiceBody, ServiceError};

/// A Kubernetes API.
#[derive(Debug)]
pub struct TestApi {
    server: Server,
    service: Service,
    faults: Arc<Faults>,
    clock: Clock,
}

impl TestApi {
    /// Starts one with the namespaces and objects that every cluster has.
    ///
    /// # Panics
    /// It does not start: no loopback address is there, or no thread can be made.
    pub async fn start() -> TestApi {
        let (faults, clock) = (Arc::new(Faults::default()), Clock::default());
        let told = clock.clone();
        let config = Config {
            // Tests make pods without waiting for somebody to make accounts.
            service_account_admission: false,
            clock: WallClock::new(move || told.unix_seconds()),
            interceptor: Some(faults.clone()),
            ..Config::default()
        };
        let server = Server::start(config).await.unwrap_or_else(|error| panic!("TestApi: {error}"));
        let service = Service::over(server.connect()).await;
        TestApi { server, service, faults, clock }
    }

    /// Sends requests to it as an admin: `kube::Client::new(api.service(), "default")`. All share a connection, on which
    /// 1,000 requests and watches have room.
    pub fn service(&self) -> Service {
        self.service.clone()
    }

    /// The same on a connection of its own.
    pub async fn new_service(&self) -> Service {
        Service::over(self.server.connect()).await
    }

    /// A kubeconfig of an admin, for clients that want a port: TLS on loopback.
    pub fn kubeconfig(&self) -> String {
        self.server.kubeconfig()
    }

    /// Where it listens, such as `https://127.0.0.1:40123`.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Sends a request as an admin; the code and the body of the answer.
    ///
    /// # Panics
    /// The server does not answer, or not in JSON.
    pub async fn request(&self, method: Method, path: &str, content_type: &str, body: Bytes) -> (u16, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::CONTENT_TYPE, content_type)
            .body(Full::new(body))
            .unwrap_or_else(|error| panic!("TestApi: {path:?} is no path: {error}"));
        let answer =
            self.service.send(request).await.unwrap_or_else(|error| panic!("TestApi: {path}: {error}"));
        let code = answer.status().as_u16();
        let body = answer.into_body().collect().await;
        let body = body.unwrap_or_else(|error| panic!("TestApi: {path}: {error}")).to_bytes();
        (code, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    /// What a path shows; `None` when it is not there.
    ///
    /// # Panics
    /// The server refuses.
    pub async fn get(&self, path: &str) -> Option<Value> {
        match self.request(Method::GET, path, "", Bytes::new()).await {
            (404, _) => None,
            (code, body) => Some(accepted(code, body, path)),
        }
    }

    /// Makes the objects of manifests in YAML or JSON, with their status where they have one, or replaces what is there.
    /// A definition of a custom resource is waited for until it is served. Faults do not concern it.
    ///
    /// # Panics
    /// A manifest cannot be read, or the server refuses it: a test that goes on would test nothing.
    pub async fn apply(&self, manifests: &str) {
        for document in manifest::documents(manifests) {
            let document = document.unwrap_or_else(|error| panic!("TestApi: {error}"));
            self.apply_one(document.value).await;
        }
    }

    async fn apply_one(&self, mut object: Value) {
        let status = object.as_object_mut().and_then(|object| object.shift_remove("status"));
        let collection = self.collection(&object).await;
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let path = format!("{collection}/{name}");
        let _calm = self.faults.calm();
        let mut made = match self.send(Method::POST, &collection, &object).await {
            (409, _) => {
                let (code, present) = self.send(Method::GET, &path, &Value::Null).await;
                let present = accepted(code, present, &path);
                object["metadata"]["resourceVersion"] = present["metadata"]["resourceVersion"].clone();
                let (code, body) = self.send(Method::PUT, &path, &object).await;
                accepted(code, body, &path)
            }
            (code, body) => accepted(code, body, &path),
        };
        if let Some(status) = status {
            made["status"] = status;
            let path = format!("{path}/status");
            let (code, body) = self.send(Method::PUT, &path, &made).await;
            accepted(code, body, &path);
        }
        if object["kind"] == "CustomResourceDefinition" {
            self.established(&path).await;
        }
    }

    async fn send(&self, method: Method, path: &str, object: &Value) -> (u16, Value) {
        let body = if object.is_null() { Bytes::new() } else { Bytes::from(object.to_string()) };
        self.request(method, path, "application/json", body).await
    }

    /// Waits until a definition is served, for ten seconds at most.
    async fn established(&self, path: &str) {
        for _ in 0..1_000 {
            let (_, definition) = self.send(Method::GET, path, &Value::Null).await;
            let conditions = definition["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let is = |kind: &str| conditions.iter().any(|one| one["type"] == kind && one["status"] == "True");
            if is("Established") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("TestApi: {path} is not established");
    }

    /// The path under which objects of this kind are made.
    async fn collection(&self, object: &Value) -> String {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (api_version, kind) = (text("/apiVersion"), text("/kind"));
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let root =
            if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
        let known = resource_for_kind(group, version, kind)
            .map(|resource| (resource.plural.to_string(), resource.namespaced));
        let (plural, is_namespaced) = match known {
            Some(known) => known,
            None => {
                let _calm = self.faults.calm();
                let (_, list) = self.send(Method::GET, &root, &Value::Null).await;
                let resources = list["resources"].as_array().cloned().unwrap_or_default();
                let is_it = |one: &&Value| {
                    one["kind"] == kind && !one["name"].as_str().unwrap_or_default().contains('/')
                };
                let found = resources.iter().find(is_it).unwrap_or_else(|| {
                    panic!("TestApi: there is no kind {kind} in {api_version}: apply its definition first")
                });
                (found["name"].as_str().unwrap_or_default().to_owned(), found["namespaced"] == true)
            }
        };
        match (is_namespaced, text("/metadata/namespace")) {
            (false, _) => format!("{root}/{plural}"),
            (true, "") => format!("{root}/namespaces/default/{plural}"),
            (true, namespace) => format!("{root}/namespaces/{namespace}/{plural}"),
        }
    }

    /// Has requests fail from now on. Faults are looked at in the order in which they were added; the first that fits a
    /// request happens to it.
    pub fn add_fault(&self, fault: Fault) {
        self.faults.add(fault);
    }

    /// Takes all faults back.
    pub fn clear_faults(&self) {
        self.faults.clear();
    }

    /// The server's clock goes ahead: objects are stamped so, and tokens and events get old. Timers of the test and of
    /// the server are tokio's, which a test may pause.
    pub fn advance_clock(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Stops it. Without, it stops with the runtime.
    pub async fn stop(self) {
        let TestApi { server, service, .. } = self;
        drop(service);
        server.shutdown().await;
    }
}

/// The answer, unless it is a refusal.
fn accepted(code: u16, body: Value, path: &str) -> Value {
    let is_good = StatusCode::from_u16(code).is_ok_and(|code| code.is_success());
    assert!(is_good, "TestApi: {path}: {code} {}", body.get("message").unwrap_or(&json!(body)));
    body
}
