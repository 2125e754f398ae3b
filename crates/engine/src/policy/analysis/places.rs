//! Where a node is in the order in which a roll-out takes nodes, as one number.

use everynode_analysis::Turn as Place;
use sha2::{Digest as _, Sha256};

use crate::policy::node_state::{NodeState, Turn};

/// The values of the labels in `order` that nodes have, in turn. They are those of the first block: a node with others
/// is in no block, so that a place means the same as long as a roll-out lasts.
#[derive(Clone, Debug)]
pub(super) struct Places {
    orders: Vec<Box<[Box<str>]>>,
    /// What tells them from others, for the next leader.
    pub digest: String,
}

/// More combinations of values are not told apart.
const ORDERS_LIMIT: usize = 1 << 16;

impl Places {
    /// Of the nodes of a roll-out, in turn.
    pub fn of<'a>(nodes: impl Iterator<Item = &'a NodeState>) -> Places {
        let mut orders: Vec<Box<[Box<str>]>> = Vec::new();
        for state in nodes {
            if orders.last() != Some(&state.turn.order) && orders.len() < ORDERS_LIMIT {
                orders.push(state.turn.order.clone());
            }
            // Without labels to order by there is one combination, of all nodes.
            if state.turn.order.is_empty() {
                break;
            }
        }
        let mut hash = Sha256::new();
        for value in orders.iter().flat_map(|order| order.iter()) {
            hash.update((value.len() as u64).to_le_bytes());
            hash.update(value.as_bytes());
        }
        let digest = hash.finalize()[..4].iter().map(|byte| format!("{byte:02x}")).collect();
        Places { orders, digest }
    }

    /// The place of a turn, where no wave has a selector.
    pub fn of_turn(&self, turn: &Turn) -> Option<Place> {
        self.place(0, turn)
    }

    /// The place of a node: first those that the selectors of waves select, wave by wave; then by the labels that order
    /// nodes; then by the hash.
    pub fn of_node(&self, state: &NodeState) -> Option<Place> {
        self.place(state.selected, &state.turn)
    }

    fn place(&self, selected: u64, turn: &Turn) -> Option<Place> {
        let order = self.orders.binary_search(&turn.order).ok()? as u64;
        let selected = u64::from(selected.trailing_zeros());
        Some(Place(selected << 56 | order << 40 | turn.shuffle >> 24))
    }
}
