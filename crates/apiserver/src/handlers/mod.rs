//! One set of handlers for all kinds, driven by the resource table. Each is a function of a call.

mod apply;
mod call;
mod change;
mod components;
pub mod connect;
mod create;
mod delete;
mod list;
mod pods;
mod reviews;
mod scale;
mod token;
mod usage;
mod watch;

use everynode_apimachinery::kinds::METRICS;
use everynode_apimachinery::status::Status;
use http::Response;

pub use call::{Call, NO_TABLE};
pub use watch::watch;

use crate::certificates;
use crate::http::body::Body;
use crate::http::verb::Verb;
use crate::objects::change::Part;

/// Answers a request about a resource or, where one is named, a subresource of it.
pub async fn answer(
    call: &mut Call<'_>,
    verb: Verb,
    subresource: Option<&str>,
    bytes: &[u8],
) -> Result<Response<Body>, Status> {
    let part = match subresource {
        None if call.table == NO_TABLE => return unstored(call, verb, bytes).await,
        None => Part::Main,
        Some("status") => Part::Status,
        Some("finalize") => Part::Finalize,
        Some("approval") => Part::Approval,
        Some("resize") => Part::Resize,
        Some("ephemeralcontainers") => Part::EphemeralContainers,
        Some("scale") => return scale::subresource(call, verb, bytes).await,
        Some("token") => return token::create(call, bytes),
        Some(name) => return pods::subresource(call, verb, name, bytes).await,
    };
    if let Some(right) = certificates::right_for(&call.resource, part).filter(|_| verb != Verb::Get) {
        certificates::check_signer(call.state, &call.user, right, &call.find()?.value())?;
    }
    match verb {
        Verb::Get => call.find().map(|stored| call.answer_stored(200, &stored)),
        Verb::Update => change::update(call, part, bytes).await,
        Verb::Patch => change::patch(call, part, bytes).await,
        _ if part != Part::Main => Err(Status::method_not_allowed()),
        Verb::Create if !call.name.is_empty() => Err(Status::method_not_allowed()),
        Verb::Create => create::create(call, bytes).await,
        Verb::List => list::list(call).await,
        Verb::Watch => watch(call),
        Verb::Delete => delete::delete(call, bytes).await,
        Verb::DeleteCollection => delete::delete_collection(call, bytes).await,
    }
}

/// Answers a request about a resource that keeps nothing.
async fn unstored(call: &mut Call<'_>, verb: Verb, bytes: &[u8]) -> Result<Response<Body>, Status> {
    match (&*call.resource.plural, verb) {
        _ if call.resource.group == METRICS => usage::answer(call, verb).await,
        ("bindings", Verb::Create) => pods::bind_named(call, bytes).await,
        ("componentstatuses", _) => components::answer(call, verb),
        (_, Verb::Create) => reviews::create(call, bytes),
        _ => Err(Status::method_not_allowed()),
    }
}
