//! Subresources that are more than a part of their object.

use everynode_apimachinery::decode::Body as Expected;
use everynode_apimachinery::schema;
use everynode_apimachinery::status::{FieldError, Status};
use everynode_model::access::Read as _;
use everynode_model::{Condition, Conditions, Object, Phase, Value, time};
use http::Response;

use super::create::ensure_namespace;
use super::delete::options_of;
use super::{Call, NO_TABLE};
use crate::admission;
use crate::http::body::{self, Body};
use crate::http::query::{FieldValidation, WriteOptions};
use crate::http::verb::Verb;
use crate::objects::change::{self, Change};
use crate::objects::delete::{self, DeleteOptions};
use crate::{meta, view};

/// Answers a request about such a subresource.
pub async fn subresource(
    call: &mut Call<'_>,
    verb: Verb,
    name: &str,
    bytes: &[u8],
) -> Result<Response<Body>, Status> {
    match (&*call.resource.plural, name, verb) {
        ("pods", "binding", Verb::Create) => bind(call, bytes).await,
        ("pods", "eviction", Verb::Create) => evict(call, bytes).await,
        _ => Err(not_served(call, name)),
    }
}

fn not_served(call: &Call<'_>, name: &str) -> Status {
    let why = format!("{}/{name} is not served", &call.resource.plural);
    Status::new(everynode_apimachinery::status::Reason::Other(501), why)
}

fn success(code: u16) -> Response<Body> {
    let mut status = Object::new();
    status.insert("kind".into(), "Status".into());
    status.insert("apiVersion".into(), "v1".into());
    status.insert("metadata".into(), Value::Object(Object::new()));
    status.insert("status".into(), "Success".into());
    status.insert("code".into(), code.into());
    body::json(code, &Value::Object(status))
}

/// A body of a kind that is not the resource's own.
pub fn expected(
    group: &'static str,
    kind: &'static str,
    type_name: &str,
) -> Result<Expected<'static>, Status> {
    let ty = schema::type_named(type_name)
        .ok_or_else(|| Status::internal(format!("no schema for {type_name}")))?;
    Ok(Expected { group, version: "v1", kind, ty })
}

/// POST of `bindings`: puts the pod on a node that the body names.
pub async fn bind_named(call: &mut Call<'_>, bytes: &[u8]) -> Result<Response<Body>, Status> {
    let pods = call.state.catalog.registry();
    let pods = pods.find("", "v1", "pods").ok_or_else(Status::unknown_path)?;
    (call.resource, call.table) = (pods.resource.clone(), pods.table.unwrap_or(NO_TABLE));
    bind(call, bytes).await
}

/// POST of `pods/binding`: puts a pod on a node.
async fn bind(call: &mut Call<'_>, bytes: &[u8]) -> Result<Response<Body>, Status> {
    let options = WriteOptions::parse(&call.query, "CreateOptions")?;
    let expected = expected("", "Binding", "core.v1.Binding")?;
    let mut binding = call.read_body(&expected, bytes, options.field_validation)?;
    ensure_namespace(&mut binding, &call.resource, &call.namespace)?;
    if call.name.is_empty() {
        call.name = meta::text(&binding, "name").to_owned();
        if call.name.is_empty() {
            return Err(Status::bad_request("Name parameter required."));
        }
    }
    check_binding(&binding, &call.name)?;
    let node = binding.pointer("/target/name").and_then(Value::as_str).unwrap_or("").to_owned();
    let (name, now) = (call.name.clone(), call.now);
    let state = call.state;
    let mut bound = |pod: &Value| {
        let mut pod = bound(pod, &binding, &name, &node, now)?;
        everynode_admission::label_with_topology(&admission::StoreView(state), &mut pod);
        Ok(pod)
    };
    change::apply(
        call.state,
        &Change { dry_run: options.dry_run, ..call.change() },
        &mut bound,
        &mut Vec::new(),
    )
    .await?;
    Ok(success(201))
}

fn check_binding(binding: &Value, name: &str) -> Result<(), Status> {
    let target =
        |field: &str| binding.pointer(&format!("/target/{field}")).and_then(Value::as_str).unwrap_or("");
    let mut errors = Vec::new();
    if !matches!(target("kind"), "" | "Node") {
        errors.push(FieldError::not_supported("target.kind", target("kind"), &["Node", "<empty>"]));
    }
    if target("name").is_empty() {
        errors.push(FieldError::required("target.name", ""));
    }
    if errors.is_empty() { Ok(()) } else { Err(Status::invalid("", "Binding", name, &errors)) }
}

fn bound(pod: &Value, binding: &Value, name: &str, node: &str, now: i64) -> Result<Value, Status> {
    let conflict = |why: String| Err(Status::conflict("", "pods/binding", name, &why));
    let wanted = meta::text(binding, "uid");
    if !wanted.is_empty() && wanted != meta::text(pod, "uid") {
        return conflict(format!(
            "Precondition failed: UID in precondition: {wanted}, UID in object meta: {}",
            meta::text(pod, "uid")
        ));
    }
    if meta::has(pod, "deletionTimestamp") {
        return conflict(format!("pod {name} is being deleted, cannot be assigned to a host"));
    }
    match pod.pointer("/spec/nodeName").and_then(Value::as_str) {
        Some(present) if !present.is_empty() => {
            return conflict(format!("pod {name} is already assigned to node \"{present}\""));
        }
        _ => {}
    }
    if pod.pointer("/spec/schedulingGates").and_then(Value::as_array).is_some_and(|gates| !gates.is_empty()) {
        return conflict(format!("pod {name} has non-empty .spec.schedulingGates"));
    }
    let mut pod = pod.clone();
    if let Some(spec) = pod.get_mut("spec").and_then(Value::as_object_mut) {
        spec.insert("nodeName".into(), node.into());
    }
    for field in ["labels", "annotations"] {
        merge_texts(&mut pod, binding, field);
    }
    set_condition(&mut pod, "PodScheduled", None, now);
    if let Some(status) = pod.get_mut("status").and_then(Value::as_object_mut) {
        // The node that a scheduler had in mind is known now.
        status.shift_remove("nominatedNodeName");
    }
    Ok(pod)
}

fn merge_texts(pod: &mut Value, binding: &Value, field: &str) {
    let Some(added) = binding.pointer(&format!("/metadata/{field}")).and_then(Value::as_object) else {
        return;
    };
    let Some(metadata) = meta::fields(pod) else { return };
    let present = metadata.entry(field).or_insert_with(|| Value::Object(Object::new()));
    if let Some(present) = present.as_object_mut() {
        present.extend(added.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
}

/// Sets a condition that holds.
fn set_condition(pod: &mut Value, kind: &str, why: Option<(&str, &str)>, now: i64) {
    let Some(status) = pod.get_mut("status").and_then(Value::as_object_mut) else { return };
    let conditions = status.entry("conditions").or_insert_with(|| Value::Array(Vec::new()));
    let Some(conditions) = conditions.as_array_mut() else { return };
    let found = conditions.iter().position(|c| c.get("type").and_then(Value::as_str) == Some(kind));
    let mut condition = Object::new();
    condition.insert("type".into(), kind.into());
    condition.insert("status".into(), "True".into());
    condition.insert("lastProbeTime".into(), Value::Null);
    condition.insert("lastTransitionTime".into(), time::format(now).into());
    if let Some((reason, message)) = why {
        condition.insert("reason".into(), reason.into());
        condition.insert("message".into(), message.into());
    }
    match found {
        Some(at) => conditions[at] = Value::Object(condition),
        None => conditions.push(Value::Object(condition)),
    }
}

/// Notes on a pod that its end is an eviction.
async fn say_why(call: &Call<'_>, dry_run: bool) -> Result<(), Status> {
    let now = call.now;
    let mut note = |pod: &Value| {
        let mut pod = pod.clone();
        let why = ("EvictionByEvictionAPI", "Eviction API: evicting");
        set_condition(&mut pod, "DisruptionTarget", Some(why), now);
        Ok(pod)
    };
    change::apply(call.state, &Change { dry_run, ..call.change() }, &mut note, &mut Vec::new())
        .await
        .map(drop)
}

/// POST of `pods/eviction`: a deletion that disruption budgets may refuse.
async fn evict(call: &mut Call<'_>, bytes: &[u8]) -> Result<Response<Body>, Status> {
    let expected = expected("policy", "Eviction", "policy.v1.Eviction")?;
    let eviction = call.read_body(&expected, bytes, FieldValidation::Ignore)?;
    let named = meta::text(&eviction, "name");
    if !named.is_empty() && named != call.name {
        return Err(Status::bad_request("name in URL does not match name in Eviction object"));
    }
    let given = eviction.get("deleteOptions").cloned().unwrap_or_default();
    let options = options_of(&given)?;
    let pod = view::decode(&call.resource, call.find()?.bytes());
    let dry_run = options.dry_run || !call.query.all("dryRun").is_empty();
    if !may_go_freely(&pod) {
        spend_budget(call, &pod, dry_run).await?;
    }
    say_why(call, dry_run).await?;
    let options =
        DeleteOptions { dry_run: options.dry_run || !call.query.all("dryRun").is_empty(), ..options };
    delete::delete(call.state, &call.resource, &call.namespace, &call.name, &options).await?;
    Ok(success(201))
}

/// Pods that have ended, were never placed or are being deleted are no disruption.
fn may_go_freely(pod: &Value) -> bool {
    let was_placed = matches!(Phase::of(pod), Phase::Running | Phase::Unknown);
    meta::has(pod, "deletionTimestamp") || !was_placed
}

/// Takes one allowed disruption from the budget that covers the pod, or refuses with 429.
async fn spend_budget(call: &Call<'_>, pod: &Value, dry_run: bool) -> Result<(), Status> {
    let budgets = budgets_of(call, pod)?;
    let (budget, more) = match budgets.as_slice() {
        [] => return Ok(()),
        [one] => (one, false),
        [first, ..] => (first, true),
    };
    if more {
        return Err(Status::internal(
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
        ));
    }
    let Some(resource) = everynode_apimachinery::resource_for("policy", "v1", "poddisruptionbudgets") else {
        return Ok(());
    };
    let Some(table) = call.state.catalog.table(resource) else { return Ok(()) };
    let (pod_name, now) = (call.name.clone(), call.now);
    let mut spend = |budget: &Value| {
        if !is_guarded(pod, budget) {
            return Ok(budget.clone());
        }
        let allowed = allowed_disruptions(budget)?;
        let mut budget = budget.clone();
        if let Some(status) = budget.get_mut("status").and_then(Value::as_object_mut) {
            status.insert("disruptionsAllowed".into(), (allowed - 1).into());
            let disrupted = status.entry("disruptedPods").or_insert_with(|| Value::Object(Object::new()));
            if let Some(disrupted) = disrupted.as_object_mut() {
                disrupted.insert(pod_name.clone(), time::format(now).into());
            }
        }
        Ok(budget)
    };
    let how = Change { dry_run, ..Change::of(resource, table, &call.namespace, budget) };
    change::apply(call.state, &how, &mut spend, &mut Vec::new()).await.map(drop)
}

/// Whether a pod may go only as its budget allows: one that is not ready counts for nothing, and need not wait where
/// spec.unhealthyPodEvictionPolicy says so, or while enough others are healthy.
fn is_guarded(pod: &Value, budget: &Value) -> bool {
    let is_ready = Conditions::of(pod).ready().is_some_and(Condition::is_true);
    let desired = budget.number("status.desiredHealthy");
    let has_enough = desired > 0 && budget.number("status.currentHealthy") >= desired;
    let always = budget.text("spec.unhealthyPodEvictionPolicy") == "AlwaysAllow";
    is_ready || !(always || has_enough)
}

/// How long a client should wait until the budget has been counted, in seconds.
const COUNTED_AFTER_SECONDS: u32 = 10;

/// How many disruptions a budget allows, at least one, or the refusal.
fn allowed_disruptions(budget: &Value) -> Result<i64, Status> {
    let name = meta::text(budget, "name");
    if budget.number("status.observedGeneration") < budget.number("metadata.generation") {
        let why = format!("The disruption budget {name} is still being processed by the server.");
        return Err(Status::disruption_budget(&why, COUNTED_AFTER_SECONDS));
    }
    let allowed = budget.number("status.disruptionsAllowed");
    if allowed > 0 {
        return Ok(allowed);
    }
    let mut conditions = budget.items("status.conditions").iter();
    let failed = conditions.find(|one| one["reason"] == "SyncFailed" && one["status"] == "False");
    let why = match failed.and_then(|one| one["message"].as_str()) {
        Some(message) => format!(
            "The disruption budget {name} does not allow evicting pods currently because it failed sync: {message}"
        ),
        None => {
            let (needed, healthy) =
                (budget.number("status.desiredHealthy"), budget.number("status.currentHealthy"));
            format!("The disruption budget {name} needs {needed} healthy pods and has {healthy} currently")
        }
    };
    Err(Status::disruption_budget(&why, 0))
}

/// The names of the disruption budgets that select a pod.
fn budgets_of(call: &Call<'_>, pod: &Value) -> Result<Vec<String>, Status> {
    let Some(table) = call.state.catalog.table_named("policy", "v1", "poddisruptionbudgets") else {
        return Ok(Vec::new());
    };
    let listing = call.state.store.list(table, Some(&call.namespace));
    let mut names = Vec::new();
    for (key, stored) in &listing.items {
        let budget = stored.value();
        let selector = budget.pointer("/spec/selector").cloned().unwrap_or_default();
        if crate::selection::selects(&selector, pod)? {
            names.push(key.1.to_string());
        }
    }
    Ok(names)
}
