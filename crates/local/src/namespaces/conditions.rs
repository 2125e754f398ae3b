//! What a namespace that is being deleted says of its end, in Kubernetes' words.

use std::collections::BTreeMap;

use everynode_model::Value;
use serde_json::json;

/// What is in the way of the end of a namespace.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// Why it is not known which kinds there are.
    pub undiscovered: Option<String>,
    /// What could not be deleted, each in a sentence.
    pub failures: Vec<String>,
    /// Objects that are still there, by kind.
    objects: BTreeMap<String, usize>,
    /// Objects that each finalizer keeps.
    finalizers: BTreeMap<String, usize>,
}

/// Reason and message of a condition that holds.
type Trouble = (&'static str, String);

impl Left {
    /// Whether nothing is in the way.
    pub(super) fn is_nothing(&self) -> bool {
        self.undiscovered.is_none() && self.failures.is_empty() && self.objects.is_empty()
    }

    /// Notes objects of a kind that are still there.
    pub(super) fn note(&mut self, plural: &str, group: &str, count: usize, finalizers: Vec<String>) {
        if count > 0 {
            self.objects.insert(format!("{plural}.{group}"), count);
        }
        for finalizer in finalizers {
            *self.finalizers.entry(finalizer).or_default() += 1;
        }
    }

    fn remaining(list: &BTreeMap<String, usize>, words: &str) -> String {
        let each: Vec<String> =
            list.iter().map(|(what, count)| format!("{what} {words} {count} resource instances")).collect();
        each.join(", ")
    }

    /// The conditions in the API's order: type, then reason and message where it holds, and where it does not.
    fn told(&self) -> [(&'static str, Option<Trouble>, [&'static str; 2]); 5] {
        let failures = (!self.failures.is_empty()).then(|| {
            let mut sorted = self.failures.clone();
            sorted.sort();
            let message = format!(
                "Failed to delete all resource types, {} remaining: {}",
                sorted.len(),
                sorted.join(", ")
            );
            ("ContentDeletionFailed", message)
        });
        let objects = (!self.objects.is_empty()).then(|| {
            let each = Left::remaining(&self.objects, "has");
            ("SomeResourcesRemain", format!("Some resources are remaining: {each}"))
        });
        let finalizers = (!self.finalizers.is_empty()).then(|| {
            let each = Left::remaining(&self.finalizers, "in");
            let message = format!("Some content in the namespace has finalizers remaining: {each}");
            ("SomeFinalizersRemain", message)
        });
        let undiscovered = self.undiscovered.clone().map(|why| ("DiscoveryFailed", why));
        [
            (
                "NamespaceDeletionDiscoveryFailure",
                undiscovered,
                ["ResourcesDiscovered", "All resources successfully discovered"],
            ),
            (
                "NamespaceDeletionGroupVersionParsingFailure",
                None,
                ["ParsedGroupVersions", "All legacy kube types successfully parsed"],
            ),
            (
                "NamespaceDeletionContentFailure",
                failures,
                ["ContentDeleted", "All content successfully deleted, may be waiting on finalization"],
            ),
            ("NamespaceContentRemaining", objects, ["ContentRemoved", "All content successfully removed"]),
            (
                "NamespaceFinalizersRemaining",
                finalizers,
                ["ContentHasNoFinalizers", "All content-preserving finalizers finished"],
            ),
        ]
    }
}

/// The conditions of a namespace with what is left; none where they say so already.
pub(super) fn conditions(present: &[Value], left: &Left, now: &str) -> Option<Vec<Value>> {
    let mut all = present.to_vec();
    for (kind, holds, [fine_reason, fine]) in left.told() {
        let status = if holds.is_some() { "True" } else { "False" };
        let (reason, message) = holds.unwrap_or_else(|| (fine_reason, fine.to_owned()));
        let at = all.iter().position(|condition| condition["type"] == kind);
        let since = at
            .map(|at| &all[at])
            .filter(|before| before["status"] == status)
            .map_or_else(|| now.into(), |before| before["lastTransitionTime"].clone());
        let condition = json!({
            "type": kind, "status": status, "lastTransitionTime": since, "reason": reason, "message": message,
        });
        match at {
            Some(at) => all[at] = condition,
            None => all.push(condition),
        }
    }
    (all != present).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(conditions: &[Value]) -> Vec<String> {
        let text = |condition: &Value, field: &str| condition[field].as_str().unwrap_or_default().to_owned();
        let one = |c: &Value| {
            format!("{} {} {}: {}", text(c, "type"), text(c, "status"), text(c, "reason"), text(c, "message"))
        };
        conditions.iter().filter(|c| c["status"] == "True").map(one).collect()
    }

    #[test]
    fn conditions_name_what_keeps_a_namespace() {
        let mut left = Left::default();
        left.note("pods", "", 2, vec!["a/f".into(), "b/f".into(), "a/f".into()]);
        left.note("roles", "rbac.authorization.k8s.io", 1, Vec::new());
        left.failures = vec!["refused".into()];
        let all = conditions(&[], &left, "2026-01-01T00:00:00Z").unwrap();
        assert_eq!(all.len(), 5);
        assert_eq!(
            said(&all),
            [
                "NamespaceDeletionContentFailure True ContentDeletionFailed: Failed to delete all resource types, 1 remaining: refused",
                "NamespaceContentRemaining True SomeResourcesRemain: Some resources are remaining: pods. has 2 resource instances, roles.rbac.authorization.k8s.io has 1 resource instances",
                "NamespaceFinalizersRemaining True SomeFinalizersRemain: Some content in the namespace has finalizers remaining: a/f in 2 resource instances, b/f in 1 resource instances",
            ]
        );
        assert!(conditions(&all, &left, "2026-01-02T00:00:00Z").is_none(), "it is said already");
    }

    #[test]
    fn a_condition_keeps_its_time_while_it_stays() {
        let mut left = Left::default();
        left.note("pods", "", 2, Vec::new());
        let first = conditions(&[], &left, "2026-01-01T00:00:00Z").unwrap();
        left.note("pods", "", 1, Vec::new());
        let second = conditions(&first, &left, "2026-01-02T00:00:00Z").unwrap();
        assert_eq!(second[3]["lastTransitionTime"], "2026-01-01T00:00:00Z");
        let third = conditions(&second, &Left::default(), "2026-01-03T00:00:00Z").unwrap();
        assert_eq!(third[3]["lastTransitionTime"], "2026-01-03T00:00:00Z");
        assert_eq!(said(&third), Vec::<String>::new());
    }

    #[test]
    fn other_conditions_stay() {
        let other = json!({"type": "Mine", "status": "True"});
        let all = conditions(std::slice::from_ref(&other), &Left::default(), "2026-01-01T00:00:00Z").unwrap();
        assert_eq!(all[0], other);
    }
}
