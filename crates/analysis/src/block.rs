//! Nodes that are compared, and which of them may be.
//!
//! A roll-out takes nodes in a shuffled order. A block is those that were updated since the last one closed, and those
//! that nobody has touched yet; given which nodes these are together, chance alone has said which of them came first.
//! For the evidence of several blocks to be multiplied, what is known of earlier ones must not tell the later ones'
//! nodes apart. So a block's nodes were either all untouched controls of the one before, or all in none before: two
//! places in the order, the frontier and the end of the pool, say which they are, and go into the memory.

use crate::reading::Reading;
use crate::signal::{Controls, Signal};

/// So many untouched nodes are compared in one block, and so many restarted ones.
pub const CONTROLS_LIMIT: usize = 2_000;

/// So many updated nodes are compared in one block: the first ones.
pub const UPDATED_LIMIT: usize = 500;

/// So many groups of nodes are kept apart in one block.
pub const GROUPS_LIMIT: usize = 256;

/// A node's place in the shuffled order of a roll-out: a hash of the DaemonSet, the revision and the node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Turn(pub u64);

/// A node in a block.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    /// Its place in the shuffled order.
    pub turn: Turn,
    readings: [Reading; Signal::ALL.len()],
}

impl Node {
    /// A node of which nothing is known yet.
    pub fn new(turn: Turn) -> Node {
        Node { turn, readings: [Reading::MISSING; Signal::ALL.len()] }
    }

    /// With what it has shown of a signal.
    #[must_use]
    pub fn with(mut self, signal: Signal, reading: Reading) -> Node {
        self.readings[signal.index()] = reading;
        self
    }

    /// A node on which the daemon does not serve: the worst of every signal.
    pub fn failed(turn: Turn) -> Node {
        Node { turn, readings: [Reading::FAILED; Signal::ALL.len()] }
    }

    /// What it has shown of a signal.
    pub fn reading(&self, signal: Signal) -> Reading {
        self.readings[signal.index()]
    }
}

/// Nodes that are alike in what was known before, such as their instance type. Only these are compared.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// Those that were updated, by turn, and whose windows have closed.
    pub updated: Vec<Node>,
    /// Those that nobody has touched until their windows closed.
    pub untouched: Vec<Node>,
    /// Those that got a fresh pod of the old revision, chosen by nothing but their turn.
    pub restarted: Vec<Node>,
}

/// What is compared at once.
#[derive(Clone, Debug, Default)]
pub struct Block {
    /// All nodes from this turn on were untouched when the windows closed.
    pub frontier: Turn,
    /// The nodes. Of more than [`GROUPS_LIMIT`] groups the first ones are read.
    pub groups: Vec<Group>,
}

/// Two places in the shuffled order that say which nodes a block may compare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Nodes from this turn on were untouched when the last block closed.
    pub frontier: Turn,
    /// Nodes up to this turn, and not this one, were compared in blocks.
    pub pool_end: Turn,
}

/// The nodes of a block that may be compared.
#[derive(Clone, Debug)]
pub(crate) struct Chosen<'a> {
    pub groups: Vec<ChosenGroup<'a>>,
    pub pool_end: Turn,
}

/// Those of a group.
#[derive(Clone, Debug, Default)]
pub(crate) struct ChosenGroup<'a> {
    updated: Vec<&'a Node>,
    untouched: Vec<&'a Node>,
    restarted: Vec<&'a Node>,
}

impl<'a> Chosen<'a> {
    /// Chooses by turns and numbers alone, never by values: the nodes that were controls of the last block, or as many
    /// new ones as are compared at once, whichever tell more. A pool that an earlier look has chosen is kept.
    pub fn of(block: &'a Block, bounds: Bounds, pool: Option<Turn>) -> Chosen<'a> {
        let nodes = Turns::of(block);
        let fresh_from = bounds.frontier.max(bounds.pool_end);
        let same = || nodes.within(bounds.frontier, bounds.pool_end);
        let fresh = |end: Turn| nodes.within(fresh_from, end);
        match pool {
            Some(end) if end == bounds.pool_end => same(),
            Some(end) => fresh(end),
            None => {
                let (same, fresh) = (same(), fresh(nodes.end_of_pool(fresh_from)));
                if same.weight() > 0.0 && same.weight() >= fresh.weight() { same } else { fresh }
            }
        }
    }

    /// How much the comparison can tell.
    fn weight(&self) -> f64 {
        let weight = |group: &ChosenGroup<'_>| {
            let (updated, untouched) = (group.updated.len() as f64, group.untouched.len() as f64);
            if updated * untouched > 0.0 { updated * untouched / (updated + untouched) } else { 0.0 }
        };
        self.groups.iter().map(weight).sum()
    }
}

/// The nodes of a block, each with its turn and the place of its group.
struct Turns<'a> {
    block: &'a Block,
    updated: Vec<(Turn, usize, &'a Node)>,
    untouched: Vec<(Turn, usize, &'a Node)>,
}

impl<'a> Turns<'a> {
    fn of(block: &'a Block) -> Turns<'a> {
        let side = |of: fn(&Group) -> &Vec<Node>| {
            let groups = block.groups.iter().take(GROUPS_LIMIT).enumerate();
            groups.flat_map(move |(place, group)| of(group).iter().map(move |node| (node.turn, place, node)))
        };
        Turns {
            block,
            updated: side(|group| &group.updated).filter(|(turn, ..)| *turn < block.frontier).collect(),
            untouched: side(|group| &group.untouched).filter(|(turn, ..)| *turn >= block.frontier).collect(),
        }
    }

    /// Nodes from a turn on, up to another one.
    fn within(&self, from: Turn, end: Turn) -> Chosen<'a> {
        let restarted = |group: &'a Group| ChosenGroup {
            restarted: group.restarted.iter().take(CONTROLS_LIMIT).collect(),
            ..ChosenGroup::default()
        };
        let groups = self.block.groups.iter().take(GROUPS_LIMIT).map(restarted).collect();
        let mut chosen = Chosen { groups, pool_end: end };
        let is_within = |turn: Turn| turn >= from && turn < end;
        let updated = self.updated.iter().map(|(turn, ..)| *turn).filter(|turn| is_within(*turn));
        let cut = turn_after(updated.collect(), UPDATED_LIMIT);
        for (_, group, node) in self.updated.iter().filter(|(turn, ..)| is_within(*turn) && *turn < cut) {
            chosen.groups[*group].updated.push(node);
        }
        for (_, group, node) in self.untouched.iter().filter(|(turn, ..)| is_within(*turn)) {
            chosen.groups[*group].untouched.push(node);
        }
        chosen
    }

    /// The turn before which there are as many untouched nodes as are compared at once.
    fn end_of_pool(&self, from: Turn) -> Turn {
        let turns = self.untouched.iter().map(|(turn, ..)| *turn).filter(|turn| *turn >= from);
        turn_after(turns.collect(), CONTROLS_LIMIT)
    }
}

/// The turn before which there are so many.
fn turn_after(mut turns: Vec<Turn>, count: usize) -> Turn {
    if turns.len() > count { *turns.select_nth_unstable(count).1 } else { Turn(u64::MAX) }
}

/// One group's readings of one signal, where they are known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sides {
    pub updated: Vec<(Turn, Reading)>,
    pub others: Vec<(Turn, Reading)>,
}

impl Sides {
    /// Of a group, and how many nodes there are with those of which nothing is known.
    pub fn of(group: &ChosenGroup<'_>, signal: Signal) -> (Sides, [usize; 2]) {
        let others = match signal.controls() {
            Controls::Untouched => &group.untouched,
            Controls::Restarted => &group.restarted,
        };
        let known = |nodes: &[&Node]| -> Vec<(Turn, Reading)> {
            let readings = nodes.iter().map(|node| (node.turn, node.reading(signal)));
            readings.filter(|(_, reading)| reading.is_known()).collect()
        };
        let asked = |nodes: &[&Node]| nodes.iter().filter(|node| node.reading(signal).is_asked()).count();
        let sides = Sides { updated: known(&group.updated), others: known(others) };
        (sides, [asked(&group.updated), asked(others)])
    }

    /// Whether there is something to compare.
    pub fn can_compare(&self) -> bool {
        !self.updated.is_empty() && !self.others.is_empty()
    }
}
