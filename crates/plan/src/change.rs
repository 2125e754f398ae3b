//! From a manifest to the DaemonSet that the API server would have after `kubectl apply`.

use everynode_admission::{convert_and_default, errors_of_new, namespace_is_open};
use everynode_apimachinery::decode::{Body, decode_body};
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
        let (new, more) = match &live {
            None => created(resource, decoded, fleet, &mut errors).map_err(one)?,
            Some(live) => updated(resource, ty, live, &manifest, fleet, &mut errors).map_err(one)?,
        };
        if !errors.is_empty() {
            errors.dedup();
            return Err(errors.iter().map(|error| format!("{}: {error}", written.place)).collect());
        }
        let warnings = written.warnings.iter().cloned().chain(more).collect();
        let (namespace, name) = (written.namespace.clone(), written.name.clone());
        let written_sha256 = hex(&Sha256::digest(encode::canonical(&written.object)));
        Ok(Change { namespace, name, live, new, warnings, written_sha256 })
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

fn updated(
    resource: &Resource,
    ty: &'static Type,
    live: &Value,
    manifest: &Value,
    fleet: &Fleet,
    errors: &mut Vec<FieldError>,
) -> Result<(Value, Vec<String>), Status> {
    let last = live["metadata"]["annotations"][three_way::LAST_APPLIED].as_str().unwrap_or("null");
    let last: Value = serde_json::from_str(last).unwrap_or_default();
    let patch = three_way::patch(Some(ty), &last, manifest);
    let mut new = strategic_merge(ty, live, &encode::to_vec(&patch))?.strict()?;
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
