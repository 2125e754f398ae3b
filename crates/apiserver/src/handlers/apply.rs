//! PATCH by an applied configuration: server-side apply.

use everynode_admission::convert_and_default;
use everynode_apimachinery::decode::Decode as _;
use everynode_apimachinery::resource::Resource;
use everynode_apimachinery::status::Status;
use everynode_apimachinery::{json, manifest};
use everynode_model::{Value, encode};
use http::Response;

use super::{Call, change, create};
use crate::authz;
use crate::decode::model_of;
use crate::http::attributes::{Attributes, Resource as Asked};
use crate::http::body::Body;
use crate::http::query::{FieldValidation, WriteOptions};
use crate::meta;
use crate::objects::change::{Change, Made, Part, apply_managed};
use crate::objects::create::Managed;
use crate::objects::managers::{self, Writer, kind_of};

/// How often an apply is tried anew when somebody else makes or deletes the object meanwhile.
const ATTEMPTS: usize = 8;

/// A configuration as it was sent.
pub struct Config {
    /// What it says.
    pub value: Value,
    /// What strict reading refuses.
    problem: Option<String>,
}

impl Config {
    /// Reads a configuration, YAML or JSON.
    ///
    /// # Errors
    /// 400: it is neither, or no object.
    pub fn read(bytes: &[u8]) -> Result<Config, Status> {
        let bad = |why: String| Status::bad_request(format!("error decoding YAML: {why}"));
        let unread = |why: String| bad(format!("error converting YAML to JSON: {why}"));
        // Clients that are programs send JSON, which is read faster. What it has twice YAML tells in its own words.
        let quick = json::parse_strict(bytes).ok().filter(|(_, problems)| problems.is_empty());
        let (value, problem) = match quick {
            Some((value, _)) => (value, None),
            None => {
                let text = String::from_utf8_lossy(bytes);
                let yaml = manifest::parse_yaml(&text).map_err(|error| unread(error.to_string()))?;
                let problem = yaml.strict_error();
                (yaml.value, problem)
            }
        };
        match value {
            Value::Object(_) => Ok(Config { value, problem }),
            Value::Null => Ok(Config { value: Value::Object(Default::default()), problem }),
            other => {
                let found = json::type_name(&other);
                Err(bad(format!(
                    "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {found} into Go value of type \
                     map[string]interface {{}}"
                )))
            }
        }
    }

    /// Refuses what strict reading refuses, where that is asked for, or warns of it.
    ///
    /// # Errors
    /// 400 with what is refused.
    pub fn check(&self, validation: FieldValidation, warnings: &mut Vec<String>) -> Result<(), Status> {
        let Some(problem) = &self.problem else { return Ok(()) };
        match validation {
            FieldValidation::Strict => {
                let why = format!("error strict decoding YAML: error converting YAML to JSON: {problem}");
                return Err(Status::bad_request(why));
            }
            // The first line is a heading.
            FieldValidation::Warn => {
                warnings.extend(problem.lines().skip(1).map(|line| line.trim().to_owned()))
            }
            FieldValidation::Ignore => {}
        }
        Ok(())
    }

    /// Checks that the configuration is of a kind, and says nothing that is the server's.
    pub fn check_kind(&self, group: &str, version: &str, kind: &str) -> Result<(), Status> {
        let text = |name: &str| self.value.get(name).and_then(Value::as_str).unwrap_or_default();
        let api_version = text("apiVersion");
        let (own_group, own_version) = api_version.split_once('/').unwrap_or(("", api_version));
        if (own_group, own_version, text("kind")) != (group, version, kind) {
            let found = kind_of(own_group, own_version, text("kind"));
            return Err(Status::bad_request(format!("invalid object type: {found}")));
        }
        let managed = self.value.get("metadata").and_then(|metadata| metadata.get(managers::FIELD));
        if managed.is_some_and(|managed| !managed.is_null()) {
            return Err(Status::bad_request("metadata.managedFields must be nil"));
        }
        Ok(())
    }
}

/// PATCH.
pub async fn apply(call: &mut Call<'_>, part: Part, bytes: &[u8]) -> Result<Response<Body>, Status> {
    let options = WriteOptions::parse_apply(&call.query)?;
    let config = Config::read(bytes)?;
    for _ in 0..ATTEMPTS {
        let is_there = call.find().is_ok();
        let answered = match is_there {
            true => change_object(call, part, &config, &options).await,
            false if part != Part::Main => return Err(call.not_found()),
            false => create_object(call, &config, &options).await,
        };
        match answered {
            // It came or went meanwhile.
            Err(status) if call.find().is_ok() != is_there && matches!(status.code(), 404 | 409) => {}
            answered => return answered,
        }
    }
    Err(Status::modified(&call.resource.group, &call.resource.plural, &call.name))
}

async fn change_object(
    call: &mut Call<'_>,
    part: Part,
    config: &Config,
    options: &WriteOptions,
) -> Result<Response<Body>, Status> {
    let (mut own, mut warnings) = (Vec::new(), Vec::new());
    let mut change = |old: &Value, managed: &str| {
        own.clear();
        let writer = call.writer(part.subresource());
        let (object, managed) = laid_over(call, writer, (old, managed), (config, options), &mut own)?;
        change::check_kubelet(&call.user, &call.resource, part, &object, old)?;
        Ok(Made { object, managed: Some(managed) })
    };
    let how = Change { part, dry_run: options.dry_run, ..call.change() };
    let changed = apply_managed(call.state, &how, &mut change, &mut warnings).await?;
    call.warnings.append(&mut own);
    call.warnings.append(&mut warnings);
    Ok(change::answer(call, changed))
}

async fn create_object(
    call: &mut Call<'_>,
    config: &Config,
    options: &WriteOptions,
) -> Result<Response<Body>, Status> {
    let nothing = managers::nothing(&call.resource);
    let mut warnings = Vec::new();
    let writer = call.writer("");
    let (mut object, managed) = laid_over(call, writer, (&nothing, ""), (config, options), &mut warnings)?;
    let uid = meta::text(&object, "uid");
    if !uid.is_empty() {
        let why = format!(
            "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
        );
        return Err(Status::conflict(&call.resource.group, &call.resource.plural, &call.name, &why));
    }
    may_create(call)?;
    meta::set(&mut object, "resourceVersion", Value::Null);
    call.warnings.append(&mut warnings);
    create::admitted(call, object, Managed::As(&managed), options.dry_run).await
}

/// The object of the path with the configuration, decoded and with its defaults, and who manages its fields.
fn laid_over(
    call: &Call<'_>,
    writer: Writer<'_>,
    (live, managed): (&Value, &str),
    (config, options): (&Config, &WriteOptions),
    warnings: &mut Vec<String>,
) -> Result<(Value, String), Status> {
    let resource = &*call.resource;
    config.check_kind(&resource.group, &resource.version, &resource.kind)?;
    let (object, managed) =
        managers::applied(call.state, resource, writer, live, (&config.value, managed), options.force)?;
    config.check(options.field_validation, warnings)?;
    if meta::text(&object, "name").is_empty() {
        return Err(Status::bad_request(format!(
            "the name of the object ({} based on URL) was undeterminable: name must be provided",
            call.name
        )));
    }
    let mut object = decoded(resource, &object, &config.value)?;
    convert_and_default(resource, &mut object)?;
    create::ensure_namespace(&mut object, resource, &call.namespace)?;
    change::same_name(&mut object, &call.name)?;
    Ok((object, managed))
}

fn decoded(resource: &Resource, object: &Value, config: &Value) -> Result<Value, Status> {
    let decoded = model_of(resource)?.decode(&encode::to_vec(object)).map_err(|error| {
        let which = managers::named(resource, config);
        let kind = kind_of(&resource.group, &resource.version, &resource.kind);
        Status::unclassified(format!(
            "failed to convert new object ({which}) to proper version: unable to convert unstructured object to {kind}: \
             {error}"
        ))
    })?;
    Ok(decoded.value)
}

/// Who applies what is not there yet creates it, and must be allowed to.
fn may_create(call: &Call<'_>) -> Result<(), Status> {
    let Resource { group, version, plural, .. } = &*call.resource;
    let resource = Asked {
        group: group.to_string(),
        version: version.to_string(),
        resource: plural.to_string(),
        namespace: call.namespace.clone(),
        name: call.name.clone(),
        ..Asked::default()
    };
    let asked = Attributes { verb: "create".into(), path: String::new(), resource: Some(resource) };
    authz::authorize(call.state, &call.user, &asked)
}
