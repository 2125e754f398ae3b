//! Looks for nodes that have two live pods of one DaemonSet.

use std::collections::{BTreeSet, HashMap};

use everynode_client::{Client, Event, ListWatch};
use futures::StreamExt;
use serde_json::Value;

/// Follows the pods of a path and panics when a node has two live ones of one owner.
pub async fn watch_for_doubles(client: Client, path: String) {
    let mut live: HashMap<String, (String, String)> = HashMap::new();
    let mut events = ListWatch::new(path).run(client);
    while let Some(event) = events.next().await {
        match event {
            Event::Restarted => live.clear(),
            Event::InitialObject(pod) | Event::Applied(pod) => {
                let pod: Value = serde_json::from_slice(&pod).unwrap();
                let uid = pod["metadata"]["uid"].as_str().unwrap().to_owned();
                match live_on(&pod) {
                    Some(place) => drop(live.insert(uid, place)),
                    None => drop(live.remove(&uid)),
                }
                assert_no_doubles(live.values());
            }
            Event::Deleted(pod) => {
                let pod: Value = serde_json::from_slice(&pod).unwrap();
                live.remove(pod["metadata"]["uid"].as_str().unwrap());
            }
            Event::InitialDone(_) | Event::Bookmark(_) | Event::Interrupted(_) => {}
        }
    }
}

/// The owner and the node of a pod that is neither terminating nor ended.
pub fn live_on(pod: &Value) -> Option<(String, String)> {
    let ended = matches!(pod["status"]["phase"].as_str(), Some("Failed" | "Succeeded"));
    let field = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms/0/matchFields/0/values/0";
    let node = pod.pointer(field).and_then(Value::as_str)?.to_owned();
    let owner = pod["metadata"]["ownerReferences"][0]["uid"].as_str().unwrap_or_default().to_owned();
    (pod["metadata"]["deletionTimestamp"].is_null() && !ended).then_some((owner, node))
}

/// Panics when a place is named twice.
pub fn assert_no_doubles<'a>(places: impl Iterator<Item = &'a (String, String)>) {
    let mut seen = BTreeSet::new();
    for place in places {
        assert!(seen.insert(place), "two live pods on {place:?}");
    }
}
