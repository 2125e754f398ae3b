//! Service accounts: their tokens on request and in secrets, and when those hold.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop")]

mod support;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use everynode_apiserver::{Config, Server};
use everynode_model::Value;
use everynode_testkit::wait::eventually;
use serde_json::json;
use support::{Answer, Client, LIMIT, start};

const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";
const PODS: &str = "/api/v1/namespaces/default/pods";
const SECRETS: &str = "/api/v1/namespaces/default/secrets";
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// A server with the service accounts `a` and `b`, and a pod of `a`.
async fn start_with_accounts() -> (Server, Client) {
    let (server, client) = start(Config::default()).await;
    for name in ["a", "b"] {
        made(client.post(ACCOUNTS, &json!({"metadata": {"name": name}}).to_string()).await);
    }
    make_pod(&client).await;
    (server, client)
}

async fn make_pod(client: &Client) -> Value {
    let spec =
        json!({"serviceAccountName": "a", "nodeName": "n", "containers": [{"name": "c", "image": "i"}]});
    made(client.post(PODS, &json!({"metadata": {"name": "p"}, "spec": spec}).to_string()).await)
}

fn made(answer: Answer) -> Value {
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()
}

async fn ask(client: &Client, account: &str, spec: Value) -> Answer {
    let body = json!({"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "spec": spec});
    client.post(&format!("{ACCOUNTS}/{account}/token"), &body.to_string()).await
}

async fn token(client: &Client, account: &str, spec: Value) -> String {
    made(ask(client, account, spec).await)["status"]["token"].as_str().unwrap().to_owned()
}

fn bound_to(kind: &str, name: &str) -> Value {
    json!({"boundObjectRef": {"kind": kind, "apiVersion": "v1", "name": name}})
}

/// Whom the server takes for the sender of a token, and nobody where it says 401.
async fn user(client: &Client, token: &str) -> Option<Value> {
    let client = client.clone().with_token(token);
    let answer = client.get("/api/v1/pods").await;
    match answer.status.as_u16() {
        401 => None,
        403 => Some(answer.json()["message"].clone()),
        other => panic!("{other}: {}", answer.text()),
    }
}

async fn until_gone(client: &Client, path: &str) {
    eventually(&format!("{path} is gone"), LIMIT, async || {
        let answer = client.get(path).await;
        if answer.status == 404 { Ok(()) } else { Err(answer.text()) }
    })
    .await;
}

fn claims(token: &str) -> Value {
    let content = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(content).unwrap()).unwrap()
}

#[tokio::test]
async fn a_token_says_whose_it_is_for_whom_until_when_and_what_it_is_bound_to() {
    let (server, client) = start_with_accounts().await;
    let account = client.get(&format!("{ACCOUNTS}/a")).await.json();
    let node = made(client.post("/api/v1/nodes", r#"{"metadata":{"name":"n"}}"#).await);
    let pod = client.get(&format!("{PODS}/p")).await.json();
    let mut answer = made(ask(&client, "a", bound_to("Pod", "p")).await);
    let claims = claims(answer["status"]["token"].as_str().unwrap());
    let now = claims["iat"].as_i64().unwrap();
    let expected = json!({
        "aud": [ISSUER],
        "exp": now + 3_600,
        "iat": now,
        "iss": ISSUER,
        "jti": claims["jti"],
        "kubernetes.io": {
            "namespace": "default",
            "node": {"name": "n", "uid": node["metadata"]["uid"]},
            "pod": {"name": "p", "uid": pod["metadata"]["uid"]},
            "serviceaccount": {"name": "a", "uid": account["metadata"]["uid"]},
        },
        "nbf": now,
        "sub": "system:serviceaccount:default:a",
    });
    assert_eq!(claims.to_string(), expected.to_string());
    assert_eq!(claims["jti"].as_str().unwrap().len(), 36);
    answer["status"]["token"] = "T".into();
    let expected = json!({
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {
            "name": "a",
            "namespace": "default",
            "uid": account["metadata"]["uid"],
            "creationTimestamp": everynode_model::time::format(now),
        },
        "spec": {
            "audiences": [ISSUER],
            "expirationSeconds": 3_600,
            "boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "p"},
        },
        "status": {"token": "T", "expirationTimestamp": everynode_model::time::format(now + 3_600)},
    });
    assert_eq!(answer.to_string(), expected.to_string());
    let plain = made(ask(&client, "a", json!({"expirationSeconds": 600, "audiences": ["x", "y"]})).await);
    assert_eq!(
        plain["spec"].to_string(),
        r#"{"audiences":["x","y"],"expirationSeconds":600,"boundObjectRef":null}"#
    );
    server.shutdown().await;
}

#[tokio::test]
async fn requests_for_tokens_that_ask_for_too_much_are_refused() {
    let (server, client) = start_with_accounts().await;
    let check = async |account: &str, spec: Value, code: u16, message: &str| {
        let answer = ask(&client, account, spec.clone()).await;
        let said = answer.json()["message"].clone();
        assert_eq!((answer.status.as_u16(), said.as_str()), (code, Some(message)), "{account} {spec}");
    };
    let life = |seconds: i64| json!({"expirationSeconds": seconds});
    check("a", life(599), 422, "TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 10 minutes").await;
    check("a", life((1 << 32) + 1), 422, "TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: Invalid value: 4294967297: may not specify a duration larger than 2^32 seconds").await;
    assert_eq!(ask(&client, "a", life(1 << 32)).await.status, 201);
    check("c", json!({}), 404, "serviceaccounts \"c\" not found").await;
    check("a", bound_to("Pod", "q"), 404, "pods \"q\" not found").await;
    check("a", bound_to("Secret", "q"), 404, "secrets \"q\" not found").await;
    check("a", bound_to("Node", "q"), 404, "nodes \"q\" not found").await;
    check("a", bound_to("ConfigMap", "p"), 400, "cannot bind token to object of type /v1, Kind=ConfigMap")
        .await;
    check(
        "b",
        bound_to("Pod", "p"),
        400,
        "cannot bind token for serviceaccount \"b\" to pod running with different serviceaccount name.",
    )
    .await;
    let mut other = bound_to("Pod", "p");
    other["boundObjectRef"]["uid"] = "x".into();
    check("a", other, 409, "Operation cannot be fulfilled on Pod \"p\": the UID in the bound object reference (x) does not match the UID in record. The object might have been deleted and then recreated").await;
    let many: Vec<String> = (0..2_000).map(|number| format!("audience-{number}")).collect();
    check(
        "a",
        json!({"audiences": many}),
        400,
        "the token would be longer than 16384 bytes: ask for fewer audiences",
    )
    .await;
    let named = |metadata: Value| json!({"metadata": metadata, "spec": {}}).to_string();
    let path = format!("{ACCOUNTS}/a/token");
    assert_eq!(client.post(&path, &named(json!({"name": "b"}))).await.status, 422);
    assert_eq!(client.post(&path, &named(json!({"namespace": "b"}))).await.status, 400);
    assert_eq!(client.post(&path, &named(json!({"uid": "b"}))).await.status, 409);
    assert_eq!(client.post(&path, r#"{"kind":"Pod","apiVersion":"v1"}"#).await.status, 400);
    assert_eq!(client.get(&path).await.status, 405);
    // A pod of another namespace is not found in this one.
    made(client.post("/api/v1/namespaces", r#"{"metadata":{"name":"two"}}"#).await);
    let two = "/api/v1/namespaces/two/serviceaccounts";
    made(client.post(two, r#"{"metadata":{"name":"a"}}"#).await);
    let body = json!({"spec": bound_to("Pod", "p")}).to_string();
    assert_eq!(client.post(&format!("{two}/a/token"), &body).await.status, 404);
    server.shutdown().await;
}

#[tokio::test]
async fn a_token_holds_as_long_as_what_it_is_bound_to() {
    let (server, client) = start_with_accounts().await;
    made(client.post("/api/v1/nodes", r#"{"metadata":{"name":"n"}}"#).await);
    made(client.post(SECRETS, r#"{"metadata":{"name":"s"}}"#).await);
    let free = token(&client, "a", json!({})).await;
    let of_pod = token(&client, "a", bound_to("Pod", "p")).await;
    let of_secret = token(&client, "a", bound_to("Secret", "s")).await;
    let of_node = token(&client, "a", bound_to("Node", "n")).await;
    let known = "pods is forbidden: User \"system:serviceaccount:default:a\" cannot list resource \"pods\" in API group \"\" at the cluster scope";
    for token in [&free, &of_pod, &of_secret, &of_node] {
        assert_eq!(user(&client, token).await, Some(known.into()), "{}", claims(token));
    }
    let gone = async |path: &str, token: &str| {
        let answer = client
            .request("DELETE", path, &[("Content-Type", "application/json")], r#"{"gracePeriodSeconds":0}"#)
            .await;
        assert!(answer.status.is_success(), "{}", answer.text());
        assert_eq!(user(&client, token).await, None, "after the end of {path}");
    };
    gone(&format!("{SECRETS}/s"), &of_secret).await;
    gone("/api/v1/nodes/n", &of_node).await;
    gone(&format!("{PODS}/p"), &of_pod).await;
    // Another pod of that name is another pod.
    make_pod(&client).await;
    assert_eq!(user(&client, &of_pod).await, None);
    let of_pod = token(&client, "a", bound_to("Pod", "p")).await;
    assert!(user(&client, &of_pod).await.is_some());
    gone(&format!("{ACCOUNTS}/a"), &free).await;
    made(client.post(ACCOUNTS, r#"{"metadata":{"name":"a"}}"#).await);
    assert_eq!(user(&client, &free).await, None, "another account of that name is another account");
    assert_eq!(user(&client, &of_pod).await, None);
    server.shutdown().await;
}

#[tokio::test]
async fn tokens_of_others_and_for_others_are_refused() {
    let (server, client) = start_with_accounts().await;
    let (other, stranger) = start_with_accounts().await;
    let good = token(&client, "a", json!({})).await;
    assert!(user(&client, &good).await.is_some());
    let check = async |token: &str, why: &str| assert_eq!(user(&client, token).await, None, "{why}");
    check(&token(&stranger, "a", json!({})).await, "of another cluster").await;
    check(&token(&client, "a", json!({"audiences": ["vault"]})).await, "for somebody else").await;
    check(&good[..good.len() - 2], "cut").await;
    check(&format!("{good}.{good}"), "twice").await;
    check(&"x".repeat(20_000), "long").await;
    let parts: Vec<&str> = good.split('.').collect();
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
    check(&format!("{none}.{}.", parts[1]), "without signature").await;
    other.shutdown().await;
    server.shutdown().await;
}

#[tokio::test]
async fn a_secret_of_its_type_gets_the_token_of_its_account_and_goes_with_it() {
    let (server, client) = start_with_accounts().await;
    let secret = |name: &str, account: &str| {
        json!({
            "metadata": {"name": name, "annotations": {"kubernetes.io/service-account.name": account}},
            "type": "kubernetes.io/service-account-token",
        })
        .to_string()
    };
    made(client.post(SECRETS, &secret("s", "a")).await);
    let path = format!("{SECRETS}/s");
    let filled = eventually("the secret has a token", LIMIT, async || {
        let found = client.get(&path).await.json();
        if found.pointer("/data/token").is_some() { Ok(found) } else { Err(found.to_string()) }
    })
    .await;
    let data = |field: &str| {
        let text = filled["data"][field].as_str().unwrap();
        String::from_utf8(STANDARD.decode(text).unwrap()).unwrap()
    };
    assert_eq!(data("namespace"), "default");
    assert_eq!(data("ca.crt"), server.authority_certificate());
    let account = client.get(&format!("{ACCOUNTS}/a")).await.json();
    let uid = &account["metadata"]["uid"];
    assert_eq!(&filled["metadata"]["annotations"]["kubernetes.io/service-account.uid"], uid);
    assert!(user(&client, &data("token")).await.is_some());
    // A token that is no longer in its secret is none.
    let other = json!({"data": {"token": STANDARD.encode("other")}}).to_string();
    assert_eq!(client.merge(&path, &other).await.status, 200);
    assert_eq!(user(&client, &data("token")).await, None);
    assert_eq!(client.delete(&format!("{ACCOUNTS}/a")).await.status, 200);
    until_gone(&client, &path).await;
    made(client.post(SECRETS, &secret("t", "nobody")).await);
    let path = format!("{SECRETS}/t");
    until_gone(&client, &path).await;
    server.shutdown().await;
}

#[tokio::test]
async fn others_can_check_tokens_by_the_published_keys() {
    let (server, client) = start_with_accounts().await;
    let discovery = client.get("/.well-known/openid-configuration").await.json();
    assert_eq!(discovery["issuer"], ISSUER);
    assert_eq!(discovery["jwks_uri"], format!("{}/openid/v1/jwks", server.url()));
    let keys = client.get("/openid/v1/jwks").await.json();
    let token = token(&client, "a", json!({})).await;
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    assert_eq!((&keys["keys"][0]["kid"], &header["alg"]), (&header["kid"], &json!("ES256")));
    server.shutdown().await;
}
