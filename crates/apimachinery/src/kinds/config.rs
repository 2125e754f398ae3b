//! Config maps and secrets.

use super::print;
use super::row::{ROW, Row};
use base64::Engine as _;
use everynode_model::access::{Fill, Read};
use everynode_model::{Value, names};

use crate::rules::{Column, Rules};
use crate::status::FieldError;
use crate::validate::{Errors, Path, Report, meta};

pub(super) const RESOURCES: &[Row] = &[
    Row {
        kind: "ConfigMap",
        plural: "configmaps",
        singular: "configmap",
        short_names: &["cm"],
        type_name: "core.v1.ConfigMap",
        rules: &ConfigMap,
        ..ROW
    },
    Row {
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

impl Rules for ConfigMap {
    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        let mut bytes = 0;
        for field in ["data", "binaryData"] {
            let path = Path::root(field);
            for (key, value) in object.entries(field) {
                errors.all_invalid(&path.key(key), key, names::config_key(key));
                if field == "data" && object.at("binaryData").is_some_and(|binary| binary.get(key).is_some())
                {
                    errors.invalid(path.key(key), key, "duplicate of key present in binaryData");
                }
                let text = value.as_str().unwrap_or_default();
                bytes += if field == "data" { text.len() } else { decoded_bytes(text) };
            }
        }
        if bytes > MAX_BYTES {
            errors.push(FieldError::too_long("", MAX_BYTES));
        }
    }

    fn validate_update(&self, new: &Value, old: &Value, errors: &mut Errors) {
        immutable(new, old, &["data", "binaryData"], errors);
        self.validate_create(new, errors);
    }

    fn columns(&self) -> &'static [Column] {
        print::cluster::CONFIG_MAP
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        print::cluster::config_map(object, now)
    }
}

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

    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        let path = Path::root("data");
        let mut bytes = 0;
        for (key, value) in object.entries("data") {
            errors.all_invalid(&path.key(key), key, names::config_key(key));
            bytes += decoded_bytes(value.as_str().unwrap_or_default());
        }
        if bytes > MAX_BYTES {
            errors.push(FieldError::too_long(path, MAX_BYTES));
        }
        needed_keys(object, &path, errors);
    }

    fn validate_update(&self, new: &Value, old: &Value, errors: &mut Errors) {
        meta::immutable_field(new, old, "type", &Path::root("type"), errors);
        immutable(new, old, &["data"], errors);
        self.validate_create(new, errors);
    }

    fn columns(&self) -> &'static [Column] {
        print::cluster::SECRET
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        print::cluster::secret(object, now)
    }
}

/// The most bytes of all values together.
const MAX_BYTES: usize = 1024 * 1024;

/// The number of bytes that a base64 text stands for.
fn decoded_bytes(text: &str) -> usize {
    text.trim_end_matches('=').len() * 3 / 4
}

/// An object that says it is immutable keeps these fields.
fn immutable(new: &Value, old: &Value, fields: &[&str], errors: &mut Errors) {
    let message = "field is immutable when `immutable` is set";
    if !old.flag("immutable") {
        return;
    }
    if !new.flag("immutable") {
        errors.forbidden("immutable", message);
    }
    for field in fields.iter().filter(|field| new.get(field) != old.get(field)) {
        errors.forbidden(*field, message);
    }
}

/// Keys that a type of secret cannot do without.
fn needed_keys(secret: &Value, path: &Path<'_>, errors: &mut Errors) {
    let data = secret.get("data").unwrap_or(&Value::Null);
    let has = |key: &str| data.get(key).is_some();
    let mut need = |key: &str| {
        if !has(key) {
            errors.required(path.key(key), "");
        }
    };
    match secret.text("type") {
        "kubernetes.io/dockercfg" => need(".dockercfg"),
        "kubernetes.io/dockerconfigjson" => need(".dockerconfigjson"),
        "kubernetes.io/basic-auth" if !has("username") && !has("password") => {
            need("username");
            need("password");
        }
        "kubernetes.io/ssh-auth" => need("ssh-privatekey"),
        "kubernetes.io/tls" => {
            need("tls.crt");
            need("tls.key");
        }
        "kubernetes.io/service-account-token" => {
            let key = "kubernetes.io/service-account.name";
            let annotations = secret.at("metadata.annotations").unwrap_or(&Value::Null);
            if annotations.get(key).and_then(Value::as_str).is_none_or(str::is_empty) {
                errors.required(Path::root("metadata.annotations").key(key), "");
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn texts_of_a_secret_become_data() {
        let mut secret = json!({"data": {"a": "eA==", "b": "eQ=="}, "stringData": {"b": "v"}});
        Secret.default(&mut secret);
        assert_eq!(secret, json!({"data": {"a": "eA==", "b": "dg=="}, "type": "Opaque"}));
    }

    #[test]
    fn keys_sizes_and_types_are_checked() {
        let check = |object: Value, expected: &[&str]| {
            let mut errors = Vec::new();
            Secret.validate_create(&object, &mut errors);
            let fields: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
            assert_eq!(fields, expected, "{object}");
        };
        check(json!({"type": "Opaque", "data": {"a.b_c": "eA=="}}), &[]);
        check(json!({"type": "Opaque", "data": {"a/b": "eA=="}}), &["data[a/b]"]);
        check(json!({"type": "kubernetes.io/tls", "data": {"tls.crt": "eA=="}}), &["data[tls.key]"]);
        check(json!({"type": "Opaque", "data": {"a": "A".repeat(1_500_000)}}), &["data"]);
    }
}
