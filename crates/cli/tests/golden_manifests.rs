//! Real manifests, applied twice with kubectl on the recorded fleet, must become what a real Kubernetes made of
//! them: what kubectl prints, the nodes that get a pod, the status, the served DaemonSet, the created pod and the
//! revision bytes. Prints the count and fails when one manifest differs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may panic, and says what it found"
)]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use common::{Cluster, eventually, get};
use everynode_client::Client;
use everynode_testkit::{have_kubectl, shared};
use serde_json::{Value, json};

/// How long one manifest may take to settle.
const SETTLE: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn real_manifests_become_what_a_real_kubernetes_made_of_them() {
    let (Some(manifests), Some(golden), true) = (shared("manifests"), shared("golden"), have_kubectl())
    else {
        return;
    };
    let fleet = tempfile::NamedTempFile::with_suffix(".json").unwrap();
    std::fs::write(&fleet, recorded_fleet(&golden).to_string()).unwrap();
    let cluster = Cluster::start(&["--fleet", fleet.path().to_str().unwrap(), "--pod-start", "0s"]);
    let client = cluster.client().await;
    wait_for_nodes(&client).await;
    occupy_port_9100(&client).await;
    let (mut equal, mut differ) = (0, Vec::new());
    for name in names(&golden.join("manifests")) {
        let recorded: Value = read(&golden.join(format!("manifests/{name}.json")));
        let manifest = manifests.join(format!("{name}.yaml"));
        let differences = check(&cluster, &client, &golden, &name, &manifest, &recorded).await;
        match differences.is_empty() {
            true => equal += 1,
            false => {
                println!("{name}:");
                differences.iter().for_each(|difference| println!("  {difference}"));
                differ.push(name);
            }
        }
    }
    println!("{equal} of {} manifests equal", equal + differ.len());
    assert!(differ.is_empty(), "these differ: {differ:?}");
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn names(directory: &Path) -> Vec<String> {
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<_> =
        files.map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

/// The recorded nodes with the status that the recording's kubelets reported.
fn recorded_fleet(golden: &Path) -> Value {
    let text = std::fs::read_to_string(golden.join("fleet.yaml")).unwrap();
    let documents = everynode_apimachinery::manifest::documents(&text).into_iter();
    let nodes: Vec<_> = documents.map(|document| document.unwrap().value).collect();
    let mut fleet = json!({"apiVersion": "v1", "kind": "List", "items": nodes});
    for node in fleet["items"].as_array_mut().unwrap() {
        let name = node["metadata"]["name"].as_str().unwrap().to_owned();
        let mut resources =
            json!({"cpu": "32", "memory": "256Gi", "ephemeral-storage": "500Gi", "pods": "250"});
        if name == "gpu" {
            resources["nvidia.com/gpu"] = "8".into();
        }
        let ready = match name.as_str() {
            "not-ready" => "False",
            "unreachable" => "Unknown",
            _ => "True",
        };
        if ready != "True" {
            node["metadata"]["annotations"] = json!({"simulate.everynode.dev/silent": "true"});
        }
        let mut conditions = vec![json!({"type": "Ready", "status": ready, "reason": "Recorded"})];
        if name == "network-unavailable" {
            conditions.push(json!({"type": "NetworkUnavailable", "status": "True", "reason": "Recorded"}));
        }
        node["status"] = json!({"capacity": resources, "allocatable": resources, "conditions": conditions});
    }
    fleet
}

async fn wait_for_nodes(client: &Client) {
    eventually("all nodes are as recorded", common::LIMIT, async || {
        let nodes = get(client, "/api/v1/nodes").await;
        let nodes = nodes["items"].as_array().unwrap();
        let ready = |node: &&Value| {
            let conditions = node["status"]["conditions"].as_array();
            conditions.is_some_and(|all| all.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"))
        };
        let settled = nodes.iter().filter(ready).count();
        match (nodes.len(), settled) {
            (13, 11) => Ok(()),
            other => Err(format!("{other:?} nodes known and ready")),
        }
    })
    .await;
}

/// On the recording's silent nodes a pod of an earlier pass still held this port of the host, so the exporters
/// of both manifests that want it stayed unbound there.
async fn occupy_port_9100(client: &Client) {
    for node in ["not-ready", "unreachable"] {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": format!("earlier-{node}")},
            "spec": {
                "nodeName": node, "hostNetwork": true,
                "containers": [{"name": "c", "image": "example/exporter:1", "ports": [{"containerPort": 9100}]}]
            }
        });
        eventually("the port is taken", common::LIMIT, async || {
            let created = client.post("/api/v1/namespaces/default/pods", pod.to_string()).await;
            created.map(drop).map_err(|error| error.to_string())
        })
        .await;
    }
}

async fn check(
    cluster: &Cluster,
    client: &Client,
    golden: &Path,
    name: &str,
    manifest: &Path,
    recorded: &Value,
) -> Vec<String> {
    let mut differences = Vec::new();
    create_namespaces(client, recorded, manifest).await;
    let file = manifest.to_str().unwrap();
    for (run, key) in [(1, "apply"), (2, "apply_again")] {
        let output = cluster.kubectl(&["apply", "-f", file]);
        let printed = [output.stdout, output.stderr].concat();
        let printed: Vec<_> = std::str::from_utf8(&printed).unwrap().lines().collect();
        if json!(printed) != recorded[key] {
            differences.push(format!("apply {run} printed {printed:?}, recorded {}", recorded[key]));
        }
    }
    for (key, expected) in recorded["daemonsets"].as_object().unwrap() {
        let (namespace, daemonset) = key.split_once('/').unwrap();
        let data = golden.join(format!("revisions/{name}.{daemonset}.data.json"));
        let found = settle(client, namespace, daemonset, expected, &std::fs::read(data).unwrap()).await;
        differences.extend(found.into_iter().map(|difference| format!("{key}: {difference}")));
    }
    let output = cluster.kubectl(&["delete", "--wait=false", "--ignore-not-found", "-f", file]);
    assert!(output.status.success(), "delete of {name}: {}", String::from_utf8_lossy(&output.stderr));
    wait_until_gone(client, recorded).await;
    differences
}

async fn create_namespaces(client: &Client, recorded: &Value, manifest: &Path) {
    let text = std::fs::read_to_string(manifest).unwrap();
    let documents = everynode_apimachinery::manifest::documents(&text)
        .into_iter()
        .map(|document| document.unwrap().value);
    let named = documents.filter_map(|object| object["metadata"]["namespace"].as_str().map(str::to_owned));
    let keys = recorded["daemonsets"].as_object().unwrap().keys();
    let mut namespaces: Vec<_> =
        named.chain(keys.map(|key| key.split('/').next().unwrap().to_owned())).collect();
    namespaces.sort();
    namespaces.dedup();
    for namespace in namespaces {
        eventually("the namespace is there, with its account", common::LIMIT, async || {
            let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
            match client.post("/api/v1/namespaces", body.to_string()).await {
                Err(error) if !error.is_already_exists() => return Err(error.to_string()),
                _ => {}
            }
            let account = format!("/api/v1/namespaces/{namespace}/serviceaccounts/default");
            client.get(&account).await.map(drop).map_err(|error| error.to_string())
        })
        .await;
    }
}

/// Waits until everything is as recorded, and returns what still differs when the limit is over.
async fn settle(client: &Client, namespace: &str, name: &str, expected: &Value, data: &[u8]) -> Vec<String> {
    let deadline = tokio::time::Instant::now() + SETTLE;
    loop {
        let differences = differences(client, namespace, name, expected, data).await;
        if differences.is_empty() || tokio::time::Instant::now() >= deadline {
            return differences;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn differences(
    client: &Client,
    namespace: &str,
    name: &str,
    expected: &Value,
    data: &[u8],
) -> Vec<String> {
    let path = format!("/apis/apps/v1/namespaces/{namespace}/daemonsets/{name}");
    let object = match client.get(&path).await {
        Ok(object) => serde_json::from_slice::<Value>(&object).unwrap(),
        Err(error) => return vec![format!("the DaemonSet cannot be read: {error}")],
    };
    let uid = object["metadata"]["uid"].clone();
    let owned = |item: &Value| item["metadata"]["ownerReferences"][0]["uid"] == uid;
    let list = async |path: String| -> Vec<Value> {
        let mut list = get(client, &path).await;
        let items = list["items"].take();
        serde_json::from_value::<Vec<Value>>(items).unwrap().into_iter().filter(|item| owned(item)).collect()
    };
    let pods = list(format!("/api/v1/namespaces/{namespace}/pods")).await;
    let revisions = list(format!("/apis/apps/v1/namespaces/{namespace}/controllerrevisions")).await;
    let mut found = Vec::new();
    compare("object", &blank(object.clone()), &blank(expected["object"].clone()), &mut found);
    compare("placement", &json!(placement(&pods)), &expected["placement"], &mut found);
    let pod =
        expected["pod"].as_object().and_then(|_| pods.iter().find(|pod| same_node(pod, &expected["pod"])));
    let pod = pod.cloned().map_or(Value::Null, blank_pod);
    if !expected["pod"].is_null() {
        compare("pod", &pod, &blank_pod(expected["pod"].clone()), &mut found);
    }
    compare_revisions(&revisions, expected, data, &mut found);
    if expected["failed_create"].as_array().is_some_and(|messages| !messages.is_empty()) && pods.is_empty() {
        let events = get(client, &format!("/api/v1/namespaces/{namespace}/events")).await;
        let messages: Vec<_> =
            events["items"].as_array().unwrap().iter().map(|event| &event["message"]).collect();
        for message in expected["failed_create"].as_array().unwrap() {
            if !messages.contains(&message) {
                found.push(format!("no event says {message}; there are {messages:?}"));
            }
        }
    }
    found
}

fn compare_revisions(revisions: &[Value], expected: &Value, data: &[u8], found: &mut Vec<String>) {
    let bare = |revision: &Value| {
        let mut revision = blank(revision.clone());
        revision.as_object_mut().unwrap().remove("data");
        revision
    };
    let served: Vec<_> = revisions.iter().map(bare).collect();
    let recorded: Vec<_> = expected["revision"].as_array().unwrap().iter().map(bare).collect();
    compare("revision", &json!(served), &json!(recorded), found);
    if let [revision] = revisions {
        let bytes = everynode_model::encode::to_vec(&revision["data"]);
        if bytes != data.trim_ascii_end() {
            found.push("revision bytes differ".into());
        }
    }
}

fn same_node(pod: &Value, expected: &Value) -> bool {
    let target = |pod: &Value| {
        pod.pointer("/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution").cloned()
    };
    target(pod) == target(expected)
}

/// node -> "bound Running" and the like, as the recording words it.
fn placement(pods: &[Value]) -> BTreeMap<String, String> {
    let word = |pod: &Value| if pod["spec"]["nodeName"].is_string() { "bound" } else { "unbound" };
    let field = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms/0/matchFields/0/values/0";
    let node = |pod: &Value| pod.pointer(field).and_then(Value::as_str).unwrap_or("?").to_owned();
    let phase = |pod: &Value| pod["status"]["phase"].as_str().unwrap_or("?").to_owned();
    pods.iter().map(|pod| (node(pod), format!("{} {}", word(pod), phase(pod)))).collect()
}

/// Without what differs from run to run; hashes are compared as "there is one".
fn blank(mut object: Value) -> Value {
    let object_map = object.as_object_mut().unwrap();
    object_map.remove("kind");
    object_map.remove("apiVersion");
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for key in ["uid", "resourceVersion", "creationTimestamp", "managedFields"] {
            metadata.remove(key);
        }
        let name = metadata.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let labels = metadata.get_mut("labels");
        if let Some(hash) = labels.and_then(|labels| labels.get_mut("controller-revision-hash")) {
            let stem = name.strip_suffix(hash.as_str().unwrap()).map(str::to_owned);
            *hash = "HASH".into();
            if let Some(stem) = stem {
                metadata.insert("name".into(), format!("{stem}HASH").into());
            }
        }
        let owners = metadata.get_mut("ownerReferences").and_then(Value::as_array_mut);
        owners.into_iter().flatten().for_each(|owner| drop(owner.as_object_mut().unwrap().remove("uid")));
    }
    object
}

fn blank_pod(pod: Value) -> Value {
    let mut pod = blank(pod);
    pod.as_object_mut().unwrap().remove("status");
    if pod["metadata"]["generateName"].is_string() {
        pod["metadata"].as_object_mut().unwrap().remove("name");
    }
    without_openshift_source(&mut pod);
    let text = pod.to_string();
    // The projected volume of the service account has a random suffix.
    match text.find("kube-api-access-") {
        Some(at) => {
            let name = &text[at..at + "kube-api-access-xxxxx".len()];
            serde_json::from_str(&text.replace(name, "kube-api-access-xxxxx")).unwrap()
        }
        None => pod,
    }
}

/// The recording's build is OpenShift's, whose admission adds a ConfigMap of its own to the account's volume.
/// Kubernetes itself does not, and neither do we.
fn without_openshift_source(pod: &mut Value) {
    for volume in pod["spec"]["volumes"].as_array_mut().into_iter().flatten() {
        if let Some(sources) = volume.pointer_mut("/projected/sources").and_then(Value::as_array_mut) {
            sources.retain(|source| source["configMap"]["name"] != "openshift-service-ca.crt");
        }
    }
}

fn compare(what: &str, ours: &Value, recorded: &Value, found: &mut Vec<String>) {
    let mut paths = Vec::new();
    differ(what, ours, recorded, &mut paths);
    paths.truncate(6);
    found.extend(paths);
}

fn differ(path: &str, ours: &Value, recorded: &Value, found: &mut Vec<String>) {
    match (ours, recorded) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let (a, b) = (a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null));
                differ(&format!("{path}.{key}"), a, b, found);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                differ(&format!("{path}[{index}]"), a, b, found);
            }
        }
        (a, b) if a == b => {}
        (a, b) => found.push(format!("{path}: ours {a}, recorded {b}")),
    }
}

async fn wait_until_gone(client: &Client, recorded: &Value) {
    eventually("the pods of the manifest end", common::LIMIT, async || {
        for key in recorded["daemonsets"].as_object().unwrap().keys() {
            let namespace = key.split('/').next().unwrap();
            let pods = client.get(&format!("/api/v1/namespaces/{namespace}/pods")).await;
            let Ok(pods) = pods else { continue };
            let pods: Value = serde_json::from_slice(&pods).unwrap();
            // Nobody ends pods on nodes whose kubelet is silent.
            let silent = |pod: &Value| {
                ["not-ready", "unreachable"].contains(&pod["spec"]["nodeName"].as_str().unwrap_or_default())
            };
            let left = pods["items"].as_array().unwrap().iter().filter(|pod| !silent(pod)).count();
            if left > 0 {
                return Err(format!("{left} pods left in {namespace}"));
            }
        }
        Ok(())
    })
    .await;
}
