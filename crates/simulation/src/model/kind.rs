//! The kinds that the model serves.

use everynode_wire::schema::Type;

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
}

impl Kind {
    pub(crate) const ALL: [Kind; 9] = [
        Kind::Node,
        Kind::Pod,
        Kind::DaemonSet,
        Kind::Revision,
        Kind::Lease,
        Kind::Namespace,
        Kind::ServiceAccount,
        Kind::ConfigMap,
        Kind::Event,
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
        }
    }

    pub(crate) fn group(self) -> &'static str {
        match self {
            Kind::DaemonSet | Kind::Revision => "apps",
            Kind::Lease => "coordination.k8s.io",
            _ => "",
        }
    }

    pub(crate) fn api_version(self) -> String {
        match self.group() {
            "" => "v1".to_owned(),
            group => format!("{group}/v1"),
        }
    }

    pub(crate) fn is_namespaced(self) -> bool {
        !matches!(self, Kind::Node | Kind::Namespace)
    }

    /// The schema of the kind, for patches.
    pub(crate) fn schema(self) -> Option<&'static Type> {
        let resource = everynode_wire::resource_for(self.group(), "v1", self.plural())?;
        everynode_wire::schema::type_named(resource.type_name)
    }
}
