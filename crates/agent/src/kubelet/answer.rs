//! Answers of the endpoint.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};

/// The body of an answer: whole, or a stream, which may break off.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// Why a body broke off.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// Why a request is not answered as its client wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The status code of HTTP.
    pub code: StatusCode,
    /// A sentence, as API servers and kubectl show it.
    pub message: String,
}

impl Refusal {
    /// With this status code and sentence.
    pub fn new(code: StatusCode, message: impl Into<String>) -> Refusal {
        Refusal { code, message: message.into() }
    }

    /// What is asked for cannot be.
    pub fn bad_request(message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, message)
    }

    /// What is asked for is not here.
    pub fn not_found(message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::NOT_FOUND, message)
    }

    /// Something failed that nobody who asks can do anything about.
    pub fn internal(message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    /// As an answer.
    pub fn into_response(self) -> Response<Body> {
        let mut response = whole("text/plain; charset=utf-8", self.message);
        *response.status_mut() = self.code;
        response
    }
}

/// A body that is there already.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// An answer with a whole body.
pub fn whole(content_type: &'static str, bytes: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(full(bytes));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
