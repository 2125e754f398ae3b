//! Archives that are damaged in any way.
#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

mod bytes;

use std::io::Write;

use everynode_registry::build::{Image, Tree};
use flate2::Compression;
use flate2::write::GzEncoder;

/// Damaged archives that one run makes.
const RUNS: u64 = 400;

/// An image with two files in it, as an archive.
fn image(dir: &std::path::Path) -> Vec<u8> {
    let (source, path) = (dir.join("file"), dir.join("image.tar"));
    std::fs::write(&source, "content").unwrap();
    let mut tree = Tree::default();
    tree.add_file(&source, "/a/b").unwrap();
    tree.add_file(&source, "/c").unwrap();
    let image = Image { tree, ..Image::new("example.org/image:1".parse().unwrap()) };
    image.write_archive(&path).unwrap();
    std::fs::read(path).unwrap()
}

#[test]
fn a_damaged_archive_is_refused_or_serves_what_its_digests_say() {
    let (made_in, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let whole = image(made_in.path());
    let (images, contents) = bytes::archive(dir.path(), &whole);
    assert!(images >= 1 && contents >= 2, "{images} images, {contents} contents");
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&whole).unwrap();
    let compressed = gzip.finish().unwrap();
    assert_eq!(bytes::archive(dir.path(), &compressed), (images, contents));
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..RUNS {
        let mut damaged = if random.bool() { whole.clone() } else { compressed.clone() };
        for _ in 0..random.usize(1..8) {
            let at = random.usize(..damaged.len());
            match random.u8(..4) {
                0 => damaged.truncate(at.max(1)),
                1 => damaged[at] ^= 1 << random.u8(..8),
                2 => damaged[at] = random.u8(..),
                _ => {
                    let from = random.usize(..damaged.len());
                    let moved = damaged[from..].iter().copied().take(512).collect::<Vec<u8>>();
                    let end = (at + moved.len()).min(damaged.len());
                    damaged[at..end].copy_from_slice(&moved[..end - at]);
                }
            }
        }
        bytes::archive(dir.path(), &damaged);
    }
}
