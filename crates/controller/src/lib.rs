//! The DaemonSet controller: watches, the engine, and the writer.
//!
//! ```text
//! watches --Arrival--> driver (owns the engine) --Action--> writer --HTTP--> API server
//!                        ^------------Outcome-----------------'  '--Event--> recorder
//! ```
//!
//! [`Controller::run`] starts four parts that talk over bounded channels. The `ingest` tasks follow one kind each and
//! pass bytes on; `policies` follows roll-out policies, and passes on all of them. The `driver` decodes them into borrowed facts, is the only one to touch the engine, and never
//! waits for the writer: while that one is behind, the driver goes on observing and only stops deciding. The
//! `writer` makes a bounded number of writes at a time, in turns between DaemonSets, and reports how each ended. The
//! `events` lane sends events with what is left.
//!
//! Nothing here decides about pods, and no typed pod is kept in memory.

mod api;
pub mod decode;
mod driver;
mod endpoints;
mod events;
mod health;
mod ingest;
mod leader;
mod metrics;
mod policies;
mod samples;
mod served;
mod server;
mod trace;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use everynode_api::rollout_policy;
use everynode_client::{Client, ListWatch};
use everynode_engine::EngineConfig;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use endpoints::Endpoints;
pub use everynode_engine::{Limits, Scope};
pub use health::Health;
pub use leader::{Election, LeaseConfig, unique_identity};
pub use metrics::Metrics;
pub use samples::SamplerConfig;
pub use server::wait_for_server;
pub use trace::TraceSettings;

use crate::api::Api;
use crate::driver::{Channels, Driver};
use crate::events::Recorder;
use crate::ingest::{KINDS, Relists};
use crate::samples::Ends;
use crate::served::Served;
use crate::trace::Exporter;
use crate::writer::Writer;

/// Events of watches that may wait for the engine.
const ARRIVALS: usize = 1024;
/// Sets of policies that may wait for the engine; each replaces those before it.
const POLICIES: usize = 4;
/// Lists of samples that may wait for the engine.
const SAMPLES: usize = 4;
/// Decisions that may wait to be taken in by the writer, and outcomes by the engine.
const WRITES: usize = 1024;

/// How a controller works.
#[derive(Clone, Debug)]
pub struct ControllerConfig {
    /// Only the DaemonSets of this namespace; `None` means all.
    pub namespace: Option<String>,
    /// Writes under way at a time, at least 1.
    pub workers: usize,
    /// The limit on writes per second; `None` means none.
    pub rate_limit: Option<WriteRate>,
    /// What it is responsible for.
    pub scope: Scope,
    /// How long a watch may be silent before it is opened anew. API servers send a bookmark each minute.
    pub watch_silence: Duration,
    /// The engine's own limits.
    pub limits: Limits,
    /// Whom an analysis asks what pods take.
    pub sampler: SamplerConfig,
    /// Where traces of roll-outs go; nowhere without.
    pub traces: Option<TraceSettings>,
    /// Where the figures go; keep a clone to read them.
    pub metrics: Metrics,
    /// Where the state for probes goes; keep a clone to read it.
    pub health: Health,
}

/// A limit on the rate of writes, events included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WriteRate {
    /// Writes per second in the long run, above 0.
    pub qps: f64,
    /// Writes at once after a pause, at least 1.
    pub burst: u32,
}

impl Default for ControllerConfig {
    fn default() -> Self {
        ControllerConfig {
            namespace: None,
            workers: 64,
            rate_limit: None,
            scope: Scope::All,
            watch_silence: Duration::from_secs(150),
            limits: Limits::default(),
            sampler: SamplerConfig::default(),
            traces: None,
            metrics: Metrics::new(),
            health: Health::default(),
        }
    }
}

/// Why a controller did not run, or ran no longer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration makes no sense.
    #[error("{0}")]
    Config(&'static str),
    /// The API server refuses what it is asked before anything else.
    #[error("the API server refuses this user: {0}")]
    Server(#[source] everynode_client::Error),
    /// A part of the controller ended that should have gone on.
    #[error("a part of the controller has stopped: {0}")]
    Stopped(String),
}

/// The DaemonSet controller.
#[derive(Debug)]
pub struct Controller;

impl Controller {
    /// Keeps the DaemonSets of a cluster until cancelled. Unreachable servers, refusals and broken watches are waited
    /// out. After cancellation nothing more is begun, and writes that are under way get some seconds to end.
    ///
    /// Dropping the future stops everything at once.
    ///
    /// # Errors
    /// [`Error::Config`] at once for a configuration that makes no sense; [`Error::Stopped`] when a part of the
    /// controller has failed.
    pub async fn run(
        client: Client,
        config: ControllerConfig,
        cancel: CancellationToken,
    ) -> Result<(), Error> {
        check(&config)?;
        let ControllerConfig {
            namespace,
            workers,
            rate_limit,
            scope,
            watch_silence,
            limits,
            sampler: sampler_config,
            traces,
            metrics,
            health,
        } = config;
        let client = client.with_observer(Arc::new(metrics.clone()));
        health.leading();
        let write_client = match rate_limit {
            Some(WriteRate { qps, burst }) => client.clone().with_rate_limit(qps, burst),
            None => client.clone(),
        };
        let api = Api::new(write_client);
        let (served, relists) = (Served::default(), Relists::default());
        let (arrivals_in, arrivals) = mpsc::channel(ARRIVALS);
        let (decided, intake) = mpsc::channel(WRITES);
        let (outcomes_in, outcomes) = mpsc::channel(WRITES);
        let (recorder, lane) = Recorder::new(api.clone(), client.clock().clone(), metrics.clone());
        let writer = Writer::new(api, served.clone(), recorder, metrics.clone(), workers, outcomes_in);
        let engine = EngineConfig { scope, limits, waits_for_policies: true };
        let driver =
            Driver::new(engine, client.clock().clone(), served, metrics.clone(), health, relists.clone());

        let mut parts = JoinSet::new();
        for kind in KINDS {
            let list = ListWatch::new(ingest::path(kind, namespace.as_deref())).stall_timeout(watch_silence);
            let arrivals = arrivals_in.clone();
            let (client, metrics, relists) = (client.clone(), metrics.clone(), relists.clone());
            let watch = ingest::follow(kind, list, client, metrics, relists, arrivals, cancel.clone());
            parts.spawn(named("a watch", watch));
        }
        drop(arrivals_in);
        let (policies_in, policies) = mpsc::channel(POLICIES);
        let list =
            ListWatch::new(rollout_policy::collection(namespace.as_deref())).stall_timeout(watch_silence);
        let watch = policies::follow(list, client.clone(), metrics.clone(), policies_in, cancel.clone());
        parts.spawn(named("the watch of policies", watch));
        let (wanted, wanted_samples) = watch::channel(Vec::new());
        let (measured_in, measured) = mpsc::channel(SAMPLES);
        let (cohorts_in, cohorts) = mpsc::channel(SAMPLES);
        let ends = Ends { wanted: wanted_samples, cohorts: cohorts_in, measured: measured_in };
        let sampler = samples::follow(client.clone(), ends, sampler_config, cancel.clone());
        parts.spawn(named("the sampler", sampler));
        parts.spawn(named("the lane of events", lane.run(cancel.clone())));
        parts.spawn(named("the writer", writer.run(intake, cancel.clone())));
        let driver = match traces {
            Some(settings) => {
                let (exporter, sending) = Exporter::new(settings);
                // It ends with the driver, which has the exporter.
                tokio::spawn(sending);
                driver.traced_to(exporter)
            }
            None => driver,
        };
        let channels = Channels {
            arrivals,
            policies,
            measured,
            wanted,
            cohorts,
            outcomes,
            decided,
            questions: metrics.questions(),
        };
        parts.spawn(named("the engine's driver", driver.run(channels, cancel.clone())));
        wait(parts, &cancel).await
    }
}

fn check(config: &ControllerConfig) -> Result<(), Error> {
    if config.workers == 0 {
        return Err(Error::Config("the controller needs at least one worker"));
    }
    match config.rate_limit {
        Some(rate) if !(rate.qps > 0.0 && rate.burst > 0) => {
            Err(Error::Config("the limit on writes per second and its burst must be above 0"))
        }
        _ => Ok(()),
    }
}

async fn named(name: &'static str, part: impl Future<Output = ()>) -> &'static str {
    part.await;
    name
}

/// Waits until all parts have ended, which they do when cancelled. When one ends before that, the others end too.
async fn wait(mut parts: JoinSet<&'static str>, cancel: &CancellationToken) -> Result<(), Error> {
    while let Some(ended) = parts.join_next().await {
        match ended {
            Err(error) => return Err(Error::Stopped(error.to_string())),
            Ok(name) if !cancel.is_cancelled() => {
                return Err(Error::Stopped(format!("{name} ended by itself")));
            }
            Ok(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_that_cannot_work_is_refused() {
        let default = ControllerConfig::default;
        assert!(check(&default()).is_ok());
        assert!(check(&ControllerConfig { workers: 0, ..default() }).is_err());
        for (qps, burst, is_good) in
            [(20.0, 30, true), (0.0, 30, false), (f64::NAN, 1, false), (1.0, 0, false)]
        {
            let config = ControllerConfig { rate_limit: Some(WriteRate { qps, burst }), ..default() };
            assert_eq!(check(&config).is_ok(), is_good, "{qps} {burst}");
        }
    }
}
