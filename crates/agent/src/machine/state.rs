//! What a machine knows of its pod, and what follows from it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::clock::Now;
use super::end::{End, Stop};
use super::memory::{ContainerMemory, Hook, Retry};
use super::pod_status::{ConditionTimes, PodStatus};
use super::probe::ProbeKind;
use super::resize::Pending;
use super::view::{ContainerView, Exit, PodView};
use crate::pod_spec::{Container, Pod, RestartPolicy, ShownContainer};

/// The life of one pod.
#[derive(Debug, Clone)]
pub struct PodMachine {
    /// As the API shows it.
    pub(super) asked: Arc<Pod>,
    /// The same, with the resources that are allotted to it; the same one where those are what it asks for.
    pub(super) pod: Arc<Pod>,
    /// Why it does not get what it asks for.
    pub(super) pending: Option<Pending>,
    pub(super) accepted_seconds: i64,
    /// Whether the pod runs, or how it ends.
    pub(super) stop: Option<Stop>,
    /// Nothing of it is to be left.
    pub(super) is_deleted: bool,
    pub(super) is_prepared: bool,
    pub(super) preparing: Retry,
    pub(super) sandboxing: Retry,
    pub(super) resizing: Retry,
    pub(super) stopping: Retry,
    pub(super) containers: BTreeMap<String, ContainerMemory>,
    pub(super) conditions: ConditionTimes,
    /// What is shown once the containers have ended: what is left of them is then taken away.
    pub(super) last_status: Option<PodStatus>,
}

impl PodMachine {
    /// The pod is to stop within this time; if it stops already, for the same reason and not later than it would.
    pub(super) fn stop_within(&mut self, end: End, grace_millis: u64, now: Now) {
        let deadline_millis = now.millis.saturating_add(grace_millis);
        match &mut self.stop {
            None => self.stop = Some(Stop::new(end, deadline_millis)),
            Some(stop) => stop.deadline_millis = stop.deadline_millis.min(deadline_millis),
        }
    }

    /// Takes in what the runtime has.
    pub(super) fn see(&mut self, view: &PodView, now: Now) {
        let pod = self.pod.clone();
        for spec in containers_of(&pod) {
            if let Some(seen) = view.current(&spec.name) {
                let memory = self.containers.entry(spec.name.clone()).or_default();
                memory.see(spec, shown(&pod, &spec.name), seen, now);
            }
        }
    }

    /// Whether a container is to run again after it has ended so.
    pub(super) fn runs_again(&self, spec: &Container, exit: &Exit) -> bool {
        if spec.is_sidecar() {
            return true;
        }
        match (self.pod.spec.restart_policy, self.is_init(spec)) {
            (RestartPolicy::Always, false) => true,
            (RestartPolicy::Never, _) => false,
            (RestartPolicy::OnFailure, _) | (RestartPolicy::Always, true) => exit.code != 0,
        }
    }

    pub(super) fn is_init(&self, spec: &Container) -> bool {
        self.pod.spec.init_containers.iter().any(|one| one.name == spec.name)
    }

    /// The container runs, and has come up.
    pub(super) fn has_started(&self, spec: &Container, view: &PodView) -> bool {
        let Some(memory) = self.containers.get(&spec.name) else { return false };
        view.current(&spec.name).is_some_and(ContainerView::is_running)
            && memory.hook == Hook::Done
            && memory.verdict(spec, ProbeKind::Startup) == Some(true)
    }

    /// The container serves.
    pub(super) fn is_ready(&self, spec: &Container, view: &PodView) -> bool {
        let Some(memory) = self.containers.get(&spec.name) else { return false };
        self.has_started(spec, view) && memory.verdict(spec, ProbeKind::Readiness) == Some(true)
    }
}

/// The containers of a pod in the order in which they are started.
pub(super) fn containers_of(pod: &Pod) -> impl Iterator<Item = &Container> {
    pod.spec.init_containers.iter().chain(&pod.spec.containers)
}

/// What was last written of a container.
pub(super) fn shown<'a>(pod: &'a Pod, name: &str) -> Option<&'a ShownContainer> {
    let status = &pod.status;
    status.init_container_statuses.iter().chain(&status.container_statuses).find(|one| one.name == name)
}
