//! Authorisation by the roles and bindings in the store (RBAC).

use std::ops::ControlFlow;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::policy::{Policy, Seen};
use super::rule::Rule;
use crate::authn::User;
use crate::catalog::Catalog;
use crate::http::attributes::Attributes;
use crate::store::{Change, Store, TableId, Watcher};

/// The group of roles and bindings.
pub const GROUP: &str = "rbac.authorization.k8s.io";

/// Whether somebody may do something, and why; the reason may be empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Yes.
    Allowed(String),
    /// No.
    Denied(String),
}

/// Missing roles that a refusal names at most.
const NAMED_ROLES: usize = 8;

/// Rules that are listed for a user at most.
const LISTED_RULES: usize = 10_000;

/// One of the four kinds.
#[derive(Debug, Clone, Copy)]
struct Kind {
    plural: &'static str,
    is_binding: bool,
    is_of_cluster: bool,
}

const KINDS: [Kind; 4] = [
    Kind { plural: "clusterroles", is_binding: false, is_of_cluster: true },
    Kind { plural: "roles", is_binding: false, is_of_cluster: false },
    Kind { plural: "clusterrolebindings", is_binding: true, is_of_cluster: true },
    Kind { plural: "rolebindings", is_binding: true, is_of_cluster: false },
];

/// Decides by what the store says at the moment of each question.
#[derive(Debug)]
pub struct Rbac {
    store: Store,
    known: Mutex<Known>,
}

/// The policy as of the events that were taken so far.
#[derive(Debug)]
struct Known {
    policy: Policy,
    followed: Vec<Followed>,
}

/// A kind, and what has happened to its objects since they were read; none before they were.
#[derive(Debug)]
struct Followed {
    kind: Kind,
    table: TableId,
    watcher: Option<Watcher>,
}

impl Rbac {
    /// Decides by the objects of a store.
    pub fn new(catalog: &Catalog, store: Store) -> Rbac {
        let follow = |kind: Kind| {
            let table = catalog.table_named(GROUP, "v1", kind.plural)?;
            Some(Followed { kind, table, watcher: None })
        };
        let followed = KINDS.into_iter().filter_map(follow).collect();
        Rbac { store, known: Mutex::new(Known { policy: Policy::default(), followed }) }
    }

    /// Whether the roles that are bound to a user allow what is asked.
    pub fn decide(&self, user: &User, asked: &Attributes) -> Decision {
        let namespace = asked.resource.as_ref().map_or("", |resource| &resource.namespace);
        let (mut allowed, mut missing) = (None, Vec::new());
        self.known().policy.visit(user, namespace, &mut |seen| match seen {
            Seen::Rule(rule, source) if rule.allows(asked) => {
                allowed = Some(format!("RBAC: allowed by {source}"));
                ControlFlow::Break(())
            }
            Seen::Missing(role) if missing.len() < NAMED_ROLES => {
                missing.push(role.to_string());
                ControlFlow::Continue(())
            }
            _ => ControlFlow::Continue(()),
        });
        missing.dedup();
        match (allowed, missing.as_slice()) {
            (Some(reason), _) => Decision::Allowed(reason),
            (None, []) => Decision::Denied(String::new()),
            (None, [one]) => Decision::Denied(format!("RBAC: {one}")),
            (None, several) => Decision::Denied(format!("RBAC: [{}]", several.join(", "))),
        }
    }

    /// All rules that apply to a user in a namespace, and whether that is all of them.
    pub fn rules(&self, user: &User, namespace: &str) -> (Vec<Rule>, bool) {
        let (mut rules, mut is_all) = (Vec::new(), true);
        self.known().policy.visit(user, namespace, &mut |seen| match seen {
            Seen::Rule(_, _) if rules.len() == LISTED_RULES => {
                is_all = false;
                ControlFlow::Break(())
            }
            Seen::Rule(rule, _) => {
                rules.push(rule.clone());
                ControlFlow::Continue(())
            }
            Seen::Missing(_) => {
                is_all = false;
                ControlFlow::Continue(())
            }
        });
        (rules, is_all)
    }

    /// The policy as the store has it now.
    fn known(&self) -> MutexGuard<'_, Known> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Known { policy, followed } = &mut *known;
        followed.iter_mut().for_each(|kind| kind.catch_up(&self.store, policy));
        known
    }
}

impl Followed {
    /// Takes what has happened; reads everything anew where that is not known any more.
    fn catch_up(&mut self, store: &Store, policy: &mut Policy) {
        if !self.take_events(policy) {
            self.read_all(store, policy);
            self.take_events(policy);
        }
    }

    /// False when events were missed.
    fn take_events(&mut self, policy: &mut Policy) -> bool {
        let Some(watcher) = &mut self.watcher else { return false };
        loop {
            let Ok(events) = watcher.take() else { return false };
            if events.is_empty() {
                return true;
            }
            for event in events {
                let key = (event.object.facts.namespace.clone(), event.object.facts.name.clone());
                let object = (event.change != Change::Deleted).then(|| event.object.value());
                self.kind.put(policy, key, object.as_ref());
            }
        }
    }

    fn read_all(&mut self, store: &Store, policy: &mut Policy) {
        // The watch begins before the list, so that nothing falls in between.
        self.watcher = store.watch(self.table, store.revision()).ok();
        policy.forget(self.kind.is_binding, self.kind.is_of_cluster);
        for (key, stored) in store.list(self.table, None).items {
            self.kind.put(policy, key, Some(&stored.value()));
        }
    }
}

impl Kind {
    fn put(self, policy: &mut Policy, key: crate::store::Key, object: Option<&everynode_model::Value>) {
        match self.is_binding {
            true => policy.put_binding(key, object),
            false => policy.put_role(key, object),
        }
    }
}
