//! RolloutPolicies as the engine is told of them.

use everynode_api::{Command, PolicySpec, PolicyStatus};
use serde_json::Value;

use crate::base::Uid;
use crate::facts::DaemonSetFact;

/// Which policy.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PolicyRef {
    /// metadata.namespace.
    pub namespace: String,
    /// metadata.name.
    pub name: String,
    /// metadata.uid.
    pub uid: Uid,
}

/// A RolloutPolicy as served.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyFact {
    /// Which one.
    pub key: PolicyRef,
    /// metadata.generation.
    pub generation: i64,
    /// What it says.
    pub spec: PolicySpec,
    /// Commands that people have left in annotations, each with the revision that it is for.
    pub commands: Vec<(Command, String)>,
    /// status, as the API server has it.
    pub status: PolicyStatus,
}

impl PolicyFact {
    /// Reads a served RolloutPolicy; `None` when it has no name, namespace or proper uid.
    pub fn from_json(object: &Value) -> Option<Self> {
        let metadata = &object["metadata"];
        Some(PolicyFact {
            key: PolicyRef {
                namespace: metadata["namespace"].as_str()?.to_owned(),
                name: metadata["name"].as_str()?.to_owned(),
                uid: Uid::parse(metadata["uid"].as_str()?)?,
            },
            generation: metadata["generation"].as_i64().unwrap_or_default(),
            spec: PolicySpec::from_json(&object["spec"]),
            commands: Command::among(&metadata["annotations"]),
            status: PolicyStatus::from_json(&object["status"]),
        })
    }

    /// The policy is for a DaemonSet.
    pub fn selects(&self, daemonset: &DaemonSetFact) -> bool {
        let labels = &daemonset.labels;
        let label = |key: &str| labels.iter().find(|(one, _)| one == key).map(|(_, value)| value.as_str());
        self.key.namespace == daemonset.namespace && self.spec.selector.selects(label)
    }

    /// The value of a command.
    pub(crate) fn command(&self, command: Command) -> Option<&str> {
        self.commands.iter().find(|(one, _)| *one == command).map(|(_, value)| value.as_str())
    }
}
