//! Tokens by which registries hand images out, as the distribution specification has them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use form_urlencoded::Serializer;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use http_body_util::{BodyExt as _, Limited};
use serde::Deserialize;
use tokio::time::timeout;

use super::connect::Connector;
use super::{Credentials, UpstreamError, authority};

/// The longest answer with a token.
const ANSWER_LIMIT_BYTES: usize = 256 << 10;
/// How long it may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// How long a token holds of which that is not said, in seconds.
const DEFAULT_SECONDS: u64 = 60;
/// No token is kept longer.
const LONGEST_SECONDS: u64 = 3_600;
/// It is asked for anew so long before its end.
const MARGIN_SECONDS: u64 = 10;
/// Tokens that are kept.
const TOKENS_LIMIT: usize = 256;

/// Whose token: registry, repository, and who asked for it.
pub(super) type Key = (String, String, Option<Credentials>);

/// A token, and until when it is used.
pub(super) struct Token {
    value: HeaderValue,
    until: Instant,
}

/// Tokens that hold.
#[derive(Default)]
pub(super) struct Tokens(Mutex<HashMap<Key, Token>>);

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

impl Tokens {
    /// One that holds still.
    pub(super) fn get(&self, key: &Key) -> Option<HeaderValue> {
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.get(key).filter(|token| token.until > Instant::now()).map(|token| token.value.clone())
    }

    /// Keeps one, and gives its value.
    pub(super) fn put(&self, key: Key, token: Token) -> HeaderValue {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.len() >= TOKENS_LIMIT {
            let now = Instant::now();
            tokens.retain(|_, token| token.until > now);
        }
        let value = token.value.clone();
        if tokens.len() < TOKENS_LIMIT {
            tokens.insert(key, token);
        }
        value
    }
}

/// What gives tokens out, gives.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
    expires_in: Option<u64>,
}

/// Where a token is asked for.
fn question(realm: &Uri, service: Option<&str>, scope: &str) -> String {
    let mut query = Serializer::new(realm.query().unwrap_or_default().to_owned());
    if let Some(service) = service {
        query.append_pair("service", service);
    }
    query.append_pair("scope", scope);
    let (scheme, host) = (realm.scheme_str().unwrap_or("https"), authority(realm));
    format!("{scheme}://{host}{}?{}", realm.path(), query.finish())
}

/// Asks for a token; nothing where there is none for who asks.
pub(super) async fn ask_for_token(
    connector: &Connector,
    realm: &Uri,
    service: Option<&str>,
    scope: &str,
    credentials: Option<&Credentials>,
) -> Result<Option<Token>, UpstreamError> {
    let host = authority(realm).to_owned();
    let wrong = |why| UpstreamError::Protocol { registry: host.clone(), why };
    let uri = question(realm, service, scope);
    let uri: Uri = uri.parse().map_err(|_| wrong("gives tokens out at a place that is none"))?;
    let headers: HeaderMap = credentials.map(|one| (AUTHORIZATION, one.0.clone())).into_iter().collect();
    let answer = connector.send(Method::GET, &uri, headers).await?;
    match answer.status() {
        StatusCode::OK => {}
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Ok(None),
        status => return Err(UpstreamError::Answer { registry: host, status }),
    }
    let body = timeout(ANSWER_LIMIT, Limited::new(answer.into_body(), ANSWER_LIMIT_BYTES).collect()).await;
    let unread = || wrong("gives out a token that cannot be read");
    let body = body.map_err(|_| unread())?.map_err(|_| unread())?.to_bytes();
    let answer: Answer = serde_json::from_slice(&body).map_err(|_| unread())?;
    let token = if answer.token.is_empty() { answer.access_token } else { answer.token };
    let mut value: HeaderValue = format!("Bearer {token}").parse().map_err(|_| unread())?;
    value.set_sensitive(true);
    let seconds = answer.expires_in.unwrap_or(DEFAULT_SECONDS).min(LONGEST_SECONDS);
    let until = Instant::now() + Duration::from_secs(seconds.saturating_sub(MARGIN_SECONDS));
    Ok(Some(Token { value, until }))
}
