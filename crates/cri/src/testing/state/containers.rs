//! Containers.

use std::time::Duration;

use tokio::time::Instant;
use tonic::Status;

use super::{Container, Run, State, has_labels, is_meant};
use crate::messages::*;
use crate::testing::stream::Reply;
use crate::testing::{End, Generation, OnStop};

impl State {
    pub(in crate::testing) fn create_container(
        &mut self,
        request: CreateContainerRequest,
    ) -> Result<CreateContainerResponse, Status> {
        let sandbox_id = request.pod_sandbox_id;
        let sandbox = self.sandbox(&sandbox_id)?;
        if !sandbox.is_ready() {
            let words = "the sandbox's process was not found";
            return Err(match self.generation {
                Generation::Old => Status::not_found(words),
                Generation::New => Status::unknown(words),
            });
        }
        let Some(mut config) = request.config else {
            return Err(Status::unknown("a container without a config"));
        };
        let mut siblings = self.containers.values().filter(|one| one.sandbox_id == sandbox_id);
        if siblings.any(|one| one.config.metadata == config.metadata) {
            return Err(Status::unknown("the name of the container is reserved"));
        }
        let image = config.image.clone().unwrap_or_default().image;
        let Some(image_id) = self.image_id(&image) else {
            return Err(Status::not_found(format!("there is no image {image:?}")));
        };
        self.forget_unknown_of_container(&mut config);
        let id = self.new_id();
        let created_at = self.now_nanoseconds();
        let container = Container { sandbox_id, config, image_id, created_at, run: Run::Created };
        self.containers.insert(id.clone(), container);
        Ok(CreateContainerResponse { container_id: id })
    }

    /// What is not known is not there after decoding.
    fn forget_unknown_of_container(&self, config: &mut ContainerConfig) {
        if self.generation == Generation::New {
            return;
        }
        config.stop_signal = Signal::RuntimeDefault.into();
        for mount in &mut config.mounts {
            mount.image = None;
            mount.recursive_read_only = false;
        }
    }

    pub(in crate::testing) fn start_container(
        &mut self,
        request: StartContainerRequest,
    ) -> Result<StartContainerResponse, Status> {
        let behaviours = self.behaviours.clone();
        let container = self.container_mut(&request.container_id)?;
        if !matches!(container.run, Run::Created) {
            return Err(Status::unknown("the container was started before"));
        }
        let behaviour = behaviours.get(container.name()).cloned().unwrap_or_default();
        let since = Instant::now();
        let end = behaviour.ends.map(|(after, end)| (since + after, end));
        container.run = Run::Running { since, behaviour, end };
        Ok(StartContainerResponse {})
    }

    /// Answers when the container has stopped.
    pub(in crate::testing) fn stop_container(
        &mut self,
        request: StopContainerRequest,
    ) -> Reply<StopContainerResponse> {
        let answer = Ok(StopContainerResponse {});
        let generation = self.generation;
        let container = match self.container_mut(&request.container_id) {
            Ok(container) => container,
            Err(status) => return generation.stopped(status).map(|()| StopContainerResponse {}).into(),
        };
        let Run::Running { behaviour, end, .. } = &mut container.run else { return answer.into() };
        let now = Instant::now();
        let grace = Duration::from_secs(u64::try_from(request.timeout).unwrap_or(0));
        let wanted = match behaviour.on_stop {
            OnStop::Exits(after, code) if after < grace => (now + after, End::Exited(code)),
            OnStop::Exits(..) | OnStop::Ignores => (now + grace, End::KILL),
        };
        let (at, _) = *end.insert(end.filter(|(at, _)| *at <= wanted.0).unwrap_or(wanted));
        Reply { answer, at: Some(at) }
    }

    pub(in crate::testing) fn remove_container(
        &mut self,
        request: RemoveContainerRequest,
    ) -> Result<RemoveContainerResponse, Status> {
        self.containers.remove(&request.container_id);
        Ok(RemoveContainerResponse {})
    }

    pub(in crate::testing) fn end(&mut self, id: &str, end: End) -> bool {
        match self.container_mut(id).map(|container| &mut container.run) {
            Ok(Run::Running { end: planned, .. }) => {
                *planned = Some((Instant::now(), end));
                true
            }
            _ => false,
        }
    }

    pub(super) fn kill_all_of(&mut self, sandbox_id: &str) {
        let theirs = self.containers.iter().filter(|(_, container)| container.sandbox_id == sandbox_id);
        let ids: Vec<String> = theirs.map(|(id, _)| id.clone()).collect();
        for id in ids {
            self.end(&id, End::KILL);
        }
    }

    pub(in crate::testing) fn list_containers(
        &mut self,
        request: ListContainersRequest,
    ) -> Result<ListContainersResponse, Status> {
        let filter = request.filter.unwrap_or_default();
        let now = Instant::now();
        let is_listed = |id: &str, container: &Container| {
            is_meant(&filter.id, id)
                && is_meant(&filter.pod_sandbox_id, &container.sandbox_id)
                && filter.state.as_ref().is_none_or(|state| state.state() == container.state(now))
                && has_labels(&filter.label_selector, &container.config.labels)
        };
        let listed = self.containers.iter().filter(|(id, container)| is_listed(id, container));
        Ok(ListContainersResponse {
            containers: listed.map(|(id, container)| container.row(id, now)).collect(),
        })
    }

    pub(in crate::testing) fn container_status(
        &mut self,
        request: ContainerStatusRequest,
    ) -> Result<ContainerStatusResponse, Status> {
        let container = self.container(&request.container_id)?;
        let status = self.status_of(&request.container_id, container);
        Ok(ContainerStatusResponse { status: Some(status), ..Default::default() })
    }

    pub(in crate::testing) fn container_statuses(&self) -> Vec<ContainerStatus> {
        self.containers.iter().map(|(id, container)| self.status_of(id, container)).collect()
    }

    fn status_of(&self, id: &str, container: &Container) -> ContainerStatus {
        let (started, finished) = container.span(Instant::now());
        let end = finished.map(|(_, end)| end);
        let config = &container.config;
        let sandbox = self.sandboxes.get(&container.sandbox_id);
        let folder = sandbox.map(|sandbox| sandbox.config.log_directory.as_str()).unwrap_or_default();
        let resources = config.linux.clone().unwrap_or_default().resources;
        let resources = resources.filter(|_| self.generation == Generation::New);
        ContainerStatus {
            id: id.to_owned(),
            metadata: config.metadata.clone(),
            state: container.state(Instant::now()).into(),
            created_at: container.created_at,
            started_at: started.map_or(0, |at| self.nanoseconds(at)),
            finished_at: finished.map_or(0, |(at, _)| self.nanoseconds(at)),
            exit_code: end.map_or(0, End::exit_code),
            image: config.image.clone(),
            image_ref: container.image_id.clone(),
            reason: end.map_or("", End::reason).to_owned(),
            labels: config.labels.clone(),
            annotations: config.annotations.clone(),
            mounts: config.mounts.clone(),
            log_path: format!("{folder}/{}", config.log_path),
            resources: resources.map(|linux| ContainerResources { linux: Some(linux) }),
            image_id: container.image_id.clone(),
            stop_signal: config.stop_signal,
            ..Default::default()
        }
    }

    pub(in crate::testing) fn update_container_resources(
        &mut self,
        request: UpdateContainerResourcesRequest,
    ) -> Result<UpdateContainerResourcesResponse, Status> {
        let container = self.container_mut(&request.container_id)?;
        if container.state(Instant::now()) == ContainerState::Exited {
            return Err(Status::unknown("the container has stopped"));
        }
        container.config.linux.get_or_insert_default().resources = request.linux;
        Ok(UpdateContainerResourcesResponse {})
    }

    pub(super) fn container(&self, id: &str) -> Result<&Container, Status> {
        self.containers.get(id).ok_or_else(|| no_container(id))
    }

    /// A container as it is now.
    fn container_mut(&mut self, id: &str) -> Result<&mut Container, Status> {
        let container = self.containers.get_mut(id).ok_or_else(|| no_container(id))?;
        container.settle(Instant::now());
        Ok(container)
    }
}

fn no_container(id: &str) -> Status {
    Status::not_found(format!("there is no container {id:?}"))
}

impl Container {
    fn name(&self) -> &str {
        self.config.metadata.as_ref().map(|metadata| metadata.name.as_str()).unwrap_or_default()
    }

    /// When it started, and when and how it ended, by now.
    pub(super) fn span(&self, now: Instant) -> (Option<Instant>, Option<(Instant, End)>) {
        match &self.run {
            Run::Created => (None, None),
            Run::Running { since, end, .. } => (Some(*since), end.filter(|(at, _)| *at <= now)),
            Run::Exited { since, until, end } => (Some(*since), Some((*until, *end))),
        }
    }

    pub(super) fn state(&self, now: Instant) -> ContainerState {
        match self.span(now) {
            (None, _) => ContainerState::Created,
            (Some(_), None) => ContainerState::Running,
            (Some(_), Some(_)) => ContainerState::Exited,
        }
    }

    /// Makes an end that has come a fact, which nothing changes any more.
    fn settle(&mut self, now: Instant) {
        if let (Some(since), Some((until, end))) = self.span(now) {
            self.run = Run::Exited { since, until, end };
        }
    }

    fn row(&self, id: &str, now: Instant) -> crate::messages::Container {
        crate::messages::Container {
            id: id.to_owned(),
            pod_sandbox_id: self.sandbox_id.clone(),
            metadata: self.config.metadata.clone(),
            image: self.config.image.clone(),
            image_ref: self.image_id.clone(),
            state: self.state(now).into(),
            created_at: self.created_at,
            labels: self.config.labels.clone(),
            annotations: self.config.annotations.clone(),
            image_id: self.image_id.clone(),
        }
    }
}
