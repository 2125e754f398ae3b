//! A picture as bytes: a line of what it is, JSON of labels and summaries, then the lists of bytes. The names of nodes
//! go apart: they are more than all the rest, and hardly change.
//!
//! ```text
//! "ENF2"  length of the JSON: u32, little endian  JSON
//! node states: n bytes   of each DaemonSet: classes: n bytes, causes: n bytes
//! ```

use std::io::Write;

use bytes::Bytes;
use everynode_inspect::Class;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::picture::Picture;
use crate::summary::word;

/// What a frame begins with.
const MAGIC: &[u8; 4] = b"ENF2";

/// Which state of what is shown a frame is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Version {
    /// Rises when nodes or DaemonSets are others: then deltas do not lead on.
    pub generation: u64,
    /// Rises with each delta.
    pub sequence: u64,
    /// Rises when nodes have other names.
    pub names: u64,
}

/// The frame of a picture, compressed.
pub fn encode(picture: &Picture, version: Version) -> Bytes {
    let header = serde_json::to_vec(&header(picture, version)).unwrap_or_default();
    let mut out = GzEncoder::new(Vec::new(), Compression::new(5));
    let length = u32::try_from(header.len()).unwrap_or(u32::MAX).to_le_bytes();
    let lists = picture.columns.iter().flat_map(|column| [&column.classes, &column.kinds]);
    let parts = [MAGIC.as_slice(), &length, &header, &picture.node_states];
    // Writing to memory does not fail.
    for part in parts.into_iter().chain(lists.map(Vec::as_slice)) {
        let _ = out.write_all(part);
    }
    out.finish().unwrap_or_default().into()
}

fn header(picture: &Picture, version: Version) -> Value {
    let labels: Vec<Value> = picture
        .labels
        .0
        .iter()
        .map(|(key, (values, _))| json!({"key": key, "values": values.len()}))
        .collect();
    let hashes: Vec<&Vec<String>> = picture.columns.iter().map(|column| &column.hashes).collect();
    json!({
        "generation": version.generation,
        "sequence": version.sequence,
        "takenAtMillis": picture.taken_at_millis,
        "names": version.names,
        "labels": labels,
        "classes": Class::ALL.map(|class| word(&class)),
        "kinds": picture.kinds,
        "hashes": hashes,
        "summaries": picture.summaries(),
    })
}

/// The names of the nodes of a picture, as JSON, compressed.
pub fn names(picture: &Picture) -> Bytes {
    gzip(&serde_json::to_vec(&picture.nodes).unwrap_or_default(), Compression::new(5))
}

/// Bytes, compressed.
pub fn gzip(bytes: &[u8], level: Compression) -> Bytes {
    let mut out = GzEncoder::new(Vec::new(), level);
    let _ = out.write_all(bytes);
    out.finish().unwrap_or_default().into()
}
