//! What a machine has to have.

use std::path::PathBuf;

use crate::error::RealNodesError;

/// Programs, and the Debian packages that bring them.
const PROGRAMS: [(&str, &str); 6] = [
    ("containerd", "containerd"),
    ("containerd-shim-runc-v2", "containerd"),
    ("runc", "runc"),
    ("ip", "iproute2"),
    ("unshare", "util-linux"),
    ("setpriv", "util-linux"),
];

/// Whether real nodes can be made here.
///
/// # Errors
/// What is missing.
pub fn check() -> Result<(), RealNodesError> {
    if !rustix::process::geteuid().is_root() {
        return Err(RealNodesError::NotRoot);
    }
    match PROGRAMS.into_iter().find(|(program, _)| find(program).is_none()) {
        Some((program, package)) => Err(RealNodesError::Missing { program, package }),
        None => Ok(()),
    }
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}
