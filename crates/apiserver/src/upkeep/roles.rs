//! The roles and bindings that every cluster has: of those of Kubernetes the ones that concern what is served here, under
//! their names there. One that is there already is left as it is.

use everynode_model::Value;
use serde_json::json;

use crate::authz::GROUP;

/// A rule.
enum Rule {
    /// Verbs, API group, resources.
    On(&'static str, &'static str, &'static str),
    /// Verbs, API group, resources, names of objects.
    Named(&'static str, &'static str, &'static str, &'static str),
    /// Verbs, paths.
    Paths(&'static str, &'static str),
}

use Rule::{Named, On, Paths};

/// A role: its name, the role to which it is added, and its rules.
type Role = (&'static str, &'static str, &'static [Rule]);

const READ: &str = "get list watch";
const WRITE: &str = "create delete deletecollection patch update";
const CERTIFICATES: &str = "certificates.k8s.io";

const ROLES: &[Role] = &[
    ("cluster-admin", "", &[On("*", "*", "*"), Paths("*", "*")]),
    (
        "system:discovery",
        "",
        &[Paths(
            "get",
            "/api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/",
        )],
    ),
    ("system:public-info-viewer", "", &[Paths("get", "/healthz /livez /readyz /version /version/")]),
    (
        "system:basic-user",
        "",
        &[
            On("create", "authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews"),
            On("create", "authentication.k8s.io", "selfsubjectreviews"),
        ],
    ),
    (
        "system:auth-delegator",
        "",
        &[
            On("create", "authentication.k8s.io", "tokenreviews"),
            On("create", "authorization.k8s.io", "subjectaccessreviews"),
        ],
    ),
    (
        "system:service-account-issuer-discovery",
        "",
        &[Paths(
            "get",
            "/.well-known/openid-configuration /.well-known/openid-configuration/ /openid/v1/jwks /openid/v1/jwks/",
        )],
    ),
    (
        "system:monitoring",
        "",
        &[
            Paths("get", "/healthz /healthz/* /livez /livez/* /metrics /readyz /readyz/*"),
            On("get", "", "nodes/metrics"),
        ],
    ),
    (
        "system:kubelet-api-admin",
        "",
        &[
            On(READ, "", "nodes"),
            On("proxy", "", "nodes"),
            On(
                "*",
                "",
                "nodes/configz nodes/healthz nodes/log nodes/metrics nodes/pods nodes/proxy nodes/stats",
            ),
        ],
    ),
    (
        "system:node-proxier",
        "",
        &[
            On("list watch", "", "endpoints services"),
            On(READ, "", "nodes"),
            On("create patch update", "", "events"),
            On("create patch update", "events.k8s.io", "events"),
            On("list watch", "discovery.k8s.io", "endpointslices"),
        ],
    ),
    (
        "system:node-bootstrapper",
        "",
        &[On("create get list watch", CERTIFICATES, "certificatesigningrequests")],
    ),
    (
        "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
        "",
        &[On("create", CERTIFICATES, "certificatesigningrequests/nodeclient")],
    ),
    (
        "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
        "",
        &[On("create", CERTIFICATES, "certificatesigningrequests/selfnodeclient")],
    ),
    (
        "system:certificates.k8s.io:kube-apiserver-client-approver",
        "",
        &[Named("approve", CERTIFICATES, "signers", "kubernetes.io/kube-apiserver-client")],
    ),
    (
        "system:certificates.k8s.io:kube-apiserver-client-kubelet-approver",
        "",
        &[Named("approve", CERTIFICATES, "signers", "kubernetes.io/kube-apiserver-client-kubelet")],
    ),
    (
        "system:certificates.k8s.io:kubelet-serving-approver",
        "",
        &[Named("approve", CERTIFICATES, "signers", "kubernetes.io/kubelet-serving")],
    ),
    (
        "system:aggregate-to-view",
        "view",
        &[
            On(
                READ,
                "",
                "bindings configmaps endpoints events limitranges namespaces namespaces/status persistentvolumeclaims persistentvolumeclaims/status pods pods/log pods/status replicationcontrollers replicationcontrollers/scale replicationcontrollers/status resourcequotas resourcequotas/status serviceaccounts services services/status",
            ),
            On(READ, "events.k8s.io", "events"),
            On(READ, "discovery.k8s.io", "endpointslices"),
            On(
                READ,
                "apps",
                "controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status replicasets replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status",
            ),
            On(READ, "autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status"),
            On(READ, "batch", "cronjobs cronjobs/status jobs jobs/status"),
            On(READ, "policy", "poddisruptionbudgets poddisruptionbudgets/status"),
            On(READ, "networking.k8s.io", "ingresses ingresses/status networkpolicies"),
        ],
    ),
    (
        "system:aggregate-to-edit",
        "edit",
        &[
            On(READ, "", "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy"),
            On("impersonate", "", "serviceaccounts"),
            On(
                WRITE,
                "",
                "configmaps events persistentvolumeclaims pods pods/attach pods/exec pods/portforward pods/proxy replicationcontrollers replicationcontrollers/scale secrets serviceaccounts services services/proxy",
            ),
            On("create", "", "pods/eviction serviceaccounts/token"),
            On(WRITE, "events.k8s.io", "events"),
            On(
                WRITE,
                "apps",
                "daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale statefulsets statefulsets/scale",
            ),
            On(WRITE, "autoscaling", "horizontalpodautoscalers"),
            On(WRITE, "batch", "cronjobs jobs"),
            On(WRITE, "policy", "poddisruptionbudgets"),
            On(WRITE, "networking.k8s.io", "ingresses networkpolicies"),
            On("create delete deletecollection get list patch update watch", "coordination.k8s.io", "leases"),
        ],
    ),
    (
        "system:aggregate-to-admin",
        "admin",
        &[
            On("create", "authorization.k8s.io", "localsubjectaccessreviews"),
            On("create delete deletecollection get list patch update watch", GROUP, "rolebindings roles"),
        ],
    ),
];

/// The roles that are put together of others, and the one to which each is added.
const AGGREGATED: &[(&str, &str)] = &[("admin", ""), ("edit", "admin"), ("view", "edit")];

/// A binding to the role of its name: kinds and names of its subjects.
const BINDINGS: &[(&str, &[(&str, &str)])] = &[
    ("cluster-admin", &[("Group", "system:masters")]),
    ("system:basic-user", &[("Group", "system:authenticated")]),
    ("system:discovery", &[("Group", "system:authenticated")]),
    ("system:public-info-viewer", &[("Group", "system:authenticated"), ("Group", "system:unauthenticated")]),
    ("system:service-account-issuer-discovery", &[("Group", "system:serviceaccounts")]),
    ("system:monitoring", &[("Group", "system:monitoring")]),
    ("system:node-proxier", &[("User", "system:kube-proxy")]),
];

/// The cluster roles.
pub fn cluster_roles() -> impl Iterator<Item = Value> {
    let own = ROLES.iter().map(|(name, added_to, rules)| {
        let mut role = named(name, added_to);
        role["rules"] = rules.iter().map(rule).collect();
        role
    });
    let aggregated = AGGREGATED.iter().map(|(name, added_to)| {
        let mut role = named(name, added_to);
        role["aggregationRule"] = json!({ "clusterRoleSelectors": [{ "matchLabels": added_label(name) }] });
        role
    });
    own.chain(aggregated)
}

/// The cluster role bindings.
pub fn cluster_role_bindings() -> impl Iterator<Item = Value> {
    BINDINGS.iter().map(|(name, subjects)| {
        let mut binding = named(name, "");
        let subject = |(kind, name): &(&str, &str)| json!({ "kind": kind, "apiGroup": GROUP, "name": name });
        binding["subjects"] = subjects.iter().map(subject).collect();
        binding["roleRef"] = json!({ "apiGroup": GROUP, "kind": "ClusterRole", "name": name });
        binding
    })
}

fn named(name: &str, added_to: &str) -> Value {
    let mut labels = match added_to {
        "" => json!({}),
        role => added_label(role),
    };
    labels["kubernetes.io/bootstrapping"] = "rbac-defaults".into();
    json!({ "metadata": { "name": name, "labels": labels } })
}

/// By which a role is added to another one.
fn added_label(role: &str) -> Value {
    json!({ (format!("rbac.authorization.k8s.io/aggregate-to-{role}")): "true" })
}

fn rule(rule: &Rule) -> Value {
    let words = |text: &str| -> Value { text.split(' ').map(Value::from).collect() };
    match rule {
        On(verbs, group, resources) => {
            json!({ "verbs": words(verbs), "apiGroups": [group], "resources": words(resources) })
        }
        Named(verbs, group, resources, names) => json!({
            "verbs": words(verbs),
            "apiGroups": [group],
            "resources": words(resources),
            "resourceNames": words(names),
        }),
        Paths(verbs, paths) => json!({ "verbs": words(verbs), "nonResourceURLs": words(paths) }),
    }
}
