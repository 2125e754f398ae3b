//! A pod template: its text as served, and the parts of it that decisions read.

use everynode_model::Requirement;
use everynode_model::json::{items, string_pairs};
use serde_json::Value;

use crate::placement::{Effect, NodeSelectorTerm, Placement, Toleration};

/// A pod template of a DaemonSet.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    value: Value,
    labels: Vec<(String, String)>,
    placement: Placement,
}

/// The tolerations that every daemon pod gets, in this order ([C1](crate::spec#c1)): key and effect; the
/// operator is Exists.
pub(crate) const DEFAULT_TOLERATIONS: [(&str, Effect); 6] = [
    ("node.kubernetes.io/not-ready", Effect::NoExecute),
    ("node.kubernetes.io/unreachable", Effect::NoExecute),
    ("node.kubernetes.io/disk-pressure", Effect::NoSchedule),
    ("node.kubernetes.io/memory-pressure", Effect::NoSchedule),
    ("node.kubernetes.io/pid-pressure", Effect::NoSchedule),
    ("node.kubernetes.io/unschedulable", Effect::NoSchedule),
];

/// The one that only pods on the host's network get, after the others ([C1](crate::spec#c1)).
pub(crate) const HOST_NETWORK_TOLERATION: (&str, Effect) =
    ("node.kubernetes.io/network-unavailable", Effect::NoSchedule);

impl Template {
    /// Reads spec.template of a served DaemonSet. Parts that are not of the right form are taken as absent: the API
    /// server has validated the object.
    pub fn new(value: Value) -> Self {
        let labels = string_pairs(&value["metadata"]["labels"]);
        let mut placement = pod_placement(&value["spec"]);
        add_default_tolerations(&mut placement.tolerations, is_host_network(&value["spec"]));
        Template { value, labels, placement }
    }

    /// The template as served.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// metadata.labels.
    pub fn labels(&self) -> &[(String, String)] {
        &self.labels
    }

    /// Where its daemon pods can be, the default tolerations included.
    pub fn placement(&self) -> &Placement {
        &self.placement
    }
}

pub(crate) fn is_host_network(spec: &Value) -> bool {
    spec["hostNetwork"].as_bool().unwrap_or(false)
}

fn add_default_tolerations(tolerations: &mut Vec<Toleration>, host_network: bool) {
    let host_network = host_network.then_some(HOST_NETWORK_TOLERATION);
    for (key, effect) in DEFAULT_TOLERATIONS.into_iter().chain(host_network) {
        let default = Toleration {
            key: key.to_owned(),
            exists: true,
            unreadable: false,
            value: String::new(),
            effect: Some(effect),
        };
        if !tolerations.contains(&default) {
            tolerations.push(default);
        }
    }
}

/// What a pod spec says about nodes: nodeName, nodeSelector, required node affinity and tolerations.
pub fn pod_placement(spec: &Value) -> Placement {
    let required = &spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    Placement {
        node_name: spec["nodeName"].as_str().filter(|name| !name.is_empty()).map(str::to_owned),
        node_selector: string_pairs(&spec["nodeSelector"]),
        required_terms: required
            .as_object()
            .map(|_| items(&required["nodeSelectorTerms"]).map(node_selector_term).collect()),
        tolerations: items(&spec["tolerations"]).map(Toleration::from_json).collect(),
    }
}

fn node_selector_term(term: &Value) -> NodeSelectorTerm {
    let mut unreadable = false;
    let mut read = |list: &Value| -> Vec<Requirement> {
        let found: Vec<Option<Requirement>> = items(list).map(Requirement::from_json).collect();
        unreadable |= found.iter().any(Option::is_none);
        found.into_iter().flatten().collect()
    };
    let match_expressions = read(&term["matchExpressions"]);
    let match_fields = read(&term["matchFields"]);
    NodeSelectorTerm { match_expressions, match_fields, unreadable }
}
