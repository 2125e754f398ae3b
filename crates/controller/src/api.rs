//! The API as the writer uses it.

use bytes::Bytes;
use everynode_client::{Client, Error, content_type};

/// A client that knows the kinds of patch.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    client: Client,
}

impl Api {
    pub(crate) fn new(client: Client) -> Api {
        Api { client }
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Bytes, Error> {
        self.client.get(path).await
    }

    pub(crate) async fn post(&self, path: &str, body: Vec<u8>) -> Result<Bytes, Error> {
        self.client.post(path, body).await
    }

    pub(crate) async fn put(&self, path: &str, body: Vec<u8>) -> Result<Bytes, Error> {
        self.client.put(path, body).await
    }

    pub(crate) async fn delete(&self, path: &str, body: Vec<u8>) -> Result<Bytes, Error> {
        self.client.delete(path, body).await
    }

    /// A strategic merge patch.
    pub(crate) async fn strategic_patch(&self, path: &str, body: Vec<u8>) -> Result<Bytes, Error> {
        self.client.patch(path, content_type::STRATEGIC_MERGE_PATCH, body).await
    }

    /// A JSON merge patch.
    pub(crate) async fn merge_patch(&self, path: &str, body: Vec<u8>) -> Result<Bytes, Error> {
        self.client.patch(path, content_type::MERGE_PATCH, body).await
    }
}
