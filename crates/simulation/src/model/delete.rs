//! Deletion: preconditions, grace, and finalizers.

use std::sync::Arc;

use bytes::Bytes;
use everynode_client::Clock;
use everynode_model::Value;
use serde_json::json;

use crate::clock::SimClock;
use crate::model::access::{is_bound_to, is_deleting, is_terminal, text, uid};
use crate::model::verbs::Done;
use crate::model::{Change, Key, Kind, Refusal, Store, Target};

impl Store {
    pub(crate) fn delete(&mut self, target: &Target, body: &[u8], clock: &SimClock) -> Result<Done, Refusal> {
        let key = Key::new(target.kind, &target.namespace, &target.name);
        let object =
            self.get(&key).ok_or_else(|| Refusal::not_found(target.kind.plural(), &target.name))?.clone();
        let options: Value = serde_json::from_slice(body).unwrap_or_default();
        check_preconditions(&object, &options["preconditions"])?;
        let change = match target.kind {
            Kind::Pod => self.delete_pod(key, &object, &options, clock),
            _ => self.delete_other(key, &object, &options, clock),
        };
        let bytes = change.as_ref().map_or_else(Bytes::new, |change| change.bytes.clone());
        Ok(Done { bytes, change })
    }

    /// A pod that runs gets a time to end, and is removed by its node.
    fn delete_pod(
        &mut self,
        key: Key,
        pod: &Value,
        options: &Value,
        clock: &SimClock,
    ) -> Option<Arc<Change>> {
        let asked = options["gracePeriodSeconds"].as_i64();
        let template = pod["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap_or(30);
        let ends_at_once = is_bound_to(pod).is_none() || is_terminal(pod);
        let grace_seconds = if ends_at_once { 0 } else { asked.unwrap_or(template) };
        if grace_seconds == 0 {
            return self.remove_or_mark(key, pod, clock);
        }
        let known = pod["metadata"]["deletionGracePeriodSeconds"].as_i64();
        if is_deleting(pod) && known.is_some_and(|known| known <= grace_seconds) {
            return None;
        }
        let mut marked = pod.clone();
        let ends = clock.unix_millis().div_euclid(1000) + grace_seconds;
        marked["metadata"]["deletionTimestamp"] = everynode_model::time::format(ends).into();
        marked["metadata"]["deletionGracePeriodSeconds"] = grace_seconds.into();
        Some(self.put(key, marked, clock.millis()))
    }

    fn delete_other(
        &mut self,
        key: Key,
        object: &Value,
        options: &Value,
        clock: &SimClock,
    ) -> Option<Arc<Change>> {
        let finalizer = match options["propagationPolicy"].as_str() {
            Some("Orphan") => "orphan",
            Some("Foreground") => "foregroundDeletion",
            _ => return self.remove_or_mark(key, object, clock),
        };
        let mut marked = object.clone();
        let mut finalizers = marked["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
        if !finalizers.iter().any(|one| one == finalizer) {
            finalizers.push(finalizer.into());
        }
        marked["metadata"]["finalizers"] = finalizers.into();
        self.remove_or_mark(key, &marked, clock)
    }

    /// What has finalizers stays until they are gone.
    fn remove_or_mark(&mut self, key: Key, object: &Value, clock: &SimClock) -> Option<Arc<Change>> {
        let has_finalizers =
            object["metadata"]["finalizers"].as_array().is_some_and(|finalizers| !finalizers.is_empty());
        if !has_finalizers {
            return self.remove(key, clock.millis());
        }
        let mut marked = object.clone();
        if !is_deleting(object) {
            let now = everynode_model::time::format(clock.unix_millis().div_euclid(1000));
            marked["metadata"]["deletionTimestamp"] = now.into();
            marked["metadata"]["deletionGracePeriodSeconds"] = json!(0);
        }
        if self.get(&key).is_some_and(|known| **known == marked) {
            return None;
        }
        Some(self.put(key, marked, clock.millis()))
    }
}

fn check_preconditions(object: &Value, preconditions: &Value) -> Result<(), Refusal> {
    let fails = |what: &str, wanted: &str, known: &str| {
        Refusal::conflict(format!(
            "Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {known}"
        ))
    };
    if let Some(wanted) = preconditions["uid"].as_str().filter(|wanted| *wanted != uid(object)) {
        return Err(fails("UID", wanted, uid(object)));
    }
    let version = text(object, "/metadata/resourceVersion");
    match preconditions["resourceVersion"].as_str().filter(|wanted| *wanted != version) {
        Some(wanted) => Err(fails("ResourceVersion", wanted, version)),
        None => Ok(()),
    }
}
