//! The numbers of status: specification 1.I, from counters.

use crate::actions::Work;
use crate::base::Time;
use crate::daemonset::DaemonSetState;
use crate::facts::Status;
use crate::mark;
use crate::pending::Write;
use crate::tables::Tables;

impl Tables {
    /// Writes status when a number differs from what the API server has or observedGeneration lags
    /// ([I5](crate::spec#i5)); one write at a time, and no faster than the limits allow.
    pub(crate) fn update_status(&mut self, daemonset: &mut DaemonSetState, now: Time) {
        let Some(status) = due(daemonset) else { return };
        if daemonset.in_flight.status > 0
            || self.must_wait(daemonset, |daemonset| &daemonset.retries.status, now)
        {
            return;
        }
        if daemonset.status_not_before > now {
            self.wake_daemonset(daemonset, daemonset.status_not_before);
            return;
        }
        daemonset.status_not_before = now.plus_millis(self.limits.status_interval_millis);
        daemonset.in_flight.status += 1;
        self.ask(daemonset, Work::WriteStatus { status }, Write::Status(status));
    }
}

/// The status that is to be written, when one is.
fn due(daemonset: &DaemonSetState) -> Option<Status> {
    let generation = daemonset.spec.as_ref()?.fact.generation;
    let wanted = live(daemonset);
    let is_stored = wanted == daemonset.stored && daemonset.stored.observed_generation >= generation;
    (!is_stored).then_some(Status { observed_generation: generation, ..wanted })
}

/// The status by the counters; observedGeneration and collisionCount as the API server has them.
pub(crate) fn live(daemonset: &DaemonSetState) -> Status {
    let (desired, available) = (daemonset.count(mark::DESIRED), daemonset.count(mark::AVAILABLE));
    Status {
        observed_generation: daemonset.stored.observed_generation,
        current_number_scheduled: daemonset.count(mark::CURRENT),
        number_misscheduled: daemonset.count(mark::MISSCHEDULED),
        desired_number_scheduled: desired,
        number_ready: daemonset.count(mark::READY),
        updated_number_scheduled: daemonset.count(mark::UPDATED),
        number_available: available,
        number_unavailable: desired - available,
        collision_count: daemonset.stored.collision_count,
    }
}
