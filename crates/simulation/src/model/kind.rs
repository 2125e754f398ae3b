//! The kinds that the model serves.

use std::sync::OnceLock;

use everynode_api::rollout_policy::{self, DEFINITION};
use everynode_apimachinery::resource::Model;
use everynode_local::up::parse;

/// A kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Node,
    Pod,
    DaemonSet,
    Revision,
    Lease,
    Namespace,
    ServiceAccount,
    ConfigMap,
    Event,
    Policy,
}

impl Kind {
    pub(crate) const ALL: [Kind; 10] = [
        Kind::Node,
        Kind::Pod,
        Kind::DaemonSet,
        Kind::Revision,
        Kind::Lease,
        Kind::Namespace,
        Kind::ServiceAccount,
        Kind::ConfigMap,
        Kind::Event,
        Kind::Policy,
    ];

    pub(crate) fn plural(self) -> &'static str {
        match self {
            Kind::Node => "nodes",
            Kind::Pod => "pods",
            Kind::DaemonSet => "daemonsets",
            Kind::Revision => "controllerrevisions",
            Kind::Lease => "leases",
            Kind::Namespace => "namespaces",
            Kind::ServiceAccount => "serviceaccounts",
            Kind::ConfigMap => "configmaps",
            Kind::Event => "events",
            Kind::Policy => rollout_policy::PLURAL,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Node => "Node",
            Kind::Pod => "Pod",
            Kind::DaemonSet => "DaemonSet",
            Kind::Revision => "ControllerRevision",
            Kind::Lease => "Lease",
            Kind::Namespace => "Namespace",
            Kind::ServiceAccount => "ServiceAccount",
            Kind::ConfigMap => "ConfigMap",
            Kind::Event => "Event",
            Kind::Policy => rollout_policy::KIND,
        }
    }

    pub(crate) fn group(self) -> &'static str {
        match self {
            Kind::DaemonSet | Kind::Revision => "apps",
            Kind::Lease => "coordination.k8s.io",
            Kind::Policy => everynode_api::GROUP,
            _ => "",
        }
    }

    fn version(self) -> &'static str {
        if self == Kind::Policy { "v1alpha1" } else { "v1" }
    }

    pub(crate) fn api_version(self) -> String {
        match self.group() {
            "" => self.version().to_owned(),
            group => format!("{group}/{}", self.version()),
        }
    }

    pub(crate) fn is_namespaced(self) -> bool {
        !matches!(self, Kind::Node | Kind::Namespace)
    }

    /// How bytes become an object of the kind, for patches.
    pub(crate) fn model(self) -> Option<Model> {
        if self == Kind::Policy {
            static POLICIES: OnceLock<Option<Model>> = OnceLock::new();
            return POLICIES.get_or_init(model_of_policies).clone();
        }
        everynode_apimachinery::resource_for(self.group(), self.version(), self.plural())?.model()
    }
}

/// By the definition that is deployed: what it does not name is not kept.
fn model_of_policies() -> Option<Model> {
    let documents = parse("the definition of RolloutPolicy", DEFINITION).ok()?;
    let resources = everynode_apimachinery::definition::resources(&documents.first()?.object).ok()?;
    resources.iter().find(|resource| resource.version == Kind::Policy.version())?.model()
}
