//! The nodes that are compared, with what they have shown.

use everynode_analysis::{
    Block, CONTROLS_LIMIT, Group, Labelled, Node, Reading, Signal, SignalReport, Turn as Place, cohorts,
};
use everynode_api::AnalysisSpec;
use hashbrown::HashMap;

use crate::base::Time;
use crate::ids::NodeId;
use crate::nodes::Nodes;
use crate::placement::NodeView as _;
use crate::pods::Pods;
use crate::policy::node_state::{Daemon, Health, NodeState};
use crate::policy::nodes::RolloutNodes;

use super::levels::Levels;
use super::places::Places;
use super::{Harm, OpenBlock, Touched, next};

/// So many untouched nodes are handed to the judge, which compares some of them.
const UNTOUCHED_LIMIT: usize = 2 * CONTROLS_LIMIT;

/// So many nodes on which it is worse are named.
const HARMED_NAMED: usize = 3;

/// So many nodes are looked at for them: some were not well, or got a fresh pod.
const LOOKED_AT_LIMIT: usize = 3 * CONTROLS_LIMIT;

/// What is known of the nodes of a roll-out.
pub(crate) struct View<'a> {
    pub pods: &'a Pods,
    pub labels: &'a Nodes,
    pub nodes: &'a RolloutNodes,
    /// When the roll-out began, in whole seconds.
    pub begun: Time,
    /// A selector has chosen who comes first.
    pub has_selectors: bool,
}

/// A block, and the nodes in it that were updated.
pub(super) struct Seen {
    pub block: Block,
    pub updated: Vec<(NodeId, Node)>,
}

/// The values of the labels in `order` and in `strata`, by which nodes are compared.
type Labels = (Box<[Box<str>]>, Vec<Box<str>>);

/// The nodes of a block that is being made.
struct Making<'a> {
    view: &'a View<'a>,
    spec: &'a AnalysisSpec,
    levels: &'a Levels,
    places: &'a Places,
    open: &'a OpenBlock,
    now: Time,
    groups: Vec<Group>,
    /// The place of a group among them.
    by_labels: HashMap<Labels, usize>,
}

impl View<'_> {
    /// The block as it is now.
    pub(super) fn block(
        &self,
        spec: &AnalysisSpec,
        levels: &Levels,
        places: &Places,
        open: &OpenBlock,
        now: Time,
    ) -> Seen {
        let (groups, by_labels) = (Vec::new(), HashMap::new());
        let mut making = Making { view: self, spec, levels, places, open, now, groups, by_labels };
        let updated = making.add_touched(&open.updated, |group| &mut group.updated);
        making.add_touched(&open.restarted, |group| &mut group.restarted);
        let (frontier, left) = self.untouched(places);
        making.add_untouched(left);
        Seen { block: Block { frontier, groups: making.groups }, updated }
    }

    /// On which of the updated nodes it is worse: what they have in common, if chance does not explain that, and the
    /// first of their names.
    pub(super) fn harm(&self, updated: &[(NodeId, Node)], worst: &SignalReport) -> Harm {
        let is_raised = |node: &Node| node.reading(worst.signal).is_raised(&worst.rule);
        let labelled: Vec<Labelled<'_>> = updated
            .iter()
            .map(|(id, node)| Labelled {
                is_marked: is_raised(node),
                labels: self.labels.labels(*id).collect(),
            })
            .collect();
        let common = cohorts(&labelled).first().map(|cohort| format!("of the nodes with harm {cohort}"));
        let raised = updated.iter().filter(|(_, node)| is_raised(node)).take(HARMED_NAMED);
        Harm { common, nodes: raised.map(|(id, _)| self.labels.name(*id).to_string()).collect() }
    }

    /// The place from which on no node has the revision, and the nodes from there on: the first of them, where nodes
    /// come in turn and need not all be looked at.
    fn untouched(&self, places: &Places) -> (Place, Vec<(Place, &NodeState)>) {
        let placed = |state| Some((places.of_node(state)?, state));
        if self.has_selectors {
            let all: Vec<(Place, &NodeState)> = self.nodes.all().filter_map(placed).collect();
            let touched = all.iter().filter(|(_, state)| is_touched(state));
            let frontier = touched.map(|(place, _)| *place).max().map_or(Place(0), next);
            return (frontier, all.into_iter().filter(|(place, _)| *place >= frontier).collect());
        }
        let last = self.nodes.last_touched().and_then(|turn| places.of_turn(turn));
        let left = self.nodes.untouched().filter_map(placed).take(LOOKED_AT_LIMIT).collect();
        (last.map_or(Place(0), next), left)
    }
}

/// A node has the new revision, or nothing, so that it may be getting it.
fn is_touched(state: &NodeState) -> bool {
    state.new.is_some() || state.old.is_none() && state.is_busy
}

impl Making<'_> {
    /// Adds nodes whose pods were replaced, and says which those are that are still there.
    fn add_touched(
        &mut self,
        touched: &[Touched],
        side: fn(&mut Group) -> &mut Vec<Node>,
    ) -> Vec<(NodeId, Node)> {
        let mut added = Vec::new();
        for one in touched {
            // A node that has gone shows nothing; its number may be another one's by now.
            let state = self.view.nodes.state(one.node).filter(|state| *state.name() == one.name);
            let Some((state, place)) = state.and_then(|state| Some((state, self.places.of_node(state)?)))
            else {
                continue;
            };
            let pod = state.new.or(state.old).filter(|pod| pod.created >= self.open.opened_at.second());
            let node = self.node(state, place, pod, one.ready_seconds);
            let group = self.group_of(state);
            side(&mut self.groups[group]).push(node);
            added.push((one.node, node));
        }
        added
    }

    /// Adds the first of the nodes that nobody has touched.
    fn add_untouched(&mut self, mut placed: Vec<(Place, &NodeState)>) {
        if placed.len() > UNTOUCHED_LIMIT {
            placed.select_nth_unstable_by_key(UNTOUCHED_LIMIT, |(place, _)| *place);
            placed.truncate(UNTOUCHED_LIMIT);
        }
        for (place, state) in placed {
            let Some(old) = self.untouched(state) else { continue };
            let node = self.node(state, place, Some(old), None);
            let group = self.group_of(state);
            self.groups[group].untouched.push(node);
        }
    }

    /// The pod of a node that nobody has touched, and that was well at some time since the block was opened.
    fn untouched(&self, state: &NodeState) -> Option<Daemon> {
        let opened_at = self.open.opened_at;
        let old = state.old.filter(|_| state.new.is_none()).filter(|old| old.created < self.view.begun)?;
        let was_well = match state.health {
            Health::Well => true,
            Health::NotReady(since) => since.is_some_and(|since| since >= opened_at),
            Health::Cordoned => false,
        };
        (was_well && (old.available || old.changed >= opened_at.second())).then_some(old)
    }

    /// What a node has shown. One on which no pod serves is the worst of all.
    fn node(&self, state: &NodeState, place: Place, pod: Option<Daemon>, was_ready_in: Option<u16>) -> Node {
        let before = self.open.before.get(&state.node).copied().unwrap_or_default();
        let is_asked = |signal: Signal| !signal.is_sampled() || before.of(signal).is_some();
        let not_asked = self.spec.signals.iter().filter(|one| !is_asked(one.signal));
        let left_out =
            |node: Node| not_asked.clone().fold(node, |node, one| node.with(one.signal, Reading::NOT_ASKED));
        let Some(pod) = pod.filter(|pod| pod.available && state.health == Health::Well) else {
            return left_out(Node::failed(place));
        };
        let counts = self.open.counts.get(&state.node).copied().unwrap_or_default();
        let mut node = left_out(Node::new(place));
        for one in self.spec.signals.iter().filter(|one| is_asked(one.signal)) {
            let reading = match one.signal {
                Signal::Cpu | Signal::Memory | Signal::MetricLevel | Signal::MetricRate => {
                    let from = self.open.gathered_at.unwrap_or(self.now);
                    let from = from.plus_millis(self.spec.settle_seconds * 1000);
                    let after = self.levels.within(state.node, pod.id, one.signal, from, self.now);
                    Reading::of_change(before.of(one.signal), &after, one.floor)
                }
                Signal::TimeToReady => {
                    let is = self.view.pods.get(pod.id).and_then(|row| row.ready_seconds());
                    let change =
                        |(was, is): (u16, u16)| Reading::of_single(f64::from(was), f64::from(is), one.floor);
                    was_ready_in.zip(is).map_or(Reading::MISSING, change)
                }
                Signal::Restarts => Reading::of_count(counts.restarts),
                Signal::OomKills => Reading::of_count(counts.oom_kills),
                Signal::ReadinessFlaps => Reading::of_count(counts.readiness_flaps),
            };
            node = node.with(one.signal, reading);
        }
        node
    }

    /// The place of a node's group: that of all nodes with the same values of the labels.
    fn group_of(&mut self, state: &NodeState) -> usize {
        let view = self.view.labels.view(state.node);
        let strata = self.spec.strata.iter().map(|key| view.label(key).unwrap_or_default().into()).collect();
        let groups = &mut self.groups;
        *self.by_labels.entry((state.turn.order.clone(), strata)).or_insert_with(|| {
            groups.push(Group::default());
            groups.len() - 1
        })
    }
}
