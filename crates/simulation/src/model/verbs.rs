//! Creations and changes.

use std::sync::Arc;

use bytes::Bytes;
use everynode_apimachinery::patch;
use everynode_client::{Clock, content_type};
use everynode_model::{Object, Value};
use serde_json::json;

use crate::clock::SimClock;
use crate::model::access::{is_bound_to, is_deleting, name, text};
use crate::model::store::encode;
use crate::model::{Change, Key, Kind, Refusal, Store, Target, Verb};

/// The annotation by which apps/v1 carries the template generation (specification K1).
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";
/// The letters of generated names.
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// What a write did.
#[derive(Debug)]
pub(crate) struct Done {
    /// The object as it now is, or last was.
    pub(crate) bytes: Bytes,
    /// `None` when nothing had to change.
    pub(crate) change: Option<Arc<Change>>,
}

impl Done {
    fn of(change: Arc<Change>) -> Done {
        Done { bytes: change.bytes.clone(), change: Some(change) }
    }
}

impl Store {
    /// Carries a write out.
    ///
    /// # Errors
    /// The refusal of the API server.
    pub(crate) fn write(
        &mut self,
        target: &Target,
        content_type: &str,
        body: &[u8],
        clock: &SimClock,
    ) -> Result<Done, Refusal> {
        if target.kind == Kind::Event {
            return Ok(Done { bytes: Bytes::copy_from_slice(body), change: None });
        }
        match target.verb {
            Verb::Delete => return self.delete(target, body, clock),
            Verb::Create if target.subresource == "binding" => return self.bind(target, body, clock),
            Verb::Create => return self.create(target, parse(body)?, clock),
            _ => {}
        }
        let key = Key::new(target.kind, &target.namespace, &target.name);
        let old =
            self.get(&key).ok_or_else(|| Refusal::not_found(target.kind.plural(), &target.name))?.clone();
        let sent = match target.verb {
            Verb::Patch => patched(target.kind, &old, content_type, body)?,
            _ => parse(body)?,
        };
        self.change(key, &old, sent, &target.subresource, clock)
    }

    fn bind(&mut self, target: &Target, body: &[u8], clock: &SimClock) -> Result<Done, Refusal> {
        let key = Key::new(Kind::Pod, &target.namespace, &target.name);
        let mut pod = self
            .get(&key)
            .map(|pod| (**pod).clone())
            .ok_or_else(|| Refusal::not_found("pods", &target.name))?;
        let binding = parse(body)?;
        let wanted = text(&binding, "/metadata/uid");
        if !wanted.is_empty() && wanted != text(&pod, "/metadata/uid") {
            return Err(Refusal::conflict("Precondition failed: UID in precondition: the binding's"));
        }
        if is_bound_to(&pod).is_some() || is_deleting(&pod) {
            return Err(Refusal::conflict("pod is assigned to a node already, or being deleted"));
        }
        pod["spec"]["nodeName"] = text(&binding, "/target/name").into();
        let now = everynode_model::time::format(clock.unix_millis().div_euclid(1000));
        pod["status"]["conditions"] =
            json!([{"type": "PodScheduled", "status": "True", "lastTransitionTime": now}]);
        Ok(Done::of(self.put(key, pod, clock.millis())))
    }

    fn create(&mut self, target: &Target, mut object: Value, clock: &SimClock) -> Result<Done, Refusal> {
        let prefix = text(&object, "/metadata/generateName").to_owned();
        if name(&object).is_empty() && !prefix.is_empty() {
            let suffix: String =
                (0..5).map(|_| char::from(LETTERS[self.random.usize(..LETTERS.len())])).collect();
            object["metadata"]["name"] = format!("{prefix}{suffix}").into();
        }
        let key = Key::new(target.kind, &target.namespace, name(&object));
        if self.get(&key).is_some() {
            let message = format!("{} \"{}\" already exists", target.kind.plural(), key.name);
            return Err(Refusal::new(409, "AlreadyExists", message));
        }
        object["kind"] = target.kind.name().into();
        object["apiVersion"] = target.kind.api_version().into();
        if target.kind.is_namespaced() {
            object["metadata"]["namespace"] = target.namespace.as_str().into();
        }
        object["metadata"]["uid"] = self.new_uid().into();
        let now = everynode_model::time::format(clock.unix_millis().div_euclid(1000));
        object["metadata"]["creationTimestamp"] = now.into();
        validate(target.kind, &object)?;
        prepare(target.kind, &mut object);
        Ok(Done::of(self.put(key, object, clock.millis())))
    }

    /// Replaces an object with what was sent, or with what a patch made of it.
    fn change(
        &mut self,
        key: Key,
        old: &Arc<Value>,
        mut new: Value,
        subresource: &str,
        clock: &SimClock,
    ) -> Result<Done, Refusal> {
        let (version, known) =
            (text(&new, "/metadata/resourceVersion"), text(old, "/metadata/resourceVersion"));
        if !version.is_empty() && version != known {
            return Err(Refusal::conflict(
                "the object has been modified; please apply your changes to the latest version",
            ));
        }
        let (uid, known) = (text(&new, "/metadata/uid"), text(old, "/metadata/uid"));
        if !uid.is_empty() && uid != known {
            return Err(Refusal::other_uid());
        }
        keep(&mut new, old, subresource);
        validate(key.kind, &new)?;
        match key.kind {
            Kind::DaemonSet => count_generations(&mut new, old),
            Kind::Policy => count_generation(&mut new, old),
            _ => {}
        }
        if new == **old {
            return Ok(Done { bytes: encode(old), change: None });
        }
        let may_go = new["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty);
        if key.kind != Kind::Pod && is_deleting(&new) && may_go {
            let change = self.remove(key, clock.millis());
            return Ok(Done {
                bytes: change.as_ref().map_or_else(Bytes::new, |one| one.bytes.clone()),
                change,
            });
        }
        Ok(Done::of(self.put(key, new, clock.millis())))
    }
}

/// What an API server refuses of that which is written here.
fn validate(kind: Kind, object: &Value) -> Result<(), Refusal> {
    let owners = object["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    let controllers = owners.filter(|owner| owner["controller"] == true).count();
    let is_negative = kind == Kind::Revision && object["revision"].as_i64().is_none_or(|number| number < 0);
    match () {
        () if controllers > 1 => Err(Refusal::new(422, "Invalid", "only one owner can be the controller")),
        () if is_negative => Err(Refusal::new(422, "Invalid", "a revision's number is not negative")),
        () => Ok(()),
    }
}

fn parse(body: &[u8]) -> Result<Value, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::new(400, "BadRequest", error.to_string()))
}

fn patched(kind: Kind, old: &Value, content_type: &str, body: &[u8]) -> Result<Value, Refusal> {
    let bad = |message: String| Refusal::new(422, "Invalid", message);
    let model = kind.model().ok_or_else(|| bad("no schema".to_owned()))?;
    let patched = match (content_type, model.as_type()) {
        (content_type::STRATEGIC_MERGE_PATCH, Some(schema)) => patch::strategic_merge(schema, old, body),
        (content_type::MERGE_PATCH, _) => patch::merge_patch(model, old, body),
        (other, _) => return Err(bad(format!("the model does not know patches of type {other}"))),
    };
    // What a policy's definition does not name would be lost without a word.
    let value = patched.and_then(|patched| match kind {
        Kind::Policy => patched.strict(),
        _ => Ok(patched.value),
    });
    value.map_err(|status| bad(format!("{status:?}")))
}

/// What a write cannot change: metadata of the server, and what belongs to the other side of /status.
fn keep(new: &mut Value, old: &Value, subresource: &str) {
    let part = if subresource == "status" { "spec" } else { "status" };
    let mut parts = vec![part];
    parts.extend((subresource == "status").then_some("data"));
    for part in parts {
        match old.get(part) {
            Some(value) => new[part] = value.clone(),
            None => {
                new.as_object_mut().and_then(|object| object.shift_remove(part));
            }
        }
    }
    let metadata = [
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
    ];
    for field in metadata {
        match old["metadata"].get(field) {
            Some(value) => new["metadata"][field] = value.clone(),
            None => {
                new["metadata"].as_object_mut().and_then(|object| object.shift_remove(field));
            }
        }
    }
    for field in ["kind", "apiVersion"] {
        new[field] = old[field].clone();
    }
}

fn prepare(kind: Kind, object: &mut Value) {
    match kind {
        Kind::Pod => {
            object["status"] = json!({"phase": "Pending"});
            if object["spec"]["schedulerName"].is_null() {
                object["spec"]["schedulerName"] = "default-scheduler".into();
            }
        }
        Kind::Policy => object["metadata"]["generation"] = 1.into(),
        Kind::DaemonSet => {
            object["metadata"]["generation"] = 1.into();
            object["metadata"]["annotations"][TEMPLATE_GENERATION] = "1".into();
            object["status"] = json!({
                "currentNumberScheduled": 0, "numberMisscheduled": 0, "desiredNumberScheduled": 0, "numberReady": 0,
            });
        }
        Kind::Node => {
            // The admission plug-in that keeps pods away until the node is ready.
            let mut taints = object["spec"]["taints"].as_array().cloned().unwrap_or_default();
            taints.push(json!({"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}));
            object["spec"]["taints"] = taints.into();
        }
        _ => {}
    }
}

fn count_generation(new: &mut Value, old: &Value) {
    if new["spec"] != old["spec"] {
        new["metadata"]["generation"] = (old["metadata"]["generation"].as_i64().unwrap_or(0) + 1).into();
    }
}

/// Specification N6 and K2.
fn count_generations(new: &mut Value, old: &Value) {
    let template = text(old, &format!("/metadata/annotations/{TEMPLATE_GENERATION}")).to_owned();
    count_generation(new, old);
    let count =
        template.parse::<i64>().unwrap_or(1) + i64::from(new["spec"]["template"] != old["spec"]["template"]);
    if !new["metadata"]["annotations"].is_object() {
        new["metadata"]["annotations"] = Object::new().into();
    }
    new["metadata"]["annotations"][TEMPLATE_GENERATION] = count.to_string().into();
}
