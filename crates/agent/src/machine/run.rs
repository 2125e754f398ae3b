//! What is to be done for a pod that is to run.

use super::clock::Now;
use super::end::{End, FailCause, Stop};
use super::memory::{Hook, probe_of};
use super::state::{PodMachine, containers_of, shown};
use super::step::{Next, Step, StopCause, StopContainer};
use super::view::{ContainerState, ContainerView, PodView, SandboxView};
use crate::pod_spec::{Container, RestartPolicy, bounded_seconds};

/// The earliest of the times at which something can go on.
#[derive(Debug, Default)]
struct Wait(Option<u64>);

impl Wait {
    fn until(&mut self, at: Option<u64>) {
        self.0 = [self.0, at].into_iter().flatten().min();
    }
}

impl PodMachine {
    pub(super) fn next_of_run(&mut self, view: &PodView, now: Now) -> Next {
        let mut wait = Wait(self.deadline_millis(now));
        if self.pod.refused().is_some() {
            return Next::Wait(None);
        }
        if !self.is_prepared {
            return Next::after(self.preparing.waits_until(now), || Step::Prepare);
        }
        if let Some(step) = self.step_of_rest(view, now) {
            return Next::after(self.stopping.waits_until(now), || step);
        }
        let Some(sandbox) = view.sandbox() else {
            let attempt = view.sandboxes().first().map_or(0, |last| last.attempt.saturating_add(1));
            return Next::after(self.sandboxing.waits_until(now), || Step::RunSandbox { attempt });
        };
        if let Some(step) = self.step_of_kills(view, now) {
            match self.stopping.waits_until(now) {
                None => return Next::Do(step),
                at => wait.until(at),
            }
        }
        if let Some(step) = self.step_of_resize(view) {
            match self.resizing.waits_until(now) {
                None => return Next::Do(step),
                at => wait.until(at),
            }
        }
        match self.step_of_containers(view, sandbox, &mut wait, now) {
            Some(step) => Next::Do(step),
            None => Next::Wait(wait.0),
        }
    }

    /// When the pod has been active for as long as it may be.
    fn deadline_millis(&self, now: Now) -> Option<u64> {
        let limit = i64::from(bounded_seconds(self.pod.spec.active_deadline_seconds?));
        let left = self.accepted_seconds.saturating_add(limit).saturating_sub(now.wall_seconds());
        Some(now.millis.saturating_add(u64::try_from(left).unwrap_or(0).saturating_mul(1_000)))
    }

    /// The pod ends by itself: its containers are done, or its time is up.
    pub(super) fn end_by_itself(&mut self, view: &PodView, now: Now) {
        if self.stop.is_some() {
            return;
        }
        let grace_millis = u64::from(self.pod.spec.grace_seconds()) * 1_000;
        if self.deadline_millis(now).is_some_and(|at| at <= now.millis) {
            let message = "Pod was active on the node longer than the specified deadline".to_owned();
            let end = End::Failed { cause: FailCause::DeadlineExceeded, message };
            self.stop_within(end, grace_millis, now);
        } else if self.is_done(view) {
            self.stop = Some(Stop::new(End::Containers, now.millis.saturating_add(grace_millis)));
        }
    }

    /// No container is to run again.
    fn is_done(&self, view: &PodView) -> bool {
        let is_over = |spec: &Container| {
            let last = view.of(&spec.name).next();
            last.and_then(ContainerView::exit).is_some_and(|exit| !self.runs_again(spec, exit))
        };
        let has_failed = |spec: &Container| {
            let last = view.of(&spec.name).next().and_then(ContainerView::exit);
            !spec.is_sidecar() && last.is_some_and(|exit| exit.code != 0)
        };
        let spec = &self.pod.spec;
        let never = spec.restart_policy == RestartPolicy::Never;
        let apps_are_over = !spec.containers.is_empty() && spec.containers.iter().all(is_over);
        apps_are_over || never && spec.init_containers.iter().any(has_failed)
    }

    /// What is left of sandboxes that are gone and of containers that were replaced.
    fn step_of_rest(&self, view: &PodView, now: Now) -> Option<Step> {
        let is_old = |sandbox: &SandboxView| view.sandbox().is_none_or(|now| now.id != sandbox.id);
        let old = || view.sandboxes().iter().filter(|sandbox| is_old(sandbox));
        let stray = view.running().filter(|one| view.sandbox().is_none_or(|now| now.id != one.sandbox_id));
        let stray: Vec<StopContainer> =
            stray.map(|one| StopContainer::new(one, StopCause::SandboxGone, now.millis)).collect();
        if !stray.is_empty() {
            return Some(Step::StopContainers(stray));
        }
        if let Some(sandbox) = old().find(|sandbox| sandbox.is_ready) {
            return Some(Step::StopSandbox { id: sandbox.id.clone() });
        }
        if let Some(one) = self.replaced(view) {
            return Some(Step::RemoveContainer { id: one.id.clone() });
        }
        // The newest sandbox stays until there is one after it: its attempt is what the next one counts from.
        let is_empty =
            |sandbox: &&SandboxView| view.containers().iter().all(|one| one.sandbox_id != sandbox.id);
        let empty = view.sandboxes().iter().skip(1).filter(|sandbox| is_old(sandbox)).find(is_empty);
        empty.map(|sandbox| Step::RemoveSandbox { id: sandbox.id.clone() })
    }

    /// A container that does not run, and is neither the newest of its name nor the one before it.
    fn replaced<'a>(&self, view: &'a PodView) -> Option<&'a ContainerView> {
        let kept = |one: &&ContainerView| view.of(&one.name).take(2).any(|newest| newest.id == one.id);
        let is_known = |one: &&ContainerView| self.pod.spec.container(&one.name).is_some();
        view.containers().iter().filter(|one| !one.may_run()).find(|one| !kept(one) || !is_known(one))
    }

    /// Containers that are not well, or that are to be made anew with another image or other resources.
    fn step_of_kills(&self, view: &PodView, now: Now) -> Option<Step> {
        let mut kills = Vec::new();
        for spec in containers_of(&self.pod) {
            let Some(seen) = view.current(&spec.name).filter(|seen| seen.may_run()) else { continue };
            let asked = self.containers.get(&spec.name).and_then(|memory| memory.kill);
            let image = (seen.image != spec.image).then_some(StopCause::ImageChanged);
            let cause = asked.or(image).or_else(|| self.restart_of_resize(spec));
            if let Some(cause) = cause {
                let grace_millis = self.grace_millis(spec, cause);
                kills.push(StopContainer::new(seen, cause, now.millis.saturating_add(grace_millis)));
            }
        }
        (!kills.is_empty()).then_some(Step::StopContainers(kills))
    }

    fn grace_millis(&self, spec: &Container, cause: StopCause) -> u64 {
        let own = match cause {
            StopCause::Probe(kind) => {
                probe_of(spec, kind).and_then(|probe| probe.termination_grace_period_seconds)
            }
            _ => None,
        };
        u64::from(own.map_or_else(|| self.pod.spec.grace_seconds(), bounded_seconds)) * 1_000
    }

    /// Containers in their order: those that run before the others, and then the others.
    fn step_of_containers(
        &self,
        view: &PodView,
        sandbox: &SandboxView,
        wait: &mut Wait,
        now: Now,
    ) -> Option<Step> {
        let spec = &self.pod.spec;
        let is_initialized = spec.containers.iter().any(|one| view.current(&one.name).is_some());
        for one in &spec.init_containers {
            if is_initialized && !one.is_sidecar() {
                continue;
            }
            let is_over = match one.is_sidecar() {
                true => self.has_started(one, view),
                false => {
                    view.current(&one.name).and_then(ContainerView::exit).is_some_and(|exit| exit.code == 0)
                }
            };
            let step = self.step_of_container(one, view, sandbox, wait, now);
            if step.is_some() {
                return step;
            }
            if !is_over && !is_initialized {
                return None;
            }
        }
        spec.containers.iter().find_map(|one| self.step_of_container(one, view, sandbox, wait, now))
    }

    fn step_of_container(
        &self,
        spec: &Container,
        view: &PodView,
        sandbox: &SandboxView,
        wait: &mut Wait,
        now: Now,
    ) -> Option<Step> {
        let (container, memory) = (spec.name.clone(), self.containers.get(&spec.name));
        let making = memory.and_then(|memory| memory.making.waits_until(now));
        let step = match view.current(&spec.name).map(|seen| (&seen.state, seen)) {
            Some((ContainerState::Created, seen)) if seen.image != spec.image => {
                Step::RemoveContainer { id: seen.id.clone() }
            }
            Some((ContainerState::Created, seen)) => Step::StartContainer { container, id: seen.id.clone() },
            Some((ContainerState::Running { .. }, seen)) => {
                let owed = memory.is_some_and(|memory| memory.hook == Hook::Owed && memory.kill.is_none());
                return owed.then(|| Step::PostStart { container, id: seen.id.clone() });
            }
            Some((ContainerState::Unknown, _)) => return None,
            Some((ContainerState::Exited(exit), _)) if !self.runs_again(spec, exit) => return None,
            Some((ContainerState::Exited(_), _)) | None => {
                let crash = memory.and_then(|memory| memory.crash_waits_until(now));
                if crash.is_some() {
                    wait.until(crash);
                    return None;
                }
                match memory.and_then(|memory| memory.image_ref.clone()) {
                    None => Step::EnsureImage { container },
                    Some(image_ref) => Step::CreateContainer {
                        container,
                        attempt: self.next_attempt(spec, view),
                        sandbox_id: sandbox.id.clone(),
                        image_ref,
                        resources: spec.resources.clone(),
                    },
                }
            }
        };
        if making.is_some() {
            wait.until(making);
            return None;
        }
        Some(step)
    }

    /// How often a container has been started again once it is made again: never less than was shown.
    fn next_attempt(&self, spec: &Container, view: &PodView) -> u32 {
        let made = view.of(&spec.name).next().map(|last| last.attempt.saturating_add(1));
        let shown = shown(&self.pod, &spec.name).filter(|shown| !shown.container_id.is_empty());
        made.or_else(|| shown.map(|shown| shown.restart_count.saturating_add(1))).unwrap_or(0)
    }
}
