//! Requests for certificates are approved where roles let kubelets have them, signed when they are approved, and go when
//! they are old.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use everynode_apimachinery::resource::Resource;
use everynode_apimachinery::status::Status;
use everynode_model::access::Read as _;
use everynode_model::{Value, time};
use serde_json::json;
use tokio::sync::watch;

use crate::authn::User;
use crate::authz::{self, Decision};
use crate::catalog::Entry;
use crate::certificates::{self, GROUP, PLURAL, Request, Signer};
use crate::http::attributes::{self, Attributes};
use crate::meta;
use crate::objects::change::{self, Change};
use crate::objects::delete::{self, DeleteOptions};
use crate::state::State;
use crate::store::TableId;

/// How long a certificate lives where nothing shorter is asked for, and at least, in seconds.
const LIFE_SECONDS: i64 = 365 * 86_400;
const LEAST_SECONDS: i64 = 600;

/// How long requests are kept that something was decided about, and others, in seconds.
const DECIDED_SECONDS: i64 = 3_600;
const PENDING_SECONDS: i64 = 86_400;

/// How often old requests are looked for.
const INTERVAL: Duration = Duration::from_secs(600);

/// Looks after requests until the server stops.
pub async fn run(state: Arc<State>, mut stop: watch::Receiver<bool>) {
    let registry = state.catalog.registry();
    let Some(Entry { resource, table: Some(table) }) = registry.find(GROUP, "v1", PLURAL) else { return };
    loop {
        // The watch begins before the look, so that nothing falls in between.
        let watched = state.store.watch(*table, state.store.revision());
        settle(&state, resource, *table).await;
        let Ok(mut watcher) = watched else { continue };
        tokio::select! {
            () = watcher.ready() => {}
            () = tokio::time::sleep(INTERVAL) => {}
            _ = stop.wait_for(|stopped| *stopped) => return,
        }
    }
}

async fn settle(state: &State, resource: &Resource, table: TableId) {
    for (key, stored) in state.store.list(table, None).items {
        match settle_one(state, resource, table, &stored.value()).await {
            Ok(()) => {}
            Err(error) if error.code() == 404 => {}
            Err(error) => {
                tracing::warn!(request = &*key.1, error = error.message, "a request for a certificate waits");
            }
        }
    }
}

/// What is to be done about a request.
enum Step {
    Approve(&'static str),
    Issue(String),
    Fail(String),
}

async fn settle_one(
    state: &State,
    resource: &Resource,
    table: TableId,
    object: &Value,
) -> Result<(), Status> {
    let name = meta::text(object, "name");
    if is_old(object, state.now()) {
        let uid = Some(meta::text(object, "uid").to_owned());
        let options = DeleteOptions { uid, ..DeleteOptions::default() };
        return delete::delete(state, resource, "", name, &options).await.map(drop);
    }
    let Some(step) = step(state, object)? else { return Ok(()) };
    let now = time::format(state.now());
    let condition = |kind: &str, reason: &str, message: &str| {
        json!({
            "type": kind,
            "status": "True",
            "reason": reason,
            "message": message,
            "lastUpdateTime": now,
            "lastTransitionTime": now,
        })
    };
    let seen = object.get("status").cloned();
    let mut take = |object: &Value| {
        let mut object = object.clone();
        if object.get("status") != seen.as_ref() {
            return Ok(object);
        }
        let mut add = |condition: Value| {
            let mut conditions = object.items("status.conditions").to_vec();
            conditions.push(condition);
            object["status"]["conditions"] = conditions.into();
        };
        match &step {
            Step::Approve(message) => add(condition("Approved", "AutoApproved", message)),
            Step::Fail(why) => add(condition("Failed", "SignerValidationFailure", why)),
            Step::Issue(certificate) => {
                object["status"]["certificate"] = STANDARD.encode(certificate).into();
            }
        }
        Ok(object)
    };
    let how = Change::of(resource, table, "", name);
    change::apply(state, &how, &mut take, &mut Vec::new()).await.map(drop)
}

fn has(object: &Value, kind: &str) -> bool {
    object.items("status.conditions").iter().any(|condition| condition.text("type") == kind)
}

fn is_decided(object: &Value) -> bool {
    has(object, "Denied") || has(object, "Failed") || !object.text("status.certificate").is_empty()
}

fn is_old(object: &Value, now: i64) -> bool {
    let life = if is_decided(object) { DECIDED_SECONDS } else { PENDING_SECONDS };
    time::parse(meta::text(object, "creationTimestamp")).is_ok_and(|created| created + life < now)
}

fn step(state: &State, object: &Value) -> Result<Option<Step>, Status> {
    let Some(signer) = Signer::named(object.text("spec.signerName")) else { return Ok(None) };
    if is_decided(object) {
        return Ok(None);
    }
    let request = certificates::request_of(object).map_err(Status::internal)?;
    let usages = certificates::usages_of(object);
    let checked = signer.check(&request, &usages);
    if !has(object, "Approved") {
        let is_kubelet = signer == Signer::KubeletClient && checked.is_ok();
        return Ok(is_kubelet.then(|| approval(state, object, &request)).flatten().map(Step::Approve));
    }
    if let Err(why) = checked {
        return Ok(Some(Step::Fail(why)));
    }
    let asked = object.number_opt("spec.expirationSeconds").unwrap_or(LIFE_SECONDS);
    let seconds = asked.clamp(LEAST_SECONDS, LIFE_SECONDS);
    let authority = &state.credentials.authority;
    let certificate = certificates::sign(authority, &request, &usages, state.now(), seconds);
    certificate.map(|certificate| Some(Step::Issue(certificate))).map_err(Status::internal)
}

/// Why a kubelet gets its client certificate by itself: whoever asks is it, or is trusted to ask for any, and roles say so.
fn approval(state: &State, object: &Value, request: &Request) -> Option<&'static str> {
    let texts = |list: &str| object.items(list).iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let user = User {
        name: object.text("spec.username").to_owned(),
        groups: texts("spec.groups"),
        ..User::default()
    };
    let may = |subresource: &str| {
        let resource = attributes::Resource {
            group: GROUP.into(),
            version: "*".into(),
            resource: PLURAL.into(),
            subresource: subresource.into(),
            ..attributes::Resource::default()
        };
        let asked = Attributes { verb: "create".into(), path: String::new(), resource: Some(resource) };
        matches!(authz::decide(state, &user, &asked), Decision::Allowed(_))
    };
    if user.name == request.subject.common_name && may("selfnodeclient") {
        return Some("Auto approving self kubelet client certificate after SubjectAccessReview.");
    }
    may("nodeclient").then_some("Auto approving kubelet client certificate after SubjectAccessReview.")
}
