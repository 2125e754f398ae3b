//! Who may do what: roles and their bindings, kubelets, and the reviews that tell.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop")]

mod support;

use everynode_apiserver::{Config, Server};
use everynode_model::Value;
use everynode_testkit::wait::eventually;
use serde_json::json;
use support::{Answer, Client, LIMIT, start};

const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";
const PODS: &str = "/api/v1/namespaces/default/pods";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const REVIEWS: &str = "/apis/authorization.k8s.io/v1";

fn made(answer: Answer) -> Value {
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()
}

async fn make(client: &Client, path: &str, object: Value) -> Value {
    made(client.post(path, &object.to_string()).await)
}

/// A client that has the token of a new service account in the namespace `default`.
async fn account(client: &Client, name: &str) -> Client {
    make(client, ACCOUNTS, json!({"metadata": {"name": name}})).await;
    let answer = make(client, &format!("{ACCOUNTS}/{name}/token"), json!({"spec": {}})).await;
    client.clone().with_token(answer["status"]["token"].as_str().unwrap())
}

async fn start_with_account() -> (Server, Client, Client) {
    let (server, admin) = start(Config::default()).await;
    let client = account(&admin, "a").await;
    (server, admin, client)
}

/// The status of an answer, and the sentence of a refusal.
async fn check(client: &Client, method: &str, path: &str, code: u16, message: &str) {
    let json = [("Content-Type", "application/json")];
    let answer = client.request(method, path, &json, if method == "GET" { "" } else { "{}" }).await;
    let said = if code < 400 { String::new() } else { answer.json()["message"].as_str().unwrap().to_owned() };
    assert_eq!((answer.status.as_u16(), said.as_str()), (code, message), "{method} {path}");
}

fn role(verbs: &[&str], resources: &[&str]) -> Value {
    json!({"metadata": {"name": "r"}, "rules": [{"verbs": verbs, "apiGroups": [""], "resources": resources}]})
}

fn binding(kind: &str, role: &str) -> Value {
    json!({
        "metadata": {"name": "b"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": "a", "namespace": "default"}],
    })
}

#[tokio::test]
async fn a_service_account_may_do_nothing_and_is_told_what_in_the_words_of_the_api() {
    let (server, _, client) = start_with_account().await;
    const WHO: &str = "User \"system:serviceaccount:default:a\" cannot";
    const HERE: &str = "in API group \"\" in the namespace \"default\"";
    const CLUSTER: &str = "in API group \"\" at the cluster scope";
    let pods = |rest: &str| format!("{PODS}{rest}");
    for (method, path, message) in [
        ("GET", "/api/v1/pods".into(), format!("pods is forbidden: {WHO} list resource \"pods\" {CLUSTER}")),
        (
            "GET",
            "/api/v1/pods?watch=1".into(),
            format!("pods is forbidden: {WHO} watch resource \"pods\" {CLUSTER}"),
        ),
        ("GET", pods("/p"), format!("pods \"p\" is forbidden: {WHO} get resource \"pods\" {HERE}")),
        ("GET", pods("/p/log"), format!("pods \"p\" is forbidden: {WHO} get resource \"pods/log\" {HERE}")),
        ("DELETE", pods(""), format!("pods is forbidden: {WHO} deletecollection resource \"pods\" {HERE}")),
        ("POST", pods(""), format!("pods is forbidden: {WHO} create resource \"pods\" {HERE}")),
        ("GET", "/metrics".into(), format!("forbidden: {WHO} get path \"/metrics\"")),
        (
            "GET",
            "/api/v1/nodes/n/proxy/".into(),
            format!("nodes \"n\" is forbidden: {WHO} get resource \"nodes/proxy\" {CLUSTER}"),
        ),
        (
            "GET",
            "/apis/apps/v1/daemonsets".into(),
            format!(
                "daemonsets.apps is forbidden: {WHO} list resource \"daemonsets\" in API group \"apps\" at the cluster scope"
            ),
        ),
    ] {
        check(&client, method, &path, 403, &message).await;
    }
    for path in ["/api", "/apis", "/api/v1", "/openapi/v3", "/version", "/healthz", "/openid/v1/jwks"] {
        check(&client, "GET", path, 200, "").await;
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_binding_gives_a_role_from_the_moment_it_is_written_until_it_is_deleted() {
    let (server, admin, client) = start_with_account().await;
    let list = async |path: &str| client.get(path).await.status.as_u16();
    make(&admin, &format!("{RBAC}/namespaces/default/roles"), role(&["list"], &["pods"])).await;
    assert_eq!(list(PODS).await, 403, "nobody has the role");
    let bindings = format!("{RBAC}/namespaces/default/rolebindings");
    make(&admin, &bindings, binding("Role", "r")).await;
    assert_eq!((list(PODS).await, list("/api/v1/pods").await), (200, 403));
    let role = json!({"rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]}).to_string();
    let path = format!("{RBAC}/namespaces/default/roles/r");
    assert_eq!(admin.merge(&path, &role).await.status, 200);
    assert_eq!(list(PODS).await, 403, "the role changed");
    assert_eq!(admin.delete(&path).await.status, 200);
    check(&client, "GET", PODS, 403, "pods is forbidden: User \"system:serviceaccount:default:a\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\": RBAC: role.rbac.authorization.k8s.io \"r\" not found").await;
    make(&admin, &format!("{RBAC}/clusterroles"), self::role(&["list"], &["pods"])).await;
    make(&admin, &format!("{RBAC}/clusterrolebindings"), binding("ClusterRole", "r")).await;
    assert_eq!((list(PODS).await, list("/api/v1/pods").await), (200, 200));
    let others =
        json!({"subjects": [{"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "others"}]});
    let path = format!("{RBAC}/clusterrolebindings/b");
    assert_eq!(admin.merge(&path, &others.to_string()).await.status, 200);
    assert_eq!(list("/api/v1/pods").await, 403, "the binding means others");
    let group = json!({"subjects": [{"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "system:serviceaccounts:default"}]});
    assert_eq!(admin.merge(&path, &group.to_string()).await.status, 200);
    assert_eq!(list("/api/v1/pods").await, 200, "the binding means the group");
    assert_eq!(admin.delete(&path).await.status, 200);
    assert_eq!(list("/api/v1/pods").await, 403, "the binding is gone");
    server.shutdown().await;
}

#[tokio::test]
async fn roles_that_are_put_together_have_the_rules_of_the_others() {
    let (server, admin, client) = start_with_account().await;
    let bindings = format!("{RBAC}/namespaces/default/rolebindings");
    make(&admin, &bindings, binding("ClusterRole", "admin")).await;
    let daemons = "/apis/apps/v1/namespaces/default/daemonsets";
    check(&client, "GET", daemons, 200, "").await;
    check(&client, "GET", "/api/v1/namespaces/default/secrets", 200, "").await;
    check(&client, "GET", &bindings, 200, "").await;
    let gadgets = "/apis/example.io/v1/namespaces/default/gadgets";
    assert_eq!(client.get(gadgets).await.status, 403);
    let labels = json!({"rbac.authorization.k8s.io/aggregate-to-view": "true"});
    let rules = json!([{"verbs": ["list"], "apiGroups": ["example.io"], "resources": ["gadgets"]}]);
    make(
        &admin,
        &format!("{RBAC}/clusterroles"),
        json!({"metadata": {"name": "more", "labels": labels}, "rules": rules}),
    )
    .await;
    eventually("view, edit and admin have the rule", LIMIT, async || {
        match client.get(gadgets).await.status.as_u16() {
            404 => Ok(()),
            other => Err(other.to_string()),
        }
    })
    .await;
    server.shutdown().await;
}

#[tokio::test]
async fn reviews_of_access_say_what_roles_say() {
    let (server, admin, client) = start_with_account().await;
    let bindings = format!("{RBAC}/namespaces/default/rolebindings");
    make(&admin, &format!("{RBAC}/namespaces/default/roles"), role(&["get"], &["pods"])).await;
    make(&admin, &bindings, binding("Role", "r")).await;
    let ask = async |plural: &str, spec: Value| {
        let answer = admin.post(&format!("{REVIEWS}/{plural}"), &json!({"spec": spec}).to_string()).await;
        match answer.status.as_u16() {
            201 => answer.json()["status"].to_string(),
            code => format!("{code} {}", answer.json()["message"].as_str().unwrap()),
        }
    };
    let pods = |namespace: &str| json!({"verb": "get", "resource": "pods", "namespace": namespace});
    let of = |attributes: Value| json!({"user": "system:serviceaccount:default:a", "resourceAttributes": attributes});
    let subject = async |spec: Value| ask("subjectaccessreviews", spec).await;
    assert_eq!(
        subject(of(pods("default"))).await,
        "{\"allowed\":true,\"reason\":\"RBAC: allowed by RoleBinding \\\"b/default\\\" of Role \\\"r\\\" to ServiceAccount \\\"a/default\\\"\"}"
    );
    assert_eq!(subject(of(pods("two"))).await, "{\"allowed\":false}");
    assert_eq!(subject(of(pods(""))).await, "{\"allowed\":false}");
    assert_eq!(
        subject(json!({"groups": ["system:masters"], "resourceAttributes": pods("")})).await,
        "{\"allowed\":true}"
    );
    let path = json!({"user": "bob", "groups": ["system:authenticated"], "nonResourceAttributes": {"verb": "get", "path": "/healthz"}});
    assert!(
        subject(path)
            .await
            .starts_with("{\"allowed\":true,\"reason\":\"RBAC: allowed by ClusterRoleBinding \\\"system:")
    );
    let both = "422 .authorization.k8s.io \"\" is invalid: spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified";
    assert_eq!(subject(json!({"user": "bob"})).await, both);
    let nobody = "422 .authorization.k8s.io \"\" is invalid: spec.user: Invalid value: \"\": at least one of user or group must be specified";
    assert_eq!(subject(json!({"resourceAttributes": pods("")})).await, nobody);
    let mixed =
        json!({"user": "b", "resourceAttributes": {"verb": "get"}, "nonResourceAttributes": {"path": "/"}});
    assert_eq!(
        subject(mixed).await,
        "422 .authorization.k8s.io \"\" is invalid: spec.nonResourceAttributes: Invalid value: {\"Path\":\"/\",\"Verb\":\"\"}: cannot be specified in combination with resourceAttributes"
    );
    let local = "namespaces/default/localsubjectaccessreviews";
    assert!(ask(local, of(pods("default"))).await.starts_with("{\"allowed\":true"));
    assert_eq!(
        ask(local, of(pods("two"))).await,
        "422 .authorization.k8s.io \"\" is invalid: spec.resourceAttributes.namespace: Invalid value: \"two\": must match metadata.namespace"
    );
    let own = json!({"spec": {"resourceAttributes": pods("default")}}).to_string();
    let answer = made(client.post(&format!("{REVIEWS}/selfsubjectaccessreviews"), &own).await);
    assert_eq!(answer["status"]["allowed"], true);
    assert_eq!(client.post(&format!("{REVIEWS}/subjectaccessreviews"), &own).await.status, 403);
    let rules = made(
        client
            .post(&format!("{REVIEWS}/selfsubjectrulesreviews"), r#"{"spec":{"namespace":"default"}}"#)
            .await,
    );
    let rules = &rules["status"];
    let of_role = json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]});
    assert!(rules["resourceRules"].as_array().unwrap().contains(&of_role), "{rules}");
    assert_eq!(rules["incomplete"], false, "{rules}");
    assert_eq!(ask("selfsubjectrulesreviews", json!({})).await, "400 no namespace on request");
    server.shutdown().await;
}

#[tokio::test]
async fn who_may_impersonate_somebody_is_taken_for_them() {
    let (server, admin, client) = start_with_account().await;
    let who = async |client: &Client, headers: &[(&str, &str)]| {
        let json = [headers, &[("Content-Type", "application/json")]].concat();
        let answer =
            client.request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", &json, "{}").await;
        match answer.status.as_u16() {
            201 => answer.json()["status"]["userInfo"].to_string(),
            code => format!("{code} {}", answer.json()["message"].as_str().unwrap()),
        }
    };
    let bob = [("Impersonate-User", "bob"), ("Impersonate-Group", "g"), ("Impersonate-Group", "h")];
    assert_eq!(who(&admin, &bob).await, r#"{"username":"bob","groups":["g","h","system:authenticated"]}"#);
    let account = [("Impersonate-User", "system:serviceaccount:n:s")];
    assert_eq!(
        who(&admin, &account).await,
        r#"{"username":"system:serviceaccount:n:s","groups":["system:serviceaccounts","system:serviceaccounts:n","system:authenticated"]}"#
    );
    let pods = admin.request("GET", PODS, &[("Impersonate-User", "bob")], "").await;
    assert_eq!(pods.status, 403, "the rights are those of bob");
    const REFUSED: &str = "User \"system:serviceaccount:default:a\" cannot impersonate resource";
    assert_eq!(
        who(&client, &bob).await,
        format!("403 users \"bob\" is forbidden: {REFUSED} \"users\" in API group \"\" at the cluster scope")
    );
    make(&admin, &format!("{RBAC}/clusterroles"), role(&["impersonate"], &["users"])).await;
    make(&admin, &format!("{RBAC}/clusterrolebindings"), binding("ClusterRole", "r")).await;
    assert!(who(&client, &bob[..1]).await.contains("bob"));
    assert_eq!(
        who(&client, &bob[..2]).await,
        format!("403 groups \"g\" is forbidden: {REFUSED} \"groups\" in API group \"\" at the cluster scope")
    );
    assert!(who(&client, &bob[1..]).await.starts_with("400 "));
    assert!(who(&admin, &[("Impersonate-User", "bob"), ("Impersonate-Uid", "1")]).await.starts_with("400 "));
    server.shutdown().await;
}

#[tokio::test]
async fn a_review_of_a_token_says_whose_it_is() {
    let (server, admin, client) = start_with_account().await;
    let reviews = "/apis/authentication.k8s.io/v1/tokenreviews";
    let review = async |spec: Value| make(&admin, reviews, json!({"spec": spec})).await["status"].clone();
    let token = async |spec: Value| {
        let answer = make(&admin, &format!("{ACCOUNTS}/a/token"), json!({"spec": spec})).await;
        answer["status"]["token"].as_str().unwrap().to_owned()
    };
    let plain = review(json!({"token": token(json!({})).await})).await;
    assert_eq!(
        (&plain["authenticated"], &plain["user"]["username"]),
        (&json!(true), &json!("system:serviceaccount:default:a"))
    );
    assert_eq!(
        plain["user"]["groups"],
        json!(["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"])
    );
    assert!(
        plain["user"]["extra"]["authentication.kubernetes.io/credential-id"][0]
            .as_str()
            .unwrap()
            .starts_with("JTI=")
    );
    assert_eq!(plain["audiences"], json!(["https://kubernetes.default.svc.cluster.local"]));
    let vault = token(json!({"audiences": ["vault"]})).await;
    let wrong = review(json!({"token": vault})).await;
    assert_eq!(
        wrong.to_string(),
        "{\"user\":{},\"error\":\"[invalid bearer token, token audiences [\\\"vault\\\"] is invalid for the target audiences [\\\"https://kubernetes.default.svc.cluster.local\\\"]]\"}"
    );
    let right = review(json!({"token": vault, "audiences": ["a", "vault"]})).await;
    assert_eq!((&right["authenticated"], &right["audiences"]), (&json!(true), &json!(["vault"])));
    assert_eq!(
        review(json!({"token": "x"})).await.to_string(),
        "{\"user\":{},\"error\":\"invalid bearer token\"}"
    );
    let of_admin = review(json!({"token": server.token()})).await;
    assert_eq!(of_admin["user"]["groups"], json!(["system:masters", "system:authenticated"]));
    assert_eq!(admin.post(reviews, r#"{"spec":{}}"#).await.status, 400);
    assert_eq!(client.post(reviews, r#"{"spec":{"token":"x"}}"#).await.status, 403);
    let who = made(client.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", "{}").await);
    assert_eq!(who["status"]["userInfo"]["username"], "system:serviceaccount:default:a");
    server.shutdown().await;
}

#[tokio::test]
async fn a_kubelet_reaches_its_own_node_and_what_its_pods_refer_to_and_nothing_else() {
    let (server, admin, _) = start_with_account().await;
    let pod = |name: &str, node: &str, secret: &str| {
        json!({
            "metadata": {"name": name},
            "spec": {
                "serviceAccountName": "a",
                "nodeName": node,
                "imagePullSecrets": [{"name": format!("{secret}-pull")}],
                "volumes": [
                    {"name": "v", "secret": {"secretName": secret}},
                    {"name": "w", "projected": {"sources": [{"configMap": {"name": format!("{secret}-map")}}]}},
                ],
                "containers": [{"name": "c", "image": "i", "envFrom": [{"secretRef": {"name": format!("{secret}-env")}}]}],
            },
        })
    };
    make(&admin, PODS, pod("p", "n", "s")).await;
    make(&admin, PODS, pod("q", "m", "t")).await;
    make(&admin, ACCOUNTS, json!({"metadata": {"name": "unused"}})).await;
    let may = async |verb: &str, attributes: Value| {
        let mut attributes = attributes;
        attributes["verb"] = verb.into();
        let spec =
            json!({"user": "system:node:n", "groups": ["system:nodes"], "resourceAttributes": attributes});
        let review = make(&admin, &format!("{REVIEWS}/subjectaccessreviews"), json!({"spec": spec})).await;
        review["status"]["allowed"] == true
    };
    let at = |text: &str| {
        let mut words = text.split(' ');
        let mut next = || words.next().unwrap_or_default().to_owned();
        let (group, resource, namespace, name) = (next(), next(), next(), next());
        let (resource, subresource) = resource
            .split_once('/')
            .map_or((resource.clone(), String::new()), |(r, s)| (r.to_owned(), s.to_owned()));
        json!({"group": group, "resource": resource, "subresource": subresource, "namespace": namespace, "name": name})
    };
    for (verb, what) in [
        ("get", " nodes  n"),
        ("create", " nodes"),
        ("patch", " nodes/status  n"),
        ("get", " pods default p"),
        ("patch", " pods/status default p"),
        ("delete", " pods default p"),
        ("create", " pods/eviction default p"),
        ("get", " secrets default s"),
        ("watch", " secrets default s-pull"),
        ("get", " secrets default s-env"),
        ("list", " configmaps default s-map"),
        ("create", " serviceaccounts/token default a"),
        ("update", "coordination.k8s.io leases kube-node-lease n"),
        ("get", "storage.k8s.io csinodes  n"),
        ("list", " services"),
        ("create", " events default"),
        ("create", "authorization.k8s.io subjectaccessreviews"),
        ("create", "resource.k8s.io resourceslices"),
    ] {
        assert!(may(verb, at(what)).await, "{verb}{what} is allowed");
    }
    for (verb, what) in [
        ("get", "resource.k8s.io resourceslices  x"),
        ("list", "resource.k8s.io resourceslices"),
        ("get", "resource.k8s.io resourceclaims default c"),
        ("get", " nodes  m"),
        ("list", " nodes"),
        ("delete", " nodes  n"),
        ("patch", " nodes/status  m"),
        ("list", " pods"),
        ("get", " pods default q"),
        ("patch", " pods/status default q"),
        ("delete", " pods default q"),
        ("update", " pods default p"),
        ("create", " pods/exec default p"),
        ("get", " secrets default t"),
        ("get", " secrets default s-map"),
        ("list", " secrets default"),
        ("get", " secrets kube-system s"),
        ("get", " configmaps default t-map"),
        ("create", " serviceaccounts/token default unused"),
        ("update", "coordination.k8s.io leases kube-node-lease m"),
        ("update", "coordination.k8s.io leases default n"),
        ("list", "apps daemonsets"),
        ("get", "rbac.authorization.k8s.io clusterroles  view"),
    ] {
        assert!(!may(verb, at(what)).await, "{verb}{what} is not allowed");
    }
    server.shutdown().await;
}
