//! The API as the writer uses it.

use bytes::Bytes;
use everynode_client::{Client, Error, content_type};

/// A client that knows what is read of an answer, and the kinds of patch.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    client: Client,
    /// For answers of which only the metadata is read.
    brief: Client,
}

impl Api {
    pub(crate) fn new(client: Client) -> Api {
        Api { brief: client.clone().with_metadata_only(), client }
    }

    /// Reads an object.
    pub(crate) async fn get(&self, path: &str) -> Result<Bytes, Error> {
        self.client.get(path).await
    }

    /// Reads an object's metadata.
    pub(crate) async fn get_metadata(&self, path: &str) -> Result<Bytes, Error> {
        self.brief.get(path).await
    }

    /// Creates an object and returns it.
    pub(crate) async fn post(&self, path: &str, body: Vec<u8>) -> Result<Bytes, Error> {
        self.client.post(path, body).await
    }

    /// Creates an object and returns its metadata.
    pub(crate) async fn post_for_metadata(&self, path: &str, body: Vec<u8>) -> Result<Bytes, Error> {
        self.brief.post(path, body).await
    }

    /// Replaces an object and returns it.
    pub(crate) async fn put(&self, path: &str, body: Vec<u8>) -> Result<Bytes, Error> {
        self.client.put(path, body).await
    }

    /// Deletes an object.
    pub(crate) async fn delete(&self, path: &str, body: Vec<u8>) -> Result<Bytes, Error> {
        self.brief.delete(path, body).await
    }

    /// A strategic merge patch; returns the object.
    pub(crate) async fn strategic_patch(&self, path: &str, body: Vec<u8>) -> Result<Bytes, Error> {
        self.client.patch(path, content_type::STRATEGIC_MERGE_PATCH, body).await
    }

    /// A strategic merge patch; returns the object's metadata.
    pub(crate) async fn strategic_patch_for_metadata(
        &self,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Bytes, Error> {
        self.brief.patch(path, content_type::STRATEGIC_MERGE_PATCH, body).await
    }

    /// A JSON merge patch; returns the object's metadata.
    pub(crate) async fn merge_patch(&self, path: &str, body: Vec<u8>) -> Result<Bytes, Error> {
        self.brief.patch(path, content_type::MERGE_PATCH, body).await
    }
}
