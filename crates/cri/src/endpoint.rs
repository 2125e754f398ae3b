//! Where a runtime listens.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The longest path of a socket, in bytes: `sockaddr_un` has 108, the last of which is zero.
const PATH_LIMIT_BYTES: usize = 107;

/// The Unix socket of a runtime: `unix:///run/containerd/containerd.sock`, or its absolute path alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint(PathBuf);

/// Why a text is not an endpoint. Each says what would be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Another scheme than `unix`.
    #[error(
        "a runtime is reached by a Unix socket only, not by {0}: try unix:///run/containerd/containerd.sock"
    )]
    Scheme(String),
    /// No absolute path.
    #[error(
        "the path of a runtime's socket begins with a slash, unlike {0:?}: try unix:///run/containerd/containerd.sock"
    )]
    NotAbsolute(String),
    /// Nothing can be bound to such a path.
    #[error(
        "the path of a runtime's socket has at most {PATH_LIMIT_BYTES} bytes, none of them zero, unlike {0:?}: try a folder nearer to the root"
    )]
    Path(String),
}

impl Endpoint {
    /// The path of the socket.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Endpoint, EndpointError> {
        let path = match text.split_once("://") {
            Some(("unix", path)) => path,
            Some((scheme, _)) => return Err(EndpointError::Scheme(scheme.to_owned())),
            None => text,
        };
        if !path.starts_with('/') {
            return Err(EndpointError::NotAbsolute(text.to_owned()));
        }
        if path.len() > PATH_LIMIT_BYTES || path.contains('\0') {
            return Err(EndpointError::Path(text.to_owned()));
        }
        Ok(Endpoint(PathBuf::from(path)))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unix://{}", self.0.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_socket_with_an_absolute_path() {
        let check = |text: &str, expected: Result<&str, EndpointError>| {
            let found = text.parse::<Endpoint>().map(|endpoint| endpoint.to_string());
            assert_eq!(found, expected.map(str::to_owned), "{text}");
        };
        check("unix:///run/crio/crio.sock", Ok("unix:///run/crio/crio.sock"));
        check("/run/crio/crio.sock", Ok("unix:///run/crio/crio.sock"));
        for other in ["tcp", "npipe", "http", "UNIX"] {
            check(&format!("{other}://127.0.0.1:1"), Err(EndpointError::Scheme(other.into())));
        }
        for text in ["", "unix://", "unix://run/x", "run/x", "unix:/run/x", "~/x"] {
            check(text, Err(EndpointError::NotAbsolute(text.into())));
        }
        let longest = format!("/{}", "x".repeat(PATH_LIMIT_BYTES - 1));
        check(&longest, Ok(&format!("unix://{longest}")));
        for text in [longest + "x", "/run/\0".into()] {
            check(&text, Err(EndpointError::Path(text.clone())));
        }
    }

    #[test]
    fn a_refusal_says_what_would_do() {
        let error = "tcp://1.2.3.4:5".parse::<Endpoint>().unwrap_err();
        let said = "a runtime is reached by a Unix socket only, not by tcp: try unix:///run/containerd/containerd.sock";
        assert_eq!(error.to_string(), said);
    }
}
