//! Images that are made, and read again.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use flate2::read::GzDecoder;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::archives::Archive;
use crate::build::{BuildError, Content, Image, Node, Packages, Tree};
use crate::tar::{Kind, Reader};
use crate::{Digest, ImageStore};

fn file(content: &str) -> Node {
    Node::File(0o644, Content::Bytes(Bytes::copy_from_slice(content.as_bytes())))
}

fn image() -> Image {
    let mut image = Image::new("quay.io/a/b:v1".parse().unwrap());
    image
        .tree
        .insert("/usr/bin/agent", Node::File(0o755, Content::Bytes(Bytes::from_static(b"program"))))
        .unwrap();
    image.tree.insert("/bin", Node::Symlink("usr/bin".to_owned())).unwrap();
    image.tree.insert("/tmp", Node::Directory(0o1777)).unwrap();
    image.entrypoint = vec!["/usr/bin/agent".to_owned()];
    image.env = vec!["A=B".to_owned()];
    image.user = "65534".to_owned();
    image.labels.insert("k".to_owned(), "v".to_owned());
    image
}

fn blob(store: &ImageStore, described: &Value) -> Vec<u8> {
    let digest = described["digest"].as_str().unwrap().parse().unwrap();
    let mut content = Vec::new();
    store.blob(&digest).unwrap().read_to_end(&mut content).unwrap();
    assert_eq!(json!(content.len()), described["size"]);
    content
}

#[test]
fn what_is_written_is_served_as_it_was_meant() {
    let dir = TempDir::new().unwrap();
    let written = image().write_archive(&dir.path().join("a.tar")).unwrap();
    let store = ImageStore::open(dir.path()).unwrap();
    let document = store.manifest(&"quay.io/a/b:v1".parse().unwrap()).unwrap();
    assert_eq!(document.digest, written.digest);
    let manifest: Value = serde_json::from_slice(&document.content).unwrap();
    let config: Value = serde_json::from_slice(&blob(&store, &manifest["config"])).unwrap();
    let layer = blob(&store, &manifest["layers"][0]);
    let expected = json!({
        "User": "65534", "Env": ["A=B"], "Entrypoint": ["/usr/bin/agent"], "Labels": {"k": "v"},
    });
    assert_eq!(config["config"], expected);
    let mut unpacked = Vec::new();
    GzDecoder::new(&*layer).read_to_end(&mut unpacked).unwrap();
    assert_eq!(config["rootfs"]["diff_ids"], json!([Digest::of(&unpacked)]));
    let mut reader = Reader::new(&*unpacked);
    let mut found = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        found.push((entry.path, entry.kind, entry.mode, entry.link));
    }
    let expected = [
        ("bin", Kind::Symlink, 0o777, "usr/bin"),
        ("tmp", Kind::Directory, 0o1777, ""),
        ("usr", Kind::Directory, 0o755, ""),
        ("usr/bin", Kind::Directory, 0o755, ""),
        ("usr/bin/agent", Kind::File, 0o755, ""),
    ];
    assert_eq!(
        found,
        expected.map(|(path, kind, mode, link)| (path.to_owned(), kind, mode, link.to_owned()))
    );
}

#[test]
fn the_same_files_give_the_same_image_in_every_form() {
    let dir = TempDir::new().unwrap();
    let (first, second) = (dir.path().join("a.tar"), dir.path().join("b.tar"));
    let written = image().write_archive(&first).unwrap();
    assert_eq!(image().write_archive(&second).unwrap(), written);
    assert_eq!(fs::read(&first).unwrap(), fs::read(&second).unwrap());
    assert_eq!(image().write_directory(&dir.path().join("c")).unwrap(), written);
    let other = Image { modified_seconds: 1_700_000_000, ..image() };
    assert_ne!(other.write_archive(&second).unwrap().digest, written.digest);
    let mut left: Vec<_> =
        fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["a.tar", "b.tar", "c"]);
}

#[test]
fn what_cannot_be_written_leaves_nothing() {
    let dir = TempDir::new().unwrap();
    let mut image = image();
    let gone = dir.path().join("gone");
    image.tree.insert("/gone", Node::File(0o644, Content::Of(gone))).unwrap();
    let there = dir.path().join("there.tar");
    fs::write(&there, "before").unwrap();
    assert!(matches!(image.write_archive(&there), Err(BuildError::Read { .. })));
    assert!(matches!(image.write_directory(&dir.path().join("c")), Err(BuildError::Read { .. })));
    assert!(matches!(image.write_directory(dir.path()), Err(BuildError::Exists { .. })));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    assert_eq!(fs::read(&there).unwrap(), b"before");
}

#[test]
fn a_path_in_an_image_stays_in_it() {
    let check = |before: &[(&str, Node)], path: &str, expected: Option<&str>| {
        let mut tree = Tree::default();
        for (path, node) in before {
            tree.insert(path, node.clone()).unwrap();
        }
        let inserted = tree.insert(path, file("new"));
        match expected {
            Some(place) => assert_eq!(tree.get(place), Some(&file("new")), "{path}"),
            None => assert!(matches!(inserted, Err(BuildError::Path { .. })), "{path}"),
        }
    };
    check(&[], "a/b", Some("/a/b"));
    check(&[], "//a/./b", Some("/a/b"));
    check(&[("a", file("old"))], "/a", Some("a"));
    check(&[], "../a", None);
    check(&[], "a/../../b", None);
    check(&[("a", Node::Symlink("/etc".to_owned()))], "a/passwd", None);
    check(&[("a", file("old"))], "a/b", None);
    check(&[("a/b", file("old"))], "a", None);
    check(&[], "a\0b", None);
}

#[test]
fn a_path_in_an_image_leads_through_its_links() {
    let mut tree = Tree::default();
    tree.insert("/usr/bin/agent", file("program")).unwrap();
    for (path, target) in
        [("/bin", "usr/bin"), ("/opt/a", "../bin/./agent"), ("/abs", "/bin/agent"), ("/circle", "circle")]
    {
        tree.insert(path, Node::Symlink(target.to_owned())).unwrap();
    }
    for (path, expected) in [
        ("/usr/bin/agent", true),
        ("bin/agent", true),
        ("/opt/a", true),
        ("/abs", true),
        ("/circle", false),
        ("/bin", false),
        ("/bin/other", false),
        ("/usr/bin/agent/x", false),
    ] {
        assert_eq!(tree.has(path), expected, "{path}");
    }
}

#[test]
fn programs_bring_the_libraries_that_they_need() {
    let own = std::env::current_exe().unwrap();
    let mut tree = Tree::default();
    tree.add_file(&own, "/usr/bin/test").unwrap();
    tree.add_file(Path::new("/etc/passwd"), "/etc/passwd").unwrap();
    tree.add_libraries().unwrap();
    let names: Vec<&str> = tree.nodes().filter_map(|(path, _)| path.rsplit('/').next()).collect();
    for needed in ["libc.so.6", "libgcc_s.so.1"] {
        assert!(names.contains(&needed), "{names:?}");
    }
    assert!(names.iter().any(|name| name.starts_with("ld-linux")), "{names:?}");
    let count = tree.nodes().count();
    tree.add_libraries().unwrap();
    assert_eq!(tree.nodes().count(), count, "what is there is not looked for again");
}

#[test]
fn a_library_that_is_nowhere_is_named() {
    // The test itself, with a library that nobody has.
    let mut program = fs::read(std::env::current_exe().unwrap()).unwrap();
    let at = program.windows(10).position(|window| window == b"libc.so.6\0").unwrap();
    program[at..at + 4].copy_from_slice(b"none");
    let mut tree = Tree::default();
    tree.insert("/bin/agent", Node::File(0o755, Content::Bytes(program.into()))).unwrap();
    let said = tree.add_libraries().unwrap_err().to_string();
    assert!(said.starts_with("/bin/agent needs none.so.6, which"), "{said}");
}

#[test]
fn a_directory_comes_with_all_below_it() {
    let dir = TempDir::new().unwrap();
    fs::create_dir_all(dir.path().join("a/b")).unwrap();
    fs::write(dir.path().join("a/b/file"), "content").unwrap();
    fs::set_permissions(dir.path().join("a/b/file"), fs::Permissions::from_mode(0o750)).unwrap();
    std::os::unix::fs::symlink("b/file", dir.path().join("a/link")).unwrap();
    let mut tree = Tree::default();
    tree.add_directory(&dir.path().join("a"), "/opt").unwrap();
    assert!(matches!(tree.get("/opt/b/file"), Some(Node::File(0o750, _))));
    assert_eq!(tree.get("/opt/link"), Some(&Node::Symlink("b/file".to_owned())));
    let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("a/socket")).unwrap();
    let refused = tree.add_directory(&dir.path().join("a"), "/opt");
    assert!(matches!(refused, Err(BuildError::Special { .. })));
}

/// A package in a file: an archive of `ar` with three members.
fn deb(dir: &Path, files: Archive) -> std::path::PathBuf {
    let mut bytes = b"!<arch>\n".to_vec();
    let control = Archive::default().file("./control", b"Package: a\nVersion: 1\nArchitecture: all\n");
    let members =
        [("debian-binary", b"2.0\n".to_vec()), ("control.tar", control.bytes()), ("data.tar", files.bytes())];
    for (name, content) in members {
        bytes.extend(format!("{name:<16}0           0     0     100644  {:<10}`\n", content.len()).bytes());
        bytes.extend(&content);
        bytes.resize(bytes.len().next_multiple_of(2), b'\n');
    }
    let path = dir.join("a_1_all.deb");
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn a_package_in_a_file_is_unpacked_without_its_documentation() {
    if Command::new("dpkg-deb").arg("--version").output().is_err() {
        return everynode_testkit::skip(everynode_testkit::Need::Dpkg, "dpkg-deb is not here");
    }
    let dir = TempDir::new().unwrap();
    let files =
        Archive::default().file("./usr/bin/agent", b"program").file("./usr/share/doc/a/copyright", b"text");
    let mut tree = Tree::default();
    let package = deb(dir.path(), files);
    Packages::default().add_file(&package, &mut tree).unwrap();
    let found: Vec<&str> = tree.nodes().map(|(path, _)| path).collect();
    assert_eq!(found, ["usr", "usr/bin", "usr/bin/agent"]);
    let hostile = deb(dir.path(), Archive::default().file("../../etc/cron.d/x", b"* * * * *"));
    let refused = Packages::default().add_file(&hostile, &mut tree);
    assert!(matches!(refused, Err(BuildError::Path { .. })), "{refused:?}");
    fs::write(&package, "no package").unwrap();
    let refused = Packages::default().add_file(&package, &mut tree);
    assert!(matches!(refused, Err(BuildError::Failed { .. })), "{refused:?}");
}

#[test]
fn a_package_that_is_installed_comes_as_it_is_on_the_machine() {
    let dir = TempDir::new().unwrap();
    let root = dir.path().join("root");
    fs::create_dir_all(root.join("usr/lib")).unwrap();
    fs::write(root.join("usr/lib/libx.so"), "library").unwrap();
    // A link of the machine, which is a directory to the package.
    std::os::unix::fs::symlink("usr/lib", root.join("lib")).unwrap();
    std::os::unix::fs::symlink("libx.so", root.join("usr/lib/liby.so")).unwrap();
    let at = root.display();
    let list = format!("/.\n{at}/lib\n{at}/lib/libx.so\n{at}/lib/liby.so\n");
    fs::write(dir.path().join("x:amd64.list"), list).unwrap();
    let mut tree = Tree::default();
    let packages = Packages { info: dir.path().to_owned() };
    packages.add_installed("x", &mut tree).unwrap();
    assert_eq!(tree.get(&format!("{at}/lib")), Some(&Node::Directory(0o755)));
    assert_eq!(tree.get(&format!("{at}/lib/liby.so")), Some(&Node::Symlink("libx.so".to_owned())));
    assert!(tree.has(&format!("{at}/lib/liby.so")));
    let missing = packages.add_installed("xy", &mut tree);
    assert!(matches!(missing, Err(BuildError::NotInstalled { .. })));
}

#[test]
fn a_name_that_is_no_package_is_not_looked_up() {
    let mut tree = Tree::default();
    for name in ["", "-a", "../a", "a/b", "A", "a b"] {
        let refused = Packages::default().add_installed(name, &mut tree);
        assert!(matches!(refused, Err(BuildError::NoPackage { .. })), "{name}");
        let refused = Packages::default().download(name, Path::new("/nowhere"));
        assert!(matches!(refused, Err(BuildError::NoPackage { .. })), "{name}");
    }
}
