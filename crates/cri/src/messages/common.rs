//! Values that several messages hold.

use std::collections::BTreeMap;

/// A whole number that may be missing.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Int64Value {
    /// The number.
    #[prost(int64, tag = "1")]
    pub value: i64,
}

/// A count that may be missing.
#[derive(Clone, PartialEq, prost::Message)]
pub struct UInt64Value {
    /// The count.
    #[prost(uint64, tag = "1")]
    pub value: u64,
}

/// Which image is meant.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ImageSpec {
    /// Name with tag or digest, or the runtime's own id of the image.
    #[prost(string, tag = "1")]
    pub image: String,
    /// What else the runtime is told of it.
    #[prost(btree_map = "string, string", tag = "2")]
    pub annotations: BTreeMap<String, String>,
    /// The name as the pod has it; containerd since 1.7.
    #[prost(string, tag = "18")]
    pub user_specified_image: String,
    /// The runtime class's handler that will run it; "" is the default one.
    #[prost(string, tag = "19")]
    pub runtime_handler: String,
    /// Digest of an image volume, in statuses only.
    #[prost(string, tag = "20")]
    pub image_ref: String,
}

/// A range of ids of a user namespace.
#[derive(Clone, PartialEq, prost::Message)]
pub struct IdMapping {
    /// The first id on the host.
    #[prost(uint32, tag = "1")]
    pub host_id: u32,
    /// The first id in the container.
    #[prost(uint32, tag = "2")]
    pub container_id: u32,
    /// How many ids.
    #[prost(uint32, tag = "3")]
    pub length: u32,
}

/// An environment variable. Its value is not printed: it may be a secret.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct KeyValue {
    /// Name.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Value; a string to older runtimes, which is the same on the wire.
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

impl std::fmt::Debug for KeyValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyValue").field("key", &self.key).finish_non_exhaustive()
    }
}
