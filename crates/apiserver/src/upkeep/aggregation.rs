//! Cluster roles that are put together of others, by labels: their rules are those of the roles that they select.

use std::collections::HashSet;
use std::sync::Arc;

use everynode_apimachinery::status::Status;
use everynode_model::Value;
use everynode_model::access::Read as _;
use tokio::sync::watch;

use crate::authz::GROUP;
use crate::catalog::Entry;
use crate::meta;
use crate::objects::change::{self, Change};
use crate::selection::selects;
use crate::state::State;

/// Rules that a role is given at most.
const RULES: usize = 10_000;

/// How often roles are looked at again in a row: those that are put together of each other settle in as many looks as
/// there are of them in a chain.
const LOOKS: usize = 8;

/// Keeps the rules of such roles until the server stops.
pub async fn run(state: Arc<State>, mut stop: watch::Receiver<bool>) {
    let Some(table) = state.catalog.table_named(GROUP, "v1", "clusterroles") else { return };
    loop {
        // The watch begins before the look, so that nothing falls in between.
        let watched = state.store.watch(table, state.store.revision());
        settle(&state).await;
        let Ok(mut watcher) = watched else { continue };
        tokio::select! {
            () = watcher.ready() => {}
            _ = stop.wait_for(|stopped| *stopped) => return,
        }
    }
}

/// Gives such roles the rules that they should have.
pub async fn settle(state: &State) {
    for _ in 0..LOOKS {
        match look(state).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                return tracing::warn!(error = error.message, "a cluster role was not put together");
            }
        }
    }
}

/// One look; says whether a role was changed.
async fn look(state: &State) -> Result<bool, Status> {
    let registry = state.catalog.registry();
    let Some(Entry { resource, table: Some(table) }) = registry.find(GROUP, "v1", "clusterroles") else {
        return Ok(false);
    };
    let roles: Vec<Value> =
        state.store.list(*table, None).items.iter().map(|(_, stored)| stored.value()).collect();
    let mut is_changed = false;
    for role in roles.iter().filter(|role| role.has("aggregationRule")) {
        let rules = gathered(role, &roles);
        if role.items("rules") == rules {
            continue;
        }
        is_changed = true;
        let mut take = |now: &Value| {
            let mut now = now.clone();
            if now.has("aggregationRule") {
                now["rules"] = rules.clone().into();
            }
            Ok(now)
        };
        let how = Change::of(resource, *table, "", meta::text(role, "name"));
        match change::apply(state, &how, &mut take, &mut Vec::new()).await {
            Err(error) if error.code() != 404 => return Err(error),
            _ => {}
        }
    }
    Ok(is_changed)
}

/// The rules of all roles that a role selects, each once.
fn gathered(role: &Value, roles: &[Value]) -> Vec<Value> {
    let selectors = role.items("aggregationRule.clusterRoleSelectors");
    let is_meant = |other: &&Value| {
        meta::text(other, "name") != meta::text(role, "name")
            && selectors.iter().any(|selector| selects(selector, other).unwrap_or(false))
    };
    let mut seen = HashSet::new();
    let rules = roles.iter().filter(is_meant).flat_map(|other| other.items("rules"));
    rules.filter(|rule| seen.insert(rule.to_string())).take(RULES).cloned().collect()
}
