//! Tests of the store on backends that forget, last, fail and crash.

mod crash;
mod damage;
mod durable;
mod pages;
mod watch;
mod write;

use std::sync::Arc;

use everynode_model::Value;
use serde_json::json;

use super::*;

pub const TABLE: TableId = TableId(0);
pub const OTHER: TableId = TableId(1);

pub fn specs() -> Vec<TableSpec> {
    vec![TableSpec { prefix: "//things".into() }, TableSpec { prefix: "/group/others".into() }]
}

pub fn read_facts(_: TableId, bytes: &[u8]) -> Option<Facts> {
    let value: Value = serde_json::from_slice(bytes).ok()?;
    Some(Facts {
        namespace: value["metadata"]["namespace"].as_str().unwrap_or("").into(),
        name: value["metadata"]["name"].as_str()?.into(),
        ..Facts::default()
    })
}

pub fn open(backend: impl Backend + 'static, limits: Limits) -> Store {
    Store::open(Box::new(backend), specs(), limits, &read_facts).unwrap()
}

pub fn memory() -> Store {
    open(Memory, Limits::default())
}

pub fn draft(name: &str, content: u64) -> Draft {
    draft_in("n", name, content)
}

pub fn draft_in(namespace: &str, name: &str, content: u64) -> Draft {
    let value = json!({
        "metadata": {"name": name, "namespace": namespace, "resourceVersion": REVISION_PLACEHOLDER},
        "content": content,
    });
    let bytes = serde_json::to_vec(&value).unwrap();
    let facts = Facts { namespace: namespace.into(), name: name.into(), ..Facts::default() };
    Draft::new(bytes, facts).unwrap()
}

pub fn write(name: &str, expect: Expect, action: Action) -> Write {
    Write { table: TABLE, namespace: "n".into(), name: name.into(), expect, action }
}

pub async fn create(store: &Store, name: &str, content: u64) -> Result<Arc<Stored>, WriteError> {
    store.write(write(name, Expect::Absent, Action::Put(draft(name, content)))).await
}

pub async fn update(store: &Store, old: &Stored, content: u64) -> Result<Arc<Stored>, WriteError> {
    let name = old.facts.name.to_string();
    store.write(write(&name, Expect::Revision(old.revision), Action::Put(draft(&name, content)))).await
}

pub async fn remove(store: &Store, old: &Stored) -> Result<Arc<Stored>, WriteError> {
    store.write(write(&old.facts.name, Expect::Revision(old.revision), Action::Remove(None))).await
}

pub fn content(stored: &Stored) -> u64 {
    let value: Value = serde_json::from_slice(stored.bytes()).unwrap();
    assert_eq!(value["metadata"]["resourceVersion"], stored.revision.to_string());
    value["content"].as_u64().unwrap()
}
