//! What is looked at before a decision about a conducted roll-out.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::Time;
use crate::ids::{NodeId, PodId};
use crate::slot::Slot;
use crate::tables::Tables;

use super::NodeFailure;
use super::conduct::Conduct;
use super::notes::StoredNotes;
use super::roster::Rules;
use super::spec::PolicyFact;
use super::spot::{Health, Spot, Turn};

/// A node that failed, and why.
pub(super) type Found = (Arc<Turn>, String);

impl Tables {
    /// What was known of the roll-out when the policy was seen first.
    pub(super) fn take_up(&mut self, slot: &Slot, conduct: &mut Conduct, hash: &Arc<str>, now: Time) {
        conduct.is_known = true;
        let policy = conduct.policy.clone();
        let said = policy.status.rollouts.get(&slot.key.name);
        let spots = self.survey(slot, &policy.spec, hash, now);
        let stored = said.map(StoredNotes::read).unwrap_or_default();
        let is_incomplete = stored.is_incomplete();
        if let Some(said) = said {
            conduct.resume(said);
            conduct.notes = stored.resolve(spots.iter().map(Spot::name), now);
        } else {
            conduct.begin(hash, Tables::own_digest(slot), now);
            self.take_old_for_good(slot, conduct, &spots);
            conduct.note_if_on_all(&spots);
        }
        if conduct.hash.as_ref() == Some(hash) {
            conduct.digest = Tables::own_digest(slot);
        }
        // Somebody had it tried again, and these may not have been replaced yet.
        let again_at = conduct.started_at.unwrap_or_default().second();
        let had_failed = |spot: &&Spot| {
            let new = spot.new.filter(|new| !new.ready);
            new.is_some_and(|new| new.created < again_at && new.changed < again_at)
        };
        if conduct.attempt > 0 && !conduct.phase.is_ended() {
            conduct.again = spots.iter().filter(had_failed).map(|spot| spot.name().clone()).collect();
        }
        // Who took these away cannot be told: they count, to be safe, but for what was broken before the roll-out. In a
        // first roll-out nothing is taken away.
        let is_same = conduct.hash.as_ref() == Some(hash);
        let has_old = spots.iter().any(|spot| spot.old.is_some()) || self.has_other_revisions(slot);
        let is_first = is_same && conduct.last_good.is_none() && !has_old;
        let begun = conduct.started_at.unwrap_or_default();
        let is_ours = |spot: &&Spot| {
            let is_excused = is_same && conduct.noted(spot.name()).is_exempt;
            let was_broken = spot.old.is_some_and(|old| old.created < begun);
            !spot.is_available() && spot.health == Health::Well && !is_excused && !was_broken && !is_first
        };
        let ours: Vec<Arc<str>> = spots.iter().filter(is_ours).map(|spot| spot.name().clone()).collect();
        ours.into_iter().for_each(|name| conduct.notes.count_as_taken(name));
        // What the status could not tell of these must not be held against the revision.
        let is_doubtful = |spot: &&Spot| is_incomplete && spot.new.is_some() && !spot.is_available();
        spots.iter().filter(is_doubtful).for_each(|spot| conduct.notes.exempt_node(spot.name().clone()));
    }

    /// Takes the revision that most nodes have, and are not led to, for the last good one.
    pub(super) fn take_old_for_good(&self, slot: &Slot, conduct: &mut Conduct, spots: &[Spot]) {
        conduct.last_good = self.most_common_old(spots);
        let Some(good) = &conduct.last_good else { return };
        conduct.last_good_digest = self.seen_digest(slot, good);
    }

    /// Of the revisions that the nodes have and are not led to, the one that serves on most of them, or else is on most.
    fn most_common_old(&self, spots: &[Spot]) -> Option<Arc<str>> {
        let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for old in spots.iter().filter_map(|spot| spot.old) {
            let hash = self.pods.get(old.id).map_or("", |row| self.labels.hash(row.labels));
            let (serving, made) = counts.entry(hash).or_default();
            (*serving, *made) = (*serving + usize::from(old.ready), *made + 1);
        }
        counts.remove("");
        counts.into_iter().max_by_key(|(_, count)| *count).map(|(hash, _)| hash.into())
    }

    /// Looks at the nodes that something happened to, or at all of them when they are judged in another way; those
    /// that have failed, in turn.
    pub(super) fn look(&mut self, slot: &mut Slot, conduct: &mut Conduct, now: Time) -> Vec<Found> {
        let goal = conduct.goal().cloned().unwrap_or_default();
        let is_back = conduct.phase.is_back();
        let begun = conduct.started_at.unwrap_or_default().second();
        let rules = Rules { goal, surges: self.surges(slot, conduct), is_back, begun };
        if conduct.roster.rules != rules {
            conduct.roster.clear();
            conduct.roster.rules = rules;
        }
        let policy = conduct.policy.clone();
        let is_whole = conduct.roster.is_whole();
        let nodes = match is_whole {
            true => conduct.roster.take_touched(now),
            false => slot.cells.keys().copied().collect(),
        };
        conduct.roster.set_whole();
        let looked = nodes.into_iter().filter_map(|node| self.look_at(slot, conduct, &policy, node, now));
        let mut found: Vec<Found> = looked.collect();
        found.sort();
        if !is_whole {
            self.forget_the_absent(conduct);
        }
        self.forget_strays(slot, conduct);
        if let Some(at) = conduct.roster.next_due() {
            self.wake_slot(slot, at);
        }
        found
    }

    /// Looks at one node; whether it has failed.
    fn look_at(
        &self,
        slot: &Slot,
        conduct: &mut Conduct,
        policy: &PolicyFact,
        node: NodeId,
        now: Time,
    ) -> Option<Found> {
        let known = conduct.roster.spot(node).map(|spot| spot.name().clone());
        let spot = self.spot(slot, &policy.spec, &conduct.roster.rules.goal, node, now);
        // A number is used again for another node.
        if let Some(known) = known.filter(|known| spot.as_ref().is_none_or(|spot| spot.name() != known)) {
            conduct.note_absence(&known);
            conduct.roster.remove(node);
        }
        let spot = spot?;
        conduct.note_service(&spot);
        let (mut reason, mut due) = (None, None);
        if !conduct.phase.is_ended() {
            (reason, due) = conduct.failure(&spot, now);
        }
        if let Some(reason) = reason.clone() {
            conduct.notes.fail(spot.name().clone(), NodeFailure { reason, at: now });
        }
        let turn = spot.turn.clone();
        self.seat(conduct, spot, due);
        reason.map(|reason| (turn, reason))
    }

    /// Works what was done on a node in.
    pub(super) fn look_again(&self, slot: &Slot, conduct: &mut Conduct, node: NodeId, now: Time) {
        let policy = conduct.policy.clone();
        match self.spot(slot, &policy.spec, &conduct.roster.rules.goal, node, now) {
            Some(spot) => self.seat(conduct, spot, None),
            None => conduct.roster.remove(node),
        }
        conduct.roster.touch(node);
    }

    fn seat(&self, conduct: &mut Conduct, spot: Spot, due: Option<Time>) {
        let noted = conduct.noted(spot.name());
        let due = spot.due.into_iter().chain(due).min();
        conduct.roster.set(spot, noted, due);
    }

    /// Nodes that are noted and not eligible any more.
    fn forget_the_absent(&self, conduct: &mut Conduct) {
        let is_here = |conduct: &Conduct, name: &Arc<str>| {
            let spot = self.nodes.find(name).and_then(|node| conduct.roster.spot(node));
            spot.is_some_and(|spot| spot.name() == name)
        };
        let noted = conduct.notes.names();
        let absent: Vec<Arc<str>> = noted.filter(|name| !is_here(conduct, name)).cloned().collect();
        absent.iter().for_each(|name| conduct.note_absence(name));
    }

    /// Nodes that are taken, and gone with all their pods. One that is gone may come back before its pod's deletion is
    /// carried out.
    fn forget_strays(&self, slot: &Slot, conduct: &mut Conduct) {
        let has_pods = |name: &Arc<str>| {
            let cell = self.nodes.find(name).and_then(|node| slot.cells.get(&node));
            cell.is_some_and(|cell| cell.first != PodId::NONE)
        };
        let gone: Vec<Arc<str>> = conduct.strays.iter().filter(|name| !has_pods(name)).cloned().collect();
        for name in gone {
            conduct.strays.remove(&name);
            conduct.notes.give_back(&name);
        }
    }

    /// What is kept of the nodes is what a look at all of them shows.
    #[cfg(debug_assertions)]
    pub(super) fn check_roster(&self, slot: &Slot, conduct: &Conduct, now: Time) {
        // At each decision, of so many nodes, it would take minutes.
        const NODES_LIMIT: usize = 5_000;
        if conduct.roster.len() > NODES_LIMIT {
            return;
        }
        let goal = conduct.roster.rules.goal.clone();
        let mut spots = self.survey(slot, &conduct.policy.spec, &goal, now);
        spots.iter_mut().for_each(|spot| spot.due = None);
        let kept = conduct.roster.in_turn().map(|spot| Spot { due: None, ..spot.clone() });
        assert_eq!(kept.collect::<Vec<Spot>>(), spots, "the roster is not what there is");
        for spot in &spots {
            assert_eq!(conduct.roster.noted(spot.node), Some(conduct.noted(spot.name())), "{}", spot.name());
        }
    }
}
