//! Quotas: new pods are charged against what the pods of the store take, and the status of quotas tells it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use everynode_admission::{Charge, Kind, Quotas, View as _, forbid};
use everynode_wire::resource::Resource;
use everynode_wire::status::Status;
use everynode_wire::{Object, Value};
use serde_json::json;
use tokio::sync::{MutexGuard, watch};

use super::view::StoreView;
use crate::api::Api;
use crate::handlers::change::{self, Change, Part};
use crate::meta;
use crate::store::{Key, ShelfId, Stored};

/// How long changes of pods are gathered before quotas are counted anew.
const PAUSE: Duration = Duration::from_millis(100);

/// What the pods of namespaces with quotas take, each at a revision of it.
#[derive(Debug, Default)]
pub struct Ledger(HashMap<Key, (u64, Charge)>);

impl Ledger {
    /// The quotas of a namespace, with what its pods take of them now.
    fn quotas(&mut self, api: &Api, namespace: &str) -> Quotas {
        let mut quotas = Quotas::new(&StoreView(api).list(Kind::ResourceQuota, namespace));
        let pods = api.catalog().shelf_named("", "v1", "pods");
        let Some(pods) = pods.filter(|_| !quotas.is_empty()) else { return quotas };
        let mut known: HashMap<Key, (u64, Charge)> = HashMap::new();
        for (key, stored) in api.store().list(pods, Some(namespace)).items {
            let charge = self.0.remove(&key).filter(|(revision, _)| *revision == stored.revision);
            let charge = charge.unwrap_or_else(|| charge_of(&stored, api.now()));
            known.insert(key, charge);
        }
        quotas.recount(known.values().map(|(_, charge)| charge));
        // Pods that are gone are forgotten.
        self.0.retain(|key, _| *key.0 != *namespace);
        self.0.extend(known);
        quotas
    }
}

/// What a pod takes and at which revision; one that is being deleted is looked at each time, as it may be overdue.
fn charge_of(stored: &Stored, now: i64) -> (u64, Charge) {
    let pod: Value = serde_json::from_slice(stored.bytes()).unwrap_or_default();
    let revision = if meta::has(&pod, "deletionTimestamp") { 0 } else { stored.revision };
    (revision, Charge::of(&pod, now))
}

/// Charges a new pod. Nobody else charges one as long as the result is held, which is until the pod is stored.
///
/// # Errors
/// 403 when a quota does not allow it.
pub async fn charge<'a>(
    api: &'a Api,
    resource: &Resource,
    pod: &Value,
) -> Result<Option<MutexGuard<'a, Ledger>>, Status> {
    let namespace = meta::text(pod, "namespace");
    if StoreView(api).list(Kind::ResourceQuota, namespace).is_empty() {
        return Ok(None);
    }
    let mut ledger = api.ledger().await;
    let mut quotas = ledger.quotas(api, namespace);
    quotas.admit(&Charge::of(pod, api.now())).map_err(|why| forbid(resource, pod, &why))?;
    Ok(Some(ledger))
}

/// Keeps the status of quotas until the server stops.
pub async fn run(api: Arc<Api>, mut stop: watch::Receiver<bool>) {
    let registry = api.catalog().registry();
    let Some(quotas) = registry.find("", "v1", "resourcequotas") else { return };
    let (Some(shelf), Some(pods)) = (quotas.shelf, api.catalog().shelf_named("", "v1", "pods")) else {
        return;
    };
    loop {
        // The watches begin before the look, so that nothing falls in between.
        let store = api.store();
        let from = store.revision();
        let (Ok(mut of_quotas), Ok(mut of_pods)) = (store.watch(shelf, from), store.watch(pods, from)) else {
            continue;
        };
        let is_any = tell(&api, &quotas.resource, shelf).await;
        tokio::select! {
            () = of_quotas.ready() => {}
            () = of_pods.ready(), if is_any => {}
            _ = stop.wait_for(|stopped| *stopped) => return,
        }
        if tokio::time::timeout(PAUSE, stop.wait_for(|stopped| *stopped)).await.is_ok() {
            return;
        }
    }
}

/// Writes the status of quotas that do not tell what is used; false when there are no quotas.
async fn tell(api: &Api, resource: &Resource, shelf: ShelfId) -> bool {
    let listing = api.store().list(shelf, None).items;
    let namespaces: BTreeSet<String> = listing.iter().map(|(key, _)| key.0.to_string()).collect();
    for namespace in namespaces {
        let counted = api.ledger().await.quotas(api, &namespace);
        for (key, _) in listing.iter().filter(|(key, _)| *key.0 == *namespace) {
            let used = counted.used(&key.1);
            let how = Change {
                resource,
                shelf,
                namespace: &namespace,
                name: &key.1,
                part: Part::Anything,
                dry_run: false,
                pinned: false,
            };
            let mut told = |old: &Value| {
                let used = used.iter().map(|(name, amount)| (name.clone(), amount.to_string().into()));
                let mut new = old.clone();
                let hard = old.pointer("/spec/hard").cloned().unwrap_or_else(|| json!({}));
                new["status"] = json!({"hard": hard, "used": Value::Object(used.collect::<Object>())});
                Ok(new)
            };
            match change::apply(api, &how, &mut told, &mut Vec::new()).await {
                Ok(_) => {}
                Err(error) if error.code() == 404 => {}
                Err(error) => {
                    tracing::warn!(quota = &*key.1, error = error.message, "its status was not written");
                }
            }
        }
    }
    !listing.is_empty()
}
