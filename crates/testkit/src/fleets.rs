//! Fleets made by hand, and plans of changes of a DaemonSet `agent` in them.
#![allow(clippy::expect_used, reason = "a test may panic anywhere, its helpers too")]

use everynode_plan::record::{Detail, Node, Pod, Record, Revision, Statement, Taint, Text};
use everynode_plan::spread::Spread;
use everynode_plan::{Change, Finding, FindingKind, Fleet, Manifest, Options, Plan};
use serde_json::{Value, json};

/// When the fleets are read, in Unix seconds.
pub const NOW: i64 = 1_790_000_000;
/// The uid of the DaemonSet.
pub const UID: &str = "11111111-1111-4111-8111-111111111111";
/// The value of controller-revision-hash of pods that are there.
pub const HASH: &str = "old";

/// A fleet in which every node runs a pod of `agent`.
pub struct Case {
    /// Its nodes.
    pub nodes: Vec<Node>,
    /// The pods of `agent`, those of [`new`](Self::new) in the order of the nodes.
    pub pods: Vec<Pod>,
    /// What else a snapshot of it holds.
    pub more: Vec<Record>,
    /// The DaemonSet as it is; `None` when there is none yet.
    pub daemonset: Option<Value>,
}

/// The name of a node.
pub fn node_name(index: usize) -> String {
    format!("n{index:05}")
}

/// A node that has been ready for a day.
pub fn node(index: usize) -> Node {
    Node {
        name: node_name(index).into(),
        labels: [("kubernetes.io/os", "linux")].into(),
        allocatable: json!({"cpu": "4", "memory": "8Gi", "pods": "110"}).into(),
        ready: "True".into(),
        ready_since: Some(NOW - 86_400),
        ..Node::default()
    }
}

/// A pod of `agent` that has been ready for an hour, 20 s after its creation.
pub fn pod(index: usize, node: &str) -> Pod {
    let labels = [("app", "agent"), ("controller-revision-hash", HASH), ("pod-template-generation", "1")];
    Pod {
        namespace: "default".into(),
        name: format!("agent-{index:05}"),
        uid: format!("22222222-2222-4222-8222-{index:012x}"),
        labels: labels.into(),
        daemon_set: Some(UID.into()),
        node: Some(node.into()),
        bound: true,
        phase: "Running".into(),
        ready: true,
        ready_since: Some(NOW - 3_600),
        created: NOW - 3_620,
        ..Pod::default()
    }
}

/// The manifest of `agent`, with these parts of its spec changed.
pub fn manifest(image: &str, change: impl FnOnce(&mut Value)) -> Value {
    let mut object = json!({
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "agent", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": {"app": "agent"}},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
            "template": {
                "metadata": {"labels": {"app": "agent"}},
                "spec": {"containers": [{"name": "main", "image": image}]},
            },
        },
    });
    change(&mut object["spec"]);
    object
}

impl Case {
    /// So many nodes, on which `agent:1` runs.
    pub fn new(nodes: usize, change: impl FnOnce(&mut Value)) -> Case {
        let nodes: Vec<Node> = (0..nodes).map(node).collect();
        let pods = nodes.iter().enumerate().map(|(index, node)| pod(index, &node.name)).collect();
        Case { nodes, pods, more: Vec::new(), daemonset: Some(manifest("agent:1", change)) }
    }

    /// Makes a node go down, with its pod no longer ready, as the node lifecycle does.
    pub fn down(&mut self, index: usize, ready: &str) {
        self.nodes[index].ready = ready.into();
        for effect in ["NoSchedule", "NoExecute"] {
            self.nodes[index].taints.push(Taint {
                key: "node.kubernetes.io/unreachable".into(),
                value: Text::default(),
                effect: effect.into(),
                time_added: (effect == "NoExecute").then_some(NOW - 60),
            });
        }
        self.pods[index].ready = false;
    }

    /// The fleet, with the DaemonSet and its revision as the API server and the controller make them.
    pub fn fleet(&self) -> Fleet {
        let wanted = [("default".to_owned(), "agent".to_owned())];
        Fleet::from_records(self.records(), &wanted, NOW * 1000)
    }

    /// What a snapshot of it holds.
    pub fn records(&self) -> Vec<Record> {
        let mut records = Vec::new();
        if let Some(manifest) = &self.daemonset {
            let served = self.served(manifest);
            let data = json!({"spec": {"template": {"$patch": "replace"}}});
            records.push(Record::Revision(Revision {
                namespace: "default".into(),
                name: format!("agent-{HASH}"),
                uid: "33333333-3333-4333-8333-333333333333".into(),
                labels: [("app", "agent"), ("controller-revision-hash", HASH)].into(),
                daemon_set: UID.into(),
                deleting: false,
                revision: 1,
                data: revision_data(data, &served["spec"]["template"]),
                data_sha256: String::new(),
            }));
            records.insert(0, Record::DaemonSet(served));
        }
        records.extend(self.nodes.iter().cloned().map(Record::Node));
        records.extend(self.pods.iter().cloned().map(|pod| Record::Pod(Box::new(pod))));
        records.extend(self.more.iter().cloned());
        records
    }

    /// The fleet of a DaemonSet that was made a day ago.
    pub fn settled_fleet(&self) -> Fleet {
        let mut fleet = self.fleet();
        let created = everynode_model::time::format(NOW - 86_400);
        fleet.daemonsets[0]["metadata"]["creationTimestamp"] = created.into();
        fleet
    }

    fn served(&self, manifest: &Value) -> Value {
        let fleet = Fleet::from_records([], &[], NOW * 1000);
        let mut served = change(&fleet, manifest).expect("the old manifest is good").new;
        served["metadata"]["uid"] = UID.into();
        served["metadata"]["generation"] = 1.into();
        served["metadata"]["resourceVersion"] = "7".into();
        let applied = serde_json::to_string(manifest).expect("JSON");
        served["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] =
            applied.into();
        let count = self.pods.len();
        served["status"] = json!({
            "observedGeneration": 1, "desiredNumberScheduled": count, "currentNumberScheduled": count,
        });
        served
    }

    /// Plans a manifest.
    pub fn plan(&self, manifest: &Value) -> Plan {
        self.plan_with(manifest, &Options::default())
    }

    /// Plans a manifest with these options.
    pub fn plan_with(&self, manifest: &Value, options: &Options) -> Plan {
        let fleet = self.fleet();
        let change = change(&fleet, manifest).expect("the new manifest is good");
        Plan::make(&fleet, &change, options).expect("a plan")
    }
}

/// What the controller keeps of a template: sorted keys.
fn revision_data(mut data: Value, template: &Value) -> String {
    for (key, value) in template.as_object().into_iter().flatten() {
        data["spec"]["template"][key] = value.clone();
    }
    String::from_utf8(everynode_model::encode::canonical(&data)).expect("text")
}

/// What applying a manifest makes of it.
pub fn change(fleet: &Fleet, manifest: &Value) -> Result<Change, Vec<String>> {
    let read = Manifest::read("new.yaml", &manifest.to_string(), "default");
    assert_eq!(read.problems, Vec::<String>::new());
    Change::of(&read.daemonsets[0], fleet)
}

/// The pod waits for a node for ten minutes, with what a scheduler said of it, if one did.
pub fn unbind(pod: &mut Pod, said: Option<&str>) {
    (pod.bound, pod.ready, pod.ready_since) = (false, false, None);
    (pod.phase, pod.created) = ("Pending".into(), NOW - 600);
    let statement = |message: &str| Statement {
        reason: "Unschedulable".into(),
        message: message.into(),
        since: Some(NOW - 590),
    };
    pod.detail = Some(Box::new(Detail { unscheduled: said.map(statement), ..Detail::default() }));
}

/// The pod has failed.
pub fn fail(pod: &mut Pod, reason: &str) {
    (pod.phase, pod.ready, pod.ready_since) = ("Failed".into(), false, None);
    pod.detail = Some(Box::new(Detail { reason: reason.into(), ..Detail::default() }));
}

/// The finding of a kind.
pub fn found(plan: &Plan, kind: FindingKind) -> &Finding {
    let finding = plan.findings.iter().find(|finding| finding.kind == kind);
    finding.unwrap_or_else(|| panic!("no {kind:?} in:\n{}", plan.to_text()))
}

/// Options with fixed times, so that nothing is drawn.
pub fn fixed(start_millis: i64, stop_millis: i64) -> Options {
    Options {
        start: Some(Spread::Fixed(start_millis)),
        stop: Spread::Fixed(stop_millis),
        ..Options::default()
    }
}
