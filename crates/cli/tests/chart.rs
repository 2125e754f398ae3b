//! What is deployed is the same by whatever means: the kustomize base, `everynode install`, and the Helm chart.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may stop and speak"
)]

mod common;
mod template;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use common::{everynode, have_kubectl};
use everynode_wire::manifest;
use serde_json::{Value, json};

/// Objects by kind and name.
type Objects = BTreeMap<String, Value>;

fn deploy(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(deploy(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn objects(text: &str) -> Objects {
    let documents = manifest::documents(text).into_iter().map(|document| document.unwrap().value);
    documents
        .map(|object| {
            let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            (format!("{} {}", text("/kind"), text("/metadata/name")), object.clone())
        })
        .collect()
}

/// What `everynode install --dry-run` prints.
fn installed() -> Objects {
    let output = everynode().args(["install", "--dry-run"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    objects(&String::from_utf8(output.stdout).unwrap())
}

/// The objects of the chart with these values in place of its own, the marks of Helm taken off.
fn charted(changes: &Value) -> Objects {
    let parse = |path: &str| manifest::parse_yaml(&read(path)).unwrap().value;
    let mut values = parse("helm/everynode/values.yaml");
    for (key, value) in changes.as_object().unwrap() {
        values[key] = value.clone();
    }
    let chart = parse("helm/everynode/Chart.yaml");
    let data = json!({
        "Values": values,
        "Release": {"Namespace": "everynode-system", "Service": "Helm"},
        "Chart": {"AppVersion": chart["appVersion"]},
    });
    let mut all = Objects::new();
    for entry in std::fs::read_dir(deploy("helm/everynode/templates")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let text = template::render(&std::fs::read_to_string(&path).unwrap(), &data);
            all.extend(objects(&text));
        }
    }
    for object in all.values_mut() {
        let labels = object["metadata"]["labels"].as_object_mut().unwrap();
        assert_eq!(labels.shift_remove("app.kubernetes.io/managed-by"), Some("Helm".into()));
        if object["kind"] == "CustomResourceDefinition" {
            let marks = object["metadata"].as_object_mut().unwrap().shift_remove("annotations");
            assert_eq!(marks, Some(json!({"helm.sh/resource-policy": "keep"})));
        }
    }
    all
}

fn rules(object: &Value) -> Vec<Value> {
    object["rules"].as_array().cloned().unwrap_or_default()
}

#[test]
fn install_prints_the_objects_of_the_kustomize_base() {
    if !have_kubectl() {
        return;
    }
    let output = Command::new("kubectl").arg("kustomize").arg(deploy("kustomize/base")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(installed(), objects(&String::from_utf8(output.stdout).unwrap()));
}

#[test]
fn the_chart_makes_the_objects_of_the_base_but_for_the_namespace() {
    let mut expected = installed();
    expected.remove("Namespace everynode-system").unwrap();
    assert_eq!(charted(&json!({})), expected);
}

#[test]
fn a_chart_for_one_namespace_grants_the_same_in_that_namespace_and_nodes_in_all() {
    let (base, narrowed) = (installed(), charted(&json!({"watchNamespace": "agents"})));
    let all = rules(&base["ClusterRole everynode-controller"]);
    let (nodes, inside): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|rule| rule["resources"] == json!(["nodes"]));
    assert_eq!(rules(&narrowed["ClusterRole everynode-controller"]), nodes);
    let role = &narrowed["Role everynode-controller-daemonsets"];
    assert_eq!((rules(role), &role["metadata"]["namespace"]), (inside, &json!("agents")));
    let binding = &narrowed["RoleBinding everynode-controller-daemonsets"];
    assert_eq!(binding["roleRef"]["name"], "everynode-controller-daemonsets");
    assert_eq!(binding["metadata"]["namespace"], "agents");
    let container = &narrowed["Deployment everynode-controller"]["spec"]["template"]["spec"]["containers"][0];
    assert!(container["args"].as_array().unwrap().contains(&json!("--namespace=agents")), "{container}");
}

#[test]
fn values_reach_the_deployment() {
    let changes = json!({
        "image": {"repository": "r.example/everynode", "tag": "v9", "pullPolicy": "Always"},
        "imagePullSecrets": [{"name": "key"}],
        "replicas": 3,
        "kubeApiQps": 200,
        "tolerations": [],
        "priorityClassName": "",
        "extraArgs": ["-v"],
        "serviceMonitor": {"enabled": true, "labels": {"release": "prometheus"}},
    });
    let all = charted(&changes);
    let spec = &all["Deployment everynode-controller"]["spec"];
    let pod = &spec["template"]["spec"];
    assert_eq!(spec["replicas"], 3);
    assert_eq!(pod["imagePullSecrets"], json!([{"name": "key"}]));
    assert_eq!((pod.get("tolerations"), pod.get("priorityClassName")), (None, None));
    assert_eq!(pod["containers"][0]["image"], "r.example/everynode:v9");
    let args = pod["containers"][0]["args"].as_array().unwrap();
    assert!(args.contains(&json!("--kube-api-qps=200")) && args.contains(&json!("-v")), "{args:?}");
    let component = objects(&read("kustomize/components/service-monitor/service-monitor.yaml"));
    let (name, expected) = component.iter().next().unwrap();
    assert_eq!(all[name]["spec"], expected["spec"]);
    assert_eq!(all[name]["metadata"]["labels"]["release"], "prometheus");
}

#[test]
fn every_way_installs_this_version() {
    let version = env!("CARGO_PKG_VERSION");
    let image = format!("everynode:{version}");
    let deployment = &installed()["Deployment everynode-controller"];
    assert_eq!(deployment["spec"]["template"]["spec"]["containers"][0]["image"], image.as_str());
    let chart = manifest::parse_yaml(&read("helm/everynode/Chart.yaml")).unwrap().value;
    assert_eq!((&chart["version"], &chart["appVersion"]), (&json!(version), &json!(version)));
}
