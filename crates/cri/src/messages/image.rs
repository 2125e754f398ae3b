//! Images, and where they are kept.

use std::collections::BTreeMap;

use super::common::{ImageSpec, Int64Value, UInt64Value};
use super::sandbox::PodSandboxConfig;

/// Which images are listed.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ImageFilter {
    /// This one; without, all.
    #[prost(message, optional, tag = "1")]
    pub image: Option<ImageSpec>,
}

/// Asks for images.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ListImagesRequest {
    /// Which ones; without, all.
    #[prost(message, optional, tag = "1")]
    pub filter: Option<ImageFilter>,
}

/// An image that is here.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Image {
    /// The runtime's id of it.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Its names with tags.
    #[prost(string, repeated, tag = "2")]
    pub repo_tags: Vec<String>,
    /// Its names with digests.
    #[prost(string, repeated, tag = "3")]
    pub repo_digests: Vec<String>,
    /// Bytes that it takes.
    #[prost(uint64, tag = "4")]
    pub size: u64,
    /// The user id that it is run as, where it says a number.
    #[prost(message, optional, tag = "5")]
    pub uid: Option<Int64Value>,
    /// The user that it is run as, where it says a name.
    #[prost(string, tag = "6")]
    pub username: String,
    /// What was asked for; newer runtimes only.
    #[prost(message, optional, tag = "7")]
    pub spec: Option<ImageSpec>,
    /// It is not to be removed when space is short.
    #[prost(bool, tag = "8")]
    pub pinned: bool,
}

/// Images.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ListImagesResponse {
    /// The images.
    #[prost(message, repeated, tag = "1")]
    pub images: Vec<Image>,
}

/// Asks for one image.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ImageStatusRequest {
    /// Which one.
    #[prost(message, optional, tag = "1")]
    pub image: Option<ImageSpec>,
    /// Asks for `info` too.
    #[prost(bool, tag = "2")]
    pub verbose: bool,
}

/// One image.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ImageStatusResponse {
    /// The image; nothing where it is not here.
    #[prost(message, optional, tag = "1")]
    pub image: Option<Image>,
    /// What else the runtime says, by key, in JSON.
    #[prost(btree_map = "string, string", tag = "2")]
    pub info: BTreeMap<String, String>,
}

/// Who asks a registry. Nothing of it but the address is printed.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct AuthConfig {
    /// User.
    #[prost(string, tag = "1")]
    pub username: String,
    /// Password.
    #[prost(string, tag = "2")]
    pub password: String,
    /// User and password as `user:password` in Base64.
    #[prost(string, tag = "3")]
    pub auth: String,
    /// Address of the registry.
    #[prost(string, tag = "4")]
    pub server_address: String,
    /// Token to get access tokens by.
    #[prost(string, tag = "5")]
    pub identity_token: String,
    /// Access token.
    #[prost(string, tag = "6")]
    pub registry_token: String,
}

/// Fetches an image.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PullImageRequest {
    /// Which one.
    #[prost(message, optional, tag = "1")]
    pub image: Option<ImageSpec>,
    /// Who asks.
    #[prost(message, optional, tag = "2")]
    pub auth: Option<AuthConfig>,
    /// The pod that it is for.
    #[prost(message, optional, tag = "3")]
    pub sandbox_config: Option<PodSandboxConfig>,
}

/// An image is here.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PullImageResponse {
    /// What containers are made from: id or digest.
    #[prost(string, tag = "1")]
    pub image_ref: String,
}

/// Removes an image with all its names. Nothing happens when it is not here.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RemoveImageRequest {
    /// Which one.
    #[prost(message, optional, tag = "1")]
    pub image: Option<ImageSpec>,
}

/// An image is gone.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RemoveImageResponse {}

/// Asks for the space that images take.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ImageFsInfoRequest {}

/// A file system.
#[derive(Clone, PartialEq, prost::Message)]
pub struct FilesystemIdentifier {
    /// A path on it.
    #[prost(string, tag = "1")]
    pub mountpoint: String,
}

/// What is used of a file system.
#[derive(Clone, PartialEq, prost::Message)]
pub struct FilesystemUsage {
    /// When that was so, in nanoseconds since 1970.
    #[prost(int64, tag = "1")]
    pub timestamp: i64,
    /// Which one.
    #[prost(message, optional, tag = "2")]
    pub fs_id: Option<FilesystemIdentifier>,
    /// Bytes that are used for this.
    #[prost(message, optional, tag = "3")]
    pub used_bytes: Option<UInt64Value>,
    /// Inodes that are used for this.
    #[prost(message, optional, tag = "4")]
    pub inodes_used: Option<UInt64Value>,
}

/// The space that images take.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ImageFsInfoResponse {
    /// File systems of images.
    #[prost(message, repeated, tag = "1")]
    pub image_filesystems: Vec<FilesystemUsage>,
    /// File systems of what containers write; empty when these are the same, and from older runtimes.
    #[prost(message, repeated, tag = "2")]
    pub container_filesystems: Vec<FilesystemUsage>,
}

impl std::fmt::Debug for AuthConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthConfig").field("server_address", &self.server_address).finish_non_exhaustive()
    }
}
