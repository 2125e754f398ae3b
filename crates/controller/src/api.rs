//! The API as the writer uses it: each request is counted.

use bytes::Bytes;
use everynode_client::{Client, Error, Method, content_type};

use crate::Metrics;

/// A client whose requests are counted.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    client: Client,
    metrics: Metrics,
}

impl Api {
    pub(crate) fn new(client: Client, metrics: Metrics) -> Api {
        Api { client, metrics }
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Bytes, Error> {
        self.send(Method::GET, path, "", Bytes::new()).await
    }

    pub(crate) async fn post(&self, path: &str, body: Vec<u8>) -> Result<Bytes, Error> {
        self.send(Method::POST, path, content_type::JSON, body.into()).await
    }

    pub(crate) async fn put(&self, path: &str, body: Vec<u8>) -> Result<Bytes, Error> {
        self.send(Method::PUT, path, content_type::JSON, body.into()).await
    }

    pub(crate) async fn delete(&self, path: &str, body: Vec<u8>) -> Result<Bytes, Error> {
        self.send(Method::DELETE, path, content_type::JSON, body.into()).await
    }

    /// A strategic merge patch.
    pub(crate) async fn strategic_patch(&self, path: &str, body: Vec<u8>) -> Result<Bytes, Error> {
        self.send(Method::PATCH, path, content_type::STRATEGIC_MERGE_PATCH, body.into()).await
    }

    /// A JSON merge patch.
    pub(crate) async fn merge_patch(&self, path: &str, body: Vec<u8>) -> Result<Bytes, Error> {
        self.send(Method::PATCH, path, content_type::MERGE_PATCH, body.into()).await
    }

    async fn send(&self, method: Method, path: &str, kind: &str, body: Bytes) -> Result<Bytes, Error> {
        let result = self.client.request(method.clone(), path, kind, body).await;
        // The client hides which of the codes for success it was; there is one per method.
        let code = match &result {
            Ok(_) if method == Method::POST => Some(201),
            Ok(_) => Some(200),
            Err(error) => error.code(),
        };
        self.metrics.request(&method, code);
        result
    }
}
