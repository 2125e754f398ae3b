//! Leader election: of several replicas one works, and only that one writes.

mod lease;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use everynode_client::{Client, Error as ClientError, Fence, Uptime};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::leader::lease::{Candidate, Step};
use crate::{Error, Health, Metrics};

pub use lease::LeaseConfig;

/// A candidate for the leadership.
#[derive(Debug)]
pub struct Election {
    client: Client,
    /// The client for the Lease alone: its requests may not take longer than the term.
    lease_client: Client,
    config: LeaseConfig,
    metrics: Metrics,
    health: Health,
    random: fastrand::Rng,
    candidate: Candidate,
    /// What was said last, to say each thing once.
    said: String,
    /// When the Lease had been renewed before the last renewal of ours, in Unix milliseconds.
    renewed_before: Option<i64>,
}

/// How one attempt at the Lease ended.
enum Attempt {
    /// The Lease is ours, renewed by a request that was sent at this time.
    Ours(Uptime),
    /// Somebody else has it.
    Theirs,
    /// The server did not say.
    Unclear,
}

impl Election {
    /// A candidate that stands for election once it is run.
    ///
    /// # Errors
    /// [`Error::Config`] for times that could let two lead.
    pub fn new(
        client: Client,
        config: LeaseConfig,
        metrics: Metrics,
        health: Health,
    ) -> Result<Election, Error> {
        if let Some(problem) = config.problem() {
            return Err(Error::Config(problem));
        }
        metrics.set_leading(false);
        let client = client.with_observer(Arc::new(metrics.clone()));
        let lease_client = client.clone().with_request_timeout(config.renew_deadline / 2);
        let candidate = Candidate::new(config.clone());
        let random = fastrand::Rng::new();
        Ok(Election {
            client,
            lease_client,
            config,
            metrics,
            health,
            random,
            candidate,
            said: String::new(),
            renewed_before: None,
        })
    }

    /// Waits for the leadership, works while it lasts, and stands again when it was lost, until cancelled. `work` is
    /// called once a term with a client on which nothing is sent after the term, and with a token that is cancelled
    /// when the term ends. The Lease is given up after the work has ended.
    ///
    /// # Errors
    /// The error of `work`, or [`Error::Stopped`] when it ended by itself.
    pub async fn run<F: Future<Output = Result<(), Error>>>(
        mut self,
        cancel: CancellationToken,
        mut work: impl FnMut(Client, CancellationToken) -> F,
    ) -> Result<(), Error> {
        while let Some(fence) = self.acquire(&cancel).await {
            let client = self.client.fenced(fence.clone()).map_err(|e| Error::Stopped(e.to_string()))?;
            let term = cancel.child_token();
            self.metrics.set_leading(true);
            self.health.leading();
            tracing::info!(identity = self.config.identity, "leading");
            let result = self.lead(&fence, &term, work(client, term.clone())).await;
            fence.shut();
            self.metrics.set_leading(false);
            if cancel.is_cancelled() || result.is_err() {
                self.release().await;
                return result;
            }
            self.health.standing_by();
            tracing::warn!(identity = self.config.identity, "the leadership is lost; standing by");
            // A write of that term may still be on its way. Others wait for the Lease to run out before they lead; so
            // does the one that it still names.
            let margin = self.config.lease_duration - self.config.renew_deadline;
            cancel.run_until_cancelled(tokio::time::sleep(margin)).await;
        }
        Ok(())
    }

    /// Renews the Lease beside the work, until that has ended. It is told when the term is over.
    async fn lead(
        &mut self,
        fence: &Fence,
        term: &CancellationToken,
        work: impl Future<Output = Result<(), Error>>,
    ) -> Result<(), Error> {
        tokio::pin!(work);
        let result = tokio::select! {
            biased;
            result = &mut work => result,
            () = self.keep(fence) => {
                fence.shut();
                term.cancel();
                return work.await;
            }
        };
        match result {
            Ok(()) if !term.is_cancelled() => {
                Err(Error::Stopped("the controller ended by itself".to_owned()))
            }
            result => result,
        }
    }

    /// Renews the Lease until the term is over.
    async fn keep(&mut self, fence: &Fence) {
        while fence.is_open() {
            tokio::time::sleep(self.config.retry_period.min(fence.left())).await;
            match timeout(fence.left(), self.attempt()).await {
                Ok(Attempt::Ours(sent)) => {
                    fence.extend(sent.plus(self.config.renew_deadline));
                }
                Ok(Attempt::Theirs) => return,
                Ok(Attempt::Unclear) | Err(_) => {}
            }
        }
    }

    /// Waits until the Lease is ours; `None` when cancelled.
    async fn acquire(&mut self, cancel: &CancellationToken) -> Option<Fence> {
        loop {
            match cancel.run_until_cancelled(self.attempt()).await? {
                Attempt::Ours(sent) => {
                    let fence =
                        Fence::open_until(sent.plus(self.config.renew_deadline), self.client.clock().clone());
                    if fence.is_open() {
                        self.metrics.set_unwatched_since(self.renewed_before);
                        return Some(fence);
                    }
                }
                Attempt::Theirs => {
                    self.health.standing_by();
                    let holder = self.candidate.holder().unwrap_or("another candidate").to_owned();
                    self.say(format!("standing by: {holder} leads"), false);
                }
                Attempt::Unclear => {}
            }
            cancel.run_until_cancelled(tokio::time::sleep(self.pause())).await?;
        }
    }

    /// Candidates that wait do not all come at once.
    fn pause(&mut self) -> Duration {
        self.config.retry_period.mul_f64(1.0 + 1.2 * self.random.f64())
    }

    /// Reads the Lease, unless it is ours as far as known, and takes or renews it when it may be.
    async fn attempt(&mut self) -> Attempt {
        match self.try_attempt().await {
            Ok(attempt) => attempt,
            Err(problem) => {
                // Read it before the next attempt: what is known may be out of date.
                self.candidate.forget();
                self.say(problem, true);
                Attempt::Unclear
            }
        }
    }

    async fn try_attempt(&mut self) -> Result<Attempt, String> {
        if self.candidate.holder() != Some(&self.config.identity) {
            self.read().await?;
        }
        let renewed = self.candidate.renewed_millis();
        let sent = self.now();
        let answer = match self.candidate.step(sent, &self.wall_time()) {
            Step::StandBy => return Ok(Attempt::Theirs),
            Step::Create(body) => self.lease_client.post(&self.config.collection(), body).await,
            Step::Update(body) => self.lease_client.put(&self.config.path(), body).await,
        };
        match answer {
            Ok(lease) => {
                self.candidate.observe(Some(&lease), self.now()).map_err(|e| e.to_string())?;
                self.said.clear();
                self.renewed_before = renewed;
                Ok(Attempt::Ours(sent))
            }
            // Somebody was faster, or wrote to it: what it is now decides.
            Err(error) if error.is_conflict() || error.is_already_exists() || error.is_not_found() => {
                self.read().await?;
                match self.candidate.step(self.now(), "") {
                    Step::StandBy => Ok(Attempt::Theirs),
                    Step::Create(_) | Step::Update(_) => Ok(Attempt::Unclear),
                }
            }
            Err(error) => Err(self.refusal(&error)),
        }
    }

    async fn read(&mut self) -> Result<(), String> {
        let lease: Option<Bytes> = match self.lease_client.get(&self.config.path()).await {
            Ok(lease) => Some(lease),
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(self.refusal(&error)),
        };
        self.candidate.observe(lease.as_deref(), self.now()).map_err(|e| e.to_string())
    }

    fn refusal(&self, error: &ClientError) -> String {
        let LeaseConfig { namespace, name, .. } = &self.config;
        match error.code() {
            Some(403) => format!(
                "cannot use the Lease {namespace}/{name}: {error}; give this user the verbs get, create and update on \
                 leases.coordination.k8s.io in namespace {namespace} and it goes on by itself"
            ),
            Some(404) => {
                format!("cannot use the Lease {namespace}/{name}: {error}; does the namespace exist?")
            }
            _ => format!("cannot use the Lease {namespace}/{name}, trying again: {error}"),
        }
    }

    fn now(&self) -> Uptime {
        self.client.clock().uptime()
    }

    fn wall_time(&self) -> String {
        micro_time(self.client.clock().unix_millis())
    }

    fn say(&mut self, text: String, is_trouble: bool) {
        if self.said != text {
            match is_trouble {
                true => tracing::warn!("{text}"),
                false => tracing::info!("{text}"),
            }
            self.said = text;
        }
    }

    /// Lets others lead at once. When it fails they lead after the lease's duration.
    async fn release(&mut self) {
        if let Some(body) = self.candidate.release(&self.wall_time()) {
            let path = self.config.path();
            let put = self.lease_client.put(&path, body);
            if !matches!(timeout(self.config.retry_period, put).await, Ok(Ok(_))) {
                tracing::debug!("the Lease could not be given up");
            }
        }
    }
}

/// An identity that no other candidate has: the name of this machine or pod, for people, and a random part.
pub fn unique_identity() -> String {
    let file = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let host = std::env::var("HOSTNAME").ok().or_else(file).unwrap_or_default();
    let host = Some(host.trim()).filter(|host| !host.is_empty()).unwrap_or("everynode");
    format!("{host}_{:016x}", fastrand::u64(..))
}

/// RFC 3339 with microseconds, the form of Kubernetes' MicroTime.
fn micro_time(unix_millis: i64) -> String {
    format!("{:.6}", jiff::Timestamp::from_millisecond(unix_millis).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_day_has_six_digits_after_the_point() {
        let text = micro_time(1_767_323_045_678);
        assert_eq!(text, "2026-01-02T03:04:05.678000Z");
    }
}
