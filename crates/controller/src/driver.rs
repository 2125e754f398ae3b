//! The one owner of the engine: facts go in, decisions go out.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use everynode_client::{Clock, Event, Uptime};
use everynode_engine::policy::Sampled;
use everynode_engine::{Engine, EngineConfig, Fact, Kind, Time, Work};
use tokio::sync::mpsc::error::SendError;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::decode::{self, Unreadable};
use crate::ingest::{Arrival, KINDS, Relists};
use crate::metrics::{Question, fleet, kind_name};
use crate::policies::AllPolicies;
use crate::samples::{CohortQuestion, Measured};
use crate::served::Served;
use crate::trace::{Exporter, Tracer};
use crate::writer::{Decided, Finished};
use crate::{Health, Metrics};

/// Facts between two decisions.
const BATCH: usize = 256;
/// The longest sleep. Deadlines are times of the wall clock, which may jump; a jump is noticed within this.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
/// The shortest sleep, so that a deadline that stays due cannot take the whole processor.
const SHORTEST_SLEEP: Duration = Duration::from_millis(1);
/// How many objects that cannot be read are remembered, to say so once for each.
const UNREADABLE_REMEMBERED: usize = 1000;
/// A clock that is ahead or behind by less was not set but is being trimmed.
const SET_CLOCK_MILLIS: i64 = 1000;
/// What is missing is said when the first lists take longer than this.
const SLOW_START: Duration = Duration::from_secs(10);

/// The engine and what surrounds it.
pub(crate) struct Driver {
    engine: Engine,
    clock: Arc<dyn Clock>,
    /// Both clocks as they were read last: on the wall in milliseconds, and since the machine was started.
    read: (i64, Uptime),
    served: Served,
    metrics: Metrics,
    health: Health,
    relists: Relists,
    unlisted: Vec<Kind>,
    /// Roll-out policies are not known yet.
    lacks_policies: bool,
    /// When to say what is not listed yet; `None` once that is said or all is listed.
    slow_start: Option<Instant>,
    unreadable: HashSet<(Kind, String)>,
    /// Faults of the engine that were told.
    violations: u64,
    /// When the first event came that no decision has seen yet.
    oldest_event: Option<Instant>,
    /// Decided, and not yet taken by the writer. Nothing more is decided before it is empty.
    outbox: std::vec::IntoIter<Decided>,
    /// What makes traces of roll-outs, and where they go, if somebody wants them.
    traces: Option<(Tracer, Exporter)>,
}

/// The ends of the driver's channels.
pub(crate) struct Channels {
    /// From the watches.
    pub(crate) arrivals: mpsc::Receiver<Arrival>,
    /// From the watch of roll-out policies.
    pub(crate) policies: mpsc::Receiver<AllPolicies>,
    /// What pods take.
    pub(crate) measured: mpsc::Receiver<Measured>,
    /// Which pods are to be measured.
    pub(crate) wanted: watch::Sender<Vec<Sampled>>,
    /// Which of them are worth being measured one by one.
    pub(crate) cohorts: mpsc::Receiver<CohortQuestion>,
    /// From the writer.
    pub(crate) outcomes: mpsc::Receiver<Finished>,
    /// To the writer.
    pub(crate) decided: mpsc::Sender<Decided>,
    /// From scrapers.
    pub(crate) questions: mpsc::Receiver<Question>,
}

impl Driver {
    pub(crate) fn new(
        engine: EngineConfig,
        clock: Arc<dyn Clock>,
        served: Served,
        metrics: Metrics,
        health: Health,
        relists: Relists,
    ) -> Driver {
        Driver {
            engine: Engine::new(engine),
            read: (clock.unix_millis(), clock.uptime()),
            clock,
            served,
            metrics,
            health,
            relists,
            unlisted: KINDS.to_vec(),
            lacks_policies: true,
            slow_start: Some(Instant::now() + SLOW_START),
            unreadable: HashSet::new(),
            violations: 0,
            oldest_event: None,
            outbox: Vec::new().into_iter(),
            traces: None,
        }
    }

    /// With traces of roll-outs from now on.
    pub(crate) fn traced_to(self, exporter: Exporter) -> Driver {
        Driver { traces: Some((Tracer::default(), exporter)), ..self }
    }

    /// Runs until cancelled; then takes the outcomes of what is still under way.
    pub(crate) async fn run(mut self, mut channels: Channels, cancel: CancellationToken) {
        let (mut arrivals, mut finished) = (Vec::with_capacity(BATCH), Vec::with_capacity(BATCH));
        loop {
            let wake_at = self.wake_at();
            let decided = tokio::select! {
                biased;
                () = cancel.cancelled() => break,
                count = channels.outcomes.recv_many(&mut finished, BATCH) => count > 0,
                count = channels.arrivals.recv_many(&mut arrivals, BATCH) => count > 0,
                Some(policies) = channels.policies.recv() => self.observe_policies(policies),
                Some(measured) = channels.measured.recv() => self.observe_measured(&measured),
                Some(question) = channels.cohorts.recv() => self.name_cohort(question),
                Some(question) = channels.questions.recv() => self.answer(question),
                permit = channels.decided.reserve(), if self.outbox.len() > 0 => self.hand_over_one(permit),
                () = tokio::time::sleep_until(wake_at), if self.outbox.len() == 0 => true,
            };
            if !decided {
                break;
            }
            self.health.turn();
            self.notice_a_set_clock();
            self.take_in(&mut arrivals, &mut finished);
            self.say_what_is_missing();
            self.decide(&channels.decided);
            self.want_samples(&channels.wanted);
            self.trace();
        }
        drop(channels.decided);
        channels.arrivals.close();
        while let Some((id, outcome)) = channels.outcomes.recv().await {
            self.observe(Fact::Finished { id, outcome }, self.now());
        }
    }

    /// Tells the figures of the DaemonSets.
    fn answer(&self, question: Question) -> bool {
        // A scraper that has gone needs no answer.
        let _ = question.send(fleet::encode(&self.engine, self.now()));
        true
    }

    /// Tells which pods are worth being measured.
    fn name_cohort(&self, question: CohortQuestion) -> bool {
        // A sampler that has gone needs no answer.
        let _ = question.answer.send(self.engine.cohort(question.daemonset, question.limit));
        true
    }

    /// The clock on the wall may be set at any time; the other one tells how much time has passed.
    fn notice_a_set_clock(&mut self) {
        let now = (self.clock.unix_millis(), self.clock.uptime());
        let (wall, uptime) = std::mem::replace(&mut self.read, now);
        let passed = i64::try_from(now.1.since(uptime).as_millis()).unwrap_or(i64::MAX);
        let by_millis = now.0.saturating_sub(wall).saturating_sub(passed);
        if by_millis.abs() >= SET_CLOCK_MILLIS {
            tracing::warn!("the clock of this machine was set by {} s", by_millis / 1000);
            self.engine.clock_was_set(by_millis);
        }
    }

    fn now(&self) -> Time {
        Time(self.clock.unix_millis())
    }

    fn wake_at(&self) -> Instant {
        let sleep = self.engine.next_deadline().map_or(LONGEST_SLEEP, |deadline| {
            let millis = u64::try_from(deadline.millis_since(self.now())).unwrap_or_default();
            Duration::from_millis(millis).clamp(SHORTEST_SLEEP, LONGEST_SLEEP)
        });
        let wake_at = Instant::now() + sleep;
        self.slow_start.map_or(wake_at, |slow_start| wake_at.min(slow_start))
    }

    /// Takes in what came; the time of the oldest event is kept until the decision.
    fn take_in(&mut self, arrivals: &mut Vec<Arrival>, finished: &mut Vec<Finished>) {
        let now = self.now();
        for (id, outcome) in finished.drain(..) {
            self.observe(Fact::Finished { id, outcome }, now);
        }
        for Arrival { kind, event, at } in arrivals.drain(..) {
            self.oldest_event.get_or_insert(at);
            self.event(kind, event, now);
        }
    }

    fn observe_policies(&mut self, policies: AllPolicies) -> bool {
        self.observe(Fact::Policies(policies), self.now());
        if std::mem::take(&mut self.lacks_policies) {
            self.begin();
        }
        true
    }

    fn observe_measured(&mut self, measured: &Measured) -> bool {
        let now = self.now();
        measured.tell(now, |samples| self.observe(Fact::Samples(samples), now));
        true
    }

    /// Sends the spans that have ended.
    fn trace(&mut self) {
        let now = self.now();
        if let Some((tracer, exporter)) = &mut self.traces {
            exporter.take(tracer.look(&self.engine, now));
        }
    }

    /// Says which pods are to be measured, when these are others than before.
    fn want_samples(&self, wanted: &watch::Sender<Vec<Sampled>>) {
        let sampled = self.engine.sampled();
        wanted.send_if_modified(|known| {
            let is_other = *known != sampled;
            *known = sampled;
            is_other
        });
    }

    fn event(&mut self, kind: Kind, event: Event, now: Time) {
        let version = |text: String| text.parse().unwrap_or_default();
        match event {
            Event::Restarted => {
                if kind == Kind::DaemonSet {
                    self.served.clear();
                }
                self.observe(Fact::RelistBegun(kind), now);
            }
            Event::InitialObject(object) | Event::Applied(object) => self.applied(kind, &object, now),
            Event::Deleted(object) => self.gone(kind, &object, now),
            Event::InitialDone(text) => {
                self.observe(Fact::RelistEnded { kind, resource_version: version(text) }, now);
                self.listed(kind);
            }
            Event::Bookmark(text) => {
                self.observe(Fact::Progress { kind, resource_version: version(text) }, now)
            }
            // Said and counted where the watch is; the state is unaffected.
            Event::Interrupted(_) => {}
        }
    }

    fn applied(&mut self, kind: Kind, object: &[u8], now: Time) {
        let Driver { engine, metrics, served, traces, .. } = self;
        let result = decode::applied(kind, object, |fact| {
            metrics.fact(&fact);
            if let Some((tracer, _)) = traces {
                tracer.fact(&fact);
            }
            if let Fact::DaemonSet(daemonset) = &fact {
                served.keep(daemonset.uid, daemonset.resource_version, object);
            }
            engine.observe(fact, now);
        });
        if let Err(error) = result {
            self.skip(kind, object, &error);
        }
    }

    fn gone(&mut self, kind: Kind, object: &[u8], now: Time) {
        let Driver { engine, metrics, served, .. } = self;
        let result = decode::gone(kind, object, |fact| {
            metrics.fact(&fact);
            if let Fact::DaemonSetGone(uid) = fact {
                served.forget(uid);
            }
            engine.observe(fact, now);
        });
        if let Err(error) = result {
            self.skip(kind, object, &error);
        }
    }

    fn observe(&mut self, fact: Fact<'_>, now: Time) {
        self.metrics.fact(&fact);
        self.engine.observe(fact, now);
    }

    /// Says once for each object that it cannot be read, and goes on without it.
    fn skip(&mut self, kind: Kind, object: &[u8], error: &Unreadable) {
        self.metrics.unreadable(kind);
        if self.unreadable.len() < UNREADABLE_REMEMBERED
            && self.unreadable.insert((kind, decode::name_of(object)))
        {
            let name = decode::name_of(object);
            tracing::warn!(kind = kind_name(kind), name, "skipping an object that cannot be read: {error}");
        }
    }

    fn listed(&mut self, kind: Kind) {
        if self.unlisted.is_empty() {
            return;
        }
        self.unlisted.retain(|one| *one != kind);
        self.begin();
    }

    /// Says that deciding begins, when all is known that it needs.
    fn begin(&mut self) {
        if self.unlisted.is_empty() && !self.lacks_policies {
            self.slow_start = None;
            self.metrics.set_synced(self.now().0);
            self.health.synced();
            tracing::info!("nodes, pods, DaemonSets and their revisions are known; deciding begins");
        }
    }

    fn say_what_is_missing(&mut self) {
        if self.slow_start.is_some_and(|slow_start| Instant::now() >= slow_start) {
            self.slow_start = None;
            let mut missing: Vec<&str> = self.unlisted.iter().map(|kind| kind_name(*kind)).collect();
            missing.extend(self.lacks_policies.then_some(everynode_api::rollout_policy::KIND));
            tracing::warn!("still waiting for the first list of: {}", missing.join(", "));
        }
    }

    /// Decides, unless earlier decisions still wait for the writer, and hands over what it takes.
    fn decide(&mut self, writer: &mpsc::Sender<Decided>) {
        if self.outbox.len() == 0 {
            let decided_at = Instant::now();
            let mut actions = self.engine.decide(self.now());
            self.say_what_was_violated();
            actions.retain(|action| !self.list_anew(&action.work));
            if let Some(event_at) = self.oldest_event.take() {
                self.metrics.decided(event_at.elapsed());
            }
            self.outbox =
                actions.into_iter().map(|action| (action, decided_at)).collect::<Vec<_>>().into_iter();
        }
        while self.outbox.len() > 0
            && let Ok(permit) = writer.try_reserve()
        {
            match self.outbox.next() {
                Some(decided) => permit.send(decided),
                None => break,
            }
        }
    }

    /// The engine has found a fault of its own: it goes on, and people have to know.
    fn say_what_was_violated(&mut self) {
        let found = self.engine.violations();
        let new = found.count - std::mem::replace(&mut self.violations, found.count);
        if let Some(invariant) = found.last.filter(|_| new > 0) {
            self.metrics.violated(new);
            tracing::error!("a fault in everynode itself: this does not hold: {invariant}");
        }
    }

    /// Whether this is no write but a list that the engine wants; then it is asked for.
    fn list_anew(&self, work: &Work) -> bool {
        let Work::Relist(kind) = work else { return false };
        self.metrics.action(work);
        self.relists.ask(*kind);
        true
    }

    /// Hands one decision over; false when the writer is gone.
    fn hand_over_one(&mut self, permit: Result<mpsc::Permit<'_, Decided>, SendError<()>>) -> bool {
        match (permit, self.outbox.next()) {
            (Ok(permit), Some(decided)) => {
                permit.send(decided);
                true
            }
            (permit, _) => permit.is_ok(),
        }
    }
}
