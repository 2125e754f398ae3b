//! What containers get of the machine, and the cgroups that hold it.

use everynode_cri::messages::{CgroupDriver, LinuxContainerResources};
use everynode_model::pod_resources::Side;
use everynode_model::quantity::Quantity;

use crate::pod_spec::{Container, Pod};

/// How a pod is treated when the node runs short (`status.qosClass`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QosClass {
    /// It has what it may take.
    Guaranteed,
    /// It has some of what it may take.
    Burstable,
    /// It has nothing for sure.
    BestEffort,
}

impl QosClass {
    /// Reads the API's word.
    pub fn parse(text: &str) -> QosClass {
        match text {
            "Guaranteed" => QosClass::Guaranteed,
            "BestEffort" => QosClass::BestEffort,
            _ => QosClass::Burstable,
        }
    }
}

/// The period over which a limit of CPU holds, in microseconds.
pub(super) const CPU_PERIOD_MICROS: i64 = 100_000;
/// The kernel takes no smaller quota.
const LEAST_QUOTA_MICROS: i64 = 1_000;
/// The kernel takes no fewer shares.
const LEAST_SHARES: i64 = 2;
/// The most shares that the kernel takes.
const MOST_SHARES: i64 = 262_144;

/// The cgroup of the pods of a class, with cgroups that are named by their paths.
pub fn cgroup_of_class(root: &str, qos: QosClass) -> String {
    let parts = [root.trim_matches('/'), "kubepods", class_name(qos)].into_iter();
    format!("/{}", parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/"))
}

fn class_name(qos: QosClass) -> &'static str {
    match qos {
        QosClass::Guaranteed => "",
        QosClass::Burstable => "burstable",
        QosClass::BestEffort => "besteffort",
    }
}

/// The cgroup below which a pod's containers are.
pub fn cgroup_parent(root: &str, qos: QosClass, uid: &str, driver: CgroupDriver) -> String {
    match driver {
        CgroupDriver::Cgroupfs => format!("{}/pod{uid}", cgroup_of_class(root, qos)),
        // systemd nests slices by the dashes in their names, so a dash within a part is another sign.
        CgroupDriver::Systemd => {
            let uid = uid.replace('-', "_");
            let parts = ["kubepods", class_name(qos)].into_iter().filter(|part| !part.is_empty());
            format!("{}-pod{uid}.slice", parts.collect::<Vec<_>>().join("-"))
        }
    }
}

/// Shares, limits and the score by which the kernel chooses whom it kills for memory.
pub fn container_resources(
    pod: &Pod,
    container: &Container,
    node_memory_bytes: i64,
) -> LinuxContainerResources {
    let resources = &container.resources;
    let request = resources.request("cpu").map_or(0, |cpu| cpu.millis());
    let limit = resources.limits.get("cpu").map_or(0, |cpu| cpu.millis());
    LinuxContainerResources {
        cpu_shares: shares(request),
        cpu_period: if limit > 0 { CPU_PERIOD_MICROS } else { 0 },
        cpu_quota: quota(limit),
        memory_limit_in_bytes: resources.limits.get("memory").map_or(0, |memory| memory.value()),
        oom_score_adj: oom_score_adj(pod, container, node_memory_bytes),
        ..LinuxContainerResources::default()
    }
}

/// What a pod may take as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PodLimits {
    /// Its weight where cpu is short; 1024 for each cpu that it asks for.
    pub cpu_shares: i64,
    /// Microseconds of cpu in each period; nothing where a container has no limit.
    pub cpu_quota: Option<i64>,
    /// Bytes of memory; nothing where a container has no limit.
    pub memory_bytes: Option<i64>,
}

impl PodLimits {
    /// Of a pod: what its containers ask for together, and where each has a limit what these are together.
    pub fn of(pod: &Pod) -> PodLimits {
        let (requests, limits) = (pod.spec.asks_for(Side::Requests), pod.spec.asks_for(Side::Limits));
        let limit = |name: &str| {
            let mut containers = pod.spec.init_containers.iter().chain(&pod.spec.containers);
            let is_limited =
                containers.all(|one| one.resources.limits.get(name).is_some_and(|one| !one.is_zero()));
            limits.get(name).filter(|_| is_limited)
        };
        PodLimits {
            cpu_shares: shares(requests.get("cpu").map_or(0, Quantity::millis)),
            cpu_quota: limit("cpu").map(|limit| quota(limit.millis())),
            memory_bytes: limit("memory").map(Quantity::value),
        }
    }
}

/// The weight of pods that ask for so much together.
pub fn shares(milli_cpu: i64) -> i64 {
    (milli_cpu.saturating_mul(1_024) / 1_000).clamp(LEAST_SHARES, MOST_SHARES)
}

fn quota(milli_cpu: i64) -> i64 {
    match milli_cpu {
        ..=0 => 0,
        limit => limit.saturating_mul(CPU_PERIOD_MICROS / 1_000).max(LEAST_QUOTA_MICROS),
    }
}

/// As the kubelet chooses it: what has less of its memory for sure goes first; critical pods go last.
fn oom_score_adj(pod: &Pod, container: &Container, node_memory_bytes: i64) -> i64 {
    if pod.is_critical() {
        return -997;
    }
    match QosClass::parse(&pod.status.qos_class) {
        QosClass::Guaranteed => -997,
        QosClass::BestEffort => 1_000,
        QosClass::Burstable => {
            let request = container.resources.request("memory").map_or(0, |memory| memory.value());
            let share = i128::from(request) * 1_000 / i128::from(node_memory_bytes.max(1));
            i64::try_from(1_000 - share).unwrap_or(3).clamp(3, 999)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(qos: &str, resources: &str, expected: (i64, i64, i64, i64)) {
        let text = format!(
            r#"{{"status":{{"qosClass":"{qos}"}},"spec":{{"containers":[{{"name":"c","resources":{resources}}}]}}}}"#
        );
        let pod: Pod = serde_json::from_str(&text).unwrap();
        let found = container_resources(&pod, &pod.spec.containers[0], 8 << 30);
        let found = (found.cpu_shares, found.cpu_quota, found.memory_limit_in_bytes, found.oom_score_adj);
        assert_eq!(found, expected, "{qos} {resources}");
    }

    #[test]
    fn requests_become_shares_and_limits_become_quotas() {
        check("BestEffort", "{}", (2, 0, 0, 1_000));
        check(
            "Burstable",
            r#"{"requests":{"cpu":"250m","memory":"1Gi"},"limits":{"memory":"2Gi"}}"#,
            (256, 0, 2 << 30, 875),
        );
        check(
            "Guaranteed",
            r#"{"requests":{"cpu":"2","memory":"1Gi"},"limits":{"cpu":"2","memory":"1Gi"}}"#,
            (2_048, 200_000, 1 << 30, -997),
        );
        check("Burstable", r#"{"limits":{"cpu":"1m"}}"#, (2, 1_000, 0, 999));
        check("Burstable", r#"{"requests":{"memory":"100Gi"}}"#, (2, 0, 0, 3));
    }

    #[test]
    fn a_pod_is_limited_as_a_whole_where_all_of_its_containers_are() {
        let check = |containers: &str, expected: PodLimits| {
            let text = format!(r#"{{"spec":{{"containers":{containers}}}}}"#);
            let pod: Pod = serde_json::from_str(&text).unwrap();
            assert_eq!(PodLimits::of(&pod), expected, "{containers}");
        };
        let limited =
            r#"{"name":"a","resources":{"requests":{"cpu":"250m"},"limits":{"cpu":"1","memory":"1Ki"}}}"#;
        let asking = r#"{"name":"b","resources":{"requests":{"cpu":"750m"},"limits":{"memory":"1Ki"}}}"#;
        let none = PodLimits { cpu_shares: 2, cpu_quota: None, memory_bytes: None };
        check(r#"[{"name":"c"}]"#, none);
        check(
            &format!("[{limited},{limited}]"),
            PodLimits { cpu_shares: 512, cpu_quota: Some(200_000), memory_bytes: Some(2_048) },
        );
        check(
            &format!("[{limited},{asking}]"),
            PodLimits { cpu_shares: 1_024, cpu_quota: None, memory_bytes: Some(2_048) },
        );
    }

    #[test]
    fn a_pods_cgroup_is_named_as_its_driver_wants() {
        for (root, qos, driver, expected) in [
            ("", QosClass::Guaranteed, CgroupDriver::Cgroupfs, "/kubepods/poda-b"),
            (
                "/everynode/n1",
                QosClass::Burstable,
                CgroupDriver::Cgroupfs,
                "/everynode/n1/kubepods/burstable/poda-b",
            ),
            ("", QosClass::BestEffort, CgroupDriver::Systemd, "kubepods-besteffort-poda_b.slice"),
            ("", QosClass::Guaranteed, CgroupDriver::Systemd, "kubepods-poda_b.slice"),
        ] {
            assert_eq!(cgroup_parent(root, qos, "a-b", driver), expected);
        }
    }
}
