//! Certificates on request: who gets them, by whose word, and what they are worth.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop")]

mod support;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use everynode_apiserver::{Config, Server};
use everynode_model::Value;
use everynode_testkit::wait::eventually;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use serde_json::json;
use support::{Answer, Client, LIMIT, start};

const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const WHO: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
const KUBELET_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";

fn pem(common_name: &str, organization: &str, names: &[&str], key: &KeyPair) -> String {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = DistinguishedName::new();
    if !organization.is_empty() {
        params.distinguished_name.push(DnType::OrganizationName, organization);
    }
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.serialize_request(key).unwrap().pem().unwrap()
}

fn request(name: &str, signer: &str, pem: &str, usages: &[&str]) -> Value {
    json!({
        "kind": "CertificateSigningRequest",
        "apiVersion": "certificates.k8s.io/v1",
        "metadata": {"name": name},
        "spec": {"request": STANDARD.encode(pem), "signerName": signer, "usages": usages, "username": "somebody else"},
    })
}

async fn make(client: &Client, path: &str, object: Value) -> Value {
    let answer = client.post(path, &object.to_string()).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()
}

fn message(answer: &Answer) -> String {
    format!("{} {}", answer.status.as_u16(), answer.json()["message"].as_str().unwrap_or_default())
}

fn conditions(object: &Value) -> Vec<&str> {
    let conditions = object["status"]["conditions"].as_array();
    conditions.into_iter().flatten().map(|one| one["type"].as_str().unwrap()).collect()
}

/// The request when its condition and its certificate are as expected.
async fn until(client: &Client, name: &str, kind: &str, is_issued: bool) -> Value {
    eventually(&format!("{name} is {kind}"), LIMIT, async || {
        let object = client.get(&format!("{REQUESTS}/{name}")).await.json();
        let issued = object["status"]["certificate"].is_string();
        if conditions(&object).contains(&kind) && issued == is_issued {
            Ok(object)
        } else {
            Err(object.to_string())
        }
    })
    .await
}

fn certificate(object: &Value) -> String {
    String::from_utf8(STANDARD.decode(object["status"]["certificate"].as_str().unwrap()).unwrap()).unwrap()
}

/// Approves or denies as kubectl does.
async fn decide(client: &Client, name: &str, kind: &str) -> Answer {
    let mut object = client.get(&format!("{REQUESTS}/{name}")).await.json();
    let mut all = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    all.push(json!({"type": kind, "status": "True", "reason": "KubectlApprove", "message": "by hand"}));
    object["status"]["conditions"] = all.into();
    client.put(&format!("{REQUESTS}/{name}/approval"), &object.to_string()).await
}

async fn bind(client: &Client, role: &str, subject: Value) {
    let binding = json!({
        "metadata": {"generateName": "b-"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [subject],
    });
    make(client, &format!("{RBAC}/clusterrolebindings"), binding).await;
}

async fn start_with_bootstrapper() -> (Server, Client, Client) {
    let (server, admin) = start(Config::default()).await;
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    make(&admin, accounts, json!({"metadata": {"name": "boot"}})).await;
    let token = make(&admin, &format!("{accounts}/boot/token"), json!({"spec": {}})).await;
    let boot = admin.clone().with_token(token["status"]["token"].as_str().unwrap());
    let subject = json!({"kind": "ServiceAccount", "namespace": "default", "name": "boot"});
    bind(&admin, "system:node-bootstrapper", subject.clone()).await;
    bind(&admin, "system:certificates.k8s.io:certificatesigningrequests:nodeclient", subject).await;
    (server, admin, boot)
}

#[tokio::test]
async fn a_kubelet_gets_its_identity_and_renews_it_by_itself() {
    let (server, admin, boot) = start_with_bootstrapper().await;
    let key = KeyPair::generate().unwrap();
    let asked = pem("system:node:n", "system:nodes", &[], &key);
    let usages = ["digital signature", "client auth"];
    let made = make(&boot, REQUESTS, request("first", KUBELET_CLIENT, &asked, &usages)).await;
    assert_eq!(made["spec"]["username"], "system:serviceaccount:default:boot");
    let issued = until(&boot, "first", "Approved", true).await;
    assert_eq!(issued["status"]["conditions"][0]["reason"], "AutoApproved");
    let kubelet = admin.clone().with_certificate(&server, &certificate(&issued), &key.serialize_pem());
    let who = make(&kubelet, WHO, json!({})).await;
    assert_eq!(who["status"]["userInfo"]["username"], "system:node:n");
    assert_eq!(who["status"]["userInfo"]["groups"], json!(["system:nodes", "system:authenticated"]));
    make(&kubelet, "/api/v1/nodes", json!({"metadata": {"name": "n"}})).await;
    assert_eq!(kubelet.post("/api/v1/nodes", r#"{"metadata":{"name":"m"}}"#).await.status, 403);
    let label = r#"{"metadata":{"labels":{"node-restriction.kubernetes.io/a":"b"}}}"#;
    let taint = r#"{"spec":{"taints":[]}}"#;
    for (part, change, code) in [
        ("", label, 403),
        ("/status", label, 403),
        ("", taint, 403),
        ("/status", taint, 200),
        ("", r#"{"metadata":{"labels":{"a":"b"}}}"#, 200),
        ("/status", r#"{"status":{"phase":"Running"}}"#, 200),
    ] {
        let answer = kubelet.merge(&format!("/api/v1/nodes/n{part}"), change).await;
        assert_eq!(answer.status, code, "{part} {change}");
    }
    let node = admin.get("/api/v1/nodes/n").await.json();
    assert_eq!(node["metadata"]["labels"], json!({"a": "b"}));
    assert_eq!(node["spec"]["taints"][0]["key"], "node.kubernetes.io/not-ready");
    // Nobody has said yet that kubelets may renew theirs.
    make(&kubelet, REQUESTS, request("second", KUBELET_CLIENT, &asked, &usages)).await;
    let other = pem("system:node:m", "system:nodes", &[], &key);
    make(&kubelet, REQUESTS, request("other", KUBELET_CLIENT, &other, &usages)).await;
    let nodes = json!({"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "system:nodes"});
    bind(&admin, "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient", nodes).await;
    make(&kubelet, REQUESTS, request("third", KUBELET_CLIENT, &asked, &usages)).await;
    until(&kubelet, "third", "Approved", true).await;
    let other = admin.get(&format!("{REQUESTS}/other")).await.json();
    assert_eq!(conditions(&other), Vec::<&str>::new(), "the identity of another node");
    server.shutdown().await;
}

#[tokio::test]
async fn other_certificates_are_issued_when_somebody_approves_them() {
    let (server, admin, boot) = start_with_bootstrapper().await;
    let key = KeyPair::generate().unwrap();
    let serving = pem("system:node:n", "system:nodes", &["n.example"], &key);
    let usages = ["digital signature", "server auth"];
    for name in ["yes", "no"] {
        make(&boot, REQUESTS, request(name, "kubernetes.io/kubelet-serving", &serving, &usages)).await;
    }
    let refused = message(&decide(&boot, "yes", "Approved").await);
    assert!(refused.starts_with("403 "), "{refused}");
    assert_eq!(decide(&admin, "yes", "Approved").await.status, 200);
    until(&admin, "yes", "Approved", true).await;
    assert_eq!(decide(&admin, "no", "Denied").await.status, 200);
    until(&admin, "no", "Denied", false).await;
    let both = message(&decide(&admin, "no", "Approved").await);
    assert!(both.contains("Approved and Denied conditions are mutually exclusive"), "{both}");
    let client = pem("jane", "developers", &[], &key);
    let signer = "kubernetes.io/kube-apiserver-client";
    make(&admin, REQUESTS, request("jane", signer, &client, &["client auth"])).await;
    assert_eq!(decide(&admin, "jane", "Approved").await.status, 200);
    let issued = until(&admin, "jane", "Approved", true).await;
    let jane = admin.clone().with_certificate(&server, &certificate(&issued), &key.serialize_pem());
    let who = make(&jane, WHO, json!({})).await;
    assert_eq!(who["status"]["userInfo"]["groups"], json!(["developers", "system:authenticated"]));
    make(&admin, REQUESTS, request("wrong", signer, &client, &["server auth"])).await;
    assert_eq!(decide(&admin, "wrong", "Approved").await.status, 200);
    let failed = until(&admin, "wrong", "Failed", false).await;
    assert_eq!(
        failed["status"]["conditions"][1]["message"],
        "invalid usage for client certificate: server auth"
    );
    server.shutdown().await;
}

#[tokio::test]
async fn what_is_no_request_is_refused_and_what_was_decided_stays() {
    let (server, admin, _) = start_with_bootstrapper().await;
    let key = KeyPair::generate().unwrap();
    let good = pem("jane", "developers", &[], &key);
    let signer = "kubernetes.io/kube-apiserver-client";
    let check = async |object: Value, code: u16, part: &str| {
        let said = message(&admin.post(REQUESTS, &object.to_string()).await);
        assert!(said.starts_with(&code.to_string()) && said.contains(part), "{said}");
    };
    let with = |field: &str, value: Value| {
        let mut object = request("r", signer, &good, &["client auth"]);
        object["spec"][field] = value;
        object
    };
    check(with("request", STANDARD.encode("x").into()), 422, "PEM block type must be CERTIFICATE REQUEST")
        .await;
    check(with("request", STANDARD.encode(server.authority_certificate()).into()), 422, "spec.request").await;
    check(with("request", STANDARD.encode("x".repeat(70_000)).into()), 422, "longer than 65536 bytes").await;
    let other = pem("jane", "developers", &[], &KeyPair::generate().unwrap());
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let (mut mixed, other) = (lines(&good), lines(&other));
    let last = mixed.len() - 2;
    mixed[last].clone_from(&other[other.len() - 2]);
    check(with("request", STANDARD.encode(mixed.join("\n")).into()), 422, "spec.request").await;
    check(with("usages", json!([])), 422, "spec.usages: Required value").await;
    check(with("usages", json!(["client auth", "flying"])), 422, "spec.usages[1]: Unsupported value").await;
    check(with("usages", json!(["client auth", "client auth"])), 422, "spec.usages[1]: Duplicate value")
        .await;
    check(with("signerName", "x".into()), 422, "spec.signerName: Invalid value").await;
    check(with("expirationSeconds", 599.into()), 422, "may not specify a duration less than 600 seconds")
        .await;
    let masters = pem("jane", "system:masters", &[], &key);
    check(with("request", STANDARD.encode(masters).into()), 403, "system:masters group is not allowed").await;

    let made = make(&admin, REQUESTS, with("expirationSeconds", 600.into())).await;
    let path = format!("{REQUESTS}/r");
    let changed =
        admin.merge(&path, r#"{"spec":{"username":"root"},"status":{"certificate":"eA=="}}"#).await.json();
    assert_eq!((&changed["spec"], &changed["status"]), (&made["spec"], &made["status"]));
    let approved = json!({"status": {"conditions": [{"type": "Approved", "status": "True"}]}}).to_string();
    let said = message(&admin.merge(&format!("{path}/status"), &approved).await);
    assert!(said.contains("updates may not add a condition of type \"Approved\""), "{said}");
    assert_eq!(decide(&admin, "r", "Approved").await.status, 200);
    until(&admin, "r", "Approved", true).await;
    let said = message(&admin.merge(&format!("{path}/approval"), r#"{"status":{"conditions":[]}}"#).await);
    assert!(said.contains("updates may not remove a condition of type \"Approved\""), "{said}");
    let table =
        admin.request("GET", &path, &[("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io")], "").await;
    let cells = table.json()["rows"][0]["cells"].clone();
    assert_eq!(cells, json!(["r", cells[1], signer, "kubernetes-admin", "10m", "Approved,Issued"]));
    server.shutdown().await;
}
