//! The numbers of status: specification 1.I, from counters.

use crate::actions::Work;
use crate::base::Time;
use crate::facts::Status;
use crate::mark;
use crate::pending::Write;
use crate::slot::Slot;
use crate::tables::Tables;

impl Tables {
    /// Writes status when a number differs from what the API server has or observedGeneration lags
    /// ([I5](crate::spec#i5)); one write at a time, and no faster than the limits allow.
    pub(crate) fn update_status(&mut self, slot: &mut Slot, now: Time) {
        let Some(status) = due(slot) else { return };
        if slot.in_flight.status > 0 || self.must_wait(slot, |slot| &slot.retries.status, now) {
            return;
        }
        if slot.status_not_before > now {
            self.wake_slot(slot, slot.status_not_before);
            return;
        }
        slot.status_not_before = now.plus_millis(self.limits.status_interval_millis);
        slot.in_flight.status += 1;
        self.ask(slot, Work::WriteStatus { status }, Write::Status(status));
    }
}

/// The status that is to be written, when one is.
fn due(slot: &Slot) -> Option<Status> {
    let generation = slot.spec.as_ref()?.fact.generation;
    let wanted = live(slot);
    let is_stored = wanted == slot.stored && slot.stored.observed_generation >= generation;
    (!is_stored).then_some(Status { observed_generation: generation, ..wanted })
}

/// The status by the counters; observedGeneration and collisionCount as the API server has them.
pub(crate) fn live(slot: &Slot) -> Status {
    let (desired, available) = (slot.count(mark::DESIRED), slot.count(mark::AVAILABLE));
    Status {
        observed_generation: slot.stored.observed_generation,
        current_number_scheduled: slot.count(mark::CURRENT),
        number_misscheduled: slot.count(mark::MISSCHEDULED),
        desired_number_scheduled: desired,
        number_ready: slot.count(mark::READY),
        updated_number_scheduled: slot.count(mark::UPDATED),
        number_available: available,
        number_unavailable: desired - available,
        collision_count: slot.stored.collision_count,
    }
}
