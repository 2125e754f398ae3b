//! Plans of manifests as vendors write them: with what they bring themselves they are safe and come up; without their
//! ServiceAccount they are not. The pod that is planned is the one that a real Kubernetes made.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test may panic, and says what it skips"
)]

mod common;

use std::path::{Path, PathBuf};

use common::{Cluster, everynode};
use everynode_apimachinery::manifest;
use everynode_plan::record::{Node, Record};
use everynode_plan::{Change, Fleet, Manifest, Options, Plan};
use everynode_testkit::shared;
use serde_json::{Value, json};

/// Manifests of which each plan is safe, by how their files begin.
const SAFE: [&str; 3] = ["longhorn", "elastic-agent", "logdna"];
/// So many manifests without their ServiceAccount are planned.
const WITHOUT_ACCOUNT: usize = 10;

/// A fleet of three roomy nodes with every label that a manifest may ask for.
fn fleet(daemonset: &Value) -> Fleet {
    let spec = &daemonset["spec"]["template"]["spec"];
    let selector = serde_json::from_value(spec["nodeSelector"].clone()).unwrap_or_default();
    let node = |index: usize| {
        Record::Node(Node {
            name: format!("n{index}").into(),
            labels: selector_of(&selector).into_iter().collect(),
            allocatable: json!({"cpu": "32", "memory": "256Gi", "ephemeral-storage": "500Gi", "pods": "250",
                "nvidia.com/gpu": "8"})
            .into(),
            ready: "True".into(),
            ..Node::default()
        })
    };
    let text = |key: &str| daemonset["metadata"][key].as_str().unwrap_or("default").to_owned();
    let wanted = [(text("namespace"), text("name"))];
    Fleet::from_records((0..3).map(node), &wanted, 1_790_000_000_000)
}

fn selector_of(
    selector: &std::collections::BTreeMap<String, String>,
) -> std::collections::BTreeMap<String, String> {
    let mut labels = selector.clone();
    labels.insert("kubernetes.io/os".into(), "linux".into());
    labels
}

/// The plans of the DaemonSets of a manifest, without the objects of one kind.
fn plans(text: &str, without: &str) -> Vec<Plan> {
    let objects = manifest::documents(text).into_iter().map(|document| document.unwrap().value);
    let kept: Vec<String> = objects.filter(|one| one["kind"] != without).map(|one| one.to_string()).collect();
    let read = Manifest::read("m", &kept.join("\n---\n"), "default");
    assert_eq!(read.problems, Vec::<String>::new());
    let plan = |daemonset: &everynode_plan::Written| {
        let mut fleet = fleet(&daemonset.object);
        fleet.surroundings.apply(&read.surroundings).expect("what is around is good");
        let change = Change::of(daemonset, &fleet).expect("the DaemonSet is good");
        Plan::make(&fleet, &change, &Options::default()).expect("a plan")
    };
    read.daemonsets.iter().map(plan).collect()
}

fn check_safe(text: &str) {
    for plan in plans(text, "") {
        assert!(plan.safe && plan.pod.is_ok(), "{}", plan.to_text());
    }
}

/// Whether the DaemonSets of a manifest are safe, and none of them is without its ServiceAccount.
fn needs_its_account(text: &str) -> bool {
    let planned = plans(text, "ServiceAccount");
    planned.iter().all(|plan| {
        let is_missed =
            plan.pod.as_ref().err().is_some_and(|why| why.contains("error looking up service account"));
        is_missed && !plan.safe
    })
}

/// A manifest of our own, as a vendor of storage writes it.
const OWN: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: disks}
---
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: disks-critical}
value: 900000000
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: disks, namespace: disks}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: disks, namespace: disks}
spec:
  selector: {matchLabels: {app: disks}}
  template:
    metadata: {labels: {app: disks}}
    spec:
      hostNetwork: true
      serviceAccountName: disks
      priorityClassName: disks-critical
      containers:
      - name: main
        image: example/disks:1
        ports: [{containerPort: 9500}]
        resources: {limits: {cpu: 500m}}
";

/// Runs `everynode up` with a manifest until everything is ready.
fn come_up(file: &Path) {
    let directory = tempfile::tempdir().unwrap();
    let kubeconfig = directory.path().join("kubeconfig");
    let output = everynode()
        .args([
            "up",
            "--ephemeral",
            "--nodes",
            "3",
            "--pod-start",
            "0s",
            "--exit-when-ready",
            "--timeout",
            "60s",
        ])
        .args(["--listen", "127.0.0.1:0"])
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .arg("-f")
        .arg(file)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned();
    assert!(output.status.success(), "{}:\n{text}", file.display());
}

#[test]
fn a_manifest_of_our_own_is_safe_with_what_it_brings_comes_up_and_needs_it() {
    check_safe(OWN);
    assert!(needs_its_account(OWN));
    let refused = plans(OWN, "PriorityClass");
    assert!(!refused[0].safe, "{}", refused[0].to_text());
    let file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    std::fs::write(&file, OWN).unwrap();
    come_up(file.path());
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.filter(|file| file.extension().is_some_and(|extension| extension == "yaml")).collect();
    files.sort();
    files
}

#[test]
fn manifests_of_vendors_are_safe_with_what_they_bring_and_come_up() {
    let Some(manifests) = shared("manifests") else { return };
    let is_named = |file: &&PathBuf| {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        SAFE.iter().any(|start| name.starts_with(start))
    };
    let found: Vec<PathBuf> = files(&manifests).iter().filter(is_named).cloned().collect();
    assert!(!found.is_empty(), "none of {SAFE:?} is in {}", manifests.display());
    for file in found {
        println!("{}", file.display());
        check_safe(&std::fs::read_to_string(&file).unwrap());
        come_up(&file);
    }
}

#[test]
fn manifests_of_vendors_without_their_service_account_are_not_safe() {
    let Some(manifests) = shared("manifests") else { return };
    let mut held = Vec::new();
    for file in files(&manifests) {
        let text = std::fs::read_to_string(&file).unwrap();
        let objects: Vec<Value> =
            manifest::documents(&text).into_iter().map(|one| one.unwrap().value).collect();
        let accounts: Vec<&Value> = objects.iter().filter(|one| one["kind"] == "ServiceAccount").collect();
        let daemonsets: Vec<&Value> = objects.iter().filter(|one| one["kind"] == "DaemonSet").collect();
        let wants = |daemonset: &&Value| {
            let spec = &daemonset["spec"]["template"]["spec"];
            let name = [&spec["serviceAccountName"], &spec["serviceAccount"]]
                .into_iter()
                .find(|one| one.is_string());
            accounts.iter().any(|account| Some(&account["metadata"]["name"]) == name)
        };
        if daemonsets.is_empty() || !daemonsets.iter().all(wants) {
            continue;
        }
        assert!(needs_its_account(&text), "{}", file.display());
        held.push(file.file_stem().unwrap().to_string_lossy().into_owned());
    }
    println!("{held:?}");
    assert!(held.len() >= WITHOUT_ACCOUNT, "only {held:?}");
}

/// What is not the same from one pod to the next.
fn blank(pod: &Value) -> Value {
    let mut pod = pod.clone();
    let metadata = pod["metadata"].as_object_mut().unwrap();
    for key in ["name", "uid", "creationTimestamp", "resourceVersion", "managedFields", "ownerReferences"] {
        metadata.remove(key);
    }
    let labels = pod.pointer_mut("/metadata/labels").and_then(Value::as_object_mut).unwrap();
    // The hash is another one, and the binding brings the zone.
    labels.retain(|key, _| key != "controller-revision-hash" && !key.starts_with("topology.kubernetes.io/"));
    for key in ["kind", "apiVersion", "status"] {
        pod.as_object_mut().unwrap().remove(key);
    }
    for volume in pod["spec"]["volumes"].as_array_mut().into_iter().flatten() {
        // The recording's build adds a ConfigMap of its own.
        if let Some(sources) = volume.pointer_mut("/projected/sources").and_then(Value::as_array_mut) {
            sources.retain(|source| source["configMap"]["name"] != "openshift-service-ca.crt");
        }
    }
    let terms = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution";
    *pod.pointer_mut(terms).unwrap() = Value::Null;
    pod["spec"].as_object_mut().unwrap().remove("nodeName");
    // Values of variables are hidden in a plan.
    for list in ["containers", "initContainers"] {
        for container in pod["spec"][list].as_array_mut().into_iter().flatten() {
            for variable in container["env"].as_array_mut().into_iter().flatten() {
                variable.as_object_mut().unwrap().remove("value");
            }
            if container["env"].is_null() {
                container.as_object_mut().unwrap().remove("env");
            }
        }
    }
    let text = pod.to_string();
    match text.find("kube-api-access-") {
        Some(at) => {
            let name = &text[at..at + "kube-api-access-xxxxx".len()];
            serde_json::from_str(&text.replace(name, "kube-api-access-xxxxx")).unwrap()
        }
        None => pod,
    }
}

#[test]
fn planned_pods_are_those_that_a_real_kubernetes_made() {
    let (Some(manifests), Some(golden)) = (shared("manifests"), shared("golden")) else { return };
    let mut compared = 0;
    for file in files(&manifests) {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let recorded = std::fs::read(golden.join(format!("manifests/{name}.json"))).unwrap();
        let recorded: Value = serde_json::from_slice(&recorded).unwrap();
        for plan in plans(&std::fs::read_to_string(&file).unwrap(), "") {
            let expected = &recorded["daemonsets"][format!("{}/{}", plan.namespace, plan.name)];
            match (&plan.pod, expected["pod"].is_object()) {
                (Ok(pod), true) => {
                    let changes = everynode_plan::diff::diff("", &blank(&expected["pod"]), &blank(pod));
                    assert!(changes.is_empty(), "{name}: {changes:#?}");
                    compared += 1;
                }
                (Ok(_), false) => {
                    // No node of the recording was eligible, or nobody knows better.
                    assert_eq!(expected["failed_create"], json!([]), "{name} was refused");
                }
                (Err(why), _) => {
                    let told = expected["failed_create"].to_string();
                    assert!(told.contains(&why.replace('"', "\\\"")), "{name}: {why}, recorded {told}");
                    compared += 1;
                }
            }
        }
    }
    println!("{compared} pods equal");
    assert!(compared >= 30, "only {compared} pods were compared");
}

/// A plan against the embedded cluster reads what is there, and what the manifest brings.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_reads_the_accounts_of_the_cluster() {
    let cluster = Cluster::start(&["--nodes", "2"]);
    let client = cluster.client().await;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "agent"}});
    let manifest = json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "agent"},
        "spec": {"selector": {"matchLabels": {"app": "agent"}}, "template": {
            "metadata": {"labels": {"app": "agent"}},
            "spec": {"serviceAccountName": "agent", "containers": [{"name": "c", "image": "agent:1"}]},
        }},
    });
    let read = Manifest::read("m", &manifest.to_string(), "default");
    let wanted = [("default".to_owned(), "agent".to_owned())];
    let plan = async || {
        let fleet = Fleet::from_cluster(&client, &wanted, "").await.unwrap();
        let change = Change::of(&read.daemonsets[0], &fleet).expect("good");
        Plan::make(&fleet, &change, &Options::default()).unwrap().pod
    };
    assert!(plan().await.is_err(), "there is no such account");
    client.post("/api/v1/namespaces/default/serviceaccounts", account.to_string()).await.unwrap();
    assert_eq!(plan().await.map(|pod| pod["spec"]["serviceAccountName"].clone()), Ok("agent".into()));
}
