//! A runtime to try things on: one in memory or a containerd.

use std::path::PathBuf;
use std::time::Duration;

use everynode_cri::messages::*;
use everynode_cri::testing::{Behaviour, End, Exec, FakeRuntime, OnStop};
use everynode_cri::{Call, Client, CriError};
use everynode_testkit::wait::eventually;

use crate::containerd::LIMIT;
use crate::image::IMAGE;

/// What a container does.
#[derive(Clone, Copy, PartialEq)]
pub enum Program {
    /// It runs until it is asked to stop, and exits with 7.
    Waits,
    /// It runs until it is killed.
    IgnoresTerm,
    /// It exits with this code at once.
    Exits(i32),
}

impl Program {
    fn command(self) -> Vec<String> {
        let script = match self {
            Program::Waits => "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done".to_owned(),
            Program::IgnoresTerm => "trap '' TERM; echo ready; while :; do sleep 0.05; done".to_owned(),
            Program::Exits(code) => format!("echo out; echo err >&2; exit {code}"),
        };
        vec!["/bin/sh".to_owned(), "-c".to_owned(), script]
    }

    fn behaviour(self) -> Behaviour {
        let code = if let Program::Exits(code) = self { Some(code) } else { None };
        let on_stop = match self {
            Program::IgnoresTerm => OnStop::Ignores,
            Program::Waits | Program::Exits(_) => OnStop::Exits(Duration::ZERO, 7),
        };
        Behaviour {
            ends: code.map(|code| (Duration::ZERO, End::Exited(code))),
            on_stop,
            exec: Exec::default(),
        }
    }
}

/// A runtime to try things on.
pub struct Stage {
    pub client: Client,
    /// Where it is one in memory.
    pub fake: Option<FakeRuntime>,
    /// The cgroup that pods are in.
    pub cgroup: String,
    /// The folder of pods' logs.
    pub logs: PathBuf,
}

/// A sandbox, and the configuration that containers in it want to hear again.
pub struct Pod {
    pub id: String,
    pub config: PodSandboxConfig,
}

/// The host's network, and process ids of a container's own. A container must hear it again.
pub fn namespaces() -> NamespaceOption {
    NamespaceOption {
        network: NamespaceMode::Node.into(),
        pid: NamespaceMode::Container.into(),
        ..Default::default()
    }
}

impl Stage {
    pub async fn call<C: Call>(&self, request: C) -> Result<C::Answer, CriError> {
        self.client.call(request, LIMIT).await
    }

    pub fn pod_config(&self, name: &str, attempt: u32) -> PodSandboxConfig {
        let security =
            LinuxSandboxSecurityContext { namespace_options: Some(namespaces()), ..Default::default() };
        PodSandboxConfig {
            metadata: Some(PodSandboxMetadata {
                name: name.to_owned(),
                uid: format!("uid-of-{name}"),
                namespace: "default".to_owned(),
                attempt,
            }),
            log_directory: self.logs.join(name).display().to_string(),
            labels: [("pod".to_owned(), name.to_owned())].into(),
            linux: Some(LinuxPodSandboxConfig {
                cgroup_parent: format!("{}/{name}", self.cgroup),
                security_context: Some(security),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    pub async fn run_pod(&self, name: &str) -> Pod {
        let config = self.pod_config(name, 0);
        let request = RunPodSandboxRequest { config: Some(config.clone()), ..Default::default() };
        Pod { id: self.call(request).await.unwrap().pod_sandbox_id, config }
    }

    pub async fn remove_pod(&self, pod: Pod) {
        self.call(StopPodSandboxRequest { pod_sandbox_id: pod.id.clone() }).await.unwrap();
        self.call(RemovePodSandboxRequest { pod_sandbox_id: pod.id }).await.unwrap();
    }

    pub fn container_config(&self, name: &str, program: Program) -> ContainerConfig {
        if let Some(fake) = &self.fake {
            fake.set_behaviour(name, program.behaviour());
        }
        let security =
            LinuxContainerSecurityContext { namespace_options: Some(namespaces()), ..Default::default() };
        let linux = LinuxContainerConfig { security_context: Some(security), ..Default::default() };
        ContainerConfig {
            metadata: Some(ContainerMetadata { name: name.to_owned(), attempt: 0 }),
            image: Some(ImageSpec { image: IMAGE.to_owned(), ..Default::default() }),
            command: program.command(),
            labels: [("container".to_owned(), name.to_owned())].into(),
            log_path: format!("{name}.log"),
            linux: Some(linux),
            ..Default::default()
        }
    }

    pub async fn create(&self, pod: &Pod, config: ContainerConfig) -> Result<String, CriError> {
        let request = CreateContainerRequest {
            pod_sandbox_id: pod.id.clone(),
            config: Some(config),
            sandbox_config: Some(pod.config.clone()),
        };
        self.call(request).await.map(|answer| answer.container_id)
    }

    pub async fn start(&self, pod: &Pod, name: &str, program: Program) -> String {
        self.start_with(pod, self.container_config(name, program)).await
    }

    /// Creates and starts a container whose program says something at first.
    pub async fn start_with(&self, pod: &Pod, config: ContainerConfig) -> String {
        let name = config.metadata.as_ref().unwrap().name.clone();
        let id = self.create(pod, config).await.unwrap();
        self.call(StartContainerRequest { container_id: id.clone() }).await.unwrap();
        if self.fake.is_none() {
            // Its traps are set when it has said something.
            let log = self.logs.join(&pod.config.metadata.as_ref().unwrap().name).join(format!("{name}.log"));
            eventually("a container's first line", LIMIT, async || match std::fs::read_to_string(&log) {
                Ok(text) if !text.is_empty() => Ok(()),
                other => Err(format!("{other:?}")),
            })
            .await;
        }
        id
    }

    pub async fn status(&self, id: &str) -> Result<ContainerStatus, CriError> {
        let request = ContainerStatusRequest { container_id: id.to_owned(), verbose: false };
        self.call(request).await.map(|answer| answer.status.unwrap())
    }

    /// The status of a container that has stopped or will.
    pub async fn stopped(&self, id: &str) -> ContainerStatus {
        eventually("a container that stops", LIMIT, async || match self.status(id).await {
            Ok(status) if status.state() == ContainerState::Exited => Ok(status),
            other => Err(format!("{other:?}")),
        })
        .await
    }

    pub async fn stop(&self, id: &str, timeout: i64) -> Result<(), CriError> {
        self.call(StopContainerRequest { container_id: id.to_owned(), timeout }).await.map(|_| ())
    }
}
