//! `everynode install` and `everynode uninstall` against a cluster.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may stop and speak"
)]

mod common;

use std::process::Output;

use common::{Cluster, everynode, get};
use serde_json::Value;

/// Kinds and names, in the order in which they are made.
const OBJECTS: [&str; 10] = [
    "namespace/everynode-system",
    DEFINITION,
    "serviceaccount/everynode-controller",
    "clusterrole.rbac.authorization.k8s.io/everynode-controller",
    "clusterrolebinding.rbac.authorization.k8s.io/everynode-controller",
    "role.rbac.authorization.k8s.io/everynode-controller",
    "rolebinding.rbac.authorization.k8s.io/everynode-controller",
    "service/everynode-controller",
    "poddisruptionbudget.policy/everynode-controller",
    "deployment.apps/everynode-controller",
];

/// `everynode up` has it from the start.
const DEFINITION: &str = "customresourcedefinition.apiextensions.k8s.io/rolloutpolicies.everynode.dev";

const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/everynode-system/deployments/everynode-controller";

fn run(cluster: &Cluster, args: &[&str]) -> Output {
    everynode().args(args).arg("--kubeconfig").arg(&cluster.kubeconfig).output().unwrap()
}

/// Runs a command and compares what it says of each object, in order.
fn check(cluster: &Cluster, args: &[&str], expected: &[String]) {
    let output = run(cluster, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(printed.lines().collect::<Vec<_>>(), expected, "{args:?}");
}

/// What the first installation says.
fn created() -> Vec<String> {
    let mut all = each("created");
    all[1] = format!("{DEFINITION} unchanged");
    all
}

fn each(what: &str) -> Vec<String> {
    OBJECTS.iter().map(|object| format!("{object} {what}")).collect()
}

fn reversed(what: &str) -> Vec<String> {
    each(what).into_iter().rev().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_installed_can_be_changed_and_taken_out_again_without_a_trace() {
    let cluster = Cluster::start(&["--nodes", "1"]);
    let client = cluster.client().await;
    check(&cluster, &["install"], &created());
    check(&cluster, &["install"], &each("unchanged"));
    let mut changed = each("unchanged");
    changed[9] = format!("{} configured", OBJECTS[9]);
    check(&cluster, &["install", "--replicas", "3", "--image", "r.example/e:1"], &changed);
    let deployment = get(&client, DEPLOYMENT).await;
    assert_eq!(deployment["spec"]["replicas"], 3);
    assert_eq!(deployment["spec"]["template"]["spec"]["containers"][0]["image"], "r.example/e:1");

    check(&cluster, &["uninstall", "--dry-run"], &reversed("deleted (dry run)"));
    assert_eq!(get(&client, DEPLOYMENT).await["metadata"]["uid"], deployment["metadata"]["uid"]);
    check(&cluster, &["uninstall"], &reversed("deleted"));
    check(&cluster, &["uninstall"], &reversed("not found"));
    let namespaces = get(&client, "/api/v1/namespaces").await;
    let names: Vec<&Value> =
        namespaces["items"].as_array().unwrap().iter().map(|one| &one["metadata"]["name"]).collect();
    assert!(!names.iter().any(|name| *name == "everynode-system"), "{names:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policies_and_their_definition_stay_when_the_rest_is_taken_out() {
    let cluster = Cluster::start(&["--nodes", "0"]);
    let client = cluster.client().await;
    let policies = "/apis/everynode.dev/v1alpha1/namespaces/default/rolloutpolicies";
    let policy = r#"{"apiVersion":"everynode.dev/v1alpha1","kind":"RolloutPolicy","metadata":{"name":"careful"},
        "spec":{"selector":{}}}"#;
    check(&cluster, &["install"], &created());
    client.post(policies, policy).await.unwrap();
    let mut expected = reversed("deleted");
    expected[8] = format!("{DEFINITION} kept: there are policies, which would go with it");
    check(&cluster, &["uninstall"], &expected);
    client.delete(&format!("{policies}/careful"), "").await.unwrap();
    let mut expected = reversed("not found");
    expected[8] = format!("{DEFINITION} deleted");
    check(&cluster, &["uninstall"], &expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_of_helm_is_left_to_helm() {
    let cluster = Cluster::start(&["--nodes", "0"]);
    check(&cluster, &["install"], &created());
    let helm = r#"{"metadata":{"labels":{"app.kubernetes.io/managed-by":"Helm"}}}"#;
    let merge = everynode_client::content_type::MERGE_PATCH;
    cluster.client().await.patch(DEPLOYMENT, merge, helm).await.unwrap();
    for command in ["install", "uninstall"] {
        let output = run(&cluster, &[command]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), b"".as_slice()));
        assert!(said.contains("was installed with Helm\nhint: use helm"), "{said}");
    }
}
