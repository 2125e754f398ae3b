//! The agent of one node: it follows the pods that are bound to the node, and has a task for each.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use everynode_client::{Client, Event, ListWatch};
use everynode_cri::{CriError, Endpoint, Runtime};
use futures::StreamExt;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};
use tokio_util::sync::CancellationToken;

use crate::allotments::Allotments;
use crate::bound::BoundPods;
use crate::context::{Context, NodeFacts};
use crate::events::{self, Events};
use crate::eviction::{self, Eviction, Thresholds};
use crate::image_gc::{self, ImageGc, ImageKeeper};
use crate::kubelet::{Kubelet, ListenError, Server};
use crate::layout::Layout;
use crate::log_keeper;
use crate::node::{self, Registration};
use crate::objects::TokenCache;
use crate::pod_spec::Pod;
use crate::readings::Meter;
use crate::recalled::Recalled;
use crate::runtime::{Cgroups, Lister, Listing, Names};
use crate::static_pods::{self, StaticPods, Wanted};
use crate::worker::{Shown, Told, Worker};

/// The port on which kubelets listen.
pub const KUBELET_PORT: u16 = 10_250;

/// How an agent is set up.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// The node's name.
    pub node_name: String,
    /// Its addresses, the first of each family.
    pub node_ips: Vec<String>,
    /// Where the container runtime listens.
    pub runtime: Endpoint,
    /// Where its kubelet endpoint listens, on any free port where that is 0; nothing: it has no endpoint.
    pub kubelet: Option<SocketAddr>,
    /// The folder of volumes.
    pub root_dir: PathBuf,
    /// The folder of logs.
    pub logs_dir: PathBuf,
    /// The cgroup below which everything runs; empty: the root.
    pub cgroup_root: String,
    /// The cgroups of the machine.
    pub cgroups: Cgroups,
    /// Where names are looked up.
    pub names: Names,
    /// What is said of the node.
    pub registration: Registration,
    /// Pods that run without being asked for by the API.
    pub static_pods: Option<StaticPods>,
    /// What says what the machine has left.
    pub meter: Meter,
    /// When images that nobody uses are taken away.
    pub image_gc: ImageGc,
    /// From when on the machine is short of something, and pods have to go.
    pub eviction_hard: Thresholds,
}

/// Why an agent cannot run.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The container runtime cannot be asked.
    #[error("the container runtime at {endpoint} cannot be used: {cause}")]
    Runtime {
        /// Where it should listen.
        endpoint: Endpoint,
        /// What went wrong.
        cause: CriError,
    },
    /// The kubelet endpoint cannot listen.
    #[error("the kubelet endpoint cannot listen on {address}: {cause}")]
    Kubelet {
        /// Where it should listen.
        address: SocketAddr,
        /// Why not.
        cause: ListenError,
    },
}

/// Between two looks at what the runtime has, for what happens by itself: containers of 1.6 tell nobody.
const LIST_INTERVAL: Duration = Duration::from_secs(1);
/// How long the runtime may take to answer the first questions.
const FIRST_DEADLINE: Duration = Duration::from_secs(10);

/// Runs the agent of a node until it is cancelled. Containers go on after that, and a later agent goes on with them.
///
/// # Errors
/// When the container runtime does not answer in the beginning (later it is waited for), or the kubelet endpoint cannot
/// listen.
pub async fn run(api: Client, config: AgentConfig, cancelled: CancellationToken) -> Result<(), AgentError> {
    let runtime = everynode_cri::Client::new(config.runtime.clone());
    let abilities = Runtime::ask(&runtime, FIRST_DEADLINE).await;
    let abilities =
        abilities.map_err(|cause| AgentError::Runtime { endpoint: config.runtime.clone(), cause })?;
    let server = bind(&api, &config).await?;
    let layout = Layout::new(&config.root_dir, &config.logs_dir);
    let (pressed, pressures) = watch::channel(BTreeSet::new());
    let (events, writing) = Events::new(api.clone(), &config.node_name);
    let allocatable = node::capacity(config.registration.max_pods, &config.root_dir);
    let context = Arc::new(Context {
        node: NodeFacts {
            name: config.node_name.clone(),
            ips: config.node_ips.clone(),
            allocatable: allocatable.clone(),
            kubelet_port: server.as_ref().map_or(0, Server::port),
            memory_bytes: node::memory_bytes(),
            cgroup_root: config.cgroup_root.clone(),
        },
        lister: Arc::new(Lister::new(runtime.clone(), &config.node_name, layout.clone())),
        recalled: Recalled::new(api.clone()),
        api,
        runtime,
        abilities,
        layout,
        names: config.names.clone(),
        meter: config.meter.clone(),
        pressures,
        images: ImageKeeper::new(config.image_gc),
        tokens: TokenCache::default(),
        allotments: Allotments::new(allocatable),
        cgroups: config.cgroups,
        bound: BoundPods::default(),
        events,
        started: Instant::now(),
    });
    let (listed, listings) = watch::channel(Arc::new(Listing::default()));
    let mut tasks = JoinSet::new();
    tasks.spawn(events::run(writing, cancelled.clone()));
    tasks.spawn(node::keep(context.clone(), config.registration, cancelled.clone()));
    tasks.spawn(keep_listing(context.clone(), listed, cancelled.clone()));
    tasks.spawn(log_keeper::keep(context.clone(), listings.clone(), cancelled.clone()));
    let (evicting, evictions) = mpsc::channel(1);
    tasks.spawn(eviction::keep(
        context.clone(),
        config.eviction_hard,
        listings.clone(),
        pressed,
        evicting,
        cancelled.clone(),
    ));
    tasks.spawn(image_gc::keep(context.clone(), cancelled.clone()));
    if let Some(server) = server {
        let kubelet = Kubelet::new(context.clone(), listings.clone(), cancelled.clone());
        tasks.spawn(server.run(Arc::new(kubelet)));
    }
    let node = context.node.name.clone();
    let (statics, following) = static_pods::follow(config.static_pods, node, cancelled.clone()).await;
    tasks.spawn(following);
    let mut pods = Pods {
        context,
        listings,
        statics,
        evictions,
        cancelled,
        known: HashMap::new(),
        mirrors: HashMap::new(),
        workers: JoinSet::new(),
    };
    pods.run().await;
    pods.workers.join_all().await;
    tasks.join_all().await;
    Ok(())
}

/// Has the kubelet endpoint listen, where there is to be one.
async fn bind(api: &Client, config: &AgentConfig) -> Result<Option<Server>, AgentError> {
    let Some(address) = config.kubelet else { return Ok(None) };
    let ips: Vec<IpAddr> = config.node_ips.iter().filter_map(|ip| ip.parse().ok()).collect();
    let now_seconds = api.clock().unix_millis() / 1_000;
    let bound = Server::bind(address, &config.node_name, &ips, api.authorities(), now_seconds).await;
    bound.map(Some).map_err(|cause| AgentError::Kubelet { address, cause })
}

/// Looks at what the runtime has, again and again.
async fn keep_listing(
    context: Arc<Context>,
    listed: watch::Sender<Arc<Listing>>,
    cancelled: CancellationToken,
) {
    let mut ticks = interval(LIST_INTERVAL);
    loop {
        tokio::select! {
            () = cancelled.cancelled() => return,
            _ = ticks.tick() => {}
        }
        match context.lister.list(None).await {
            Ok(listing) => drop(listed.send_replace(Arc::new(listing))),
            Err(error) => tracing::warn!(%error, "the container runtime does not answer"),
        }
    }
}

/// The tasks of all pods of the node.
struct Pods {
    context: Arc<Context>,
    listings: watch::Receiver<Arc<Listing>>,
    /// What the node's own files ask for.
    statics: watch::Receiver<Wanted>,
    evictions: mpsc::Receiver<Eviction>,
    cancelled: CancellationToken,
    /// By uid.
    known: HashMap<String, Known>,
    /// What the API shows of static pods, by the mirrors' uids.
    mirrors: HashMap<String, Mirror>,
    workers: JoinSet<String>,
}

/// An object that shows a static pod.
struct Mirror {
    pod: Arc<Pod>,
    /// It came with the list that is being read.
    is_listed: bool,
}

/// A pod that has a task.
struct Known {
    /// As it was first known: its name never changes.
    pod: Arc<Pod>,
    told: watch::Sender<Told>,
    /// It came with the list that is being read.
    is_listed: bool,
}

impl Pods {
    async fn run(&mut self) {
        let query = format!("fieldSelector=spec.nodeName%3D{}", self.context.node.name);
        let mut pods = ListWatch::new("/api/v1/pods").query(query).run(self.context.api.clone());
        let cancelled = self.cancelled.clone();
        let mut is_complete = false;
        loop {
            tokio::select! {
                () = cancelled.cancelled() => return,
                Some(uid) = self.workers.join_next() => {
                    self.ended(uid);
                    self.keep_static();
                }
                Ok(()) = self.statics.changed() => self.keep_static(),
                Some(eviction) = self.evictions.recv() => self.evict(eviction),
                event = pods.next() => is_complete |= self.take(event),
                // What nobody else knows any more is ended, once everybody who does has spoken.
                Ok(()) = self.listings.changed() => {
                    self.keep_static();
                    if is_complete {
                        self.end_strangers();
                    }
                }
            }
        }
    }

    /// Takes an event; true when all pods of the node have been shown.
    fn take(&mut self, event: Option<Event>) -> bool {
        match event {
            Some(Event::InitialObject(object) | Event::Applied(object)) => {
                match serde_json::from_slice(&object) {
                    Ok(pod) => self.shown(pod, object),
                    Err(error) => tracing::error!(%error, "a pod cannot be read, and is left as it is"),
                }
            }
            Some(Event::Deleted(object)) => {
                if let Ok(pod) = serde_json::from_slice::<Pod>(&object) {
                    self.gone(&pod.metadata.uid);
                }
            }
            Some(Event::Restarted) => {
                self.known.values_mut().for_each(|known| known.is_listed = false);
                self.mirrors.values_mut().for_each(|mirror| mirror.is_listed = false);
            }
            Some(Event::InitialDone(_)) => {
                let known = self.known.iter();
                let known = known.filter(|(_, known)| !known.is_listed && !known.pod.is_static());
                let mirrors = self.mirrors.iter().filter(|(_, mirror)| !mirror.is_listed);
                let gone = known.map(|(uid, _)| uid).chain(mirrors.map(|(uid, _)| uid));
                let gone: Vec<String> = gone.cloned().collect();
                gone.iter().for_each(|uid| self.gone(uid));
                return true;
            }
            Some(Event::Interrupted(error)) => tracing::warn!(%error, "the watch of pods was interrupted"),
            Some(Event::Bookmark(_)) | None => {}
        }
        false
    }

    fn shown(&mut self, pod: Pod, object: Bytes) {
        if pod.mirrors().is_some() {
            return self.mirror_shown(pod, object);
        }
        let uid = pod.metadata.uid.clone();
        let pod = Arc::new(pod);
        self.context.bound.shown(pod.clone(), object);
        match self.known.get_mut(&uid) {
            Some(known) => {
                known.is_listed = true;
                known.told.send_modify(|told| told.shown = Shown::Pod(pod));
            }
            None => self.begin(pod.clone(), Shown::Pod(pod)),
        }
    }

    fn gone(&mut self, uid: &str) {
        self.context.bound.gone(uid);
        if let Some(known) = self.known.get(uid) {
            known.told.send_modify(|told| told.shown = Shown::Gone);
        }
        if let Some(Mirror { pod, .. }) = self.mirrors.remove(uid) {
            self.context.bound.gone(pod.mirrors().unwrap_or_default());
            self.tell_mirror(&pod);
        }
    }

    /// The API shows a static pod. One that nobody wants goes, as if it had been deleted.
    fn mirror_shown(&mut self, mirror: Pod, object: Bytes) {
        let uid = mirror.mirrors().unwrap_or_default().to_owned();
        let mut pod = mirror.clone();
        pod.metadata.uid.clone_from(&uid);
        let (mirror, pod) = (Arc::new(mirror), Arc::new(pod));
        self.context.bound.shown(pod.clone(), object);
        let entry = Mirror { pod: mirror.clone(), is_listed: true };
        self.mirrors.insert(mirror.metadata.uid.clone(), entry);
        let is_wanted = self.statics.borrow().values().any(|wanted| wanted.has_name_of(&mirror));
        if !is_wanted && !self.known.contains_key(&uid) {
            self.begin(pod, Shown::Gone);
        }
        self.tell_mirror(&mirror);
    }

    /// Tells the tasks of pods of this name what the API shows of them.
    fn tell_mirror(&self, pod: &Pod) {
        let mirror = self.mirror_of(pod);
        for known in self.known.values().filter(|known| known.pod.has_name_of(pod)) {
            known.told.send_modify(|told| told.mirror.clone_from(&mirror));
        }
    }

    fn mirror_of(&self, pod: &Pod) -> Option<Arc<Pod>> {
        let mut mirrors = self.mirrors.values().map(|mirror| &mirror.pod);
        mirrors.find(|mirror| mirror.has_name_of(pod)).cloned()
    }

    /// Begins the static pods that are to run, each when the one of its name before it has ended, and ends the others.
    fn keep_static(&mut self) {
        let wanted = self.statics.borrow_and_update().clone();
        let listing = self.listings.borrow().clone();
        // Who ran before is known once the runtime has told.
        if listing.number == 0 {
            return;
        }
        let gone =
            self.known.iter().filter(|(uid, known)| known.pod.is_static() && !wanted.contains_key(*uid));
        let gone: Vec<String> = gone.map(|(uid, _)| uid.clone()).collect();
        gone.iter().for_each(|uid| self.gone(uid));
        for (uid, pod) in wanted.iter().filter(|(uid, _)| !self.known.contains_key(*uid)).collect::<Vec<_>>()
        {
            for (other, owner) in &listing.owners {
                if other != uid && owner.has_name_of(pod) && !self.known.contains_key(other) {
                    self.begin(Arc::new(owner.clone()), Shown::Gone);
                }
            }
            if !self.known.values().any(|known| known.pod.has_name_of(pod)) {
                self.begin(pod.clone(), Shown::Pod(pod.clone()));
            }
        }
    }

    fn evict(&mut self, eviction: Eviction) {
        if let Some(known) = self.known.get(&eviction.uid) {
            known.told.send_modify(|told| told.eviction = Some(eviction.message));
        }
    }

    fn begin(&mut self, pod: Arc<Pod>, shown: Shown) {
        let uid = pod.metadata.uid.clone();
        let mirror = self.mirror_of(&pod);
        let (told, receiver) = watch::channel(Told { shown, eviction: None, mirror });
        self.known.insert(uid.clone(), Known { pod: pod.clone(), told, is_listed: true });
        let worker = Worker::new(self.context.clone(), pod, receiver, self.listings.clone());
        let cancelled = self.cancelled.clone();
        self.workers.spawn(async move {
            worker.run(cancelled).await;
            uid
        });
    }

    fn ended(&mut self, uid: Result<String, tokio::task::JoinError>) {
        match uid {
            Ok(uid) => drop(self.known.remove(&uid)),
            Err(error) => tracing::error!(%error, "the task of a pod ended"),
        }
    }

    /// Pods of this node that the runtime has and the API has not.
    fn end_strangers(&mut self) {
        let listing = self.listings.borrow_and_update().clone();
        for (uid, owner) in &listing.owners {
            if !self.known.contains_key(uid) {
                self.begin(Arc::new(owner.clone()), Shown::Gone);
            }
        }
    }
}
