//! The end of a namespace: its pods go first, then everything else in it, then the namespace itself. What keeps it
//! stands in its conditions.

use std::time::Duration;

use everynode_client::{Backoff, Client, Error, content_type};
use everynode_model::{Value, time};
use serde::Deserialize;
use serde_json::json;

use super::conditions::{Left, conditions};
use crate::kinds::{ResourceKind, discover};

/// The pauses between looks whether a namespace is empty.
const LOOKS: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
/// Objects of a kind whose finalizers are looked at.
const FINALIZERS_LIMIT: u32 = 500;

/// Deletes all that is in the namespace, waits until it is gone, and lets the namespace go.
pub(super) async fn end(client: &Client, name: &str) -> Result<(), Error> {
    let mut looks = 0;
    loop {
        let left = empty(client, name).await;
        if left.is_nothing() {
            return finalize(client, name).await;
        }
        match tell(client, name, &left).await {
            // Somebody else changed it; the next look tells.
            Err(error) if error.is_conflict() => {}
            result => result?,
        }
        looks += 1;
        tokio::time::sleep(LOOKS.after(looks)).await;
    }
}

/// Deletes what there is, and says what is left. While there are pods, they may need what else there is.
async fn empty(client: &Client, name: &str) -> Left {
    let mut left = Left::default();
    // Kinds come and go with the definitions of custom resources.
    let kinds = match discover(client).await {
        Ok(kinds) => kinds,
        Err(error) => {
            left.undiscovered = Some(error.to_string());
            return left;
        }
    };
    let in_namespaces =
        |kind: &&ResourceKind| kind.namespaced && kind.can("deletecollection") && kind.can("list");
    let (pods, others): (Vec<&ResourceKind>, Vec<&ResourceKind>) =
        kinds.iter().filter(in_namespaces).partition(|kind| kind.plural == "pods" && kind.group().is_empty());
    for some in [pods, others] {
        for kind in some {
            if let Err(error) = delete_all(client, kind, name, &mut left).await {
                left.failures.push(error.to_string());
            }
        }
        if !left.is_nothing() {
            return left;
        }
    }
    left
}

/// Deletes the objects of a kind, and notes those that stay for now.
async fn delete_all(client: &Client, kind: &ResourceKind, name: &str, left: &mut Left) -> Result<(), Error> {
    let path = kind.path_in(name);
    if remaining(client, &path, 1).await?.count == 0 {
        return Ok(());
    }
    match client.delete(&format!("{path}?propagationPolicy=Background"), "").await {
        Err(error) if !error.is_not_found() => return Err(error),
        _ => {}
    }
    let remaining = remaining(client, &path, FINALIZERS_LIMIT).await?;
    left.note(&kind.plural, kind.group(), remaining.count, remaining.finalizers);
    Ok(())
}

/// Objects that are still there.
#[derive(Default)]
struct Remaining {
    count: usize,
    finalizers: Vec<String>,
}

/// What is there of a kind: nothing too when the kind has gone.
async fn remaining(client: &Client, path: &str, limit: u32) -> Result<Remaining, Error> {
    #[derive(Deserialize)]
    struct List {
        #[serde(default)]
        metadata: ListMetadata,
        #[serde(default)]
        items: Option<Vec<Item>>,
    }
    #[derive(Default, Deserialize)]
    struct ListMetadata {
        #[serde(default, rename = "remainingItemCount")]
        behind: usize,
    }
    #[derive(Deserialize)]
    struct Item {
        metadata: ItemMetadata,
    }
    #[derive(Deserialize)]
    struct ItemMetadata {
        #[serde(default)]
        finalizers: Option<Vec<String>>,
    }
    let list = match client.get(&format!("{path}?limit={limit}")).await {
        Ok(list) => list,
        Err(error) if error.is_not_found() => return Ok(Remaining::default()),
        Err(error) => return Err(error),
    };
    let list: List = serde_json::from_slice(&list).map_err(|error| Error::Decode(error.to_string()))?;
    let items = list.items.unwrap_or_default();
    let count = items.len() + list.metadata.behind;
    let finalizers = items.into_iter().flat_map(|item| item.metadata.finalizers.unwrap_or_default());
    Ok(Remaining { count, finalizers: finalizers.collect() })
}

/// Writes down in the namespace what keeps it, where that is not there yet.
async fn tell(client: &Client, name: &str, left: &Left) -> Result<(), Error> {
    let path = format!("/api/v1/namespaces/{name}");
    let namespace = read(client, &path).await?;
    let now = time::format(client.clock().unix_millis().div_euclid(1000));
    let present = namespace["status"]["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    let Some(conditions) = conditions(present, left, &now) else { return Ok(()) };
    let metadata = json!({ "resourceVersion": namespace["metadata"]["resourceVersion"] });
    let body = json!({ "metadata": metadata, "status": { "conditions": conditions } }).to_string();
    client.patch(&format!("{path}/status"), content_type::MERGE_PATCH, body).await.map(drop)
}

async fn read(client: &Client, path: &str) -> Result<Value, Error> {
    serde_json::from_slice(&client.get(path).await?).map_err(|error| Error::Decode(error.to_string()))
}

async fn finalize(client: &Client, name: &str) -> Result<(), Error> {
    let path = format!("/api/v1/namespaces/{name}");
    loop {
        let mut namespace = read(client, &path).await?;
        if let Some(finalizers) = namespace.pointer_mut("/spec/finalizers").and_then(Value::as_array_mut) {
            finalizers.retain(|finalizer| finalizer != "kubernetes");
        }
        match client.put(&format!("{path}/finalize"), namespace.to_string()).await {
            Err(error) if error.is_conflict() => {}
            result => return result.map(|_| ()),
        }
    }
}
