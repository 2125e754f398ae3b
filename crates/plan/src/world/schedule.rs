//! The scheduler of the model: which node has room for a pod, and for which pods others go.

use std::collections::HashMap;

use everynode_engine::fit::{Demand, Misfit, Room};

use super::{NodeState, World};
use crate::model::Model;

impl World<'_> {
    /// As the scheduler: puts a pod on its node if it fits there.
    pub(super) fn bind(&mut self, index: u32) {
        let pod = &self.pods[index as usize];
        let (Some(node), false, false) = (pod.node, pod.bound, pod.is_gone) else { return };
        if pod.made.as_ref().is_some_and(|made| !self.model.is_run(&made.scheduler)) {
            return;
        }
        let demand = pod.demand.clone();
        let excluded = pod.made.as_ref().and_then(|made| self.model.exclusion(node, &made.placement));
        let state = &mut self.nodes[node as usize];
        if excluded.is_some() {
            state.misfit = excluded;
            state.waiting.push(index);
            return;
        }
        state.misfit = state.room.misfit(&demand);
        if state.misfit.is_some() && !push_out(state, &demand, self.model) {
            state.waiting.push(index);
            return;
        }
        state.misfit = None;
        if self.model.is_never_bound(node) {
            return;
        }
        state.room.add(&demand);
        let pod = &mut self.pods[index as usize];
        (pod.bound, pod.counted) = (true, true);
        self.changed(index);
        if self.model.nodes[node as usize].is_up {
            self.start(index);
        }
    }

    /// Of nodes that keep their old pod, those on which the new one would not fit in its place, or beside it with
    /// surge.
    pub fn unfit(&self, nodes: &[u32]) -> Vec<(u32, Misfit)> {
        let model = self.model;
        let mut rooms: HashMap<u32, Room> =
            nodes.iter().map(|node| (*node, self.nodes[*node as usize].room.clone())).collect();
        let stays = model.daemonset.strategy.allows_surge();
        for pod in self.pods.iter().filter(|pod| pod.counted && !pod.is_gone && !stays) {
            if let Some(room) = pod.node.and_then(|node| rooms.get_mut(&node)) {
                room.remove(&pod.demand);
            }
        }
        let unfit = |node: &u32| {
            let room = rooms.get(node)?;
            let placement = model.made.as_ref().ok().map(|made| &made.placement);
            if let Some(misfit) = placement.and_then(|placement| model.exclusion(*node, placement)) {
                return Some((*node, misfit));
            }
            let others = &self.nodes[*node as usize].others;
            let misfit = room.misfit(&model.demand)?;
            room_of_lower(room, others, &model.demand, model).is_none().then_some((*node, misfit))
        };
        nodes.iter().filter_map(unfit).collect()
    }
}

/// As the scheduler: other pods of lower priority go when the pod fits without them.
fn push_out(state: &mut NodeState, demand: &Demand, model: &Model) -> bool {
    let Some((room, pushed_out)) = room_of_lower(&state.room, &state.others, demand, model) else {
        return false;
    };
    state.room = room;
    let own = model.made.as_ref().map_or(0, |made| made.priority);
    state.others.retain(|(priority, ..)| *priority >= own);
    state.pushed_out += pushed_out;
    true
}

/// The room without the pods of lower priority, and how many these are; `None` when the pod does not fit even so.
fn room_of_lower(
    room: &Room,
    others: &[(i32, i64, Demand)],
    demand: &Demand,
    model: &Model,
) -> Option<(Room, i64)> {
    let Ok(made) = &model.made else { return None };
    let lower = || others.iter().filter(|(priority, ..)| *priority < made.priority);
    if !made.preempts || lower().next().is_none() {
        return None;
    }
    let mut room = room.clone();
    let mut pushed_out = 0;
    for (_, pods, demand) in lower() {
        room.remove(demand);
        room.add_pods(1 - pods);
        pushed_out += pods;
    }
    room.misfit(demand).is_none().then_some((room, pushed_out))
}
