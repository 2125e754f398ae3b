//! What the machine has left of what runs out: read from the kernel, or said by a test.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the kernel counts time in for programs, on all machines that Linux runs on today.
const NANOS_PER_TICK: u64 = 10_000_000;

/// Something that runs out, in the kubelet's words; what comes first is seen to first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    /// Memory, in bytes.
    MemoryAvailable,
    /// The file system of volumes and logs, in bytes.
    NodeFsAvailable,
    /// Its inodes.
    NodeFsInodesFree,
    /// The file system of images and of what containers write, in bytes.
    ImageFsAvailable,
    /// Its inodes.
    ImageFsInodesFree,
    /// Numbers of processes.
    PidAvailable,
}

impl Signal {
    /// All.
    pub const ALL: [Signal; 6] = [
        Signal::MemoryAvailable,
        Signal::NodeFsAvailable,
        Signal::NodeFsInodesFree,
        Signal::ImageFsAvailable,
        Signal::ImageFsInodesFree,
        Signal::PidAvailable,
    ];

    /// As options name it.
    pub fn name(self) -> &'static str {
        match self {
            Signal::MemoryAvailable => "memory.available",
            Signal::NodeFsAvailable => "nodefs.available",
            Signal::NodeFsInodesFree => "nodefs.inodesFree",
            Signal::ImageFsAvailable => "imagefs.available",
            Signal::ImageFsInodesFree => "imagefs.inodesFree",
            Signal::PidAvailable => "pid.available",
        }
    }
}

/// How much there is of something, and how much of it is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// All.
    pub capacity: u64,
    /// What is left.
    pub available: u64,
}

impl Room {
    /// How much of it is taken, in percent, rounded down.
    pub fn used_percent(self) -> u64 {
        let used = u128::from(self.capacity.saturating_sub(self.available)) * 100;
        u64::try_from(used / u128::from(self.capacity.max(1))).unwrap_or(100)
    }
}

/// What is left of each; what is not known is not there.
pub type Readings = BTreeMap<Signal, Room>;

/// Where things are whose room is measured.
#[derive(Debug, Clone)]
pub struct Places {
    /// The folder of volumes.
    pub volumes: PathBuf,
    /// The folder of images, where the runtime says so.
    pub images: Option<PathBuf>,
}

/// Where readings come from.
#[derive(Clone)]
pub struct Meter(Arc<dyn Fn(&Places) -> Readings + Send + Sync>);

impl std::fmt::Debug for Meter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Meter").finish_non_exhaustive()
    }
}

impl Default for Meter {
    /// The machine's own.
    fn default() -> Meter {
        Meter::new(of_machine)
    }
}

impl Meter {
    /// One that is asked like this.
    pub fn new(read: impl Fn(&Places) -> Readings + Send + Sync + 'static) -> Meter {
        Meter(Arc::new(read))
    }

    /// What is left now. A file system may be slow to say how full it is.
    pub fn read(&self, places: &Places) -> Readings {
        (self.0)(places)
    }
}

/// What the whole machine uses.
#[derive(Debug, Default, PartialEq)]
pub struct NodeUsage {
    /// The time for which its processors have worked since it began.
    pub cpu_nanos: Option<u64>,
    /// Its memory.
    pub memory_bytes: Option<u64>,
    /// What of that is in use and cannot be taken from files at any time, as the kubelet counts it.
    pub working_set_bytes: Option<u64>,
}

impl NodeUsage {
    /// Of this machine now.
    pub fn now() -> NodeUsage {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        NodeUsage::read(&read("/proc/stat"), &read("/proc/meminfo"))
    }

    /// From the kernel's tables.
    fn read(stat: &str, meminfo: &str) -> NodeUsage {
        // user nice system idle iowait irq softirq steal; the time of guests is part of user's.
        let ticks = stat.lines().find_map(|line| line.strip_prefix("cpu ")).map(|line| {
            line.split_whitespace()
                .take(8)
                .enumerate()
                .filter(|(at, _)| !matches!(at, 3 | 4))
                .filter_map(|(_, number)| number.parse::<u64>().ok())
                .fold(0, u64::saturating_add)
        });
        let bytes = |key: &str| meminfo_bytes(meminfo, key);
        let (all, free) = (bytes("MemTotal"), bytes("MemFree"));
        let inactive = bytes("Inactive(file)").unwrap_or(0);
        let used = all.zip(free).map(|(all, free)| all.saturating_sub(free).saturating_sub(inactive));
        let cpu_nanos = ticks.map(|ticks| ticks.saturating_mul(NANOS_PER_TICK));
        NodeUsage { cpu_nanos, memory_bytes: all, working_set_bytes: used }
    }

    /// What is left of its memory.
    pub fn memory(&self) -> Option<Room> {
        let (capacity, used) = self.memory_bytes.zip(self.working_set_bytes)?;
        Some(Room { capacity, available: capacity.saturating_sub(used) })
    }
}

/// A figure of the kernel's table of memory, in bytes.
fn meminfo_bytes(table: &str, key: &str) -> Option<u64> {
    let rest = table.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    let kibibytes: u64 = rest.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kibibytes.saturating_mul(1_024))
}

fn of_machine(places: &Places) -> Readings {
    let mut readings = Readings::new();
    if let Some(room) = NodeUsage::now().memory() {
        readings.insert(Signal::MemoryAvailable, room);
    }
    for (path, bytes, inodes) in [
        (Some(&places.volumes), Signal::NodeFsAvailable, Signal::NodeFsInodesFree),
        (places.images.as_ref(), Signal::ImageFsAvailable, Signal::ImageFsInodesFree),
    ] {
        if let Some((of_bytes, of_inodes)) = path.and_then(|path| of_file_system(path)) {
            readings.insert(bytes, of_bytes);
            readings.extend(of_inodes.map(|room| (inodes, room)));
        }
    }
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let limits = ["/proc/sys/kernel/pid_max", "/proc/sys/kernel/threads-max"];
    readings.extend(pids(&read("/proc/loadavg"), limits.map(read)).map(|room| (Signal::PidAvailable, room)));
    readings
}

/// The bytes and the inodes of the file system that a path is on; some have no inodes to run out of.
fn of_file_system(path: &Path) -> Option<(Room, Option<Room>)> {
    let found = rustix::fs::statvfs(path).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    let of_bytes = Room { capacity: bytes(found.f_blocks), available: bytes(found.f_bavail) };
    let of_inodes = Room { capacity: found.f_files, available: found.f_favail };
    Some((of_bytes, (found.f_files > 0).then_some(of_inodes)))
}

/// Numbers of processes, which each thread has one of, from the kernel's tables.
fn pids(load: &str, limits: [String; 2]) -> Option<Room> {
    let threads: u64 = load.split_whitespace().nth(3)?.split_once('/')?.1.parse().ok()?;
    let capacity = limits.iter().filter_map(|limit| limit.trim().parse::<u64>().ok()).min()?;
    Some(Room { capacity, available: capacity.saturating_sub(threads) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_machine_uses_is_read_from_the_kernels_tables() {
        let stat = "cpu  100 20 30 9999 888 4 5 6 7 8\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
        let meminfo = "MemTotal:        1000 kB\nMemFree:          300 kB\nInactive(anon):    50 kB\nInactive(file):   100 kB\n";
        let expected = NodeUsage {
            cpu_nanos: Some(1_650_000_000),
            memory_bytes: Some(1_000 * 1_024),
            working_set_bytes: Some(600 * 1_024),
        };
        assert_eq!(NodeUsage::read(stat, meminfo), expected);
        assert_eq!(NodeUsage::read("", ""), NodeUsage::default());
    }

    #[test]
    fn what_is_left_is_read_from_the_kernels_tables() {
        let limits = ["4194304\n".to_owned(), "1000\n".to_owned()];
        let room = Room { capacity: 1_000, available: 877 };
        assert_eq!(pids("0.20 0.18 0.12 1/123 11206\n", limits.clone()), Some(room));
        assert_eq!(room.used_percent(), 12);
        assert_eq!(pids("", limits), None);
        assert_eq!(Room { capacity: 0, available: 0 }.used_percent(), 0);
    }

    #[test]
    fn this_machine_says_what_it_has_left() {
        let places = Places { volumes: "/".into(), images: Some("/".into()) };
        let readings = of_machine(&places);
        for signal in [Signal::MemoryAvailable, Signal::NodeFsAvailable, Signal::PidAvailable] {
            let room = readings[&signal];
            assert!(room.capacity > room.available && room.available > 0, "{signal:?} {room:?}");
        }
        let none = Places { volumes: "/nowhere".into(), images: None };
        assert!(!of_machine(&none).contains_key(&Signal::NodeFsAvailable));
    }
}
