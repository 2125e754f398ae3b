//! DaemonSets of our own as a real Kubernetes serves them, with the data of their revisions byte for byte: one for each
//! field that daemons use (`testdata/golden/fields.yaml`), and those of examples/.
//!
//! `testdata/golden/served.json` was recorded on Kubernetes 1.36.2. `EVERYNODE_RECORD=KUBECONFIG` records it anew on a
//! cluster whose own DaemonSet controller is on; everything happens in a namespace of its own.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panic")]

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::{Cluster, LIMIT, eventually};
use everynode_apimachinery::manifest;
use everynode_client::Client;
use everynode_testkit::repository;
use serde_json::value::RawValue;
use serde_json::{Value, json};

const DAEMONSETS: &str = "/apis/apps/v1/namespaces";

/// What is recorded of a DaemonSet: its spec as served, but for the template, and the data of its revision.
type Recorded = BTreeMap<String, Value>;

#[derive(serde::Deserialize)]
struct Revisions {
    items: Vec<Revision>,
}

#[derive(serde::Deserialize)]
struct Revision {
    metadata: Value,
    data: Box<RawValue>,
}

/// All DaemonSets, by the names that they get here.
fn manifests() -> BTreeMap<String, Value> {
    let mut files = vec![repository().join("testdata/golden/fields.yaml")];
    let examples = std::fs::read_dir(repository().join("examples")).unwrap();
    files.extend(examples.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()));
    let mut found = BTreeMap::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for document in manifest::documents(&text) {
            let object = document.unwrap().value;
            if object["kind"] == "DaemonSet" {
                let name = object["metadata"]["name"].as_str().unwrap().to_owned();
                assert!(found.insert(name, object).is_none(), "two have one name");
            }
        }
    }
    found
}

/// Creates all of them in a namespace, and reads what becomes of them.
async fn recorded(client: &Client, namespace: &str) -> Recorded {
    let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
    client.post("/api/v1/namespaces", body.to_string()).await.unwrap();
    let mut all = Recorded::new();
    for (name, mut object) in manifests() {
        object["metadata"]["namespace"] = namespace.into();
        let path = format!("{DAEMONSETS}/{namespace}/daemonsets?fieldValidation=Strict");
        let served =
            client.post(&path, object.to_string()).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut spec = serde_json::from_slice::<Value>(&served).unwrap()["spec"].clone();
        // It is in the data.
        spec.as_object_mut().unwrap().shift_remove("template");
        all.insert(name, json!({"spec": spec}));
    }
    let path = format!("{DAEMONSETS}/{namespace}/controllerrevisions");
    let revisions = eventually("a revision of each", LIMIT, async || {
        let list = client.get(&path).await.map_err(|error| error.to_string())?;
        let list: Revisions = serde_json::from_slice(&list).map_err(|error| error.to_string())?;
        if list.items.len() == all.len() {
            Ok(list)
        } else {
            Err(format!("{} of {}", list.items.len(), all.len()))
        }
    });
    for revision in revisions.await.items {
        let owner = revision.metadata["ownerReferences"][0]["name"].as_str().unwrap();
        all.get_mut(owner).unwrap()["data"] = revision.data.get().into();
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn daemonsets_are_served_and_remembered_as_a_real_kubernetes_does() {
    let file = repository().join("testdata/golden/served.json");
    if let Some(kubeconfig) = std::env::var_os("EVERYNODE_RECORD") {
        let client = Client::from_file(Path::new(&kubeconfig)).await.unwrap();
        let namespace = format!("golden-{}", fastrand::u32(..));
        let all = recorded(&client, &namespace).await;
        client.delete(&format!("/api/v1/namespaces/{namespace}"), "").await.unwrap();
        std::fs::write(file, serde_json::to_string_pretty(&all).unwrap() + "\n").unwrap();
        return;
    }
    let expected: Recorded = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let cluster = Cluster::start(&["--nodes", "0"]);
    let all = recorded(&cluster.client().await, "golden").await;
    assert!(all.keys().eq(expected.keys()), "record them anew: the manifests are others");
    for (name, expected) in &expected {
        assert_eq!(all[name], *expected, "{name}");
    }
    assert!(all.len() > 190, "{} DaemonSets", all.len());
}
