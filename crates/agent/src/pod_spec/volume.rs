//! Volumes.

use everynode_model::Object;
use serde::Deserialize;

use super::Amount;
use super::container::{FieldRef, ResourceFieldRef};

/// A volume.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Object")]
pub struct Volume {
    /// Name.
    pub name: String,
    /// What is in it.
    pub source: VolumeSource,
}

/// What is in a volume.
#[derive(Debug, Clone, PartialEq)]
pub enum VolumeSource {
    /// A file or folder of the node.
    HostPath(HostPath),
    /// An empty folder that goes with the pod.
    EmptyDir(EmptyDir),
    /// The keys of a ConfigMap as files.
    ConfigMap(ConfigMapSource),
    /// The keys of a Secret as files.
    Secret(SecretSource),
    /// Fields of the pod as files.
    DownwardApi(DownwardSource),
    /// Several of these in one folder.
    Projected(Projected),
    /// One that this agent does not make, by the name of its field.
    Other(String),
}

impl TryFrom<Object> for Volume {
    type Error = serde_json::Error;

    fn try_from(mut fields: Object) -> Result<Volume, serde_json::Error> {
        let name = fields.shift_remove("name").map_or_else(|| Ok(String::new()), serde_json::from_value)?;
        let Some((kind, source)) = fields.into_iter().find(|(_, source)| !source.is_null()) else {
            return Ok(Volume { name, source: VolumeSource::EmptyDir(EmptyDir::default()) });
        };
        let source = match kind.as_str() {
            "hostPath" => VolumeSource::HostPath(serde_json::from_value(source)?),
            "emptyDir" => VolumeSource::EmptyDir(serde_json::from_value(source)?),
            "configMap" => VolumeSource::ConfigMap(serde_json::from_value(source)?),
            "secret" => VolumeSource::Secret(serde_json::from_value(source)?),
            "downwardAPI" => VolumeSource::DownwardApi(serde_json::from_value(source)?),
            "projected" => VolumeSource::Projected(serde_json::from_value(source)?),
            _ => VolumeSource::Other(kind),
        };
        Ok(Volume { name, source })
    }
}

/// A file or folder of the node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct HostPath {
    /// Where.
    pub path: String,
    /// What has to be there, or is made; empty: whatever is there.
    #[serde(rename = "type")]
    pub kind: String,
}

/// An empty folder.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EmptyDir {
    /// `Memory`, or empty: disk.
    pub medium: String,
    /// At most so many bytes.
    pub size_limit: Option<Amount>,
}

/// The keys of a ConfigMap as files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConfigMapSource {
    /// The ConfigMap.
    pub name: String,
    /// These keys only; empty: all.
    pub items: Vec<KeyToPath>,
    /// The mode of files that have none of their own.
    pub default_mode: Option<i64>,
    /// It, and its keys, may be missing.
    pub optional: bool,
}

/// The keys of a Secret as files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SecretSource {
    /// The Secret, of a volume.
    pub secret_name: String,
    /// The Secret, of a projected source.
    pub name: String,
    /// These keys only; empty: all.
    pub items: Vec<KeyToPath>,
    /// The mode of files that have none of their own.
    pub default_mode: Option<i64>,
    /// It, and its keys, may be missing.
    pub optional: bool,
}

impl SecretSource {
    /// The Secret's name, wherever it stands.
    pub fn secret(&self) -> &str {
        if self.secret_name.is_empty() { &self.name } else { &self.secret_name }
    }
}

/// A key as a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct KeyToPath {
    /// The key.
    pub key: String,
    /// The file, relative to the volume.
    pub path: String,
    /// Its mode.
    pub mode: Option<i64>,
}

/// Fields of the pod as files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DownwardSource {
    /// The files.
    pub items: Vec<DownwardFile>,
    /// The mode of files that have none of their own.
    pub default_mode: Option<i64>,
}

/// A field of the pod as a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DownwardFile {
    /// The file, relative to the volume.
    pub path: String,
    /// A field.
    pub field_ref: Option<FieldRef>,
    /// An amount.
    pub resource_field_ref: Option<ResourceFieldRef>,
    /// Its mode.
    pub mode: Option<i64>,
}

/// Several sources in one folder.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Projected {
    /// The sources; of two files of one name the last counts.
    pub sources: Vec<ProjectedSource>,
    /// The mode of files that have none of their own.
    pub default_mode: Option<i64>,
}

/// What one source puts into the folder.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Object")]
pub enum ProjectedSource {
    /// Keys of a ConfigMap.
    ConfigMap(ConfigMapSource),
    /// Keys of a Secret.
    Secret(SecretSource),
    /// Fields of the pod.
    DownwardApi(DownwardSource),
    /// A token of the pod's ServiceAccount.
    Token(TokenSource),
    /// One that this agent does not make, by the name of its field; empty: none at all.
    Other(String),
}

impl TryFrom<Object> for ProjectedSource {
    type Error = serde_json::Error;

    fn try_from(fields: Object) -> Result<ProjectedSource, serde_json::Error> {
        let Some((kind, source)) = fields.into_iter().find(|(_, source)| !source.is_null()) else {
            return Ok(ProjectedSource::Other(String::new()));
        };
        Ok(match kind.as_str() {
            "configMap" => ProjectedSource::ConfigMap(serde_json::from_value(source)?),
            "secret" => ProjectedSource::Secret(serde_json::from_value(source)?),
            "downwardAPI" => ProjectedSource::DownwardApi(serde_json::from_value(source)?),
            "serviceAccountToken" => ProjectedSource::Token(serde_json::from_value(source)?),
            _ => ProjectedSource::Other(kind),
        })
    }
}

/// A token of the pod's ServiceAccount.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TokenSource {
    /// Whom it is for; empty: the API server.
    pub audience: String,
    /// For how long it holds, in seconds; absent: an hour.
    pub expiration_seconds: Option<i64>,
    /// The file, relative to the volume.
    pub path: String,
}

/// How long a token holds where nobody says.
const TOKEN_SECONDS: i64 = 3_600;

impl TokenSource {
    /// For how long the token is to hold, in seconds.
    pub fn seconds(&self) -> i64 {
        self.expiration_seconds.unwrap_or(TOKEN_SECONDS)
    }
}
