//! Events about what happens to pods and nodes.

use everynode_client::event::{About, NewEvent, Source, Wording};

use super::FleetCore;
use crate::events;
use crate::node::NodeAgent;
use crate::pod::{Note, Now, PodFacts};

/// Events that wait for a free request; more are dropped.
const EVENT_QUEUE_LIMIT: usize = 1000;

impl FleetCore {
    pub(super) fn pod_note(&mut self, id: u64, note: Note, now: Now) {
        let Some(entry) = self.pods.get(&id) else { return };
        let facts = &entry.machine.facts;
        let ordinary = matches!(note, Note::Started | Note::Killing);
        let node = &self.nodes[entry.node].spec.name;
        for (index, kind, reason, message) in events::wording(note, facts) {
            let allowance = if ordinary { &mut self.ordinary_events } else { &mut self.failure_events };
            if self.events.len() >= EVENT_QUEUE_LIMIT || !allowance.take(now.millis) {
                return;
            }
            let field_path = format!("spec.containers{{{}}}", facts.containers[index].name);
            let about = About { field_path: &field_path, ..pod_about(facts) };
            let wording = Wording { kind, reason, message: &message };
            self.events.push_back(new_event(&about, node, wording, now, &mut self.random));
        }
    }

    pub(super) fn pod_problems(&mut self, id: u64, problems: &[String], now: Now) {
        let Some(entry) = self.pods.get(&id) else { return };
        let node = &self.nodes[entry.node].spec.name;
        for problem in problems {
            tracing::warn!(pod = %entry.machine.facts.name, "{problem}");
            if self.events.len() < EVENT_QUEUE_LIMIT && self.failure_events.take(now.millis) {
                let about = pod_about(&entry.machine.facts);
                self.events.push_back(new_event(&about, node, ignored(problem), now, &mut self.random));
            }
        }
    }

    pub(super) fn node_problem(&mut self, index: usize, problem: &str, now: Now) {
        let NodeAgent { spec, uid, .. } = &self.nodes[index];
        tracing::warn!(node = %spec.name, "{problem}");
        if self.events.len() < EVENT_QUEUE_LIMIT && self.failure_events.take(now.millis) {
            let about = About { api_version: "v1", kind: "Node", name: &spec.name, uid, ..About::default() };
            self.events.push_back(new_event(&about, &spec.name, ignored(problem), now, &mut self.random));
        }
    }
}

fn pod_about(facts: &PodFacts) -> About<'_> {
    let PodFacts { namespace, name, uid, .. } = facts;
    About { api_version: "v1", kind: "Pod", namespace, name, uid, field_path: "" }
}

fn ignored(problem: &str) -> Wording<'_> {
    Wording { kind: "Warning", reason: "AnnotationIgnored", message: problem }
}

fn new_event(
    about: &About<'_>,
    node: &str,
    wording: Wording<'_>,
    now: Now,
    random: &mut fastrand::Rng,
) -> NewEvent {
    let source = Source { component: "kubelet", host: node };
    NewEvent::new(about, source, wording, &now.wall.to_string(), random.u64(..))
}
