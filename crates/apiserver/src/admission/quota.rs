//! Quotas: new pods are charged against what the pods of the store take, and the status of quotas tells it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use everynode_admission::{Charge, forbid};
use everynode_wire::resource::Resource;
use everynode_wire::status::Status;
use everynode_wire::{Object, Value};
use serde_json::json;
use tokio::sync::watch;

use super::ledger::{Ledger, Shelves};
use crate::api::Api;
use crate::handlers::change::{self, Change, Part};
use crate::meta;

/// How long changes of pods are gathered before quotas are counted anew.
const PAUSE: Duration = Duration::from_millis(100);

/// A new pod that was let in. It counts as long as this is held, which is until it is stored or refused.
#[derive(Debug)]
pub struct Charged {
    ledger: Arc<Mutex<Ledger>>,
    namespace: String,
    uid: String,
}

impl Drop for Charged {
    fn drop(&mut self) {
        lock(&self.ledger).settle(&self.namespace, &self.uid);
    }
}

/// Charges a new pod; none where no quota asks for it.
///
/// # Errors
/// 403 when a quota does not allow it.
pub fn charge(api: &Api, resource: &Resource, pod: &Value) -> Result<Option<Arc<Charged>>, Status> {
    let (namespace, uid, now) = (meta::text(pod, "namespace"), meta::text(pod, "uid"), api.now());
    let Some(shelves) = shelves(api) else { return Ok(None) };
    if api.store().list(shelves.quotas, Some(namespace)).items.is_empty() {
        return Ok(None);
    }
    let charge = Charge::of(pod, now);
    let admitted = lock(api.ledger()).admit(api.store(), shelves, (namespace, uid), charge, now);
    let is_charged = admitted.map_err(|why| forbid(resource, pod, &why))?;
    let charged = || {
        let (namespace, uid) = (namespace.to_owned(), uid.to_owned());
        Arc::new(Charged { ledger: api.ledger().clone(), namespace, uid })
    };
    Ok(is_charged.then(charged))
}

fn lock(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

fn shelves(api: &Api) -> Option<Shelves> {
    let shelf = |plural: &str| api.catalog().shelf_named("", "v1", plural);
    Some(Shelves { pods: shelf("pods")?, quotas: shelf("resourcequotas")? })
}

/// Keeps the status of quotas until the server stops.
pub async fn run(api: Arc<Api>, mut stop: watch::Receiver<bool>) {
    let registry = api.catalog().registry();
    let Some(quotas) = registry.find("", "v1", "resourcequotas") else { return };
    let Some(shelves) = shelves(&api) else { return };
    loop {
        // The watches begin before the look, so that nothing falls in between.
        let store = api.store();
        let from = store.revision();
        let (Ok(mut of_quotas), Ok(mut of_pods)) =
            (store.watch(shelves.quotas, from), store.watch(shelves.pods, from))
        else {
            continue;
        };
        let is_any = tell(&api, &quotas.resource, shelves).await;
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
async fn tell(api: &Api, resource: &Resource, shelves: Shelves) -> bool {
    let listing = api.store().list(shelves.quotas, None).items;
    let namespaces: BTreeSet<String> = listing.iter().map(|(key, _)| key.0.to_string()).collect();
    lock(api.ledger()).keep(&namespaces);
    for namespace in namespaces {
        let counted = lock(api.ledger()).quotas(api.store(), shelves, &namespace, api.now());
        let Some(counted) = counted else { continue };
        for (key, _) in listing.iter().filter(|(key, _)| *key.0 == *namespace) {
            let used = counted.used(&key.1);
            let how = Change {
                resource,
                shelf: shelves.quotas,
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
