//! Which pods are measured for an analysis, and what was measured.

use everynode_api::{MetricSource, WaveNodes};
use everynode_model::LabelSelector;
use hashbrown::{HashMap, HashSet};

use crate::base::Uid;
use crate::daemonset::DaemonSetState;
use crate::engine::Engine;
use crate::facts::Samples;
use crate::ids::{NodeId, PodId};
use crate::tables::Tables;

use super::rollout::{RolloutState, size};

/// A DaemonSet whose pods are to be measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampled {
    /// Which one.
    pub daemonset: Uid,
    /// Where its pods are.
    pub namespace: String,
    /// Which labels they have.
    pub selector: LabelSelector,
    /// How often.
    pub every_seconds: i64,
    /// How many there are, as far as is known.
    pub pods: usize,
    /// Whether it is asked what they take of the CPU and the memory.
    pub wants_usage: bool,
    /// The figure of their own that they are asked for.
    pub metric: Option<MetricSource>,
}

/// A pod that is measured by asking its node, or itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampledPod {
    /// metadata.name.
    pub pod: String,
    /// The node that it is on.
    pub node: String,
}

impl Engine {
    /// Takes in what was measured of the pods of a DaemonSet.
    pub(crate) fn observe_samples(&mut self, samples: &Samples<'_>) {
        let is_it =
            |daemonset: &&DaemonSetState| daemonset.key.uid == samples.daemonset && daemonset.spec.is_some();
        let Some(id) = self.daemonsets.iter().find(is_it).map(|daemonset| daemonset.id) else { return };
        let Some((daemonset, Some(rollout))) = self.daemonsets.with_rollout(id) else { return };
        let Some(analysis) = &mut rollout.analysis else { return };
        let by_name: HashMap<&str, (NodeId, PodId)> = daemonset
            .assignments
            .iter()
            .filter_map(|(&node, assignment)| self.tables.newest_pod(node, assignment.first))
            .collect();
        for sample in samples.pods {
            if let Some(&(node, pod)) = by_name.get(sample.pod) {
                analysis.sample(node, pod, sample);
            }
        }
        let assignments = &daemonset.assignments;
        analysis.forget_absent(assignments.len(), |node| assignments.contains_key(&node));
    }

    /// The DaemonSets whose pods' levels are compared, so that somebody has to measure them.
    pub fn sampled(&self) -> Vec<Sampled> {
        let sampled = |(daemonset, rollout): (&DaemonSetState, &RolloutState)| {
            let analysis = rollout.analysis.as_ref()?;
            Some(Sampled {
                daemonset: daemonset.key.uid,
                namespace: daemonset.key.namespace.clone(),
                selector: daemonset.spec.as_ref()?.fact.selector.clone(),
                every_seconds: analysis.sampled_every_seconds()?,
                pods: daemonset.assignments.len(),
                wants_usage: analysis.spec().needs_usage(),
                metric: analysis.spec().metric().cloned(),
            })
        };
        self.daemonsets.rollouts().filter_map(sampled).collect()
    }

    /// The pods of a DaemonSet that are worth being measured one by one, at most so many: all of them where there are no
    /// more. Else, while a roll-out is judged, those of the nodes that are compared now, of those whose turn comes next,
    /// and of the first ones behind these, which will be compared with them. Nothing but turns chooses them.
    pub fn cohort(&self, daemonset: Uid, limit: usize) -> Vec<SampledPod> {
        let is_it = |(one, _): &(&DaemonSetState, &RolloutState)| one.key.uid == daemonset;
        let Some((daemonset, rollout)) = self.daemonsets.rollouts().find(is_it) else { return Vec::new() };
        let pod = |node: &NodeId| {
            let assignment = daemonset.assignments.get(node)?;
            let (pod, _) = self.tables.newest_pod(*node, assignment.first)?;
            Some(SampledPod { pod: pod.to_owned(), node: self.tables.nodes.name(*node).to_string() })
        };
        match daemonset.assignments.len() <= limit {
            true => daemonset.assignments.keys().filter_map(pod).collect(),
            false => rollout.compared(limit).iter().filter_map(pod).collect(),
        }
    }
}

impl RolloutState {
    /// The nodes that are compared now or next, at most so many.
    fn compared(&self, limit: usize) -> Vec<NodeId> {
        let Some(analysis) = self.analysis.as_ref().filter(|_| self.is_judged()) else { return Vec::new() };
        let left = || self.nodes.untouched().map(|state| state.node);
        let (mut nodes, mut known) = (Vec::new(), HashSet::new());
        let mut add = |more: &mut dyn Iterator<Item = NodeId>, share: usize| {
            let room = (limit - nodes.len()) / share;
            nodes.extend(more.filter(|node| known.insert(*node)).take(room));
        };
        // First those of the open block of which it is known what they were before: the others cannot be compared.
        add(&mut analysis.open_nodes().filter(|node| analysis.was_measured(*node)), 1);
        add(&mut left().filter(|node| analysis.was_measured(*node)), 1);
        if let Some(ahead) = self.left_until_end_of_next_wave() {
            // The nodes of the last block are compared again, unless the next wave takes them all.
            let pool = self.nodes.untouched().take_while(|state| analysis.is_in_pool(state)).count();
            let from = if ahead < pool { 0 } else { pool };
            add(&mut left().take(ahead).skip(from), 2);
            add(&mut left().skip(ahead), 1);
        }
        nodes
    }

    /// How many of the nodes that nobody has touched get the revision by the end of the wave under way, or of the next
    /// one when it is complete; none before the last wave, which is not judged. Where a selector names a wave, nobody
    /// knows by its turn.
    fn left_until_end_of_next_wave(&self) -> Option<usize> {
        let waves = &self.policy.spec.waves;
        let next = self.wave + usize::from(self.wave_done_at.is_some());
        let wave = waves.get(next).filter(|_| next + 1 < waves.len())?;
        let WaveNodes::Count(count) = &wave.nodes else { return Some(0) };
        let all = self.nodes.len();
        let touched = all.saturating_sub(self.nodes.untouched().count());
        Some(size(*count, all).saturating_sub(touched))
    }
}

impl Tables {
    /// The newest pod of an assignment that stays, by name: of two the older one is on its way out.
    pub(super) fn newest_pod(&self, node: NodeId, first: PodId) -> Option<(&str, (NodeId, PodId))> {
        let (mut next, mut newest) = (first, None);
        while let Some(row) = self.pods.get(next) {
            let is_newer = newest.is_none_or(|(_, created)| row.created >= created);
            if is_newer && !row.is_leaving() {
                newest = Some((next, row.created));
            }
            next = row.next;
        }
        let (pod, _) = newest?;
        Some((&self.pods.get(pod)?.name, (node, pod)))
    }
}
