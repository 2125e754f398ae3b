//! Takes out of objects what must not get into a snapshot, in a way that keeps equal what was equal.
//!
//! Environment values become fingerprints of 16 bits with a salt of the snapshot's own: enough to see that a value
//! changes, far too little to find out what it is.

use everynode_apimachinery::patch::three_way::LAST_APPLIED;
use everynode_model::{Value, encode};
use serde_json::json;
use sha2::{Digest, Sha256};

/// Annotations of a DaemonSet that are kept: those that the engine reads, and those that tell who manages it.
const KEPT_ANNOTATIONS: [&str; 6] = [
    "deprecated.daemonset.template.generation",
    everynode_engine::POD_NAMES,
    LAST_APPLIED,
    "meta.helm.sh/release-name",
    "argocd.argoproj.io/tracking-id",
    "objectset.rio.cattle.io/id",
];

/// A way of masking: values masked by the same one can be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    salt: String,
}

impl Mask {
    /// With this salt.
    pub fn new(salt: impl Into<String>) -> Mask {
        Mask { salt: salt.into() }
    }

    /// The salt.
    pub fn salt(&self) -> &str {
        &self.salt
    }

    fn fingerprint(&self, text: &str) -> String {
        let digest = Sha256::new().chain_update(&self.salt).chain_update([0]).chain_update(text).finalize();
        format!("(hidden {:02x}{:02x})", digest[0], digest[1])
    }

    /// Masks a DaemonSet as served or as applied.
    pub fn daemonset(&self, object: &mut Value) {
        self.template(&mut object["spec"]["template"]);
        if let Some(metadata) = object["metadata"].as_object_mut() {
            let fields = metadata.shift_remove("managedFields");
            let managers = managers(fields.as_ref());
            if !managers.is_empty() {
                metadata.insert("managedFields".to_owned(), managers.into());
            }
        }
        let Some(annotations) = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut)
        else {
            return;
        };
        annotations.retain(|key, _| KEPT_ANNOTATIONS.contains(&key.as_str()));
        self.last_applied(object);
    }

    /// Masks the manifest that a DaemonSet carries.
    pub fn last_applied(&self, object: &mut Value) {
        let Some(annotations) = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut)
        else {
            return;
        };
        let Some(last) = annotations.get_mut(LAST_APPLIED) else { return };
        let applied: Option<Value> = last.as_str().and_then(|text| serde_json::from_str(text).ok());
        match applied {
            Some(mut applied) if applied.is_object() => {
                self.template(&mut applied["spec"]["template"]);
                let written = applied.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut);
                if let Some(written) = written {
                    written.retain(|key, _| KEPT_ANNOTATIONS.contains(&key.as_str()));
                }
                *last = encode::to_text(&applied).into();
            }
            _ => drop(annotations.shift_remove(LAST_APPLIED)),
        }
    }

    /// Masks the data of a ControllerRevision. Data without anything to hide stay byte for byte.
    pub fn revision_data(&self, data: &str) -> String {
        let Ok(mut value) = serde_json::from_str::<Value>(data) else { return data.to_owned() };
        let before = value.clone();
        self.template(&mut value["spec"]["template"]);
        if value == before {
            return data.to_owned();
        }
        String::from_utf8(encode::canonical(&value)).unwrap_or_default()
    }

    /// Masks a pod template.
    pub fn template(&self, template: &mut Value) {
        for list in ["containers", "initContainers", "ephemeralContainers"] {
            let Some(containers) = template.pointer_mut(&format!("/spec/{list}")) else { continue };
            for container in containers.as_array_mut().into_iter().flatten() {
                let Some(env) = container.get_mut("env").and_then(Value::as_array_mut) else { continue };
                for variable in env {
                    if let Some(value) = variable.get_mut("value")
                        && let Some(text) = value.as_str().filter(|text| !text.is_empty())
                    {
                        *value = self.fingerprint(text).into();
                    }
                }
            }
        }
    }
}

/// Who manages other parts than the status, and which fields of those that are kept: names, never values.
fn managers(fields: Option<&Value>) -> Vec<Value> {
    let entries = fields.and_then(Value::as_array).into_iter().flatten();
    let are_kept = |entry: &&Value| entry["subresource"] != "status" && entry["manager"].is_string();
    let kept = entries.filter(are_kept).map(|entry| {
        let mut kept = json!({"fieldsType": "FieldsV1", "fieldsV1": {}});
        for part in ["manager", "operation", "apiVersion", "subresource"] {
            if entry[part].is_string() {
                kept[part] = entry[part].clone();
            }
        }
        for path in ["f:spec", "f:metadata/f:labels"] {
            let pointer = format!("/fieldsV1/{path}");
            if let Some(fields) = entry.pointer(&pointer) {
                let parts = path.split('/');
                let place = parts.fold(&mut kept["fieldsV1"], |place, part| &mut place[part]);
                *place = fields.clone();
            }
        }
        kept
    });
    kept.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environment_values_are_hidden_everywhere_and_stay_comparable() {
        let template = json!({"spec": {"containers": [{"name": "c", "env": [
            {"name": "A", "value": "hunter2"}, {"name": "B", "valueFrom": {}},
        ]}]}});
        let applied = json!({"metadata": {"annotations": {"x": "hunter2"}}, "spec": {"template": template}})
            .to_string();
        let mut object = json!({
            "metadata": {"annotations": {"x": "hunter2", LAST_APPLIED: applied}, "managedFields": [
                {"manager": "kubectl", "operation": "Apply", "apiVersion": "apps/v1", "time": "t", "fieldsType": "FieldsV1",
                    "fieldsV1": {"f:spec": {"f:a": {}}, "f:metadata": {"f:annotations": {"f:hunter2": {}}}}},
                {"manager": "controller", "subresource": "status"},
            ]},
            "spec": {"template": template},
        });
        let mask = Mask::new("salt");
        mask.daemonset(&mut object);
        let text = object.to_string();
        assert!(!text.contains("hunter2"), "{text}");
        let kept = json!([{
            "manager": "kubectl", "operation": "Apply", "apiVersion": "apps/v1", "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {"f:a": {}}},
        }]);
        assert_eq!(object["metadata"]["managedFields"], kept);
        let data = json!({"spec": {"template": template}}).to_string();
        let hidden = mask.revision_data(&data);
        let value = object["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"].as_str();
        assert!(hidden.contains(value.unwrap_or("?")), "{hidden}");
        assert_ne!(Mask::new("other").revision_data(&data), hidden);
    }

    #[test]
    fn data_without_environment_values_stay_byte_for_byte() {
        let data =
            r#"{"spec":{"template":{"metadata":{"a":"\u003c"},"spec":{"containers":[{"name":"c"}]}}}}"#;
        assert_eq!(Mask::new("s").revision_data(data), data);
    }
}
