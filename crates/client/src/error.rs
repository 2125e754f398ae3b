//! What can go wrong with a request, in the words that a user can act on.

use std::time::Duration;

use serde::Deserialize;

/// A failed request.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connection settings cannot be read or make no sense.
    #[error("cannot use the Kubernetes configuration: {0}")]
    Config(String),
    /// The server was not reached, or the connection broke.
    #[error("cannot reach the Kubernetes API: {message}{}", hint.map(|hint| format!(" ({hint})")).unwrap_or_default())]
    Transport {
        /// The chain of causes.
        message: String,
        /// What to look at first, where the cause is a known one.
        hint: Option<&'static str>,
        /// The request may have reached the server; without a connection it has not.
        may_have_arrived: bool,
    },
    /// The server answered with a refusal.
    #[error("{0}")]
    Api(Box<ApiStatus>),
    /// The server's answer is not what the API promises.
    #[error("cannot read the answer of the Kubernetes API: {0}")]
    Decode(String),
    /// A list leads nowhere.
    #[error("cannot read the list to its end: {0}")]
    List(#[from] crate::PagesError),
    /// The request was not sent: its [`Fence`](crate::Fence) is shut.
    #[error("not sent: {}", crate::fence::LOST)]
    Fenced,
    /// No answer within the limit.
    #[error("no answer from the Kubernetes API within {0:?}")]
    TimedOut(Duration),
}

/// The refusal of an API server: its `Status` object, read leniently.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApiStatus {
    /// The HTTP status code.
    pub code: u16,
    /// The machine-readable reason, such as `NotFound`; empty when the server gave none.
    pub reason: String,
    /// The sentence for people.
    pub message: String,
    /// How long the server asks to wait before a retry.
    pub retry_after_seconds: Option<u32>,
    /// The refused fields and other particulars.
    pub causes: Vec<StatusCause>,
}

/// One particular of a refusal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct StatusCause {
    /// The field path; empty when the cause is not about a field.
    pub field: String,
    /// The machine-readable reason, such as `FieldValueInvalid` or `NamespaceTerminating`.
    pub reason: String,
    /// The sentence for people.
    pub message: String,
}

impl std::fmt::Display for ApiStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.message.is_empty() {
            true => write!(f, "the Kubernetes API answered with HTTP status {}", self.code),
            false => f.write_str(&self.message),
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct StatusBody {
    reason: Option<String>,
    message: Option<String>,
    code: Option<u16>,
    details: Option<DetailsBody>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct DetailsBody {
    retry_after_seconds: Option<u32>,
    causes: Option<Vec<StatusCause>>,
}

/// How much of an answer that is not a `Status` is quoted, in bytes.
const QUOTE_BYTES: usize = 300;

impl ApiStatus {
    /// Reads the body of an answer whose HTTP status code is not a success. A body that is not a `Status`
    /// (a proxy's page, for example) becomes the message.
    pub fn from_body(http_code: u16, retry_after_header: Option<u32>, body: &[u8]) -> ApiStatus {
        let Ok(status) = serde_json::from_slice::<StatusBody>(body) else {
            let text = String::from_utf8_lossy(&body[..body.len().min(QUOTE_BYTES)]);
            let message = match text.trim() {
                "" => String::new(),
                text => format!("HTTP status {http_code}: {text}"),
            };
            return ApiStatus {
                code: http_code,
                message,
                retry_after_seconds: retry_after_header,
                ..ApiStatus::default()
            };
        };
        let details = status.details.unwrap_or_default();
        ApiStatus {
            code: status.code.filter(|code| *code != 0).unwrap_or(http_code),
            reason: status.reason.unwrap_or_default(),
            message: status.message.unwrap_or_default(),
            retry_after_seconds: details.retry_after_seconds.filter(|s| *s > 0).or(retry_after_header),
            causes: details.causes.unwrap_or_default(),
        }
    }
}

impl Error {
    /// The refusal of the server, if this is one.
    pub fn status(&self) -> Option<&ApiStatus> {
        match self {
            Error::Api(status) => Some(status),
            _ => None,
        }
    }

    /// The HTTP status code of a refusal.
    pub fn code(&self) -> Option<u16> {
        self.status().map(|status| status.code)
    }

    /// The object does not exist.
    pub fn is_not_found(&self) -> bool {
        self.code() == Some(404)
    }

    /// The name is taken.
    pub fn is_already_exists(&self) -> bool {
        self.status().is_some_and(|status| status.code == 409 && status.reason == "AlreadyExists")
    }

    /// The version or precondition no longer holds.
    pub fn is_conflict(&self) -> bool {
        self.status().is_some_and(|status| status.code == 409 && status.reason != "AlreadyExists")
    }

    /// The version asked for is too old to be served.
    pub fn is_expired(&self) -> bool {
        self.code() == Some(410)
    }

    /// The same request may succeed later: the connection, the load or the server is at fault.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Transport { .. } | Error::TimedOut(_) => true,
            Error::Api(status) => matches!(status.code, 429 | 500 | 502 | 503 | 504),
            Error::Config(_) | Error::Decode(_) | Error::List(_) | Error::Fenced => false,
        }
    }
}

/// Describes a broken connection by its chain of causes, with a hint where the cause is a known one.
pub(crate) fn transport(error: &(dyn std::error::Error + 'static)) -> Error {
    let message = chain(error);
    let hint = HINTS.iter().find(|(part, _)| message.contains(part)).map(|(_, hint)| *hint);
    Error::Transport { message, hint, may_have_arrived: !is_without_connection(error) }
}

/// No connection came about: nothing was sent.
fn is_without_connection(error: &(dyn std::error::Error + 'static)) -> bool {
    let is_connect = |error: &(dyn std::error::Error + 'static)| {
        let client = error.downcast_ref::<hyper_util::client::legacy::Error>();
        client.is_some_and(hyper_util::client::legacy::Error::is_connect)
    };
    std::iter::successors(Some(error), |error| error.source()).any(is_connect)
}

const HINTS: [(&str, &str); 6] = [
    ("onnection refused", "is the API server running, and is the server address of the kubeconfig right?"),
    (
        "UnknownIssuer",
        "the kubeconfig's certificate authority did not sign this server's certificate: is the kubeconfig of another cluster?",
    ),
    ("NotValidForName", "the server's certificate is for another name than the kubeconfig's server address"),
    ("Expired", "a certificate has expired: fetch a fresh kubeconfig"),
    ("dns error", "the server name of the kubeconfig does not resolve"),
    ("timed out", "the server's address does not answer: is a firewall or VPN in the way?"),
];

/// `a: b: c` for an error and its causes, each cause once.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_read_with_its_causes() {
        let body = br#"{"kind":"Status","status":"Failure","message":"namespace is being terminated","reason":"Forbidden",
            "details":{"retryAfterSeconds":7,"causes":[{"reason":"NamespaceTerminating","message":"m","field":"metadata.namespace"}]},"code":403}"#;
        let status = ApiStatus::from_body(403, None, body);
        assert_eq!(
            (status.code, status.reason.as_str(), status.retry_after_seconds),
            (403, "Forbidden", Some(7))
        );
        assert_eq!(status.causes[0].reason, "NamespaceTerminating");
        assert_eq!(status.to_string(), "namespace is being terminated");
    }

    #[test]
    fn an_answer_that_is_no_status_becomes_the_message() {
        let status = ApiStatus::from_body(502, Some(3), b"<html>Bad Gateway</html>");
        assert_eq!(status.message, "HTTP status 502: <html>Bad Gateway</html>");
        assert_eq!(status.retry_after_seconds, Some(3));
        assert!(Error::Api(Box::new(status)).is_transient());
        assert_eq!(
            ApiStatus::from_body(500, None, b"").to_string(),
            "the Kubernetes API answered with HTTP status 500"
        );
    }

    #[test]
    fn a_taken_name_is_not_a_conflict_of_versions() {
        let error = |reason: &str| {
            Error::Api(Box::new(ApiStatus { code: 409, reason: reason.into(), ..ApiStatus::default() }))
        };
        assert!(error("AlreadyExists").is_already_exists() && !error("AlreadyExists").is_conflict());
        assert!(error("Conflict").is_conflict() && !error("Conflict").is_already_exists());
    }
}
