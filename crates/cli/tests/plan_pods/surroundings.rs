//! What is around generated templates.

use fastrand::Rng;
use serde_json::{Value, json};

/// Quantities of cpu and of memory, from little to more than a node has.
pub const CPU: [&str; 6] = ["10m", "100m", "0.5", "1", "1500m", "5"];
pub const MEMORY: [&str; 5] = ["16Mi", "100M", "1Gi", "1.5Gi", "9Gi"];

/// One of several, at random.
pub fn one<'a, T>(of: &'a [T], random: &mut Rng) -> &'a T {
    &of[random.usize(..of.len())]
}

/// True once in so many times.
pub fn sometimes(in_so_many: u8, random: &mut Rng) -> bool {
    random.u8(..in_so_many) == 0
}

/// A list of resources; it may be empty.
pub fn resources(random: &mut Rng) -> Value {
    let mut list = json!({});
    if random.bool() {
        list["cpu"] = (*one(&CPU, random)).into();
    }
    if random.bool() {
        list["memory"] = (*one(&MEMORY, random)).into();
    }
    if sometimes(6, random) {
        list["ephemeral-storage"] = "1Gi".into();
    }
    list
}

/// Objects of the whole cluster, the same for all templates of a server.
pub struct Cluster {
    nodes: Vec<Value>,
    classes: Vec<Value>,
}

/// Names of classes that may be there.
pub const CLASSES: [&str; 3] = ["one", "two", "three"];

impl Cluster {
    pub fn random(seed: u64) -> Cluster {
        let mut random = Rng::with_seed(seed);
        let node = |index: usize| {
            json!({
                "apiVersion": "v1", "kind": "Node",
                "metadata": {"name": format!("n{index}"), "labels": {"kubernetes.io/os": "linux"}},
            })
        };
        let mut classes = Vec::new();
        for name in CLASSES {
            if random.bool() {
                classes.push(priority_class(name, classes.is_empty() && random.bool(), &mut random));
            }
            if random.bool() {
                classes.push(runtime_class(name, &mut random));
            }
        }
        Cluster { nodes: (0..3).map(node).collect(), classes }
    }

    pub fn objects(&self) -> impl Iterator<Item = &Value> {
        self.nodes.iter().chain(&self.classes)
    }

    /// The name of a class of a kind that is there, or of none.
    pub fn class(&self, kind: &str, random: &mut Rng) -> String {
        let there: Vec<&Value> = self.classes.iter().filter(|class| class["kind"] == kind).collect();
        match there.is_empty() || sometimes(5, random) {
            true => (*one(&CLASSES, random)).to_owned(),
            false => one(&there, random)["metadata"]["name"].as_str().expect("a name").to_owned(),
        }
    }
}

fn priority_class(name: &str, is_default: bool, random: &mut Rng) -> Value {
    let mut class = json!({
        "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass",
        "metadata": {"name": name}, "value": random.i32(-10..1000), "globalDefault": is_default,
    });
    if random.bool() {
        class["preemptionPolicy"] = (*one(&["Never", "PreemptLowerPriority"], random)).into();
    }
    class
}

fn runtime_class(name: &str, random: &mut Rng) -> Value {
    let mut class = json!({
        "apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": name}, "handler": "h",
    });
    if random.bool() {
        class["overhead"] = json!({"podFixed": {"cpu": *one(&CPU, random), "memory": "16Mi"}});
    }
    if random.bool() {
        class["scheduling"] = json!({"nodeSelector": {"pool": *one(&["a", "b"], random)}});
    }
    if random.bool() {
        let toleration = json!({"key": "sandbox", "operator": "Exists", "effect": "NoSchedule"});
        class["scheduling"]["tolerations"] = json!([toleration]);
    }
    class
}

/// Objects of the namespace of a template.
pub fn of_namespace(namespace: &str, random: &mut Rng) -> Vec<Value> {
    let mut objects = Vec::new();
    let metadata = |name: &str| json!({"name": name, "namespace": namespace});
    if !sometimes(3, random) {
        let mut account =
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata("agent")});
        if sometimes(3, random) {
            account["automountServiceAccountToken"] = random.bool().into();
        }
        if sometimes(3, random) {
            account["imagePullSecrets"] = json!([{"name": "registry"}]);
        }
        objects.push(account);
    }
    for name in ["a", "b"] {
        if sometimes(4, random) {
            let limits: Vec<Value> = (0..random.usize(1..=2)).map(|_| limit(random)).collect();
            objects.push(json!({
                "apiVersion": "v1", "kind": "LimitRange", "metadata": metadata(name), "spec": {"limits": limits},
            }));
        }
        if sometimes(4, random) {
            objects.push(json!({
                "apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata(name), "spec": quota(random),
            }));
        }
    }
    objects
}

/// One item of a limit range. Bounds are wide, or nothing would be made.
fn limit(random: &mut Rng) -> Value {
    let mut limit = json!({"type": *one(&["Container", "Container", "Pod"], random)});
    if limit["type"] == "Container" {
        if random.bool() {
            limit["defaultRequest"] = json!({"cpu": *one(&CPU[..3], random)});
        }
        if random.bool() {
            limit["default"] = json!({"cpu": *one(&CPU[2..5], random), "memory": *one(&MEMORY, random)});
        }
    }
    if sometimes(3, random) {
        limit["max"] = json!({"cpu": *one(&CPU[3..], random)});
    }
    if sometimes(4, random) {
        limit["min"] = json!({"cpu": *one(&CPU[..2], random)});
    }
    if sometimes(5, random) {
        limit["maxLimitRequestRatio"] = json!({"cpu": *one(&["2", "10", "1.5"], random)});
    }
    limit
}

fn quota(random: &mut Rng) -> Value {
    let mut hard = json!({});
    let some = [
        ("pods", "2"),
        ("pods", "10"),
        ("count/pods", "3"),
        ("requests.cpu", "1"),
        ("cpu", "3500m"),
        ("limits.cpu", "2"),
        ("limits.memory", "3Gi"),
        ("requests.memory", "250M"),
        ("requests.ephemeral-storage", "2Gi"),
        ("requests.example.com/gpu", "2"),
        ("services", "0"),
    ];
    for _ in 0..random.u8(1..=2) {
        let (name, amount) = one(&some, random);
        hard[*name] = (*amount).into();
    }
    let mut spec = json!({"hard": hard});
    match random.u8(..6) {
        0 => {
            let scopes = ["BestEffort", "NotBestEffort", "Terminating", "NotTerminating", "PriorityClass"];
            spec["scopes"] = json!([*one(&scopes, random)]);
        }
        1 => {
            let operator = *one(&["In", "NotIn", "Exists", "DoesNotExist"], random);
            let mut scope = json!({"scopeName": "PriorityClass", "operator": operator});
            if operator.ends_with("In") {
                scope["values"] = json!([*one(&CLASSES, random), "system-node-critical"]);
            }
            spec["scopeSelector"] = json!({"matchExpressions": [scope]});
        }
        2 if random.bool() => spec["scopes"] = json!(["CrossNamespacePodAffinity"]),
        _ => {}
    }
    spec
}

/// A pod that takes of quotas.
pub fn pod(namespace: &str, index: u8) -> Value {
    let resources =
        json!({"requests": {"cpu": "100m", "memory": "16Mi"}, "limits": {"cpu": "200m", "memory": "32Mi"}});
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("other-{index}"), "namespace": namespace},
        "spec": {"containers": [{"name": "main", "image": "other:1", "resources": resources}]},
    })
}
