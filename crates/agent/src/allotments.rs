//! What the pods of the node hold of it, and whether one may have something else.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use everynode_model::pod_resources::{ResourceList, Side};
use everynode_model::quantity::Quantity;

use crate::machine::Pending;
use crate::pod_spec::Pod;
use crate::runtime::QosClass;

/// What the pods of the node hold of it.
#[derive(Debug)]
pub struct Allotments {
    allocatable: BTreeMap<String, Quantity>,
    /// By uid.
    held: Mutex<BTreeMap<String, Held>>,
}

#[derive(Debug)]
struct Held {
    class: QosClass,
    amounts: Amounts,
}

/// Thousandths of cpu, and bytes of memory.
#[derive(Debug, Clone, Copy, Default)]
struct Amounts {
    cpu_millis: i64,
    memory_bytes: i64,
}

impl Amounts {
    fn of(list: &ResourceList) -> Amounts {
        Amounts {
            cpu_millis: list.get("cpu").map_or(0, Quantity::millis),
            memory_bytes: list.get("memory").map_or(0, Quantity::value),
        }
    }

    fn named(self) -> [(&'static str, i64); 2] {
        [("cpu", self.cpu_millis), ("memory", self.memory_bytes)]
    }
}

impl Held {
    fn of(pod: &Pod) -> Held {
        let amounts = Amounts::of(&pod.spec.asks_for(Side::Requests));
        Held { class: QosClass::parse(&pod.status.qos_class), amounts }
    }
}

impl Allotments {
    /// Of a node that has this for its pods.
    pub fn new(allocatable: BTreeMap<String, Quantity>) -> Allotments {
        Allotments { allocatable, held: Mutex::default() }
    }

    /// The node has a pod.
    pub fn hold(&self, pod: &Pod) {
        self.lock().insert(pod.metadata.uid.clone(), Held::of(pod));
    }

    /// It has it no more.
    pub fn release(&self, uid: &str) {
        self.lock().remove(uid);
    }

    /// A pod asks for more or less than it holds: it holds that from now on, or it is said why not.
    ///
    /// # Errors
    /// When the node has not so much, or others hold it. Who asks for less is never refused for what others hold.
    pub fn resize(&self, pod: &Pod) -> Result<(), Pending> {
        let mut held = self.lock();
        let (uid, wanted) = (&pod.metadata.uid, Held::of(pod));
        let others = || held.iter().filter(|(other, _)| *other != uid).map(|(_, held)| held.amounts.named());
        let before = held.get(uid).map(|held| held.amounts).unwrap_or_default().named();
        let capacity = Amounts::of(&self.allocatable).named();
        for (index, (name, asked)) in wanted.amounts.named().into_iter().enumerate() {
            let used: i64 = others().map(|other| other[index].1).fold(0, i64::saturating_add);
            let has = capacity[index].1;
            let grows = asked > before[index].1;
            if grows && (asked > has || asked.saturating_add(used) > has) {
                let message = format!(
                    "Node didn't have enough resource: {name}, requested: {asked}, used: {used}, capacity: {has}"
                );
                return Err(Pending { is_infeasible: asked > has, message });
            }
        }
        held.insert(uid.clone(), wanted);
        Ok(())
    }

    /// What the pods of a class ask for together, in thousandths of cpu.
    pub fn cpu_millis(&self, class: QosClass) -> i64 {
        let held = self.lock();
        let of_class = held.values().filter(|held| held.class == class);
        of_class.map(|held| held.amounts.cpu_millis).fold(0, i64::saturating_add)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(uid: &str, cpu: &str) -> Pod {
        let text = format!(
            r#"{{"metadata":{{"uid":"{uid}"}},"spec":{{"containers":[{{"resources":{{"requests":{{"cpu":"{cpu}"}}}}}}]}}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_pod_grows_as_far_as_the_others_leave_room() {
        let of_node = serde_json::from_str(r#"{"cpu":"2","memory":"1Gi"}"#).unwrap();
        let allotments = Allotments::new(of_node);
        allotments.hold(&pod("a", "500m"));
        allotments.hold(&pod("b", "1"));
        let check = |uid: &str, cpu: &str, expected: Option<&str>| {
            let answer = allotments.resize(&pod(uid, cpu));
            assert_eq!(answer.as_ref().err().map(Pending::reason), expected, "{uid} {cpu}: {answer:?}");
        };
        check("a", "1", None);
        check("b", "1500m", Some("Deferred"));
        check("b", "3", Some("Infeasible"));
        check("b", "900m", None);
        allotments.release("a");
        check("b", "2", None);
        assert_eq!(allotments.cpu_millis(QosClass::Burstable), 2_000);
        // More than there is, as pods are taken that are bound to the node: it may shrink all the same.
        allotments.hold(&pod("c", "2"));
        check("c", "1", None);
    }
}
