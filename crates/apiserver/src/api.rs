//! The front desk: takes a request, finds who asks, takes it down where that is wanted, and passes it on.

use std::sync::Arc;

use everynode_apimachinery::status::Status;
use http::{HeaderMap, Request, Response};
use hyper::body::Incoming;

use crate::audit::Audit;
use crate::authn::{self, ANONYMOUS, Client, Connection, User};
use crate::authz;
use crate::http::attributes::Attributes;
use crate::http::body::{self, Body};
use crate::panics::contained_request;
use crate::router::Router;
use crate::state::State;

/// Answers requests.
#[derive(Debug)]
pub struct Api {
    state: Arc<State>,
    router: Router,
    audit: Option<Audit>,
}

impl Api {
    /// Lets those in whom the state knows.
    pub fn new(state: Arc<State>, router: Router, audit: Option<Audit>) -> Api {
        Api { state, router, audit }
    }

    /// Who sent a request, if it is anybody who is known.
    pub fn recognise(&self, connection: &Connection, request: &Request<Incoming>) -> Option<Arc<User>> {
        authn::authenticate(&self.state, connection, request.headers())
    }

    /// Answers one request of a client that was [recognised](Self::recognise), or not.
    pub async fn serve(
        &self,
        connection: &Connection,
        user: Option<Arc<User>>,
        request: Request<Incoming>,
    ) -> Response<Body> {
        let uri = request.uri();
        let attributes = Attributes::of(request.method(), uri.path(), uri.query());
        let entry = self
            .audit
            .as_ref()
            .map(|audit| (audit, audit.begin(connection.peer, user.clone(), &attributes, &request)));
        let response = self.answer(connection, user, &attributes, request).await;
        match entry {
            Some((audit, entry)) => audit.end(entry, response).await,
            None => response,
        }
    }

    async fn answer(
        &self,
        connection: &Connection,
        user: Option<Arc<User>>,
        attributes: &Attributes,
        request: Request<Incoming>,
    ) -> Response<Body> {
        let answered = match self.admit(user, attributes, request.headers()) {
            Ok(user) => {
                let client = Client { user, own: connection.own };
                contained_request(self.router.route(client, request)).await
            }
            Err(refused) => Err(refused),
        };
        answered.unwrap_or_else(|status| body::refusal(&status))
    }

    /// Lets a request pass that its user may make; what is public anybody may ask for.
    fn admit(
        &self,
        user: Option<Arc<User>>,
        attributes: &Attributes,
        headers: &HeaderMap,
    ) -> Result<Arc<User>, Status> {
        if authn::is_public(&attributes.path) {
            // Who shows a token that is not good is told so even where nobody needs one.
            return match user {
                None if authn::bearer_token(headers).is_some() => Err(Status::unauthorized()),
                user => Ok(user.unwrap_or_else(|| Arc::new(ANONYMOUS.clone()))),
            };
        }
        let user = user.ok_or_else(Status::unauthorized)?;
        let user = authn::impersonated(&self.state, user, headers)?;
        authz::authorize(&self.state, &user, attributes)?;
        Ok(user)
    }
}
