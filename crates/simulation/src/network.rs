//! Between clients and the model server.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use everynode_client::{AnswerBody, Client, Error, Fence, Transport};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{Request, Response};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use serde_json::json;
use tower::util::BoxCloneSyncService;

use crate::actor::{Actor, Part};
use crate::faults::{Fate, Silence};
use crate::injected::Fault;
use crate::metrics;
use crate::model::{Feed, Key, Kind, Refusal, Target, Verb};
use crate::watching::Watching;
use crate::world::{Shared, lock};

/// A client of the model, for this actor.
pub(crate) fn client(shared: &Shared, actor: &Actor) -> Client {
    let (world, actor) = (shared.clone(), actor.clone());
    let name = actor.name.clone();
    let service = tower::service_fn(move |request| serve(world.clone(), actor.clone(), request));
    let clock = lock(shared).clock.clone();
    Client::over(Transport::from(BoxCloneSyncService::new(service)), clock, "http://model")
        .with_user_agent(&name)
}

async fn serve(
    shared: Shared,
    actor: Actor,
    request: Request<Full<Bytes>>,
) -> Result<Response<AnswerBody>, Error> {
    let dead = actor.dead.clone();
    match dead.run_until_cancelled(travel(shared, actor, request)).await {
        Some(answer) => answer,
        // A crashed process is told nothing; its task ends soon.
        None => std::future::pending().await,
    }
}

fn broken(what: &str, may_have_arrived: bool) -> Error {
    Error::Transport { message: what.to_owned(), hint: None, may_have_arrived }
}

/// One request, from its sender to the server and back.
async fn travel(
    shared: Shared,
    actor: Actor,
    request: Request<Full<Bytes>>,
) -> Result<Response<AnswerBody>, Error> {
    let (parts, body) = request.into_parts();
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(never) => match never {},
    };
    let path = parts.uri.path_and_query().map_or("", |path| path.as_str());
    if let Some(document) = discovery(path) {
        return Ok(answer(200, document));
    }
    if let Some(namespace) = metrics::namespace_of(path) {
        return measure(&shared, &actor, namespace).await;
    }
    let target = match Target::read(&parts.method, path) {
        Ok(target) => target,
        Err(refusal) => return Ok(refused(&refusal)),
    };
    if target.kind == Kind::Policy && (actor.part == Part::Placement || !lock(&shared).serves_policies) {
        return Ok(refused(&Refusal::not_found(target.kind.plural(), &target.name)));
    }
    actor.let_go().await;
    // This is where bytes would go to the socket, which asks the fence again.
    if parts.extensions.get::<Fence>().is_some_and(|fence| !fence.is_open()) {
        return Err(Error::Fenced);
    }
    let (fate, there, back) = depart(&shared, &actor, &target);
    tokio::time::sleep(there).await;
    let content_type =
        parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let call = Call { target, content_type: content_type.to_owned(), body };
    let response = arrive(&shared, &actor, call, fate).await;
    tokio::time::sleep(back).await;
    actor.let_go().await;
    response
}

/// A question to the metrics server, which knows nothing of leaders.
async fn measure(shared: &Shared, actor: &Actor, namespace: &str) -> Result<Response<AnswerBody>, Error> {
    let (fate, latency) = {
        let world = &mut *lock(shared);
        let now = world.now_millis();
        let fate = world.faults.fate(&mut world.random, now, actor.is_controller(), false);
        (fate, world.faults.latency(&mut world.random, now))
    };
    tokio::time::sleep(latency).await;
    match fate {
        Fate::Served => {
            let measured = lock(shared).pod_metrics(namespace);
            Ok(measured.map_or_else(|refusal| refused(&refusal), |body| answer(200, body)))
        }
        Fate::Refused(code) => Ok(refused(&turned_away(code))),
        Fate::LostBefore | Fate::LostAfter(_) | Fate::Late(_) => Err(broken("connection refused", false)),
    }
}

/// The request leaves; what will become of it, and how long it takes each way.
fn depart(shared: &Shared, actor: &Actor, target: &Target) -> (Fate, Duration, Duration) {
    let mut world = lock(shared);
    let world = &mut *world;
    world.counts.requests += 1;
    let is_counted =
        actor.is_controller() && target.verb.is_write() && !matches!(target.kind, Kind::Event | Kind::Lease);
    if is_counted && world.injected.fault == Some(Fault::CrashAfterWrite(world.injected.writes)) {
        world.injected.fault = None;
        crash(world, actor);
    }
    world.sent(actor, target);
    let now = world.now_millis();
    let faults = world.faults.clone();
    let random = &mut world.random;
    let fate = faults.fate(random, now, actor.is_controller(), target.verb.is_write());
    let (there, back) = (faults.latency(random, now), faults.latency(random, now));
    if fate != Fate::Served {
        world.note(format_args!("{} {:?} {} meets {fate:?}", actor.name, target.verb, target.path()));
    }
    (fate, there, back)
}

fn crash(world: &mut crate::world::World, actor: &Actor) {
    world.note(format_args!("{} crashes", actor.name));
    world.injected.crash = true;
    actor.dead.cancel();
    world.alarm.notify_one();
}

struct Call {
    target: Target,
    content_type: String,
    body: Bytes,
}

/// The request is at the server, or would be.
async fn arrive(
    shared: &Shared,
    actor: &Actor,
    call: Call,
    fate: Fate,
) -> Result<Response<AnswerBody>, Error> {
    match fate {
        Fate::Served => carry_out(shared, actor, &call),
        Fate::Refused(code) => Ok(refused(&turned_away(code))),
        Fate::LostBefore => Err(broken("connection refused", false)),
        Fate::LostAfter(silence) => {
            // Whatever it was: nobody hears of it.
            let _ = carry_out(shared, actor, &call);
            match silence {
                Silence::Reset => Err(broken("connection reset by peer", true)),
                Silence::GatewayTimeout => {
                    Ok(refused(&Refusal::new(504, "Timeout", "the request did not complete")))
                }
                Silence::BadGateway => Ok(answer(502, Bytes::from_static(b"<html>Bad Gateway</html>"))),
                Silence::Forever => std::future::pending().await,
            }
        }
        Fate::Late(delay) => {
            let (shared, actor) = (shared.clone(), actor.clone());
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                if !(actor.dead.is_cancelled() && actor.takes_writes_along) {
                    let _ = carry_out(&shared, &actor, &call);
                }
            });
            Err(broken("connection reset by peer", true))
        }
    }
}

fn turned_away(code: u16) -> Refusal {
    match code {
        429 => Refusal::new(429, "TooManyRequests", "please try again later").retry_after(1),
        409 => {
            Refusal::conflict("the object has been modified; please apply your changes to the latest version")
        }
        503 => Refusal::new(503, "ServiceUnavailable", "apiserver is shutting down"),
        _ => Refusal::new(500, "InternalError", "failed calling webhook"),
    }
}

/// The server does what it is asked.
fn carry_out(shared: &Shared, actor: &Actor, call: &Call) -> Result<Response<AnswerBody>, Error> {
    let Call { target, content_type, body } = call;
    let mut world = lock(shared);
    let result = match target.verb {
        Verb::Get => {
            let key = Key::new(target.kind, &target.namespace, &target.name);
            let object = world.store.get(&key).map(|object| Bytes::from(object.to_string()));
            object.ok_or_else(|| Refusal::not_found(target.kind.plural(), &target.name))
        }
        Verb::List => {
            if actor.is_controller() && target.resource_version.is_some() {
                world.violated(format!("{} asks for a list that may be stale", actor.name));
            }
            let page_limit = world.faults.page_limit;
            let page_limit = if world.is_calm() { usize::MAX } else { page_limit };
            world.store.list(target, page_limit)
        }
        Verb::Watch => {
            drop(world);
            return Ok(watch(shared, actor, target));
        }
        _ => {
            let before = world.counts.writes;
            let result = world.write(actor, target, content_type, body);
            if world.counts.writes > before && actor.is_controller() {
                world.injected.writes += 1;
                let number = world.injected.writes;
                match world.injected.fault {
                    Some(Fault::CrashBeforeAnswer(at)) if at == number => crash(&mut world, actor),
                    Some(Fault::StaleRestart(at, seconds)) if at == number => {
                        world.injected.stale_until_millis = Some(world.now_millis() + seconds * 1000);
                        crash(&mut world, actor);
                    }
                    _ => {}
                }
            }
            result
        }
    };
    let code = if target.verb == Verb::Create { 201 } else { 200 };
    Ok(result.map_or_else(|refusal| refused(&refusal), |body| answer(code, body)))
}

fn watch(shared: &Shared, actor: &Actor, target: &Target) -> Response<AnswerBody> {
    let mut world = lock(shared);
    let refuses = world.faults.refuses_streamed_lists;
    if target.sends_initial_events && refuses == 1 {
        return refused(&Refusal::new(422, "Invalid", "sendInitialEvents is forbidden for watch"));
    }
    let feed = match Feed::open(&world.store, target) {
        Ok(_) if target.sends_initial_events && refuses == 2 => {
            let refusal = Refusal::new(403, "Forbidden", "the store does not report its progress");
            Err(refusal)
        }
        Ok(feed) => Ok(feed),
        // Servers say so in either way.
        Err(refusal) if refusal.code == 410 && world.random.bool() => Err(refusal),
        Err(refusal) => return refused(&refusal),
    };
    let watching = match feed {
        Ok(feed) => Watching::new(shared.clone(), actor.clone(), feed, target.timeout_seconds, &mut world),
        Err(refusal) => {
            let line = crate::watching::error_line(&refusal);
            let body = Full::new(line).map_err(|never: Infallible| match never {});
            return response(200, body.boxed_unsync());
        }
    };
    drop(world);
    let stream = futures::stream::unfold(watching, |mut watching| async move {
        let frame = watching.next().await?;
        Some((frame.map(Frame::data), watching))
    });
    response(200, StreamBody::new(stream).boxed_unsync())
}

fn response(code: u16, body: AnswerBody) -> Response<AnswerBody> {
    let mut response = Response::new(body);
    if let Ok(code) = http::StatusCode::from_u16(code) {
        *response.status_mut() = code;
    }
    response
}

fn answer(code: u16, body: Bytes) -> Response<AnswerBody> {
    response(code, Full::new(body).map_err(|never: Infallible| match never {}).boxed_unsync())
}

fn refused(refusal: &Refusal) -> Response<AnswerBody> {
    let mut response = answer(refusal.code, refusal.body());
    if let Some(seconds) = refusal.retry_after_seconds {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}

/// The discovery documents, as far as the loops read them.
fn discovery(path: &str) -> Option<Bytes> {
    let group = |name: &str| json!({"name": name, "preferredVersion": {"groupVersion": format!("{name}/v1"), "version": "v1"}});
    let group_name = match path {
        "/apis" => {
            let groups =
                json!({"kind": "APIGroupList", "groups": [group("apps"), group("coordination.k8s.io")]});
            return Some(Bytes::from(groups.to_string()));
        }
        "/api/v1" => "",
        "/apis/apps/v1" => "apps",
        "/apis/coordination.k8s.io/v1" => "coordination.k8s.io",
        _ => return None,
    };
    let kept = [Kind::Node, Kind::Pod, Kind::DaemonSet, Kind::Revision, Kind::Lease];
    let resources: Vec<_> = kept
        .into_iter()
        .filter(|kind| kind.group() == group_name)
        .map(|kind| {
            let verbs = ["create", "delete", "get", "list", "patch", "update", "watch"];
            json!({"name": kind.plural(), "kind": kind.name(), "namespaced": kind.is_namespaced(), "verbs": verbs})
        })
        .collect();
    Some(Bytes::from(json!({"kind": "APIResourceList", "resources": resources}).to_string()))
}
