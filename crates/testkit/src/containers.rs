//! What tests with real containers need of the machine.

use std::path::PathBuf;
use std::process::Command;

use crate::{Need, skip};

const PROGRAMS: [&str; 7] =
    ["containerd", "containerd-shim-runc-v2", "runc", "ctr", "ip", "unshare", "setpriv"];

/// Whether real containers can be made here; says so where they cannot.
pub fn have_containerd() -> bool {
    let missing = missing();
    if let Some(missing) = &missing {
        skip(Need::Containerd, missing);
    }
    missing.is_none()
}

/// A busybox in the path that needs no library.
pub fn static_busybox() -> Option<PathBuf> {
    let busybox = program("busybox")?;
    // A program that is not static names its loader.
    let is_static = !std::fs::read(&busybox).ok()?.windows(4).any(|window| window == b"/ld-");
    is_static.then_some(busybox)
}

/// A program in the path.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

fn missing() -> Option<String> {
    let absent = PROGRAMS.into_iter().find(|name| program(name).is_none());
    if let Some(name) = absent {
        return Some(format!("{name} is not here"));
    }
    if static_busybox().is_none() {
        return Some("a static busybox is not here".to_owned());
    }
    let is_root =
        Command::new("unshare").args(["--mount", "true"]).output().is_ok_and(|it| it.status.success());
    (!is_root).then(|| "root's rights are needed".to_owned())
}
