//! The state of one world: the model server, its faults, the checker, and the trace.

use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use everynode_model::Value;
use tokio::sync::Notify;

use crate::actor::{Actor, Role};
use crate::clock::SimClock;
use crate::faults::Faults;
use crate::injected::Injected;
use crate::model::{Change, Key, Kind, Moved, Refusal, Store, Target, Verb};
use crate::safety::Safety;
use crate::trace::Trace;

/// Where the Lease of controllers is.
pub(crate) const LEASE: (&str, &str) = ("kube-system", "everynode-controller");

/// Everything of a world that is not a task.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) clock: Arc<SimClock>,
    pub(crate) store: Store,
    pub(crate) faults: Faults,
    pub(crate) random: fastrand::Rng,
    pub(crate) safety: Safety,
    pub(crate) trace: Trace,
    pub(crate) injected: Injected,
    /// The kind RolloutPolicy is defined.
    pub(crate) serves_policies: bool,
    /// What went wrong first.
    pub(crate) violation: Option<String>,
    /// Told when something of a kind changes.
    changes: Vec<Arc<Notify>>,
    /// Told of a violation, and of a crash that is due.
    pub(crate) alarm: Arc<Notify>,
    pub(crate) counts: Counts,
}

/// Figures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests of all.
    pub requests: u64,
    /// Lines of watches that were sent.
    pub events: u64,
    /// Writes of controllers that changed something, without Leases and Events.
    pub writes: u64,
    /// Pods that controllers created.
    pub pods_created: u64,
    /// Pods that controllers deleted.
    pub pods_deleted: u64,
    /// Crashes of controllers.
    pub crashes: u64,
}

/// The world as tasks share it. All run in one thread.
pub(crate) type Shared = Arc<Mutex<World>>;

/// Locks the world.
pub(crate) fn lock(shared: &Shared) -> MutexGuard<'_, World> {
    match shared.lock() {
        Ok(world) => world,
        Err(poisoned) => poisoned.into_inner(),
    }
}

impl World {
    /// A world of this seed. It must be made within the runtime that it is to run in.
    pub(crate) fn new(seed: u64, faults: Faults, is_traced: bool) -> World {
        let mut random = fastrand::Rng::with_seed(seed);
        World {
            clock: Arc::new(SimClock::new()),
            store: Store::new(random.u64(..)),
            safety: Safety::new(&faults),
            faults,
            trace: Trace::new(is_traced),
            injected: Injected::default(),
            serves_policies: false,
            violation: None,
            changes: Kind::ALL.iter().map(|_| Arc::default()).collect(),
            alarm: Arc::default(),
            counts: Counts::default(),
            random,
        }
    }

    pub(crate) fn now_millis(&self) -> u64 {
        self.clock.millis()
    }

    pub(crate) fn is_calm(&self) -> bool {
        self.faults.is_over(self.now_millis())
    }

    pub(crate) fn note(&mut self, what: std::fmt::Arguments<'_>) {
        let now = self.now_millis();
        self.trace.add(now, what);
    }

    /// Something that must not be.
    pub(crate) fn violated(&mut self, what: String) {
        self.note(format_args!("VIOLATION {what}"));
        self.violation.get_or_insert(what);
        self.alarm.notify_one();
    }

    pub(crate) fn changes(&self, kind: Kind) -> Arc<Notify> {
        self.changes[kind as usize].clone()
    }

    /// A request leaves its sender for good.
    pub(crate) fn sent(&mut self, actor: &Actor, target: &Target) {
        if actor.is_controller()
            && let Some(what) = self.safety.check_sending(&self.store, target, self.now_millis())
        {
            self.violated(format!("{} {what}", actor.name));
        }
        let Role::Controller { identity: Some(identity) } = &actor.role else { return };
        if !target.verb.is_write() || matches!(target.kind, Kind::Lease | Kind::Event) {
            return;
        }
        let lease = self.store.get(&Key::new(Kind::Lease, LEASE.0, LEASE.1));
        let holder = lease.and_then(|lease| lease["spec"]["holderIdentity"].as_str()).unwrap_or_default();
        if holder != identity {
            let what = format!("{identity} sends {:?} {} while {holder:?} leads", target.verb, target.path());
            self.violated(what);
        }
    }

    /// Carries a write out, as an API server does.
    ///
    /// # Errors
    /// The refusal.
    pub(crate) fn write(
        &mut self,
        actor: &Actor,
        target: &Target,
        content_type: &str,
        body: &[u8],
    ) -> Result<Bytes, Refusal> {
        let clock = self.clock.clone();
        let result = self.store.write(target, content_type, body, &clock);
        match &result {
            Ok(done)
                if !matches!(target.kind, Kind::Lease | Kind::Event | Kind::Node)
                    || actor.role == Role::User =>
            {
                let version = done.change.as_ref().map_or(0, |change| change.version);
                self.note(format_args!("{} {:?} {} -> {version}", actor.name, target.verb, target.path()));
            }
            Err(refusal) => {
                self.note(format_args!(
                    "{} {:?} {} -> {}",
                    actor.name,
                    target.verb,
                    target.path(),
                    refusal.code
                ));
            }
            Ok(_) => {}
        }
        let done = result?;
        if let Some(change) = done.change {
            self.changed(actor, target, &change);
        }
        Ok(done.bytes)
    }

    /// What follows from a change: it is checked, and watchers are told.
    fn changed(&mut self, actor: &Actor, target: &Target, change: &Arc<Change>) {
        if actor.is_controller() && !matches!(change.key.kind, Kind::Lease | Kind::Event) {
            self.counts.writes += 1;
            let is_pod = change.key.kind == Kind::Pod;
            self.counts.pods_created += u64::from(is_pod && change.moved == Moved::Added);
            self.counts.pods_deleted += u64::from(is_pod && target.verb == Verb::Delete);
        }
        let holder = |lease: &Value| lease["spec"]["holderIdentity"].clone();
        let is_taken = change.key.kind == Kind::Lease
            && change.old.as_ref().map(|old| holder(old)) != Some(holder(&change.new));
        if is_taken && (&*change.key.namespace, &*change.key.name) == LEASE {
            self.safety.forget_what_nobody_told(&self.store);
        }
        if let Some(what) = self.safety.check(&self.store, &self.clock, actor, target, change) {
            self.violated(what);
        }
        self.changes[change.key.kind as usize].notify_waiters();
    }

    /// Something that people do: at once, and it may fail as their requests may.
    pub(crate) fn user(&mut self, verb: Verb, key: &Key, subresource: &str, body: &Value) -> bool {
        let target = Target {
            verb,
            kind: key.kind,
            namespace: key.namespace.clone(),
            name: if verb == Verb::Create { String::new() } else { key.name.clone() },
            subresource: subresource.to_owned(),
            selection: Default::default(),
            resource_version: None,
            sends_initial_events: false,
            timeout_seconds: 0,
            limit: usize::MAX,
            continue_token: String::new(),
        };
        let body = body.to_string();
        let merge = everynode_client::content_type::MERGE_PATCH;
        self.write(&Actor::new(Role::User, "user"), &target, merge, body.as_bytes()).is_ok()
    }
}
