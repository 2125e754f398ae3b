//! Server-side apply: who has which fields of an object, and what becomes of it when somebody applies a configuration.
//!
//! Pure functions of values, as everything in this crate: the time of a write comes in with its [`Context`].
//! `element`, `set` and `text` are field sets and their form in `metadata.managedFields`; `view` says what a schema
//! makes of a value; `fields`, `compare`, `merge` and `check` walk along it; `entries` are the managers of an object,
//! and `update` says what a write makes of them.

mod check;
mod compare;
mod conflict;
mod element;
mod entries;
mod fields;
mod last_applied;
mod merge;
mod prune;
mod reset;
mod scale;
mod set;
mod text;
mod update;
mod view;

pub use check::mistakes;
pub use compare::{Comparison, compare, is_same};
pub use conflict::{Conflict, Conflicts};
pub use element::{NoElement, PathElement, Scalar};
pub use entries::{BadEntries, Entry, MAX_BYTES, MAX_ENTRIES, ManagedFields, Manager, Operation};
pub use fields::fields_of;
pub use merge::{merge, remove};
pub use reset::Reset;
pub use scale::{from_scale, in_scale};
pub use set::{FieldSet, Node};
pub use text::{NoFieldSet, read as read_fields};
pub use update::{Applied, ApplyError, Context, OneVersion, Versions};
pub use view::{Free, View};

#[cfg(test)]
mod tests;
