//! Which handler answers a request: by its path and its method, before its body is read.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use everynode_apimachinery::status::Status;
use http::{HeaderMap, Request, Response, Version, header};
use hyper::body::Incoming;

use crate::audit::Audit;
use crate::authn::{Client, User};
use crate::gate::Gate;
use crate::guide::Guide;
use crate::handlers::connect::{self, Passed, Way};
use crate::handlers::{self, Call, NO_TABLE};
use crate::http::accept::Form;
use crate::http::body::{self, Body, header_text};
use crate::http::query::{Query, manager_name};
use crate::http::target::{self, GroupVersion, Target, Unknown};
use crate::http::verb::Verb;
use crate::metrics::{RequestLabels, TEXT_FORMAT};
use crate::state::State;
use crate::store::TableId;
use crate::tokens;

/// Bytes of bodies, or of an object to be changed, from which a request is worked on apart.
const HEAVY_BYTES: usize = 32 << 10;
/// The same of JSON patches: a short one can ask for many copies.
const HEAVY_JSON_PATCH_BYTES: usize = 512;

/// What `/livez`, `/readyz` and `/healthz` look at: who answers is there, and so is the store that it holds.
const CHECKS: [&str; 2] = ["ping", "etcd"];

/// Passes requests on.
#[derive(Debug)]
pub struct Router {
    state: Arc<State>,
    audit: Option<Audit>,
    gate: Gate,
    guide: Guide,
}

impl Router {
    /// Passes the requests of an address on to the handlers of a state. `audit` is told what answers are about.
    pub fn new(state: Arc<State>, audit: Option<Audit>, address: SocketAddr) -> Router {
        let gate = Gate::new(&state.config);
        Router { state, audit, gate, guide: Guide::new(address) }
    }

    /// Answers a request that its client may make.
    ///
    /// # Errors
    /// The refusal.
    pub async fn route(&self, client: Client, request: Request<Incoming>) -> Result<Response<Body>, Status> {
        let segments = target::segments(request.uri().path());
        let parts: Vec<&str> = segments.iter().map(String::as_str).collect();
        match parts.as_slice() {
            [path @ ("livez" | "readyz" | "healthz"), ..] => Ok(health(path, request.uri().query())),
            ["metrics"] => Ok(body::respond(200, TEXT_FORMAT, self.metrics().await)),
            ["api", version, _, ..] => {
                let at = GroupVersion { group: "", version };
                self.resource(client, request, at, &segments[2..]).await
            }
            ["apis", group, version, _, ..] => {
                let at = GroupVersion { group, version };
                self.resource(client, request, at, &segments[3..]).await
            }
            [".well-known", "openid-configuration"] => {
                Ok(body::json(200, &tokens::discovery(self.guide.url())))
            }
            ["openid", "v1", "jwks"] => Ok(body::json(200, &tokens::keys(&self.state.credentials.key))),
            path => self.guide.answer(&self.state.catalog.registry(), path, request.headers()),
        }
    }

    async fn metrics(&self) -> String {
        let registry = self.state.catalog.registry();
        let audit = self.audit.as_ref().map(Audit::counters);
        let mut text = self.state.metrics.text(&self.state.store, &registry, audit);
        if let Some(others) = &self.state.config.figures {
            text.push_str(&others.text().await);
        }
        text
    }

    /// Answers a request about a resource, and counts it.
    async fn resource(
        &self,
        client: Client,
        request: Request<Incoming>,
        at: GroupVersion<'_>,
        rest: &[String],
    ) -> Result<Response<Body>, Status> {
        let target = match target::target(&self.state.catalog.registry(), at, rest) {
            Ok(target) => target,
            Err(Unknown::Path) => return Ok(body::not_found()),
            Err(Unknown::Resource) => return Err(Status::unknown_path()),
        };
        let query = Query::parse(request.uri().query());
        let verb = Verb::allowed(request.method(), &target, &query)?;
        let (resource, subresource) =
            (target.resource.clone(), target.subresource.clone().unwrap_or_default());
        let answered = self.carry_out(client, request, target, query, verb).await;
        let answered = match (answered, &resource.deprecation) {
            // A refusal says so too.
            (Err(status), Some(deprecation)) => {
                let mut response = body::refusal(&status);
                body::add_warnings(response.headers_mut(), std::slice::from_ref(deprecation));
                Ok(response)
            }
            (answered, _) => answered,
        };
        let code = answered.as_ref().map_or_else(Status::code, |response| response.status().as_u16());
        self.state.metrics.count(&RequestLabels {
            verb: verb.metric_name(),
            group: resource.group.to_string(),
            version: resource.version.to_string(),
            resource: resource.plural.to_string(),
            subresource,
            code,
        });
        answered
    }

    async fn carry_out(
        &self,
        client: Client,
        request: Request<Incoming>,
        target: Target,
        query: Query,
        verb: Verb,
    ) -> Result<Response<Body>, Status> {
        let mut head = Head::read(request.headers(), target, query)?;
        let is_audited = self.audit.is_some();
        if let Some(way) = Way::of(&head.target) {
            // Seldom, and with TLS large: all other requests would carry the room for it.
            return Box::pin(self.connect(client, request, head, way)).await;
        }
        if verb == Verb::Watch {
            return handlers::watch(&head.into_call(&self.state, client.user, is_audited));
        }
        // The body first: a slow one keeps no place that others wait for.
        let received = self.gate.receive(request.into_body()).await?;
        let place = self.gate.place(client.own)?;
        let is_heavy = head.is_heavy(&self.state, received.bytes().len());
        let state = self.state.clone();
        let work = async move {
            let _place = place;
            let subresource = head.target.subresource.take();
            let mut call = head.into_call(&state, client.user, is_audited);
            match handlers::answer(&mut call, verb, subresource.as_deref(), received.bytes()).await {
                // A refusal says too what was not understood.
                Err(status) if !call.warnings.is_empty() => {
                    let mut response = body::refusal(&status);
                    body::add_warnings(response.headers_mut(), &call.warnings);
                    Ok(response)
                }
                answered => answered,
            }
        };
        self.gate.work(is_heavy, work).await
    }

    /// Passes a request on to a kubelet. It has a place only until the answer begins: streams have places of their own.
    async fn connect(
        &self,
        client: Client,
        mut request: Request<Incoming>,
        head: Head,
        way: Way,
    ) -> Result<Response<Body>, Status> {
        let wants_upgrade =
            request.version() == Version::HTTP_11 && request.headers().contains_key(header::UPGRADE);
        let upgrade = wants_upgrade.then(|| hyper::upgrade::on(&mut request));
        let (parts, body) = request.into_parts();
        let received = match upgrade {
            Some(_) => None,
            None => Some(self.gate.receive(body).await?),
        };
        let place = self.gate.place(client.own)?;
        let passed = Passed {
            method: parts.method,
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            headers: parts.headers,
            upgrade,
            body: received.map(|received| Bytes::copy_from_slice(received.bytes())).unwrap_or_default(),
        };
        let (state, is_audited) = (self.state.clone(), self.audit.is_some());
        let work = async move {
            let _place = place;
            connect::connect(&head.into_call(&state, client.user, is_audited), way, passed).await
        };
        self.gate.work(false, work).await
    }
}

/// What a request about a resource says before its body.
struct Head {
    target: Target,
    table: TableId,
    query: Query,
    form: Form,
    content_type: String,
    agent: String,
}

impl Head {
    fn read(headers: &HeaderMap, target: Target, query: Query) -> Result<Head, Status> {
        let accept = header_text(headers, header::ACCEPT);
        // What is only sent, such as a review, has no rows.
        let has_rows = target.resource.verbs.contains(&"get");
        let form = if has_rows { Form::negotiate(accept)? } else { Form::negotiate_whole(accept)? };
        let content_type = header_text(headers, header::CONTENT_TYPE).unwrap_or_default();
        let content_type = content_type.split(';').next().unwrap_or("").trim().to_owned();
        let agent = manager_name(header_text(headers, header::USER_AGENT).unwrap_or_default());
        let table = target.table.unwrap_or(NO_TABLE);
        Ok(Head { target, table, query, form, content_type, agent })
    }

    fn into_call(self, state: &State, user: Arc<User>, is_audited: bool) -> Call<'_> {
        Call {
            state,
            user,
            is_audited,
            now: state.now(),
            warnings: self.target.resource.deprecation.iter().cloned().collect(),
            resource: self.target.resource,
            table: self.table,
            namespace: self.target.namespace,
            name: self.target.name.unwrap_or_default(),
            query: self.query,
            form: self.form,
            content_type: self.content_type,
            agent: self.agent,
        }
    }

    /// Whether a request with so long a body keeps a processor busy.
    fn is_heavy(&self, state: &State, body_bytes: usize) -> bool {
        if body_bytes == 0 {
            return false;
        }
        let name = self.target.name.as_deref().unwrap_or_default();
        let changed = state.store.get(self.table, &self.target.namespace, name);
        let all = body_bytes + changed.map_or(0, |stored| stored.bytes().len());
        let is_json_patch = self.content_type == "application/json-patch+json";
        all >= HEAVY_BYTES || (is_json_patch && body_bytes >= HEAVY_JSON_PATCH_BYTES)
    }
}

/// The answer about the server's health at `endpoint`: with `verbose` in the query, one line for each check.
fn health(endpoint: &str, query: Option<&str>) -> Response<Body> {
    if !Query::parse(query).truth("verbose") {
        return body::text(200, "ok");
    }
    let checks: String = CHECKS.iter().map(|check| format!("[+]{check} ok\n")).collect();
    body::text(200, format!("{checks}{endpoint} check passed\n"))
}
