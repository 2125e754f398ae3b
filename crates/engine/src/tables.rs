//! What is known of the world and what was asked of it. The state of each DaemonSet stands above this (`daemonset`):
//! whoever works on one is given these tables beside it.

use std::collections::BTreeSet;

use hashbrown::HashMap;

use crate::actions::{Action, Event, Work};
use crate::assignment::Creating;
use crate::base::{Time, Uid};
use crate::config::{Limits, Scope};
use crate::daemonset::DaemonSetState;
use crate::ids::{ActionId, DaemonSetId, NodeId};
use crate::invariants::Violations;
use crate::labels::LabelSets;
use crate::listing::Listing;
use crate::namespaces::Namespaces;
use crate::nodes::Nodes;
use crate::pending::{Pending, Write};
use crate::pods::Pods;
use crate::policy::Policies;
use crate::timers::{Retry, Timers, Wait, Wake};

/// The tables.
#[derive(Clone, Debug)]
pub(crate) struct Tables {
    pub limits: Limits,
    pub scope: Scope,
    pub nodes: Nodes,
    pub pods: Pods,
    pub labels: LabelSets,
    pub namespaces: Namespaces,
    pub policies: Policies,
    pub timers: Timers,
    pub lists: [Listing; 4],
    /// Writes of DaemonSets whose outcome is awaited.
    pub pending: HashMap<ActionId, Pending>,
    pub unseen: Unseen,
    pub skips: StaleSkips,
    pub violations: Violations,
    /// How far the pods' watch has come.
    pub pods_seen: u64,
    /// How far the revisions' watch has come.
    pub revisions_seen: u64,
    pub revision_stamp: u8,
    /// What was asked for since the last decision.
    pub out: Vec<Action>,
    last_id: u64,
}

/// How often something was left undecided because an own write was not visible yet ([H3](crate::spec#h3)).
/// The counters only rise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StaleSkips {
    /// Nodes of a DaemonSet that were passed over because of a pod that was created, or may have been.
    pub pods: u64,
    /// States of a DaemonSet whose status was passed over because it is older than the one that was written.
    pub daemonsets: u64,
    /// States of a ControllerRevision that were passed over because they are older than the one that was written.
    pub revisions: u64,
}

/// Pods that were created and that the watch has not shown, by uid and by resource version.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unseen {
    pub by_uid: HashMap<Uid, (u64, DaemonSetId, NodeId)>,
    pub by_version: BTreeSet<(u64, Uid)>,
}

impl Tables {
    /// Tables of a world of which nothing is known yet.
    pub fn new(limits: Limits, scope: Scope) -> Self {
        Tables {
            limits,
            scope,
            nodes: Nodes::default(),
            pods: Pods::default(),
            labels: LabelSets::default(),
            namespaces: Namespaces::default(),
            policies: Policies::default(),
            timers: Timers::default(),
            lists: Default::default(),
            pending: HashMap::new(),
            unseen: Unseen::default(),
            skips: StaleSkips::default(),
            violations: Violations::default(),
            pods_seen: 0,
            revisions_seen: 0,
            revision_stamp: 0,
            out: Vec::new(),
            last_id: 0,
        }
    }

    /// Waits for the effect of a write from now on, until it is overdue at the time that is returned.
    pub fn expect(&mut self, wait: Wait, now: Time) -> Time {
        let stale_at = now.plus_millis(self.limits.stale_millis);
        self.timers.set(stale_at, Wake::Stale(wait));
        stale_at
    }

    /// Wakes a DaemonSet at a time.
    pub fn wake_daemonset(&mut self, daemonset: &mut DaemonSetState, at: Time) {
        if at < daemonset.wake {
            daemonset.wake = at;
            self.timers.set(at, Wake::DaemonSet(daemonset.id));
        }
    }

    /// Whether writes of a kind must wait after failures; if so, the DaemonSet is woken when they need not.
    pub fn must_wait(
        &mut self,
        daemonset: &mut DaemonSetState,
        retry: fn(&DaemonSetState) -> &Retry,
        now: Time,
    ) -> bool {
        let blocked = retry(daemonset).blocked(now);
        if let Some(at) = blocked {
            self.wake_daemonset(daemonset, at);
        }
        blocked.is_some()
    }

    /// Asks for a write whose outcome matters.
    pub fn ask(&mut self, daemonset: &DaemonSetState, work: Work, write: Write) {
        let id = self.next_id();
        self.pending.insert(id, Pending { daemonset: daemonset.id, write });
        self.out.push(Action { id, daemonset: daemonset.key.clone(), work });
    }

    /// Asks for an event (1.L), as long as there is something to record it on.
    pub fn record(
        &mut self,
        daemonset: &DaemonSetState,
        warning: bool,
        reason: &'static str,
        message: String,
    ) {
        if daemonset.spec.is_none() {
            return;
        }
        let id = self.next_id();
        let work = Work::RecordEvent(Event { warning, reason, message });
        self.out.push(Action { id, daemonset: daemonset.key.clone(), work });
    }

    pub fn next_id(&mut self) -> ActionId {
        self.last_id += 1;
        ActionId(self.last_id)
    }

    /// A pod that was asked for is not waited for any more.
    pub fn forget_creating(&mut self, daemonset: &mut DaemonSetState, node: NodeId) {
        if let Some(Creating::Unseen { uid, .. }) = daemonset.creating.remove(&node)
            && let Some((version, ..)) = self.unseen.by_uid.remove(&uid)
        {
            self.unseen.by_version.remove(&(version, uid));
        }
    }
}
