//! What a runtime in memory holds: sandboxes, containers, images, and the rules of the interface about them.

mod containers;
mod images;
mod sandboxes;
mod stats;
mod streams;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tokio::time::Instant;
use tonic::Status;

use super::{Behaviour, End, Generation};
use crate::messages::*;

/// What a runtime in memory holds. Ids rise, so maps are in the order of making.
pub(super) struct State {
    generation: Generation,
    started: Instant,
    started_nanoseconds: i64,
    next_id: u64,
    pub(super) sandboxes: BTreeMap<String, Sandbox>,
    pub(super) containers: BTreeMap<String, Container>,
    /// Images that are here: by name, the id.
    images: BTreeMap<String, String>,
    /// Images that can be pulled.
    pub(super) registry: BTreeSet<String>,
    pub(super) behaviours: HashMap<String, Behaviour>,
    /// Where streams are served, by nobody unless somebody says where.
    pub(super) streams: String,
}

pub(super) struct Sandbox {
    pub(super) config: PodSandboxConfig,
    runtime_handler: String,
    state: PodSandboxState,
    created_at: i64,
}

pub(super) struct Container {
    sandbox_id: String,
    pub(super) config: ContainerConfig,
    image_id: String,
    created_at: i64,
    run: Run,
}

/// How far a container has come.
enum Run {
    Created,
    /// It runs, and will end then.
    Running {
        since: Instant,
        behaviour: Behaviour,
        end: Option<(Instant, End)>,
    },
    Exited {
        since: Instant,
        until: Instant,
        end: End,
    },
}

impl State {
    pub(super) fn new(generation: Generation, now_nanoseconds: i64) -> State {
        State {
            generation,
            started: Instant::now(),
            started_nanoseconds: now_nanoseconds,
            next_id: 0,
            sandboxes: BTreeMap::new(),
            containers: BTreeMap::new(),
            images: BTreeMap::new(),
            registry: BTreeSet::new(),
            behaviours: HashMap::new(),
            streams: "http://127.0.0.1:0".to_owned(),
        }
    }

    /// Nanoseconds since 1970.
    fn nanoseconds(&self, at: Instant) -> i64 {
        let since = at.saturating_duration_since(self.started).as_nanos();
        self.started_nanoseconds.saturating_add(i64::try_from(since).unwrap_or(i64::MAX))
    }

    fn now_nanoseconds(&self) -> i64 {
        self.nanoseconds(Instant::now())
    }

    /// An id as runtimes make them, greater than all before.
    fn new_id(&mut self) -> String {
        self.next_id += 1;
        format!("{:064x}", self.next_id)
    }

    pub(super) fn version(&mut self, _: VersionRequest) -> Result<VersionResponse, Status> {
        Ok(VersionResponse {
            version: "0.1.0".to_owned(),
            runtime_name: "memory".to_owned(),
            runtime_version: "1.0.0".to_owned(),
            runtime_api_version: "v1".to_owned(),
        })
    }

    pub(super) fn status(&mut self, _: StatusRequest) -> Result<StatusResponse, Status> {
        let well =
            |name: &str| RuntimeCondition { r#type: name.to_owned(), status: true, ..Default::default() };
        let conditions = vec![well("RuntimeReady"), well("NetworkReady")];
        let is_new = self.generation == Generation::New;
        let can = RuntimeHandlerFeatures { recursive_read_only_mounts: true, user_namespaces: true };
        let handler = RuntimeHandler { name: String::new(), features: Some(can) };
        let features =
            RuntimeFeatures { supplemental_groups_policy: true, user_namespaces_host_network: true };
        Ok(StatusResponse {
            status: Some(RuntimeStatus { conditions }),
            info: BTreeMap::new(),
            runtime_handlers: is_new.then_some(handler).into_iter().collect(),
            features: is_new.then_some(features),
        })
    }

    pub(super) fn runtime_config(
        &mut self,
        _: RuntimeConfigRequest,
    ) -> Result<RuntimeConfigResponse, Status> {
        if self.generation == Generation::Old {
            return Err(Status::unimplemented("unknown method RuntimeConfig"));
        }
        let linux = LinuxRuntimeConfiguration { cgroup_driver: CgroupDriver::Cgroupfs.into() };
        Ok(RuntimeConfigResponse { linux: Some(linux) })
    }
}

impl Generation {
    /// What is answered to who stops something that is not there.
    fn stopped(self, missing: Status) -> Result<(), Status> {
        match self {
            Generation::Old => Err(missing),
            Generation::New => Ok(()),
        }
    }
}

/// Whether an id is meant by a filter: "" means all, a beginning is enough.
fn is_meant(filter: &str, id: &str) -> bool {
    id.starts_with(filter)
}

/// Whether labels have all that a selector asks for.
fn has_labels(selector: &BTreeMap<String, String>, labels: &BTreeMap<String, String>) -> bool {
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}
