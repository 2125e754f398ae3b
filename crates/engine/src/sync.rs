//! The sync of one DaemonSet: what is looked at, in which order.

use everynode_model::LabelSelector;

use crate::actions::{Action, Event, Work};
use crate::base::Time;
use crate::config::Scope;
use crate::daemonset::{DaemonSetState, Spec};
use crate::daemonsets::Others;
use crate::manage;
use crate::mark;
use crate::pod_name::{self, POD_NAMES, PodNames};
use crate::policy::RolloutState;
use crate::rollout;
use crate::tables::Tables;

impl Tables {
    /// Looks at one DaemonSet, whose roll-outs a policy may conduct.
    pub(crate) fn run(
        &mut self,
        daemonset: &mut DaemonSetState,
        rollout: Option<&mut RolloutState>,
        others: &Others<'_>,
        now: Time,
    ) {
        match self.scope {
            Scope::All => self.sync(daemonset, rollout, others, now),
            Scope::Rollouts | Scope::Nothing => self.follow(daemonset, rollout, now),
        }
    }

    /// Another controller places pods and keeps revisions: what it does is counted and can be explained.
    fn follow(&mut self, daemonset: &mut DaemonSetState, mut rollout: Option<&mut RolloutState>, now: Time) {
        self.follow_revision(daemonset);
        self.evaluate_dirty(daemonset, rollout.as_deref_mut(), now);
        if let Some(rollout) = rollout.filter(|_| !daemonset.rests()) {
            self.advance_rollout(daemonset, rollout, now);
        }
    }

    /// The sync of one DaemonSet: the specification's section 0, on what has changed.
    fn sync(
        &mut self,
        daemonset: &mut DaemonSetState,
        mut rollout: Option<&mut RolloutState>,
        others: &Others<'_>,
        now: Time,
    ) {
        if daemonset.rests() {
            self.evaluate_dirty(daemonset, rollout, now);
            self.warn_of_empty_selector(daemonset);
            return;
        }
        self.warn_of_pod_names(daemonset);
        self.claim(daemonset, now);
        if !self.establish_revision(daemonset, others, now) {
            return;
        }
        self.evaluate_dirty(daemonset, rollout.as_deref_mut(), now);
        self.manage_deletes(daemonset, rollout.as_deref_mut(), now);
        if let Some(rollout) = rollout.as_deref_mut() {
            self.advance_rollout(daemonset, rollout, now);
            self.evaluate_dirty(daemonset, Some(rollout), now);
        }
        let mut asked = self.create(daemonset, rollout.as_deref_mut(), manage::next_create, now);
        if rollout.is_none() && !daemonset.is_contested && self.may_roll(daemonset, now) {
            self.roll_deletes(daemonset, now);
            asked |= self.create(daemonset, None, rollout::next_create, now);
        }
        if !asked && daemonset.in_flight.creates == 0 && daemonset.queue(mark::CREATE).is_empty() {
            daemonset.batch = 1;
        }
        if daemonset.retries.creates.blocked(now).is_none()
            && daemonset.retries.deletes.blocked(now).is_none()
        {
            self.clean_up_history(daemonset, rollout.as_deref(), now);
        }
        self.update_status(daemonset, now);
    }

    /// [M6](crate::spec#m6).
    fn warn_of_empty_selector(&mut self, daemonset: &mut DaemonSetState) {
        let key = daemonset.key.clone();
        let is_new = |spec: &&mut Spec| !spec.warned && !spec.fact.deleting;
        let selects_all = |spec: &&mut Spec| spec.fact.selector == LabelSelector::Everything;
        let Some(spec) = daemonset.spec.as_mut().filter(is_new).filter(selects_all) else { return };
        spec.warned = true;
        let message = "This daemon set is selecting all pods. A non-empty selector is required.".to_owned();
        let event = Event { warning: true, reason: "SelectingAll", message };
        let id = self.next_id();
        self.out.push(Action { id, daemonset: key, work: Work::RecordEvent(event) });
    }

    /// The annotation for pod names has a value that is not known.
    fn warn_of_pod_names(&mut self, daemonset: &mut DaemonSetState) {
        let is_new = |spec: &&mut Spec| spec.fact.pod_names == PodNames::Unreadable && !spec.warned_of_names;
        let Some(spec) = daemonset.spec.as_mut().filter(is_new) else { return };
        spec.warned_of_names = true;
        let value = pod_name::annotation(&spec.fact.annotations).unwrap_or_default();
        let message = format!("{POD_NAMES} must be \"node\" and not {value:?}: pods get random names");
        self.record(daemonset, true, "InvalidPodNames", message);
    }
}
