//! The files that a volume made from objects holds.

use std::collections::BTreeMap;

use crate::env::{Data, Objects};
use crate::fields::{self, FieldError, Surroundings};
use crate::pod_spec::{
    ConfigMapSource, DownwardSource, KeyToPath, Pod, ProjectedSource, SecretSource, TokenSource, VolumeSource,
};

/// Files by their path within the volume.
pub type Payload = BTreeMap<String, PayloadFile>;

/// A file. It may be secret, and is not to be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct PayloadFile {
    /// What is in it.
    pub bytes: Vec<u8>,
    /// Its mode.
    pub mode: u32,
}

/// Tokens that were asked for, by audience and term.
pub type Tokens = BTreeMap<(String, i64), String>;

/// Why a volume has no content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// An object is missing.
    #[error("{kind} {name:?} not found")]
    Missing {
        /// `configmap` or `secret`.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// A key is missing.
    #[error("{kind} {name:?} has no key {key:?}")]
    MissingKey {
        /// `configmap` or `secret`.
        kind: &'static str,
        /// The object's name.
        name: String,
        /// The key.
        key: String,
    },
    /// A token was not given.
    #[error("there is no token for the audience {0:?} yet")]
    Token(String),
    /// A file would be outside the volume.
    #[error("{0:?} is no path within a volume")]
    Path(String),
    /// A field of the pod has no value.
    #[error(transparent)]
    Field(#[from] FieldError),
}

/// What the agent has for the volumes of a pod.
pub struct Ingredients<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// The objects that it refers to.
    pub objects: &'a Objects,
    /// Its tokens.
    pub tokens: &'a Tokens,
    /// The node and the addresses.
    pub around: &'a Surroundings,
}

/// Modes of files that have none of their own.
const DEFAULT_MODE: i64 = 0o644;
/// A token is for its reader alone.
const TOKEN_MODE: i64 = 0o600;

/// The files of a volume; nothing where it is not made from objects.
///
/// # Errors
/// When something is missing that may not be, or a path leads out of the volume.
pub fn payload(source: &VolumeSource, from: &Ingredients<'_>) -> Result<Option<Payload>, PayloadError> {
    let mut files = Payload::new();
    match source {
        VolumeSource::ConfigMap(map) => config_map(&mut files, map, map.default_mode, from)?,
        VolumeSource::Secret(secret) => secret_files(&mut files, secret, secret.default_mode, from)?,
        VolumeSource::DownwardApi(fields) => downward(&mut files, fields, fields.default_mode, from)?,
        VolumeSource::Projected(projected) => {
            let mode = projected.default_mode;
            for part in &projected.sources {
                match part {
                    ProjectedSource::ConfigMap(map) => config_map(&mut files, map, mode, from)?,
                    ProjectedSource::Secret(secret) => secret_files(&mut files, secret, mode, from)?,
                    ProjectedSource::DownwardApi(fields) => downward(&mut files, fields, mode, from)?,
                    ProjectedSource::Token(token) => token_file(&mut files, token, mode, from)?,
                    ProjectedSource::Other(_) => {}
                }
            }
        }
        VolumeSource::HostPath(_) | VolumeSource::EmptyDir(_) | VolumeSource::Other(_) => return Ok(None),
    }
    Ok(Some(files))
}

fn config_map(
    files: &mut Payload,
    map: &ConfigMapSource,
    mode: Option<i64>,
    from: &Ingredients<'_>,
) -> Result<(), PayloadError> {
    let data = from.objects.config_maps.get(&map.name);
    keys(files, data, ("configmap", &map.name), &map.items, map.optional, mode)
}

fn secret_files(
    files: &mut Payload,
    secret: &SecretSource,
    mode: Option<i64>,
    from: &Ingredients<'_>,
) -> Result<(), PayloadError> {
    let data = from.objects.secrets.get(secret.secret());
    keys(files, data, ("secret", secret.secret()), &secret.items, secret.optional, mode)
}

fn keys(
    files: &mut Payload,
    data: Option<&Data>,
    (kind, name): (&'static str, &str),
    items: &[KeyToPath],
    optional: bool,
    mode: Option<i64>,
) -> Result<(), PayloadError> {
    let Some(data) = data else {
        return match optional {
            true => Ok(()),
            false => Err(PayloadError::Missing { kind, name: name.to_owned() }),
        };
    };
    let default = mode.unwrap_or(DEFAULT_MODE);
    if items.is_empty() {
        return data.iter().try_for_each(|(key, bytes)| put(files, key, bytes.clone(), default));
    }
    for item in items {
        match data.get(&item.key) {
            Some(bytes) => put(files, &item.path, bytes.clone(), item.mode.unwrap_or(default))?,
            None if optional => {}
            None => {
                let (name, key) = (name.to_owned(), item.key.clone());
                return Err(PayloadError::MissingKey { kind, name, key });
            }
        }
    }
    Ok(())
}

fn downward(
    files: &mut Payload,
    source: &DownwardSource,
    mode: Option<i64>,
    from: &Ingredients<'_>,
) -> Result<(), PayloadError> {
    for item in &source.items {
        let value = match (&item.field_ref, &item.resource_field_ref) {
            (Some(of), _) => fields::field(from.pod, &of.field_path, from.around)?,
            (None, Some(of)) => {
                let none = FieldError::Container(of.container_name.clone());
                let own = from.pod.spec.container(&of.container_name).ok_or(none)?;
                fields::resource(from.pod, own, of, from.around)?
            }
            (None, None) => continue,
        };
        put(files, &item.path, value.into_bytes(), item.mode.or(mode).unwrap_or(DEFAULT_MODE))?;
    }
    Ok(())
}

fn token_file(
    files: &mut Payload,
    token: &TokenSource,
    mode: Option<i64>,
    from: &Ingredients<'_>,
) -> Result<(), PayloadError> {
    let wanted = (token.audience.clone(), token.seconds());
    let text = from.tokens.get(&wanted).ok_or_else(|| PayloadError::Token(token.audience.clone()))?;
    // Who does not run as root reads it by the group of the volume, if there is one.
    let security = &from.pod.spec.security_context;
    let is_shared = security.fs_group.is_some() || security.run_as_user.is_some();
    let own = if is_shared { mode.unwrap_or(DEFAULT_MODE) } else { TOKEN_MODE };
    put(files, &token.path, text.clone().into_bytes(), own)
}

fn put(files: &mut Payload, path: &str, bytes: Vec<u8>, mode: i64) -> Result<(), PayloadError> {
    let is_inside = !path.starts_with("..")
        && path.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
        && !path.contains('\0');
    if !is_inside {
        return Err(PayloadError::Path(path.to_owned()));
    }
    let mode = u32::try_from(mode & 0o777).unwrap_or(0o600);
    files.insert(path.to_owned(), PayloadFile { bytes, mode });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod_spec::Volume;

    fn check(volume: &str, expected: Result<&str, &str>) {
        let volume: Volume = serde_json::from_str(volume).unwrap();
        let pod: Pod = serde_json::from_str(
            r#"{"metadata":{"name":"p","labels":{"a":"b"}},"spec":{"containers":[{"name":"c","resources":{"limits":{"cpu":"2"}}}]}}"#,
        )
        .unwrap();
        let data = |pairs: &[(&str, &str)]| -> Data {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect()
        };
        let objects = Objects {
            config_maps: [("m".to_owned(), data(&[("a", "1"), ("b", "2")]))].into(),
            secrets: [("s".to_owned(), data(&[("k", "3")]))].into(),
        };
        let tokens = [((String::new(), 3_600), "jwt".to_owned())].into();
        let around = Surroundings::default();
        let from = Ingredients { pod: &pod, objects: &objects, tokens: &tokens, around: &around };
        let text = payload(&volume.source, &from).map(|files| {
            let one = |(path, file): (&String, &PayloadFile)| {
                format!("{path}={} {:o}", String::from_utf8_lossy(&file.bytes), file.mode)
            };
            files.map_or_else(
                || "none".to_owned(),
                |files| files.iter().map(one).collect::<Vec<_>>().join(", "),
            )
        });
        let text = text.map_err(|error| error.to_string());
        assert_eq!(text.as_deref().map_err(|text| text.as_str()), expected, "{volume:?}");
    }

    #[test]
    fn volumes_hold_the_keys_and_fields_that_they_name() {
        check(r#"{"name":"v","emptyDir":{}}"#, Ok("none"));
        check(r#"{"name":"v","configMap":{"name":"m"}}"#, Ok("a=1 644, b=2 644"));
        check(
            r#"{"name":"v","configMap":{"name":"m","defaultMode":256,"items":[{"key":"b","path":"x/y","mode":448}]}}"#,
            Ok("x/y=2 700"),
        );
        check(r#"{"name":"v","secret":{"secretName":"s","defaultMode":256}}"#, Ok("k=3 400"));
        check(
            r#"{"name":"v","downwardAPI":{"items":[{"path":"labels","fieldRef":{"fieldPath":"metadata.labels"}},
                {"path":"cpu","resourceFieldRef":{"containerName":"c","resource":"limits.cpu"}}]}}"#,
            Ok("cpu=2 644, labels=a=\"b\" 644"),
        );
        check(
            r#"{"name":"v","projected":{"defaultMode":420,"sources":[{"serviceAccountToken":{"path":"token"}},
                {"secret":{"name":"s"}},{"configMap":{"name":"none","optional":true}}]}}"#,
            Ok("k=3 644, token=jwt 600"),
        );
    }

    #[test]
    fn what_is_missing_or_leads_out_is_refused() {
        check(r#"{"name":"v","configMap":{"name":"none"}}"#, Err("configmap \"none\" not found"));
        check(
            r#"{"name":"v","secret":{"secretName":"s","items":[{"key":"x","path":"x"}]}}"#,
            Err("secret \"s\" has no key \"x\""),
        );
        for path in ["../x", "a/../../x", "/etc/passwd", "..data", "a//b", "."] {
            let volume = format!(
                r#"{{"name":"v","secret":{{"secretName":"s","items":[{{"key":"k","path":{path:?}}}]}}}}"#
            );
            check(&volume, Err(&format!("{path:?} is no path within a volume")));
        }
        check(
            r#"{"name":"v","projected":{"sources":[{"serviceAccountToken":{"path":"t","audience":"vault"}}]}}"#,
            Err("there is no token for the audience \"vault\" yet"),
        );
    }
}
