//! Who asks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The group of everybody who is recognised.
const AUTHENTICATED: &str = "system:authenticated";

/// Somebody, in the words of the API (`authentication.k8s.io/v1`, UserInfo).
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct User {
    /// Name.
    #[serde(rename(serialize = "user"))]
    pub username: String,
    /// What tells it from others that had the name before.
    pub uid: String,
    /// Groups.
    pub groups: Vec<String>,
    /// What else its credentials say.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// Whom a certificate in DER stands for that an authority of the cluster has signed: its common name, in the groups
    /// of its organizations. Nobody when it has no common name.
    pub fn of_certificate(der: &[u8]) -> Option<User> {
        let subject = everynode_x509::subject_of_certificate(der).ok()?;
        let groups = subject.organizations.into_iter().chain([AUTHENTICATED.to_owned()]).collect();
        let user = User { username: subject.common_name, groups, ..User::default() };
        (!user.username.is_empty()).then_some(user)
    }
}
