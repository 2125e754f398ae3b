//! The environment of a container.

use std::collections::BTreeMap;

use everynode_model::names;

use crate::fields::{self, FieldError, Surroundings};
use crate::pod_spec::{Container, EnvVar, EnvVarSource, KeyRef, Pod};

/// The data of a ConfigMap or a Secret.
pub type Data = BTreeMap<String, Vec<u8>>;

/// The objects that a pod refers to, as far as they are there: by name, each kind for itself. They hold secrets, and are
/// not to be printed.
#[derive(Clone, Default)]
pub struct Objects {
    /// ConfigMaps.
    pub config_maps: BTreeMap<String, Data>,
    /// Secrets.
    pub secrets: BTreeMap<String, Data>,
}

/// Why a container has no environment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvError {
    /// An object is missing.
    #[error("{kind} {name:?} not found")]
    Missing {
        /// `configmap` or `secret`.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// A key is missing.
    #[error("couldn't find key {key} in {kind} {name}")]
    MissingKey {
        /// `ConfigMap` or `Secret`.
        kind: &'static str,
        /// The object's name.
        name: String,
        /// The key.
        key: String,
    },
    /// A value is not text.
    #[error("key {key} of {kind} {name} is not text, and cannot be a variable")]
    NotText {
        /// `ConfigMap` or `Secret`.
        kind: &'static str,
        /// The object's name.
        name: String,
        /// The key.
        key: String,
    },
    /// A field of the pod has no value.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The source of a value is none that is known.
    #[error("variable {0:?} has a source that this node's agent does not support")]
    Source(String),
}

/// Variables in the order in which they are set.
pub type Env = Vec<(String, String)>;

/// The environment of a container: what tells of Services, then whole objects, then single variables, in which
/// `$(NAME)` stands for those before them.
///
/// # Errors
/// When something that is asked for is missing and may not be.
pub fn environment(
    pod: &Pod,
    container: &Container,
    objects: &Objects,
    services: &[(String, String)],
    around: &Surroundings,
) -> Result<Env, EnvError> {
    let mut env = Variables::default();
    for (name, value) in services {
        env.set(name, value.clone());
    }
    for source in &container.env_from {
        let (kind, wanted, among) = match (&source.config_map_ref, &source.secret_ref) {
            (Some(wanted), _) => ("configmap", wanted, &objects.config_maps),
            (None, Some(wanted)) => ("secret", wanted, &objects.secrets),
            (None, None) => continue,
        };
        let Some(data) = among.get(&wanted.name) else {
            if wanted.optional {
                continue;
            }
            return Err(EnvError::Missing { kind, name: wanted.name.clone() });
        };
        // A key that is no name of a variable is left out, as the kubelet does.
        for (key, value) in data {
            let name = format!("{}{key}", source.prefix);
            if names::env_name(&name).is_empty()
                && let Ok(value) = std::str::from_utf8(value)
            {
                env.set(&name, value.to_owned());
            }
        }
    }
    for variable in &container.env {
        if let Some(value) = value_of(pod, container, variable, objects, around, &env)? {
            env.set(&variable.name, value);
        }
    }
    Ok(env.list)
}

fn value_of(
    pod: &Pod,
    container: &Container,
    variable: &EnvVar,
    objects: &Objects,
    around: &Surroundings,
    env: &Variables,
) -> Result<Option<String>, EnvError> {
    let Some(source) = &variable.value_from else {
        return Ok(Some(expand(&variable.value, |name| env.get(name))));
    };
    match source {
        EnvVarSource { field_ref: Some(of), .. } => Ok(Some(fields::field(pod, &of.field_path, around)?)),
        EnvVarSource { resource_field_ref: Some(of), .. } => {
            Ok(Some(fields::resource(pod, container, of, around)?))
        }
        EnvVarSource { config_map_key_ref: Some(of), .. } => {
            key_of(&objects.config_maps, of, ("configmap", "ConfigMap"))
        }
        EnvVarSource { secret_key_ref: Some(of), .. } => key_of(&objects.secrets, of, ("secret", "Secret")),
        _ => Err(EnvError::Source(variable.name.clone())),
    }
}

fn key_of(
    among: &BTreeMap<String, Data>,
    wanted: &KeyRef,
    (resource, kind): (&'static str, &'static str),
) -> Result<Option<String>, EnvError> {
    let (name, key) = (&wanted.name, &wanted.key);
    let Some(data) = among.get(name) else {
        return match wanted.optional {
            true => Ok(None),
            false => Err(EnvError::Missing { kind: resource, name: name.clone() }),
        };
    };
    match data.get(key).map(|value| std::str::from_utf8(value)) {
        Some(Ok(text)) => Ok(Some(text.to_owned())),
        Some(Err(_)) => Err(EnvError::NotText { kind, name: name.clone(), key: key.clone() }),
        None if wanted.optional => Ok(None),
        None => Err(EnvError::MissingKey { kind, name: name.clone(), key: key.clone() }),
    }
}

/// Variables in their order, found by name.
#[derive(Debug, Default)]
struct Variables {
    list: Env,
    by_name: BTreeMap<String, usize>,
}

impl Variables {
    fn set(&mut self, name: &str, value: String) {
        match self.by_name.get(name) {
            Some(&index) => self.list[index].1 = value,
            None => {
                self.by_name.insert(name.to_owned(), self.list.len());
                self.list.push((name.to_owned(), value));
            }
        }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.by_name.get(name).map(|&index| self.list[index].1.as_str())
    }
}

/// Puts values in the place of `$(NAME)`. `$$` is a `$` after which nothing is replaced; what is not known stays.
pub fn expand<'a>(text: &str, value: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, from) = rest.split_at(at);
        expanded.push_str(before);
        let reference = from.strip_prefix("$(").and_then(|inner| inner.split_once(')'));
        rest = match (reference, from.strip_prefix("$$")) {
            (_, Some(after)) => {
                expanded.push('$');
                after
            }
            (Some((name, after)), None) => {
                match value(name) {
                    Some(value) => expanded.push_str(value),
                    None => {
                        expanded.push_str("$(");
                        expanded.push_str(name);
                        expanded.push(')');
                    }
                }
                after
            }
            (None, None) => {
                expanded.push('$');
                &from[1..]
            }
        };
    }
    expanded.push_str(rest);
    expanded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_replaced_and_the_rest_stays() {
        let value = |name: &str| match name {
            "A" => Some("1"),
            "B" => Some("$(A)"),
            _ => None,
        };
        for (text, expected) in [
            ("plain", "plain"),
            ("$(A)-$(A)", "1-1"),
            ("$(B)", "$(A)"),
            ("$(C)", "$(C)"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$1"),
            ("$A ${A} $", "$A ${A} $"),
            ("$(A", "$(A"),
            ("$()", "$()"),
            ("ä$(A)ö", "ä1ö"),
        ] {
            assert_eq!(expand(text, value), expected, "{text}");
        }
    }

    fn objects() -> Objects {
        let data = |pairs: &[(&str, &[u8])]| -> Data {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), value.to_vec())).collect()
        };
        Objects {
            config_maps: [("m".to_owned(), data(&[("k", b"v"), ("no name", b"x"), ("other", b"o")]))].into(),
            secrets: [("s".to_owned(), data(&[("k", b"secret"), ("bytes", &[0xff])]))].into(),
        }
    }

    fn check(container: &str, expected: Result<&str, &str>) {
        let spec = format!(r#"{{"metadata":{{"name":"p"}},"spec":{{"containers":[{container}]}}}}"#);
        let pod: Pod = serde_json::from_str(&spec).unwrap();
        let services = [("PORT".to_owned(), "1".to_owned())];
        let env = environment(&pod, &pod.spec.containers[0], &objects(), &services, &Surroundings::default());
        let text = env.map(|env| {
            let pairs: Vec<String> = env.iter().map(|(name, value)| format!("{name}={value}")).collect();
            pairs.join(" ")
        });
        let text = text.map_err(|error| error.to_string());
        assert_eq!(text.as_deref().map_err(|text| text.as_str()), expected, "{container}");
    }

    #[test]
    fn the_environment_comes_from_services_objects_and_variables_in_this_order() {
        check(r#"{"name":"c"}"#, Ok("PORT=1"));
        check(
            r#"{"name":"c","env":[{"name":"A","value":"a"},{"name":"B","value":"$(A)$(PORT)$(C)"},
                {"name":"C","valueFrom":{"fieldRef":{"fieldPath":"metadata.name"}}},{"name":"PORT","value":"2"}]}"#,
            Ok("PORT=2 A=a B=a1$(C) C=p"),
        );
        check(
            r#"{"name":"c","envFrom":[{"prefix":"X_","configMapRef":{"name":"m"}},{"secretRef":{"name":"none","optional":true}}],
                "env":[{"name":"S","valueFrom":{"secretKeyRef":{"name":"s","key":"k"}}},
                {"name":"O","valueFrom":{"configMapKeyRef":{"name":"m","key":"none","optional":true}}}]}"#,
            Ok("PORT=1 X_k=v X_no name=x X_other=o S=secret"),
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        check(r#"{"envFrom":[{"configMapRef":{"name":"none"}}]}"#, Err("configmap \"none\" not found"));
        check(
            r#"{"env":[{"name":"A","valueFrom":{"secretKeyRef":{"name":"s","key":"none"}}}]}"#,
            Err("couldn't find key none in Secret s"),
        );
        check(
            r#"{"env":[{"name":"A","valueFrom":{"secretKeyRef":{"name":"s","key":"bytes"}}}]}"#,
            Err("key bytes of Secret s is not text, and cannot be a variable"),
        );
        check(
            r#"{"env":[{"name":"A","valueFrom":{"fieldRef":{"fieldPath":"spec.x"}}}]}"#,
            Err("field path \"spec.x\" cannot be asked for"),
        );
    }
}
