//! Fields of pods behind feature gates that are off by default in Kubernetes 1.36. The API takes them out, unless the
//! stored object has them already.

use everynode_model::access::{Fill, Read};
use everynode_model::{Object, Value};

const LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// Takes the fields out of the spec of a pod or of a template. `old` is the stored spec, where there is one.
pub(super) fn take_out(spec: Option<&mut Value>, old: Option<&Value>) {
    let Some(spec) = spec else { return };
    let empty = Value::Null;
    let old = old.unwrap_or(&empty);
    for field in ["clusterTrustBundle", "podCertificate"] {
        if !sources(old).any(|source| source.has(field)) {
            take_out_sources(spec, field);
        }
    }
    if !containers(old).any(|container| container.has("lifecycle.stopSignal")) {
        LISTS.into_iter().for_each(|list| take_out_signals(spec.items_mut(list)));
    }
    if !old.has("schedulingGroup") {
        spec.take_out("schedulingGroup");
    }
}

fn sources(spec: &Value) -> impl Iterator<Item = &Value> {
    spec.items("volumes").iter().flat_map(|volume| volume.items("projected.sources"))
}

fn containers(spec: &Value) -> impl Iterator<Item = &Value> {
    LISTS.into_iter().flat_map(|list| spec.items(list))
}

fn take_out_sources(spec: &mut Value, field: &str) {
    for volume in spec.items_mut("volumes") {
        for source in volume.items_mut("projected.sources") {
            source.take_out(field);
        }
    }
}

fn take_out_signals(containers: &mut [Value]) {
    for container in containers {
        let Some(lifecycle) = container.get_mut("lifecycle") else { continue };
        let had_one = lifecycle.take_out("stopSignal").is_some();
        if had_one && lifecycle.as_object().is_some_and(Object::is_empty) {
            container.take_out("lifecycle");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(mut spec: Value, old: Option<Value>, expected: Value) {
        take_out(Some(&mut spec), old.as_ref());
        assert_eq!(spec, expected);
    }

    #[test]
    fn fields_behind_closed_gates_go_unless_they_are_stored() {
        let signal = json!({"containers": [{"name": "c", "lifecycle": {"stopSignal": "SIGUSR1"}}]});
        check(signal.clone(), None, json!({"containers": [{"name": "c"}]}));
        check(signal.clone(), Some(signal.clone()), signal);
        check(
            json!({"containers": [{"lifecycle": {"stopSignal": "SIGUSR1", "preStop": {}}}]}),
            None,
            json!({"containers": [{"lifecycle": {"preStop": {}}}]}),
        );
        let bundle =
            json!({"volumes": [{"projected": {"sources": [{"clusterTrustBundle": {"path": "p"}}]}}]});
        check(bundle.clone(), None, json!({"volumes": [{"projected": {"sources": [{}]}}]}));
        check(bundle.clone(), Some(bundle.clone()), bundle);
    }
}
