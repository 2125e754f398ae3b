//! Cgroups that a node leaves: empty folders, which the kernel does not remove by itself.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

const ROOT: &str = "/sys/fs/cgroup";
/// How long the last process of a cgroup may take to leave it.
const LEAVING: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(5);

/// Removes a cgroup and all below it, in each hierarchy: one in version 2, one per controller in version 1. What still
/// has processes after a while stays.
pub fn remove(cgroup: &str) {
    let root = Path::new(ROOT);
    let hierarchies = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    let deadline = Instant::now() + LEAVING;
    for hierarchy in hierarchies.chain([root.to_owned()]) {
        let folder = hierarchy.join(cgroup.trim_start_matches('/'));
        while folder.exists() && !remove_tree(&folder) && Instant::now() < deadline {
            std::thread::sleep(PAUSE);
        }
    }
}

/// Removes the folder from the leaves on; the kernel's own files go with them.
fn remove_tree(folder: &Path) -> bool {
    let inner = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in inner.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove_tree(&entry.path());
    }
    fs::remove_dir(folder).is_ok()
}
