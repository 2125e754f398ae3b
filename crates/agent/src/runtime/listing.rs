//! What the runtime has of the pods of this node.
//!
//! Every listing is numbered when it is begun. Whoever has done something takes only listings that were begun after
//! it: an older one does not show it yet.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use everynode_cri::messages::{
    Container, ContainerFilter, ContainerState as State, ContainerStatus, ContainerStatusRequest,
    ListContainersRequest, ListPodSandboxRequest, PodSandbox, PodSandboxFilter, PodSandboxState,
    PodSandboxStatusRequest,
};
use everynode_cri::{Client, CriError, ErrorKind};

use super::label;
use crate::layout::Layout;
use crate::logs;
use crate::machine::{ContainerState, ContainerView, Exit, PodView, SandboxView};
use crate::pod_spec::{Metadata, Pod, PodSpec};

/// How long one call may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// The longest last words that are shown.
const LAST_WORDS_LIMIT_BYTES: u64 = 4_096;

/// What the runtime has.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// The number of the listing, by when it was begun.
    pub number: u64,
    /// Pods by uid.
    pub pods: BTreeMap<String, PodView>,
    /// Who these pods are, as far as the runtime knows: for pods that nobody else knows any more.
    pub owners: BTreeMap<String, Pod>,
}

/// Lists what the runtime has, and remembers what does not change.
#[derive(Debug)]
pub struct Lister {
    client: Client,
    node: String,
    layout: Layout,
    begun: AtomicU64,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// By identifier: the state that it was asked in, and what was said.
    containers: HashMap<String, (i32, ContainerView)>,
    /// Addresses of sandboxes that are ready.
    ips: HashMap<String, Vec<String>>,
}

impl Lister {
    /// Of the pods that were made for this node.
    pub fn new(client: Client, node: &str, layout: Layout) -> Lister {
        let known = Mutex::new(Known::default());
        Lister { client, node: node.to_owned(), layout, begun: AtomicU64::new(0), known }
    }

    /// Lists all pods, or the one of a uid.
    ///
    /// # Errors
    /// When the runtime does not answer.
    pub async fn list(&self, uid: Option<&str>) -> Result<Listing, CriError> {
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let mut selector: BTreeMap<String, String> = [(label::NODE.to_owned(), self.node.clone())].into();
        selector.extend(uid.map(|uid| (label::POD_UID.to_owned(), uid.to_owned())));
        let filter = PodSandboxFilter { label_selector: selector.clone(), ..PodSandboxFilter::default() };
        let sandboxes =
            self.client.call(ListPodSandboxRequest { filter: Some(filter) }, DEADLINE).await?.items;
        let filter = ContainerFilter { label_selector: selector, ..ContainerFilter::default() };
        let containers =
            self.client.call(ListContainersRequest { filter: Some(filter) }, DEADLINE).await?.containers;
        if uid.is_none() {
            self.forget_all_but(&sandboxes, &containers);
        }
        let mut parts: BTreeMap<String, (Vec<SandboxView>, Vec<ContainerView>)> = BTreeMap::new();
        let mut owners = BTreeMap::new();
        for sandbox in &sandboxes {
            let owner = owner(sandbox);
            parts.entry(owner.metadata.uid.clone()).or_default().0.push(self.sandbox(sandbox).await?);
            owners.insert(owner.metadata.uid.clone(), owner);
        }
        for container in &containers {
            if let (Some(uid), Some(view)) =
                (container.labels.get(label::POD_UID), self.container(container).await?)
            {
                parts.entry(uid.clone()).or_default().1.push(view);
            }
        }
        let pods = parts.into_iter();
        let pods = pods.map(|(uid, (sandboxes, containers))| (uid, PodView::new(sandboxes, containers)));
        Ok(Listing { number, pods: pods.collect(), owners })
    }

    fn forget_all_but(&self, sandboxes: &[PodSandbox], containers: &[Container]) {
        let sandboxes: HashSet<&str> = sandboxes.iter().map(|one| &*one.id).collect();
        let containers: HashSet<&str> = containers.iter().map(|one| &*one.id).collect();
        let mut known = lock(&self.known);
        known.ips.retain(|id, _| sandboxes.contains(&**id));
        known.containers.retain(|id, _| containers.contains(&**id));
    }

    async fn sandbox(&self, sandbox: &PodSandbox) -> Result<SandboxView, CriError> {
        let is_ready = sandbox.state() == PodSandboxState::Ready;
        let known = lock(&self.known).ips.get(&sandbox.id).cloned();
        let ips = match (is_ready, known) {
            (_, Some(ips)) => ips,
            (false, None) => Vec::new(),
            (true, None) => self.ips(&sandbox.id).await?,
        };
        Ok(SandboxView {
            id: sandbox.id.clone(),
            attempt: sandbox.metadata.as_ref().map_or(0, |metadata| metadata.attempt),
            is_ready,
            created_nanos: sandbox.created_at,
            ips,
        })
    }

    async fn ips(&self, id: &str) -> Result<Vec<String>, CriError> {
        let request = PodSandboxStatusRequest { pod_sandbox_id: id.to_owned(), verbose: false };
        let network = match self.client.call(request, DEADLINE).await {
            Ok(answer) => answer.status.and_then(|status| status.network).unwrap_or_default(),
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let more = network.additional_ips.into_iter().map(|one| one.ip);
        let ips: Vec<String> = std::iter::once(network.ip).chain(more).filter(|ip| !ip.is_empty()).collect();
        lock(&self.known).ips.insert(id.to_owned(), ips.clone());
        Ok(ips)
    }

    /// A container; nothing when it went while it was asked about.
    async fn container(&self, container: &Container) -> Result<Option<ContainerView>, CriError> {
        if let Some((state, view)) = lock(&self.known).containers.get(&container.id)
            && *state == container.state
        {
            return Ok(Some(view.clone()));
        }
        let request = ContainerStatusRequest { container_id: container.id.clone(), verbose: false };
        let status = match self.client.call(request, DEADLINE).await {
            Ok(answer) => answer.status.unwrap_or_default(),
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let view = self.view(container, &status);
        lock(&self.known).containers.insert(container.id.clone(), (status.state, view.clone()));
        Ok(Some(view))
    }

    fn view(&self, container: &Container, status: &ContainerStatus) -> ContainerView {
        let metadata = container.metadata.clone().unwrap_or_default();
        let state = match status.state() {
            State::Created => ContainerState::Created,
            State::Running => ContainerState::Running { started_nanos: status.started_at },
            State::Exited => {
                let uid = container.labels.get(label::POD_UID).map(String::as_str).unwrap_or_default();
                let file = self.layout.last_words(uid, &metadata.name, metadata.attempt);
                ContainerState::Exited(Exit {
                    code: status.exit_code,
                    reason: status.reason.clone(),
                    message: message(&file, container, status),
                    started_nanos: status.started_at,
                    finished_nanos: status.finished_at,
                })
            }
            State::Unknown => ContainerState::Unknown,
        };
        ContainerView {
            id: container.id.clone(),
            name: metadata.name,
            attempt: metadata.attempt,
            sandbox_id: container.pod_sandbox_id.clone(),
            image: container.annotations.get(label::IMAGE).cloned().unwrap_or_default(),
            image_ref: status.image_ref.clone(),
            created_nanos: container.created_at,
            state,
        }
    }
}

/// Who a pod is, by what the runtime keeps of it.
fn owner(sandbox: &PodSandbox) -> Pod {
    let of = |key: &str| sandbox.labels.get(key).cloned().unwrap_or_default();
    let grace = sandbox.annotations.get(label::GRACE_SECONDS).and_then(|text| text.parse().ok());
    Pod {
        metadata: Metadata {
            namespace: of(label::POD_NAMESPACE),
            name: of(label::POD_NAME),
            uid: of(label::POD_UID),
            ..Metadata::default()
        },
        spec: PodSpec { termination_grace_period_seconds: grace, ..PodSpec::default() },
        ..Pod::default()
    }
}

/// What is shown of why a container ended: what it wrote into its file; where it has failed, wrote nothing there and
/// wants it so, the end of its log; or what the runtime says.
fn message(file: &Path, container: &Container, status: &ContainerStatus) -> String {
    let mut words = last_words(file);
    let policy = container.annotations.get(label::MESSAGE_POLICY).map(String::as_str);
    if words.is_empty() && status.exit_code != 0 && policy == Some(label::FALLBACK_TO_LOGS) {
        let log = logs::last_words(Path::new(&status.log_path));
        words = String::from_utf8_lossy(&log.unwrap_or_default()).into_owned();
    }
    if words.is_empty() { status.message.clone() } else { words }
}

/// What a container wrote into its file before it ended: the end of it, where it is longer than what is shown.
fn last_words(file: &Path) -> String {
    use std::io::{Read, Seek, SeekFrom};
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(file)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LAST_WORDS_LIMIT_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(LAST_WORDS_LIMIT_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
