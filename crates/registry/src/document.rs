//! The documents that images are described by, with the fields that are needed here.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::digest::Digest;

/// The longest document that is read, in bytes: the limit that registries have for manifests.
pub(crate) const DOCUMENT_LIMIT_BYTES: u64 = 4 << 20;

/// What a content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaType {
    /// Images of several platforms.
    Index,
    /// One image.
    Manifest,
    /// How containers of an image are started, and what its layers are when unpacked.
    Config,
    /// Files, as an archive.
    Layer,
    /// Files, as a compressed archive.
    GzipLayer,
}

impl MediaType {
    /// The name in the specification.
    pub fn name(self) -> &'static str {
        match self {
            MediaType::Index => "application/vnd.oci.image.index.v1+json",
            MediaType::Manifest => "application/vnd.oci.image.manifest.v1+json",
            MediaType::Config => "application/vnd.oci.image.config.v1+json",
            MediaType::Layer => "application/vnd.oci.image.layer.v1.tar",
            MediaType::GzipLayer => "application/vnd.oci.image.layer.v1.tar+gzip",
        }
    }
}

/// What one document says of a content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    #[serde(default)]
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) platform: Option<Value>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
}

impl Descriptor {
    pub(crate) fn of(media_type: MediaType, content: &[u8]) -> Descriptor {
        Descriptor::new(media_type, Digest::of(content), content.len() as u64)
    }

    pub(crate) fn new(media_type: MediaType, digest: Digest, size: u64) -> Descriptor {
        let media_type = media_type.name().to_owned();
        Descriptor { media_type, digest, size, platform: None, annotations: BTreeMap::new() }
    }
}

/// `index.json` of a layout, or the images of several platforms.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Index {
    pub(crate) schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) media_type: Option<String>,
    pub(crate) manifests: Vec<Descriptor>,
}

/// One image.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub(crate) schema_version: u32,
    pub(crate) media_type: String,
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
}

/// A manifest or index as it is served: the very bytes that its digest is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The media type, as the document tells it.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its text.
    pub content: Bytes,
}

impl Document {
    /// Reads what kind of document it is; `None` when it is neither a manifest nor an index. Old documents do not name
    /// their media type.
    pub(crate) fn read(content: Bytes) -> Option<Document> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Look {
            media_type: Option<String>,
            manifests: Option<Vec<Value>>,
            layers: Option<Vec<Value>>,
        }
        let look: Look = serde_json::from_slice(&content).ok()?;
        let kind = match (look.manifests, look.layers) {
            (Some(_), None) => MediaType::Index,
            (None, Some(_)) => MediaType::Manifest,
            _ => return None,
        };
        let media_type = look.media_type.unwrap_or_else(|| kind.name().to_owned());
        // It becomes a header.
        let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b',' && byte != b';';
        media_type.bytes().all(is_plain).then(|| Document {
            media_type,
            digest: Digest::of(&content),
            content,
        })
    }
}
