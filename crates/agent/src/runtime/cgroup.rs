//! Folders of cgroups: what is left of them when their processes are gone.

use std::fs;
use std::path::{Path, PathBuf};

/// Where the kernel shows cgroups.
const CGROUPS: &str = "/sys/fs/cgroup";
/// No cgroup of ours is nested deeper.
const DEPTH_LIMIT: u32 = 8;

/// Removes an empty cgroup with those below it, in the one hierarchy of cgroups v2 or in each one of v1; says whether
/// none of it is left. Folders with processes stay: the kernel refuses to remove them.
pub fn remove_cgroup(path: &str) -> bool {
    let path = path.trim_start_matches('/');
    // Slices are systemd's to remove.
    if path.is_empty() || path.contains("..") || path.ends_with(".slice") {
        return false;
    }
    let folders: Vec<PathBuf> = hierarchies().into_iter().map(|hierarchy| hierarchy.join(path)).collect();
    folders.iter().for_each(|folder| remove(folder, DEPTH_LIMIT));
    !folders.iter().any(|folder| folder.exists())
}

fn hierarchies() -> Vec<PathBuf> {
    let below = fs::read_dir(CGROUPS).into_iter().flatten().flatten();
    let below =
        below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path());
    std::iter::once(PathBuf::from(CGROUPS)).chain(below).collect()
}

fn remove(folder: &Path, depth: u32) {
    let Some(depth) = depth.checked_sub(1) else { return };
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path(), depth);
        }
    }
    // What is not there or not empty stays as it is.
    let _ = fs::remove_dir(folder);
}
