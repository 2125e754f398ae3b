//! What an agent is asked for that it does not do: said by its name, never passed over.

use std::fmt;

use super::{Container, Pod, PodSpec, ProjectedSource, VolumeSource};

/// A wish of a pod that this agent cannot carry out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// A field of the pod, by its path.
    Field(&'static str),
    /// A volume's source, by the volume's name and the source's field.
    Volume {
        /// The volume.
        name: String,
        /// The field of its source.
        source: String,
    },
    /// A field of a container, by the container's name.
    Container {
        /// The container.
        name: String,
        /// The path of the field within it.
        field: &'static str,
    },
    /// The operating system that the pod is for.
    OperatingSystem(String),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Field(path) => write!(f, "this node's agent does not support {path}"),
            Refused::Volume { name, source } if source.is_empty() => {
                write!(f, "volume {name:?} has an empty source")
            }
            Refused::Volume { name, source } => {
                write!(f, "volume {name:?}: this node's agent does not support volumes of the type {source}")
            }
            Refused::Container { name, field } => {
                write!(f, "container {name:?}: this node's agent does not support {field}")
            }
            Refused::OperatingSystem(name) => write!(f, "the pod is for {name}, this node runs linux"),
        }
    }
}

impl Pod {
    /// The first wish that cannot be carried out.
    pub fn refused(&self) -> Option<Refused> {
        let spec = &self.spec;
        let containers = || spec.init_containers.iter().chain(&spec.containers);
        operating_system(spec)
            .or_else(|| field(spec).map(Refused::Field))
            .or_else(|| spec.volumes.iter().find_map(|volume| source(&volume.name, &volume.source)))
            .or_else(|| containers().find_map(container))
    }
}

fn operating_system(spec: &PodSpec) -> Option<Refused> {
    let os = spec.os.as_ref().filter(|os| os.name != "linux")?;
    Some(Refused::OperatingSystem(os.name.clone()))
}

fn field(spec: &PodSpec) -> Option<&'static str> {
    let asked = [
        (spec.host_users == Some(false), "spec.hostUsers: false"),
        (!spec.resource_claims.is_empty(), "spec.resourceClaims"),
        (!spec.ephemeral_containers.is_empty(), "spec.ephemeralContainers"),
        (spec.set_hostname_as_fqdn == Some(true), "spec.setHostnameAsFQDN"),
    ];
    asked.into_iter().find_map(|(is_asked, path)| is_asked.then_some(path))
}

fn source(volume: &str, source: &VolumeSource) -> Option<Refused> {
    let refused = |source: &str| Refused::Volume { name: volume.to_owned(), source: source.to_owned() };
    match source {
        VolumeSource::Other(kind) => Some(refused(kind)),
        VolumeSource::Projected(projected) => projected.sources.iter().find_map(|part| match part {
            ProjectedSource::Other(kind) => Some(refused(kind)),
            _ => None,
        }),
        VolumeSource::EmptyDir(folder) if folder.medium.starts_with("HugePages") => {
            Some(refused("emptyDir with medium HugePages"))
        }
        _ => None,
    }
}

fn container(container: &Container) -> Option<Refused> {
    let reads_file =
        |env: &super::EnvVar| env.value_from.as_ref().is_some_and(|from| from.file_key_ref.is_some());
    let asked = [
        (!container.volume_devices.is_empty(), "volumeDevices"),
        (!container.resources.claims.is_empty(), "resources.claims"),
        (container.env.iter().any(reads_file), "env.valueFrom.fileKeyRef"),
        (container.lifecycle.stop_signal.is_some(), "lifecycle.stopSignal"),
    ];
    let field = asked.into_iter().find_map(|(is_asked, field)| is_asked.then_some(field))?;
    Some(Refused::Container { name: container.name.clone(), field })
}
