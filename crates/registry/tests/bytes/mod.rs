//! An archive of any bytes in a directory of images: it may be refused, and must not panic, read beyond its end or serve
//! what is not what its digest says.
#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

use std::io::{Read, copy, sink};
use std::path::Path;

use everynode_registry::{Digest, ImageStore};
use serde_json::Value;

/// So much of each content is read.
const READ_LIMIT_BYTES: u64 = 1 << 20;

/// Reads all that an archive of these bytes says that it has; how many images and contents could be read. The file is
/// made in `dir`, which has no other.
pub fn archive(dir: &Path, bytes: &[u8]) -> (usize, usize) {
    std::fs::write(dir.join("archive"), bytes).unwrap();
    let store = ImageStore::open(dir).unwrap();
    let (mut images, mut contents) = (0, 0);
    for name in store.names().unwrap().iter().take(16) {
        let Ok(document) = store.manifest(name) else { continue };
        assert_eq!(Digest::of(&document.content), document.digest);
        images += 1;
        for digest in digests(&document.content).into_iter().take(16) {
            let Ok(blob) = store.blob(&digest) else { continue };
            let size = blob.size();
            let read = copy(&mut blob.take(READ_LIMIT_BYTES), &mut sink());
            if let Ok(read) = read {
                assert!(read <= size, "{read} bytes of {size}");
                contents += 1;
            }
        }
    }
    (images, contents)
}

/// What a manifest or an index names.
fn digests(document: &[u8]) -> Vec<Digest> {
    let document: Value = serde_json::from_slice(document).unwrap_or_default();
    let lists = ["layers", "manifests"].into_iter().filter_map(|key| document[key].as_array());
    let named = lists.flatten().chain([&document["config"]]);
    named.filter_map(|one| one["digest"].as_str()?.parse().ok()).collect()
}
