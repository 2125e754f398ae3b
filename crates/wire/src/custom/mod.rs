//! Custom resources: kinds that definitions make, and what the server does with their objects.

mod check;
mod column;
pub mod json_path;
mod pattern;
mod prune;
mod rule;
mod rule_check;
mod rules;
pub mod schema;
mod structural;

use std::sync::Arc;

pub(crate) use pattern::Patterns;
pub(crate) use structural::validate_schema;

use crate::access::Read;
use crate::decode::{self, DecodeError, Decoded};
use crate::kinds::{ALL_VERBS, READ_WRITE, SCALE};
use crate::resource::{Resource, RulesRef, StoredAs, Subresource};
use crate::validate::meta::NameRule;
use crate::{Object, Value};
use json_path::JsonPath;
use schema::Schema;

/// Nesting of an object.
const MAX_OBJECT_DEPTH: usize = 100;

/// One version of a custom resource.
#[derive(Debug)]
pub struct Custom {
    group: String,
    version: String,
    kind: String,
    schema: Schema,
    /// The schema as it was written.
    document: Value,
    has_status: bool,
    scale: Option<Scale>,
    columns: Vec<column::PrinterColumn>,
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
    /// The schema as it was written, an OpenAPI schema.
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// Where the object keeps what its scale shows; none when it has no scale.
    pub fn scale(&self) -> Option<&Scale> {
        self.scale.as_ref()
    }

    fn api_version(&self) -> String {
        format!("{}/{}", self.group, self.version)
    }

    /// Decodes an object: reads its metadata and takes out what the schema does not name.
    ///
    /// # Errors
    /// The bytes are not JSON, are nested too deeply, or their metadata is none.
    pub fn decode(&self, bytes: &[u8]) -> Result<Decoded, DecodeError> {
        let (mut value, mut problems) = decode::parse_json_strict(bytes)?;
        let Value::Object(object) = &mut value else {
            let found = decode::json_type(&value);
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

/// Adds a step to the path of a value: a field, or `[index]`. Gives the length that the path had.
fn enter(path: &mut String, step: &str) -> usize {
    let length = path.len();
    if length > 0 && !step.starts_with('[') {
        path.push('.');
    }
    path.push_str(step);
    length
}

/// Brings numbers into the form in which the API writes them; none when the value is nested too deeply.
fn normalize(value: &mut Value, depth: usize) -> Option<()> {
    let inner = depth.checked_sub(1)?;
    match value {
        Value::Number(number) if number.as_i64().is_none() => {
            let float = number.as_f64()?;
            if float.fract() == 0.0 && float.abs() < 1e15 {
                *value = (float as i64).into();
            }
        }
        Value::Array(items) => {
            for item in items {
                normalize(item, inner)?;
            }
        }
        Value::Object(fields) => {
            for item in fields.values_mut() {
                normalize(item, inner)?;
            }
        }
        _ => {}
    }
    Some(())
}

/// Puts kind, apiVersion and metadata in front and sorts the rest. The store finds the version of an object
/// because nothing stands before its metadata.
pub fn order(object: &mut Value) {
    let Value::Object(fields) = object else { return };
    let rank =
        |name: &str| ["kind", "apiVersion", "metadata"].iter().position(|one| *one == name).unwrap_or(3);
    for (name, value) in fields.iter_mut() {
        if name == "metadata" {
            if let Some(ty) = crate::schema::type_named("meta.v1.ObjectMeta") {
                crate::defaults::order(ty, value);
            }
        } else {
            sort(value);
        }
    }
    let mut sorted: Vec<_> = std::mem::take(fields).into_iter().collect();
    sorted.sort_by(|(a, _), (b, _)| (rank(a), a).cmp(&(rank(b), b)));
    *fields = sorted.into_iter().collect();
}

fn sort(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(sort);
            if !fields.keys().is_sorted() {
                fields.sort_keys();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(sort),
        _ => {}
    }
}

/// The resources that a definition makes of the names that were accepted: one for every served version.
///
/// # Errors
/// A schema cannot be served; validation lets none of these pass.
pub fn resources(definition: &Value) -> Result<Vec<Resource>, String> {
    let spec = definition.get("spec").unwrap_or(&Value::Null);
    let names = definition.pointer("/status/acceptedNames").unwrap_or(&Value::Null);
    let is_ending = definition.at("metadata.deletionTimestamp").is_some();
    let versions = spec.items("versions");
    let stored = versions.iter().find(|version| version.flag("storage")).map_or("", |one| one.text("name"));
    let served = versions.iter().filter(|version| version.flag("served"));
    let mut patterns = Patterns::default();
    let mut resource = |version: &Value| {
        let custom = Arc::new(custom(spec, names, version, &mut patterns)?);
        Ok(resource(spec, names, version, (stored, is_ending), custom))
    };
    served.map(&mut resource).collect()
}

fn resource(
    spec: &Value,
    names: &Value,
    version: &Value,
    (stored_version, is_ending): (&str, bool),
    custom: Arc<Custom>,
) -> Resource {
    let text = |value: &Value, name: &str| value.text(name).to_owned();
    let list = |name: &str| {
        names.items(name).iter().filter_map(Value::as_str).map(|text| text.to_owned().into()).collect()
    };
    let fields = version.items("selectableFields").iter();
    let mut subresources = Vec::new();
    if custom.has_status {
        subresources.push(Subresource {
            name: "status",
            kind: "",
            group: "",
            version: "",
            verbs: READ_WRITE,
        });
    }
    if custom.scale.is_some() {
        subresources.push(SCALE);
    }
    let form = Form {
        group: text(spec, "group"),
        version: stored_version.to_owned(),
        plural: text(names, "plural"),
        custom: custom.clone(),
    };
    Resource {
        group: text(spec, "group").into(),
        version: text(version, "name").into(),
        kind: text(names, "kind").into(),
        list_kind: text(names, "listKind").into(),
        plural: text(names, "plural").into(),
        singular: text(names, "singular").into(),
        short_names: list("shortNames"),
        categories: list("categories"),
        namespaced: spec.text("scope") == "Namespaced",
        verbs: ALL_VERBS,
        subresources: subresources.into(),
        type_name: "",
        selectable_fields: fields
            .map(|field| field.text("jsonPath").trim_start_matches('.').to_owned().into())
            .collect(),
        name_rule: NameRule::Subdomain,
        stored_as: Some(Arc::new(form)),
        create_on_update: false,
        unconditional_update: false,
        rules: RulesRef::Custom(custom.clone()),
        deprecation: deprecation(spec, names, version),
        is_ending,
        custom: Some(custom),
    }
}

fn custom(spec: &Value, names: &Value, version: &Value, patterns: &mut Patterns) -> Result<Custom, String> {
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
        columns: column::columns(version),
    })
}

/// What is said about a deprecated version, with the one to use instead where there is one.
fn deprecation(spec: &Value, names: &Value, version: &Value) -> Option<String> {
    let (group, kind, name) = (spec.text("group"), names.text("kind"), version.text("name"));
    if !version.flag("deprecated") {
        return None;
    }
    if version.at("deprecationWarning").is_some() {
        return Some(version.text("deprecationWarning").to_owned());
    }
    let usable = |one: &&Value| one.flag("served") && !one.flag("deprecated");
    let better = spec.items("versions").iter().filter(usable).map(|one| one.text("name"));
    let better =
        better.filter(|one| version_rank(one) > version_rank(name)).max_by_key(|one| version_rank(one));
    let instead = better.map(|better| format!("; use {group}/{better} {kind}")).unwrap_or_default();
    Some(format!("{group}/{name} {kind} is deprecated{instead}"))
}

/// How much a version is preferred: stable before beta before alpha, later before earlier, and what has no such
/// name last.
pub fn version_rank(version: &str) -> (u8, u64, u64) {
    let number = |text: &str| text.parse::<u64>().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()));
    let Some(rest) = version.strip_prefix('v') else { return (0, 0, 0) };
    if let Some(major) = number(rest) {
        return (3, major, 0);
    }
    for (stage, name) in [(2, "beta"), (1, "alpha")] {
        if let Some((major, minor)) = rest.split_once(name)
            && let (Some(major), Some(minor)) = (number(major), number(minor))
        {
            return (stage, major, minor);
        }
    }
    (0, 0, 0)
}

fn fields_of(path: &str) -> Vec<String> {
    let parsed = JsonPath::parse(path).ok();
    let fields = parsed.as_ref().and_then(JsonPath::fields).unwrap_or_default();
    fields.into_iter().map(str::to_owned).collect()
}

/// Objects of all versions are kept in the version of the definition that says so, and shown in the one that is
/// asked for: only the apiVersion differs. Defaults that came into the schema later are filled in on reading.
#[derive(Debug)]
struct Form {
    group: String,
    version: String,
    plural: String,
    custom: Arc<Custom>,
}

impl StoredAs for Form {
    fn group(&self) -> &str {
        &self.group
    }

    fn version(&self) -> &str {
        &self.version
    }

    fn plural(&self) -> &str {
        &self.plural
    }

    fn to_stored(&self, mut object: Value) -> Value {
        if let Value::Object(fields) = &mut object {
            fields.insert("apiVersion".into(), format!("{}/{}", self.group, self.version).into());
        }
        object
    }

    fn shown_form(&self, mut object: Value) -> Value {
        if let Value::Object(fields) = &mut object {
            fields.insert("apiVersion".into(), self.custom.api_version().into());
        }
        prune::prune(&self.custom.schema, &mut object);
        prune::fill(&self.custom.schema, &mut object);
        object
    }
}
