//! Which probes of a pod are due, and what follows from their answers.

use super::clock::Now;
use super::memory::{Hook, probe_of};
use super::probe::{ProbeAnswer, ProbeKind};
use super::state::{PodMachine, containers_of};
use super::step::StopCause;
use super::view::PodView;
use crate::pod_spec::Container;

/// A probe to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueProbe {
    /// The container's name.
    pub container: String,
    /// The runtime's identifier.
    pub id: String,
    /// What it is for.
    pub kind: ProbeKind,
    /// It comes before its period says: a failure says nothing yet.
    pub is_early: bool,
}

impl PodMachine {
    /// The probes that are due. They are under way from then on.
    pub fn due_probes(&mut self, view: &PodView, now: Now) -> Vec<DueProbe> {
        let pod = self.pod.clone();
        let mut due = Vec::new();
        for spec in containers_of(&pod) {
            for kind in ProbeKind::ALL {
                let Some(id) = self.asks(spec, kind, view) else { continue };
                let memory = self.containers.entry(spec.name.clone()).or_default();
                if memory.probe_due(kind).is_some_and(|at| at <= now.millis) {
                    let is_early = memory.ask(kind, now.millis);
                    due.push(DueProbe { container: spec.name.clone(), id, kind, is_early });
                }
            }
        }
        due
    }

    /// When the next probe is due.
    pub fn next_probe_millis(&self, view: &PodView) -> Option<u64> {
        let asked = containers_of(&self.pod).flat_map(|spec| ProbeKind::ALL.map(|kind| (spec, kind)));
        let asked = asked.filter(|(spec, kind)| self.asks(spec, *kind, view).is_some());
        asked.filter_map(|(spec, kind)| self.containers.get(&spec.name)?.probe_due(kind)).min()
    }

    /// Takes what a probe came to. Returns whether what holds has changed.
    pub fn answer(&mut self, probe: &DueProbe, answer: ProbeAnswer, now: Now) -> bool {
        let Some(spec) = self.pod.spec.container(&probe.container) else { return false };
        let Some(asked) = probe_of(spec, probe.kind) else { return false };
        let Some(memory) = self.containers.get_mut(&probe.container) else { return false };
        let Some(state) = memory.probe_mut(&probe.id, probe.kind) else { return false };
        let changed = state.answer(asked, answer, probe.is_early, now.millis);
        let is_unwell = state.verdict() == Some(false);
        if changed && is_unwell && probe.kind != ProbeKind::Readiness {
            memory.kill = Some(StopCause::Probe(probe.kind));
        }
        changed
    }

    /// The container that a probe is to be asked of now.
    fn asks(&self, spec: &Container, kind: ProbeKind, view: &PodView) -> Option<String> {
        let seen = view.current(&spec.name).filter(|seen| seen.is_running())?;
        let memory = self.containers.get(&spec.name)?;
        let has_come_up = memory.verdict(spec, ProbeKind::Startup) == Some(true);
        let is_wanted = match kind {
            ProbeKind::Startup => !has_come_up && self.stop.is_none(),
            ProbeKind::Liveness => has_come_up && self.stop.is_none(),
            ProbeKind::Readiness => has_come_up,
        };
        // One that is to be killed for what a probe said is not asked again.
        let is_judged = kind != ProbeKind::Readiness && memory.verdict(spec, kind) == Some(false);
        let asks = is_wanted && !is_judged && memory.hook == Hook::Done && memory.kill.is_none();
        asks.then(|| seen.id.clone())
    }
}
