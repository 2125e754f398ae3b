//! The model API server: objects in memory with one resource version, and what the parts under test ask of it.

mod access;
mod delete;
mod kind;
mod list;
mod refusal;
mod request;
mod store;
mod verbs;
mod watch;

pub(crate) use access::{
    controller_uid, daemonset_allows_surge, is_available_at, is_bound_to, is_deleting, is_live, is_ready,
    is_terminal, label, name, namespace, target_node, uid,
};
pub(crate) use kind::Kind;
pub(crate) use refusal::Refusal;
pub(crate) use request::{Selection, Target, Verb};
pub(crate) use store::{Change, Key, Moved, Store};
pub(crate) use watch::{Feed, Line};
