//! The server at the other end: whether it answers, and whether it is one that this controller was tested with.

use std::time::Duration;

use everynode_client::{Backoff, Client};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::Error;

/// The minor versions of Kubernetes 1.x whose behaviour is known.
const TESTED_MINOR: std::ops::RangeInclusive<u32> = 32..=36;
/// The pauses between attempts to reach the server.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(15));

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    #[serde(default)]
    minor: String,
    #[serde(default)]
    git_version: String,
}

/// Waits until the server answers; false when cancelled before that.
///
/// # Errors
/// [`Error::Server`] when waiting does not help: the credentials are refused.
pub async fn wait_for_server(client: &Client, cancel: &CancellationToken) -> Result<bool, Error> {
    let (mut failures, mut said) = (0, String::new());
    loop {
        let Some(answer) = cancel.run_until_cancelled(client.get("/version")).await else { return Ok(false) };
        match answer {
            Ok(body) => {
                greet(client.server_url(), &body);
                return Ok(true);
            }
            Err(error) if matches!(error.code(), Some(401 | 403)) => return Err(Error::Server(error)),
            Err(error) => {
                let text = error.to_string();
                if text != said {
                    tracing::warn!("waiting for {}: {text}", client.server_url());
                    said = text;
                }
            }
        }
        failures += 1;
        if cancel.run_until_cancelled(tokio::time::sleep(BACKOFF.after(failures))).await.is_none() {
            return Ok(false);
        }
    }
}

fn greet(server: &str, body: &[u8]) {
    let version: Option<Version> = serde_json::from_slice(body).ok();
    match version {
        Some(version) if is_tested(&version.minor) => {
            tracing::info!(server, version = version.git_version, "connected");
        }
        Some(version) => tracing::warn!(
            server,
            version = version.git_version,
            "connected to a server of a version that this controller was not tested with (1.{} to 1.{} were)",
            TESTED_MINOR.start(),
            TESTED_MINOR.end()
        ),
        None => tracing::warn!(server, "connected to a server that does not tell its version"),
    }
}

/// Distributions write `36+` for a patched 36.
fn is_tested(minor: &str) -> bool {
    minor.trim_end_matches('+').parse().is_ok_and(|minor| TESTED_MINOR.contains(&minor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_outside_the_tested_ones_is_told_from_those_within() {
        for (minor, expected) in [("36", true), ("36+", true), ("31", false), ("99", false), ("", false)] {
            assert_eq!(is_tested(minor), expected, "{minor}");
        }
    }
}
