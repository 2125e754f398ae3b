//! The pod that a plan foresees is the pod that the embedded API makes: generated pod templates among generated limit
//! ranges, quotas, classes and service accounts, planned, then applied and asked for as the controller asks.
//!
//! Each run draws fresh templates; EVERYNODE_PLAN_TEMPLATES sets how many. What fails prints the seed that replays it:
//! `EVERYNODE_PLAN_TEMPLATE_SEED=SEED cargo test -p everynode-cli --test plan_pods`.

// A test may panic anywhere, its helpers too.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)]

#[path = "plan_pods/surroundings.rs"]
mod surroundings;
#[path = "plan_pods/template.rs"]
mod template;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use everynode_apiserver::{Config, Server};
use everynode_client::{Client, Error, content_type};
use everynode_engine::{DaemonSetFact, DaemonSetRef, NewPod, pod_body, revision};
use everynode_local::up::{Document, apply};
use everynode_plan::{Change, FindingKind, Fleet, Manifest, Options, Plan};
use everynode_testkit::wait::eventually;
use everynode_testkit::{number, set_number};
use futures::StreamExt;
use serde_json::{Value, json};

use surroundings::Cluster;

/// Templates of one server.
const BATCH: u64 = 100;
/// Templates at a time.
const AT_ONCE: usize = 8;
/// The longest wait for a condition.
const LIMIT: Duration = Duration::from_secs(20);
/// Seeds that found something once; their batches are run each time.
const FINDERS: [u64; 0] = [];

#[tokio::test(flavor = "multi_thread")]
async fn the_planned_pod_is_the_pod_that_the_api_makes() {
    let count: u64 = number("EVERYNODE_PLAN_TEMPLATES", 300);
    let seeds: Vec<u64> = match set_number("EVERYNODE_PLAN_TEMPLATE_SEED") {
        Some(seed) => vec![seed],
        None => (0..count.div_ceil(BATCH)).map(|_| fastrand::u64(1 << 32..)).chain(FINDERS).collect(),
    };
    let mut outcomes: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in seeds {
        for (outcome, times) in batch(seed).await {
            *outcomes.entry(outcome).or_default() += times;
        }
    }
    println!("{outcomes:?}");
    // A property that is never put to the test shows nothing.
    if outcomes.values().sum::<usize>() >= 200 {
        for outcome in [
            "made",
            "the DaemonSet is refused",
            "the revision is refused",
            "the pod is refused",
            "by a quota",
        ] {
            assert!(outcomes.contains_key(outcome), "{outcome}: {outcomes:?}");
        }
    }
}

/// Tries the templates of a seed on a server of their own.
async fn batch(seed: u64) -> BTreeMap<&'static str, usize> {
    let server = Server::start(Config::default()).await.expect("the server starts");
    let client = Client::from_kubeconfig_text(&server.kubeconfig()).await.expect("its kubeconfig is good");
    let cluster = Cluster::random(seed);
    for object in cluster.objects() {
        post(&client, object).await.expect("it is made");
        if object["kind"] == "Node" {
            be_ready(&client, object).await;
        }
    }
    let cases = futures::stream::iter(0..BATCH).map(|index| {
        let (client, cluster) = (&client, &cluster);
        async move {
            let outcome = Case::random(seed, index, cluster).run(client).await;
            outcome
                .unwrap_or_else(|why| panic!("EVERYNODE_PLAN_TEMPLATE_SEED={seed}, template {index}: {why}"))
        }
    });
    let found: Vec<&'static str> = cases.buffer_unordered(AT_ONCE).collect().await;
    server.shutdown().await;
    let mut outcomes = BTreeMap::new();
    found.into_iter().for_each(|outcome| *outcomes.entry(outcome).or_default() += 1);
    outcomes
}

/// The path of the collection that an object belongs to.
fn collection(object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (version, kind) = (text("/apiVersion"), text("/kind"));
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let resource = everynode_apimachinery::resource_for_kind(group, version, kind).expect("a known kind");
    let root = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
    match resource.namespaced {
        true => format!("{root}/namespaces/{}/{}", text("/metadata/namespace"), resource.plural),
        false => format!("{root}/{}", resource.plural),
    }
}

async fn post(client: &Client, object: &Value) -> Result<Value, Error> {
    let body = client.post(&collection(object), object.to_string()).await?;
    Ok(serde_json::from_slice(&body).expect("JSON"))
}

/// Lets a node be ready, as its kubelet and the node lifecycle do.
async fn be_ready(client: &Client, node: &Value) {
    let path = format!("/api/v1/nodes/{}", text(node, "/metadata/name"));
    let status = json!({"status": {
        "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"},
        "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
    }});
    for (path, change) in
        [(path.clone(), json!({"spec": {"taints": null}})), (format!("{path}/status"), status)]
    {
        let changed = client.patch(&path, content_type::MERGE_PATCH, change.to_string()).await;
        changed.expect("the node is changed");
    }
}

/// A template in a namespace of its own.
struct Case {
    namespace: String,
    /// What is there before.
    before: Vec<Value>,
    /// Pods that are there before, and take of quotas.
    pods: Vec<Value>,
    /// What the manifest brings, the DaemonSet last.
    manifest: Vec<Value>,
}

impl Case {
    fn random(seed: u64, index: u64, cluster: &Cluster) -> Case {
        let mut random = fastrand::Rng::with_seed(seed ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let namespace = format!("t{index}");
        let surroundings = surroundings::of_namespace(&namespace, &mut random);
        let mut case =
            Case { namespace: namespace.clone(), before: Vec::new(), pods: Vec::new(), manifest: Vec::new() };
        let has_quota = surroundings.iter().any(|object| object["kind"] == "ResourceQuota");
        if has_quota && random.u8(..4) == 0 {
            case.pods = (0..random.u8(1..=2)).map(|at| surroundings::pod(&namespace, at)).collect();
        }
        for object in surroundings {
            // Quotas come first, so that what pods take is counted when they are planned with.
            let is_brought = random.u8(..3) == 0 && object["kind"] != "ResourceQuota";
            if is_brought { case.manifest.push(object) } else { case.before.push(object) }
        }
        case.manifest.push(template::daemonset(&namespace, cluster, &mut random));
        case
    }

    /// What came of it; an error tells how the plan and the API differ.
    async fn run(&self, client: &Client) -> Result<&'static str, String> {
        self.prepare(client).await;
        let planned = self.plan(client).await;
        let made = self.apply(client).await;
        let (plan, daemonset) = match (planned, made) {
            (Err(_), Err(_)) => return Ok("the DaemonSet is refused"),
            (Ok(plan), Ok(daemonset)) => (plan, daemonset),
            (Err(why), Ok(_)) => return Err(format!("the plan refuses what the API takes: {why:?}")),
            (Ok(_), Err(why)) => return Err(format!("the API refuses what the plan takes: {why}")),
        };
        let told = |kind| plan.findings.iter().find(|one| one.kind == kind);
        let refused = told(FindingKind::Refused);
        if let Err(why) = self.post_revision(client, &daemonset).await {
            // Where no node is eligible nobody misses it.
            let is_told = refused.is_some_and(|one| one.message.ends_with(&why)) || plan.desired.is_empty();
            return if is_told { Ok("the revision is refused") } else { Err(format!("not foreseen: {why}")) };
        }
        let mut created = Vec::new();
        let mut refusals = Vec::new();
        for node in &plan.desired {
            match self.post_pod(client, &daemonset, node).await {
                Ok(pod) => created.push(pod),
                Err(why) => refusals.push(why),
            }
        }
        let by_quota = told(FindingKind::Quota);
        let foreseen = refused.or(by_quota).map_or(0, |one| one.nodes.len());
        if foreseen != refusals.len() {
            return Err(format!(
                "{foreseen} refusals foreseen: {refused:?} {by_quota:?}; there are {refusals:#?}"
            ));
        }
        let base = pod_base(&daemonset);
        if let (Some(told), Some(why)) = (refused.or(by_quota), refusals.last()) {
            // The quota speaks for itself in a plan; the API says which pod it refuses.
            let (told, why) = (blank_name(&told.message, &base), blank_name(why, &base));
            let why = if by_quota.is_some() {
                why.split(" is forbidden: ").last().unwrap_or_default()
            } else {
                &why
            };
            if !told.ends_with(why) {
                return Err(format!("foreseen: {told}\nrefused:  {why}"));
            }
        }
        for pod in &created {
            same(&plan.pod, pod, &base)?;
        }
        Ok(match (refused, by_quota) {
            (Some(_), _) => "the pod is refused",
            (None, Some(_)) => "by a quota",
            _ => "made",
        })
    }

    async fn prepare(&self, client: &Client) {
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}});
        let account = json!({
            "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": "default", "namespace": self.namespace},
        });
        for object in [&namespace, &account].into_iter().chain(&self.before) {
            post(client, object).await.unwrap_or_else(|error| panic!("{error}: {object}"));
        }
        let mut taken = 0;
        for pod in &self.pods {
            // Other objects of the namespace may refuse it.
            taken += usize::from(post(client, pod).await.is_ok());
        }
        if self.before.iter().any(|object| object["kind"] == "ResourceQuota") {
            self.wait_for_quotas(client, taken).await;
        }
    }

    /// Waits until the quotas say what these pods take: a wide one, which comes last among them.
    async fn wait_for_quotas(&self, client: &Client, pods: usize) {
        let wide = json!({
            "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "z", "namespace": self.namespace},
            "spec": {"hard": {"count/pods": "1000"}},
        });
        post(client, &wide).await.expect("it is made");
        let path = format!("{}/z", collection(&wide));
        let expected = json!(pods.to_string());
        eventually("the quotas are counted", LIMIT, async || {
            let quota: Value =
                serde_json::from_slice(&client.get(&path).await.expect("it is there")).expect("JSON");
            (quota["status"]["used"]["count/pods"] == expected).then_some(()).ok_or_else(|| quota.to_string())
        })
        .await;
    }

    async fn plan(&self, client: &Client) -> Result<Plan, Vec<String>> {
        let text: Vec<String> = self.manifest.iter().map(Value::to_string).collect();
        let manifest = Manifest::read("m", &text.join("\n---\n"), "default");
        assert_eq!(manifest.problems, Vec::<String>::new());
        let written = &manifest.daemonsets[0];
        let wanted = [(written.namespace.clone(), written.name.clone())];
        let mut fleet = Fleet::from_cluster(client, &wanted, "").await.expect("the cluster is read");
        fleet.surroundings.apply(&manifest.surroundings)?;
        let change = Change::of(written, &fleet)?;
        Ok(Plan::make(&fleet, &change, &Options { runs: Some(0), ..Options::default() }).expect("a plan"))
    }

    /// Applies the manifest; the DaemonSet as served.
    async fn apply(&self, client: &Client) -> Result<Value, String> {
        for object in &self.manifest {
            let document = Document { place: "m".into(), object: object.clone(), warnings: Vec::new() };
            apply(client, &document, "test").await.map_err(|error| error.message)?;
        }
        let daemonset = self.manifest.last().expect("a DaemonSet");
        let path = format!("{}/{}", collection(daemonset), text(daemonset, "/metadata/name"));
        Ok(serde_json::from_slice(&client.get(&path).await.expect("it is there")).expect("JSON"))
    }

    /// Asks for the revision as the controller does.
    async fn post_revision(&self, client: &Client, daemonset: &Value) -> Result<(), String> {
        let template = &daemonset["spec"]["template"];
        let data = revision::data(template);
        let hash = revision::hash(&data, None);
        let mut labels = template["metadata"]["labels"].clone();
        labels["controller-revision-hash"] = hash.as_str().into();
        let revision = json!({
            "apiVersion": "apps/v1", "kind": "ControllerRevision",
            "metadata": {
                "name": format!("{}-{hash}", text(daemonset, "/metadata/name")), "namespace": self.namespace,
                "labels": labels, "annotations": daemonset["metadata"]["annotations"],
                "ownerReferences": [pod_body::owner_reference(&reference(daemonset))],
            },
            "data": serde_json::from_slice::<Value>(&data).expect("JSON"), "revision": 1,
        });
        post(client, &revision).await.map(drop).map_err(|error| error.to_string())
    }

    /// Asks for a pod as the controller does.
    async fn post_pod(&self, client: &Client, daemonset: &Value, node: &str) -> Result<Value, String> {
        let fact = DaemonSetFact::from_json(daemonset).expect("a DaemonSet");
        let data = revision::data(fact.template.value());
        let new = NewPod {
            node: node.into(),
            name: None,
            template: Arc::clone(&fact.template),
            hash: revision::hash(&data, None).into(),
            template_generation: fact.template_generation,
        };
        let body = pod_body::body(&reference(daemonset), &new);
        let path = format!("/api/v1/namespaces/{}/pods", self.namespace);
        let made = client.post(&path, body.to_string()).await.map_err(|error| error.to_string())?;
        Ok(serde_json::from_slice(&made).expect("JSON"))
    }
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn reference(daemonset: &Value) -> DaemonSetRef {
    let fact = DaemonSetFact::from_json(daemonset).expect("a DaemonSet");
    DaemonSetRef { namespace: fact.namespace, name: fact.name, uid: fact.uid }
}

/// What the names of its pods begin with.
fn pod_base(daemonset: &Value) -> String {
    let base = format!("{}-", text(daemonset, "/metadata/name"));
    base[..base.len().min(58)].to_owned()
}

/// A sentence without what ends a generated name.
fn blank_name(sentence: &str, base: &str) -> String {
    let Some(at) = sentence.find(&format!("\"{base}")).map(|at| at + base.len() + 1) else {
        return sentence.to_owned();
    };
    match sentence[at..].find('"') {
        Some(5) => format!("{}xxxxx{}", &sentence[..at], &sentence[at + 5..]),
        _ => sentence.to_owned(),
    }
}

/// Compares a planned pod with one that was made, but for what is given out anew each time.
fn same(planned: &Result<Value, String>, made: &Value, base: &str) -> Result<(), String> {
    let planned = planned.as_ref().map_err(|why| format!("made, and planned to be refused: {why}"))?;
    let (planned, made) = (blank(planned, base), blank(made, base));
    let differences = everynode_plan::diff::diff("", &planned, &made);
    if differences.is_empty() { Ok(()) } else { Err(format!("the pods differ: {differences:#?}")) }
}

fn blank(pod: &Value, base: &str) -> Value {
    let mut pod = pod.clone();
    let name = text(&pod, "/metadata/name");
    assert!(name.len() == base.len() + 5 && name.starts_with(base), "{name} is no name of {base}");
    let metadata = pod["metadata"].as_object_mut().expect("metadata");
    for key in ["name", "uid", "creationTimestamp", "resourceVersion", "managedFields"] {
        metadata.remove(key);
    }
    let owner = pod.pointer_mut("/metadata/ownerReferences/0").and_then(Value::as_object_mut);
    owner.expect("an owner").remove("uid");
    let terms = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution";
    *pod.pointer_mut(terms).expect("it is for a node") = Value::Null;
    for key in ["kind", "apiVersion"] {
        pod.as_object_mut().expect("an object").remove(key);
    }
    // The volume of the token has a name of its own.
    let text = pod.to_string();
    match text.find("kube-api-access-") {
        Some(at) => {
            let name = &text[at..at + "kube-api-access-xxxxx".len()];
            serde_json::from_str(&text.replace(name, "kube-api-access-xxxxx")).expect("JSON")
        }
        None => pod,
    }
}
