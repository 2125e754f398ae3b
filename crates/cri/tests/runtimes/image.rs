//! The image that containers of tests are made from: a busybox with links.

use std::path::Path;

use everynode_registry::build::{Content, Image, Node};

/// What containers are made from.
pub const IMAGE: &str = "everynode.test/busybox:1";
/// What sandboxes are made from: the registry has it built in.
pub const PAUSE: &str = "registry.k8s.io/pause:3.10";

const APPLETS: [&str; 9] = ["sh", "sleep", "echo", "cat", "id", "dd", "kill", "env", "hostname"];

/// Writes the image, made from a static busybox.
pub fn write(busybox: &Path, path: &Path) {
    let mut image = Image::new(IMAGE.parse().unwrap());
    image.tree.add_file(busybox, "/bin/busybox").unwrap();
    for applet in APPLETS {
        image.tree.insert(&format!("/bin/{applet}"), Node::Symlink("busybox".to_owned())).unwrap();
    }
    let users = Content::Bytes(b"root:x:0:0:root:/:/bin/sh\n".as_slice().into());
    image.tree.insert("/etc/passwd", Node::File(0o644, users)).unwrap();
    for folder in ["tmp", "proc", "sys", "dev"] {
        image.tree.insert(folder, Node::Directory(0o755)).unwrap();
    }
    image.env = vec!["PATH=/bin".to_owned()];
    image.cmd = vec!["/bin/sleep".to_owned(), "1000000".to_owned()];
    image.write_archive(path).unwrap();
}
