//! The front desk: takes a request, finds who asks, takes it down where that is wanted, and passes it on.

use everynode_apimachinery::status::Status;
use http::{HeaderValue, Request, Response, header};
use hyper::body::Incoming;

use crate::audit::Audit;
use crate::authn::{self, Connection, User};
use crate::http::body::{self, Body};
use crate::panics::contained_request;
use crate::router::Router;

/// Answers requests.
#[derive(Debug)]
pub struct Api {
    router: Router,
    audit: Option<Audit>,
    token: String,
}

impl Api {
    /// Lets those in who have the token, or a certificate.
    pub fn new(router: Router, audit: Option<Audit>, token: String) -> Api {
        Api { router, audit, token }
    }

    /// Who sent a request, if it is anybody who is known.
    pub fn recognise(&self, connection: Connection, request: &Request<Incoming>) -> Option<User> {
        authn::authenticate(connection, request.headers(), &self.token)
    }

    /// Answers one request of a client that was [recognised](Self::recognise), or not.
    pub async fn serve(
        &self,
        connection: Connection,
        user: Option<User>,
        request: Request<Incoming>,
    ) -> Response<Body> {
        let Some(audit) = &self.audit else { return self.answer(connection, user, request).await };
        let entry = audit.begin(connection, user, &request);
        let response = self.answer(connection, user, request).await;
        audit.end(entry, response).await
    }

    async fn answer(
        &self,
        connection: Connection,
        user: Option<User>,
        request: Request<Incoming>,
    ) -> Response<Body> {
        let answered = match user {
            None if !authn::is_public(request.uri().path()) => Err(Status::unauthorized()),
            _ => contained_request(self.router.route(connection, user, request)).await,
        };
        answered.unwrap_or_else(|status| refuse(&status))
    }
}

/// A refusal as a response.
fn refuse(status: &Status) -> Response<Body> {
    let mut response = body::json(status.code(), &status.to_value());
    let retry = status.details.as_ref().and_then(|details| details.get("retryAfterSeconds")?.as_u64());
    if let Some(seconds) = retry {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}
