//! What a node is short of, and since when it is not any more.

use std::collections::{BTreeMap, BTreeSet};

use everynode_model::{Effect, Taint, Toleration};

use super::thresholds::{Shortage, Thresholds};
use crate::pod_spec::Pod;
use crate::readings::{Readings, Signal};
use crate::runtime::QosClass;

/// For so long a node says that it is short after it was: the kubelet's time, so that pods do not come and go.
const TRANSITION_MILLIS: u64 = 5 * 60 * 1_000;

/// What a node can be short of, as its conditions tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pressure {
    /// Memory.
    Memory,
    /// Room or inodes of a disk.
    Disk,
    /// Numbers of processes.
    Pid,
}

impl Pressure {
    /// All.
    pub const ALL: [Pressure; 3] = [Pressure::Memory, Pressure::Disk, Pressure::Pid];

    /// The type of the node's condition.
    pub fn condition(self) -> &'static str {
        match self {
            Pressure::Memory => "MemoryPressure",
            Pressure::Disk => "DiskPressure",
            Pressure::Pid => "PIDPressure",
        }
    }

    /// The kubelet's reason and message of the condition.
    pub fn words(self, is_short: bool) -> (&'static str, &'static str) {
        match (self, is_short) {
            (Pressure::Memory, true) => {
                ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available")
            }
            (Pressure::Memory, false) => {
                ("KubeletHasSufficientMemory", "kubelet has sufficient memory available")
            }
            (Pressure::Disk, true) => ("KubeletHasDiskPressure", "kubelet has disk pressure"),
            (Pressure::Disk, false) => ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            (Pressure::Pid, true) => ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
            (Pressure::Pid, false) => ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        }
    }

    /// Which condition tells of something.
    pub(super) fn of(signal: Signal) -> Pressure {
        match signal {
            Signal::MemoryAvailable => Pressure::Memory,
            Signal::NodeFsAvailable
            | Signal::NodeFsInodesFree
            | Signal::ImageFsAvailable
            | Signal::ImageFsInodesFree => Pressure::Disk,
            Signal::PidAvailable => Pressure::Pid,
        }
    }
}

/// What a node is short of, and when it was last seen to be.
#[derive(Debug)]
pub(super) struct Pressures {
    thresholds: Thresholds,
    seen_millis: BTreeMap<Pressure, u64>,
}

impl Pressures {
    pub(super) fn new(thresholds: Thresholds) -> Pressures {
        Pressures { thresholds, seen_millis: BTreeMap::new() }
    }

    /// Takes readings. Returns what is short now, what is seen to first before the others.
    pub(super) fn observe(&mut self, readings: &Readings, now_millis: u64) -> Vec<Shortage> {
        let short = self.thresholds.short(readings);
        self.seen_millis.extend(short.iter().map(|one| (Pressure::of(one.signal), now_millis)));
        self.seen_millis.retain(|_, seen| now_millis.saturating_sub(*seen) < TRANSITION_MILLIS);
        short
    }

    /// What the node says that it is short of.
    pub(super) fn told(&self) -> BTreeSet<Pressure> {
        self.seen_millis.keys().copied().collect()
    }
}

/// Why a node that is short of something does not take a pod, where it does not: as the kubelet, it takes those that
/// keep it going, and under pressure of memory alone those that ask for some or tolerate its taint.
pub fn refusal(pressures: &BTreeSet<Pressure>, pod: &Pod) -> Option<String> {
    if pressures.is_empty() || pod.is_critical() {
        return None;
    }
    let only_memory = pressures.iter().all(|one| *one == Pressure::Memory);
    let taint = Taint { key: "node.kubernetes.io/memory-pressure", value: "", effect: Effect::NoSchedule };
    let tolerates = || pod.spec.tolerations.iter().any(|one| Toleration::from_json(one).tolerates(&taint));
    let asks_for_some = QosClass::parse(&pod.status.qos_class) != QosClass::BestEffort;
    if only_memory && (asks_for_some || tolerates()) {
        return None;
    }
    let names: Vec<&str> = pressures.iter().map(|one| one.condition()).collect();
    Some(format!("The node had condition: [{}]. ", names.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readings::Room;

    #[test]
    fn a_node_says_that_it_is_short_for_five_minutes_longer() {
        let mut pressures = Pressures::new(Thresholds::default());
        let readings = |available| [(Signal::MemoryAvailable, Room { capacity: 1 << 30, available })].into();
        assert_eq!(pressures.observe(&readings(1 << 29), 0), []);
        let short = pressures.observe(&readings(50 << 20), 10_000);
        let message = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. ";
        assert_eq!(short[0].message(), message);
        assert_eq!(pressures.told(), [Pressure::Memory].into());
        assert_eq!(pressures.observe(&readings(1 << 29), 309_999), []);
        assert_eq!(pressures.told(), [Pressure::Memory].into());
        pressures.observe(&readings(1 << 29), 310_000);
        assert_eq!(pressures.told(), [].into());
    }

    #[test]
    fn a_node_that_is_short_takes_what_keeps_it_going() {
        let check = |pressures: &[Pressure], pod: &str, is_refused: bool| {
            let pressures = pressures.iter().copied().collect();
            let pod: Pod = serde_json::from_str(pod).unwrap();
            assert_eq!(refusal(&pressures, &pod).is_some(), is_refused, "{pressures:?} {pod:?}");
        };
        let (memory, disk) = (&[Pressure::Memory][..], &[Pressure::Disk][..]);
        let best_effort = r#"{"status":{"qosClass":"BestEffort"}}"#;
        let burstable = r#"{"status":{"qosClass":"Burstable"}}"#;
        let daemon = r#"{"spec":{"tolerations":[{"key":"node.kubernetes.io/memory-pressure","operator":"Exists","effect":"NoSchedule"}]},
            "status":{"qosClass":"BestEffort"}}"#;
        let critical = r#"{"spec":{"priority":2000000000},"status":{"qosClass":"BestEffort"}}"#;
        check(&[], best_effort, false);
        check(memory, best_effort, true);
        check(memory, burstable, false);
        check(memory, daemon, false);
        check(memory, critical, false);
        check(disk, burstable, true);
        check(disk, daemon, true);
        check(disk, critical, false);
        check(&[Pressure::Memory, Pressure::Disk], burstable, true);
    }
}
