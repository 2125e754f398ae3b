//! What the tokens of service accounts say.

use serde::{Deserialize, Serialize};

/// Who issues the tokens of a cluster, and the audience of those that are meant for its API.
pub const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// Who issues the tokens in secrets.
pub const SECRET_ISSUER: &str = "kubernetes/serviceaccount";

/// What a token says.
#[derive(Debug)]
pub enum Content {
    /// It was asked for.
    Requested(Claims),
    /// It is kept in a secret.
    Kept(SecretClaims),
}

impl Content {
    /// Reads the content of a token; nothing when it is none of this cluster's.
    pub fn read(bytes: &[u8]) -> Option<Content> {
        #[derive(Deserialize)]
        struct Issued {
            iss: String,
        }
        let issued: Issued = serde_json::from_slice(bytes).ok()?;
        match issued.iss.as_str() {
            ISSUER => serde_json::from_slice(bytes).ok().map(Content::Requested),
            SECRET_ISSUER => serde_json::from_slice(bytes).ok().map(Content::Kept),
            _ => None,
        }
    }
}

/// The claims of a token that was asked for and ends. Times are Unix times in seconds. The fields stand in the order in
/// which the API writes them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Claims {
    /// For whom it is meant.
    pub aud: Vec<String>,
    /// When it ends.
    pub exp: i64,
    /// When it was made.
    pub iat: i64,
    /// Who issued it.
    pub iss: String,
    /// What tells it from all others.
    pub jti: String,
    /// What it is bound to.
    #[serde(rename = "kubernetes.io")]
    pub bound: Bound,
    /// When it begins.
    pub nbf: i64,
    /// The user that it stands for.
    pub sub: String,
}

/// The objects whose life a token shares.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Bound {
    /// The namespace of the service account, and of the pod or secret.
    pub namespace: String,
    /// The node of the pod, or the node itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Reference>,
    /// The pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Reference>,
    /// The secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Reference>,
    /// The service account.
    pub serviceaccount: Reference,
}

/// One object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// Its name.
    pub name: String,
    /// Its UID; empty for the node of a pod when there is no such node.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
}

/// The claims of a token in a secret, which ends with the secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SecretClaims {
    /// Who issued it.
    pub iss: String,
    /// The namespace.
    #[serde(rename = "kubernetes.io/serviceaccount/namespace")]
    pub namespace: String,
    /// The secret's name.
    #[serde(rename = "kubernetes.io/serviceaccount/secret.name")]
    pub secret: String,
    /// The service account's name.
    #[serde(rename = "kubernetes.io/serviceaccount/service-account.name")]
    pub account: String,
    /// The service account's UID.
    #[serde(rename = "kubernetes.io/serviceaccount/service-account.uid")]
    pub account_uid: String,
    /// The user that it stands for.
    pub sub: String,
}
