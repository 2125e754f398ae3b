//! From a manifest to the DaemonSet that the API server would have after it was applied: from the client's side as
//! `kubectl apply` does, or by the server where that is how it was applied before.

use everynode_admission::{convert_and_default, errors_of_new, namespace_is_open};
use everynode_apimachinery::decode::{Body, decode_body};
use everynode_apimachinery::managed::{
    ApplyError, Context, Entry, ManagedFields, OneVersion, Operation, Reset,
};
use everynode_apimachinery::patch::{strategic_merge, three_way};
use everynode_apimachinery::resource::Resource;
use everynode_apimachinery::schema::{self, Type};
use everynode_apimachinery::status::{FieldError, Status};
use everynode_apimachinery::validate::meta::validate_metadata_update;
use everynode_model::time;
use everynode_model::{Value, encode};
use sha2::{Digest, Sha256};

use crate::file::hex;
use crate::fleet::Fleet;
use crate::manifest::Written;

/// A change of one DaemonSet.
#[derive(Clone, Debug)]
pub struct Change {
    /// metadata.namespace.
    pub namespace: String,
    /// metadata.name.
    pub name: String,
    /// The DaemonSet as it is, with hidden environment values; `None` for a new one.
    pub live: Option<Value>,
    /// The DaemonSet as it will be, as the API server would serve it.
    pub new: Value,
    /// What the API server warns of.
    pub warnings: Vec<String>,
    /// Who applied it by the server before; the change is of that manager too, by force.
    pub applied_by: Option<String>,
    /// The refusal of a server-side apply that takes no fields from others by force, if it would be refused.
    pub conflicts: Option<String>,
    /// A checksum of the manifest as written.
    pub(crate) written_sha256: String,
}

/// The uid of a DaemonSet that does not exist yet.
const NEW_UID: &str = "00000000-0000-4000-8000-000000000001";

impl Change {
    /// What applying a DaemonSet to a fleet makes of it.
    ///
    /// # Errors
    /// The refusals of the API server, a sentence each.
    pub fn of(written: &Written, fleet: &Fleet) -> Result<Change, Vec<String>> {
        let one = |status: Status| vec![format!("{}: {}", written.place, status.message)];
        let (resource, ty) = daemonset_kind().map_err(one)?;
        let live = fleet.daemonset(&written.namespace, &written.name).cloned();
        let mut manifest = written.object.clone();
        manifest["metadata"]["namespace"] = written.namespace.as_str().into();
        // Annotations are limited, and kubectl apply adds the whole manifest to them.
        three_way::annotate(&mut manifest);
        let body = Body { group: "apps", version: "v1", kind: "DaemonSet", ty };
        let decoded = decode_body(&body, &encode::to_vec(&manifest), false).map_err(one)?;
        let decoded = body.strict(decoded).map_err(one)?;
        fleet.mask.template(&mut manifest["spec"]["template"]);
        let mut errors = Vec::new();
        let (mut applied_by, mut conflicts) = (None, None);
        let (new, more) = match &live {
            None => created(resource, decoded, fleet, &mut errors).map_err(one)?,
            Some(live) => {
                let merged = match Apply::of(live, fleet) {
                    Some(apply) => {
                        let merged = apply.merged(resource, ty, live, manifest).map_err(one)?;
                        (applied_by, conflicts) = (Some(apply.manager), merged.conflicts);
                        merged.object
                    }
                    None => from_the_client(ty, live, &manifest).map_err(one)?,
                };
                updated(resource, live, merged, fleet, &mut errors).map_err(one)?
            }
        };
        if !errors.is_empty() {
            errors.dedup();
            return Err(errors.iter().map(|error| format!("{}: {error}", written.place)).collect());
        }
        let warnings = written.warnings.iter().cloned().chain(more).collect();
        let (namespace, name) = (written.namespace.clone(), written.name.clone());
        let written_sha256 = hex(&Sha256::digest(encode::canonical(&written.object)));
        Ok(Change { namespace, name, live, new, warnings, applied_by, conflicts, written_sha256 })
    }

    /// No change at all: what a plan makes of it is how a DaemonSet goes on as it is.
    pub fn none(live: &Value) -> Change {
        let text = |key: &str| live["metadata"][key].as_str().unwrap_or_default().to_owned();
        Change {
            namespace: text("namespace"),
            name: text("name"),
            live: Some(live.clone()),
            new: live.clone(),
            warnings: Vec::new(),
            applied_by: None,
            conflicts: None,
            written_sha256: String::new(),
        }
    }

    /// Whether pods are made from the same template as before.
    pub fn is_of_same_template(&self) -> bool {
        self.live.as_ref().is_some_and(|live| live["spec"]["template"] == self.new["spec"]["template"])
    }

    /// The uid of the DaemonSet.
    pub fn uid(&self) -> &str {
        self.new["metadata"]["uid"].as_str().unwrap_or_default()
    }
}

fn daemonset_kind() -> Result<(&'static Resource, &'static Type), Status> {
    let missing = || Status::internal("DaemonSets are not known");
    let resource =
        everynode_apimachinery::resource_for_kind("apps", "v1", "DaemonSet").ok_or_else(missing)?;
    Ok((resource, schema::type_named(resource.type_name).ok_or_else(missing)?))
}

fn created(
    resource: &Resource,
    mut object: Value,
    fleet: &Fleet,
    errors: &mut Vec<FieldError>,
) -> Result<(Value, Vec<String>), Status> {
    convert_and_default(resource, &mut object)?;
    let view = fleet.view();
    // One that is missing is told and taken as made: nothing happens before it is.
    if view.has_namespace(object["metadata"]["namespace"].as_str().unwrap_or_default()) {
        namespace_is_open(&view, resource, &object)?;
    }
    object["metadata"]["uid"] = NEW_UID.into();
    object["metadata"]["creationTimestamp"] = time::format(fleet.taken_at_millis.div_euclid(1000)).into();
    resource.rules.prepare_create(&mut object);
    errors.extend(errors_of_new(resource, &object));
    let warnings = resource.rules.warnings(&object, None);
    fleet.mask.daemonset(&mut object);
    Ok((object, warnings))
}

/// What `kubectl apply` makes of a DaemonSet.
fn from_the_client(ty: &'static Type, live: &Value, manifest: &Value) -> Result<Value, Status> {
    let last = live["metadata"]["annotations"][three_way::LAST_APPLIED].as_str().unwrap_or("null");
    let last: Value = serde_json::from_str(last).unwrap_or_default();
    let patch = three_way::patch(Some(ty), &last, manifest);
    strategic_merge(ty, live, &encode::to_vec(&patch))?.strict()
}

/// How a DaemonSet is applied that was applied by the server before, as `kubectl apply --server-side`, `everynode up -f`
/// and Helm 4 do.
struct Apply {
    manager: String,
    managed: ManagedFields,
    now_seconds: i64,
}

/// A DaemonSet to which a configuration was applied, before defaults, and who stood in the way.
struct Merged {
    object: Value,
    conflicts: Option<String>,
}

/// The one version in which DaemonSets are served.
const VERSION: &str = "apps/v1";

impl Apply {
    /// The way of the manager who applied the most of it; nothing where nobody did, or kubectl did from its side.
    fn of(live: &Value, fleet: &Fleet) -> Option<Apply> {
        let metadata = &live["metadata"];
        if metadata["annotations"][three_way::LAST_APPLIED].is_string() {
            return None;
        }
        let managed = ManagedFields::read(&metadata["managedFields"]).ok()?;
        let is_applied = |entry: &&Entry| {
            entry.manager.operation == Operation::Apply && entry.manager.subresource.is_empty()
        };
        let most = managed.entries().iter().filter(is_applied).max_by_key(|entry| entry.set().len())?;
        let manager = most.manager.name.to_string();
        Some(Apply { manager, managed, now_seconds: fleet.taken_at_millis.div_euclid(1000) })
    }

    fn merged(
        &self,
        resource: &Resource,
        ty: &'static Type,
        live: &Value,
        mut manifest: Value,
    ) -> Result<Merged, Status> {
        if let Some(annotations) =
            manifest.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut)
        {
            annotations.shift_remove(three_way::LAST_APPLIED);
        }
        let (versions, reset) = (OneVersion { version: VERSION, ty }, Reset::of(resource, ""));
        let context = Context {
            versions: &versions,
            version: VERSION,
            manager: &self.manager,
            subresource: "",
            reset: &reset,
            now: self.now_seconds,
        };
        let apply = |force| context.apply(live, &manifest, self.managed.clone(), force);
        let failed = |error: ApplyError| Status::unclassified(error.to_string());
        match apply(false) {
            Err(ApplyError::Conflicts(conflicts)) => {
                let object = apply(true).map_err(failed)?.object;
                Ok(Merged { object, conflicts: Some(conflicts.to_string()) })
            }
            applied => Ok(Merged { object: applied.map_err(failed)?.object, conflicts: None }),
        }
    }
}

fn updated(
    resource: &Resource,
    live: &Value,
    mut new: Value,
    fleet: &Fleet,
    errors: &mut Vec<FieldError>,
) -> Result<(Value, Vec<String>), Status> {
    convert_and_default(resource, &mut new)?;
    for kept in ["generation", "uid", "creationTimestamp", "resourceVersion"] {
        new["metadata"][kept] = live["metadata"][kept].clone();
    }
    resource.rules.prepare_update(&mut new, live);
    validate_metadata_update(&new, live, errors);
    resource.validate_finalizer_names(&new, errors);
    resource.rules.validate_update(&new, live, errors);
    let warnings = resource.rules.warnings(&new, Some(live));
    fleet.mask.last_applied(&mut new);
    Ok((new, warnings))
}
