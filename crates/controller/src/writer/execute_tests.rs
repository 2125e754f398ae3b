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
