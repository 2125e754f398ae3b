//! The server as a whole: who may ask, how much, and what stays.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may stop and speak"
)]

mod support;

use everynode_apiserver::{Components, Config, Error, Server, Storage};
use everynode_model::Value;
use serde_json::json;
use support::{Answer, start};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// The status of a pod that runs.
const RUNNING: &str = r#"{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}"#;

fn reason(answer: &Answer) -> String {
    answer.json()["reason"].as_str().unwrap_or("").to_owned()
}

#[tokio::test]
async fn strangers_see_health_and_version_and_nothing_else() {
    let (server, client) = start(Config::default()).await;
    let stranger = client.clone().without_token();
    for path in ["/livez", "/readyz", "/healthz", "/version"] {
        assert_eq!(stranger.get(path).await.status, 200, "{path}");
    }
    for path in ["/api", "/api/v1/pods", "/openapi/v3", "/metrics", "/"] {
        let answer = stranger.get(path).await;
        assert_eq!(answer.status, 401, "{path}");
        assert_eq!(reason(&answer), "Unauthorized");
    }
    let wrong = client.clone().with_token("wrong");
    assert_eq!(wrong.get("/version").await.status, 401, "a token that is no good is told so everywhere");
    server.shutdown().await;
}

#[tokio::test]
async fn requests_have_limits() {
    let config = Config { body_limit_bytes: 1_000, requests_in_flight: 0, ..Config::default() };
    let (server, client) = start(config).await;
    let busy = client.get("/api/v1/pods").await;
    assert_eq!((busy.status.as_u16(), busy.headers["retry-after"].to_str().unwrap()), (429, "1"));
    server.shutdown().await;

    let (server, client) = start(Config { body_limit_bytes: 1_000, ..Config::default() }).await;
    let large = client.post(MAPS, &"x".repeat(1_001)).await;
    assert_eq!((large.status.as_u16(), reason(&large)), (413, "RequestEntityTooLarge".into()));
    server.shutdown().await;
}

#[tokio::test]
async fn a_port_in_use_is_an_error_with_its_address() {
    let (server, _) = start(Config::default()).await;
    let error = Server::start(Config { listen: server.address(), ..Config::default() }).await.unwrap_err();
    assert!(matches!(error, Error::AddressInUse(address) if address == server.address()), "{error}");
    server.shutdown().await;
}

#[tokio::test]
async fn a_data_directory_belongs_to_one_server_at_a_time_and_keeps_everything() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let config = || Config { storage: Storage::Directory(data.clone()), ..Config::default() };
    let (server, client) = start(config()).await;
    let made = client.post(MAPS, r#"{"metadata":{"name":"a"}}"#).await.json();
    let error = Server::start(config()).await.unwrap_err().to_string();
    assert!(error.contains("in use by another process"), "{error}");
    let token = server.token().to_owned();
    server.shutdown().await;

    let (server, client) = start(config()).await;
    assert_eq!(client.get(&format!("{MAPS}/a")).await.json(), made);
    assert_eq!(server.token(), token);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&data), 0o700);
        for entry in std::fs::read_dir(&data).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(mode(&path), 0o600, "{}", path.display());
        }
    }
    server.shutdown().await;
}

#[tokio::test]
async fn an_eviction_spends_the_budget_and_is_refused_when_it_is_spent() {
    let (server, client) = start(Config { service_account_admission: false, ..Config::default() }).await;
    let pods = "/api/v1/namespaces/default/pods";
    for name in ["p1", "p2"] {
        let pod = format!(
            r#"{{"metadata":{{"name":"{name}","labels":{{"app":"p"}}}},"spec":{{"nodeName":"n","containers":[{{"name":"c","image":"i"}}]}}}}"#
        );
        assert_eq!(client.post(pods, &pod).await.status, 201);
        let running = client.merge(&format!("{pods}/{name}/status"), RUNNING).await;
        assert_eq!(running.status, 200, "{}", running.text());
    }
    let budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    let budget =
        r#"{"metadata":{"name":"b"},"spec":{"maxUnavailable":1,"selector":{"matchLabels":{"app":"p"}}}}"#;
    assert_eq!(client.post(budgets, budget).await.status, 201);
    let say = async |status: Value| {
        let body = json!({ "status": status }).to_string();
        assert_eq!(client.merge(&format!("{budgets}/b/status"), &body).await.status, 200);
    };
    let evict = async |name: &str| {
        let body =
            format!(r#"{{"apiVersion":"policy/v1","kind":"Eviction","metadata":{{"name":"{name}"}}}}"#);
        client.post(&format!("{pods}/{name}/eviction"), &body).await
    };
    let check_refused = async |name: &str, why: &str| {
        let refused = evict(name).await;
        assert_eq!(refused.status, 429, "{}", refused.text());
        let cause = refused.json()["details"]["causes"][0].clone();
        assert_eq!(
            (cause["reason"].as_str(), cause["message"].as_str()),
            (Some("DisruptionBudget"), Some(why))
        );
    };
    check_refused("p1", "The disruption budget b is still being processed by the server.").await;
    say(json!({"observedGeneration": 1, "disruptionsAllowed": 1, "currentHealthy": 2, "desiredHealthy": 1}))
        .await;
    let first = evict("p1").await;
    assert_eq!(first.status, 201, "{}", first.text());
    check_refused("p2", "The disruption budget b needs 1 healthy pods and has 2 currently").await;
    let spent = client.get(&format!("{budgets}/b")).await.json();
    assert_eq!(spent.pointer("/status/disruptionsAllowed").and_then(Value::as_i64), Some(0));
    assert!(spent.pointer("/status/disruptedPods/p1").is_some(), "{spent}");
    let failed = json!({"type": "DisruptionAllowed", "status": "False", "reason": "SyncFailed",
        "lastTransitionTime": "2026-01-01T00:00:00Z", "message": "there is no scale"});
    say(json!({"conditions": [failed]})).await;
    check_refused(
        "p2",
        "The disruption budget b does not allow evicting pods currently because it failed sync: there is no scale",
    )
    .await;
    let not_ready = r#"{"status":{"conditions":[{"type":"Ready","status":"False"}]}}"#;
    assert_eq!(client.merge(&format!("{pods}/p2/status"), not_ready).await.status, 200);
    assert_eq!(evict("p2").await.status, 201, "it is not healthy anyway, and enough others are");
    server.shutdown().await;
}

#[tokio::test]
async fn across_all_namespaces_nothing_is_created_or_deleted() {
    let (server, client) = start(Config::default()).await;
    let map = r#"{"metadata":{"name":"m","namespace":"default"}}"#;
    assert_eq!(client.post(MAPS, map).await.status, 201);
    for path in ["/api/v1/configmaps", "/apis/apps/v1/daemonsets"] {
        for answer in [client.delete(path).await, client.post(path, map).await] {
            assert_eq!((answer.status.as_u16(), reason(&answer)), (405, "MethodNotAllowed".into()), "{path}");
        }
        assert_eq!(client.get(path).await.status, 200);
    }
    assert_eq!(client.get(&format!("{MAPS}/m")).await.status, 200, "it is still there");
    assert_eq!(client.delete(MAPS).await.status, 200);
    assert_eq!(client.delete("/api/v1/nodes").await.status, 200);
    server.shutdown().await;
}

#[tokio::test]
async fn objects_of_the_cluster_have_no_namespace_whatever_they_name() {
    let (server, client) = start(Config::default()).await;
    let node = r#"{"metadata":{"name":"n","namespace":"team"}}"#;
    let made = client.post("/api/v1/nodes", node).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let changed = client.put("/api/v1/nodes/n", node).await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    for answer in [made, changed] {
        assert_eq!(answer.json()["metadata"].get("namespace"), None);
    }
    let map = r#"{"metadata":{"name":"m","namespace":"team"}}"#;
    assert_eq!(client.post(MAPS, map).await.status, 400, "inside of namespaces it has to be the same one");
    server.shutdown().await;
}

#[tokio::test]
async fn health_is_told_check_by_check_and_components_as_they_run() {
    let components = Components { scheduler: true, controller_manager: false };
    let (server, client) = start(Config { components, ..Config::default() }).await;
    assert_eq!(client.get("/readyz").await.text(), "ok");
    assert_eq!(client.get("/readyz?verbose").await.text(), "[+]ping ok\n[+]etcd ok\nreadyz check passed\n");
    for (name, healthy) in [("scheduler", "True"), ("controller-manager", "False"), ("etcd-0", "True")] {
        let status = client.get(&format!("/api/v1/componentstatuses/{name}")).await.json();
        assert_eq!(status["conditions"][0]["status"], healthy, "{name}");
    }
    server.shutdown().await;
}

#[tokio::test]
async fn every_cluster_has_the_service_of_its_api_with_endpoints_and_a_certificate_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let config = || Config { storage: Storage::Directory(directory.path().to_owned()), ..Config::default() };
    let path = "/api/v1/namespaces/default/services/kubernetes";
    let (server, client) = start(config()).await;
    let at = async |path: &str, pointer: &str| client.get(path).await.json().pointer(pointer).cloned();
    let address = Some(json!("10.96.0.1"));
    assert_eq!(at(path, "/spec/clusterIP").await, address);
    let endpoints = "/api/v1/namespaces/default/endpoints/kubernetes";
    assert_eq!(at(endpoints, "/subsets/0/addresses/0/ip").await, address);
    let slice = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes";
    assert_eq!(at(slice, "/endpoints/0/addresses/0").await, address);
    for name in ["10.96.0.1", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "localhost"] {
        let answer = client.clone().by_name(name).get("/version").await;
        assert_eq!(answer.status, 200, "{name} is certified");
    }
    assert_eq!(client.delete(path).await.status, 200);
    server.shutdown().await;

    let (server, client) = start(config()).await;
    assert_eq!(client.get(path).await.status, 200);
    server.shutdown().await;
}

#[tokio::test]
async fn whoever_connects_to_another_listener_is_served_too() {
    let (mut server, client) = start(Config::default()).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let other = client.clone().at(listener.local_addr().unwrap());
    server.listen_also(listener);
    assert_eq!(other.get("/api/v1/pods").await.status, 200);
    assert_eq!(other.by_name("10.96.0.1").without_token().get("/api/v1/pods").await.status, 401);
    assert_eq!(client.get("/api/v1/pods").await.status, 200);
    server.shutdown().await;
}

#[tokio::test]
async fn pods_get_the_token_of_their_account_or_are_refused_without_one() {
    let (server, client) = start(Config::default()).await;
    let pods = "/api/v1/namespaces/default/pods";
    let pod = r#"{"metadata":{"generateName":"p-"},"spec":{"containers":[{"name":"c","image":"i"}]}}"#;
    let refused = client.post(pods, pod).await;
    assert_eq!(refused.status, 403);
    assert_eq!(
        refused.json()["message"],
        "pods \"p-\" is forbidden: error looking up service account default/default: serviceaccount \"default\" not found"
    );
    let account = r#"{"metadata":{"name":"default"}}"#;
    assert_eq!(client.post("/api/v1/namespaces/default/serviceaccounts", account).await.status, 201);
    let made = client.post(pods, pod).await.json();
    let volume = &made["spec"]["volumes"][0];
    assert!(volume["name"].as_str().unwrap().starts_with("kube-api-access-"), "{made}");
    let mount = &made["spec"]["containers"][0]["volumeMounts"][0];
    assert_eq!(mount["name"], volume["name"]);
    assert_eq!(mount["mountPath"], "/var/run/secrets/kubernetes.io/serviceaccount");
    server.shutdown().await;
}

#[tokio::test]
async fn pods_carry_the_region_and_zone_of_their_node_once_they_are_bound() {
    let config = Config { service_account_admission: false, ..Config::default() };
    let (server, client) = start(config).await;
    let (region, zone) = ("topology.kubernetes.io/region", "topology.kubernetes.io/zone");
    let node =
        format!(r#"{{"metadata":{{"name":"n","labels":{{"{region}":"r","{zone}":"z","other":"x"}}}}}}"#);
    assert_eq!(client.post("/api/v1/nodes", &node).await.status, 201);
    let pods = "/api/v1/namespaces/default/pods";
    let pod = |name: &str, spec: &str| {
        format!(
            r#"{{"metadata":{{"name":"{name}","labels":{{"app":"a","{zone}":"own"}}}},"spec":{{{spec}"containers":[{{"name":"c","image":"i"}}]}}}}"#
        )
    };
    let labels_of =
        async |name: &str| client.get(&format!("{pods}/{name}")).await.json()["metadata"]["labels"].clone();
    let of_the_node = serde_json::json!({"app": "a", region: "r", zone: "z"});

    let made = client.post(pods, &pod("placed", r#""nodeName":"n","#)).await;
    assert_eq!((made.status.as_u16(), labels_of("placed").await), (201, of_the_node.clone()));

    assert_eq!(client.post(pods, &pod("bound", "")).await.status, 201);
    assert_eq!(labels_of("bound").await, serde_json::json!({"app": "a", zone: "own"}));
    let binding = r#"{"metadata":{"name":"bound"},"target":{"kind":"Node","name":"n"}}"#;
    assert_eq!(client.post(&format!("{pods}/bound/binding"), binding).await.status, 201);
    assert_eq!(labels_of("bound").await, of_the_node);
    server.shutdown().await;
}

#[tokio::test]
async fn an_update_with_a_bad_finalizer_name_is_refused_and_says_each_mistake_once() {
    let (server, client) = start(Config::default()).await;
    let made = client.post(MAPS, r#"{"metadata":{"name":"a"}}"#).await;
    assert_eq!(made.status, 201);
    let json = [("Content-Type", "application/json")];
    let body = r#"{"metadata":{"name":"a","finalizers":["no name"]}}"#;
    let refused = client.request("PUT", &format!("{MAPS}/a"), &json, body).await;
    assert_eq!((refused.status.as_u16(), reason(&refused)), (422, "Invalid".into()));
    let causes = refused.json()["details"]["causes"].as_array().unwrap().clone();
    let fields: Vec<&str> = causes.iter().filter_map(|cause| cause["field"].as_str()).collect();
    assert_eq!(fields, ["metadata.finalizers", "metadata.finalizers[0]"], "{causes:?}");
    server.shutdown().await;
}

#[tokio::test]
async fn a_namespace_goes_when_its_finalizers_go() {
    let (server, client) = start(Config::default()).await;
    let made = client.post("/api/v1/namespaces", r#"{"metadata":{"name":"x"}}"#).await.json();
    assert_eq!(made["spec"]["finalizers"][0], "kubernetes");
    let refused = client.delete("/api/v1/namespaces/default").await;
    assert_eq!((refused.status.as_u16(), reason(&refused)), (403, "Forbidden".into()));
    let going = client.delete("/api/v1/namespaces/x").await.json();
    assert_eq!(going["status"]["phase"], "Terminating");
    let finalized =
        client.put("/api/v1/namespaces/x/finalize", r#"{"metadata":{"name":"x"},"spec":{}}"#).await;
    assert_eq!(finalized.status, 200, "{}", finalized.text());
    assert_eq!(client.get("/api/v1/namespaces/x").await.status, 404);
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patches_at_the_same_time_all_go_through_and_updates_of_old_versions_do_not() {
    let (server, client) = start(Config::default()).await;
    let made = client.post(MAPS, r#"{"metadata":{"name":"a"}}"#).await.json();
    let patches = (0..24).map(|number| {
        let client = client.clone();
        tokio::spawn(async move {
            let body = format!(r#"{{"data":{{"k{number}":"v"}}}}"#);
            client.merge(&format!("{MAPS}/a"), &body).await.status
        })
    });
    for patch in patches.collect::<Vec<_>>() {
        assert_eq!(patch.await.unwrap(), 200);
    }
    let after = client.get(&format!("{MAPS}/a")).await.json();
    assert_eq!(after["data"].as_object().unwrap().len(), 24);
    let stale = client.put(&format!("{MAPS}/a"), &made.to_string()).await;
    assert_eq!((stale.status.as_u16(), reason(&stale)), (409, "Conflict".into()));
    server.shutdown().await;
}

#[tokio::test]
async fn delete_options_come_in_any_group_and_form() {
    let (server, client) = start(Config::default()).await;
    let json =
        (("Content-Type", "application/json"), &br#"{"kind":"DeleteOptions","apiVersion":"apps/v1"}"#[..]);
    let yaml = (("Content-Type", "application/yaml"), &b"kind: DeleteOptions\napiVersion: v1\n"[..]);
    let protobuf = (
        ("Content-Type", "application/vnd.kubernetes.protobuf"),
        &b"k8s\0\x0a\x17\x0a\x06apps/x\x12\x0dDeleteOptions"[..],
    );
    for (content_type, body) in [json, yaml, protobuf] {
        client.post(MAPS, r#"{"metadata":{"name":"a"}}"#).await;
        let answer = client.request("DELETE", &format!("{MAPS}/a"), &[content_type], body).await;
        assert_eq!(answer.status, 200, "{content_type:?} {}", answer.text());
    }
    server.shutdown().await;
}

#[tokio::test]
async fn pods_of_jobs_and_replication_controllers_stay_where_nobody_says_what_becomes_of_them() {
    let (server, client) = start(Config::default()).await;
    let pod = r#"{"metadata":{"labels":{"a":"b"}},"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"i"}]}}"#;
    let rc_pod = pod.replace("Never", "Always");
    let orphan = json!(["orphan"]);
    let check = async |path: &str, spec: &str, options: &str, finalizers: &Value, warns: bool| {
        client.post(path, &format!(r#"{{"metadata":{{"name":"a"}},"spec":{spec}}}"#)).await;
        let one = format!("{path}/a");
        let answer =
            client.request("DELETE", &one, &[("Content-Type", "application/json")], options.to_owned()).await;
        assert_eq!(
            (answer.status.as_u16(), answer.headers.contains_key("warning")),
            (200, warns),
            "{path} {options}"
        );
        let left = client.get(&one).await.json();
        assert_eq!(left["metadata"]["finalizers"], *finalizers, "{path} {options}");
        let free = r#"{"metadata":{"finalizers":null}}"#;
        client.request("PATCH", &one, &[("Content-Type", "application/merge-patch+json")], free).await;
    };
    let jobs = "/apis/batch/v1/namespaces/default/jobs";
    let job = format!(r#"{{"template":{pod}}}"#);
    check(jobs, &job, "{}", &orphan, true).await;
    check(jobs, &job, r#"{"propagationPolicy":"Background"}"#, &Value::Null, false).await;
    check(jobs, &job, r#"{"orphanDependents":false}"#, &Value::Null, false).await;
    let controllers = "/api/v1/namespaces/default/replicationcontrollers";
    let controller = format!(r#"{{"selector":{{"a":"b"}},"template":{rc_pod}}}"#);
    check(controllers, &controller, "{}", &orphan, false).await;
    let sets = "/apis/apps/v1/namespaces/default/replicasets";
    let set = format!(r#"{{"selector":{{"matchLabels":{{"a":"b"}}}},"template":{rc_pod}}}"#);
    check(sets, &set, "{}", &Value::Null, false).await;
    server.shutdown().await;
}

#[tokio::test]
async fn tables_and_partial_objects_come_in_the_version_that_is_asked_for() {
    let (server, client) = start(Config::default()).await;
    client.post(MAPS, r#"{"metadata":{"name":"a"}}"#).await;
    for version in ["v1", "v1beta1"] {
        let wanted = json!(format!("meta.k8s.io/{version}"));
        for (path, shape) in [(MAPS.to_owned(), "List"), (format!("{MAPS}/a"), "")] {
            let ask = async |shape: &str| {
                let accept = format!("application/json;as={shape};v={version};g=meta.k8s.io");
                client.request("GET", &path, &[("Accept", &accept)], "").await.json()
            };
            let table = ask("Table").await;
            assert_eq!((&table["apiVersion"], &table["rows"][0]["object"]["apiVersion"]), (&wanted, &wanted));
            let kind = format!("PartialObjectMetadata{shape}");
            let partial = ask(&kind).await;
            assert_eq!((&partial["apiVersion"], &partial["kind"]), (&wanted, &json!(kind)));
        }
    }
    server.shutdown().await;
}

#[tokio::test]
async fn discovery_in_one_document_is_not_sent_twice() {
    let (server, client) = start(Config::default()).await;
    let accept =
        ("Accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json");
    let first = client.request("GET", "/apis", &[accept], "").await;
    let etag = first.headers["etag"].to_str().unwrap().to_owned();
    let again = client.request("GET", "/apis", &[accept, ("If-None-Match", &etag)], "").await;
    assert_eq!(again.status, 304);
    assert!(first.text().contains("\"daemonsets\""));
    server.shutdown().await;
}

#[tokio::test]
async fn changed_continue_tokens_and_selectors_are_refused_or_give_a_page() {
    let (server, client) = start(Config::default()).await;
    for name in ["a", "b", "c"] {
        client.post(MAPS, &format!(r#"{{"metadata":{{"name":"{name}"}}}}"#)).await;
    }
    let page = client.get(&format!("{MAPS}?limit=1")).await.json();
    let token = page["metadata"]["continue"].as_str().unwrap().to_owned();
    for seed in 1..=150 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut changed: Vec<char> = token.chars().collect();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(0..changed.len());
            match random.u32(0..3) {
                0 => drop(changed.remove(at)),
                1 => changed.insert(at, random.alphanumeric()),
                _ => changed[at] = ['-', '_', '=', '.', 'A'][random.usize(0..5)],
            }
        }
        let changed: String = changed.into_iter().collect();
        let selector: String =
            (0..random.usize(0..12)).map(|_| b"a=!,()%2C"[random.usize(0..9)] as char).collect();
        for path in [format!("{MAPS}?limit=1&continue={changed}"), format!("{MAPS}?labelSelector={selector}")]
        {
            let answer = client.get(&path).await;
            assert!(
                matches!(answer.status.as_u16(), 200 | 400 | 410),
                "seed {seed}: {path} {}",
                answer.text()
            );
        }
    }
    server.shutdown().await;
}
