//! Headers and bodies.

use std::collections::HashSet;

use bytes::Bytes;
use everynode_apimachinery::status::Status;
use everynode_model::{Value, encode};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};

/// A response body: whole, or a stream, which may break off.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// Why a body broke off.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// The media type of everything that is not asked for in another form.
pub const JSON: &str = "application/json";

/// A body that is there already.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A response with a whole body.
pub fn respond(code: u16, content_type: &'static str, bytes: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(full(bytes));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

/// A JSON response, ended by a line feed as the API ends it.
pub fn json(code: u16, value: &Value) -> Response<Body> {
    let mut bytes = encode::to_vec(value);
    bytes.push(b'\n');
    respond(code, JSON, bytes)
}

/// A plain text response.
pub fn text(code: u16, message: impl Into<String>) -> Response<Body> {
    respond(code, "text/plain; charset=utf-8", message.into())
}

/// A refusal as a response.
pub fn refusal(status: &Status) -> Response<Body> {
    let mut response = json(status.code(), &status.to_value());
    let retry = status.details.as_ref().and_then(|details| details.get("retryAfterSeconds")?.as_u64());
    if let Some(seconds) = retry {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Sentences in `Warning` headers are quoted; this many bytes of them are sent at most.
const WARNING_BYTES: usize = 4_096;

/// Adds sentences as `Warning` headers, each once.
pub fn add_warnings(headers: &mut HeaderMap, warnings: &[String]) {
    let mut sent = 0;
    let mut seen = HashSet::new();
    for warning in warnings.iter().filter(|warning| seen.insert(warning.as_str())) {
        sent += warning.len();
        if sent > WARNING_BYTES {
            return;
        }
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"").replace(['\n', '\r'], " ");
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            headers.append(header::WARNING, value);
        }
    }
}

/// The plain 404 of a path that nobody serves.
pub fn not_found() -> Response<Body> {
    text(404, "404 page not found\n")
}

/// The text of a header, if it is one.
pub fn header_text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
