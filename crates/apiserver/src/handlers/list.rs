//! Lists, whole and in pages.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use everynode_apimachinery::json;
use everynode_apimachinery::status::Status;
use everynode_model::{Object, Value, encode};
use http::Response;

use super::Call;
use crate::http::body::{self, Body};
use crate::http::query::{ListOptions, Match, bad_version};
use crate::store::{Key, PageError, PageStart};
use crate::view::{self, ListMeta};

/// How long a list waits for a version that has not been reached, unless it says otherwise.
const VERSION_WAIT: Duration = Duration::from_secs(3);

/// The version in the token of a list that goes on inconsistently.
const ANY_VERSION: i64 = -1;

/// GET of a collection.
pub async fn list(call: &Call<'_>) -> Result<Response<Body>, Status> {
    let options = ListOptions::parse(&call.query)?;
    let selection = call.selection()?;
    let start = options.continue_token.as_deref().map(|token| read_token(call, token)).transpose()?;
    let version = reach_version(call, &options).await?;
    let limit = match (options.limit, version) {
        (0, _) | (_, Some(0)) => usize::MAX,
        (limit, _) => limit,
    };
    let namespace = (!call.namespace.is_empty()).then_some(call.namespace.as_str());
    let exact = (options.version_match == Match::Exact).then_some(version).flatten();
    if let Some(exact) = exact
        && !call.state.store.unchanged_since(call.table, exact)
    {
        return Err(Status::expired("The resourceVersion for the provided list is too old."));
    }
    let matches = |stored: &crate::store::Stored| selection.matches(stored);
    let page = match call.state.store.page(call.table, namespace, start.as_ref(), limit, &matches) {
        Ok(page) => page,
        Err(PageError::Expired { .. }) => return Ok(expired(call, start)),
    };
    let more = page.remaining > 0;
    let revision = exact.unwrap_or(page.revision);
    let last = page.items.last().map(|(key, _)| key);
    let meta = ListMeta {
        revision,
        continue_token: last
            .filter(|_| more)
            .map(|key| token(i64::try_from(page.revision).unwrap_or(0), key)),
        remaining: (more && selection.is_everything()).then_some(page.remaining),
    };
    let items = page.items.iter().map(|(_, stored)| &**stored);
    Ok(call.answer(200, view::list(&call.resource, items, &meta, call.shape())))
}

/// Waits for the version that is asked for; gives it as a number.
async fn reach_version(call: &Call<'_>, options: &ListOptions) -> Result<Option<u64>, Status> {
    let Some(text) = options.resource_version.as_deref() else { return Ok(None) };
    let version: u64 = text
        .parse()
        .map_err(|_| Status::bad_request(format!("invalid resource version: {}", bad_version(text))))?;
    if options.continue_token.is_some() && version != 0 {
        return Err(Status::bad_request("specifying resource version is not allowed when using continue"));
    }
    let store = &call.state.store;
    let wait = options.timeout_seconds.map_or(VERSION_WAIT, |s| Duration::from_secs(s).min(VERSION_WAIT));
    if version > store.revision() && tokio::time::timeout(wait, store.reach(version)).await.is_err() {
        return Err(Status::too_large_resource_version(version, store.revision()));
    }
    Ok(Some(version))
}

fn token(revision: i64, last: &Key) -> String {
    let mut token = Object::new();
    token.insert("v".into(), "meta.k8s.io/v1".into());
    token.insert("rv".into(), revision.into());
    token.insert("start".into(), format!("{}/{}", last.0, last.1).into());
    URL_SAFE_NO_PAD.encode(encode::to_vec(&Value::Object(token)))
}

fn read_token(call: &Call<'_>, text: &str) -> Result<PageStart, Status> {
    let refuse =
        |why: &str| Status::bad_request(format!("invalid continue token: continue key is not valid: {why}"));
    let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|error| match error {
        base64::DecodeError::InvalidByte(at, _) => refuse(&format!("illegal base64 data at input byte {at}")),
        _ => refuse("illegal base64 data"),
    })?;
    let token = json::parse(&bytes).map_err(|error| refuse(&error.to_string()))?;
    let revision = token.get("rv").and_then(Value::as_i64).filter(|rv| *rv != 0);
    let start = token.get("start").and_then(Value::as_str).and_then(|start| start.split_once('/'));
    let (Some(revision), Some((namespace, name))) = (revision, start) else {
        return Err(refuse("incorrect encoded start resourceVersion (version meta.k8s.io/v1)"));
    };
    if !call.namespace.is_empty() && call.namespace != namespace {
        return Err(refuse("the key is not in the namespace of the request"));
    }
    Ok(PageStart { revision: u64::try_from(revision).ok(), after: (namespace.into(), name.into()) })
}

/// 410 with a token by which the list can go on inconsistently.
fn expired(call: &Call<'_>, start: Option<PageStart>) -> Response<Body> {
    let status = Status::expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new \
         list without the continue parameter, or use the continue token in this response to retrieve the \
         remainder of the results. Continuing with the provided token results in an inconsistent list - objects \
         that were created, modified, or deleted between the time the first chunk was returned and now may show \
         up in the list.",
    );
    let mut value = status.to_value();
    if let (Some(start), Some(metadata)) = (start, value.get_mut("metadata").and_then(Value::as_object_mut)) {
        metadata.insert("continue".into(), token(ANY_VERSION, &start.after).into());
    }
    tracing::debug!(resource = &*call.resource.plural, "a continue token has expired");
    body::json(status.code(), &value)
}
