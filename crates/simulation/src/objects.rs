//! The objects that worlds are made of.

use everynode_model::Value;
use serde_json::json;

/// How a DaemonSet of a world begins.
#[derive(Clone, Debug)]
pub(crate) struct NewDaemonSet {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) image: String,
    pub(crate) strategy: Value,
    pub(crate) min_ready_seconds: i64,
    pub(crate) tolerates_all: bool,
    pub(crate) names_by_node: bool,
    /// A node on which no pod of it becomes ready.
    pub(crate) never_ready_on: Option<String>,
    /// How a pod keeps a second one from its node.
    pub(crate) hold: Hold,
}

/// The ways in which a pod can keep a second one of its template from its node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Hold {
    #[default]
    None,
    HostPort,
    /// Its ports are host ports because it is in the host's network.
    HostNetwork,
}

impl NewDaemonSet {
    /// One with a rolling update of one node at a time.
    pub(crate) fn new(namespace: &str, name: &str) -> NewDaemonSet {
        NewDaemonSet {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            image: image(1),
            strategy: rolling(json!(1), json!(0)),
            min_ready_seconds: 0,
            tolerates_all: false,
            names_by_node: false,
            never_ready_on: None,
            hold: Hold::None,
        }
    }

    pub(crate) fn object(&self) -> Value {
        let NewDaemonSet { name, image, strategy, .. } = self;
        let mut object = json!({
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": {"name": name, "namespace": self.namespace, "labels": {"app": name}},
            "spec": {
                "selector": {"matchLabels": {"app": name}},
                "updateStrategy": strategy,
                "minReadySeconds": self.min_ready_seconds,
                "revisionHistoryLimit": 10,
                "template": {
                    "metadata": {"labels": {"app": name}},
                    "spec": {
                        "containers": [{"name": "daemon", "image": image, "resources": {}}],
                        "restartPolicy": "Always",
                        "terminationGracePeriodSeconds": 30,
                    },
                },
            },
        });
        if self.tolerates_all {
            object["spec"]["template"]["spec"]["tolerations"] = json!([{"operator": "Exists"}]);
        }
        let (template, port) =
            (&mut object["spec"]["template"], 9000 + self.name.len() + usize::from(name.as_bytes()[1]));
        match self.hold {
            Hold::None => {}
            Hold::HostPort => {
                template["spec"]["containers"][0]["ports"] =
                    json!([{"containerPort": port, "hostPort": port}]);
            }
            Hold::HostNetwork => {
                template["spec"]["containers"][0]["ports"] = json!([{"containerPort": port}]);
                template["spec"]["hostNetwork"] = true.into();
            }
        }
        if let Some(node) = &self.never_ready_on {
            template["metadata"]["annotations"] = json!({
                NEVER_READY: "true",
                "simulate.everynode.dev/fail-on-nodes": format!("kubernetes.io/hostname={node}"),
            });
        }
        if self.names_by_node {
            object["metadata"]["annotations"] = json!({"everynode.dev/pod-names": "node"});
        }
        object
    }
}

/// The annotation of pods that are never ready.
pub(crate) const NEVER_READY: &str = "simulate.everynode.dev/never-ready";

/// An image that cannot be pulled.
pub(crate) const BAD_IMAGE: &str = "example.com/daemon:non-existent";

/// The image of a version.
pub(crate) fn image(version: u32) -> String {
    format!("example.com/daemon:{version}")
}

pub(crate) fn rolling(max_unavailable: Value, max_surge: Value) -> Value {
    json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": max_unavailable, "maxSurge": max_surge}})
}

/// A RolloutPolicy.
pub(crate) fn policy(namespace: &str, name: &str, spec: Value) -> Value {
    let metadata = json!({"name": name, "namespace": namespace});
    json!({"apiVersion": "everynode.dev/v1alpha1", "kind": "RolloutPolicy", "metadata": metadata, "spec": spec})
}

pub(crate) fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

/// A pod that nobody controls, on a node.
pub(crate) fn orphan(namespace: &str, name: &str, node: &str, app: &str, image: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": app}},
        "spec": {
            "nodeName": node,
            "containers": [{"name": "daemon", "image": image, "resources": {}}],
            "terminationGracePeriodSeconds": 30,
            "tolerations": [{"operator": "Exists"}],
        },
    })
}
