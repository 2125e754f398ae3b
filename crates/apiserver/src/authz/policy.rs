//! Which rules apply to whom: roles and bindings, found by subject.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use everynode_model::access::Read as _;
use everynode_model::{Value, go_quote};

use super::rule::Rule;
use crate::authn::{User, service_account_name};
use crate::store::Key;

/// Whom a binding means.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A user, or the service account that has this user name.
    User(String),
    /// A group.
    Group(String),
}

/// A role that a binding gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleRef {
    /// `Role` or `ClusterRole`.
    kind: String,
    name: String,
}

/// A binding: a role for some subjects, in a namespace or, where that is empty, everywhere.
#[derive(Debug)]
struct Binding {
    role: RoleRef,
    /// Each subject, and how the API describes it.
    subjects: Vec<(Subject, String)>,
}

/// By which binding a rule applies.
#[derive(Debug)]
pub struct Source<'a> {
    key: &'a Key,
    binding: &'a Binding,
    subject: &'a str,
}

impl fmt::Display for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (namespace, name) = self.key;
        let RoleRef { kind, name: role } = &self.binding.role;
        match &**namespace {
            "" => write!(f, "ClusterRoleBinding {}", go_quote(name))?,
            namespace => write!(f, "RoleBinding {}", go_quote(&format!("{name}/{namespace}")))?,
        }
        write!(f, " of {kind} {} to {}", go_quote(role), self.subject)
    }
}

/// What a visitor is shown.
#[derive(Debug)]
pub enum Seen<'a> {
    /// A rule that applies.
    Rule(&'a Rule, &'a Source<'a>),
    /// A role that a binding gives, and that is not there.
    Missing(&'a RoleRef),
}

impl fmt::Display for RoleRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind.to_lowercase();
        write!(f, "{kind}.rbac.authorization.k8s.io {} not found", go_quote(&self.name))
    }
}

/// All roles and bindings. Those of the cluster have an empty namespace.
#[derive(Debug, Default)]
pub struct Policy {
    roles: HashMap<Key, Arc<[Rule]>>,
    bindings: HashMap<Key, Binding>,
    /// The bindings of each subject.
    by_subject: HashMap<Subject, BTreeSet<Key>>,
}

impl Policy {
    /// Takes a role as it is now; nothing when it is gone.
    pub fn put_role(&mut self, key: Key, role: Option<&Value>) {
        match role {
            Some(role) => {
                self.roles.insert(key, role.items("rules").iter().map(Rule::read).collect());
            }
            None => {
                self.roles.remove(&key);
            }
        }
    }

    /// Takes a binding as it is now; nothing when it is gone.
    pub fn put_binding(&mut self, key: Key, binding: Option<&Value>) {
        for (subject, _) in self.bindings.remove(&key).into_iter().flat_map(|old| old.subjects) {
            if let Some(keys) = self.by_subject.get_mut(&subject) {
                keys.remove(&key);
                if keys.is_empty() {
                    self.by_subject.remove(&subject);
                }
            }
        }
        let Some(binding) = binding else { return };
        let text = |path| binding.text(path).to_owned();
        let role = RoleRef { kind: text("roleRef.kind"), name: text("roleRef.name") };
        let subjects: Vec<_> =
            binding.items("subjects").iter().filter_map(|one| subject(one, &key.0)).collect();
        for (subject, _) in &subjects {
            self.by_subject.entry(subject.clone()).or_default().insert(key.clone());
        }
        self.bindings.insert(key, Binding { role, subjects });
    }

    /// Forgets all roles, or all bindings, of the cluster or of namespaces.
    pub fn forget(&mut self, bindings: bool, of_cluster: bool) {
        let is_meant = |key: &Key| key.0.is_empty() == of_cluster;
        if bindings {
            let keys: Vec<Key> = self.bindings.keys().filter(|key| is_meant(key)).cloned().collect();
            keys.into_iter().for_each(|key| self.put_binding(key, None));
        } else {
            self.roles.retain(|key, _| !is_meant(key));
        }
    }

    /// Shows every rule that applies to a user in a namespace, those of the cluster first, until the visitor has seen
    /// enough.
    pub fn visit(&self, user: &User, namespace: &str, visitor: &mut dyn FnMut(Seen<'_>) -> ControlFlow<()>) {
        let own = std::iter::once(Subject::User(user.name.clone()));
        let subjects: Vec<Subject> = own.chain(user.groups.iter().cloned().map(Subject::Group)).collect();
        let places = if namespace.is_empty() { &[""][..] } else { &["", namespace] };
        for place in places {
            for subject in &subjects {
                let Some(keys) = self.by_subject.get(subject) else { continue };
                let first: Key = ((*place).into(), "".into());
                for key in keys.range(first..).take_while(|key| *key.0 == **place) {
                    if self.visit_binding(key, subject, visitor).is_break() {
                        return;
                    }
                }
            }
        }
    }

    fn visit_binding(
        &self,
        key: &Key,
        subject: &Subject,
        visitor: &mut dyn FnMut(Seen<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let Some(binding) = self.bindings.get(key) else { return ControlFlow::Continue(()) };
        let role = &binding.role;
        let namespace = if role.kind == "Role" { key.0.clone() } else { "".into() };
        let Some(rules) = self.roles.get(&(namespace, role.name.as_str().into())) else {
            return visitor(Seen::Missing(role));
        };
        let described = binding.subjects.iter().find(|(one, _)| one == subject);
        let subject = described.map_or("", |(_, described)| described);
        let source = Source { key, binding, subject };
        rules.iter().try_for_each(|rule| visitor(Seen::Rule(rule, &source)))
    }
}

/// A subject of a binding in a namespace, and how the API describes it.
fn subject(subject: &Value, namespace: &str) -> Option<(Subject, String)> {
    let (kind, name) = (subject.text("kind"), subject.text("name"));
    let described = |name: &str| format!("{kind} {}", go_quote(name));
    match kind {
        "User" => Some((Subject::User(name.to_owned()), described(name))),
        "Group" => Some((Subject::Group(name.to_owned()), described(name))),
        "ServiceAccount" => {
            let own = subject.text("namespace");
            let namespace = if own.is_empty() { namespace } else { own };
            let user = service_account_name(namespace, name);
            (!namespace.is_empty()).then(|| (Subject::User(user), described(&format!("{name}/{namespace}"))))
        }
        _ => None,
    }
}
