//! The status of quotas tells what is used of them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use everynode_apimachinery::resource::Resource;
use everynode_model::{Object, Value};
use serde_json::json;
use tokio::sync::watch;

use crate::admission::ledger::Tables;
use crate::objects::change::{self, Change};
use crate::state::State;

/// How long changes of pods are gathered before quotas are counted anew.
const PAUSE: Duration = Duration::from_millis(100);

/// Keeps the status of quotas until the server stops.
pub async fn run(state: Arc<State>, mut stop: watch::Receiver<bool>) {
    let registry = state.catalog.registry();
    let Some(quotas) = registry.find("", "v1", "resourcequotas") else { return };
    let Some(tables) = Tables::of(&state.catalog) else { return };
    loop {
        // The watches begin before the look, so that nothing falls in between.
        let store = &state.store;
        let from = store.revision();
        let (Ok(mut of_quotas), Ok(mut of_pods)) =
            (store.watch(tables.quotas, from), store.watch(tables.pods, from))
        else {
            continue;
        };
        let is_any = tell(&state, &quotas.resource, tables).await;
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
async fn tell(state: &State, resource: &Resource, tables: Tables) -> bool {
    let listing = state.store.list(tables.quotas, None).items;
    let namespaces: BTreeSet<String> = listing.iter().map(|(key, _)| key.0.to_string()).collect();
    state.ledger.lock().keep(&namespaces);
    for namespace in namespaces {
        let counted = state.ledger.lock().quotas(&state.store, tables, &namespace, state.now());
        let Some(counted) = counted else { continue };
        for (key, _) in listing.iter().filter(|(key, _)| *key.0 == *namespace) {
            let used = counted.used(&key.1);
            let how = Change::of(resource, tables.quotas, &namespace, &key.1);
            let mut told = |old: &Value| {
                let mut new = old.clone();
                let hard = old.pointer("/spec/hard").cloned().unwrap_or_else(|| json!({}));
                // What is not counted here a controller manager may count.
                let others = old.pointer("/status/used").and_then(Value::as_object).into_iter().flatten();
                let others = others.filter(|(name, _)| hard.get(name.as_str()).is_some());
                let mut all: Object = others.map(|(name, amount)| (name.clone(), amount.clone())).collect();
                all.extend(used.iter().map(|(name, amount)| (name.clone(), amount.to_string().into())));
                all.sort_keys();
                new["status"] = json!({"hard": hard, "used": all});
                Ok(new)
            };
            match change::apply(state, &how, &mut told, &mut Vec::new()).await {
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
