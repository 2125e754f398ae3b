//! The pods that are bound to the node, as the API showed them last.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::pod_spec::Pod;

/// A pod of the node.
#[derive(Debug, Clone)]
pub struct BoundPod {
    /// As the agent reads it.
    pub pod: Arc<Pod>,
    /// As the API served it.
    pub object: Bytes,
}

/// The pods of the node by uid.
#[derive(Debug, Default)]
pub struct BoundPods(Mutex<BTreeMap<String, BoundPod>>);

impl BoundPods {
    /// The API shows a pod. One that had its name before is gone.
    pub fn shown(&self, pod: Arc<Pod>, object: Bytes) {
        let mut pods = self.lock();
        pods.retain(|_, known| !known.pod.has_name_of(&pod));
        pods.insert(pod.metadata.uid.clone(), BoundPod { pod, object });
    }

    /// The API has it no more.
    pub fn gone(&self, uid: &str) {
        self.lock().remove(uid);
    }

    /// The pod of a name.
    pub fn find(&self, namespace: &str, name: &str) -> Option<BoundPod> {
        self.lock().values().find(|known| has_name(&known.pod, namespace, name)).cloned()
    }

    /// All pods.
    pub fn all(&self) -> Vec<BoundPod> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, BoundPod>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn has_name(pod: &Pod, namespace: &str, name: &str) -> bool {
    pod.metadata.namespace == namespace && pod.metadata.name == name
}
