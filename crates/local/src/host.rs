//! One task reads the API and drives all cores.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use everynode_client::{Backoff, Client, Collection, Error, Event, ListWatch};
use everynode_model::{AnyObject, Metadata, Node, Pod};
use futures::StreamExt;
use futures::stream::SelectAll;
use serde::Deserialize;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::binder::Binder;
use crate::core::{Core, Fact, Kind, Now, Write};
use crate::disruption::Disruption;
use crate::facts::{Budget, Claim, Lease};
use crate::gc::Collector;
use crate::kinds::{ResourceKind, discover};
use crate::lifecycle::Lifecycle;
use crate::namespaces;
use crate::pod_gc::PodGc;

/// How the loops behave.
#[derive(Debug, Clone)]
pub struct LoopsConfig {
    /// The certificate authority of the API, in PEM: every namespace gets it as ConfigMap `kube-root-ca.crt`.
    pub ca_certificate_pem: String,
    /// How long a node may be silent before it counts as unreachable.
    pub node_grace: Duration,
    /// How long a node may be missing before the pods on it are removed.
    pub missing_node_grace: Duration,
    /// Whether pods are bound to nodes; without, a scheduler does that.
    pub binder: bool,
    /// Whether everything else is done; without, a controller manager does that.
    pub controllers: bool,
    /// Requests under way at one time.
    pub concurrency: usize,
    /// Fixes jitter, for tests.
    pub seed: Option<u64>,
}

impl LoopsConfig {
    /// The times of Kubernetes.
    pub fn new(ca_certificate_pem: impl Into<String>) -> LoopsConfig {
        LoopsConfig {
            ca_certificate_pem: ca_certificate_pem.into(),
            node_grace: Duration::from_secs(40),
            missing_node_grace: Duration::from_secs(40),
            binder: true,
            controllers: true,
            concurrency: 64,
            seed: None,
        }
    }
}

/// Runs all loops until `cancelled`. One that fails is started anew, from what the API shows.
pub async fn loops(client: Client, config: LoopsConfig, cancelled: CancellationToken) {
    let work = async {
        let kinds = kinds(&client).await;
        let config = Arc::new(config);
        let host = supervised("cluster loops", || host(client.clone(), config.clone(), kinds.clone()));
        let ca = config.ca_certificate_pem.clone();
        let spaces = async {
            if config.controllers {
                supervised("namespaces", || namespaces::run(client.clone(), ca.clone())).await;
            }
        };
        tokio::join!(host, spaces);
    };
    tokio::select! {
        biased;
        () = cancelled.cancelled() => {}
        () = work => {}
    }
}

/// The pauses between attempts to read the kinds of the server.
const KINDS_BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));

/// The kinds of the server, asked for until it answers.
async fn kinds(client: &Client) -> Arc<[ResourceKind]> {
    let mut failures = 0;
    loop {
        match discover(client).await {
            Ok(kinds) => return kinds.into(),
            Err(error) => tracing::warn!(%error, "cannot read the kinds of the server"),
        }
        failures += 1;
        tokio::time::sleep(KINDS_BACKOFF.after(failures)).await;
    }
}

/// Runs a loop as a task of its own, and again when it fails.
async fn supervised<F>(name: &str, start: impl Fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        let mut tasks = JoinSet::new();
        tasks.spawn(start());
        if let Some(Err(error)) = tasks.join_next().await {
            tracing::error!(%error, "{name} failed and start anew");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn host(client: Client, config: Arc<LoopsConfig>, kinds: Arc<[ResourceKind]>) {
    Host::new(client, &config, &kinds).run(config.concurrency.max(1)).await;
}

/// How long after a change of a definition the kinds are read again: the server serves them a moment later.
const KINDS_PAUSE: Duration = Duration::from_millis(300);

/// One kind that is followed.
struct Source {
    resource: ResourceKind,
    /// Ends its watch.
    stop: CancellationToken,
    kind: Kind,
    /// The objects known, by uid.
    known: Collection<Box<str>, Known>,
}

impl Source {
    /// Whether it follows this kind, and still does.
    fn follows(&self, kind: &ResourceKind) -> bool {
        let same =
            |a: &ResourceKind, b: &ResourceKind| a.api_version == b.api_version && a.plural == b.plural;
        !self.stop.is_cancelled() && same(&self.resource, kind)
    }
}

struct Known {
    namespace: Box<str>,
    name: Box<str>,
}

struct Host {
    client: Client,
    sources: Vec<Source>,
    events: SelectAll<futures::stream::BoxStream<'static, (usize, Event)>>,
    cores: Vec<Box<dyn Core>>,
    requests: JoinSet<(usize, u64, Result<Bytes, Error>)>,
    /// The kinds of the server being read, after a definition changed.
    discovery: JoinSet<Result<Vec<ResourceKind>, Error>>,
    /// Whether somebody here wants to know of objects of all kinds.
    collects: bool,
    /// A definition changed while the kinds were being read.
    changed_again: bool,
    random: fastrand::Rng,
    started: Instant,
}

impl Host {
    fn new(client: Client, config: &LoopsConfig, kinds: &[ResourceKind]) -> Host {
        let followed: Arc<[ResourceKind]> =
            kinds.iter().filter(|kind| is_followed(kind, config.controllers)).cloned().collect();
        let mut random = config.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        let seeds: Vec<u64> = followed.iter().map(|_| random.u64(..)).collect();
        let mut cores: Vec<Box<dyn Core>> = Vec::new();
        if config.binder {
            cores.push(Box::new(Binder::new(random.fork())));
        }
        if config.controllers {
            cores.push(Box::new(Lifecycle::new(config.node_grace, random.fork())));
            cores.push(Box::new(PodGc::new(config.missing_node_grace, random.fork())));
            cores.push(Box::new(Disruption::new(random.fork())));
            cores.push(Box::new(Collector::new(followed.clone(), random.fork())));
        }
        let mut host = Host {
            client,
            sources: Vec::new(),
            events: SelectAll::new(),
            cores,
            requests: JoinSet::new(),
            discovery: JoinSet::new(),
            collects: config.controllers,
            changed_again: false,
            random,
            started: Instant::now(),
        };
        host.observe(&Fact::Kinds(&followed));
        for (kind, seed) in followed.iter().zip(seeds) {
            host.follow(kind, seed);
        }
        host
    }

    fn follow(&mut self, kind: &ResourceKind, seed: u64) {
        let (index, stop) = (self.sources.len(), CancellationToken::new());
        let stream = ListWatch::new(kind.path()).seed(seed).run(self.client.clone());
        let stream = stream.map(move |event| (index, event)).take_until(stop.clone().cancelled_owned());
        self.events.push(stream.boxed());
        let (special, resource) = (special(kind), kind.clone());
        self.sources.push(Source { resource, stop, kind: special, known: Collection::default() });
    }

    /// Reads the kinds of the server again, a moment from now.
    fn read_kinds(&mut self) {
        if !self.discovery.is_empty() {
            self.changed_again = true;
            return;
        }
        let client = self.client.clone();
        self.discovery.spawn(async move {
            tokio::time::sleep(KINDS_PAUSE).await;
            discover(&client).await
        });
    }

    /// Follows kinds that came, and forgets those that went with their objects.
    fn kinds_read(&mut self, result: Result<Vec<ResourceKind>, Error>) {
        let again = std::mem::take(&mut self.changed_again);
        match result {
            Err(error) => {
                tracing::warn!(%error, "cannot read the kinds of the server");
                return self.read_kinds();
            }
            Ok(kinds) => {
                let all = self.collects;
                let kinds: Vec<ResourceKind> =
                    kinds.into_iter().filter(|kind| is_followed(kind, all)).collect();
                self.forget_all_but(&kinds);
                self.observe(&Fact::Kinds(&kinds));
                let followed = |kind: &ResourceKind, source: &Source| source.follows(kind);
                let new: Vec<ResourceKind> = kinds
                    .into_iter()
                    .filter(|kind| !self.sources.iter().any(|source| followed(kind, source)))
                    .collect();
                for kind in new {
                    let (source, seed) = (self.sources.len(), self.random.u64(..));
                    self.observe(&Fact::KindAdded { source, resource: &kind });
                    self.follow(&kind, seed);
                }
            }
        }
        if again {
            self.read_kinds();
        }
    }

    fn forget_all_but(&mut self, kinds: &[ResourceKind]) {
        for index in 0..self.sources.len() {
            let source = &self.sources[index];
            if source.stop.is_cancelled() || kinds.iter().any(|kind| source.follows(kind)) {
                continue;
            }
            source.stop.cancel();
            // Nothing is known any more that the next listing did not show.
            self.sources[index].known.begin_list();
            self.sweep(index);
            self.observe(&Fact::KindGone { source: index });
        }
    }

    async fn run(&mut self, concurrency: usize) {
        loop {
            let now = self.now();
            self.send(concurrency, now);
            let wake = self.cores.iter().filter_map(|core| core.next_wake()).min();
            let wake = self.started + Duration::from_millis(wake.unwrap_or(u64::from(u32::MAX)));
            tokio::select! {
                biased;
                Some(answer) = self.requests.join_next() => match answer {
                    Ok((core, ticket, result)) => {
                        let now = self.now();
                        self.cores[core].done(ticket, result, now);
                    }
                    Err(error) => tracing::error!(%error, "a request was lost"),
                },
                Some(Ok(result)) = self.discovery.join_next() => self.kinds_read(result),
                Some((source, event)) = self.events.next() => self.event(source, event),
                () = tokio::time::sleep_until(wake) => {}
            }
        }
    }

    /// Sends what the cores want to send, each in turn.
    fn send(&mut self, concurrency: usize, now: Now) {
        for core in &mut self.cores {
            core.wake(now);
        }
        let mut idle = 0;
        let mut turn = 0;
        while self.requests.len() < concurrency && idle < self.cores.len() {
            match self.cores[turn].next_write(now) {
                Some(write) => {
                    idle = 0;
                    self.requests.spawn(request(self.client.clone(), turn, write));
                }
                None => idle += 1,
            }
            turn = (turn + 1) % self.cores.len();
        }
    }

    fn now(&self) -> Now {
        let millis = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Now { millis, wall_seconds: self.client.clock().unix_millis().div_euclid(1000) }
    }

    fn event(&mut self, source: usize, event: Event) {
        if self.sources[source].stop.is_cancelled() {
            return;
        }
        if self.sources[source].kind == Kind::Definitions
            && matches!(event, Event::Applied(_) | Event::Deleted(_))
        {
            self.read_kinds();
        }
        match event {
            Event::InitialObject(object) | Event::Applied(object) => self.object(source, &object, true),
            Event::Deleted(object) => self.object(source, &object, false),
            Event::Restarted => self.sources[source].known.begin_list(),
            Event::InitialDone(_) => self.listed(source),
            Event::Interrupted(error) => tracing::warn!(%error, "a watch was interrupted"),
            Event::Bookmark(_) => {}
        }
    }

    /// Objects that did not come again in a new listing are gone.
    fn listed(&mut self, index: usize) {
        self.sweep(index);
        let kind = self.sources[index].kind;
        self.observe(&Fact::Listed { source: index, kind });
        if kind == Kind::Definitions {
            // One may have come since the kinds were read, or while the watch was interrupted.
            self.read_kinds();
        }
    }

    fn sweep(&mut self, index: usize) {
        for (uid, known) in self.sources[index].known.end_list() {
            let metadata = Metadata {
                name: (&*known.name).into(),
                namespace: (&*known.namespace).into(),
                uid: (&*uid).into(),
                ..Metadata::default()
            };
            self.gone(index, &metadata);
        }
    }

    fn gone(&mut self, index: usize, metadata: &Metadata<'_>) {
        match self.sources[index].kind {
            Kind::Pods => self.observe(&Fact::PodGone(metadata)),
            Kind::Nodes => self.observe(&Fact::NodeGone(metadata)),
            Kind::Budgets => self.observe(&Fact::BudgetGone(metadata)),
            Kind::Claims => self.observe(&Fact::ClaimGone(metadata)),
            Kind::Leases | Kind::Definitions | Kind::Other => {}
        }
        self.observe(&Fact::ObjectGone(metadata));
    }

    fn object(&mut self, index: usize, object: &[u8], exists: bool) {
        match self.sources[index].kind {
            Kind::Pods => {
                if let Some(pod) = read::<Pod<'_>>(object) {
                    self.seen(index, &pod.metadata, exists, &Fact::Pod(&pod));
                }
            }
            Kind::Nodes => {
                if let Some(node) = read::<Node<'_>>(object) {
                    self.seen(index, &node.metadata, exists, &Fact::Node(&node));
                }
            }
            Kind::Leases => {
                if let Some(lease) = read::<Lease<'_>>(object) {
                    self.seen(index, &lease.metadata, exists, &Fact::Lease(&lease));
                }
            }
            Kind::Budgets => {
                if let Some(budget) = read::<Budget<'_>>(object) {
                    self.seen(index, &budget.metadata, exists, &Fact::Budget(&budget));
                }
            }
            Kind::Claims => {
                if let Some(claim) = read::<Claim<'_>>(object) {
                    self.seen(index, &claim.metadata, exists, &Fact::Claim(&claim));
                }
            }
            Kind::Definitions | Kind::Other => {
                if let Some(object) = read::<AnyObject<'_>>(object) {
                    let fact = Fact::Object { source: index, metadata: &object.metadata };
                    self.seen(index, &object.metadata, exists, &fact);
                }
            }
        }
    }

    fn seen(&mut self, index: usize, metadata: &Metadata<'_>, exists: bool, fact: &Fact<'_>) {
        let source = &mut self.sources[index];
        if !exists {
            source.known.remove(&*metadata.uid);
            return self.gone(index, metadata);
        }
        let known = Known { namespace: (*metadata.namespace).into(), name: (*metadata.name).into() };
        source.known.put((*metadata.uid).into(), known);
        self.observe(fact);
        if !matches!(fact, Fact::Object { .. }) {
            self.observe(&Fact::Object { source: index, metadata });
        }
    }

    fn observe(&mut self, fact: &Fact<'_>) {
        let now = self.now();
        for core in &mut self.cores {
            core.observe(fact, now);
        }
    }
}

/// Whether a kind is followed: all that can be collected, or what a binder looks at.
fn is_followed(kind: &ResourceKind, collects: bool) -> bool {
    kind.can_be_collected() && (collects || matches!(special(kind), Kind::Pods | Kind::Nodes | Kind::Claims))
}

fn special(kind: &ResourceKind) -> Kind {
    match (kind.api_version.as_str(), kind.plural.as_str()) {
        ("v1", "pods") => Kind::Pods,
        ("v1", "nodes") => Kind::Nodes,
        ("v1", "persistentvolumeclaims") => Kind::Claims,
        ("coordination.k8s.io/v1", "leases") => Kind::Leases,
        ("policy/v1", "poddisruptionbudgets") => Kind::Budgets,
        ("apiextensions.k8s.io/v1", "customresourcedefinitions") => Kind::Definitions,
        _ => Kind::Other,
    }
}

async fn request(client: Client, core: usize, write: Write) -> (usize, u64, Result<Bytes, Error>) {
    let Write { ticket, method, path, content_type, body } = write;
    (core, ticket, client.request(method, &path, content_type, body.into()).await)
}

fn read<'a, T: Deserialize<'a>>(object: &'a [u8]) -> Option<T> {
    match serde_json::from_slice(object) {
        Ok(value) => Some(value),
        Err(error) => {
            tracing::warn!(%error, "an object of the watch cannot be read");
            None
        }
    }
}
