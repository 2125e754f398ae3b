//! Writes carried out against the embedded API server.

use everynode_apiserver::{Config, Server};
use everynode_client::Client;
use everynode_engine::{ActionId, Template};
use serde_json::json;

use super::*;

const PODS: &str = "/api/v1/namespaces/default/pods";

async fn world() -> (Server, Client, Executor) {
    let config = Config { service_account_admission: false, ..Config::default() };
    let server = Server::start(config).await.unwrap();
    let client = Client::from_kubeconfig_text(&server.kubeconfig()).await.unwrap();
    // The server may have it by itself.
    let _ = client.post("/api/v1/namespaces", json!({"metadata": {"name": "default"}}).to_string()).await;
    let executor = Executor {
        api: Api::new(client.clone()),
        served: Served::default(),
        pod_bodies: PodBodies::default(),
        may_adopt: Arc::default(),
    };
    (server, client, executor)
}

fn create(uid: u128) -> Action {
    let template = json!({
        "metadata": {"labels": {"app": "ds"}, "finalizers": ["example.com/held"]},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    });
    let pod = NewPod {
        node: "n1".into(),
        name: Some("ds-n1-sum".into()),
        template: Arc::new(Template::new(template)),
        hash: "h".into(),
        template_generation: Some(1),
    };
    let daemonset = DaemonSetRef { namespace: "default".to_owned(), name: "ds".to_owned(), uid: Uid(uid) };
    Action { id: ActionId(1), daemonset: Arc::new(daemonset), work: Work::CreatePod(pod) }
}

async fn check_taken(executor: &Executor, uid: u128, why: &str) {
    match executor.execute(&create(uid)).await.outcome {
        Outcome::Failed { failure: Failure::AlreadyExists, message } => {
            assert_eq!(message, format!("the pod \"ds-n1-sum\" exists already and {why}"));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_pod_of_that_name_is_the_success_of_an_earlier_write_or_in_the_way() {
    let (server, client, executor) = world().await;
    let Outcome::PodCreated { name, uid, .. } = executor.execute(&create(7)).await.outcome else {
        panic!("the pod is not created");
    };
    assert_eq!(name, "ds-n1-sum");
    match executor.execute(&create(7)).await.outcome {
        Outcome::PodCreated { name: again, uid: same, .. } => assert_eq!((again, same), (name, uid)),
        other => panic!("{other:?}"),
    }
    check_taken(&executor, 8, "belongs to somebody else").await;
    client.delete(&format!("{PODS}/ds-n1-sum"), "{}".to_owned()).await.unwrap();
    check_taken(&executor, 7, "is being deleted").await;
    server.shutdown().await;
}

const DAEMONSETS: &str = "/apis/apps/v1/namespaces/default/daemonsets";

/// A DaemonSet `ds` on the server, as an action names it, and its bytes.
async fn daemonset(client: &Client) -> (Arc<DaemonSetRef>, bytes::Bytes) {
    let object = json!({
        "metadata": {"name": "ds"},
        "spec": {
            "selector": {"matchLabels": {"app": "ds"}},
            "template": {
                "metadata": {"labels": {"app": "ds"}},
                "spec": {"containers": [{"name": "c", "image": "i"}]},
            },
        },
    });
    let served = client.post(DAEMONSETS, object.to_string()).await.unwrap();
    let uid = crate::decode::written(&served).unwrap().uid;
    (Arc::new(DaemonSetRef { namespace: "default".to_owned(), name: "ds".to_owned(), uid }), served)
}

#[tokio::test]
async fn i7_a_status_that_is_refused_is_written_once_more_onto_what_the_server_has() {
    let (server, client, executor) = world().await;
    let (daemonset, served) = daemonset(&client).await;
    executor.served.keep(daemonset.uid, crate::decode::written(&served).unwrap().resource_version, &served);
    // Somebody changes it, and the watch has not shown that yet.
    let labels = json!({"metadata": {"labels": {"a": "b"}}}).to_string();
    let path = format!("{DAEMONSETS}/ds");
    executor.api.merge_patch(&path, labels.into_bytes()).await.unwrap();
    let status = everynode_engine::Status { number_ready: 3, observed_generation: 1, ..Default::default() };
    let work = Work::WriteStatus { status };
    let action = Action { id: ActionId(1), daemonset: daemonset.clone(), work };
    let outcome = executor.execute(&action).await.outcome;
    assert!(matches!(outcome, Outcome::StatusWritten { .. }), "{outcome:?}");
    let now: serde_json::Value = serde_json::from_slice(&client.get(&path).await.unwrap()).unwrap();
    assert_eq!((&now["status"]["numberReady"], &now["metadata"]["labels"]["a"]), (&3.into(), &"b".into()));
    client.delete(&path, "{}".to_owned()).await.unwrap();
    let outcome = executor.execute(&action).await.outcome;
    assert!(matches!(outcome, Outcome::Gone), "the error of the GET is what is told: {outcome:?}");
    server.shutdown().await;
}

#[tokio::test]
async fn g4_the_server_is_asked_before_an_orphan_is_adopted() {
    let (server, client, executor) = world().await;
    let (daemonset, _) = daemonset(&client).await;
    let pod = json!({
        "metadata": {"name": "orphan"}, "spec": {"containers": [{"name": "c", "image": "i"}]},
    });
    let served = client.post(PODS, pod.to_string()).await.unwrap();
    let uid = crate::decode::written(&served).unwrap().uid;
    let adopt = |uid_of_daemonset| {
        let work = Work::AdoptPod(PodRef { name: "orphan".into(), uid });
        let daemonset = DaemonSetRef { uid: uid_of_daemonset, ..(*daemonset).clone() };
        Action { id: ActionId(1), daemonset: Arc::new(daemonset), work }
    };
    let refused = async |uid_of_daemonset| match executor.execute(&adopt(uid_of_daemonset)).await.outcome {
        Outcome::Failed { failure: Failure::Refused, message } => message,
        other => panic!("{other:?}"),
    };
    assert!(refused(Uid(5)).await.contains("is gone"), "one of the same name is another one");
    let path = format!("{DAEMONSETS}/ds");
    let options = json!({"propagationPolicy": "Foreground"}).to_string();
    client.delete(&path, options).await.unwrap();
    assert!(refused(daemonset.uid).await.ends_with("is being deleted"));
    let now: serde_json::Value =
        serde_json::from_slice(&client.get(&format!("{PODS}/orphan")).await.unwrap()).unwrap();
    assert_eq!(now["metadata"]["ownerReferences"], json!(null));
    server.shutdown().await;
}

#[tokio::test]
async fn a_template_is_written_back_unless_somebody_has_changed_the_daemonset() {
    let (server, client, executor) = world().await;
    let (daemonset, served) = daemonset(&client).await;
    let created: serde_json::Value = serde_json::from_slice(&served).unwrap();
    let path = format!("{DAEMONSETS}/ds");
    let version = async || {
        let now = client.get(&path).await.unwrap();
        (crate::decode::written(&now).unwrap().resource_version, serde_json::from_slice(&now).unwrap())
    };
    // As the data of a revision: the template with a note that it replaces the one that is there.
    let mut template = created["spec"]["template"].clone();
    template["$patch"] = "replace".into();
    let data: Arc<[u8]> = json!({"spec": {"template": template}}).to_string().into_bytes().into();
    let bad = json!({"spec": {"template": {
        "metadata": {"labels": {"bad": "yes"}},
        "spec": {"containers": [{"name": "c", "image": "bad"}], "hostNetwork": true},
    }}});
    executor.api.strategic_patch(&path, bad.to_string().into_bytes()).await.unwrap();
    let rewrite = async |uid, resource_version| {
        let work = Work::RewriteTemplate { data: data.clone(), resource_version };
        let daemonset = DaemonSetRef { uid, ..(*daemonset).clone() };
        executor.execute(&Action { id: ActionId(1), daemonset: Arc::new(daemonset), work }).await.outcome
    };
    let (known, now): (u64, serde_json::Value) = version().await;
    assert_eq!(now["spec"]["template"]["spec"]["hostNetwork"], true);
    let outcome = rewrite(daemonset.uid, known - 1).await;
    assert!(matches!(outcome, Outcome::Failed { failure: Failure::Conflict, .. }), "{outcome:?}");
    let outcome = rewrite(Uid(5), known).await;
    assert!(matches!(outcome, Outcome::Gone), "one of the same name is another one: {outcome:?}");
    let outcome = rewrite(daemonset.uid, known).await;
    assert!(matches!(outcome, Outcome::Done), "{outcome:?}");
    let (_, now): (u64, serde_json::Value) = version().await;
    assert_eq!(now["spec"]["template"], created["spec"]["template"]);
    server.shutdown().await;
}

#[test]
fn a_patch_of_the_template_that_is_not_allowed_is_told_as_such() {
    let status = everynode_client::ApiStatus { code: 403, ..everynode_client::ApiStatus::default() };
    let Stopped(ended) = rewritten(Error::Api(Box::new(status)));
    assert!(matches!(ended.outcome, Outcome::Failed { failure: Failure::Forbidden, .. }), "{ended:?}");
}
