//! The sync of one DaemonSet: what is looked at, in which order.

use everynode_model::LabelSelector;

use crate::actions::{Action, Event, Work};
use crate::base::Time;
use crate::config::Scope;
use crate::mark;
use crate::pod_name::{self, POD_NAMES, PodNames};
use crate::slot::{Slot, Spec};
use crate::slots::Others;
use crate::tables::Tables;

impl Tables {
    /// Looks at one DaemonSet.
    pub(crate) fn run(&mut self, slot: &mut Slot, others: &Others<'_>, now: Time) {
        match self.scope {
            Scope::All => self.sync(slot, others, now),
            Scope::Rollouts | Scope::Nothing => self.follow(slot, now),
        }
    }

    /// Another controller places pods and keeps revisions: what it does is counted and can be explained.
    fn follow(&mut self, slot: &mut Slot, now: Time) {
        self.follow_revision(slot);
        self.evaluate_dirty(slot, now);
        if !slot.rests() {
            self.conduct(slot, now);
        }
    }

    /// The sync of one DaemonSet: the specification's section 0, on what has changed.
    fn sync(&mut self, slot: &mut Slot, others: &Others<'_>, now: Time) {
        if slot.rests() {
            self.evaluate_dirty(slot, now);
            self.warn_of_empty_selector(slot);
            return;
        }
        self.warn_of_pod_names(slot);
        self.claim(slot, now);
        if !self.establish_revision(slot, others, now) {
            return;
        }
        self.evaluate_dirty(slot, now);
        self.manage_deletes(slot, now);
        self.conduct(slot, now);
        self.evaluate_dirty(slot, now);
        let mut asked = self.create(slot, false, now);
        let is_conducted = slot.conduct.is_some() || slot.is_contested;
        if !is_conducted && self.may_roll(slot, now) {
            self.roll_deletes(slot, now);
            asked |= self.create(slot, true, now);
        }
        if !asked && slot.in_flight.creates == 0 && slot.queue(mark::CREATE).is_empty() {
            slot.batch = 1;
        }
        if slot.retries.creates.blocked(now).is_none() && slot.retries.deletes.blocked(now).is_none() {
            self.clean_up_history(slot, now);
        }
        self.update_status(slot, now);
    }

    /// [M6](crate::spec#m6).
    fn warn_of_empty_selector(&mut self, slot: &mut Slot) {
        let key = slot.key.clone();
        let is_new = |spec: &&mut Spec| !spec.warned && !spec.fact.deleting;
        let selects_all = |spec: &&mut Spec| spec.fact.selector == LabelSelector::Everything;
        let Some(spec) = slot.spec.as_mut().filter(is_new).filter(selects_all) else { return };
        spec.warned = true;
        let message = "This daemon set is selecting all pods. A non-empty selector is required.".to_owned();
        let event = Event { warning: true, reason: "SelectingAll", message };
        let id = self.next_id();
        self.out.push(Action { id, daemonset: key, work: Work::RecordEvent(event) });
    }

    /// The annotation for pod names has a value that is not known.
    fn warn_of_pod_names(&mut self, slot: &mut Slot) {
        let is_new = |spec: &&mut Spec| spec.fact.pod_names == PodNames::Unreadable && !spec.warned_of_names;
        let Some(spec) = slot.spec.as_mut().filter(is_new) else { return };
        spec.warned_of_names = true;
        let value = pod_name::annotation(&spec.fact.annotations).unwrap_or_default();
        let message = format!("{POD_NAMES} must be \"node\" and not {value:?}: pods get random names");
        self.record(slot, true, "InvalidPodNames", message);
    }
}
