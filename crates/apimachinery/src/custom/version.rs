//! One version of a custom resource.

use everynode_cel::Patterns;
use everynode_model::access::Read;
use everynode_model::{Object, Value};

use super::column::{PrinterColumn, columns};
use super::form::{normalize, order};
use super::json_path::JsonPath;
use super::prune;
use super::schema::Schema;
use crate::decode::{DecodeError, Decoded};
use crate::json;

/// Nesting of an object.
const MAX_OBJECT_DEPTH: usize = 100;

/// One version of a custom resource.
#[derive(Debug)]
pub struct Custom {
    group: String,
    version: String,
    pub(super) kind: String,
    pub(super) schema: Schema,
    /// The schema as it was written.
    document: Value,
    pub(super) has_status: bool,
    pub(super) scale: Option<Scale>,
    pub(super) columns: Vec<PrinterColumn>,
}

/// Where an object keeps what its scale shows.
#[derive(Debug, Clone)]
pub struct Scale {
    /// The field of the wanted replicas.
    pub spec_replicas: Vec<String>,
    /// The field of the present replicas.
    pub status_replicas: Vec<String>,
    /// The field of the selector, a text.
    pub selector: Option<Vec<String>>,
}

impl Custom {
    /// Reads a version of a definition with that spec and those accepted names. Its patterns are among those of all
    /// versions.
    ///
    /// # Errors
    /// The schema cannot be served.
    pub(crate) fn new(
        spec: &Value,
        names: &Value,
        version: &Value,
        patterns: &mut Patterns,
    ) -> Result<Custom, String> {
        let document = version.at("schema.openAPIV3Schema").cloned().unwrap_or_else(|| Object::new().into());
        let scale = version.at("subresources.scale").map(|scale| {
            let path = |name: &str| fields_of(scale.text(name));
            let selector = (!scale.text("labelSelectorPath").is_empty()).then(|| path("labelSelectorPath"));
            Scale {
                spec_replicas: path("specReplicasPath"),
                status_replicas: path("statusReplicasPath"),
                selector,
            }
        });
        let (group, kind, name) = (spec.text("group"), names.text("kind"), version.text("name"));
        Ok(Custom {
            group: group.into(),
            version: name.into(),
            kind: kind.into(),
            schema: Schema::parse(&document, patterns)?,
            document,
            has_status: version.at("subresources.status").is_some(),
            scale,
            columns: columns(version),
        })
    }

    /// The schema as it was written, an OpenAPI schema.
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// The schema.
    pub(crate) fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Where the object keeps what its scale shows; none when it has no scale.
    pub fn scale(&self) -> Option<&Scale> {
        self.scale.as_ref()
    }

    /// Whether status is a part of its own.
    pub(crate) fn has_status(&self) -> bool {
        self.has_status
    }

    /// `group/version`.
    pub(crate) fn api_version(&self) -> String {
        format!("{}/{}", self.group, self.version)
    }

    /// Takes out what the schema does not name, and fills in what it has a default for: a stored object may be older than
    /// its schema.
    pub(crate) fn complete(&self, object: &mut Value) {
        prune::prune(&self.schema, object);
        prune::fill(&self.schema, object);
    }

    /// Decodes an object: reads its metadata and takes out what the schema does not name.
    ///
    /// # Errors
    /// The bytes are not JSON, are nested too deeply, or their metadata is none.
    pub fn decode(&self, bytes: &[u8]) -> Result<Decoded, DecodeError> {
        let (mut value, mut problems) = json::parse_strict(bytes)?;
        let Value::Object(object) = &mut value else {
            let found = json::type_name(&value);
            let wanted = "map[string]interface {}";
            return Err(DecodeError::Type(format!(
                "json: cannot unmarshal {found} into Go value of type {wanted}"
            )));
        };
        let mut unknown = Vec::new();
        if let Some(metadata) = object.get_mut("metadata") {
            let (read, fields) = prune::metadata(metadata)?;
            *metadata = read;
            unknown.extend(fields.iter().map(|field| format!("metadata.{field}")));
        }
        normalize(&mut value, MAX_OBJECT_DEPTH)
            .ok_or_else(|| DecodeError::Type("exceeded max depth".into()))?;
        let pruned = prune::prune(&self.schema, &mut value);
        if let Some(mistake) = pruned.mistake {
            return Err(DecodeError::Type(mistake));
        }
        unknown.extend(pruned.unknown);
        unknown.sort();
        problems.extend(
            unknown.iter().map(|field| format!("unknown field {}", everynode_model::go_quote(field))),
        );
        order(&mut value);
        Ok(Decoded { value, problems })
    }
}

fn fields_of(path: &str) -> Vec<String> {
    let parsed = JsonPath::parse(path).ok();
    let fields = parsed.as_ref().and_then(JsonPath::fields).unwrap_or_default();
    fields.into_iter().map(str::to_owned).collect()
}
