//! A pod's status as the kubelet writes it, from the state of the machine.

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::value::RawValue;

use crate::facts::Resources;
use crate::pod::{Container, EphemeralContainer, Exit, PodFacts, is_unpullable};

/// A point in time, in whole seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Timestamp(pub i64);

impl Timestamp {
    pub(crate) fn parse(text: &str) -> Option<Timestamp> {
        text.parse::<jiff::Timestamp>().ok().map(|t| Timestamp(t.as_second()))
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match jiff::Timestamp::from_second(self.0) {
            Ok(time) => write!(f, "{time}"),
            Err(_) => f.write_str("1970-01-01T00:00:00Z"),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What a status says.
#[derive(Debug)]
pub(crate) struct StatusView<'a> {
    pub facts: &'a PodFacts,
    pub phase: &'static str,
    pub ready: bool,
    pub containers: ContainerView,
    pub restart_count: u32,
    pub last_exit: Option<Exit>,
    pub accepted: Timestamp,
    pub started: Option<Timestamp>,
    pub ready_changed: Timestamp,
}

/// The state that the app containers share.
#[derive(Debug)]
pub(crate) enum ContainerView {
    Waiting { reason: &'static str, message: String },
    Running,
    Terminated(Exit),
}

/// The strategic merge patch that brings a pod's status up to date. The uid in it is a precondition.
pub(crate) fn patch(view: &StatusView<'_>, host_ip: &str, pod_ip: &str) -> Vec<u8> {
    let body = Patch { view, host_ip, pod_ip };
    // Maps with string keys of numbers and strings always serialize.
    serde_json::to_vec(&body).unwrap_or_default()
}

struct Patch<'a> {
    view: &'a StatusView<'a>,
    host_ip: &'a str,
    pod_ip: &'a str,
}

impl Serialize for Patch<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("metadata", &Uid { uid: &self.view.facts.uid })?;
        map.serialize_entry("status", &Status(self))?;
        map.end()
    }
}

#[derive(serde::Serialize)]
struct Uid<'a> {
    uid: &'a str,
}

#[derive(serde::Serialize)]
struct Ip<'a> {
    ip: &'a str,
}

struct Status<'a>(&'a Patch<'a>);

impl Serialize for Status<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Patch { view, host_ip, pod_ip } = *self.0;
        let mut map = serializer.serialize_map(None)?;
        if view.facts.generation > 0 {
            map.serialize_entry("observedGeneration", &view.facts.generation)?;
        }
        map.serialize_entry("phase", view.phase)?;
        map.serialize_entry("conditions", &Conditions(view))?;
        map.serialize_entry("hostIP", host_ip)?;
        map.serialize_entry("hostIPs", &[Ip { ip: host_ip }])?;
        if !matches!(view.containers, ContainerView::Waiting { .. }) || view.last_exit.is_some() {
            let pod_ip = if view.facts.host_network { host_ip } else { pod_ip };
            map.serialize_entry("podIP", pod_ip)?;
            map.serialize_entry("podIPs", &[Ip { ip: pod_ip }])?;
        }
        map.serialize_entry("startTime", &view.accepted)?;
        if !view.facts.init_containers.is_empty() {
            map.serialize_entry("initContainerStatuses", &Containers { view, init: true })?;
        }
        map.serialize_entry("containerStatuses", &Containers { view, init: false })?;
        if !view.facts.ephemeral_containers.is_empty() {
            let containers = view.facts.ephemeral_containers.iter().enumerate();
            let statuses: Vec<_> = containers.map(|(index, one)| view.ephemeral_status(index, one)).collect();
            map.serialize_entry("ephemeralContainerStatuses", &statuses)?;
        }
        map.end()
    }
}

struct Conditions<'a>(&'a StatusView<'a>);

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Condition<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    observed_generation: i64,
    status: &'a str,
    last_probe_time: Option<()>,
    last_transition_time: Timestamp,
    // Null takes away what an earlier status said.
    reason: Option<&'a str>,
    message: Option<&'a str>,
}

fn is_zero(generation: &i64) -> bool {
    *generation == 0
}

impl Serialize for Conditions<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let view = self.0;
        let started = !matches!(view.containers, ContainerView::Waiting { .. }) || view.last_exit.is_some();
        let over = matches!(view.containers, ContainerView::Terminated(_));
        let unready = match (view.ready, view.phase) {
            (true, _) => None,
            (_, "Succeeded") => Some(("PodCompleted", None)),
            (_, "Failed") => Some(("PodFailed", None)),
            _ => Some((
                "ContainersNotReady",
                Some(names(&view.facts.containers, "containers with unready status: ")),
            )),
        };
        let uninitialized = (!started && !view.facts.init_containers.is_empty()).then(|| {
            let message = names(&view.facts.init_containers, "containers with incomplete status: ");
            ("ContainersNotInitialized", Some(message))
        });
        let initialized_at = view.started.unwrap_or(view.accepted);
        let mut list = serializer.serialize_seq(None)?;
        let mut condition = |kind, since, problem: &Option<(&str, Option<String>)>| {
            list.serialize_element(&Condition {
                kind,
                observed_generation: view.facts.generation,
                status: if problem.is_none() { "True" } else { "False" },
                last_probe_time: None,
                last_transition_time: since,
                reason: problem.as_ref().map(|(reason, _)| *reason).filter(|reason| !reason.is_empty()),
                message: problem.as_ref().and_then(|(_, message)| message.as_deref()),
            })
        };
        let sandbox = (!started || over).then_some(("", None));
        condition(
            "PodReadyToStartContainers",
            if over { view.ready_changed } else { initialized_at },
            &sandbox,
        )?;
        condition("Initialized", initialized_at, &uninitialized)?;
        condition("Ready", view.ready_changed, &unready)?;
        condition("ContainersReady", view.ready_changed, &unready)?;
        list.end()
    }
}

/// `containers with unready status: [a b]`
fn names(containers: &[Container], prefix: &str) -> String {
    let names: Vec<&str> = containers.iter().map(|container| &*container.name).collect();
    format!("{prefix}[{}]", names.join(" "))
}

struct Containers<'a> {
    view: &'a StatusView<'a>,
    init: bool,
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct ContainerStatus<'a> {
    name: &'a str,
    state: State<'a>,
    last_state: LastState<'a>,
    ready: bool,
    restart_count: u32,
    image: &'a str,
    #[serde(rename = "imageID")]
    image_id: String,
    #[serde(rename = "containerID", skip_serializing_if = "Option::is_none")]
    container_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<bool>,
    #[serde(flatten)]
    given: Option<Given<'a>>,
}

/// What a container has of what it asks for: on a simulated node, all of it.
#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Given<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    allocated_resources: Option<&'a RawValue>,
    resources: &'a RawValue,
}

impl<'a> Given<'a> {
    fn of(container: &'a Container) -> Option<Given<'a>> {
        let resources: &'a RawValue = match &container.resources {
            Some(resources) => resources,
            None => serde_json::from_str("{}").ok()?,
        };
        let asked: Resources<'a> = serde_json::from_str(resources.get()).ok()?;
        Some(Given { allocated_resources: asked.requests, resources })
    }
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
enum State<'a> {
    Waiting {
        reason: &'a str,
        message: Option<&'a str>,
    },
    #[serde(rename_all = "camelCase")]
    Running {
        started_at: Timestamp,
    },
    Terminated(Terminated<'a>),
}

#[derive(serde::Serialize)]
struct LastState<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    terminated: Option<Terminated<'a>>,
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Terminated<'a> {
    exit_code: u8,
    reason: &'a str,
    started_at: Timestamp,
    finished_at: Timestamp,
    #[serde(rename = "containerID")]
    container_id: String,
}

fn terminated<'a>(exit: Exit, container_id: String) -> Terminated<'a> {
    Terminated {
        exit_code: exit.code,
        reason: match exit.code {
            0 => "Completed",
            _ if exit.oom_killed => "OOMKilled",
            _ => "Error",
        },
        started_at: exit.started,
        finished_at: exit.finished,
        container_id,
    }
}

impl Serialize for Containers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let facts = self.view.facts;
        let containers = if self.init { &facts.init_containers } else { &facts.containers };
        let mut list = serializer.serialize_seq(Some(containers.len()))?;
        for (index, container) in containers.iter().enumerate() {
            let status = match self.init {
                true => self.view.init_status(index, container),
                false => self.view.app_status(index, container),
            };
            list.serialize_element(&status)?;
        }
        list.end()
    }
}

impl StatusView<'_> {
    fn app_status<'b>(&'b self, index: usize, container: &'b Container) -> ContainerStatus<'b> {
        let id = |restart: u32| container_id(&self.facts.uid, "c", index, restart);
        let state = match &self.containers {
            ContainerView::Waiting { reason, message } => self.waiting(container, reason, message),
            ContainerView::Running => State::Running { started_at: self.started.unwrap_or(self.accepted) },
            ContainerView::Terminated(exit) => State::Terminated(terminated(*exit, id(self.restart_count))),
        };
        let running = matches!(self.containers, ContainerView::Running);
        let last_exit = self.last_exit.map(|exit| terminated(exit, id(self.restart_count.saturating_sub(1))));
        let has_run = !matches!(self.containers, ContainerView::Waiting { .. }) || self.last_exit.is_some();
        ContainerStatus {
            name: &container.name,
            state,
            last_state: LastState { terminated: last_exit },
            ready: self.ready,
            restart_count: self.restart_count,
            image: &container.image,
            image_id: if has_run { image_id(&container.image) } else { String::new() },
            container_id: has_run.then(|| id(self.restart_count)),
            started: Some(running),
            given: Given::of(container),
        }
    }

    /// A container whose image can be pulled waits for the others.
    fn waiting<'b>(&'b self, container: &Container, reason: &'b str, message: &'b str) -> State<'b> {
        let about_image = self.facts.cannot_be_pulled().is_some();
        match about_image && !is_unpullable(&container.image) {
            true => State::Waiting { reason: "ContainerCreating", message: None },
            false => State::Waiting { reason, message: Some(message).filter(|m| !m.is_empty()) },
        }
    }

    fn init_status<'b>(&'b self, index: usize, container: &'b Container) -> ContainerStatus<'b> {
        let id = container_id(&self.facts.uid, "i", index, 0);
        let finished = self.started.unwrap_or(self.accepted);
        let done = Exit { code: 0, oom_killed: false, started: self.accepted, finished };
        let (state, ready) = match (&self.containers, self.started) {
            (ContainerView::Waiting { reason, message }, None) => {
                (self.waiting(container, reason, message), false)
            }
            (ContainerView::Terminated(exit), _) if container.sidecar => {
                (State::Terminated(terminated(*exit, id.clone())), false)
            }
            (_, Some(started_at)) if container.sidecar => (State::Running { started_at }, true),
            _ => (State::Terminated(terminated(done, id.clone())), true),
        };
        let has_run = self.started.is_some();
        ContainerStatus {
            name: &container.name,
            started: Some(matches!(state, State::Running { .. })),
            state,
            last_state: LastState { terminated: None },
            ready,
            restart_count: 0,
            image: &container.image,
            image_id: if has_run { image_id(&container.image) } else { String::new() },
            container_id: has_run.then_some(id),
            given: Given::of(container),
        }
    }
}

impl StatusView<'_> {
    /// A container to look into the pod runs until the pod is over. It has no probes, and is never ready.
    fn ephemeral_status<'b>(
        &'b self,
        index: usize,
        container: &'b EphemeralContainer,
    ) -> ContainerStatus<'b> {
        let id = container_id(&self.facts.uid, "e", index, 0);
        let started_at = container.started;
        let state = match &self.containers {
            _ if is_unpullable(&container.image) => State::Waiting { reason: "ErrImagePull", message: None },
            ContainerView::Waiting { .. } if self.started.is_none() => {
                State::Waiting { reason: "ContainerCreating", message: None }
            }
            ContainerView::Terminated(exit) => {
                let exit = Exit { code: 0, oom_killed: false, started: started_at, finished: exit.finished };
                State::Terminated(terminated(exit, id.clone()))
            }
            _ => State::Running { started_at },
        };
        let has_run = !matches!(state, State::Waiting { .. });
        ContainerStatus {
            name: &container.name,
            state,
            last_state: LastState { terminated: None },
            ready: false,
            restart_count: 0,
            image: &container.image,
            image_id: if has_run { image_id(&container.image) } else { String::new() },
            container_id: has_run.then_some(id),
            started: None,
            given: None,
        }
    }
}

/// An identifier with the shape of a runtime's: it differs by pod, container and restart.
fn container_id(pod_uid: &str, kind: &str, index: usize, restart: u32) -> String {
    format!("everynode://{pod_uid}-{kind}{index}-{restart}")
}

fn image_id(image: &str) -> String {
    format!("everynode://{image}")
}
