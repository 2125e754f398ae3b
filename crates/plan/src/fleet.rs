//! A cluster in memory, as far as some DaemonSets depend on it.

use std::collections::{BTreeSet, HashMap, HashSet};

use everynode_admission::Kind;
use everynode_client::Client;
use everynode_engine::policy::PolicyFact;
use serde_json::Value;

use crate::collect::{CollectError, collect_parts};
use crate::file::{self, FileError, Header};
use crate::mask::Mask;
use crate::policy::trust_masked;
use crate::record::{Need, Node, Pod, Record, Revision, Taken, Unseen};
use crate::shared::Shared;
use crate::spread::Spread;
use crate::surroundings::Surroundings;
use crate::usage::PodUsage;

/// The first format of snapshots that keeps all that decides about new pods.
const FORMAT_WITH_SURROUNDINGS: u32 = 3;
/// Start times that are kept of pods of other DaemonSets.
const SAMPLES: usize = 10_000;
/// With fewer start times of its own pods than this, a DaemonSet's are taken from all DaemonSets' pods.
const OWN_SAMPLES: usize = 10;
/// A pod that became ready later than this after its creation was held up by something else than its start.
const LONGEST_START_SECONDS: i64 = 3600;

/// A cluster at one time.
#[derive(Clone, Debug)]
pub struct Fleet {
    /// When it was read, in Unix milliseconds.
    pub taken_at_millis: i64,
    /// How environment values are hidden.
    pub mask: Mask,
    /// The nodes, by name.
    pub nodes: Vec<Node>,
    /// All DaemonSets.
    pub daemonsets: Vec<Value>,
    /// The pods of the DaemonSets in question, and those in their namespaces that nobody controls.
    pub pods: Vec<Pod>,
    /// What all other pods take.
    pub taken: Vec<Taken>,
    /// The revisions of the DaemonSets in question, and those in their namespaces that nobody controls.
    pub revisions: Vec<Revision>,
    /// The objects that decide about new pods in their namespaces.
    pub surroundings: Surroundings,
    /// Schedulers beside the default one that have put a pod on a node.
    pub schedulers: BTreeSet<String>,
    /// The roll-out policies of their namespaces.
    pub policies: Vec<PolicyFact>,
    /// What pods used, where that was sampled.
    pub usage: Vec<PodUsage>,
    /// What could not be read.
    pub unseen: Vec<Unseen>,
    starts: Vec<i64>,
}

/// Which DaemonSets a fleet is read for: of these the pods and revisions are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// All. Where the whole cluster must not be listed, those of this namespace are read.
    All(&'a str),
    /// Those of this namespace.
    Namespace(&'a str),
    /// Those of these namespaces and names.
    Named(&'a [(String, String)]),
}

impl Wanted<'_> {
    /// The namespace that is read where the whole cluster must not be listed.
    fn namespace(&self) -> Option<&str> {
        match self {
            Wanted::All(namespace) | Wanted::Namespace(namespace) => Some(namespace),
            Wanted::Named(names) => names.first().map(|(namespace, _)| namespace.as_str()),
        }
    }

    /// Whether something of a namespace is wanted.
    fn has_namespace(&self, namespace: &str) -> bool {
        match self {
            Wanted::All(_) => true,
            Wanted::Namespace(wanted) => *wanted == namespace,
            Wanted::Named(names) => names.iter().any(|(wanted, _)| wanted == namespace),
        }
    }

    /// Whether a DaemonSet is wanted.
    fn has(&self, namespace: &str, name: &str) -> bool {
        match self {
            Wanted::Named(names) => names.iter().any(|(ns, wanted)| ns == namespace && wanted == name),
            _ => self.has_namespace(namespace),
        }
    }
}

impl<'a, const N: usize> From<&'a [(String, String); N]> for Wanted<'a> {
    fn from(names: &'a [(String, String); N]) -> Self {
        Wanted::Named(names)
    }
}

impl<'a> From<&'a Vec<(String, String)>> for Wanted<'a> {
    fn from(names: &'a Vec<(String, String)>) -> Self {
        Wanted::Named(names)
    }
}

/// Who takes the pods that a fleet would keep.
pub type TakePod<'a> = dyn FnMut(Pod) + Send + 'a;

/// Where the start times of a plan come from.
#[derive(Clone, Debug, PartialEq)]
pub struct Starts {
    /// The times.
    pub spread: Spread,
    /// A clause that says where they come from.
    pub origin: String,
}

impl Fleet {
    /// Reads a cluster.
    ///
    /// # Errors
    /// [`CollectError`]: something without which nothing can be said could not be read.
    pub async fn from_cluster<'a>(
        client: &Client,
        wanted: impl Into<Wanted<'a>>,
        salt: &str,
    ) -> Result<Fleet, CollectError<std::convert::Infallible>> {
        Fleet::read_cluster(client, Builder::new(wanted.into(), Mask::new(salt), 0), true).await
    }

    /// As [`Fleet::from_cluster`], and without the nodes where they may not be read.
    ///
    /// # Errors
    /// As there.
    pub async fn from_part_of_cluster<'a>(
        client: &Client,
        wanted: impl Into<Wanted<'a>>,
    ) -> Result<Fleet, CollectError<std::convert::Infallible>> {
        Fleet::read_cluster(client, Builder::new(wanted.into(), Mask::new(""), 0), false).await
    }

    /// As [`Fleet::from_part_of_cluster`], with the pods that it would keep handed to `take`.
    ///
    /// # Errors
    /// As there.
    pub async fn from_part_of_cluster_apart(
        client: &Client,
        wanted: Wanted<'_>,
        take: &mut TakePod<'_>,
    ) -> Result<Fleet, CollectError<std::convert::Infallible>> {
        let builder = Builder { apart: Some(take), ..Builder::new(wanted, Mask::new(""), 0) };
        Fleet::read_cluster(client, builder, false).await
    }

    async fn read_cluster(
        client: &Client,
        mut builder: Builder<'_>,
        nodes_needed: bool,
    ) -> Result<Fleet, CollectError<std::convert::Infallible>> {
        builder.fleet.taken_at_millis = client.clock().unix_millis();
        let (mask, wanted) = (builder.fleet.mask.clone(), builder.wanted);
        let mut sink = |record| {
            builder.take(record);
            Ok(())
        };
        let unseen = collect_parts(client, &mask, wanted.namespace(), nodes_needed, &mut sink).await?;
        Ok(builder.finish(unseen))
    }

    /// Reads a snapshot file.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn from_file<'a>(
        file: impl std::io::Read,
        wanted: impl Into<Wanted<'a>>,
    ) -> Result<Fleet, FileError> {
        Fleet::read_file(file, Builder::new(wanted.into(), Mask::new(""), 0))
    }

    /// As [`Fleet::from_file`], with the pods that it would keep handed to `take`. What it was given counts
    /// only when this succeeds.
    ///
    /// # Errors
    /// As there.
    pub fn from_file_apart(
        file: impl std::io::Read,
        wanted: Wanted<'_>,
        take: &mut TakePod<'_>,
    ) -> Result<Fleet, FileError> {
        Fleet::read_file(file, Builder { apart: Some(take), ..Builder::new(wanted, Mask::new(""), 0) })
    }

    fn read_file(file: impl std::io::Read, mut builder: Builder<'_>) -> Result<Fleet, FileError> {
        let builder_cell = std::cell::RefCell::new(&mut builder);
        let format = std::cell::Cell::new(file::VERSION);
        let begin = |header: &Header| {
            format.set(header.format);
            let mut builder = builder_cell.borrow_mut();
            builder.fleet.mask = Mask::new(header.salt.clone());
            builder.fleet.taken_at_millis = header.taken_at * 1000;
        };
        let mut unseen = file::read(file, begin, |record| builder_cell.borrow_mut().take(record))?;
        if format.get() < FORMAT_WITH_SURROUNDINGS {
            let is_new = |kind: &Kind| !matches!(kind, Kind::PriorityClass | Kind::ResourceQuota);
            let why = format!("the snapshot has format {}, which keeps none", format.get());
            let kinds = Kind::ALL.into_iter().filter(is_new);
            unseen.extend(kinds.map(|kind| Unseen::all(kind.plural(), why.clone())));
        }
        Ok(builder.finish(unseen))
    }

    /// A fleet made of records.
    pub fn from_records<'a>(
        records: impl IntoIterator<Item = Record>,
        wanted: impl Into<Wanted<'a>>,
        taken_at_millis: i64,
    ) -> Fleet {
        let mut builder = Builder::new(wanted.into(), Mask::new(""), taken_at_millis);
        records.into_iter().for_each(|record| builder.take(record));
        builder.finish(Vec::new())
    }

    /// All objects of a kind that are asked for could be read.
    pub fn sees(&self, resource: &str) -> bool {
        !self.unseen.iter().any(|unseen| unseen.resource == resource)
    }

    /// No object of a kind could be read.
    pub fn misses(&self, resource: &str) -> bool {
        self.unseen.iter().any(|unseen| unseen.resource == resource && !unseen.is_elsewhere)
    }

    /// The objects that decide about new pods. Of kinds that could not be seen every one is taken as there.
    pub fn view(&self) -> Surroundings {
        let is_unseen = |kind: &Kind| self.misses(kind.plural());
        let mut view = self.surroundings.clone();
        Kind::ALL.into_iter().filter(is_unseen).for_each(|kind| view.miss(kind));
        view
    }

    /// The DaemonSet of this name.
    pub fn daemonset(&self, namespace: &str, name: &str) -> Option<&Value> {
        let is = |object: &&Value| {
            object["metadata"]["namespace"] == namespace && object["metadata"]["name"] == name
        };
        self.daemonsets.iter().find(is)
    }

    /// How long pods of a DaemonSet take from creation to Ready.
    pub fn starts(&self, daemonset_uid: &str) -> Starts {
        let own = self.pods.iter().filter(|pod| pod.daemon_set.as_deref() == Some(daemonset_uid));
        let own: Vec<i64> = own.filter_map(start_millis).collect();
        let count = own.len();
        if count >= OWN_SAMPLES
            && let Some(spread) = Spread::observed(own)
        {
            return Starts { spread, origin: format!("learned from {count} of its pods") };
        }
        match Spread::observed(self.starts.clone()) {
            Some(spread) if self.starts.len() >= OWN_SAMPLES => Starts {
                spread,
                origin: format!("learned from {} pods of all DaemonSets", self.starts.len()),
            },
            _ => Starts {
                spread: Spread::LogNormal { p50_millis: 20_000, p99_millis: 120_000 },
                origin: "assumed: the fleet has too few pods to learn from; see --start".to_owned(),
            },
        }
    }
}

/// How long a pod took from its creation to Ready, if that can be told.
fn start_millis(pod: &Pod) -> Option<i64> {
    let seconds = pod.ready_since.filter(|_| pod.ready && pod.restarts == 0)? - pod.created;
    (0..=LONGEST_START_SECONDS).contains(&seconds).then_some(seconds * 1000)
}

struct Builder<'a> {
    fleet: Fleet,
    wanted: Wanted<'a>,
    apart: Option<&'a mut TakePod<'a>>,
    wanted_uids: HashSet<String>,
    shared: Shared,
    sums: HashMap<(String, i32), Taken>,
}

impl<'a> Builder<'a> {
    fn new(wanted: Wanted<'a>, mask: Mask, taken_at_millis: i64) -> Builder<'a> {
        Builder {
            fleet: Fleet {
                taken_at_millis,
                mask,
                nodes: Vec::new(),
                daemonsets: Vec::new(),
                pods: Vec::new(),
                taken: Vec::new(),
                revisions: Vec::new(),
                surroundings: Surroundings::default(),
                schedulers: BTreeSet::new(),
                policies: Vec::new(),
                usage: Vec::new(),
                unseen: Vec::new(),
                starts: Vec::new(),
            },
            wanted,
            apart: None,
            wanted_uids: HashSet::new(),
            shared: Shared::default(),
            sums: HashMap::new(),
        }
    }

    /// Takes a record; DaemonSets come before all others.
    fn take(&mut self, record: Record) {
        match record {
            Record::DaemonSet(object) => {
                let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default();
                let (namespace, name) = (text("namespace"), text("name"));
                if self.wanted.has(namespace, name) {
                    self.wanted_uids.insert(text("uid").to_owned());
                }
                self.fleet.daemonsets.push(object);
            }
            Record::Revision(one) => {
                let is_wanted = match one.daemon_set.as_str() {
                    "" => self.wanted.has_namespace(&one.namespace),
                    uid => self.wanted_uids.contains(uid),
                };
                self.fleet.revisions.extend(Some(one).filter(|_| is_wanted));
            }
            Record::Node(mut node) => {
                self.shared.node(&mut node);
                self.fleet.nodes.push(node);
            }
            Record::Pod(pod) => self.take_pod(*pod),
            Record::Taken(Taken { node, priority, pods, need, schedulers }) => {
                self.fleet.schedulers.extend(schedulers);
                self.add(node, priority, pods, &need);
            }
            Record::Quota(quota) => self.take_around(Kind::ResourceQuota, quota.into_object()),
            Record::PriorityClass(class) => self.take_around(Kind::PriorityClass, class.into_object()),
            Record::Around(kind, object) => self.take_around(kind, object),
            Record::Usage(usage) => {
                let is_wanted = self.wanted.has_namespace(&usage.namespace);
                self.fleet.usage.extend(Some(usage).filter(|_| is_wanted));
            }
            Record::RolloutPolicy(object) => {
                let policy = PolicyFact::from_json(&object);
                self.fleet
                    .policies
                    .extend(policy.filter(|one| self.wanted.has_namespace(&one.key.namespace)));
            }
        }
    }

    fn take_around(&mut self, kind: Kind, object: Value) {
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
        if !kind.is_namespaced() || self.wanted.has_namespace(namespace) {
            self.fleet.surroundings.insert(kind, object);
        }
    }

    fn take_pod(&mut self, mut pod: Pod) {
        if pod.bound && !pod.scheduler.is_empty() {
            self.fleet.schedulers.insert(pod.scheduler.clone());
        }
        if pod.daemon_set.is_some()
            && self.fleet.starts.len() < SAMPLES
            && let Some(millis) = start_millis(&pod)
        {
            self.fleet.starts.push(millis);
        }
        let is_kept = match &pod.daemon_set {
            Some(uid) => self.wanted_uids.contains(&**uid),
            None => self.wanted.has_namespace(&pod.namespace),
        };
        if is_kept {
            self.shared.pod(&mut pod);
        }
        let phase = pod.phase();
        match pod.node {
            _ if is_kept => match &mut self.apart {
                Some(take) => take(pod),
                None => self.fleet.pods.push(pod),
            },
            Some(node) if pod.bound && !phase.is_terminal() => {
                self.add(node.to_string(), pod.priority, 1, &pod.need)
            }
            _ => {}
        }
    }

    fn add(&mut self, node: String, priority: i32, pods: i64, need: &Need) {
        let new = || Taken { node: node.clone(), priority, ..Taken::default() };
        self.sums.entry((node.clone(), priority)).or_insert_with(new).add(pods, need);
    }

    fn finish(mut self, unseen: Vec<Unseen>) -> Fleet {
        self.fleet.nodes.sort_by(|a, b| a.name.cmp(&b.name));
        self.fleet.taken = self.sums.into_values().collect();
        self.fleet.taken.sort_by(|a, b| (&a.node, a.priority).cmp(&(&b.node, b.priority)));
        self.fleet.unseen = unseen;
        let Fleet { policies, revisions, .. } = &mut self.fleet;
        policies.iter_mut().for_each(|policy| trust_masked(policy, revisions));
        self.fleet
    }
}
