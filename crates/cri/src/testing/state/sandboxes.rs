//! Sandboxes.

use tonic::Status;

use super::{Sandbox, State, has_labels, is_meant};
use crate::messages::*;

impl State {
    pub(in crate::testing) fn run_pod_sandbox(
        &mut self,
        request: RunPodSandboxRequest,
    ) -> Result<RunPodSandboxResponse, Status> {
        let Some(mut config) = request.config else {
            return Err(Status::unknown("a sandbox without a config"));
        };
        if config.metadata.is_none() {
            return Err(Status::unknown("a sandbox without metadata"));
        }
        if self.sandboxes.values().any(|one| one.config.metadata == config.metadata) {
            return Err(Status::unknown("the name of the sandbox is reserved"));
        }
        self.forget_unknown_of_sandbox(&mut config);
        let id = self.new_id();
        let sandbox = Sandbox {
            config,
            runtime_handler: request.runtime_handler,
            state: PodSandboxState::Ready,
            created_at: self.now_nanoseconds(),
        };
        self.sandboxes.insert(id.clone(), sandbox);
        Ok(RunPodSandboxResponse { pod_sandbox_id: id })
    }

    /// What is not known is not there after decoding.
    fn forget_unknown_of_sandbox(&self, config: &mut PodSandboxConfig) {
        let security = config.linux.as_mut().and_then(|linux| linux.security_context.as_mut());
        if let (super::Generation::Old, Some(security)) = (self.generation, security) {
            security.supplemental_groups_policy = SupplementalGroupsPolicy::Merge.into();
            if let Some(namespaces) = security.namespace_options.as_mut() {
                namespaces.userns_options = None;
            }
        }
    }

    pub(in crate::testing) fn stop_pod_sandbox(
        &mut self,
        request: StopPodSandboxRequest,
    ) -> Result<StopPodSandboxResponse, Status> {
        let id = request.pod_sandbox_id;
        match self.sandboxes.get_mut(&id) {
            Some(sandbox) => sandbox.state = PodSandboxState::NotReady,
            None => self.generation.stopped(no_sandbox(&id))?,
        }
        self.kill_all_of(&id);
        Ok(StopPodSandboxResponse {})
    }

    pub(in crate::testing) fn remove_pod_sandbox(
        &mut self,
        request: RemovePodSandboxRequest,
    ) -> Result<RemovePodSandboxResponse, Status> {
        self.sandboxes.remove(&request.pod_sandbox_id);
        self.containers.retain(|_, container| container.sandbox_id != request.pod_sandbox_id);
        Ok(RemovePodSandboxResponse {})
    }

    pub(in crate::testing) fn pod_sandbox_status(
        &mut self,
        request: PodSandboxStatusRequest,
    ) -> Result<PodSandboxStatusResponse, Status> {
        let sandbox = self.sandbox(&request.pod_sandbox_id)?;
        let status = sandbox.status(&request.pod_sandbox_id);
        Ok(PodSandboxStatusResponse { status: Some(status), ..Default::default() })
    }

    pub(super) fn sandbox(&self, id: &str) -> Result<&Sandbox, Status> {
        self.sandboxes.get(id).ok_or_else(|| no_sandbox(id))
    }

    pub(in crate::testing) fn sandbox_statuses(&self) -> Vec<PodSandboxStatus> {
        self.sandboxes.iter().map(|(id, sandbox)| sandbox.status(id)).collect()
    }

    pub(in crate::testing) fn list_pod_sandbox(
        &mut self,
        request: ListPodSandboxRequest,
    ) -> Result<ListPodSandboxResponse, Status> {
        let filter = request.filter.unwrap_or_default();
        let is_listed = |id: &str, sandbox: &Sandbox| {
            is_meant(&filter.id, id)
                && filter.state.as_ref().is_none_or(|state| state.state() == sandbox.state)
                && has_labels(&filter.label_selector, &sandbox.config.labels)
        };
        let listed = self.sandboxes.iter().filter(|(id, sandbox)| is_listed(id, sandbox));
        Ok(ListPodSandboxResponse { items: listed.map(|(id, sandbox)| sandbox.row(id)).collect() })
    }
}

fn no_sandbox(id: &str) -> Status {
    Status::not_found(format!("there is no sandbox {id:?}"))
}

impl Sandbox {
    pub(super) fn is_ready(&self) -> bool {
        self.state == PodSandboxState::Ready
    }

    fn status(&self, id: &str) -> PodSandboxStatus {
        let security = self.config.linux.as_ref().and_then(|linux| linux.security_context.clone());
        let options = security.unwrap_or_default().namespace_options;
        let is_on_host = options.as_ref().is_some_and(|options| options.network() == NamespaceMode::Node);
        let ip = if is_on_host { String::new() } else { "10.88.0.2".to_owned() };
        PodSandboxStatus {
            id: id.to_owned(),
            metadata: self.config.metadata.clone(),
            state: self.state.into(),
            created_at: self.created_at,
            network: Some(PodSandboxNetworkStatus { ip, additional_ips: Vec::new() }),
            linux: Some(LinuxPodSandboxStatus { namespaces: Some(Namespace { options }) }),
            labels: self.config.labels.clone(),
            annotations: self.config.annotations.clone(),
            runtime_handler: self.runtime_handler.clone(),
        }
    }

    fn row(&self, id: &str) -> PodSandbox {
        PodSandbox {
            id: id.to_owned(),
            metadata: self.config.metadata.clone(),
            state: self.state.into(),
            created_at: self.created_at,
            labels: self.config.labels.clone(),
            annotations: self.config.annotations.clone(),
            runtime_handler: self.runtime_handler.clone(),
        }
    }
}
