//! Controllers that live, crash, and come back.

use everynode_controller::{
    Controller, ControllerConfig, Election, Health, LeaseConfig, Limits, Metrics, Scope,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::actor::{Actor, Part, Role};
use crate::network;
use crate::world::{LEASE, Shared, World, lock};

/// One place where a controller runs.
#[derive(Debug)]
pub(crate) struct Replica {
    number: usize,
    life: u32,
    elects: bool,
    takes_writes_along: bool,
    part: Part,
    limits: Limits,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    actor: Actor,
    metrics: Metrics,
    task: JoinHandle<()>,
}

impl Replica {
    /// A replica that does not run yet. One that elects writes only while it leads.
    pub(crate) fn new(
        number: usize,
        elects: bool,
        takes_writes_along: bool,
        part: Part,
        limits: Limits,
    ) -> Replica {
        Replica { number, life: 0, elects, takes_writes_along, part, limits, running: None }
    }

    /// Begins a new life, unless one goes on.
    pub(crate) fn start(&mut self, shared: &Shared) {
        if self.running.is_some() {
            return;
        }
        self.life += 1;
        let name = format!("controller-{}.{}", self.number, self.life);
        let identity = self.elects.then(|| name.clone());
        let actor = Actor {
            takes_writes_along: self.takes_writes_along,
            part: self.part,
            ..Actor::new(Role::Controller { identity: identity.clone() }, name.clone())
        };
        let mut world = lock(shared);
        let now = world.now_millis();
        world.safety.cut_off(self.number, false, now);
        world.note(format_args!("{name} starts"));
        if !self.elects {
            let World { safety, store, .. } = &mut *world;
            safety.forget_what_nobody_told(store);
        }
        drop(world);
        let metrics = Metrics::new();
        let task = tokio::spawn(work(shared.clone(), actor.clone(), identity, self.limits, metrics.clone()));
        self.running = Some(Running { actor, metrics, task });
    }

    /// Ends the life at once: nothing more is sent, and nothing heard.
    pub(crate) fn crash(&mut self, shared: &Shared) {
        let Some(running) = self.running.take() else { return };
        if running.metrics.violations() > 0 {
            lock(shared).violated(format!("{} has found a fault of its own", running.actor.name));
        }
        if !running.actor.dead.is_cancelled() {
            lock(shared).note(format_args!("{} crashes", running.actor.name));
            running.actor.dead.cancel();
        }
        let mut world = lock(shared);
        let now = world.now_millis();
        world.safety.cut_off(self.number, true, now);
        world.counts.crashes += 1;
        running.task.abort();
    }

    /// Cuts the process off, or lets it go on.
    pub(crate) fn hold(&self, shared: &Shared, held: bool) {
        if let Some(running) = &self.running
            && running.actor.hold.set(held) != held
        {
            let mut world = lock(shared);
            let now = world.now_millis();
            world.safety.cut_off(self.number, held, now);
            world.note(format_args!("{} is {}", running.actor.name, if held { "held" } else { "let go" }));
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running.is_some()
    }
}

async fn work(shared: Shared, actor: Actor, identity: Option<String>, limits: Limits, metrics: Metrics) {
    let client = network::client(&shared, &actor);
    let health = Health::default();
    let scope = if actor.part == Part::Rollouts { Scope::Rollouts } else { Scope::All };
    let config = ControllerConfig {
        scope,
        limits,
        metrics: metrics.clone(),
        health: health.clone(),
        ..ControllerConfig::default()
    };
    let cancel = CancellationToken::new();
    let result = match identity {
        None => Controller::run(client, config, cancel).await,
        Some(identity) => {
            let lease = LeaseConfig::new(LEASE.0, LEASE.1, &identity);
            match Election::new(client, lease, metrics, health) {
                Ok(election) => {
                    election.run(cancel, |client, term| Controller::run(client, config.clone(), term)).await
                }
                Err(error) => Err(error),
            }
        }
    };
    let mut world = lock(&shared);
    world.violated(format!("{} has ended by itself: {result:?}", actor.name));
}
