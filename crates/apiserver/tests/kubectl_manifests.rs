//! Real manifests, applied twice with the real kubectl: it prints what it prints on a real cluster.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may stop and speak"
)]

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use everynode_apiserver::Config;
use everynode_model::Value;
use everynode_testkit::{have_kubectl, shared};
use support::{Client, start};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_applies_real_manifests_as_on_a_real_cluster() {
    let (Some(manifests), Some(golden)) = (shared("manifests"), shared("golden/manifests")) else { return };
    if !have_kubectl() {
        return;
    }
    let (server, client) = start(Config::default()).await;
    let directory = tempfile::tempdir().unwrap();
    let kubeconfig = directory.path().join("kubeconfig");
    std::fs::write(&kubeconfig, server.kubeconfig()).unwrap();
    let mut names: Vec<_> = std::fs::read_dir(golden).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    let mut different = Vec::new();
    for path in &names {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let expected: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let manifest = manifests.join(format!("{name}.yaml"));
        make_namespaces(&client, &manifest, &expected).await;
        for round in ["apply", "apply_again"] {
            let printed = kubectl(&kubeconfig, &["apply", "-f", manifest.to_str().unwrap()]).await;
            let wanted: BTreeSet<&str> =
                expected[round].as_array().unwrap().iter().filter_map(Value::as_str).collect();
            if printed.iter().map(String::as_str).collect::<BTreeSet<_>>() != wanted {
                different.push(format!("{name} {round}: {printed:#?} for {wanted:#?}"));
            }
        }
        kubectl(&kubeconfig, &["delete", "--wait=false", "-f", manifest.to_str().unwrap()]).await;
    }
    println!("{} of {} manifests apply as recorded", names.len() * 2 - different.len(), names.len() * 2);
    assert!(different.is_empty(), "{}", different.join("\n"));
    server.shutdown().await;
}

/// kubectl checks lists, and kinds that nobody serves, by version 2 of OpenAPI, which it takes in protobuf only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_applies_lists_and_what_stands_beside_unknown_kinds() {
    if !have_kubectl() {
        return;
    }
    let (server, _client) = start(Config::default()).await;
    let directory = tempfile::tempdir().unwrap();
    let kubeconfig = directory.path().join("kubeconfig");
    std::fs::write(&kubeconfig, server.kubeconfig()).unwrap();
    let check = async |manifest: &str, expected: &[&str]| {
        let file = directory.path().join("manifest.yaml");
        std::fs::write(&file, manifest).unwrap();
        let printed = kubectl(&kubeconfig, &["apply", "-f", file.to_str().unwrap()]).await;
        let shown = file.display().to_string();
        let printed: Vec<_> = printed.iter().map(|line| line.replace(&shown, "FILE")).collect();
        assert_eq!(printed, expected);
    };
    let map = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {b: c}}";
    check(&format!("apiVersion: v1\nkind: List\nitems:\n- {map}\n"), &["configmap/a created"]).await;
    check(
        "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}, date: {}}\n",
        &[
            "error: error validating \"FILE\": error validating data: ValidationError(ConfigMap): unknown field \"date\" in io.k8s.api.core.v1.ConfigMap; if you choose to ignore these errors, turn validation off with --validate=false",
        ],
    )
    .await;
    check(
        &format!("# first\n{map}\n---\n{{apiVersion: example.com/v1, kind: Other, metadata: {{name: o}}}}\n"),
        &[
            "configmap/a unchanged",
            "error: resource mapping not found for name: \"o\" namespace: \"\" from \"FILE\": no matches for kind \"Other\" in version \"example.com/v1\"",
            "ensure CRDs are installed first",
        ],
    )
    .await;
    server.shutdown().await;
}

/// The recording made the namespaces that a manifest names beforehand, without kubectl.
async fn make_namespaces(client: &Client, manifest: &Path, expected: &Value) {
    let text = std::fs::read_to_string(manifest).unwrap();
    let named = text.lines().filter_map(|line| line.trim().strip_prefix("namespace:"));
    let mut names: BTreeSet<String> =
        named.map(|name| name.trim().trim_matches(['"', '\'']).to_owned()).collect();
    for key in expected["daemonsets"].as_object().unwrap().keys() {
        names.extend(key.split('/').next().map(str::to_owned));
    }
    for name in names {
        client.post("/api/v1/namespaces", &format!(r#"{{"metadata":{{"name":"{name}"}}}}"#)).await;
    }
}

/// The lines that kubectl prints, on both its streams.
async fn kubectl(kubeconfig: &Path, arguments: &[&str]) -> Vec<String> {
    let mut command = Command::new("kubectl");
    command.arg("--kubeconfig").arg(kubeconfig).args(arguments);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).lines().map(str::to_owned).collect()
}
