//! Cgroups of pods: what they may take together, and the folders that are left when their processes are gone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::resources::{CPU_PERIOD_MICROS, PodLimits};

/// No cgroup of ours is nested deeper.
const DEPTH_LIMIT: u32 = 8;

/// Where the kernel shows cgroups.
#[derive(Debug, Clone)]
pub struct Cgroups {
    root: PathBuf,
}

/// The files of one limit of a cgroup, with what is written.
struct Setting {
    /// In v1 the hierarchy; in v2 there is one.
    controller: &'static str,
    file: &'static str,
    value: String,
}

impl Default for Cgroups {
    fn default() -> Cgroups {
        Cgroups::new(Path::new("/sys/fs/cgroup"))
    }
}

impl Cgroups {
    /// Those that are shown in this folder; by default those of the machine.
    pub fn new(root: &Path) -> Cgroups {
        Cgroups { root: root.to_owned() }
    }

    /// Version 2: one hierarchy.
    fn is_unified(&self) -> bool {
        self.root.join("cgroup.controllers").exists()
    }

    /// Makes the cgroup of a pod, if it is not there, and sets what the pod may take. Slices are systemd's, and the
    /// runtime has them made.
    ///
    /// # Errors
    /// What the system said, with the file.
    pub fn set(&self, path: &str, limits: &PodLimits) -> Result<(), String> {
        self.settings(limits).iter().try_for_each(|setting| self.write(path, setting))
    }

    /// Sets of that what is more than the cgroup has now.
    ///
    /// # Errors
    /// What the system said, with the file.
    pub fn raise(&self, path: &str, limits: &PodLimits) -> Result<(), String> {
        let more = |setting: &&Setting| {
            let file = self.folder(path, setting.controller).join(setting.file);
            match (fs::read_to_string(file).map(|text| amount(&text)), amount(&setting.value)) {
                (Err(_), _) | (Ok(Some(_)), None) => true,
                (Ok(None), _) => false,
                (Ok(Some(now)), Some(wanted)) => wanted > now,
            }
        };
        self.settings(limits).iter().filter(more).try_for_each(|setting| self.write(path, setting))
    }

    /// Sets the weight of a class of pods among the others, where its cgroup is there.
    ///
    /// # Errors
    /// What the system said, with the file.
    pub fn set_shares(&self, path: &str, shares: i64) -> Result<(), String> {
        self.write(path, &self.shares(shares))
    }

    fn shares(&self, shares: i64) -> Setting {
        match self.is_unified() {
            false => Setting { controller: "cpu", file: "cpu.shares", value: shares.to_string() },
            true => Setting { controller: "cpu", file: "cpu.weight", value: weight(shares).to_string() },
        }
    }

    fn settings(&self, limits: &PodLimits) -> Vec<Setting> {
        let (quota, memory) = (limits.cpu_quota, limits.memory_bytes);
        let mut settings = vec![self.shares(limits.cpu_shares)];
        settings.extend(match self.is_unified() {
            false => vec![
                Setting {
                    controller: "cpu",
                    file: "cpu.cfs_period_us",
                    value: CPU_PERIOD_MICROS.to_string(),
                },
                Setting {
                    controller: "cpu",
                    file: "cpu.cfs_quota_us",
                    value: quota.unwrap_or(-1).to_string(),
                },
                Setting {
                    controller: "memory",
                    file: "memory.limit_in_bytes",
                    value: memory.unwrap_or(-1).to_string(),
                },
            ],
            true => {
                let max = |limit: Option<i64>| limit.map_or("max".to_owned(), |limit| limit.to_string());
                vec![
                    Setting {
                        controller: "cpu",
                        file: "cpu.max",
                        value: format!("{} {CPU_PERIOD_MICROS}", max(quota)),
                    },
                    Setting { controller: "memory", file: "memory.max", value: max(memory) },
                ]
            }
        });
        settings
    }

    fn folder(&self, path: &str, controller: &str) -> PathBuf {
        let path = path.trim_start_matches('/');
        match self.is_unified() {
            true => self.root.join(path),
            false => self.root.join(controller).join(path),
        }
    }

    fn write(&self, path: &str, setting: &Setting) -> Result<(), String> {
        let is_there = self.is_unified() || self.root.join(setting.controller).exists();
        if !is_ours(path) || !is_there {
            return Ok(());
        }
        let folder = self.folder(path, setting.controller);
        let said = |file: &Path, error: io::Error| format!("{}: {error}", file.display());
        self.make(path, setting.controller).map_err(|error| said(&folder, error))?;
        let file = folder.join(setting.file);
        fs::write(&file, &setting.value).map_err(|error| said(&file, error))
    }

    /// Makes a cgroup with those above it, which in v2 have to hand the controller down.
    fn make(&self, path: &str, controller: &str) -> io::Result<()> {
        let folder = self.folder(path, controller);
        if folder.exists() {
            return Ok(());
        }
        fs::create_dir_all(&folder)?;
        if self.is_unified() {
            let above = folder.ancestors().skip(1).take_while(|above| above.starts_with(&self.root));
            let above: Vec<&Path> = above.collect();
            for above in above.into_iter().rev() {
                let hand_down = |controller: &str| {
                    fs::write(above.join("cgroup.subtree_control"), format!("+{controller}"))
                };
                ["cpu", "memory"].into_iter().try_for_each(hand_down)?;
            }
        }
        Ok(())
    }

    /// Removes an empty cgroup with those below it, in the one hierarchy of cgroups v2 or in each one of v1; says whether
    /// none of it is left. Folders with processes stay: the kernel refuses to remove them.
    pub fn remove(&self, path: &str) -> bool {
        let path = path.trim_start_matches('/');
        if !is_ours(path) {
            return false;
        }
        let folders: Vec<PathBuf> =
            self.hierarchies().into_iter().map(|hierarchy| hierarchy.join(path)).collect();
        folders.iter().for_each(|folder| remove(folder, DEPTH_LIMIT));
        !folders.iter().any(|folder| folder.exists())
    }

    fn hierarchies(&self) -> Vec<PathBuf> {
        let below = fs::read_dir(&self.root).into_iter().flatten().flatten();
        let below =
            below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path());
        std::iter::once(self.root.clone()).chain(below).collect()
    }
}

/// Slices are systemd's to make and to remove.
fn is_ours(path: &str) -> bool {
    let path = path.trim_start_matches('/');
    !(path.is_empty() || path.contains("..") || path.ends_with(".slice"))
}

/// The first word of a limit as a number; nothing where there is no limit.
fn amount(text: &str) -> Option<i64> {
    let number: i64 = text.split_whitespace().next()?.parse().ok()?;
    (number >= 0).then_some(number)
}

/// Shares of v1 as a weight of v2, as container runtimes map them.
fn weight(shares: i64) -> i64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9_999 / 262_142
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The files of a cgroup after some have been set, and others raised.
    fn check(unified: bool, expected: &str) {
        let folder = tempfile::tempdir().unwrap();
        match unified {
            true => fs::write(folder.path().join("cgroup.controllers"), "cpu memory").unwrap(),
            false => {
                ["cpu", "memory"].iter().for_each(|name| fs::create_dir(folder.path().join(name)).unwrap())
            }
        }
        let cgroups = Cgroups::new(folder.path());
        let limits =
            |shares, quota, memory| PodLimits { cpu_shares: shares, cpu_quota: quota, memory_bytes: memory };
        cgroups.set("/kube/pod1", &limits(102, Some(20_000), Some(1_000))).unwrap();
        cgroups.raise("/kube/pod1", &limits(51, Some(50_000), Some(500))).unwrap();
        let mut found = Vec::new();
        for name in
            ["cpu.shares", "cpu.cfs_quota_us", "memory.limit_in_bytes", "cpu.weight", "cpu.max", "memory.max"]
        {
            for below in ["kube/pod1", "cpu/kube/pod1", "memory/kube/pod1"] {
                let text = fs::read_to_string(folder.path().join(below).join(name));
                found.extend(text.ok().map(|text| format!("{name}={text}")));
            }
        }
        assert_eq!(found.join(" "), expected);
    }

    #[test]
    fn a_pods_cgroup_is_raised_only_where_it_gets_more() {
        check(false, "cpu.shares=102 cpu.cfs_quota_us=50000 memory.limit_in_bytes=1000");
        check(true, "cpu.weight=4 cpu.max=50000 100000 memory.max=1000");
    }

    #[test]
    fn what_is_systemds_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("cpu")).unwrap();
        let cgroups = Cgroups::new(folder.path());
        let limits = PodLimits { cpu_shares: 2, cpu_quota: None, memory_bytes: None };
        cgroups.set("kubepods-pod1.slice", &limits).unwrap();
        assert!(!folder.path().join("cpu/kubepods-pod1.slice").exists());
    }
}
