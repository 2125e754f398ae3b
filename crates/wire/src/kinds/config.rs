//! Config maps and secrets.

use super::ROW;
use base64::Engine as _;

use crate::Value;
use crate::access::Fill;
use crate::resource::{Resource, Rules};

pub(super) const RESOURCES: &[Resource] = &[
    Resource {
        kind: "ConfigMap",
        plural: "configmaps",
        singular: "configmap",
        short_names: &["cm"],
        type_name: "core.v1.ConfigMap",
        rules: &ConfigMap,
        ..ROW
    },
    Resource {
        kind: "Secret",
        plural: "secrets",
        singular: "secret",
        type_name: "core.v1.Secret",
        selectable_fields: &["type"],
        rules: &Secret,
        ..ROW
    },
];

#[derive(Debug)]
struct ConfigMap;

impl Rules for ConfigMap {}

#[derive(Debug)]
struct Secret;

impl Rules for Secret {
    fn default(&self, object: &mut Value) {
        object.fill("type", "Opaque");
        let Some(Value::Object(texts)) = object.take_out("stringData") else { return };
        let Some(data) = object.make("data") else { return };
        for (key, text) in texts {
            let bytes = text.as_str().unwrap_or_default();
            data.put(&key, base64::engine::general_purpose::STANDARD.encode(bytes));
        }
    }
}
