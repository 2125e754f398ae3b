//! Owners in a circle, each of which waits until those that depend on it are gone: none would ever go.

use std::collections::HashSet;

use everynode_client::{Method, content_type};
use serde_json::json;

use super::{Collector, FOREGROUND, Ticket, Uid};

/// Objects that are looked at for a circle of owners.
const CIRCLE_LIMIT: usize = 1_000;

impl Collector {
    /// Whether the owner, for which a dependent of it waits, waits for the dependent too: each would wait for ever.
    pub(super) fn waits_for(&self, owner: &Uid, dependent: &Uid) -> bool {
        let waits = |uid: &Uid| self.objects.get(uid).is_some_and(|row| row.deleting && row.has(FOREGROUND));
        let mut seen = HashSet::from([owner]);
        let mut next = vec![owner];
        while let Some(uid) = next.pop().filter(|_| seen.len() <= CIRCLE_LIMIT) {
            let Some(row) = self.objects.get(uid) else { continue };
            for above in row.owners.iter().filter(|above| above.blocks && waits(&above.uid)) {
                if above.uid == *dependent {
                    return true;
                }
                if seen.insert(&above.uid) {
                    next.push(&above.uid);
                }
            }
        }
        false
    }

    /// Lets the object's owners go without it.
    pub(super) fn unblock(&mut self, uid: &Uid) {
        let Some(row) = self.objects.get(uid).filter(|row| !row.busy) else { return };
        let references = row.owners.iter().enumerate();
        let steps: Vec<_> = references
            .filter(|(_, owner)| owner.blocks)
            .flat_map(|(at, owner)| {
                let path = format!("/metadata/ownerReferences/{at}");
                [
                    json!({ "op": "test", "path": format!("{path}/uid"), "value": &*owner.uid }),
                    json!({ "op": "replace", "path": format!("{path}/blockOwnerDeletion"), "value": false }),
                ]
            })
            .collect();
        let body = serde_json::Value::from(steps).to_string();
        self.change(uid, Ticket::Unblock(uid.clone()), Method::PATCH, content_type::JSON_PATCH, body);
    }
}
