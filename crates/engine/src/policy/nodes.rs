//! The nodes of one DaemonSet, kept as a roll-out under a policy sees them: what happened to one is worked in alone, so
//! that a decision costs what has changed and not what there is.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Bound;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::base::Time;
use crate::ids::NodeId;

use super::node_state::{Health, NodeState, Standing, Turn};
use super::notes::Noted;

/// What a node counts as; each bit is counted.
pub(crate) mod flag {
    /// It has a pod of the revision.
    pub const UPDATED: u32 = 1 << 0;
    /// It has what the roll-out leads to, and that serves.
    pub const DONE: u32 = 1 << 1;
    /// Its wave has come.
    pub const MEMBER: u32 = 1 << 2;
    /// ... and it has a pod of the revision.
    pub const MEMBER_UPDATED: u32 = 1 << 3;
    /// It holds up whatever wave it is in.
    pub const UNSETTLED: u32 = 1 << 4;
    /// ... and its wave has come.
    pub const MEMBER_UNSETTLED: u32 = 1 << 5;
    /// It came with the wave under way.
    pub const FRESH: u32 = 1 << 6;
    /// ... and has failed or is exempt.
    pub const FRESH_EXCUSED: u32 = 1 << 7;
    /// ... and has failed.
    pub const FRESH_FAILED: u32 = 1 << 8;
    /// It holds a way back up.
    pub const NOT_BACK: u32 = 1 << 9;
    /// It has, or gets, a second pod beside the old one.
    pub const SURGING: u32 = 1 << 10;
    /// It is down, and does not have the revision alone.
    pub const LACKS_DOWN: u32 = 1 << 11;
    /// It is excused for another cause, and does not have the revision alone.
    pub const LACKS_OTHER: u32 = 1 << 12;
    /// Its wave has come, and its pod does not serve yet.
    pub const STARTING: u32 = 1 << 13;
    /// A pod was taken away from it and none serves yet.
    pub const DISRUPTED: u32 = 1 << 14;
    /// ... nothing is under way there, and its wave has not come.
    pub const DISRUPTED_OUTSIDE: u32 = 1 << 15;
    /// A pod of the revision serves.
    pub const SERVES: u32 = 1 << 16;
    /// ... and it came with the wave under way.
    pub const FRESH_SERVES: u32 = 1 << 17;
    /// It counts against the budget of a surge.
    pub const SURGE_SPENT: u32 = 1 << 18;
    /// It has a pod of another revision.
    pub const HAS_OLD: u32 = 1 << 19;
    /// How many of the bits are counted.
    pub const COUNTED: usize = 20;

    /// Its pod is to be replaced and costs nothing.
    pub const FREE: u32 = 1 << 20;
    /// ... because it is disrupted already.
    pub const FREE_AS_DISRUPTED: u32 = 1 << 21;
    /// Its pod is to be replaced within the budget.
    pub const COSTLY: u32 = 1 << 22;
    /// It has no pod, and its wave has come.
    pub const EMPTY: u32 = 1 << 23;
    /// It has no pod, and one was asked for or is terminating.
    pub const EMPTY_BUSY: u32 = 1 << 24;
}

/// How nodes are judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    /// The revision that nodes are led to.
    pub goal: Arc<str>,
    /// New pods come beside old ones.
    pub surges: bool,
    /// Nodes are led back, also those that are down.
    pub is_back: bool,
    /// When the roll-out began, in whole seconds.
    pub begun: Time,
    /// Nodes that have the revision are compared with those that nobody has touched.
    pub compares: bool,
}

/// Nodes by their turn.
pub(crate) type Queue = BTreeMap<Arc<Turn>, NodeId>;

#[derive(Clone, Debug)]
struct Entry {
    state: NodeState,
    noted: Noted,
    is_member: bool,
    is_fresh: bool,
    flags: u32,
}

/// One failure domain.
#[derive(Clone, Debug, Default)]
struct Tally {
    nodes: usize,
    disrupted: usize,
    costly: Queue,
}

/// All eligible nodes.
#[derive(Clone, Debug, Default)]
pub(crate) struct RolloutNodes {
    pub rules: Rules,
    entries: HashMap<NodeId, Entry>,
    turns: Queue,
    counts: [usize; flag::COUNTED],
    free: Queue,
    empty: Queue,
    empty_busy: Queue,
    domains: BTreeMap<Box<str>, Tally>,
    /// When nodes are to be looked at although nothing happens.
    due: BTreeSet<(Time, NodeId)>,
    touched: HashSet<NodeId>,
    /// Every node was looked at.
    is_whole: bool,
    /// The wave whose nodes are members, and whether all nodes are because no waves are needed.
    reached: Option<(usize, bool)>,
    /// All nodes are members, also those that join.
    has_everyone: bool,
    /// How the member that came last stood when the members were found.
    last_member: Option<Standing>,
    /// The last turn of a node that has the revision, or was given it, where nodes are compared.
    last_touched: Option<Arc<Turn>>,
}

impl RolloutNodes {
    /// Forgets what was seen, so that all nodes are looked at anew.
    pub fn clear(&mut self) {
        *self = RolloutNodes { rules: std::mem::take(&mut self.rules), ..RolloutNodes::default() };
    }

    /// Every node was looked at.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Every node was looked at now.
    pub fn set_whole(&mut self) {
        self.is_whole = true;
    }

    /// Something happened to a node.
    pub fn touch(&mut self, node: NodeId) {
        if self.is_whole {
            self.touched.insert(node);
        }
    }

    /// The nodes that something happened to, or that are due.
    pub fn take_touched(&mut self, now: Time) -> Vec<NodeId> {
        while let Some(&(at, node)) = self.due.first().filter(|(at, _)| *at <= now) {
            self.due.remove(&(at, node));
            self.touched.insert(node);
        }
        let mut touched: Vec<NodeId> = self.touched.drain().collect();
        touched.sort_unstable();
        touched
    }

    /// When the next node is due.
    pub fn next_due(&self) -> Option<Time> {
        self.due.first().map(|(at, _)| *at)
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many nodes have a flag.
    pub fn count(&self, flag: u32) -> usize {
        self.counts[flag.trailing_zeros() as usize]
    }

    /// A node as it was looked at last.
    pub fn state(&self, node: NodeId) -> Option<&NodeState> {
        self.entries.get(&node).map(|entry| &entry.state)
    }

    /// What was noted of a node when it was looked at last.
    #[cfg(debug_assertions)]
    pub fn noted(&self, node: NodeId) -> Option<Noted> {
        self.entries.get(&node).map(|entry| entry.noted)
    }

    /// A node has a flag.
    pub fn has(&self, node: NodeId, flag: u32) -> bool {
        self.entries.get(&node).is_some_and(|entry| entry.flags & flag != 0)
    }

    /// All nodes, in no order.
    pub fn all(&self) -> impl Iterator<Item = &NodeState> {
        self.entries.values().map(|entry| &entry.state)
    }

    /// All nodes in the order in which they are taken.
    pub fn in_turn(&self) -> impl DoubleEndedIterator<Item = &NodeState> {
        self.turns.values().filter_map(|node| self.state(*node))
    }

    /// The last turn of a node that has the revision, or was given it, where nodes are compared.
    pub fn last_touched(&self) -> Option<&Arc<Turn>> {
        self.last_touched.as_ref()
    }

    /// A node is given the revision.
    pub fn note_touched(&mut self, node: NodeId) {
        if let Some(turn) = self.state(node).map(|state| state.turn.clone()) {
            self.touched_up_to(&turn);
        }
    }

    fn touched_up_to(&mut self, turn: &Arc<Turn>) {
        if self.rules.compares && self.last_touched.as_ref().is_none_or(|last| last < turn) {
            self.last_touched = Some(turn.clone());
        }
    }

    /// All nodes whose turn comes after that, in turn.
    pub fn untouched(&self) -> impl Iterator<Item = &NodeState> {
        let after = self.last_touched.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let left = self.turns.range::<Arc<Turn>, _>((after, Bound::Unbounded));
        left.filter_map(|(_, node)| self.state(*node))
    }

    /// Nodes without a pod whose wave has come, in turn.
    pub fn empty(&self) -> impl Iterator<Item = NodeId> {
        self.empty.values().copied()
    }

    /// Nodes without a pod that get one, or whose last is terminating.
    pub fn empty_busy(&self) -> impl Iterator<Item = NodeId> {
        self.empty_busy.values().copied()
    }

    /// How many nodes the domain of a node has, and how many of them are disrupted.
    pub fn domain_of(&self, node: NodeId) -> (usize, usize) {
        let domain = self.state(node).and_then(|state| self.domains.get(&state.domain));
        domain.map_or((0, 0), |tally| (tally.nodes, tally.disrupted))
    }

    /// There are nodes whose pods are to be replaced within the budget.
    pub fn has_costly(&self) -> bool {
        self.domains.values().any(|tally| !tally.costly.is_empty())
    }

    /// There are such nodes, and nothing else is to be done or under way.
    pub fn has_costly_alone(&self) -> bool {
        let is_at_rest = self.count(flag::STARTING) == 0 && self.count(flag::SURGING) == 0;
        let has_other = !self.free.is_empty() || !self.empty.is_empty();
        is_at_rest && !has_other && self.has_costly()
    }

    /// The next node after another one whose pod can be replaced at no cost.
    pub fn next_free(&self, after: Option<&Arc<Turn>>) -> Option<(Arc<Turn>, NodeId)> {
        let after = after.map_or(Bound::Unbounded, |turn| Bound::Excluded(turn.clone()));
        let mut left = self.free.range((after, Bound::Unbounded));
        left.next().map(|(turn, node)| (turn.clone(), *node))
    }

    /// The next node whose pod is to be replaced within the budget, of the domains where that allows it: it is told
    /// how many nodes a domain has and how many of them are disrupted.
    pub fn next_costly(&self, allows: impl Fn(usize, usize) -> bool) -> Option<NodeId> {
        let open = self.domains.values().filter(|tally| allows(tally.nodes, tally.disrupted));
        let firsts = open.filter_map(|tally| tally.costly.first_key_value());
        firsts.min_by(|(a, _), (b, _)| a.cmp(b)).map(|(_, node)| *node)
    }

    /// A node as it is now. `due` says when it is to be looked at again.
    pub fn set(&mut self, state: NodeState, noted: Noted, due: Option<Time>) {
        let node = state.node;
        let old = self.take(node);
        let is_same_place = old
            .as_ref()
            .is_some_and(|old| old.state.turn == state.turn && old.state.selected == state.selected);
        if !is_same_place && !self.has_everyone {
            self.reached = None;
        }
        let (is_member, is_fresh) =
            old.as_ref().map_or((self.has_everyone, self.has_everyone), |old| (old.is_member, old.is_fresh));
        let standing = Standing::of(&state, noted);
        let stood = old.as_ref().map_or(standing, |old| Standing::of(&old.state, old.noted));
        // A wave takes others in the place of a node that has come off worse, and one that has come off better than
        // some of its own.
        let changes_waves = match is_member {
            true => standing > stood,
            false => standing < stood && self.last_member.is_none_or(|last| standing < last),
        };
        if changes_waves && !self.has_everyone {
            self.reached = None;
        }
        self.due.extend(due.map(|at| (at, node)));
        self.put(Entry { state: NodeState { due, ..state }, noted, is_member, is_fresh, flags: 0 });
    }

    /// A node is no longer there.
    pub fn remove(&mut self, node: NodeId) {
        if self.take(node).is_some() && !self.has_everyone {
            self.reached = None;
        }
    }

    /// The members are those of a wave, or everybody because no waves are needed.
    pub fn is_reached(&self, wave: usize, is_free: bool) -> bool {
        self.reached == Some((wave, is_free))
    }

    /// All nodes are members.
    pub fn reach_everyone(&mut self, wave: usize) {
        let everyone = vec![(true, true); self.len()];
        self.reach(wave, &everyone);
        (self.reached, self.has_everyone) = (Some((wave, true)), true);
    }

    /// For each node in turn whether it is a member, and whether it came with the wave under way. `stays` says that
    /// nodes that join are members too.
    pub fn reach_wave(&mut self, wave: usize, members: &[(bool, bool)], stays: bool) {
        self.reach(wave, members);
        (self.reached, self.has_everyone) = (Some((wave, false)), stays);
    }

    fn reach(&mut self, wave: usize, members: &[(bool, bool)]) {
        let nodes: Vec<NodeId> = self.turns.values().copied().collect();
        self.last_member = None;
        for (node, &(is_member, is_fresh)) in nodes.into_iter().zip(members) {
            if let Some(entry) = self.entries.get(&node).filter(|_| is_member) {
                self.last_member = self.last_member.max(Some(Standing::of(&entry.state, entry.noted)));
            }
            let is_same = |entry: &Entry| (entry.is_member, entry.is_fresh) == (is_member, is_fresh);
            if self.entries.get(&node).is_some_and(|entry| !is_same(entry))
                && let Some(entry) = self.take(node)
            {
                self.due.extend(entry.state.due.map(|at| (at, node)));
                self.put(Entry { is_member, is_fresh, ..entry });
            }
        }
        self.reached = Some((wave, false));
    }

    fn take(&mut self, node: NodeId) -> Option<Entry> {
        let entry = self.entries.remove(&node)?;
        let turn = &entry.state.turn;
        self.turns.remove(turn);
        if let Some(at) = entry.state.due {
            self.due.remove(&(at, node));
        }
        self.count_flags(entry.flags, |count| *count -= 1);
        let queues = [
            (flag::FREE, &mut self.free),
            (flag::EMPTY, &mut self.empty),
            (flag::EMPTY_BUSY, &mut self.empty_busy),
        ];
        for (_, queue) in queues.into_iter().filter(|(flag, _)| entry.flags & flag != 0) {
            queue.remove(turn);
        }
        if let Some(tally) = self.domains.get_mut(&entry.state.domain) {
            tally.nodes -= 1;
            tally.disrupted -= usize::from(entry.flags & flag::DISRUPTED != 0);
            tally.costly.remove(turn);
            if tally.nodes == 0 {
                self.domains.remove(&entry.state.domain);
            }
        }
        Some(entry)
    }

    fn put(&mut self, mut entry: Entry) {
        let (node, turn) = (entry.state.node, entry.state.turn.clone());
        if entry.state.new.is_some() {
            self.touched_up_to(&turn);
        }
        entry.flags = flags(&entry, &self.rules);
        self.count_flags(entry.flags, |count| *count += 1);
        self.turns.insert(turn.clone(), node);
        let queues = [
            (flag::FREE, &mut self.free),
            (flag::EMPTY, &mut self.empty),
            (flag::EMPTY_BUSY, &mut self.empty_busy),
        ];
        for (_, queue) in queues.into_iter().filter(|(flag, _)| entry.flags & flag != 0) {
            queue.insert(turn.clone(), node);
        }
        let tally = self.domains.entry(entry.state.domain.clone()).or_default();
        tally.nodes += 1;
        tally.disrupted += usize::from(entry.flags & flag::DISRUPTED != 0);
        if entry.flags & flag::COSTLY != 0 {
            tally.costly.insert(turn, node);
        }
        self.entries.insert(node, entry);
    }

    fn count_flags(&mut self, flags: u32, change: impl Fn(&mut usize)) {
        let counts = self.counts.iter_mut().enumerate();
        counts.filter(|(bit, _)| flags >> bit & 1 == 1).for_each(|(_, count)| change(count));
    }
}

/// All flags of a node.
fn flags(entry: &Entry, rules: &Rules) -> u32 {
    let Entry { state, noted, is_member, is_fresh, .. } = entry;
    let is_well = state.health == Health::Well;
    let is_down = matches!(state.health, Health::NotReady(_));
    let is_excused = noted.is_exempt || noted.has_failed;
    let is_settled = state.is_done() || is_excused || !is_well;
    let lacks = (state.new.is_none() || state.old.is_some()) && is_settled;
    let is_new_late = state.new.is_some_and(|new| !new.available);
    let is_surging = state.old.is_some() && (state.is_busy || is_new_late);
    let is_starting = (state.is_busy || state.new.is_some()) && !state.is_available();
    let is_empty = state.new.is_none() && state.old.is_none();
    // It has what nodes go back to, and nothing was taken from it: it does not serve for a reason of its own.
    let is_left_alone = state.new.is_some() && state.old.is_none() && !noted.is_disrupted;
    let all = [
        (flag::UPDATED, state.new.is_some()),
        (flag::DONE, state.is_done()),
        (flag::MEMBER, *is_member),
        (flag::MEMBER_UPDATED, *is_member && state.new.is_some()),
        (flag::UNSETTLED, !is_settled),
        (flag::MEMBER_UNSETTLED, *is_member && !is_settled),
        (flag::FRESH, *is_fresh),
        (flag::FRESH_EXCUSED, *is_fresh && is_excused),
        (flag::FRESH_FAILED, *is_fresh && noted.has_failed && !noted.is_exempt),
        (flag::NOT_BACK, !state.is_done() && is_well && !noted.is_exempt && !is_left_alone),
        (flag::SURGING, is_surging),
        (flag::SURGE_SPENT, is_surging || noted.is_disrupted || is_new_late && !noted.is_exempt),
        (flag::LACKS_DOWN, lacks && is_down),
        (flag::LACKS_OTHER, lacks && !is_down),
        (flag::STARTING, *is_member && is_starting && !noted.has_failed),
        (flag::DISRUPTED, noted.is_disrupted),
        (flag::HAS_OLD, state.old.is_some()),
        (flag::SERVES, state.new.is_some_and(|new| new.available)),
        (flag::FRESH_SERVES, *is_fresh && state.new.is_some_and(|new| new.available)),
        (flag::DISRUPTED_OUTSIDE, noted.is_disrupted && !state.is_busy && !*is_member),
        (flag::EMPTY, is_empty && *is_member && !state.is_busy),
        (flag::EMPTY_BUSY, is_empty && state.is_busy),
    ];
    let counted = all.into_iter().filter(|(_, is_set)| *is_set).fold(0, |flags, (flag, _)| flags | flag);
    counted | replacement(entry, rules)
}

/// Whether the old pod of a node can be replaced, and at which cost.
fn replacement(Entry { state, noted, is_member, .. }: &Entry, rules: &Rules) -> u32 {
    let is_down = matches!(state.health, Health::NotReady(_));
    // A node that is down is left alone, but when it goes back: what brought it down must not start there again.
    let Some(old) = state.old.filter(|_| *is_member && (!is_down || rules.is_back)) else { return 0 };
    let is_under_way = match state.new {
        Some(new) => !new.available,
        None => state.is_busy,
    };
    if state.is_unsettled || rules.surges && is_under_way {
        return 0;
    }
    let serves_beside = state.new.is_some_and(|new| new.available);
    // A pod that has lost its readiness since the roll-out began may have lost it by the roll-out: it costs.
    // One that counts already costs nothing more after so long; whether anybody took it may not be known.
    let is_over = noted.is_disrupted && old.is_late;
    let is_broken = !old.ready && (rules.is_back || is_over || old.changed < rules.begun);
    match state.health != Health::Well || is_broken || serves_beside {
        true => flag::FREE,
        false if noted.is_disrupted => flag::FREE | flag::FREE_AS_DISRUPTED,
        false => flag::COSTLY,
    }
}
