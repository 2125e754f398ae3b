//! Takes applied objects out again.

use std::time::Duration;

use everynode_client::Client;
use everynode_model::Value;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::apply::Target;
use super::sources::{Document, SourceError};

/// How often an object that is on its way out is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// What became of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// The object, as kubectl names it: `deployment.apps/agent`.
    pub object: String,
    /// Whether it was there.
    pub found: bool,
}

/// The object of a document as the cluster has it, and its name as kubectl gives it.
///
/// # Errors
/// The server's refusal; that the object is not there is none.
pub async fn live(client: &Client, document: &Document) -> Result<(String, Option<Value>), SourceError> {
    let target = target(client, document).await?;
    match client.get(&target.path()).await {
        Ok(bytes) => {
            let object = serde_json::from_slice(&bytes);
            let object = object.map_err(|error| refusal(document, &target, &error))?;
            Ok((target.title(), Some(object)))
        }
        Err(error) if error.is_not_found() => Ok((target.title(), None)),
        Err(error) => Err(refusal(document, &target, &error)),
    }
}

/// Deletes the object of a document, its dependents first, and waits until it is gone.
///
/// # Errors
/// The server's refusal, or that the object is still there after `limit`.
pub async fn remove(client: &Client, document: &Document, limit: Duration) -> Result<Removed, SourceError> {
    let target = target(client, document).await?;
    let options = json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Foreground"});
    let object = target.title();
    match client.delete(&target.path(), options.to_string()).await {
        Ok(_) => {}
        Err(error) if error.is_not_found() => return Ok(Removed { object, found: false }),
        Err(error) => return Err(refusal(document, &target, &error)),
    }
    let deadline = Instant::now() + limit;
    loop {
        match client.get(&target.path()).await {
            Err(error) if error.is_not_found() => return Ok(Removed { object, found: true }),
            Err(error) => return Err(refusal(document, &target, &error)),
            Ok(_) if Instant::now() >= deadline => {
                let waited = format!("deleted, but still there after {} s", limit.as_secs());
                return Err(refusal(document, &target, &waited));
            }
            Ok(_) => sleep(LOOK).await,
        }
    }
}

async fn target<'a>(client: &Client, document: &'a Document) -> Result<Target<'a>, SourceError> {
    let found = Target::find(client, &document.object).await;
    found.map_err(|message| SourceError { place: document.place.clone(), message })
}

fn refusal(document: &Document, target: &Target<'_>, why: &dyn std::fmt::Display) -> SourceError {
    SourceError { place: document.place.clone(), message: format!("{}: {why}", target.title()) }
}
