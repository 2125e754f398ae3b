//! Who somebody is, in the words of the API.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Serialize;

/// The group of everybody who is recognised.
pub const AUTHENTICATED: &str = "system:authenticated";

/// The group that may do everything.
pub const MASTERS: &str = "system:masters";

/// The group of kubelets, and what their names begin with.
pub const NODES: &str = "system:nodes";
pub const NODE_PREFIX: &str = "system:node:";

/// What the names of service accounts begin with.
const SERVICE_ACCOUNT_PREFIX: &str = "system:serviceaccount:";

/// The key of [`User::extra`] that says by which credential a user was recognised.
pub const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

/// A client, as the API describes one (`authentication.k8s.io/v1`, UserInfo).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct User {
    /// Name.
    #[serde(rename = "username", skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What tells it from others that had the name before.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// Groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// What else its credentials say.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// A user of these groups, which are told apart from everybody by being recognised.
    pub fn recognised(name: impl Into<String>, groups: impl IntoIterator<Item = String>) -> User {
        let groups = groups.into_iter().chain([AUTHENTICATED.to_owned()]).collect();
        User { name: name.into(), groups, ..User::default() }
    }

    /// The service account of that name.
    pub fn service_account(namespace: &str, name: &str, uid: &str) -> User {
        let groups = ["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
        let user = User::recognised(service_account_name(namespace, name), groups);
        User { uid: uid.to_owned(), ..user }
    }

    /// Notes something else about a user.
    pub fn note(&mut self, key: &str, value: impl Into<String>) {
        self.extra.insert(key.to_owned(), vec![value.into()]);
    }

    /// Whether it is in a group.
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|own| own == group)
    }
}

/// The user name of a service account.
pub fn service_account_name(namespace: &str, name: &str) -> String {
    format!("{SERVICE_ACCOUNT_PREFIX}{namespace}:{name}")
}

/// Namespace and name of the service account that has a user name.
pub fn split_service_account(user: &str) -> Option<(&str, &str)> {
    let (namespace, name) = user.strip_prefix(SERVICE_ACCOUNT_PREFIX)?.split_once(':')?;
    (!namespace.is_empty() && !name.is_empty()).then_some((namespace, name))
}

/// Whoever shows no credentials.
pub static ANONYMOUS: LazyLock<User> = LazyLock::new(|| User {
    name: "system:anonymous".into(),
    groups: vec!["system:unauthenticated".into()],
    ..User::default()
});
