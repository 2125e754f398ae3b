//! Fleets as they are: zones, pools, kernels, GPUs; and daemons of which most are well.
#![allow(dead_code, clippy::expect_used, reason = "a test may panic anywhere, and uses what it needs")]

use std::path::Path;

use everynode_admission::Kind;
use everynode_model::{encode, time};
use everynode_plan::file::{Header, VERSION, Writer};
use everynode_plan::record::{Container, Detail, Ended, Labels, Node, Pod, Record, Revision, Taint, Text};
use everynode_plan::{PodUsage, UsageSample};
use serde_json::{Value, json};

/// When the fleets are read, in Unix seconds.
pub const NOW: i64 = 1_790_000_000;
/// The kernel on which a new revision crashes, of one node in fifty.
pub const KERNEL: &str = "6.11.0-9";
/// A name that nothing may take for markup, with text from right to left.
pub const ODD_NODE: &str = "<img src=x onerror=alert(1)>-\u{202e}\u{5e9}\u{5dc}\u{5d5}\u{5dd}";

/// How a daemon stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Story {
    /// On every node.
    Well,
    /// Of a hundred nodes so many have the new revision, in the order of their names; it crashes on one kernel.
    Rolling(usize),
    /// The same under a policy with three waves.
    UnderPolicy(usize),
    /// On nodes with GPUs only.
    Gpu,
    /// Some nodes have no pod of it.
    Missing,
    /// Somebody has to delete the old pods.
    OnDelete,
    /// Some pods have restarted often.
    Restarting,
}

/// The daemons of a fleet of usual size.
pub const DAEMONS: [(&str, &str, Story); 9] = [
    ("gpu", "device-plugin", Story::Gpu),
    ("kube-system", "network-plugin", Story::Well),
    ("kube-system", "node-local-dns", Story::Well),
    ("logging", "log-collector", Story::Rolling(34)),
    ("monitoring", "node-exporter", Story::Restarting),
    ("monitoring", "profiler", Story::OnDelete),
    ("security", "runtime-sensor", Story::UnderPolicy(6)),
    ("storage", "cache", Story::Missing),
    ("storage", "csi-node", Story::Well),
];

/// A fleet.
pub struct Made {
    /// How many nodes.
    pub nodes: usize,
    /// Its daemons.
    pub daemons: Vec<(String, String, Story)>,
    /// When it was read, in Unix seconds.
    pub now: i64,
    /// So many more of a hundred nodes have new revisions.
    pub further: usize,
    /// One node has an odd name.
    pub is_odd: bool,
    /// What pods use was sampled.
    pub has_usage: bool,
}

impl Made {
    /// With the usual daemons.
    pub fn new(nodes: usize) -> Made {
        let own =
            |(namespace, name, story): (&str, &str, Story)| (namespace.to_owned(), name.to_owned(), story);
        Made {
            nodes,
            daemons: DAEMONS.map(own).into(),
            now: NOW,
            further: 0,
            is_odd: false,
            has_usage: false,
        }
    }

    /// Without a policy: the engine looks at itself in debug builds, which takes long with one.
    pub fn plain(nodes: usize) -> Made {
        let mut made = Made::new(nodes);
        made.daemons.retain(|(.., story)| !matches!(story, Story::UnderPolicy(_)));
        made
    }

    /// With so many daemons, two of which roll.
    pub fn wide(nodes: usize, daemons: usize) -> Made {
        let story = |number: usize| match number {
            3 => Story::Rolling(40),
            7 => Story::Restarting,
            11 => Story::Missing,
            _ => Story::Well,
        };
        let daemons =
            (0..daemons).map(|number| ("fleet".to_owned(), format!("daemon-{number:02}"), story(number)));
        Made { daemons: daemons.collect(), ..Made::new(nodes) }
    }

    /// Writes a snapshot of it.
    pub fn write(&self, path: &Path) {
        let header = Header { format: VERSION, taken_at: self.now, salt: "s".into(), writer: "test".into() };
        let file = std::fs::File::create(path).expect("the file");
        let mut writer = Writer::new(file, header).expect("a snapshot");
        self.each(&mut |record| writer.write(&record).expect("a record"));
        writer.finish(Vec::new()).expect("an end");
    }

    /// Hands over what a snapshot holds.
    pub fn each(&self, take: &mut dyn FnMut(Record)) {
        for number in 0..self.daemons.len() {
            take(Record::DaemonSet(self.daemonset(number)));
        }
        for number in 0..self.daemons.len() {
            self.revisions(number).into_iter().for_each(|one| take(Record::Revision(one)));
        }
        (0..self.nodes).for_each(|node| take(Record::Node(self.node(node))));
        for (namespace, ..) in &self.daemons {
            take(Record::Around(Kind::Namespace, json!({"metadata": {"name": namespace}, "spec": {}})));
            let account = json!({"metadata": {"name": "default", "namespace": namespace}});
            take(Record::Around(Kind::ServiceAccount, account));
        }
        for number in 0..self.daemons.len() {
            for node in 0..self.nodes {
                let Some(pod) = self.pod(number, node) else { continue };
                let usage = self.has_usage.then(|| self.usage(number, node, &pod));
                take(Record::Pod(Box::new(pod)));
                usage.into_iter().for_each(|usage| take(Record::Usage(usage)));
            }
        }
        for number in 0..self.daemons.len() {
            self.policy(number).into_iter().for_each(|policy| take(Record::RolloutPolicy(policy)));
        }
    }

    fn is_rolling(&self, number: usize) -> Option<usize> {
        match self.daemons[number].2 {
            Story::Rolling(share) | Story::UnderPolicy(share) => Some(share + self.further),
            Story::OnDelete => Some(60),
            _ => None,
        }
    }

    fn template(&self, number: usize, image: &str) -> Value {
        let (_, name, story) = &self.daemons[number];
        let mut template = json!({
            "metadata": {"labels": {"app": app(name)}},
            "spec": {
                "containers": [{"name": "main", "image": format!("registry.example/{}:{image}", app(name)),
                    "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}}}],
                "tolerations": [{"operator": "Exists"}],
            },
        });
        if *story == Story::Gpu {
            template["spec"]["nodeSelector"] = json!({"example.com/gpu": "true"});
        }
        template
    }

    fn daemonset(&self, number: usize) -> Value {
        let (namespace, name, story) = &self.daemons[number];
        let generation = if self.is_rolling(number).is_some() { 2 } else { 1 };
        let image = if generation == 2 { "2" } else { "1" };
        let mut strategy =
            json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "1%", "maxSurge": 0}});
        if *story == Story::OnDelete {
            strategy = json!({"type": "OnDelete"});
        }
        json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet",
            "metadata": {
                "name": name, "namespace": namespace, "uid": uid(1, number), "generation": generation, "resourceVersion": "7",
                "labels": {"app": app(name)}, "creationTimestamp": time::format(NOW - 9_000_000),
                "annotations": {"deprecated.daemonset.template.generation": generation.to_string()},
            },
            "spec": {
                "selector": {"matchLabels": {"app": app(name)}}, "updateStrategy": strategy,
                "revisionHistoryLimit": 10, "template": self.template(number, image),
            },
            "status": {"observedGeneration": generation},
        })
    }

    fn revisions(&self, number: usize) -> Vec<Revision> {
        let (namespace, name, _) = &self.daemons[number];
        let hashes: &[&str] = if self.is_rolling(number).is_some() { &["old", "new"] } else { &["old"] };
        let of = |(place, hash): (usize, &&str)| {
            let mut data =
                json!({"spec": {"template": self.template(number, if place == 0 { "1" } else { "2" })}});
            data["spec"]["template"]["$patch"] = "replace".into();
            let labels = [("app", app(name)), ("controller-revision-hash", (*hash).to_owned())];
            Revision {
                namespace: namespace.clone(),
                name: format!("{name}-{hash}"),
                uid: uid(3, number * 2 + place),
                labels: labels.into(),
                daemon_set: uid(1, number),
                deleting: false,
                revision: place as i64 + 1,
                data: String::from_utf8(encode::canonical(&data)).expect("text"),
                data_sha256: String::new(),
            }
        };
        hashes.iter().enumerate().map(of).collect()
    }

    /// The name of a node.
    pub fn name(&self, node: usize) -> String {
        match self.is_odd && node == 1 {
            true => ODD_NODE.to_owned(),
            false => format!("worker-{node:06}"),
        }
    }

    fn node(&self, node: usize) -> Node {
        let name = self.name(node);
        let zone = ["eu-1a", "eu-1b", "eu-1c"][node % 3];
        let kind =
            if is_gpu(node) { "g5.xlarge" } else { ["m7.large", "m7.xlarge", "c7.large"][node / 3 % 3] };
        let labels = [
            ("example.com/pool", if is_gpu(node) { "gpu" } else { "general" }),
            ("kubernetes.io/arch", "amd64"),
            ("kubernetes.io/hostname", &name),
            ("kubernetes.io/os", "linux"),
            ("node.kubernetes.io/instance-type", kind),
            ("topology.kubernetes.io/region", "eu-1"),
            ("topology.kubernetes.io/zone", zone),
        ];
        let mut labels: Labels = labels.into();
        if is_gpu(node) {
            labels.insert("example.com/gpu", "true");
        }
        if self.is_odd && node == 1 {
            labels.insert("note", "</option><script>alert(2)</script>");
        }
        let down = is_down(node).then(|| Taint {
            key: "node.kubernetes.io/unreachable".into(),
            value: Text::default(),
            effect: "NoExecute".into(),
            time_added: Some(NOW - 600),
        });
        let kernel = if has_kernel(node) { KERNEL } else { "6.8.0-48" };
        Node {
            name: name.into(),
            labels,
            system: [("kernelVersion", kernel)].into(),
            taints: down.into_iter().collect(),
            unschedulable: node % 997 == 996,
            allocatable: json!({"cpu": "16", "memory": "64Gi", "pods": "250"}).into(),
            ready: if is_down(node) { "Unknown" } else { "True" }.into(),
            ready_since: Some(NOW - if is_down(node) { 600 } else { 8_000_000 }),
            ready_message: if is_down(node) { "Kubelet stopped posting node status." } else { "" }.into(),
        }
    }

    fn pod(&self, number: usize, node: usize) -> Option<Pod> {
        let (namespace, name, story) = &self.daemons[number];
        match story {
            Story::Gpu if !is_gpu(node) => return None,
            Story::Missing if node % 211 == 7 => return None,
            _ => {}
        }
        let share = self.is_rolling(number);
        let is_new = share.is_some_and(|share| node * 100 < share * self.nodes);
        let app = app(name);
        let labels = [
            ("app", app.as_str()),
            ("controller-revision-hash", if is_new { "new" } else { "old" }),
            ("pod-template-generation", if is_new { "2" } else { "1" }),
        ];
        let age = if is_new { 900 } else { 7_000_000 };
        let mut pod = Pod {
            namespace: namespace.as_str().into(),
            name: format!("{name}-{:05x}", node & 0xf_ffff),
            uid: uid(0x1000 + number as u64, node),
            labels: labels.into(),
            daemon_set: Some(uid(1, number).into()),
            node: Some(self.name(node).into()),
            bound: true,
            phase: "Running".into(),
            ready: !is_down(node),
            ready_since: Some(NOW - age + 25),
            created: NOW - age,
            ..Pod::default()
        };
        if *story == Story::Restarting {
            pod.restarts = [0, 0, 0, 1, 0, 3, 0, 0, 9, 40][node % 10] * i64::from(node.is_multiple_of(7));
        }
        let crashes =
            is_new && has_kernel(node) && matches!(story, Story::Rolling(_) | Story::UnderPolicy(_));
        if crashes && !is_down(node) {
            crash(&mut pod);
        }
        Some(pod)
    }

    /// New revisions use a third more; some pods and one node stand out.
    fn usage(&self, number: usize, node: usize, pod: &Pod) -> PodUsage {
        let spread = 1.0 + (node * 7 + number * 3) as f64 % 11.0 / 14.0;
        let is_new = pod.labels.get("controller-revision-hash") == Some("new");
        let odd = match (self.daemons[number].2, node % 97) {
            (Story::Restarting, 3) => 4.0,
            _ if node == 300 => 2.6,
            _ => 1.0,
        };
        let level = 60.0 * spread * odd * if is_new { 1.35 } else { 1.0 };
        let sample = |sample: i64| UsageSample {
            at: self.now - 30 * (12 - sample),
            cpu_nanocores: ((level + (sample * 5 + node as i64) as f64 % 7.0) * 1e6) as u64,
            memory_bytes: ((90.0 + level) * 1_048_576.0) as u64,
        };
        let samples = (0..12).map(sample).collect();
        PodUsage { namespace: pod.namespace.to_string(), name: pod.name.clone(), samples }
    }

    /// What the status of a policy says of the analysis of a roll-out that has come a little further.
    fn analysis(&self) -> Value {
        let [nodes, chance] = if self.further == 0 { [6, 7] } else { [54, 64] };
        let signal = |name: &str, text: &str, verdict: &str, chance: u64| json!({"name": name, "verdict": verdict, "message": text, "nodes": nodes, "controls": 540, "chanceOneIn": chance, "evidence": ""});
        json!({
            "verdict": "Undecided", "basis": "Randomised",
            "message": "no signal is worse yet; cpu is higher by 34 % on 54 updated nodes than on 540 others, by chance 1 in 64",
            "signals": [
                signal("cpu", "higher by 34 %", "Undecided", chance),
                signal("memory", "higher by 9 %", "Undecided", 2),
                signal("restarts", "on 2 updated nodes, and on 9 others", "Undecided", 3),
            ],
        })
    }

    fn policy(&self, number: usize) -> Option<Value> {
        let (namespace, name, story) = &self.daemons[number];
        let Story::UnderPolicy(share) = story else { return None };
        let failed = (0..self.nodes).filter(|node| {
            node * 100 < (share + self.further) * self.nodes && has_kernel(*node) && !is_down(*node)
        });
        let failed: Vec<Value> = failed
            .take(50)
            .map(|node| json!({"node": self.name(node), "reason": "CrashLoopBackOff", "at": time::format(NOW - 700)}))
            .collect();
        Some(json!({
            "metadata": {"name": "careful", "namespace": namespace, "generation": 1, "uid": uid(4, number)},
            "spec": {
                "selector": {"matchLabels": {"app": app(name)}}, "maxUnavailable": "2%",
                "waves": [{"name": "canary", "nodes": "1%", "bakeSeconds": 600},
                    {"name": "tenth", "nodes": "10%", "bakeSeconds": 600}, {"name": "rest", "nodes": "100%"}],
                "failure": {"budget": 50, "action": "Pause"},
                "analysis": if self.has_usage { json!({"mode": "Observe"}) } else { Value::Null },
            },
            "status": {"daemonSets": {name: {"revision": "new", "lastGoodRevision": "old", "wave": 2, "phase": "Progressing",
                "startedAt": time::format(NOW - 2_000), "progressAt": time::format(NOW - 60), "failedNodes": failed,
                "analysis": if self.has_usage { self.analysis() } else { Value::Null }}}},
        }))
    }
}

fn crash(pod: &mut Pod) {
    (pod.ready, pod.restarts, pod.ready_since) = (false, 5, Some(NOW - 880));
    pod.waiting = "CrashLoopBackOff".into();
    let container = Container {
        name: "main".into(),
        waiting: pod.waiting.clone(),
        message: "back-off 2m40s restarting failed container <b>main</b>".into(),
        restarts: 5,
        ended: Some(Ended { exit_code: 139, reason: "Error".into(), at: Some(NOW - 40), ..Ended::default() }),
        ..Container::default()
    };
    pod.detail = Some(Box::new(Detail { containers: vec![container], ..Detail::default() }));
}

/// A label value that a name gives, whatever is in it.
fn app(name: &str) -> String {
    let plain: String = name.chars().filter(|one| one.is_ascii_alphanumeric() || *one == '-').collect();
    plain.chars().take(60).collect()
}

fn is_gpu(node: usize) -> bool {
    node % 25 == 24
}

fn is_down(node: usize) -> bool {
    node % 1_250 == 600
}

fn has_kernel(node: usize) -> bool {
    node % 50 == 9
}

fn uid(kind: u64, index: usize) -> String {
    format!("{kind:08x}-0000-4000-8000-{index:012x}")
}
