//! What is deployed is the same by whatever means: the kustomize base, `everynode install`, and the Helm chart.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may stop and speak"
)]

mod common;
mod template;

use everynode_testkit::have_kubectl;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use common::everynode;
use everynode_apimachinery::manifest;
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
    installed_with(&[])
}

fn installed_with(options: &[&str]) -> Objects {
    let output = everynode().args(["install", "--dry-run"]).args(options).output().unwrap();
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
    let check = |components: &[&str], options: &[&str]| {
        assert_eq!(installed_with(options), kustomized(components), "{components:?}");
    };
    check(&[], &[]);
    check(&["scope-rollouts"], &["--scope", "rollouts"]);
    check(&["scope-rollouts", "rewrite-template"], &["--scope", "rollouts", "--rewrite-template"]);
    check(&["pod-metrics"], &["--with-metrics"]);
    check(&["scope-rollouts", "pod-metrics"], &["--scope", "rollouts", "--with-metrics"]);
}

/// What kustomize makes of the base with these components.
fn kustomized(components: &[&str]) -> Objects {
    let directory = tempfile::tempdir().unwrap();
    // kustomize takes relative paths only.
    let root = "../".repeat(directory.path().components().count());
    let place =
        |path: &str| format!("{root}{}", deploy("kustomize").canonicalize().unwrap().join(path).display());
    let components = components.iter().map(|name| place(&format!("components/{name}")));
    let kustomization = json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [place("base")],
        "components": components.collect::<Vec<_>>(),
    });
    std::fs::write(directory.path().join("kustomization.yaml"), kustomization.to_string()).unwrap();
    let output = Command::new("kubectl").arg("kustomize").arg(directory.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    objects(&String::from_utf8(output.stdout).unwrap())
}

#[test]
fn the_chart_makes_the_objects_of_the_base_but_for_the_namespace() {
    let check = |changes: &Value, options: &[&str]| {
        let mut expected = installed_with(options);
        expected.remove("Namespace everynode-system").unwrap();
        assert_eq!(charted(changes), expected, "{changes}");
    };
    check(&json!({}), &[]);
    check(&json!({"scope": "rollouts"}), &["--scope", "rollouts"]);
    let rewrites = json!({"scope": "rollouts", "rewriteTemplate": true});
    check(&rewrites, &["--scope", "rollouts", "--rewrite-template"]);
    check(&json!({"podMetrics": true}), &["--with-metrics"]);
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
        "image": {"repository": "r.example/everynode", "tag": "v9", "digest": "", "pullPolicy": "Always"},
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
fn the_network_policy_is_the_same_by_either_way_and_fits_the_pods() {
    let switch = |enabled: bool| {
        let values = manifest::parse_yaml(&read("helm/everynode/values.yaml")).unwrap().value;
        json!({"networkPolicy": {"enabled": enabled, "from": values["networkPolicy"]["from"]}})
    };
    let name = "NetworkPolicy everynode-controller";
    let component = objects(&read("kustomize/components/network-policy/network-policy.yaml"));
    let charted_with = charted(&switch(true));
    assert_eq!(charted_with[name], component[name]);
    assert_eq!(charted(&switch(false)).get(name), None);
    let policy = &component[name]["spec"];
    let pod = &charted_with["Deployment everynode-controller"]["spec"]["template"];
    assert_eq!(policy["podSelector"]["matchLabels"], pod["metadata"]["labels"]);
    let port = &policy["ingress"][0]["ports"][0]["port"];
    assert_eq!(*port, pod["spec"]["containers"][0]["ports"][0]["name"]);
}

#[test]
fn a_digest_takes_the_place_of_the_tag() {
    let digest = format!("sha256:{}", "0a".repeat(32));
    let image = json!({"repository": "r.example/e", "tag": "v9", "digest": digest, "pullPolicy": "Always"});
    let charted = charted(&json!({"image": image}));
    let container = &charted["Deployment everynode-controller"]["spec"]["template"]["spec"]["containers"][0];
    let pinned = format!("r.example/e@{digest}");
    assert_eq!(container["image"], pinned.as_str());

    let run = |args: &[&str]| everynode().args(["install", "--dry-run"]).args(args).output().unwrap();
    let note = |args: &[&str]| String::from_utf8(run(args).stderr).unwrap().contains("named by a tag");
    assert!(note(&["--image", "r.example/e:v9"]) && !note(&["--image", &pinned]));
    assert!(!run(&["--rewrite-template"]).status.success(), "it has no effect in scope all");
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
