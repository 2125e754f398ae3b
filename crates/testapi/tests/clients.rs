//! What kube-rs sees of a test API, and what goes wrong when a test asks for it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panic")]

use std::time::Duration;

use everynode_testapi::{Fault, TestApi, Verb};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{Api, ApiResource, DynamicObject, ListParams, PostParams, WatchEvent, WatchParams};
use kube::core::GroupVersionKind;
use serde_json::json;

fn map(name: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name}, "data": {"a": "b"}})).unwrap()
}

async fn maps(api: &TestApi) -> Api<ConfigMap> {
    Api::default_namespaced(kube::Client::new(api.service(), "default"))
}

/// The code of a refusal.
fn code<T>(result: Result<T, kube::Error>) -> u16 {
    match result {
        Err(kube::Error::Api(status)) => status.code,
        Err(error) => panic!("{error}"),
        Ok(_) => 200,
    }
}

#[tokio::test]
async fn a_client_of_kube_makes_reads_and_watches_objects() {
    let api = TestApi::start().await;
    let maps = maps(&api).await;
    let made = maps.create(&PostParams::default(), &map("a")).await.unwrap();
    let version = made.metadata.resource_version.unwrap();
    let events = maps.watch(&WatchParams::default(), &version).await.unwrap();
    maps.create(&PostParams::default(), &map("b")).await.unwrap();
    let event = Box::pin(events).next().await.unwrap().unwrap();
    let WatchEvent::Added(added) = event else { panic!("{event:?}") };
    assert_eq!(added.metadata.name.as_deref(), Some("b"));
    assert_eq!(maps.list(&ListParams::default()).await.unwrap().items.len(), 2);
    api.stop().await;
}

#[tokio::test]
async fn a_hundred_run_at_once_and_share_nothing() {
    let mut all = Vec::new();
    for number in 0..100 {
        let api = TestApi::start().await;
        api.apply(&format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: of-{number}}}")).await;
        all.push(api);
    }
    for (number, api) in all.iter().enumerate() {
        let found = maps(api).await.list(&ListParams::default()).await.unwrap().items;
        let names: Vec<_> = found.into_iter().filter_map(|map| map.metadata.name).collect();
        assert_eq!(names, [format!("of-{number}")]);
    }
}

#[tokio::test]
async fn manifests_bring_definitions_their_objects_and_a_status() {
    let api = TestApi::start().await;
    api.apply(
        "apiVersion: apiextensions.k8s.io/v1\n\
         kind: CustomResourceDefinition\n\
         metadata: {name: things.example.com}\n\
         spec:\n  group: example.com\n  scope: Namespaced\n  names: {plural: things, kind: Thing}\n\
         \x20 versions:\n  - name: v1\n    served: true\n    storage: true\n\
         \x20   schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}\n---\n\
         {apiVersion: example.com/v1, kind: Thing, metadata: {name: a}, spec: {b: 1}}\n---\n\
         apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n\
         spec: {containers: [{name: c, image: i}]}\nstatus: {phase: Running}\n",
    )
    .await;
    let client = kube::Client::new(api.service(), "default");
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("example.com", "v1", "Thing"));
    let things: Api<DynamicObject> = Api::default_namespaced_with(client.clone(), &kind);
    assert_eq!(things.get("a").await.unwrap().data["spec"]["b"], 1);
    let pods: Api<Pod> = Api::default_namespaced(client);
    assert_eq!(pods.get("p").await.unwrap().status.unwrap().phase.as_deref(), Some("Running"));
}

#[tokio::test]
async fn requests_are_refused_as_often_as_a_test_wants_and_where() {
    let api = TestApi::start().await;
    let maps = maps(&api).await;
    for refused in [409, 410, 429, 500] {
        api.add_fault(Fault::refuse(refused).of(Verb::Create).of_resource("configmaps").times(1));
        let name = format!("of-{refused}");
        // Client and server may try again by themselves: what is seen is the refusal, or the object.
        let seen = code(maps.create(&PostParams::default(), &map(&name)).await);
        assert_eq!(seen, refused);
        assert!(maps.get_opt(&name).await.unwrap().is_none(), "nothing was done");
        assert_eq!(code(maps.create(&PostParams::default(), &map(&name)).await), 200, "once");
    }
    api.add_fault(Fault::refuse(500).of_path("/namespaces/other/"));
    assert_eq!(code(maps.list(&ListParams::default()).await), 200);
}

#[tokio::test]
async fn an_answer_is_lost_and_what_was_asked_is_done() {
    let api = TestApi::start().await;
    let maps = maps(&api).await;
    api.add_fault(Fault::lose_answer().of(Verb::Create).times(1));
    assert!(maps.create(&PostParams::default(), &map("a")).await.is_err());
    assert!(maps.get_opt("a").await.unwrap().is_some());
}

#[tokio::test]
async fn watches_end_break_and_expire() {
    let api = TestApi::start().await;
    let maps = maps(&api).await;
    maps.create(&PostParams::default(), &map("a")).await.unwrap();
    maps.create(&PostParams::default(), &map("b")).await.unwrap();
    let seen = async |fault: Fault| {
        api.clear_faults();
        api.add_fault(fault.of_resource("configmaps"));
        let events = maps.watch(&WatchParams::default(), "0").await.unwrap();
        let events: Vec<_> = Box::pin(events).collect().await;
        let good = events.iter().filter(|event| matches!(event, Ok(WatchEvent::Added(_)))).count();
        let expired = events.iter().filter(|event| matches!(event, Ok(WatchEvent::Error(_)))).count();
        (good, expired, events.iter().filter(|event| event.is_err()).count())
    };
    assert_eq!(seen(Fault::end_watch_after(1)).await, (1, 0, 0));
    assert_eq!(seen(Fault::end_watch_after(2)).await, (2, 0, 0));
    assert_eq!(seen(Fault::break_watch_after(1)).await, (1, 0, 1));
    assert_eq!(seen(Fault::expire_watch()).await, (0, 1, 0));
}

#[tokio::test]
async fn events_of_watches_lag() {
    let api = TestApi::start().await;
    let maps = maps(&api).await;
    maps.create(&PostParams::default(), &map("a")).await.unwrap();
    api.add_fault(Fault::lag_watch(Duration::from_secs(3_600)).of_resource("configmaps"));
    let mut events = Box::pin(maps.watch(&WatchParams::default(), "0").await.unwrap());
    assert!(tokio::time::timeout(Duration::from_millis(50), events.next()).await.is_err());
}

#[tokio::test]
async fn objects_are_stamped_by_the_clock_that_a_test_sets_forward() {
    let api = TestApi::start().await;
    let maps = maps(&api).await;
    let stamp = async |name: &str| {
        let made = maps.create(&PostParams::default(), &map(name)).await.unwrap();
        made.metadata.creation_timestamp.unwrap().0.as_second()
    };
    let before = stamp("a").await;
    api.advance_clock(Duration::from_secs(86_400));
    let passed = stamp("b").await - before;
    assert!((86_400..86_460).contains(&passed), "{passed}");
}

#[tokio::test]
async fn a_client_with_a_port_and_tls_sees_the_same() {
    let api = TestApi::start().await;
    maps(&api).await.create(&PostParams::default(), &map("a")).await.unwrap();
    let file = kube::config::Kubeconfig::from_yaml(&api.kubeconfig()).unwrap();
    let config = kube::Config::from_custom_kubeconfig(file, &Default::default()).await.unwrap();
    let maps: Api<ConfigMap> = Api::default_namespaced(kube::Client::try_from(config).unwrap());
    assert!(maps.get_opt("a").await.unwrap().is_some());
}
