//! Images for tests: a busybox with links, as an archive in the layout of the Open Container Initiative.

use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// What containers are made from.
pub const IMAGE: &str = "everynode.test/busybox:1";
/// What sandboxes are made from.
pub const PAUSE: &str = "everynode.test/pause:1";

/// The length of a block of an archive, in bytes.
const BLOCK_BYTES: usize = 512;

const APPLETS: [&str; 9] = ["sh", "sleep", "echo", "cat", "id", "dd", "kill", "env", "hostname"];

/// An archive of the kind `ustar`.
#[derive(Default)]
struct Archive(Vec<u8>);

impl Archive {
    fn entry(&mut self, path: &str, kind: u8, mode: u32, link: &str, content: &[u8]) {
        let mut header = [0_u8; BLOCK_BYTES];
        let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, path.as_bytes());
        put(100, format!("{mode:07o}").as_bytes());
        for id in [108, 116] {
            put(id, b"0000000");
        }
        put(124, format!("{:011o}", content.len()).as_bytes());
        put(136, b"00000000000");
        // The checksum counts itself as spaces.
        put(148, b"        ");
        put(156, &[kind]);
        put(157, link.as_bytes());
        put(257, b"ustar\x0000");
        let sum: u32 = header.iter().copied().map(u32::from).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        self.0.extend(header);
        self.0.extend(content);
        self.0.resize(self.0.len().next_multiple_of(BLOCK_BYTES), 0);
    }

    fn folder(&mut self, path: &str) {
        self.entry(path, b'5', 0o755, "", b"");
    }

    fn file(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.entry(path, b'0', mode, "", content);
    }

    fn link(&mut self, path: &str, target: &str) {
        self.entry(path, b'2', 0o777, target, b"");
    }

    fn end(mut self) -> Vec<u8> {
        self.0.extend([0; 2 * BLOCK_BYTES]);
        self.0
    }
}

/// The files of an image, and where they are kept by their digests.
#[derive(Default)]
struct Layout(Archive);

impl Layout {
    /// Adds a blob and describes it.
    fn blob(&mut self, media_type: &str, content: &[u8]) -> Value {
        let digest: String = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
        self.0.file(&format!("blobs/sha256/{digest}"), 0o644, content);
        json!({"mediaType": media_type, "digest": format!("sha256:{digest}"), "size": content.len()})
    }

    /// Adds an image of one layer and describes it.
    fn image(&mut self, name: &str, layer: &Value, command: &[&str]) -> Value {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let config = json!({
            "architecture": architecture, "os": "linux", "config": {"Cmd": command, "Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
        });
        let config = self.blob("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes());
        let manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config,
            "layers": [layer],
        });
        let mut described =
            self.blob("application/vnd.oci.image.manifest.v1+json", manifest.to_string().as_bytes());
        described["annotations"] = json!({"io.containerd.image.name": name});
        described
    }
}

/// An archive of both images, made from a static busybox.
pub fn archive(busybox: &Path) -> Vec<u8> {
    let mut files = Archive::default();
    for folder in ["bin/", "tmp/", "etc/", "proc/", "sys/", "dev/"] {
        files.folder(folder);
    }
    files.file("bin/busybox", 0o755, &std::fs::read(busybox).unwrap());
    for applet in APPLETS {
        files.link(&format!("bin/{applet}"), "busybox");
    }
    files.file("etc/passwd", 0o644, b"root:x:0:0:root:/:/bin/sh\n");
    let mut layout = Layout::default();
    let layer = layout.blob("application/vnd.oci.image.layer.v1.tar", &files.end());
    let images = [
        layout.image(IMAGE, &layer, &["/bin/sleep", "1000000"]),
        layout.image(PAUSE, &layer, &["/bin/sleep", "1000000"]),
    ];
    layout.0.file("oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#);
    let index = json!({"schemaVersion": 2, "manifests": images});
    layout.0.file("index.json", 0o644, index.to_string().as_bytes());
    layout.0.end()
}
