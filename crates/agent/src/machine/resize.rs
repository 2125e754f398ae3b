//! Resources that change while a pod lives: what the node allots to it, and what its containers have of that.
//!
//! A pod is allotted what its spec asks for when the node takes it. What the spec asks for later it gets when there is
//! room on the node; until then everything goes on by what was allotted.

use std::sync::Arc;

use super::clock::Now;
use super::pod_status::ConditionStatus;
use super::state::{PodMachine, containers_of, shown};
use super::step::{ResizeContainer, Step, StopCause};
use super::view::{ContainerView, PodView};
use crate::pod_spec::{Container, Pod, Resources};

/// That a pod asks for something else than it has: the condition.
pub const RESIZE_PENDING: &str = "PodResizePending";
/// That containers are yet to get what was allotted: the condition.
pub const RESIZE_IN_PROGRESS: &str = "PodResizeInProgress";

/// Why a pod does not get what it asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// The node could never give it; else it may, once others have gone.
    pub is_infeasible: bool,
    /// A sentence.
    pub message: String,
}

impl Pending {
    /// The word for programs.
    pub fn reason(&self) -> &'static str {
        if self.is_infeasible { "Infeasible" } else { "Deferred" }
    }
}

/// A pod that asks for what it was allotted, given what containers were allotted.
fn with_resources(pod: &Arc<Pod>, of: impl Fn(&str) -> Option<Resources>) -> Arc<Pod> {
    let differs = |one: &Container| of(&one.name).is_some_and(|has| !has.same_compute(&one.resources));
    if !containers_of(pod).any(differs) {
        return pod.clone();
    }
    let mut allotted = (**pod).clone();
    for one in allotted.spec.init_containers.iter_mut().chain(&mut allotted.spec.containers) {
        one.resources = of(&one.name).unwrap_or_default();
    }
    Arc::new(allotted)
}

/// A pod by what its containers were last shown to have.
pub(super) fn as_shown(pod: &Arc<Pod>) -> Arc<Pod> {
    let has = |name: &str| shown(pod, name)?.resources.clone();
    with_resources(pod, |name| has(name).or_else(|| Some(pod.spec.container(name)?.resources.clone())))
}

/// A pod as the API shows it, by what was allotted to it before.
pub(super) fn as_before(pod: &Arc<Pod>, before: &Pod) -> Arc<Pod> {
    with_resources(pod, |name| Some(before.spec.container(name)?.resources.clone()))
}

impl PodMachine {
    /// The pod as it asks to be, where that is not what was allotted to it and it goes on.
    pub fn asks_for_resize(&self) -> Option<&Arc<Pod>> {
        let differs = !Arc::ptr_eq(&self.asked, &self.pod);
        (differs && self.stop.is_none()).then_some(&self.asked)
    }

    /// Takes what the node says to what the pod asks for. Returns whether that is something new.
    pub fn allot(&mut self, answer: Result<(), Pending>) -> bool {
        let pending = answer.err();
        if pending.is_none() {
            self.pod = self.asked.clone();
        }
        let is_new = pending.is_none() || pending != self.pending;
        self.pending = pending;
        is_new
    }

    /// Containers that run are yet to get what was allotted.
    pub fn is_resizing(&self, view: &PodView) -> bool {
        self.owed(view)
            .any(|(spec, _, given)| given.is_some_and(|given| !given.same_compute(&spec.resources)))
    }

    /// Containers that run and do not surely have what was allotted, with what they have as far as that is known.
    fn owed<'a>(
        &'a self,
        view: &'a PodView,
    ) -> impl Iterator<Item = (&'a Container, &'a ContainerView, Option<&'a Resources>)> {
        containers_of(&self.pod).filter_map(|spec| {
            let seen = view.current(&spec.name).filter(|seen| seen.is_running())?;
            let given = self.containers.get(&spec.name)?.given.as_ref();
            let has_all = given.is_some_and(|given| given.same_compute(&spec.resources));
            (!has_all).then_some((spec, seen, given))
        })
    }

    /// Why a container has to be started anew to get what was allotted, if it has to.
    pub(super) fn restart_of_resize(&self, spec: &Container) -> Option<StopCause> {
        let given = self.containers.get(&spec.name)?.given.as_ref()?;
        spec.restarts_to_get(&spec.resources, given).then_some(StopCause::Resized)
    }

    /// Gives all containers that run what was allotted. What they have is not always known: giving it again is harmless.
    pub(super) fn step_of_resize(&self, view: &PodView) -> Option<Step> {
        let owed = self.owed(view).map(|(spec, seen, given)| ResizeContainer {
            container: spec.name.clone(),
            id: seen.id.clone(),
            from: given.cloned(),
            to: spec.resources.clone(),
        });
        let owed: Vec<ResizeContainer> = owed.collect();
        (!owed.is_empty()).then_some(Step::Resize(owed))
    }

    /// What a container has: what it was given while it runs, else what was allotted.
    pub(super) fn resources_of(&self, spec: &Container, newest: Option<&ContainerView>) -> Resources {
        let given = self.containers.get(&spec.name).and_then(|memory| memory.given.clone());
        given.filter(|_| newest.is_some_and(ContainerView::is_running)).unwrap_or(spec.resources.clone())
    }

    pub(super) fn resize_conditions(&mut self, view: &PodView, now: Now) -> Vec<ConditionStatus> {
        let pending = self.pending.as_ref().filter(|_| self.asks_for_resize().is_some());
        let pending = pending.map(|pending| (RESIZE_PENDING, pending.reason(), pending.message.clone()));
        let problem = self.resizing.problem.as_ref();
        let in_progress = self.is_resizing(view).then(|| match problem {
            Some((_, message)) => (RESIZE_IN_PROGRESS, "Error", message.clone()),
            None => (RESIZE_IN_PROGRESS, "", String::new()),
        });
        let held = [pending, in_progress].into_iter().flatten();
        held.map(|(kind, reason, message)| {
            let since_seconds = self.conditions.since(kind, true, now.wall_seconds());
            ConditionStatus { kind, is_true: true, reason, message, since_seconds }
        })
        .collect()
    }
}
