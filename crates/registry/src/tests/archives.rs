//! What is read of archives: whole ones, damaged ones, and those that somebody has made to do harm.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::tar::{Header, Kind, Reader, Writer};
use crate::{Digest, ImageStore, MediaType, StoreError};

/// An archive of files and links.
#[derive(Default)]
pub(super) struct Archive(Vec<(String, Kind, String, Vec<u8>)>);

impl Archive {
    pub(super) fn file(mut self, path: &str, content: &[u8]) -> Archive {
        self.0.push((path.to_owned(), Kind::File, String::new(), content.to_vec()));
        self
    }

    fn link(mut self, path: &str, kind: Kind, target: &str) -> Archive {
        self.0.push((path.to_owned(), kind, target.to_owned(), Vec::new()));
        self
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new());
        for (path, kind, link, content) in &self.0 {
            let size = content.len() as u64;
            let header = Header { path, kind: *kind, mode: 0o644, link, size, modified_seconds: 0 };
            writer.entry(&header, &mut &**content).unwrap();
        }
        writer.finish().unwrap()
    }
}

/// As `docker save` writes it: the list of images, a configuration and layers, of which the second is a link.
fn docker(tag: &str, layer: &[u8]) -> Archive {
    let list = json!([{"Config": "abc.json", "RepoTags": [tag], "Layers": ["1/layer.tar", "2/layer.tar"]}]);
    Archive::default()
        .file("1/layer.tar", layer)
        .link("2/layer.tar", Kind::Symlink, "../1/layer.tar")
        .file("abc.json", br#"{"os":"linux","config":{}}"#)
        .file("manifest.json", list.to_string().as_bytes())
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// The manifest of an image in a directory.
fn manifest(store: &ImageStore, name: &str) -> Result<Value, StoreError> {
    let document = store.manifest(&name.parse().unwrap())?;
    assert_eq!(Digest::of(&document.content), document.digest);
    Ok(serde_json::from_slice(&document.content).unwrap())
}

fn read(store: &ImageStore, digest: &str) -> std::io::Result<Vec<u8>> {
    let mut content = Vec::new();
    let blob = store.blob(&digest.parse().unwrap()).map_err(std::io::Error::other)?;
    blob.take(1 << 20).read_to_end(&mut content).map(|_| content)
}

#[test]
fn an_archive_of_docker_gets_the_manifest_that_it_lacks() {
    let dir = TempDir::new().unwrap();
    let layer = Archive::default().file("a", b"content").bytes();
    fs::write(dir.path().join("plain.tar"), docker("a:1", &layer).bytes()).unwrap();
    fs::write(dir.path().join("small.tar.gz"), gzip(&docker("quay.io/b/c:2", &layer).bytes())).unwrap();
    fs::write(dir.path().join("zipped.tar"), docker("d:3", &gzip(&layer)).bytes()).unwrap();
    let store = ImageStore::open(dir.path()).unwrap();
    let check = |name: &str, kind: MediaType, expected: &[u8]| {
        let manifest = manifest(&store, name).unwrap();
        assert_eq!(manifest["mediaType"], MediaType::Manifest.name());
        assert_eq!(manifest["layers"].as_array().unwrap().len(), 2, "{name}");
        for described in manifest["layers"].as_array().unwrap() {
            assert_eq!(described["mediaType"], kind.name(), "{name}");
            assert_eq!(read(&store, described["digest"].as_str().unwrap()).unwrap(), expected, "{name}");
        }
        let config = manifest["config"]["digest"].as_str().unwrap();
        assert_eq!(read(&store, config).unwrap(), br#"{"os":"linux","config":{}}"#);
    };
    check("a:1", MediaType::Layer, &layer);
    check("quay.io/b/c:2", MediaType::Layer, &layer);
    check("d:3", MediaType::GzipLayer, &gzip(&layer));
}

#[test]
fn contents_are_found_by_a_store_that_nobody_has_asked_for_the_image() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("a.tar"), docker("a:1", b"layer").bytes()).unwrap();
    let store = ImageStore::open(dir.path()).unwrap();
    assert_eq!(read(&store, &Digest::of(b"layer").to_string()).unwrap(), b"layer");
}

#[test]
fn files_that_come_change_and_go_are_seen_at_the_next_question() {
    let dir = TempDir::new().unwrap();
    let store = ImageStore::open(dir.path()).unwrap();
    let names = || store.names().unwrap().iter().map(ToString::to_string).collect::<Vec<_>>();
    assert!(manifest(&store, "a:1").is_err());
    fs::write(dir.path().join("a.tar"), docker("a:1", b"layer").bytes()).unwrap();
    assert!(manifest(&store, "a:1").is_ok());
    fs::write(dir.path().join("a.tar"), docker("a:12", b"another layer").file("more", b"").bytes()).unwrap();
    assert_eq!(names(), ["docker.io/library/a:12"]);
    fs::write(dir.path().join(".hidden.tar"), docker("h:1", b"layer").bytes()).unwrap();
    fs::write(dir.path().join("README.md"), "no image").unwrap();
    fs::write(dir.path().join("b.tar"), docker("b:1", b"layer").bytes()).unwrap();
    assert_eq!(names(), ["docker.io/library/a:12", "docker.io/library/b:1"]);
    fs::remove_file(dir.path().join("a.tar")).unwrap();
    assert_eq!(names(), ["docker.io/library/b:1"]);
}

#[test]
fn damage_is_told_with_the_file_and_the_rest_is_served() {
    let check = |damage: &dyn Fn(&mut Vec<u8>), expected: &str| {
        let dir = TempDir::new().unwrap();
        let mut bytes = docker("a:1", b"layer").bytes();
        damage(&mut bytes);
        fs::write(dir.path().join("a.tar"), bytes).unwrap();
        fs::write(dir.path().join("b.tar"), docker("b:1", b"layer b").bytes()).unwrap();
        let store = ImageStore::open(dir.path()).unwrap();
        assert!(manifest(&store, "b:1").is_ok(), "{expected}");
        let said = manifest(&store, "a:1").unwrap_err().to_string();
        assert!(said.contains(expected), "{said}");
    };
    let nowhere = "docker.io/library/a:1 is in none of the archives";
    check(&|bytes| bytes.truncate(700), nowhere);
    check(&|bytes| bytes[3] ^= 1, nowhere);
    check(&|bytes| bytes.truncate(0), nowhere);
    // The layer's name in the list is not in the archive any more.
    let rename = |bytes: &mut Vec<u8>| {
        let list = bytes.windows(9).rposition(|window| window == b"1/layer.t").unwrap();
        bytes[list] = b'9';
    };
    check(&rename, "a.tar: manifest.json in it makes no sense: 9/layer.tar is not in the archive");
}

#[test]
fn what_became_shorter_or_another_content_is_no_content() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("a.tar");
    let bytes = docker("a:1", b"layer").bytes();
    fs::write(&file, &bytes).unwrap();
    let store = ImageStore::open(dir.path()).unwrap();
    let manifest = manifest(&store, "a:1").unwrap();
    let layer: Digest = manifest["layers"][0]["digest"].as_str().unwrap().parse().unwrap();
    let mut blob = store.blob(&layer).unwrap();
    let mut other = bytes.clone();
    let at = other.windows(5).position(|window| window == b"layer").unwrap();
    other[at] ^= 1;
    // The name of the first entry ends in the same word.
    let at = 512;
    other[at..at + 5].copy_from_slice(b"LAYER");
    fs::write(&file, &other).unwrap();
    let said = blob.read_to_end(&mut Vec::new()).unwrap_err().to_string();
    assert!(said.contains("a.tar: another content stands in the place of sha256:"), "{said}");
}

#[test]
fn names_in_an_archive_lead_nowhere_but_into_it() {
    let dir = TempDir::new().unwrap();
    let secret = dir.path().join("secret");
    fs::write(&secret, "secret").unwrap();
    let images = dir.path().join("images");
    fs::create_dir(&images).unwrap();
    let check = |name: &str, layer: &str, link: Option<(Kind, &str)>| {
        let list = json!([{"Config": "c.json", "RepoTags": ["a:1"], "Layers": [layer]}]).to_string();
        let mut archive = Archive::default().file("c.json", b"{}").file("manifest.json", list.as_bytes());
        if let Some((kind, target)) = link {
            archive = archive.link("layer.tar", kind, target);
        }
        fs::write(images.join(name), archive.bytes()).unwrap();
        let store = ImageStore::open(&images).unwrap();
        let said = manifest(&store, "a:1").unwrap_err().to_string();
        assert!(said.contains("is not in the archive"), "{said}");
        fs::remove_file(images.join(name)).unwrap();
    };
    let secret = secret.to_str().unwrap();
    check("path.tar", secret, None);
    check("up.tar", "../secret", None);
    check("symlink.tar", "layer.tar", Some((Kind::Symlink, secret)));
    check("symlink-up.tar", "layer.tar", Some((Kind::Symlink, "../secret")));
    check("hard-link.tar", "layer.tar", Some((Kind::HardLink, secret)));
    check("circle.tar", "layer.tar", Some((Kind::HardLink, "layer.tar")));
    // In a directory a link in the place of a content is none.
    let layout = images.join("layout");
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let digest = Digest::of(b"secret");
    std::os::unix::fs::symlink(secret, blobs.join(digest.hex())).unwrap();
    let described = json!({"digest": digest, "size": 6, "annotations": {"io.containerd.image.name": "a:1"}});
    fs::write(layout.join("index.json"), json!({"schemaVersion": 2, "manifests": [described]}).to_string())
        .unwrap();
    fs::write(layout.join("oci-layout"), "{}").unwrap();
    let store = ImageStore::open(&images).unwrap();
    assert!(matches!(store.blob(&digest), Err(StoreError::NoBlob { .. })));
}

/// An archive of one header, of which a field is overwritten.
fn header_with(at: usize, field: &[u8]) -> Vec<u8> {
    let mut bytes = Archive::default().file("a", b"").bytes();
    bytes[at..at + field.len()].copy_from_slice(field);
    bytes[148..156].fill(b' ');
    let sum: u32 = bytes[..512].iter().copied().map(u32::from).sum();
    bytes[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    bytes
}

#[test]
fn no_size_that_an_archive_tells_is_believed() {
    let check = |bytes: &[u8]| {
        let mut reader = Reader::new(bytes);
        let result = (0..3).try_for_each(|_| reader.next_entry().map(drop));
        assert!(result.is_err());
    };
    check(&header_with(124, b"77777777777"));
    check(&header_with(124, &[0x80, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]));
    check(&header_with(124, &[0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]));
    check(&header_with(124, b"nonsense"));
    // A name of 8 GiB.
    for kind in [b"L", b"K", b"x"] {
        let mut bytes = header_with(124, b"77777777777");
        bytes[156] = kind[0];
        bytes[148..156].fill(b' ');
        let sum: u32 = bytes[..512].iter().copied().map(u32::from).sum();
        bytes[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        let said = Reader::new(&*bytes).next_entry().unwrap_err().to_string();
        assert!(said.contains("a name is too long"), "{said}");
    }
}

#[test]
fn long_names_are_read_as_they_were_written() {
    let long = format!("{}/file", "folder/".repeat(40));
    let bytes = Archive::default().link(&long, Kind::Symlink, &long).file("b", b"content").bytes();
    let mut reader = Reader::new(&*bytes);
    let entry = reader.next_entry().unwrap().unwrap();
    assert_eq!((&*entry.path, entry.kind, &*entry.link), (&*long, Kind::Symlink, &*long));
    let entry = reader.next_entry().unwrap().unwrap();
    let mut content = Vec::new();
    reader.read_to_end(&mut content).unwrap();
    assert_eq!((&*entry.path, &*content), ("b", &b"content"[..]));
    assert_eq!(bytes[entry.offset as usize..][..7], *b"content");
    assert!(reader.next_entry().unwrap().is_none());
}

/// Reads all that an archive has.
fn read_all(path: &Path) {
    let store = ImageStore::open(path).unwrap();
    for name in store.names().unwrap() {
        let _ = store.manifest(&name);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn whatever_is_in_an_archive_reading_it_ends(changes in prop::collection::vec((0_usize..6_000, any::<u8>()), 0..8), length in 0_usize..6_000, zip: bool) {
        let mut bytes = docker("a:1", b"layer").bytes();
        for (at, byte) in changes {
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
        }
        bytes.truncate(length);
        let dir = TempDir::new().unwrap();
        fs::write(dir.path().join("a.tar"), if zip { gzip(&bytes) } else { bytes }).unwrap();
        read_all(dir.path());
    }
}
