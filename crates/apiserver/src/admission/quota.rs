//! Quotas: new and grown pods are charged against what the pods of the store take.

use std::sync::Arc;

use everynode_admission::{Charge, forbid};
use everynode_apimachinery::resource::Resource;
use everynode_apimachinery::status::Status;
use everynode_model::Value;

use super::ledger::{SharedLedger, Tables};
use crate::meta;
use crate::state::State;

/// A new or grown pod that was let in. It counts as long as this is held, which is until it is stored or refused.
#[derive(Debug)]
pub struct Charged {
    ledger: SharedLedger,
    namespace: String,
    uid: String,
}

impl Drop for Charged {
    fn drop(&mut self) {
        self.ledger.lock().settle(&self.namespace, &self.uid);
    }
}

/// Charges a new pod; none where no quota asks for it.
///
/// # Errors
/// 403 when a quota does not allow it.
pub fn charge(state: &State, resource: &Resource, pod: &Value) -> Result<Option<Arc<Charged>>, Status> {
    admit(state, resource, pod, Charge::of(pod, state.now()))
}

/// Charges a pod for what it asks for beside what it is charged for; none where no quota asks for it.
///
/// # Errors
/// 403 when a quota does not allow it.
pub fn charge_more(
    state: &State,
    resource: &Resource,
    pod: &Value,
    before: &Charge,
) -> Result<Option<Arc<Charged>>, Status> {
    admit(state, resource, pod, Charge::of(pod, state.now()).beyond(before))
}

fn admit(
    state: &State,
    resource: &Resource,
    pod: &Value,
    charge: Charge,
) -> Result<Option<Arc<Charged>>, Status> {
    let (namespace, uid, now) = (meta::text(pod, "namespace"), meta::text(pod, "uid"), state.now());
    let Some(tables) = Tables::of(&state.catalog) else { return Ok(None) };
    if state.store.list(tables.quotas, Some(namespace)).items.is_empty() {
        return Ok(None);
    }
    let admitted = state.ledger.lock().admit(&state.store, tables, (namespace, uid), charge, now);
    let is_charged = admitted.map_err(|why| forbid(resource, pod, &why))?;
    let charged = || {
        let (namespace, uid) = (namespace.to_owned(), uid.to_owned());
        Arc::new(Charged { ledger: state.ledger.clone(), namespace, uid })
    };
    Ok(is_charged.then(charged))
}
