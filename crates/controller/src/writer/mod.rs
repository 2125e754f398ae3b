//! Carries out what the engine asks for.

mod bodies;
mod body;
mod complaints;
mod execute;
mod queue;
mod refusal;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use everynode_engine::{Action, ActionId, Failure, Outcome, Work};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Metrics;
use crate::api::Api;
use crate::events::Recorder;
use crate::metrics::work_kind;
use crate::served::Served;
use crate::writer::bodies::PodBodies;
use crate::writer::complaints::{Cause, Complaints};
use crate::writer::execute::{Ended, Executor};
use crate::writer::queue::{Job, Queue};

/// How long writes that are under way may take to end after cancellation.
const GRACE: Duration = Duration::from_secs(5);
/// How often a write is put back when the server asks to wait, before that counts as a failure.
const PUT_BACK_LIMIT: u32 = 10;
/// Actions taken in at a time.
const BATCH: usize = 256;

/// An action, and when it was decided.
pub(crate) type Decided = (Action, Instant);
/// How an action ended.
pub(crate) type Finished = (ActionId, Outcome);

/// A write that ended: the job, when it began, and how it ended.
type Ending = (Job, Instant, Ended);

/// The writer. It reports each action exactly once, whatever happens to it; events, which nobody waits for, not at
/// all.
pub(crate) struct Writer {
    executor: Executor,
    recorder: Recorder,
    metrics: Metrics,
    workers: usize,
    queue: Queue,
    complaints: Complaints,
    running: FuturesUnordered<BoxFuture<'static, Ending>>,
    in_flight: HashSet<ActionId>,
    outcomes: mpsc::Sender<Finished>,
}

impl Writer {
    /// A writer that makes `workers` writes at a time and reports to `outcomes`.
    pub(crate) fn new(
        api: Api,
        served: Served,
        recorder: Recorder,
        metrics: Metrics,
        workers: usize,
        outcomes: mpsc::Sender<Finished>,
    ) -> Writer {
        Writer {
            executor: Executor { api, served, pod_bodies: PodBodies::default(), may_adopt: Arc::default() },
            recorder,
            metrics,
            workers,
            queue: Queue::default(),
            complaints: Complaints::default(),
            running: FuturesUnordered::new(),
            in_flight: HashSet::new(),
            outcomes,
        }
    }

    /// Runs until cancelled, or until nobody asks any more and all is done.
    pub(crate) async fn run(mut self, mut intake: mpsc::Receiver<Decided>, cancel: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut is_open = true;
        while is_open || !self.running.is_empty() || self.queue.len() > 0 {
            self.begin();
            let resumes_at = self.queue.resumes_at(Instant::now());
            tokio::select! {
                biased;
                () = cancel.cancelled() => break,
                Some(ending) = self.running.next() => self.end(ending).await,
                taken = intake.recv_many(&mut batch, BATCH), if is_open => {
                    is_open = taken > 0;
                    batch.drain(..).for_each(|decided| self.take_in(decided));
                }
                () = sleep_until(resumes_at), if resumes_at.is_some() => {}
            }
        }
        self.stop(intake).await;
    }

    fn take_in(&mut self, (action, decided): Decided) {
        self.metrics.action(&action.work);
        if let Work::RecordEvent(event) = action.work {
            return self.recorder.record(action.daemonset, event);
        }
        self.metrics.queued();
        self.queue.push(Job { action, decided, put_back: 0 });
    }

    /// Begins as many writes as may be under way.
    fn begin(&mut self) {
        let now = Instant::now();
        while self.running.len() < self.workers {
            let Some(job) = self.queue.take(now) else { break };
            self.metrics.write_began(job.action.id.0, now, now - job.decided);
            self.in_flight.insert(job.action.id);
            let executor = self.executor.clone();
            self.running.push(Box::pin(async move {
                let ended = executor.execute(&job.action).await;
                (job, now, ended)
            }));
        }
        self.metrics.set_depth(self.queue.len());
    }

    async fn end(&mut self, (mut job, began, ended): Ending) {
        let now = Instant::now();
        self.left(job.action.id);
        if let Some(pause) = ended.retry_after.filter(|_| job.put_back < PUT_BACK_LIMIT) {
            job.put_back += 1;
            self.metrics.put_back();
            self.complain(&job.action, Cause::Load, &format!("it asks to wait for {pause:?}"));
            return self.queue.put_back(job, now, pause);
        }
        self.metrics.write_ended(now - began, now - job.decided);
        match &ended.outcome {
            Outcome::Failed { message, .. } => self.complain(&job.action, ended.cause, message),
            _ if self.complaints.ended() => tracing::info!("the API server takes writes again"),
            _ => {}
        }
        self.report(job.action.id, ended.outcome).await;
    }

    /// Says why a write failed, once for each cause; the engine tries it again.
    fn complain(&mut self, action: &Action, cause: Cause, text: &str) {
        match self.complaints.about(action, cause, text, Instant::now()) {
            Some(complaint) => tracing::warn!("{complaint}"),
            None => tracing::debug!(work = work_kind(&action.work), "failed again: {text}"),
        }
    }

    /// A write is not under way any more.
    fn left(&mut self, id: ActionId) {
        self.in_flight.remove(&id);
        self.metrics.write_left(id.0);
    }

    async fn report(&mut self, id: ActionId, outcome: Outcome) {
        // Nobody listens any more only when the engine is gone.
        let _ = self.outcomes.send((id, outcome)).await;
    }

    /// Begins nothing more, and gives what is under way a little time.
    async fn stop(mut self, mut intake: mpsc::Receiver<Decided>) {
        intake.close();
        while let Ok(decided) = intake.try_recv() {
            self.take_in(decided);
        }
        let waiting: Vec<ActionId> = self.queue.drain().map(|job| job.action.id).collect();
        for id in waiting {
            self.report(id, stopped(Failure::Refused)).await;
        }
        let deadline = tokio::time::sleep(GRACE);
        tokio::pin!(deadline);
        loop {
            tokio::select! {
                biased;
                ending = self.running.next() => match ending {
                    Some((job, _, ended)) => {
                        self.left(job.action.id);
                        self.report(job.action.id, ended.outcome).await;
                    }
                    None => break,
                },
                () = &mut deadline => break,
            }
        }
        for id in std::mem::take(&mut self.in_flight) {
            self.metrics.write_left(id.0);
            self.report(id, stopped(Failure::Unknown)).await;
        }
    }
}

fn stopped(failure: Failure) -> Outcome {
    Outcome::Failed { failure, message: "the controller is stopping".to_owned() }
}

async fn sleep_until(deadline: Option<Instant>) {
    if let Some(deadline) = deadline {
        tokio::time::sleep_until(deadline).await;
    }
}

#[cfg(test)]
mod tests;
