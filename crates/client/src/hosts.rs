//! Servers of a cluster beside its API server: kubelets, and daemons that serve a page of their own.

use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderValue, USER_AGENT};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use tower::ServiceExt;

use crate::error::Error;
use crate::transport::{Transport, connect_in_the_open};

/// How long a server may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The longest page that is read.
const PAGE_LIMIT_BYTES: usize = 8 << 20;

/// Reads pages by their whole address.
#[derive(Clone)]
pub struct Hosts {
    transport: Transport,
    user_agent: HeaderValue,
}

impl std::fmt::Debug for Hosts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hosts").finish_non_exhaustive()
    }
}

/// A page could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// The server answered with a refusal.
    #[error("{url} answers {code}")]
    Refused {
        /// Which page.
        url: String,
        /// The HTTP status code.
        code: u16,
    },
    /// The server was not reached, is not the one that it should be, or did not end its answer.
    #[error("{url} gives no answer: {why}")]
    NoAnswer {
        /// Which page.
        url: String,
        /// The chain of causes.
        why: String,
    },
}

impl Hosts {
    pub(crate) fn new(transport: Transport, user_agent: HeaderValue) -> Hosts {
        Hosts { transport, user_agent }
    }

    /// Servers that are asked without TLS and are shown nothing of ours.
    pub fn in_the_open(user_agent: &str) -> Hosts {
        let assumed = HeaderValue::from_static("everynode");
        let user_agent = HeaderValue::from_str(user_agent).unwrap_or(assumed);
        Hosts::new(connect_in_the_open(TIMEOUT), user_agent)
    }

    /// Reads a page of at most 8 MiB within 5 seconds.
    ///
    /// # Errors
    /// [`HostError`].
    pub async fn get(&self, url: &str) -> Result<Bytes, HostError> {
        let silent = |why: String| HostError::NoAnswer { url: url.to_owned(), why };
        let request = Request::get(url).header(USER_AGENT, self.user_agent.clone()).body(Full::default());
        let request = request.map_err(|error| silent(error.to_string()))?;
        let page = async {
            let answer = self.transport.clone().oneshot(request).await;
            let answer = answer.map_err(|error| silent(cause(error)))?;
            if answer.status() != StatusCode::OK {
                return Err(HostError::Refused { url: url.to_owned(), code: answer.status().as_u16() });
            }
            let body = Limited::new(answer.into_body(), PAGE_LIMIT_BYTES).collect().await;
            let cut_off = |error: Box<dyn std::error::Error + Send + Sync>| match error.downcast::<Error>() {
                Ok(error) => silent(cause(*error)),
                Err(too_long) => silent(too_long.to_string()),
            };
            body.map(|body| body.to_bytes()).map_err(cut_off)
        };
        let late = || Err(silent(format!("none within {} s", TIMEOUT.as_secs())));
        tokio::time::timeout(TIMEOUT, page).await.unwrap_or_else(|_| late())
    }
}

/// The causes of a failure, without what is said of the API server.
fn cause(error: Error) -> String {
    match error {
        Error::Transport { message, .. } => message,
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// What comes of an answer of these bytes.
    async fn check(answer: &'static str) -> Result<Bytes, HostError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/metrics", listener.local_addr().unwrap());
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let read = stream.read(&mut request).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&request[..read]).into_owned()
        };
        let hosts = Hosts::in_the_open("tests");
        let (page, request) = tokio::join!(hosts.get(&url), serve);
        assert!(request.starts_with("GET /metrics HTTP/1.1\r\n"), "{request}");
        assert!(!request.to_lowercase().contains("authorization"), "{request}");
        page
    }

    #[tokio::test]
    async fn a_page_is_read_and_a_refusal_or_an_answer_that_breaks_off_says_so() {
        let page = check("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\na 1").await;
        assert_eq!(page.as_deref(), Ok(&b"a 1"[..]));
        let refused = check("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await;
        assert!(matches!(refused, Err(HostError::Refused { code: 403, .. })), "{refused:?}");
        let moved =
            check("HTTP/1.1 302 Found\r\nlocation: http://10.0.0.1/\r\ncontent-length: 0\r\n\r\n").await;
        assert!(matches!(moved, Err(HostError::Refused { code: 302, .. })), "{moved:?}");
        let broken = check("HTTP/1.1 200 OK\r\ncontent-length: 30\r\n\r\na 1").await;
        assert!(matches!(broken, Err(HostError::NoAnswer { .. })), "{broken:?}");
    }
}
