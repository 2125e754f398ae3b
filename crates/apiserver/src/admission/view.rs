//! The store as admission sees it.

use everynode_admission::{Kind, View};
use everynode_model::Value;

use crate::state::State;
use crate::store::TableId;

/// The objects of the store.
pub struct StoreView<'a>(pub &'a State);

impl StoreView<'_> {
    fn table(&self, kind: Kind) -> Option<TableId> {
        self.0.catalog.table_named(kind.group(), "v1", kind.plural())
    }
}

impl View for StoreView<'_> {
    fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<Value> {
        Some(self.0.store.get(self.table(kind)?, namespace, name)?.value())
    }

    fn list(&self, kind: Kind, namespace: &str) -> Vec<Value> {
        let Some(table) = self.table(kind) else { return Vec::new() };
        let listing = self.0.store.list(table, Some(namespace).filter(|_| kind.is_namespaced()));
        listing.items.iter().map(|(_, stored)| stored.value()).collect()
    }

    fn node_label(&self, node: &str, key: &str) -> Option<String> {
        let nodes = self.0.catalog.table_named("", "v1", "nodes")?;
        self.0.store.get(nodes, "", node)?.facts.label(key).map(str::to_owned)
    }

    fn checks_service_accounts(&self) -> bool {
        self.0.config.service_account_admission
    }
}
