//! The task of one pod: it asks the machine for the next step, carries it out, and writes what is to be shown.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use everynode_client::{Backoff, Client, Error, content_type};
use everynode_model::{Value, node_agent};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::ask;
use crate::context::Context;
use crate::events::PodEvent;
use crate::eviction;
use crate::machine::{DueProbe, Next, PodMachine, PodView, ProbeAnswer, Step, StepOutcome, probe_of};
use crate::mirror;
use crate::pod_spec::Pod;
use crate::report;
use crate::resize;
use crate::runtime::Listing;
use crate::steps;

/// How long containers may take to end that have to go because the node runs short.
const EVICTION_GRACE_MILLIS: u64 = 1_000;
/// Between two looks at the objects that volumes are made from.
const REFRESH: Duration = Duration::from_secs(60);
/// Pauses after a status that could not be written.
const REPORT_PAUSES: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
/// Pauses after the runtime did not answer.
const LIST_PAUSES: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));

/// What the API shows of a pod.
#[derive(Debug, Clone)]
pub enum Shown {
    /// The pod.
    Pod(Arc<Pod>),
    /// It is gone.
    Gone,
}

/// What the task of a pod is told.
#[derive(Debug, Clone)]
pub struct Told {
    /// What the API shows of it.
    pub shown: Shown,
    /// Why it has to go, where the node needs the room.
    pub eviction: Option<Arc<str>>,
    /// The object that the API has under the name of a static pod: its own mirror, or one of another pod.
    pub mirror: Option<Arc<Pod>>,
}

/// What came of a step, and what the runtime has after it.
type Done = (Option<(Step, StepOutcome)>, u64, PodView);
type UnderWay = Pin<Box<dyn Future<Output = Done> + Send>>;

/// The task of one pod.
pub struct Worker {
    context: Arc<Context>,
    machine: PodMachine,
    told: watch::Receiver<Told>,
    listings: watch::Receiver<Arc<Listing>>,
    /// The node has taken the pod, or refused to.
    is_admitted: bool,
    /// Containers were yet to get what was allotted to them.
    is_resizing: bool,
    view: PodView,
    /// The number of the listing that the view is of.
    number: u64,
    /// The step, so that it can be dropped, and what is under way.
    step: Option<Step>,
    under_way: Option<UnderWay>,
    probes: JoinSet<(DueProbe, ask::Answer)>,
    reports: JoinSet<(Value, Result<bytes::Bytes, Error>)>,
    written: Option<Value>,
    report_failures: u32,
    report_at: Instant,
    mirroring: JoinSet<Result<(), Error>>,
    mirror_failures: u32,
    mirror_at: Instant,
    refresh_at: Instant,
    refreshes: JoinSet<Result<(), String>>,
}

impl Worker {
    /// Of a pod as the API shows it, or one that only the runtime knows.
    pub fn new(
        context: Arc<Context>,
        pod: Arc<Pod>,
        told: watch::Receiver<Told>,
        listings: watch::Receiver<Arc<Listing>>,
    ) -> Worker {
        let is_prepared = context.layout.pod(&pod.metadata.uid).exists();
        let is_admitted = pod.status.start_time.is_some();
        let machine = PodMachine::new(pod, is_prepared, context.now());
        context.allotments.hold(machine.pod());
        let now = Instant::now();
        Worker {
            context,
            machine,
            told,
            listings,
            is_admitted,
            is_resizing: false,
            view: PodView::default(),
            number: 0,
            step: None,
            under_way: None,
            probes: JoinSet::new(),
            reports: JoinSet::new(),
            written: None,
            report_failures: 0,
            report_at: now,
            mirroring: JoinSet::new(),
            mirror_failures: 0,
            mirror_at: now,
            refresh_at: now + REFRESH,
            refreshes: JoinSet::new(),
        }
    }

    /// Goes on until nothing of the pod is left, or until it is cancelled: then the pod's containers go on alone.
    pub async fn run(mut self, cancelled: CancellationToken) {
        self.take_told();
        // What the runtime has comes first: nothing is made before that is known.
        self.list();
        while let Some(wake) = self.decide() {
            tokio::select! {
                () = cancelled.cancelled() => return,
                done = under_way(&mut self.under_way) => self.done(done),
                Some(Ok((probe, answer))) = self.probes.join_next() => self.answered(&probe, answer),
                Some(Ok((body, result))) = self.reports.join_next() => self.reported(body, &result),
                Some(Ok(result)) = self.mirroring.join_next() => self.mirrored(&result),
                Some(Ok(result)) = self.refreshes.join_next() => self.refreshed(result),
                Ok(()) = self.told.changed() => self.take_told(),
                Ok(()) = self.listings.changed() => self.take_listing(),
                () = sleep_until(wake) => {}
            }
        }
        self.finish(&cancelled).await;
    }

    /// Begins what is to be done now. Returns when to look again; nothing when the pod is gone.
    fn decide(&mut self) -> Option<Instant> {
        let context = self.context.clone();
        let now = context.now();
        let mut waits = vec![];
        self.admit();
        self.resize();
        match &self.step {
            Some(step) if self.machine.drops(step) => {
                self.step = None;
                self.list();
            }
            None if self.under_way.is_none() => match self.machine.next(&self.view, now) {
                Next::Do(step) => self.begin(step),
                Next::Wait(at) => waits.extend(at.map(|at| context.instant(at))),
                Next::Gone => return None,
            },
            _ => {}
        }
        self.keep_mirror();
        self.report();
        self.refresh();
        for probe in self.machine.due_probes(&self.view, now) {
            self.ask(probe);
        }
        let later = [self.machine.next_probe_millis(&self.view), self.machine.next_status_millis(now)];
        waits.extend(later.into_iter().flatten().map(|at| context.instant(at)));
        waits.extend([self.refresh_at].into_iter().filter(|_| self.refreshes.is_empty()));
        waits.extend([self.report_at, self.mirror_at].into_iter().filter(|at| *at > Instant::now()));
        Some(waits.into_iter().min().unwrap_or_else(|| Instant::now() + REFRESH))
    }

    fn begin(&mut self, step: Step) {
        let (context, pod, view) = (self.context.clone(), self.machine.pod().clone(), self.view.clone());
        self.step = Some(step.clone());
        let begun = Instant::now();
        self.under_way = Some(Box::pin(async move {
            let outcome = steps::carry_out(&context, &pod, &view, &step).await;
            let done = begun.elapsed();
            let (number, view) = list(&context, &pod.metadata.uid).await;
            tracing::debug!(pod = %pod.metadata.name, ?step, ?outcome, ?done, listed = ?begun.elapsed());
            (Some((step, outcome)), number, view)
        }));
    }

    /// Asks the runtime what it has, and does nothing before that is known.
    fn list(&mut self) {
        let (context, uid) = (self.context.clone(), self.machine.pod().metadata.uid.clone());
        self.under_way = Some(Box::pin(async move {
            let (number, view) = list(&context, &uid).await;
            (None, number, view)
        }));
    }

    fn done(&mut self, (step, number, view): Done) {
        self.under_way = None;
        self.step = None;
        if number > self.number {
            (self.number, self.view) = (number, view);
        }
        if let Some((step, outcome)) = step {
            self.machine.finish(&step, outcome, self.context.now());
        }
    }

    fn take_told(&mut self) {
        let Told { shown, eviction, .. } = self.told.borrow_and_update().clone();
        let now = self.context.now();
        if let Some(message) = eviction {
            self.evict(&message);
        }
        match shown {
            Shown::Pod(pod) => {
                if pod.metadata.labels != self.machine.pod().metadata.labels
                    || pod.metadata.annotations != self.machine.pod().metadata.annotations
                {
                    self.refresh_at = Instant::now();
                }
                self.machine.observe_pod(pod, now);
            }
            Shown::Gone => self.machine.observe_pod_gone(now),
        }
    }

    /// A pod of which nothing is here yet is refused where the node is short of something. That is asked once.
    fn admit(&mut self) {
        if self.is_admitted || self.under_way.is_some() {
            return;
        }
        self.is_admitted = true;
        let refusal = eviction::refusal(&self.context.pressures.borrow(), self.machine.pod());
        if let Some(message) = refusal.filter(|_| self.view.sandboxes().is_empty()) {
            self.evict(&message);
        }
    }

    /// What the pod asks for now it gets where the node has room for it. Else it is asked again, whenever the runtime was.
    fn resize(&mut self) {
        if !self.has_listed() {
            return;
        }
        if let Some(asked) = self.machine.asks_for_resize().cloned() {
            let answer = self.context.allotments.resize(&asked);
            if self.machine.allot(answer.clone()) {
                resize::tell_answer(&self.context, &asked, &answer);
            }
        }
        let is_resizing = self.machine.is_resizing(&self.view);
        if std::mem::replace(&mut self.is_resizing, is_resizing) && !is_resizing {
            resize::tell_done(&self.context, self.machine.pod());
        }
    }

    /// The runtime was asked at least once: before that nothing is known of containers that may run.
    fn has_listed(&self) -> bool {
        self.number > 0
    }

    fn evict(&mut self, message: &str) {
        if !self.machine.evict(message, EVICTION_GRACE_MILLIS, self.context.now()) {
            return;
        }
        let event = PodEvent { container: "", is_warning: true, reason: "Evicted", message };
        self.context.events.tell(self.machine.pod(), event);
    }

    fn take_listing(&mut self) {
        let listing = self.listings.borrow_and_update().clone();
        if listing.number > self.number {
            self.number = listing.number;
            self.view = listing.pods.get(&self.machine.pod().metadata.uid).cloned().unwrap_or_default();
        }
    }

    fn ask(&mut self, due: DueProbe) {
        let pod = self.machine.pod().clone();
        let (context, address) = (self.context.clone(), self.context.address(&self.view));
        self.probes.spawn(async move {
            let container = pod.spec.container(&due.container);
            let asked = container.and_then(|container| Some((container, probe_of(container, due.kind)?)));
            let answer = match asked {
                Some((container, probe)) => ask::probe(&context, probe, container, &due.id, &address).await,
                None => (ProbeAnswer::Unknown, String::new()),
            };
            (due, answer)
        });
    }

    fn answered(&mut self, probe: &DueProbe, (answer, message): ask::Answer) {
        tracing::debug!(pod = %self.machine.pod().metadata.name, ?probe, ?answer, message);
        if answer == ProbeAnswer::Failure && !probe.is_early {
            let message = format!("{} probe failed: {message}", probe.kind.name());
            let event = PodEvent {
                container: &probe.container,
                is_warning: true,
                reason: "Unhealthy",
                message: &message,
            };
            self.context.events.tell(self.machine.pod(), event);
        }
        self.machine.answer(probe, answer, self.context.now());
    }

    /// Where the pod's object is.
    fn path(&self) -> String {
        let pod = &self.machine.pod().metadata;
        format!("/api/v1/namespaces/{}/pods/{}", pod.namespace, pod.name)
    }

    /// Writes what is to be shown, if that is not what was written last.
    fn report(&mut self) {
        if !self.has_listed() || !self.reports.is_empty() || self.report_at > Instant::now() {
            return;
        }
        let Some(body) = self.owed() else { return };
        let (api, path) = (self.context.api.clone(), self.path());
        self.reports.spawn(async move {
            let result = write_status(&api, &path, &body).await;
            (body, result)
        });
    }

    fn owed(&mut self) -> Option<Value> {
        if matches!(self.told.borrow().shown, Shown::Gone) {
            return None;
        }
        let mirror = match self.machine.pod().is_static() {
            true => Some(self.own_mirror()?),
            false => None,
        };
        let status = self.machine.status(&self.view, self.context.now())?;
        let shown = mirror.as_ref().unwrap_or(self.machine.pod());
        let body = report::patch(shown, &status, &self.context.node.ips);
        (self.written.as_ref() != Some(&body)).then_some(body)
    }

    fn reported(&mut self, body: Value, result: &Result<bytes::Bytes, Error>) {
        match result {
            Ok(_) => {
                tracing::debug!(pod = %self.machine.pod().metadata.name, "its status is written");
                self.report_failures = 0;
                self.written = Some(body);
            }
            // The pod is gone, or another one has its name: the watch will tell.
            Err(error) if error.is_not_found() || error.is_conflict() => self.written = Some(body),
            Err(error) => {
                tracing::warn!(pod = %self.machine.pod().metadata.name, %error, "a status was not written");
                self.report_failures = self.report_failures.saturating_add(1);
                self.report_at = Instant::now() + REPORT_PAUSES.after(self.report_failures);
            }
        }
    }

    /// The object by which the API shows this static pod.
    fn own_mirror(&self) -> Option<Arc<Pod>> {
        let mirror = self.told.borrow().mirror.clone();
        mirror.filter(|mirror| mirror.mirrors() == Some(&*self.machine.pod().metadata.uid))
    }

    /// Sees that the API shows a static pod: as it is, and again when somebody has deleted that.
    fn keep_mirror(&mut self) {
        let Some(object) = self.machine.pod().file.clone() else { return };
        let is_gone = matches!(self.told.borrow().shown, Shown::Gone);
        if is_gone || !self.mirroring.is_empty() || self.mirror_at > Instant::now() {
            return;
        }
        let context = self.context.clone();
        match (self.own_mirror(), self.told.borrow().mirror.clone()) {
            (Some(own), _) if own.metadata.deletion_timestamp.is_none() => {}
            (_, Some(other)) => {
                let (path, uid) = (self.path(), other.metadata.uid.clone());
                self.mirroring.spawn(async move { delete(&context.api, &path, &uid).await });
            }
            (_, None) => drop(self.mirroring.spawn(async move { mirror::create(&context, &object).await })),
        }
    }

    fn mirrored(&mut self, result: &Result<(), Error>) {
        self.mirror_failures = match result {
            Ok(()) => 0,
            Err(error) => {
                // In the beginning the node may not be registered, or the watch not have shown the mirror yet.
                if self.mirror_failures > 0 {
                    let pod = &self.machine.pod().metadata.name;
                    tracing::warn!(pod, %error, "the mirror of a static pod is not kept");
                }
                self.mirror_failures.saturating_add(1)
            }
        };
        // The watch shows it meanwhile.
        self.mirror_at = Instant::now() + REPORT_PAUSES.after(self.mirror_failures.max(1));
    }

    /// Brings files that are made from objects up to date.
    fn refresh(&mut self) {
        if self.refresh_at > Instant::now() {
            return;
        }
        self.refresh_at = Instant::now() + REFRESH;
        let runs = self.view.running().next().is_some() && self.step.is_none();
        if !self.refreshes.is_empty() || !runs {
            return;
        }
        let (context, pod, view) = (self.context.clone(), self.machine.pod().clone(), self.view.clone());
        self.refreshes.spawn(async move { steps::fill_volumes(&context, &pod, &view).await });
    }

    fn refreshed(&mut self, result: Result<(), String>) {
        self.refresh_at = Instant::now() + REFRESH;
        if let Err(message) = result {
            tracing::warn!(pod = %self.machine.pod().metadata.name, message, "volumes are not up to date");
        }
    }

    /// Writes how the pod ended, and then deletes its object, as whoever asked for its deletion waits for.
    async fn finish(mut self, cancelled: &CancellationToken) {
        self.reports.shutdown().await;
        let context = self.context.clone();
        context.allotments.release(&self.machine.pod().metadata.uid);
        let logs = context.layout.logs(self.machine.pod());
        // Logs go with the pod; that they stay does no harm.
        let _ = tokio::fs::remove_dir_all(logs).await;
        let mut failures = 0;
        loop {
            let is_gone = matches!(self.told.borrow_and_update().shown, Shown::Gone);
            let result = match (is_gone, self.own_mirror()) {
                (true, None) => return,
                (true, Some(mirror)) => {
                    delete(&context.api, &self.path(), &mirror.metadata.uid).await.map(|()| true)
                }
                (false, _) => match self.owed() {
                    Some(body) => self.write_last(body).await,
                    None => delete(&context.api, &self.path(), &self.machine.pod().metadata.uid)
                        .await
                        .map(|()| true),
                },
            };
            let pause = match result {
                Ok(true) => return,
                Ok(false) => continue,
                Err(error) => {
                    tracing::warn!(pod = %self.machine.pod().metadata.name, %error, "a pod was not deleted");
                    failures += 1;
                    REPORT_PAUSES.after(failures)
                }
            };
            tokio::select! {
                () = cancelled.cancelled() => return,
                Ok(()) = self.told.changed() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn write_last(&mut self, body: Value) -> Result<bool, Error> {
        let path = self.path();
        match write_status(&self.context.api, &path, &body).await {
            Ok(_) => {
                self.written = Some(body);
                Ok(false)
            }
            Err(error) if error.is_not_found() || error.is_conflict() => Ok(true),
            Err(error) => Err(error),
        }
    }
}

/// Deletes a pod's object at once, if it is still the one of this uid.
async fn delete(api: &Client, path: &str, uid: &str) -> Result<(), Error> {
    match api.delete(path, node_agent::deletion(uid).to_string()).await {
        Err(error) if error.is_not_found() || error.is_conflict() => Ok(()),
        other => other.map(drop),
    }
}

async fn write_status(api: &Client, path: &str, body: &Value) -> Result<bytes::Bytes, Error> {
    api.patch(&format!("{path}/status"), content_type::STRATEGIC_MERGE_PATCH, body.to_string()).await
}

/// What is under way; for ever, where nothing is.
async fn under_way(under_way: &mut Option<UnderWay>) -> Done {
    match under_way {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

/// What the runtime has of a pod, once it answers.
async fn list(context: &Context, uid: &str) -> (u64, PodView) {
    let mut failures = 0;
    loop {
        match context.lister.list(Some(uid)).await {
            Ok(mut listing) => return (listing.number, listing.pods.remove(uid).unwrap_or_default()),
            Err(error) => {
                tracing::warn!(%error, "the container runtime does not answer");
                failures += 1;
                tokio::time::sleep(LIST_PAUSES.after(failures)).await;
            }
        }
    }
}
