//! The front desk: takes a request, finds who asks and what for, and passes it on.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use everynode_wire::resource::Resource;
use everynode_wire::status::Status;
use everynode_wire::{Value, encode};
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use tokio::sync::{MutexGuard, Semaphore, watch};

use crate::admission::quota::Ledger;
use crate::audit::{Audit, Subject};
use crate::authn::{self, Connection, User};
use crate::catalog::{Catalog, Registry, facts_of};
use crate::config::Config;
use crate::handlers::{self, Call, Verb};
use crate::http::accept::Form;
use crate::http::body::{self, Body};
use crate::http::query::Query;
use crate::http::target::{self, GroupVersion, Target, Unknown};
use crate::metrics::Metrics;
use crate::pki::Pki;
use crate::store::{Draft, REVISION_PLACEHOLDER, Store, WriteError};
use crate::{discovery, meta, openapi, reviews, server};

/// How long a client that was turned away for load should wait, in seconds.
const RETRY_AFTER_SECONDS: u32 = 1;

/// Everything that a request needs.
#[derive(Debug)]
pub struct Api {
    config: Config,
    catalog: Catalog,
    store: Store,
    audit: Option<Audit>,
    token: String,
    address: SocketAddr,
    stop: watch::Receiver<bool>,
    in_flight: Semaphore,
    metrics: Metrics,
    ledger: tokio::sync::Mutex<Ledger>,
    /// The documents of one generation of the registry.
    openapi: Mutex<Option<(u64, Arc<openapi::Documents>)>>,
}

impl Api {
    pub(crate) fn new(
        config: Config,
        catalog: Catalog,
        store: Store,
        audit: Option<Audit>,
        pki: &Pki,
        address: SocketAddr,
        stop: watch::Receiver<bool>,
    ) -> Api {
        let in_flight = Semaphore::new(config.requests_in_flight);
        Api {
            config,
            catalog,
            store,
            audit,
            token: pki.token.clone(),
            address,
            stop,
            in_flight,
            metrics: Metrics::default(),
            ledger: tokio::sync::Mutex::default(),
            openapi: Mutex::new(None),
        }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn audit(&self) -> Option<&Audit> {
        self.audit.as_ref()
    }

    /// Leaves a note for the audit log, if there is one, of the object that an answer is about.
    pub(crate) fn note(&self, response: &mut Response<Body>, subject: impl FnOnce() -> Option<Subject>) {
        if self.audit.is_some()
            && let Some(subject) = subject()
        {
            response.extensions_mut().insert(subject);
        }
    }

    pub(crate) fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// What pods take of quotas; who holds it counts alone.
    pub(crate) async fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().await
    }

    /// Turns true when the server stops.
    pub(crate) fn stopped(&self) -> watch::Receiver<bool> {
        self.stop.clone()
    }

    /// Unix time in seconds.
    pub(crate) fn now(&self) -> i64 {
        server::unix_seconds()
    }

    /// Encodes an object for the store, its fields in their order. The object keeps the order, and gets the
    /// stored form when its resource is a view on another one.
    pub(crate) fn draft(&self, resource: &Resource, object: &mut Value) -> Option<Draft> {
        let registry = self.catalog.registry();
        let stored_resource = registry.stored_form(resource);
        let converted = resource.stored_as.as_ref().map(|form| form.to_stored(object.clone()));
        let mut stored = converted.unwrap_or_else(|| std::mem::take(object));
        let before = meta::text(&stored, "resourceVersion").to_owned();
        meta::set(&mut stored, "resourceVersion", REVISION_PLACEHOLDER);
        if let Some(model) = stored_resource.model() {
            model.order(&mut stored);
        }
        let facts = facts_of(stored_resource, &stored);
        // The encoder escapes the brackets of the placeholder; the draft only looks for the field.
        let draft = Draft::new(encode::to_vec(&stored), facts);
        if resource.stored_as.is_none() {
            // Setting an empty version would move the field: the order is kept by writing in place.
            if let Some(version) = stored.pointer_mut("/metadata/resourceVersion") {
                *version = before.into();
            }
            *object = stored;
        }
        draft
    }

    /// The refusal for a write that did not happen.
    pub(crate) fn write_error(&self, resource: &Resource, name: &str, error: WriteError) -> Status {
        let (group, plural) = (&resource.group, &resource.plural);
        match error {
            WriteError::Exists => Status::already_exists(group, plural, name),
            WriteError::Changed => Status::modified(group, plural, name),
            WriteError::Missing => Status::not_found(group, plural, name),
            WriteError::ReadOnly(why) => {
                Status::internal(format!("the store takes no more writes, reads go on: {why}"))
            }
            WriteError::Closed => Status::unavailable("the server is shutting down"),
        }
    }

    /// Answers one request.
    pub(crate) async fn serve(&self, connection: Connection, request: Request<Incoming>) -> Response<Body> {
        let user = authn::authenticate(connection, request.headers(), &self.token);
        let Some(audit) = &self.audit else { return self.answer(user, request).await };
        let entry = audit.begin(connection, user, &request);
        let response = self.answer(user, request).await;
        audit.end(entry, response).await
    }

    async fn answer(&self, user: Option<User>, request: Request<Incoming>) -> Response<Body> {
        let answered = match user {
            None if !authn::is_public(request.uri().path()) => Err(Status::unauthorized()),
            _ => self.route(user, request).await,
        };
        answered.unwrap_or_else(|status| refuse(&status))
    }

    async fn route(&self, user: Option<User>, request: Request<Incoming>) -> Result<Response<Body>, Status> {
        let segments = target::segments(request.uri().path());
        let parts: Vec<&str> = segments.iter().map(String::as_str).collect();
        match parts.as_slice() {
            ["livez" | "readyz" | "healthz", ..] => Ok(body::text(200, "ok")),
            ["version"] => Ok(body::json(200, &discovery::version())),
            ["api"] if wants_aggregated(&request) => Ok(aggregated(&self.catalog.registry(), &request, true)),
            ["apis"] if wants_aggregated(&request) => {
                Ok(aggregated(&self.catalog.registry(), &request, false))
            }
            ["api"] => Ok(body::json(200, &discovery::api_versions(self.address))),
            ["apis"] => Ok(body::json(200, &discovery::group_list(&self.catalog.registry()))),
            ["metrics"] => Ok(body::text(200, self.metrics_text())),
            ["apis", group, "v1", plural] if is_review(group, plural) => {
                let (group, plural) = ((*group).to_owned(), (*plural).to_owned());
                self.review(user, request, &group, &plural).await
            }
            ["openapi", "v2"] => self.openapi_two(&request),
            ["openapi", "v3"] => Ok(body::json(200, &self.openapi().index())),
            ["openapi", "v3", "api", version] => {
                Ok(schema_document(self.openapi().group_document("", version)))
            }
            ["openapi", "v3", "apis", group, version] => {
                Ok(schema_document(self.openapi().group_document(group, version)))
            }
            ["apis", group] => Ok(document(discovery::group(&self.catalog.registry(), group))),
            ["api", version] => Ok(document(discovery::resource_list(&self.catalog.registry(), "", version))),
            ["apis", group, version] => {
                Ok(document(discovery::resource_list(&self.catalog.registry(), group, version)))
            }
            ["api", version, _, ..] => {
                let at = GroupVersion { group: "", version };
                self.resource(request, at, &segments[2..]).await
            }
            ["apis", group, version, _, ..] => {
                let at = GroupVersion { group, version };
                self.resource(request, at, &segments[3..]).await
            }
            _ => Ok(body::text(404, "404 page not found\n")),
        }
    }

    async fn review(
        &self,
        user: Option<User>,
        request: Request<Incoming>,
        group: &str,
        plural: &str,
    ) -> Result<Response<Body>, Status> {
        if request.method() != http::Method::POST {
            return Err(Status::method_not_allowed());
        }
        let user = user.ok_or_else(Status::unauthorized)?;
        let bytes = self.read(request.into_body()).await?;
        let answer = reviews::review(group, plural, &bytes, user).ok_or_else(Status::unknown_path)?;
        Ok(body::json(201, &answer))
    }

    /// The documents of what is served now; made anew when that has changed.
    fn openapi(&self) -> Arc<openapi::Documents> {
        let registry = self.catalog.registry();
        let mut kept = self.openapi.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some((generation, documents)) if *generation == registry.generation() => documents.clone(),
            _ => {
                let made = Arc::new(openapi::Documents::of(&registry));
                *kept = Some((registry.generation(), made.clone()));
                made
            }
        }
    }

    /// The counters.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    fn metrics_text(&self) -> String {
        let audit = self.audit.as_ref().map(Audit::counters);
        self.metrics.text(&self.store, &self.object_counts(), audit)
    }

    fn object_counts(&self) -> Vec<(String, usize)> {
        let registry = self.catalog.registry();
        let name = |resource: &Resource| match &*resource.group {
            "" => resource.plural.clone().into_owned(),
            group => format!("{}.{group}", &resource.plural),
        };
        registry.shelves().map(|(shelf, resource)| (name(resource), self.store.count(shelf))).collect()
    }

    async fn resource(
        &self,
        request: Request<Incoming>,
        at: GroupVersion<'_>,
        rest: &[String],
    ) -> Result<Response<Body>, Status> {
        let target = match target::target(&self.catalog.registry(), at, rest) {
            Ok(target) => target,
            Err(Unknown::Path) => return Ok(body::text(404, "404 page not found\n")),
            Err(Unknown::Resource) => return Err(Status::unknown_path()),
        };
        let query = Query::parse(request.uri().query());
        let verb = self.verb(&request, &target, &query)?;
        let (resource, subresource) =
            (target.resource.clone(), target.subresource.clone().unwrap_or_default());
        let answered = self.carry_out(request, target, query, verb).await;
        let code = answered.as_ref().map_or_else(Status::code, |response| response.status().as_u16());
        let text = |text: &str| text.to_owned();
        let series = (
            verb.name(),
            text(&resource.group),
            text(&resource.version),
            text(&resource.plural),
            subresource,
            code,
        );
        self.metrics.count(series);
        answered
    }

    async fn carry_out(
        &self,
        request: Request<Incoming>,
        target: Target,
        query: Query,
        verb: Verb,
    ) -> Result<Response<Body>, Status> {
        let form = Form::negotiate(header_text(&request, header::ACCEPT))?;
        let content_type = header_text(&request, header::CONTENT_TYPE).unwrap_or_default();
        let content_type = content_type.split(';').next().unwrap_or("").trim().to_owned();
        let Some(shelf) = target.shelf else {
            return Err(Status::unknown_path());
        };
        let mut call = Call {
            api: self,
            resource: target.resource.clone(),
            shelf,
            namespace: target.namespace,
            name: target.name.unwrap_or_default(),
            query,
            form,
            content_type,
            now: self.now(),
            warnings: target.resource.deprecation.iter().cloned().collect(),
        };
        if verb == Verb::Watch {
            return handlers::watch::watch(&call);
        }
        let Ok(_permit) = self.in_flight.try_acquire() else {
            let message = "Too many requests, please try again later.";
            return Err(Status::too_many_requests(message, RETRY_AFTER_SECONDS));
        };
        let work = async {
            let bytes = self.read(request.into_body()).await?;
            match &target.subresource {
                None => handlers::main_resource(&mut call, verb, &bytes).await,
                Some(name) => handlers::subresource(&mut call, verb, name, &bytes).await,
            }
        };
        let timeout = self.config.request_timeout;
        tokio::time::timeout(timeout, work).await.unwrap_or_else(|_| {
            let message = format!("request did not complete within {timeout:?}");
            Err(Status::new(everynode_wire::status::Reason::Timeout, message))
        })
    }

    /// OpenAPI v2 in the first form of the header that there is, JSON or protobuf.
    fn openapi_two(&self, request: &Request<Incoming>) -> Result<Response<Body>, Status> {
        let accept = header_text(request, header::ACCEPT).unwrap_or("*/*");
        let document = || openapi::whole(&self.catalog.registry());
        accept
            .split(',')
            .find_map(|clause| match clause.split(';').next().unwrap_or_default().trim() {
                body::JSON | "application/*" | "*/*" => Some(body::json(200, &document())),
                openapi::binary::ACCEPTED => {
                    Some(body::respond(200, openapi::binary::SENT, openapi::binary::document(&document())))
                }
                _ => None,
            })
            .ok_or_else(|| Status::not_acceptable(&[body::JSON]))
    }

    /// The verb, if the resource or subresource has it.
    fn verb(&self, request: &Request<Incoming>, target: &Target, query: &Query) -> Result<Verb, Status> {
        let verb = Verb::of(request.method(), target, query).ok_or_else(Status::method_not_allowed)?;
        let verbs = match &target.subresource {
            None => target.resource.verbs,
            Some(name) => target.resource.subresource(name).ok_or_else(Status::unknown_path)?.verbs,
        };
        let creates_named = verb == Verb::Create && target.name.is_some() && target.subresource.is_none();
        // Across all namespaces objects are only read.
        let changes_all =
            matches!(verb, Verb::Create | Verb::DeleteCollection) && target.is_across_namespaces();
        if creates_named || changes_all || !verbs.contains(&verb.name()) {
            return Err(Status::method_not_allowed());
        }
        Ok(verb)
    }

    async fn read(&self, incoming: Incoming) -> Result<Bytes, Status> {
        let limit = self.config.body_limit_bytes;
        match Limited::new(incoming, limit).collect().await {
            Ok(collected) => Ok(collected.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(Status::too_large(limit)),
            Err(error) => Err(Status::bad_request(format!("the body cannot be read: {error}"))),
        }
    }
}

fn is_review(group: &str, plural: &str) -> bool {
    discovery::REVIEWS.iter().any(|review| review.0 == group && review.1 == plural)
}

fn header_text(request: &Request<Incoming>, name: header::HeaderName) -> Option<&str> {
    request.headers().get(name).and_then(|value| value.to_str().ok())
}

/// A discovery document, or the plain 404 of a path that nobody serves.
fn document(found: Option<Value>) -> Response<Body> {
    found.map_or_else(|| body::text(404, "404 page not found\n"), |value| body::json(200, &value))
}

fn schema_document(found: Option<Bytes>) -> Response<Body> {
    found.map_or_else(|| document(None), |bytes| body::respond(200, body::JSON, bytes))
}

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

fn wants_aggregated(request: &Request<Incoming>) -> bool {
    header_text(request, header::ACCEPT).is_some_and(|accept| {
        accept.split(',').any(|clause| {
            let has = |parameter: &str| clause.split(';').any(|part| part.trim() == parameter);
            has("as=APIGroupDiscoveryList") && has("v=v2") && has("application/json")
        })
    })
}

/// Aggregated discovery, or 304 when the client has it already.
fn aggregated(registry: &Registry, request: &Request<Incoming>, core: bool) -> Response<Body> {
    let value = discovery::aggregated(registry, core);
    let etag = discovery::etag(&value);
    let known = header_text(request, header::IF_NONE_MATCH) == Some(etag.as_str());
    let mut response = if known { body::respond(304, AGGREGATED, "") } else { body::json(200, &value) };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(AGGREGATED));
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        headers.insert(header::ETAG, etag);
    }
    response
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
