//! The front desk: takes a request, finds who asks and what for, and passes it on.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use everynode_wire::resource::Resource;
use everynode_wire::status::{Reason, Status};
use everynode_wire::{Value, encode};
use http::{HeaderValue, Request, Response, header};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::admission::ledger::Ledger;
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
use crate::panics::{Panic, contained_async};
use crate::pki::Pki;
use crate::store::{Draft, REVISION_PLACEHOLDER, ShelfId, Store, WriteError};
use crate::{discovery, meta, openapi, reviews, server};

/// How long a client that was turned away for load should wait, in seconds.
const RETRY_AFTER_SECONDS: u32 = 1;

/// How long a client may take over a body, from its first byte to its last.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of bodies that are in memory at the same time; others get 429.
const BODY_BYTES: usize = 256 << 20;

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
    /// Places of requests: of others, and of this process itself.
    in_flight: [Arc<Semaphore>; 2],
    /// Bytes that bodies may have in memory together.
    body_bytes: Arc<Semaphore>,
    /// Places of requests that keep a processor busy.
    heavy: Arc<Semaphore>,
    metrics: Metrics,
    ledger: Arc<Mutex<Ledger>>,
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
        let in_flight = [(); 2].map(|()| Arc::new(Semaphore::new(config.requests_in_flight)));
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Api {
            config,
            catalog,
            store,
            audit,
            token: pki.token.clone(),
            address,
            stop,
            in_flight,
            body_bytes: Arc::new(Semaphore::new(BODY_BYTES)),
            heavy: Arc::new(Semaphore::new((processors / 2).max(1))),
            metrics: Metrics::default(),
            ledger: Arc::default(),
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

    /// What pods take of quotas.
    pub(crate) fn ledger(&self) -> &Arc<Mutex<Ledger>> {
        &self.ledger
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

    /// Who sent a request, if it is anybody who is known.
    pub(crate) fn recognise(&self, connection: Connection, request: &Request<Incoming>) -> Option<User> {
        authn::authenticate(connection, request.headers(), &self.token)
    }

    /// Answers one request of a client that was [recognised](Self::recognise), or not.
    pub(crate) async fn serve(
        self: &Arc<Self>,
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
        self: &Arc<Self>,
        connection: Connection,
        user: Option<User>,
        request: Request<Incoming>,
    ) -> Response<Body> {
        let answered = match user {
            None if !authn::is_public(request.uri().path()) => Err(Status::unauthorized()),
            _ => contained_async(self.route(connection, user, request)).await.unwrap_or_else(broken),
        };
        answered.unwrap_or_else(|status| refuse(&status))
    }

    async fn route(
        self: &Arc<Self>,
        connection: Connection,
        user: Option<User>,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Status> {
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
                self.resource(connection, request, at, &segments[2..]).await
            }
            ["apis", group, version, _, ..] => {
                let at = GroupVersion { group, version };
                self.resource(connection, request, at, &segments[3..]).await
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
        let (bytes, _room) = self.read(request.into_body()).await?;
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
        self: &Arc<Self>,
        connection: Connection,
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
        let answered = self.carry_out(connection, request, target, query, verb).await;
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
        self: &Arc<Self>,
        connection: Connection,
        request: Request<Incoming>,
        target: Target,
        query: Query,
        verb: Verb,
    ) -> Result<Response<Body>, Status> {
        let form = Form::negotiate(header_text(&request, header::ACCEPT))?;
        let content_type = header_text(&request, header::CONTENT_TYPE).unwrap_or_default();
        let content_type = content_type.split(';').next().unwrap_or("").trim().to_owned();
        let shelf = target.shelf.ok_or_else(Status::unknown_path)?;
        let head = Head { target, shelf, verb, query, form, content_type };
        if verb == Verb::Watch {
            return handlers::watch::watch(&head.into_call(self));
        }
        // The body first: a slow one keeps no place that others wait for.
        let (bytes, room) = self.read(request.into_body()).await?;
        let place = self.in_flight[usize::from(connection.own)].clone().try_acquire_owned();
        let place = place.map_err(|_| busy())?;
        let is_heavy = head.is_heavy(self, bytes.len());
        let api = self.clone();
        let work = async move {
            let _places = (place, room);
            head.carry_out(&api, &bytes).await
        };
        let timeout = self.config.request_timeout;
        let limited = tokio::time::timeout(timeout, async {
            if is_heavy { self.apart(work).await } else { work.await }
        });
        limited.await.unwrap_or_else(|_| {
            let message = format!("request did not complete within {timeout:?}");
            Err(Status::new(Reason::Timeout, message))
        })
    }

    /// Does work that keeps a processor busy on a thread of its own, so that no other request waits behind it.
    async fn apart(
        &self,
        work: impl Future<Output = Result<Response<Body>, Status>> + Send + 'static,
    ) -> Result<Response<Body>, Status> {
        let place = self.heavy.clone().acquire_owned().await;
        let runtime = Handle::current();
        let done = tokio::task::spawn_blocking(move || {
            let _place = place;
            runtime.block_on(contained_async(work)).unwrap_or_else(broken)
        });
        done.await.unwrap_or_else(|error| Err(Status::internal(error)))
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

    /// Reads a body, and the room that it takes among those of all requests.
    async fn read(&self, body: Incoming) -> Result<(Bytes, Option<OwnedSemaphorePermit>), Status> {
        if body.is_end_stream() {
            return Ok((Bytes::new(), None));
        }
        let read = tokio::time::timeout(BODY_TIMEOUT, self.read_all(body)).await;
        read.unwrap_or_else(|_| {
            let message = format!("the body was not there within {BODY_TIMEOUT:?}");
            Err(Status::new(Reason::Timeout, message))
        })
    }

    async fn read_all(&self, mut body: Incoming) -> Result<(Bytes, Option<OwnedSemaphorePermit>), Status> {
        let limit = self.config.body_limit_bytes;
        let mut bytes = BytesMut::new();
        let mut room: Option<OwnedSemaphorePermit> = None;
        while let Some(frame) = body.frame().await {
            let frame =
                frame.map_err(|error| Status::bad_request(format!("the body cannot be read: {error}")))?;
            let Ok(data) = frame.into_data() else { continue };
            if bytes.len() + data.len() > limit {
                return Err(Status::too_large(limit));
            }
            let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
            let more = self.body_bytes.clone().try_acquire_many_owned(length).map_err(|_| busy())?;
            match &mut room {
                Some(room) => room.merge(more),
                None => room = Some(more),
            }
            bytes.extend_from_slice(&data);
        }
        Ok((bytes.freeze(), room))
    }
}

/// Bytes of bodies, or of an object to be changed, from which a request is worked on apart.
const HEAVY_BYTES: usize = 32 << 10;
/// The same of JSON patches: a short one can ask for many copies.
const HEAVY_JSON_PATCH_BYTES: usize = 512;

/// What a request says before its body.
struct Head {
    target: Target,
    shelf: ShelfId,
    verb: Verb,
    query: Query,
    form: Form,
    content_type: String,
}

impl Head {
    fn into_call(self, api: &Api) -> Call<'_> {
        Call {
            api,
            now: api.now(),
            warnings: self.target.resource.deprecation.iter().cloned().collect(),
            resource: self.target.resource,
            shelf: self.shelf,
            namespace: self.target.namespace,
            name: self.target.name.unwrap_or_default(),
            query: self.query,
            form: self.form,
            content_type: self.content_type,
        }
    }

    /// Whether a request with so long a body keeps a processor busy.
    fn is_heavy(&self, api: &Api, body_bytes: usize) -> bool {
        if body_bytes == 0 {
            return false;
        }
        let name = self.target.name.as_deref().unwrap_or_default();
        let changed = api.store.get(self.shelf, &self.target.namespace, name);
        let all = body_bytes + changed.map_or(0, |stored| stored.bytes().len());
        let is_json_patch = self.content_type == "application/json-patch+json";
        all >= HEAVY_BYTES || (is_json_patch && body_bytes >= HEAVY_JSON_PATCH_BYTES)
    }

    async fn carry_out(mut self, api: &Api, bytes: &[u8]) -> Result<Response<Body>, Status> {
        let (verb, subresource) = (self.verb, self.target.subresource.take());
        let mut call = self.into_call(api);
        match &subresource {
            None => handlers::main_resource(&mut call, verb, bytes).await,
            Some(name) => handlers::subresource(&mut call, verb, name, bytes).await,
        }
    }
}

/// The answer where a handler panicked: a bug, which ends this request only.
fn broken(panic: Panic) -> Result<Response<Body>, Status> {
    tracing::error!(%panic, "a request was given up");
    Err(Status::internal("the server made a mistake, which its log names"))
}

fn busy() -> Status {
    Status::too_many_requests("Too many requests, please try again later.", RETRY_AFTER_SECONDS)
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
