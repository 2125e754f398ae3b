//! What admission looks up.

use everynode_model::Value;
use serde::{Deserialize, Serialize};

/// The kinds of object that decide about new pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    /// core/v1 Namespace.
    Namespace,
    /// core/v1 ServiceAccount.
    ServiceAccount,
    /// scheduling.k8s.io/v1 PriorityClass.
    PriorityClass,
    /// node.k8s.io/v1 RuntimeClass.
    RuntimeClass,
    /// core/v1 LimitRange.
    LimitRange,
    /// core/v1 ResourceQuota.
    ResourceQuota,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 6] = [
        Kind::Namespace,
        Kind::ServiceAccount,
        Kind::PriorityClass,
        Kind::RuntimeClass,
        Kind::LimitRange,
        Kind::ResourceQuota,
    ];

    /// The group, empty for the core group. All are of version v1.
    pub fn group(self) -> &'static str {
        match self {
            Kind::PriorityClass => "scheduling.k8s.io",
            Kind::RuntimeClass => "node.k8s.io",
            _ => "",
        }
    }

    /// `kind` of its objects.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Namespace => "Namespace",
            Kind::ServiceAccount => "ServiceAccount",
            Kind::PriorityClass => "PriorityClass",
            Kind::RuntimeClass => "RuntimeClass",
            Kind::LimitRange => "LimitRange",
            Kind::ResourceQuota => "ResourceQuota",
        }
    }

    /// The resource, as in paths.
    pub fn plural(self) -> &'static str {
        match self {
            Kind::Namespace => "namespaces",
            Kind::ServiceAccount => "serviceaccounts",
            Kind::PriorityClass => "priorityclasses",
            Kind::RuntimeClass => "runtimeclasses",
            Kind::LimitRange => "limitranges",
            Kind::ResourceQuota => "resourcequotas",
        }
    }

    /// Its objects are in namespaces.
    pub fn is_namespaced(self) -> bool {
        matches!(self, Kind::ServiceAccount | Kind::LimitRange | Kind::ResourceQuota)
    }

    /// The kind of an object by its `apiVersion` and `kind`.
    pub fn of(object: &Value) -> Option<Kind> {
        let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
        let is_it = |kind: &Kind| {
            let group = text("apiVersion").rsplit_once('/').map_or("", |(group, _)| group);
            kind.name() == text("kind") && kind.group() == group
        };
        Kind::ALL.into_iter().find(is_it)
    }
}

/// The objects around a new pod.
pub trait View {
    /// An object as served; the namespace is empty for kinds without.
    fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<Value>;

    /// All objects of a kind, of a namespace where the kind has them, by name.
    fn list(&self, kind: Kind, namespace: &str) -> Vec<Value>;

    /// A label of a node; `None` also when there is no such node.
    fn node_label(&self, node: &str, key: &str) -> Option<String>;

    /// Pods get the token of their ServiceAccount, and are refused when there is none.
    fn checks_service_accounts(&self) -> bool {
        true
    }
}
