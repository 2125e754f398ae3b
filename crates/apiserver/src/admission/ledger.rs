//! What pods take of quotas.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use everynode_admission::{Charge, Quotas};
use everynode_model::Value;

use crate::catalog::Catalog;
use crate::meta;
use crate::store::{Change, Event, Key, Store, Stored, TableId, Watcher};

/// Where the store has what the ledger reads.
#[derive(Debug, Clone, Copy)]
pub struct Tables {
    /// Pods.
    pub pods: TableId,
    /// ResourceQuotas.
    pub quotas: TableId,
}

impl Tables {
    /// None where one of the kinds is not served.
    pub fn of(catalog: &Catalog) -> Option<Tables> {
        let table = |plural: &str| catalog.table_named("", "v1", plural);
        Some(Tables { pods: table("pods")?, quotas: table("resourcequotas")? })
    }
}

/// The ledger that all requests write in.
#[derive(Debug, Clone, Default)]
pub struct SharedLedger(Arc<Mutex<Ledger>>);

impl SharedLedger {
    /// Takes the ledger, for a moment.
    pub fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the pods of namespaces with quotas take of these. It follows the events of pods, so that an answer costs what
/// has changed since the last one, and not what is there. A pod that was let in counts at once, so that others can be
/// let in while it is stored. All is in memory only: a new process counts anew.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Its place in the events of pods.
    events: Option<Watcher>,
    /// By namespace.
    accounts: HashMap<Arc<str>, Account>,
}

/// The pods of one namespace, as its quotas count them.
#[derive(Debug, Default)]
struct Account {
    /// With what is used by all pods below.
    quotas: Quotas,
    /// The revisions of the quotas that were read.
    revisions: Vec<u64>,
    /// The pods of the store were listed.
    is_listed: bool,
    /// By the names of pods.
    charges: HashMap<Arc<str>, Charge>,
    /// Of pods that were let in and are being stored, by their uids.
    pending: HashMap<String, Charge>,
    /// Pods that are asked to go, by the last second in which they take more than their place.
    going: BTreeSet<(i64, Arc<str>)>,
}

impl Ledger {
    /// The quotas of a namespace, with what the pods that are stored take of them now, in Unix seconds; none where there
    /// are no quotas.
    pub fn quotas(&mut self, store: &Store, tables: Tables, namespace: &str, now: i64) -> Option<Quotas> {
        let account = self.account(store, tables, namespace, now)?;
        let mut quotas = account.quotas.clone();
        account.pending.values().for_each(|charge| quotas.release(charge));
        Some(quotas)
    }

    /// Lets a new pod in: it counts until it is [settled](Self::settle). False where there are no quotas.
    ///
    /// # Errors
    /// What follows `is forbidden: ` in the refusal.
    pub fn admit(
        &mut self,
        store: &Store,
        tables: Tables,
        (namespace, uid): (&str, &str),
        charge: Charge,
        now: i64,
    ) -> Result<bool, String> {
        let Some(account) = self.account(store, tables, namespace, now) else { return Ok(false) };
        account.quotas.admit(&charge)?;
        account.pending.insert(uid.to_owned(), charge);
        Ok(true)
    }

    /// A pod that was let in is stored, and counts as such, or it will not be.
    pub fn settle(&mut self, namespace: &str, uid: &str) {
        if let Some(account) = self.accounts.get_mut(namespace) {
            account.settle(uid);
        }
    }

    /// Forgets all namespaces but these.
    pub fn keep(&mut self, namespaces: &BTreeSet<String>) {
        self.accounts
            .retain(|namespace, account| namespaces.contains(&**namespace) || !account.pending.is_empty());
    }

    /// The account of a namespace, up to date; none where there are no quotas.
    fn account(&mut self, store: &Store, tables: Tables, namespace: &str, now: i64) -> Option<&mut Account> {
        self.follow(store, tables.pods, now);
        let quotas = store.list(tables.quotas, Some(namespace)).items;
        if quotas.is_empty() {
            self.accounts.remove(namespace);
            return None;
        }
        let account = self.accounts.entry(namespace.into()).or_default();
        if !std::mem::replace(&mut account.is_listed, true) {
            let pods = store.list(tables.pods, Some(namespace)).items;
            pods.iter().for_each(|(_, pod)| account.enter(pod, now));
        }
        account.read(&quotas);
        account.expire(|pod| store.get(tables.pods, namespace, pod), now);
        Some(account)
    }

    /// Takes in what happened to pods since the last time; where some of that is lost, everything is counted anew.
    fn follow(&mut self, store: &Store, pods: TableId, now: i64) {
        while let Some(events) = self.events.as_mut().map(Watcher::take) {
            match events {
                Ok(events) if events.is_empty() => return,
                Ok(events) => events.iter().for_each(|event| self.happened(event, now)),
                Err(_) => self.events = None,
            }
        }
        for account in self.accounts.values_mut() {
            *account = Account { pending: std::mem::take(&mut account.pending), ..Account::default() };
        }
        // Pods are listed after this: what comes in between is taken in twice, which changes nothing.
        self.events = store.watch(pods, store.revision()).ok();
    }

    fn happened(&mut self, event: &Event, now: i64) {
        let Some(account) = self.accounts.get_mut(event.object.facts.namespace()) else { return };
        match event.change {
            Change::Added | Change::Modified => account.enter(&event.object, now),
            Change::Deleted => account.forget(&event.object.facts.name),
        }
    }
}

impl Account {
    /// Reads the quotas, if they are others than before. What is used is counted anew only where they limit something
    /// else: their status, which tells it, changes all the time.
    fn read(&mut self, quotas: &[(Key, Arc<Stored>)]) {
        let revisions: Vec<u64> = quotas.iter().map(|(_, quota)| quota.revision).collect();
        if revisions == self.revisions {
            return;
        }
        self.revisions = revisions;
        let objects: Vec<Value> = quotas.iter().map(|(_, quota)| quota.value()).collect();
        let mut quotas = Quotas::new(&objects);
        if !quotas.limit_the_same_as(&self.quotas) {
            quotas.recount(self.charges.values().chain(self.pending.values()));
            self.quotas = quotas;
        }
    }

    /// Counts a pod as it is now, instead of as it was.
    fn enter(&mut self, pod: &Stored, now: i64) {
        let name = pod.facts.name.clone();
        let object = pod.value();
        let charge = Charge::of(&object, now);
        self.settle(meta::text(&object, "uid"));
        self.forget(&name);
        self.quotas.take(&charge);
        if let Some(second) = charge.until.filter(|second| *second >= now) {
            self.going.insert((second, name.clone()));
        }
        self.charges.insert(name, charge);
    }

    fn settle(&mut self, uid: &str) {
        if let Some(charge) = self.pending.remove(uid) {
            self.quotas.release(&charge);
        }
    }

    fn forget(&mut self, name: &Arc<str>) {
        let Some(charge) = self.charges.remove(name) else { return };
        self.quotas.release(&charge);
        if let Some(second) = charge.until {
            self.going.remove(&(second, name.clone()));
        }
    }

    /// Counts pods anew that should be gone.
    fn expire(&mut self, find: impl Fn(&str) -> Option<Arc<Stored>>, now: i64) {
        while self.going.first().is_some_and(|(second, _)| *second < now)
            && let Some((_, name)) = self.going.pop_first()
        {
            // One that is gone is forgotten with its event.
            if let Some(pod) = find(&name) {
                self.enter(&pod, now);
            }
        }
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
