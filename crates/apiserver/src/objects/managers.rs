//! Who manages the fields of stored objects, and how a write changes that.

use std::borrow::Cow;
use std::sync::Arc;

use everynode_apimachinery::decode;
use everynode_apimachinery::managed::{
    Applied, ApplyError, Context, MAX_BYTES, MAX_ENTRIES, ManagedFields, OneVersion, Reset, Versions, View,
    from_scale, in_scale,
};
use everynode_apimachinery::resource::{Model, Resource};
use everynode_apimachinery::schema::Type;
use everynode_apimachinery::status::{FieldError, Reason, Status};
use everynode_model::{Object, Value};

use crate::catalog::Registry;
use crate::http::query;
use crate::state::State;

/// Where an object says who manages its fields.
pub const FIELD: &str = "managedFields";

/// Who writes, as the fields that it writes come to be managed by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Writer<'a> {
    /// The name, as the client gives it.
    pub manager: &'a str,
    /// The subresource by which it writes, or empty.
    pub subresource: &'a str,
}

/// The server itself, where it writes as one of its own controllers does elsewhere.
pub const SERVER: &str = "kube-apiserver";

/// The versions of a resource, as they are served now.
#[derive(Debug)]
struct Served<'a> {
    resource: &'a Resource,
    own: Model,
    own_version: String,
    others: Vec<(String, Arc<Resource>, Model)>,
}

impl<'a> Served<'a> {
    fn new(registry: &Registry, resource: &'a Resource, managed: &ManagedFields) -> Option<Served<'a>> {
        let own_version = resource.api_version();
        let mut others: Vec<(String, Arc<Resource>, Model)> = Vec::new();
        let table = registry.find(&resource.group, &resource.version, &resource.plural).map(|own| own.table);
        for entry in managed.entries() {
            let version = &*entry.version;
            if version == own_version || others.iter().any(|(known, ..)| *known == *version) {
                continue;
            }
            let (group, name) = version.split_once('/').unwrap_or(("", version));
            let found = registry.find(group, name, &resource.plural);
            let same = found.filter(|other| Some(other.table) == table && other.table.is_some());
            if let Some(other) = same
                && let Some(model) = other.resource.model()
            {
                others.push((version.to_owned(), other.resource.clone(), model));
            }
        }
        Some(Served { own: resource.model()?, own_version, resource, others })
    }

    fn resource_of(&self, version: &str) -> Option<&Resource> {
        if version == self.own_version {
            return Some(self.resource);
        }
        self.others.iter().find(|(known, ..)| known == version).map(|(_, resource, _)| &**resource)
    }
}

impl Versions for Served<'_> {
    fn view(&self, version: &str) -> Option<View<'_>> {
        if version == self.own_version {
            return Some(View::of(&self.own));
        }
        self.others.iter().find(|(known, ..)| known == version).map(|(.., model)| View::of(model))
    }

    fn convert(&self, object: &Value, to: &str) -> Option<Value> {
        let from = object.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
        let (from, to) = (self.resource_of(from)?, self.resource_of(to)?);
        let stored = match &from.stored_as {
            Some(form) => form.to_stored(object.clone()),
            None => object.clone(),
        };
        Some(match &to.stored_as {
            Some(form) => form.shown_form(stored),
            None => stored,
        })
    }

    fn nothing(&self) -> Value {
        nothing(self.resource)
    }
}

/// An object before it is there.
pub fn nothing(resource: &Resource) -> Value {
    let mut object = match resource.model() {
        Some(Model::Typed(ty)) => decode::normalize(ty, &Value::Object(Object::new())).unwrap_or_default(),
        _ => Value::Object(Object::new()),
    };
    if let Value::Object(fields) = &mut object {
        fields.insert("kind".into(), (*resource.kind).into());
        fields.insert("apiVersion".into(), resource.api_version().into());
    }
    object
}

/// What a client says about who manages the fields, taken out of the object that it sent.
pub fn take(object: &mut Value) -> Option<Value> {
    let metadata = object.get_mut("metadata").and_then(Value::as_object_mut)?;
    metadata.shift_remove(FIELD).filter(|value| !value.is_null())
}

/// A client clears who manages the fields by an empty list, too. Decoding takes that for nothing: what was sent tells.
pub fn note_cleared(object: &mut Value, sent: &[u8]) {
    let is_said = object.get("metadata").is_some_and(|metadata| metadata.get(FIELD).is_some());
    if is_said || memchr::memmem::find(sent, FIELD.as_bytes()).is_none() {
        return;
    }
    let sent: Value = serde_json::from_slice(sent).unwrap_or_default();
    let is_empty = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
    let by_object = sent.pointer("/metadata/managedFields").is_some_and(is_empty);
    let by_steps = sent
        .as_array()
        .into_iter()
        .flatten()
        .any(|step| step["path"] == "/metadata/managedFields" && step.get("value").is_some_and(is_empty));
    if by_object || by_steps {
        crate::meta::set(object, FIELD, vec![Value::Object(Object::new())]);
    }
}

/// Shows who manages the fields of an object.
pub fn put(object: &mut Value, managed: &str) {
    if let Ok(managed) = serde_json::from_str::<Value>(managed) {
        crate::meta::set(object, FIELD, managed);
    }
}

/// Who manages the fields before a write, by what is stored and what the client says: it may change that, or clear it by
/// one empty entry. What cannot be read is not listened to.
fn before(stored: &str, sent: Option<&Value>, writer: Writer<'_>) -> ManagedFields {
    let Some(sent) = sent.filter(|_| writer.subresource.is_empty()) else {
        return ManagedFields::stored(stored);
    };
    if is_cleared(sent) {
        return ManagedFields::default();
    }
    match ManagedFields::read(sent) {
        Ok(managed) if !managed.is_empty() => managed,
        _ => ManagedFields::stored(stored),
    }
}

fn is_cleared(sent: &Value) -> bool {
    match sent.as_array().map(Vec::as_slice) {
        Some([]) => true,
        Some([Value::Object(entry)]) => entry.is_empty(),
        _ => false,
    }
}

/// Checks what a client says about who manages the fields.
pub fn check(sent: Option<&Value>, errors: &mut Vec<FieldError>) {
    let entries = sent.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if sent.is_some_and(is_cleared) || ManagedFields::read(&Value::Array(entries.to_vec())).is_err() {
        return;
    }
    for (at, entry) in entries.iter().enumerate() {
        let name = entry.get("manager").and_then(Value::as_str).unwrap_or_default();
        query::check_manager(name, &format!("metadata.managedFields[{at}].manager"), errors);
    }
}

/// Who manages the fields after a write of any form but apply, as text. `stored` is what is known of the old object,
/// none for a new one; `sent` what the client says about it.
pub fn updated<'s>(
    state: &State,
    resource: &Resource,
    writer: Writer<'_>,
    (old, new): (&Value, &Value),
    stored: Option<&'s str>,
    sent: Option<&Value>,
) -> Cow<'s, str> {
    let known = stored.unwrap_or_default();
    // Nobody is known to manage anything, and that stays so until somebody applies.
    if known.is_empty() && stored.is_some() && sent.is_none() {
        return Cow::Borrowed(known);
    }
    let tracked = resource.rules.as_tracked(new);
    let new = tracked.as_ref().unwrap_or(new);
    let managed = before(known, sent, writer);
    let Some(served) = Served::new(&state.catalog.registry(), resource, &managed) else {
        return Cow::Borrowed(known);
    };
    let reset = Reset::of(resource, writer.subresource);
    let context = context(&served, writer, &reset, state.now());
    let managed = context.update(old, new, managed, stored.is_none());
    // Who manages what is never worth refusing a write for.
    Cow::Owned(bounded(&managed).unwrap_or_default())
}

/// An object to which a configuration was applied, and who manages its fields, as text.
///
/// # Errors
/// The refusal, in the words of the API.
pub fn applied(
    state: &State,
    resource: &Resource,
    writer: Writer<'_>,
    live: &Value,
    (config, stored): (&Value, &str),
    force: bool,
) -> Result<(Value, String), Status> {
    let managed = ManagedFields::stored(stored);
    let served = Served::new(&state.catalog.registry(), resource, &managed)
        .ok_or_else(|| Status::internal(format!("no schema for {}", resource.type_name)))?;
    let reset = Reset::of(resource, writer.subresource);
    let context = context(&served, writer, &reset, state.now());
    match context.apply(live, config, managed, force) {
        Ok(Applied { object, managed }) => {
            let text = bounded(&managed).ok_or_else(|| {
                let why = format!("an object has at most {MAX_ENTRIES} managers, in {MAX_BYTES} bytes");
                Status::new(Reason::RequestEntityTooLarge, why)
            })?;
            Ok((object, text))
        }
        Err(ApplyError::Conflicts(conflicts)) => Err(conflicts.status()),
        Err(ApplyError::Schema(why)) => {
            let which = named(resource, config);
            Err(Status::unclassified(format!("failed to create typed patch object ({which}): {why}")))
        }
    }
}

/// The version of scales.
const SCALE_VERSION: &str = "autoscaling/v1";

/// How the scale of an object is written.
#[derive(Debug, Clone, Copy)]
pub enum ScaleWrite<'a> {
    /// It becomes this one.
    Update(&'a Value),
    /// This is applied to it, and taken from others where that is asked for.
    Apply(&'a Value, bool),
}

/// The scale of an object after a write, and who manages the fields of the object then, as text. `replicas` says where
/// a version of the resource keeps the replicas.
///
/// # Errors
/// The refusal of an apply, in the words of the API.
pub fn scaled(
    state: &State,
    resource: &Resource,
    manager: &str,
    (live, stored, ty): (&Value, &str, &'static Type),
    write: ScaleWrite<'_>,
    replicas: &dyn Fn(&Resource) -> Vec<String>,
) -> Result<(Value, String), Status> {
    let managed = ManagedFields::stored(stored);
    let no_schema = || Status::internal(format!("no schema for {}", resource.type_name));
    let served = Served::new(&state.catalog.registry(), resource, &managed).ok_or_else(no_schema)?;
    let path = |version: &str| served.resource_of(version).map(replicas);
    let (versions, reset) = (OneVersion { version: SCALE_VERSION, ty }, Reset::NOTHING);
    let context = Context {
        versions: &versions,
        version: SCALE_VERSION,
        manager,
        subresource: "scale",
        reset: &reset,
        now: state.now(),
    };
    let before = in_scale(&managed, &path);
    let (scale, after) = match write {
        ScaleWrite::Update(new) => (new.clone(), context.update(live, new, before, false)),
        ScaleWrite::Apply(config, force) => match context.apply(live, config, before, force) {
            Ok(applied) => (applied.object, applied.managed),
            Err(ApplyError::Conflicts(conflicts)) => return Err(conflicts.status()),
            Err(ApplyError::Schema(why)) => {
                let which = named_as(&kind_of("autoscaling", "v1", "Scale"), config);
                let why = format!("failed to create typed patch object ({which}): {why}");
                return Err(Status::unclassified(why));
            }
        },
    };
    let managed = from_scale(&managed, &after, &served.own_version, &path);
    Ok((scale, bounded(&managed).unwrap_or_default()))
}

fn context<'c>(served: &'c Served<'c>, writer: Writer<'c>, reset: &'c Reset, now: i64) -> Context<'c> {
    Context {
        versions: served,
        version: &served.own_version,
        manager: writer.manager,
        subresource: writer.subresource,
        reset,
        now,
    }
}

/// The entries as text, unless they are too many or too long.
fn bounded(managed: &ManagedFields) -> Option<String> {
    let text = managed.text();
    (managed.entries().len() <= MAX_ENTRIES && text.len() <= MAX_BYTES).then_some(text)
}

/// An object as errors about it name it: `namespace/name; group/version, Kind=Kind`.
pub fn named(resource: &Resource, object: &Value) -> String {
    named_as(&kind_of(&resource.group, &resource.version, &resource.kind), object)
}

fn named_as(kind: &str, object: &Value) -> String {
    let (namespace, name) = (crate::meta::text(object, "namespace"), crate::meta::text(object, "name"));
    format!("{namespace}/{name}; {kind}")
}

/// A kind as such errors show it: `apps/v1, Kind=DaemonSet`.
pub fn kind_of(group: &str, version: &str, kind: &str) -> String {
    format!("{group}/{version}, Kind={kind}")
}

/// Whether two texts of entries differ in nothing but times.
pub fn same_but_times(a: &str, b: &str) -> bool {
    if a == b {
        return true;
    }
    let without_times = |text: &str| {
        let mut value: Value = serde_json::from_str(text).unwrap_or_default();
        for entry in value.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
            entry.shift_remove("time");
        }
        value
    };
    a.len() == b.len() && without_times(a) == without_times(b)
}
