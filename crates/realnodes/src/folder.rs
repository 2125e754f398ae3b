//! The folder in which the nodes of one run have their files, and what earlier runs left of theirs.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use everynode_agent::runtime::Cgroups;

use crate::error::RealNodesError;

/// A file that its run holds locked, beside the folder of the same name.
const LOCK: &str = "lock";
/// How many names are tried.
const ATTEMPTS: u32 = 1_000;
/// How long the last process of a cgroup may take to leave it, and between two looks.
const LEAVING: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(5);

/// The folder of one run. It goes with its owner; where that was killed, the next run removes it.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// Held for as long as the run lives.
    _lock: File,
}

impl RunFolder {
    /// Removes what runs that ended left below `base`, and makes a folder for this one.
    ///
    /// # Errors
    /// The folder cannot be made or locked.
    pub fn make(base: &Path) -> Result<RunFolder, RealNodesError> {
        let failed = |source| RealNodesError::Folder { path: base.display().to_string(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(base).map_err(failed)?;
        remove_left(base);
        for number in 0..ATTEMPTS {
            if let Some(folder) = take(base, number).map_err(failed)? {
                return Ok(folder);
            }
        }
        Err(failed(io::ErrorKind::AlreadyExists.into()))
    }

    /// Where a node has its files.
    pub fn of_node(&self, node: &str) -> PathBuf {
        self.path.join(node)
    }

    /// The cgroup below which a node's pods are.
    pub fn cgroup_of(&self, node: &str) -> String {
        format!("{}/{node}", cgroup_of(&self.path))
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// Takes the folder of a number, unless another run has it.
fn take(base: &Path, number: u32) -> io::Result<Option<RunFolder>> {
    let path = base.join(number.to_string());
    match DirBuilder::new().mode(0o700).create(&path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
        made => made?,
    }
    let lock = File::create(path.join(LOCK))?;
    // Who looked for leftovers at this moment may have removed it: then the lock is of a file that is no more.
    if lock.try_lock().is_err() || !path.join(LOCK).exists() {
        return Ok(None);
    }
    Ok(Some(RunFolder { path, _lock: lock }))
}

/// The cgroup of a run: known by the folder alone, so that the next run knows it too.
fn cgroup_of(path: &Path) -> String {
    let text = path.display().to_string();
    format!(
        "/everynode-{:08x}",
        text.bytes().fold(0_u32, |hash, byte| hash.wrapping_mul(31) ^ u32::from(byte))
    )
}

/// Removes the folders of runs that ended without removing them: nobody holds their lock.
fn remove_left(base: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(lock) = File::open(path.join(LOCK)) else { continue };
        if lock.try_lock().is_ok() {
            tracing::info!(path = %path.display(), "removing what an earlier run left");
            remove(&path);
        }
    }
}

/// Removes what a run has: its cgroup, once the last process has left it, and its files.
fn remove(path: &Path) {
    let (cgroups, cgroup) = (Cgroups::default(), cgroup_of(path));
    let deadline = Instant::now() + LEAVING;
    while !cgroups.remove(&cgroup) && Instant::now() < deadline {
        std::thread::sleep(PAUSE);
    }
    if let Err(error) = fs::remove_dir_all(path) {
        tracing::warn!(path = %path.display(), %error, "files of real nodes stay");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panic")]

    use super::*;

    #[test]
    fn a_run_removes_what_ended_runs_left_and_leaves_the_others_alone() {
        let base = tempfile::tempdir().unwrap();
        let names = || {
            let mut found: Vec<String> = fs::read_dir(base.path())
                .unwrap()
                .map(|it| it.unwrap().file_name().into_string().unwrap())
                .collect();
            found.sort();
            found
        };
        let first = RunFolder::make(base.path()).unwrap();
        let killed = RunFolder::make(base.path()).unwrap();
        fs::create_dir_all(killed.of_node("real-1").join("containerd")).unwrap();
        assert_ne!(first.cgroup_of("real-1"), killed.cgroup_of("real-1"));
        // A process that is killed lets go of its lock, and drops nothing.
        let RunFolder { _lock, .. } = &killed;
        _lock.unlock().unwrap();
        std::mem::forget(killed);
        assert_eq!(names(), ["0", "1"]);
        let third = RunFolder::make(base.path()).unwrap();
        assert_eq!(names(), ["0", "1"]);
        assert!(!third.of_node("real-1").exists());
        drop((first, third));
        assert_eq!(names(), [""; 0]);
    }
}
