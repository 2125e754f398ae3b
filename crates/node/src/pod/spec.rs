//! What a pod asks of its node, as far as its life is concerned.

use std::mem;
use std::time::Duration;

use everynode_model::Pod;
use serde_json::value::RawValue;

use crate::facts;
use crate::faults::Restarts;
use crate::load::{Draw, uniform};
use crate::status::Timestamp;

/// What does not change while a pod lives, but for the generation and the resources of containers.
#[derive(Debug)]
pub(crate) struct PodFacts {
    pub namespace: Box<str>,
    pub name: Box<str>,
    pub uid: Box<str>,
    pub generation: i64,
    pub init_containers: Box<[Container]>,
    pub containers: Box<[Container]>,
    pub ephemeral_containers: Box<[EphemeralContainer]>,
    pub restarts: RestartPolicy,
    pub host_network: bool,
    pub probe_delay: Duration,
    pub prestop: Duration,
}

/// One container: its name, image and resources, and whether it is an init container that keeps running.
#[derive(Debug)]
pub(crate) struct Container {
    pub name: Box<str>,
    pub image: Box<str>,
    pub sidecar: bool,
    /// As the API shows them; none where they are empty.
    pub resources: Option<Box<RawValue>>,
}

/// A container that was added while the pod ran.
#[derive(Debug)]
pub(crate) struct EphemeralContainer {
    pub name: Box<str>,
    pub image: Box<str>,
    pub started: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RestartPolicy {
    Always,
    OnFailure,
    Never,
}

impl PodFacts {
    pub(super) fn read(pod: &Pod<'_>) -> PodFacts {
        let spec = &pod.spec;
        let containers = facts::containers(spec.containers);
        let probe_delay = containers.iter().filter_map(|c| c.readiness_probe.as_ref());
        let prestop =
            containers.iter().filter_map(|c| c.lifecycle.as_ref()?.pre_stop.as_ref()?.sleep.as_ref());
        PodFacts {
            namespace: (*pod.metadata.namespace).into(),
            name: (*pod.metadata.name).into(),
            uid: (*pod.metadata.uid).into(),
            generation: pod.metadata.generation,
            init_containers: facts::containers(spec.init_containers).iter().map(Container::read).collect(),
            containers: containers.iter().map(Container::read).collect(),
            ephemeral_containers: Box::default(),
            restarts: match &*spec.restart_policy {
                "Never" => RestartPolicy::Never,
                "OnFailure" => RestartPolicy::OnFailure,
                _ => RestartPolicy::Always,
            },
            host_network: spec.host_network,
            probe_delay: seconds(probe_delay.map(|probe| probe.initial_delay_seconds).max()),
            prestop: seconds(prestop.map(|sleep| sleep.seconds).max()),
        }
    }

    /// How long the containers run until they end by chance, after so many restarts.
    pub(super) fn next_end(&self, restarts: Restarts, restart_count: u32) -> Duration {
        let drawn = -uniform(Draw::new("end").of(&self.uid).number(restart_count.into())).ln();
        let seconds = drawn / restarts.per_hour * 3_600.0;
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }

    /// Takes over what the containers ask for now, which they are given at once, and their images. Returns whether an
    /// image is another one: then they have to be started anew.
    pub(super) fn take_containers(&mut self, pod: &Pod<'_>) -> bool {
        let mut is_other_image = false;
        for (is_init, known, shown) in [
            (true, &mut self.init_containers, pod.spec.init_containers),
            (false, &mut self.containers, pod.spec.containers),
        ] {
            for (known, shown) in known.iter_mut().zip(&facts::containers(shown)) {
                let shown = Container::read(shown);
                // Init containers have run.
                is_other_image |= known.image != shown.image && !is_init;
                (known.resources, known.image) = (shown.resources, shown.image);
            }
        }
        is_other_image
    }

    /// Takes over the containers that were added to look into the pod. They never go, and those that are new start now.
    pub(super) fn take_ephemeral_containers(&mut self, pod: &Pod<'_>, now: Timestamp) {
        let known = self.ephemeral_containers.len();
        let shown = facts::containers(pod.spec.ephemeral_containers);
        if shown.len() <= known {
            return;
        }
        let added = shown.iter().skip(known).map(|one| EphemeralContainer {
            name: (*one.name).into(),
            image: (*one.image).into(),
            started: now,
        });
        self.ephemeral_containers =
            mem::take(&mut self.ephemeral_containers).into_iter().chain(added).collect();
    }

    /// The first image that cannot be pulled: one whose tag is `non-existent`.
    pub(crate) fn cannot_be_pulled(&self) -> Option<&str> {
        let mut images =
            self.init_containers.iter().chain(&self.containers).map(|container| &*container.image);
        images.find(|image| is_unpullable(image))
    }
}

pub(crate) fn is_unpullable(image: &str) -> bool {
    image.ends_with(":non-existent")
}

impl Container {
    fn read(spec: &facts::ContainerSpec<'_>) -> Container {
        Container {
            name: (*spec.name).into(),
            image: (*spec.image).into(),
            sidecar: spec.restart_policy == "Always",
            resources: spec.resources.filter(|one| one.get() != "{}").map(RawValue::to_owned),
        }
    }
}

fn seconds(count: Option<u32>) -> Duration {
    Duration::from_secs(u64::from(count.unwrap_or(0)))
}
