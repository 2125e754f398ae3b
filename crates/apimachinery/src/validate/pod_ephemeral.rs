//! What the ephemeralcontainers subresource may change in a pod: containers come, and stay as they are.

use everynode_model::Value;
use everynode_model::access::{Fill, Read};

use super::{Errors, Path, Report};

/// The pod of before with the ephemeral containers that are asked for now.
pub(crate) fn with_ephemeral(new: &Value, old: &Value) -> Value {
    let mut pod = old.clone();
    let asked = new.at("spec.ephemeralContainers").cloned();
    if let Some(spec) = pod.make("spec") {
        match asked {
            Some(asked) => spec.put("ephemeralContainers", asked),
            None => drop(spec.take_out("ephemeralContainers")),
        }
    }
    pod
}

/// Checks such a pod against the one of before.
pub(crate) fn check(new: &Value, old: &Value, errors: &mut Errors) {
    let mirror = "kubernetes.io/config.mirror";
    if old.entries("metadata.annotations").any(|(key, _)| key == mirror) {
        errors.clear();
        return errors.forbidden("", "static pods do not support ephemeral containers");
    }
    let path = Path::root("spec.ephemeralContainers");
    let by_name = |list: &Value| -> std::collections::HashMap<String, Value> {
        let named = list.items("spec.ephemeralContainers").iter();
        named.map(|container| (container.text("name").to_owned(), container.clone())).collect()
    };
    let present = by_name(new);
    for before in old.items("spec.ephemeralContainers") {
        let name = before.text("name");
        let (what, more) = match present.get(name) {
            None => ("removed", "\n"),
            Some(now) if now != before => ("changed", ""),
            Some(_) => continue,
        };
        errors.forbidden(path, &format!("existing ephemeral containers {name:?} may not be {what}{more}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check_change(old: Value, new: Value, expected: &[&str]) {
        let pod = |list: Value| json!({"spec": {"ephemeralContainers": list}});
        let mut errors = Vec::new();
        check(&pod(new), &pod(old), &mut errors);
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(texts, expected);
    }

    #[test]
    fn ephemeral_containers_come_and_stay_as_they_are() {
        let (a, b) = (json!({"name": "a", "image": "i"}), json!({"name": "b", "image": "i"}));
        check_change(json!([]), json!([a]), &[]);
        check_change(json!([a]), json!([b, a]), &[]);
        check_change(
            json!([a]),
            json!([b]),
            &[
                "spec.ephemeralContainers: Forbidden: existing ephemeral containers \"a\" may not be removed\n",
            ],
        );
        check_change(
            json!([a]),
            json!([{"name": "a", "image": "j"}]),
            &["spec.ephemeralContainers: Forbidden: existing ephemeral containers \"a\" may not be changed"],
        );
    }

    #[test]
    fn nothing_else_of_the_pod_changes() {
        let old = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": []}});
        let new =
            json!({"metadata": {}, "spec": {"containers": [1], "ephemeralContainers": [{"name": "e"}]}});
        let expected = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [], "ephemeralContainers": [{"name": "e"}]}});
        assert_eq!(with_ephemeral(&new, &old), expected);
    }
}
