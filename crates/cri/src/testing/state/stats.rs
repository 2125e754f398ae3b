//! Figures: a container that runs has used its whole life as CPU time, and a megabyte. One that does not has none.

use tokio::time::Instant;
use tonic::Status;

use super::{Container, Sandbox, State, has_labels, is_meant};
use crate::messages::*;

const MEMORY_BYTES: u64 = 1 << 20;

impl State {
    fn stats_of(&self, id: &str, container: &Container) -> ContainerStats {
        let now = Instant::now();
        let (since, until) = container.span(now);
        let is_running = since.is_some() && until.is_none();
        let life = since.map_or(0, |since| now.saturating_duration_since(since).as_nanos());
        let timestamp = self.now_nanoseconds();
        let config = &container.config;
        ContainerStats {
            attributes: Some(ContainerAttributes {
                id: id.to_owned(),
                metadata: config.metadata.clone(),
                labels: config.labels.clone(),
                annotations: config.annotations.clone(),
            }),
            cpu: is_running.then(|| CpuUsage {
                timestamp,
                usage_core_nano_seconds: Some(UInt64Value { value: u64::try_from(life).unwrap_or(u64::MAX) }),
                ..Default::default()
            }),
            memory: is_running.then(|| MemoryUsage {
                timestamp,
                working_set_bytes: Some(UInt64Value { value: MEMORY_BYTES }),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    pub(in crate::testing) fn container_stats(
        &mut self,
        request: ContainerStatsRequest,
    ) -> Result<ContainerStatsResponse, Status> {
        let container = self.container(&request.container_id)?;
        Ok(ContainerStatsResponse { stats: Some(self.stats_of(&request.container_id, container)) })
    }

    pub(in crate::testing) fn list_container_stats(
        &mut self,
        request: ListContainerStatsRequest,
    ) -> Result<ListContainerStatsResponse, Status> {
        Ok(ListContainerStatsResponse { stats: self.stats_by(&request.filter.unwrap_or_default()) })
    }

    fn stats_by(&self, filter: &ContainerStatsFilter) -> Vec<ContainerStats> {
        let is_listed = |id: &str, container: &Container| {
            is_meant(&filter.id, id)
                && is_meant(&filter.pod_sandbox_id, &container.sandbox_id)
                && has_labels(&filter.label_selector, &container.config.labels)
        };
        let listed = self.containers.iter().filter(|(id, container)| is_listed(id, container));
        listed.map(|(id, container)| self.stats_of(id, container)).collect()
    }

    fn pod_stats_of(&self, id: &str, sandbox: &Sandbox) -> PodSandboxStats {
        let filter = ContainerStatsFilter { pod_sandbox_id: id.to_owned(), ..Default::default() };
        PodSandboxStats {
            attributes: Some(PodSandboxAttributes {
                id: id.to_owned(),
                metadata: sandbox.config.metadata.clone(),
                labels: sandbox.config.labels.clone(),
                annotations: sandbox.config.annotations.clone(),
            }),
            linux: Some(LinuxPodSandboxStats { containers: self.stats_by(&filter), ..Default::default() }),
        }
    }

    pub(in crate::testing) fn pod_sandbox_stats(
        &mut self,
        request: PodSandboxStatsRequest,
    ) -> Result<PodSandboxStatsResponse, Status> {
        let sandbox = self.sandbox(&request.pod_sandbox_id)?;
        Ok(PodSandboxStatsResponse { stats: Some(self.pod_stats_of(&request.pod_sandbox_id, sandbox)) })
    }

    pub(in crate::testing) fn list_pod_sandbox_stats(
        &mut self,
        request: ListPodSandboxStatsRequest,
    ) -> Result<ListPodSandboxStatsResponse, Status> {
        let filter = request.filter.unwrap_or_default();
        let is_listed = |id: &str, sandbox: &Sandbox| {
            is_meant(&filter.id, id) && has_labels(&filter.label_selector, &sandbox.config.labels)
        };
        let listed = self.sandboxes.iter().filter(|(id, sandbox)| is_listed(id, sandbox));
        Ok(ListPodSandboxStatsResponse {
            stats: listed.map(|(id, sandbox)| self.pod_stats_of(id, sandbox)).collect(),
        })
    }
}
