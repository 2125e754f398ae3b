//! Fields that others have, in the words of the API.

use std::fmt;

use everynode_model::go_quote;

use super::element::PathElement;
use super::entries::{Entry, Manager, Operation};
use super::set::FieldSet;
use crate::status::Status;

/// Fields that are told of one apply; the rest is counted.
const MAX_TOLD: usize = 1_000;

/// The fields that one manager has.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Held {
    /// Who has them, for the order.
    manager: Manager,
    /// Who has them, as it is shown.
    holder: String,
    fields: FieldSet,
}

/// A field that somebody else has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Who has it, as it is shown.
    pub holder: String,
    /// The field.
    pub path: Vec<PathElement>,
}

/// All fields that others have, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflicts(Vec<Held>);

fn holder(entry: &Entry) -> String {
    let mut out = go_quote(&entry.manager.name);
    if !entry.manager.subresource.is_empty() {
        out.push_str(&format!(" with subresource {}", go_quote(&entry.manager.subresource)));
    }
    if entry.manager.operation == Operation::Update {
        out.push_str(&format!(" using {}", entry.version));
    }
    out
}

impl Conflict {
    fn field(&self) -> String {
        self.path.iter().map(PathElement::to_string).collect()
    }
}

impl Conflicts {
    /// The fields that entries have of those that are said differently; nothing when there are none.
    pub(super) fn of(held: Vec<(&Entry, FieldSet)>) -> Option<Conflicts> {
        let held = held.into_iter().filter(|(_, fields)| !fields.is_empty());
        let held = held.map(|(entry, fields)| Held {
            manager: entry.manager.clone(),
            holder: holder(entry),
            fields,
        });
        let mut held: Vec<Held> = held.collect();
        held.sort_by(|a, b| a.manager.cmp(&b.manager));
        (!held.is_empty()).then_some(Conflicts(held))
    }

    /// The conflicts, those with one manager together, as far as they are told.
    pub fn all(&self) -> Vec<Conflict> {
        let mut all = Vec::new();
        for held in &self.0 {
            held.fields.each(&mut |path| {
                if all.len() < MAX_TOLD {
                    all.push(Conflict { holder: held.holder.clone(), path: path.to_vec() });
                }
            });
        }
        all
    }

    /// Those that are not about fields that the client has by its own earlier ways; nothing when all are.
    pub(super) fn without(self, allowed: &FieldSet) -> Option<Conflicts> {
        let left = self.0.into_iter().map(|held| Held { fields: held.fields.difference(allowed), ..held });
        let left: Vec<Held> = left.filter(|held| !held.fields.is_empty()).collect();
        (!left.is_empty()).then_some(Conflicts(left))
    }

    /// 409 with a cause for each.
    pub fn status(&self) -> Status {
        let causes = self.all();
        let causes = causes.iter().map(|one| (format!("conflict with {}", one.holder), one.field()));
        Status::apply_conflict(&self.to_string(), causes.collect())
    }
}

impl fmt::Display for Conflicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.all();
        if let [one] = all.as_slice() {
            return write!(f, "Apply failed with 1 conflict: conflict with {}: {}", one.holder, one.field());
        }
        let count: usize = self.0.iter().map(|held| held.fields.len()).sum();
        write!(f, "Apply failed with {count} conflicts: ")?;
        let mut last = None;
        for (index, one) in all.iter().enumerate() {
            let line = if index == 0 { "" } else { "\n" };
            if last.replace(&one.holder) == Some(&one.holder) {
                write!(f, "{line}- {}", one.field())?;
            } else {
                write!(f, "{line}conflicts with {}:\n- {}", one.holder, one.field())?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Conflicts {}
