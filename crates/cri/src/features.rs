//! What a runtime can do. A field that a runtime does not know is ignored by it without a word, so what a pod asks for
//! must be compared with what the runtime says of itself, or of the container that it made.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use crate::client::Client;
use crate::error::{CriError, ErrorKind};
use crate::messages::*;

/// What a pod may ask for and some runtimes ignore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Feature {
    /// A user namespace of the pod's own. The runtime tells beforehand, per handler.
    UserNamespaces,
    /// A user namespace with the host's network. The runtime tells beforehand.
    UserNamespacesHostNetwork,
    /// Mounts that are read-only with all below them. The runtime tells beforehand, per handler.
    RecursiveReadOnlyMounts,
    /// Supplementary groups without those of the image. The runtime tells beforehand.
    StrictSupplementalGroups,
    /// Files of an image as a mount. Only a container's status tells.
    ImageVolumes,
    /// A stop signal other than the image's. Only a container's status tells.
    StopSignal,
}

impl fmt::Display for Feature {
    /// As the specification of a pod has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Feature::UserNamespaces => "hostUsers: false",
            Feature::UserNamespacesHostNetwork => "hostUsers: false with hostNetwork: true",
            Feature::RecursiveReadOnlyMounts => "recursiveReadOnly: Enabled",
            Feature::StrictSupplementalGroups => "supplementalGroupsPolicy: Strict",
            Feature::ImageVolumes => "a volume of an image",
            Feature::StopSignal => "lifecycle.stopSignal",
        })
    }
}

/// What containerd tells of its configuration, as far as it is read.
#[derive(Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ToldConfig {
    sandbox_image: String,
}

/// What a runtime says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Runtime {
    /// Its name and version.
    pub version: VersionResponse,
    /// What must be well, such as `RuntimeReady`.
    pub conditions: Vec<RuntimeCondition>,
    /// How cgroups are made; nothing from runtimes that have no `RuntimeConfig`, and then a setting must say it.
    pub cgroup_driver: Option<CgroupDriver>,
    /// The image of its sandboxes, where it says so: containerd before 2.0 does, and does not pin that image.
    pub sandbox_image: Option<String>,
    /// Handlers of runtime classes by name, "" being the default one; none from runtimes before containerd 2.0.
    handlers: BTreeMap<String, RuntimeHandlerFeatures>,
    features: RuntimeFeatures,
}

impl Runtime {
    /// Asks a runtime who it is and what it can do: `Version`, `Status` and `RuntimeConfig`, each within the deadline.
    ///
    /// # Errors
    /// When a call fails; a runtime need not know `RuntimeConfig`.
    pub async fn ask(client: &Client, deadline: Duration) -> Result<Runtime, CriError> {
        let version = client.call(VersionRequest::default(), deadline).await?;
        let status = client.call(StatusRequest { verbose: true }, deadline).await?;
        let config = match client.call(RuntimeConfigRequest::default(), deadline).await {
            Ok(config) => config,
            Err(error) if error.kind == ErrorKind::Unimplemented => RuntimeConfigResponse::default(),
            Err(error) => return Err(error),
        };
        Ok(Runtime::read(version, status, &config))
    }

    fn read(version: VersionResponse, status: StatusResponse, config: &RuntimeConfigResponse) -> Runtime {
        let told = status.info.get("config").and_then(|text| serde_json::from_str::<ToldConfig>(text).ok());
        let handlers = status.runtime_handlers.into_iter();
        let driver = config.linux.as_ref().map(|linux| linux.cgroup_driver);
        Runtime {
            version,
            conditions: status.status.unwrap_or_default().conditions,
            cgroup_driver: driver.and_then(|driver| CgroupDriver::try_from(driver).ok()),
            sandbox_image: told.map(|told| told.sandbox_image).filter(|image| !image.is_empty()),
            handlers: handlers.map(|one| (one.name, one.features.unwrap_or_default())).collect(),
            features: status.features.unwrap_or_default(),
        }
    }

    /// What of these the runtime cannot do by this handler of runtime classes, "" being the default one. What only a
    /// container's status tells is not among them: see [`ContainerStatus::ignored`].
    pub fn lacks(&self, handler: &str, features: &BTreeSet<Feature>) -> BTreeSet<Feature> {
        let handler = self.handlers.get(handler).cloned().unwrap_or_default();
        let has = |feature: &Feature| match feature {
            Feature::UserNamespaces => handler.user_namespaces,
            Feature::UserNamespacesHostNetwork => self.features.user_namespaces_host_network,
            Feature::RecursiveReadOnlyMounts => handler.recursive_read_only_mounts,
            Feature::StrictSupplementalGroups => self.features.supplemental_groups_policy,
            Feature::ImageVolumes | Feature::StopSignal => true,
        };
        features.iter().copied().filter(|feature| !has(feature)).collect()
    }
}

/// The features that hold, of pairs.
fn those<const N: usize>(pairs: [(bool, Feature); N]) -> BTreeSet<Feature> {
    pairs.into_iter().filter(|(holds, _)| *holds).map(|(_, feature)| feature).collect()
}

impl PodSandboxConfig {
    /// The features that this asks for.
    pub fn features(&self) -> BTreeSet<Feature> {
        let security = self.linux.as_ref().and_then(|linux| linux.security_context.as_ref());
        let Some(security) = security else { return BTreeSet::new() };
        let namespaces = security.namespace_options.as_ref();
        let users = namespaces.and_then(|namespaces| namespaces.userns_options.as_ref());
        let is_own = users.is_some_and(|users| users.mode() != NamespaceMode::Node);
        let is_on_host = namespaces.is_some_and(|namespaces| namespaces.network() == NamespaceMode::Node);
        those([
            (is_own, Feature::UserNamespaces),
            (is_own && is_on_host, Feature::UserNamespacesHostNetwork),
            (is_strict(security.supplemental_groups_policy()), Feature::StrictSupplementalGroups),
        ])
    }
}

impl ContainerConfig {
    /// The features that this asks for, beside those of its sandbox.
    pub fn features(&self) -> BTreeSet<Feature> {
        let security = self.linux.as_ref().and_then(|linux| linux.security_context.as_ref());
        let policy = security.map(LinuxContainerSecurityContext::supplemental_groups_policy);
        those([
            (self.mounts.iter().any(|mount| mount.recursive_read_only), Feature::RecursiveReadOnlyMounts),
            (policy.is_some_and(is_strict), Feature::StrictSupplementalGroups),
            (self.mounts.iter().any(|mount| mount.image.is_some()), Feature::ImageVolumes),
            (self.stop_signal() != Signal::RuntimeDefault, Feature::StopSignal),
        ])
    }
}

impl ContainerStatus {
    /// What the runtime ignored of a configuration, by what it says of the container that it made of it. To be asked
    /// between `CreateContainer` and `StartContainer`, of what [`Runtime::lacks`] cannot know.
    pub fn ignored(&self, asked: &ContainerConfig) -> BTreeSet<Feature> {
        let is_kept = |mount: &Mount| {
            let is_same = |kept: &&Mount| kept.container_path == mount.container_path;
            self.mounts.iter().find(is_same).is_some_and(|kept| kept.image.is_some())
        };
        let mut images = asked.mounts.iter().filter(|mount| mount.image.is_some());
        those([
            (images.any(|mount| !is_kept(mount)), Feature::ImageVolumes),
            (
                asked.stop_signal() != Signal::RuntimeDefault && asked.stop_signal != self.stop_signal,
                Feature::StopSignal,
            ),
        ])
    }
}

fn is_strict(policy: SupplementalGroupsPolicy) -> bool {
    policy == SupplementalGroupsPolicy::Strict
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sandbox(network: NamespaceMode, users: Option<NamespaceMode>, is_strict: bool) -> PodSandboxConfig {
        let userns_options = users.map(|mode| UserNamespace { mode: mode.into(), ..Default::default() });
        let namespaces = NamespaceOption { network: network.into(), userns_options, ..Default::default() };
        let security = LinuxSandboxSecurityContext {
            namespace_options: Some(namespaces),
            supplemental_groups_policy: i32::from(is_strict),
            ..Default::default()
        };
        let linux = LinuxPodSandboxConfig { security_context: Some(security), ..Default::default() };
        PodSandboxConfig { linux: Some(linux), ..Default::default() }
    }

    /// A container with all that runtimes may ignore.
    fn container() -> ContainerConfig {
        let mount = |path: &str| Mount { container_path: path.to_owned(), ..Default::default() };
        let security = LinuxContainerSecurityContext { supplemental_groups_policy: 1, ..Default::default() };
        ContainerConfig {
            mounts: vec![
                Mount { recursive_read_only: true, ..mount("/ro") },
                Mount { image: Some(ImageSpec::default()), ..mount("/image") },
            ],
            stop_signal: Signal::Sigusr1.into(),
            linux: Some(LinuxContainerConfig { security_context: Some(security), ..Default::default() }),
            ..Default::default()
        }
    }

    #[test]
    fn a_sandbox_asks_for_what_it_sets() {
        use Feature::{StrictSupplementalGroups, UserNamespaces, UserNamespacesHostNetwork};
        use NamespaceMode::{Node, Pod};
        let check = |network, users, is_strict, expected: &[Feature]| {
            let found: Vec<Feature> = sandbox(network, users, is_strict).features().into_iter().collect();
            assert_eq!(found, expected, "{network:?} {users:?} {is_strict}");
        };
        check(Pod, None, false, &[]);
        check(Node, Some(Node), false, &[]);
        check(Pod, Some(Pod), false, &[UserNamespaces]);
        check(Node, Some(Pod), false, &[UserNamespaces, UserNamespacesHostNetwork]);
        check(Pod, None, true, &[StrictSupplementalGroups]);
        assert!(PodSandboxConfig::default().features().is_empty());
    }

    #[test]
    fn a_container_asks_for_what_it_sets() {
        use Feature::{ImageVolumes, RecursiveReadOnlyMounts, StopSignal, StrictSupplementalGroups};
        let expected =
            BTreeSet::from([RecursiveReadOnlyMounts, StrictSupplementalGroups, ImageVolumes, StopSignal]);
        assert_eq!(container().features(), expected);
        assert!(ContainerConfig::default().features().is_empty());
    }

    #[test]
    fn a_status_tells_what_was_ignored() {
        let asked = container();
        let old = ContainerStatus { mounts: vec![asked.mounts[0].clone()], ..Default::default() };
        assert_eq!(old.ignored(&asked), BTreeSet::from([Feature::ImageVolumes, Feature::StopSignal]));
        let bare = Mount { image: None, ..asked.mounts[1].clone() };
        let echoed = ContainerStatus { mounts: vec![bare], ..Default::default() };
        assert!(echoed.ignored(&asked).contains(&Feature::ImageVolumes), "a mount without its image");
        let new = ContainerStatus {
            mounts: asked.mounts.clone(),
            stop_signal: asked.stop_signal,
            ..Default::default()
        };
        assert!(new.ignored(&asked).is_empty());
        assert!(ContainerStatus::default().ignored(&ContainerConfig::default()).is_empty());
    }

    #[test]
    fn a_runtime_lacks_what_it_does_not_say() {
        let all = &sandbox(NamespaceMode::Node, Some(NamespaceMode::Pod), true).features()
            | &container().features();
        let told = BTreeSet::from([
            Feature::UserNamespaces,
            Feature::UserNamespacesHostNetwork,
            Feature::RecursiveReadOnlyMounts,
            Feature::StrictSupplementalGroups,
        ]);
        let old = Runtime::read(
            VersionResponse::default(),
            StatusResponse::default(),
            &RuntimeConfigResponse::default(),
        );
        assert_eq!(old.lacks("", &all), told);
        assert_eq!(old.cgroup_driver, None);

        let features = RuntimeHandlerFeatures { recursive_read_only_mounts: true, user_namespaces: true };
        let status = StatusResponse {
            runtime_handlers: vec![RuntimeHandler { name: String::new(), features: Some(features) }],
            features: Some(RuntimeFeatures {
                supplemental_groups_policy: true,
                user_namespaces_host_network: true,
            }),
            ..Default::default()
        };
        let config = RuntimeConfigResponse { linux: Some(LinuxRuntimeConfiguration { cgroup_driver: 1 }) };
        let new = Runtime::read(VersionResponse::default(), status, &config);
        assert!(new.lacks("", &all).is_empty());
        let lacks = new.lacks("kata", &all);
        let per_handler = BTreeSet::from([Feature::UserNamespaces, Feature::RecursiveReadOnlyMounts]);
        assert_eq!(lacks, per_handler, "another handler");
        assert_eq!(new.cgroup_driver, Some(CgroupDriver::Cgroupfs));
    }
}
