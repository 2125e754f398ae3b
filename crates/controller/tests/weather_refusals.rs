//! Refusals that last: who else gets pods meanwhile, and what is said about it.

// A test may panic anywhere, its helpers too.
#![allow(clippy::expect_used, clippy::print_stderr)]

#[allow(dead_code, reason = "other tests use the rest")]
mod cluster;
mod log;

use cluster::{Cluster, DAEMONSETS, daemonset, image};
use everynode_controller::ControllerConfig;
use everynode_engine::Limits;
use everynode_testkit::proxy::{Answer, Call, Fault, Proxy};
use log::Log;
use serde_json::json;

/// A cluster with nodes n0, n1, ... and a controller behind a proxy.
async fn behind_proxy(
    nodes: usize,
    weather: impl FnMut(&Call) -> Option<Fault> + Send + 'static,
) -> (Cluster, Proxy) {
    let mut cluster = Cluster::start_idle().await;
    for node in 0..nodes {
        cluster.add_node(&format!("n{node}"), json!({})).await;
    }
    let proxy = Proxy::start(cluster.client.clone()).await;
    proxy.on_call(weather);
    let limits = Limits { retry_last_millis: 1000, terminating_millis: 1000, ..Limits::default() };
    let config = ControllerConfig { limits, ..ControllerConfig::default() };
    cluster.start_controller_over(proxy.client().await, config);
    (cluster, proxy)
}

fn is_for(call: &Call, node: &str) -> bool {
    call.what == "create pods" && String::from_utf8_lossy(&call.body).contains(&format!("\"{node}\""))
}

fn pod_refusals() -> Vec<Answer> {
    let denied = "admission webhook \"pods.example.com\" denied the request: not on this node";
    vec![
        Answer::status(400, "BadRequest", denied),
        Answer::status(403, "Forbidden", denied),
        Answer::status(500, "InternalError", "failed calling webhook \"pods.example.com\": no endpoints"),
        Answer::status(504, "Timeout", "failed calling webhook: context deadline exceeded"),
    ]
}

async fn has_pods_on(cluster: &Cluster, app: &str, nodes: &[&str]) {
    cluster
        .until(&format!("{app} has pods on {nodes:?}"), async || {
            let found = cluster.nodes_of(app).await;
            (found == nodes).then_some(()).ok_or_else(|| format!("{found:?}"))
        })
        .await;
}

#[tokio::test]
async fn a_webhook_that_refuses_the_pods_of_one_node_holds_up_no_other_node() {
    for answer in pod_refusals() {
        let log = Log::capture();
        let refused = answer.clone();
        let weather = move |call: &Call| is_for(call, "n0").then(|| Fault::Refused(refused.clone()));
        let (cluster, proxy) = behind_proxy(5, weather).await;
        cluster.create(DAEMONSETS, daemonset("picky", "v1")).await;
        has_pods_on(&cluster, "picky", &["n1", "n2", "n3", "n4"]).await;
        cluster.add_node("n5", json!({})).await;
        has_pods_on(&cluster, "picky", &["n1", "n2", "n3", "n4", "n5"]).await;
        let said = log.lines("create_pod");
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains("webhook") && said[0].contains("default/picky"), "{said:?}");
        if !format!("{answer:?}").contains("504") {
            proxy.clear();
            cluster.settled("picky", 6).await;
        }
        cluster.stop().await;
    }
}

#[tokio::test]
async fn pods_that_a_quota_refuses_come_once_it_is_raised_and_that_is_said_once() {
    let log = Log::capture();
    let quota =
        "pods \"full-x\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2";
    let mut left = 2;
    let weather = move |call: &Call| {
        let is_creation = call.what == "create pods";
        left -= i32::from(is_creation);
        (is_creation && left < 0).then(|| Fault::Refused(Answer::status(403, "Forbidden", quota)))
    };
    let (cluster, proxy) = behind_proxy(6, weather).await;
    cluster.create(DAEMONSETS, daemonset("full", "v1")).await;
    cluster
        .until("it was tried again and again", async || {
            let tried = proxy.calls("create pods");
            (tried > 10).then_some(()).ok_or_else(|| tried.to_string())
        })
        .await;
    assert_eq!(cluster.pods("full").await.len(), 2);
    let said = log.lines("exceeded quota");
    assert_eq!(said.len(), 1, "{said:?}");
    proxy.clear();
    cluster.settled("full", 6).await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_missing_permission_is_named_once_with_the_rule_to_add() {
    for (what, verb, resource, group, rule) in [
        ("create pods", "create", "pods", "", "the verb create on pods "),
        ("delete pods", "delete", "pods", "", "the verb delete on pods "),
        (
            "create controllerrevisions",
            "create",
            "controllerrevisions",
            "apps",
            "the verb create on controllerrevisions.apps ",
        ),
        (
            "update daemonsets/status",
            "update",
            "daemonsets/status",
            "apps",
            "the verb update on daemonsets.apps/status ",
        ),
    ] {
        let log = Log::capture();
        let text = format!(
            "{resource} is forbidden: User \"u\" cannot {verb} resource \"{resource}\" in API group \"{group}\" in the namespace \"default\""
        );
        let weather = move |call: &Call| {
            (call.what == what).then(|| Fault::Refused(Answer::status(403, "Forbidden", &text)))
        };
        let (cluster, proxy) = behind_proxy(4, weather).await;
        cluster.create(DAEMONSETS, daemonset("needy", "v1")).await;
        if what == "delete pods" {
            cluster.settled("needy", 4).await;
            cluster.merge(&format!("{DAEMONSETS}/needy"), image("v2")).await;
        }
        cluster
            .until("it was tried again and again", async || {
                let tried = proxy.calls(what);
                (tried > 5).then_some(()).ok_or_else(|| tried.to_string())
            })
            .await;
        let said = log.lines("is not allowed");
        assert!(said.len() == 1 && said[0].contains(rule), "{what}: {said:?}");
        proxy.clear();
        cluster.settled("needy", 4).await;
        cluster.stop().await;
    }
}

#[tokio::test]
async fn credentials_that_are_refused_later_in_life_are_said_once_and_waited_for() {
    let log = Log::capture();
    let (cluster, proxy) = behind_proxy(3, |_: &Call| None).await;
    cluster.create(DAEMONSETS, daemonset("guest", "v1")).await;
    cluster.settled("guest", 3).await;
    proxy.on_call(|_| Some(Fault::Refused(Answer::status(401, "Unauthorized", "Unauthorized"))));
    // Watches that are open stay so: what they tell leads to writes.
    cluster.add_node("n3", json!({})).await;
    let before = proxy.calls("create pods");
    cluster
        .until("it was tried again and again", async || {
            let tried = proxy.calls("create pods") - before;
            (tried > 5).then_some(()).ok_or_else(|| tried.to_string())
        })
        .await;
    let said = log.lines("credentials");
    assert_eq!(said.len(), 1, "{said:?}");
    proxy.clear();
    cluster.settled("guest", 4).await;
    assert_eq!(log.lines("takes writes again").len(), 1);
    cluster.stop().await;
}

#[tokio::test]
async fn a_server_that_is_away_is_said_a_few_times_and_not_for_each_pod() {
    let log = Log::capture();
    let (cluster, proxy) = behind_proxy(20, |_: &Call| None).await;
    cluster.create(DAEMONSETS, daemonset("alone", "v1")).await;
    cluster.settled("alone", 20).await;
    // All writes: one that went well in between would say that the server takes them again.
    proxy.on_call(|_| Some(Fault::Dropped));
    for node in 20..30 {
        cluster.add_node(&format!("n{node}"), json!({})).await;
    }
    cluster
        .until("it was tried", async || {
            let tried = proxy.calls("create pods");
            (tried > 23).then_some(()).ok_or_else(|| tried.to_string())
        })
        .await;
    proxy.set_up(false);
    cluster.merge(&format!("{DAEMONSETS}/alone"), image("v2")).await;
    cluster
        .until("four watches were opened in vain again and again", async || {
            let interruptions = cluster.interruptions();
            let often = interruptions.iter().filter(|count| **count > 3).count();
            (often >= 4).then_some(()).ok_or_else(|| format!("{interruptions:?}"))
        })
        .await;
    let said = log.lines(" WARN ");
    assert!(said.len() <= 4 * 2 + 3, "{said:#?}");
    cluster.stop().await;
}

#[tokio::test]
async fn a_namespace_that_is_being_terminated_is_left_alone_and_others_are_not() {
    let log = Log::capture();
    let (cluster, _proxy) = behind_proxy(2, |_: &Call| None).await;
    cluster.create("/api/v1/namespaces", json!({"metadata": {"name": "doomed"}})).await;
    let doomed = "/apis/apps/v1/namespaces/doomed/daemonsets";
    cluster.create(doomed, daemonset("d", "v1")).await;
    cluster.create(DAEMONSETS, daemonset("spared", "v1")).await;
    cluster.settled("spared", 2).await;
    cluster.client.delete("/api/v1/namespaces/doomed", "").await.expect("the namespace is deleted");
    for node in 2..6 {
        cluster.add_node(&format!("n{node}"), json!({})).await;
    }
    cluster.settled("spared", 6).await;
    let said = log.lines("terminated");
    assert!(said.len() <= 1, "{said:?}");
    cluster.stop().await;
}
