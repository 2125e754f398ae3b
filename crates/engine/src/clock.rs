//! The clock that times come from was set.

use crate::assignment::Creating;
use crate::base::Time;
use crate::daemonset::DaemonSetState;
use crate::engine::Engine;
use crate::timers::AT_ONCE;

impl Engine {
    /// The clock that `now` comes from was set, forward or back, by so much: what is waited for comes after as long
    /// as it would have without that. Times that others have written, such as those of pods, stay as they are.
    pub fn clock_was_set(&mut self, by_millis: i64) {
        self.tables.timers.clock_was_set(by_millis);
        for listing in &mut self.tables.lists {
            listing.clock_was_set(by_millis);
        }
        self.tables.policies.clock_was_set(by_millis);
        for daemonset in self.daemonsets.iter_mut() {
            daemonset.clock_was_set(by_millis);
        }
        for (_, rollout) in self.daemonsets.rollouts_mut() {
            rollout.clock_was_set(by_millis);
        }
        for (_, namespace) in self.tables.namespaces.iter_mut() {
            namespace.revisions.values_mut().for_each(|row| row.claims.clock_was_set(by_millis));
        }
        // When a node of a roll-out is late hangs on its pod's times.
        self.activate_rollouts();
    }
}

impl DaemonSetState {
    fn clock_was_set(&mut self, by_millis: i64) {
        let shift = |time: &mut Time| {
            // The ends of time stand for never and always.
            if !matches!(time.0, i64::MIN | i64::MAX) {
                *time = time.plus_millis(by_millis);
            }
        };
        shift(&mut self.wake);
        shift(&mut self.status_not_before);
        self.claim_at.iter_mut().for_each(shift);
        for assignment in self.assignments.values_mut().filter(|assignment| assignment.wake != Time(i64::MAX))
        {
            assignment.wake = AT_ONCE;
        }
        self.failed.values_mut().for_each(|backoff| shift(&mut backoff.updated));
        self.refused.values_mut().for_each(|refusal| shift(&mut refusal.until));
        self.churn.values_mut().for_each(|churn| shift(&mut churn.last));
        self.unanswered.values_mut().for_each(|unanswered| shift(&mut unanswered.stale_at));
        for creating in self.creating.values_mut() {
            match creating {
                Creating::InFlight => {}
                Creating::Unseen { stale_at: at, .. }
                | Creating::Unknown { stale_at: at, .. }
                | Creating::Taken { until: at } => shift(at),
            }
        }
        let retries = &mut self.retries;
        [
            &mut retries.creates,
            &mut retries.deletes,
            &mut retries.patches,
            &mut retries.history,
            &mut retries.status,
        ]
        .into_iter()
        .filter_map(|retry| retry.not_before.as_mut())
        .for_each(shift);
    }
}
