//! Whether the controller lives, and whether it does what it is there for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use everynode_client::{Clock, SystemClock, Uptime};

/// The engine's driver wakes at least every 30 seconds; without a turn for this long it hangs.
const LONGEST_TURN: Duration = Duration::from_secs(120);

/// The state of a controller, for probes. Clones share it.
#[derive(Clone, Debug)]
pub struct Health {
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    since: Uptime,
    role: AtomicU8,
    /// Milliseconds after `since` of the driver's last turn.
    turn_millis: AtomicU64,
}

/// What the controller does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Role {
    Starting,
    StandingBy,
    Listing,
    Working,
}

impl Default for Health {
    fn default() -> Health {
        let (role, turn_millis) = (AtomicU8::new(Role::Starting as u8), AtomicU64::new(0));
        Health { state: Arc::new(State { since: SystemClock.uptime(), role, turn_millis }) }
    }
}

impl Health {
    /// Somebody else leads; this replica is ready to take over.
    pub(crate) fn standing_by(&self) {
        self.set(Role::StandingBy);
    }

    /// This replica works from now on; it is not ready before everything has been listed.
    pub(crate) fn leading(&self) {
        self.turn();
        self.set(Role::Listing);
    }

    /// Everything has been listed.
    pub(crate) fn synced(&self) {
        self.set(Role::Working);
    }

    /// The driver has made a turn.
    pub(crate) fn turn(&self) {
        let millis = SystemClock.uptime().since(self.state.since).as_millis();
        self.state.turn_millis.store(u64::try_from(millis).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Whether it is alive; the reason when it is not.
    ///
    /// # Errors
    /// A sentence that says what hangs.
    pub fn alive(&self) -> Result<(), String> {
        let since_turn = SystemClock.uptime().since(self.last_turn());
        match self.is(Role::Listing) || self.is(Role::Working) {
            true if since_turn > LONGEST_TURN => {
                Err(format!("the engine has not had a turn for {} seconds", since_turn.as_secs()))
            }
            _ => Ok(()),
        }
    }

    /// Whether it does what it is there for: it works and has listed everything, or stands by.
    ///
    /// # Errors
    /// A sentence that says what is missing.
    pub fn ready(&self) -> Result<(), String> {
        self.alive()?;
        if self.is(Role::Starting) {
            return Err("waiting for the API server".to_owned());
        }
        if self.is(Role::Listing) {
            return Err(
                "waiting for the first lists of nodes, pods, DaemonSets and their revisions".to_owned()
            );
        }
        Ok(())
    }

    fn last_turn(&self) -> Uptime {
        self.state.since.plus(Duration::from_millis(self.state.turn_millis.load(Ordering::Relaxed)))
    }

    fn set(&self, role: Role) {
        self.state.role.store(role as u8, Ordering::Relaxed);
    }

    fn is(&self, role: Role) -> bool {
        self.state.role.load(Ordering::Relaxed) == role as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_is_ready_when_it_stands_by_and_when_it_works_but_not_before() {
        let health = Health::default();
        assert!(health.alive().is_ok() && health.ready().unwrap_err().contains("API server"));
        health.standing_by();
        assert!(health.ready().is_ok());
        health.leading();
        assert!(health.alive().is_ok() && health.ready().unwrap_err().contains("first lists"));
        health.synced();
        assert!(health.ready().is_ok());
    }
}
