//! The objects of a fleet that decide about new pods: namespaces, service accounts, classes, limit ranges and quotas.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use everynode_admission::{Kind, View, check_new, convert_and_default};
use everynode_apimachinery::decode::{Body, decode_body};
use everynode_apimachinery::kinds::SYSTEM_PRIORITIES;
use everynode_apimachinery::schema;
use everynode_apimachinery::status::Status;
use everynode_model::encode;
use serde_json::{Map, Value, json};

use crate::manifest::Written;

/// Namespaces that every cluster has.
const SYSTEM_NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];
/// The parts of an object that are kept, beside what names it.
const KEPT: [&str; 9] = [
    "spec",
    "status",
    "value",
    "globalDefault",
    "preemptionPolicy",
    "overhead",
    "scheduling",
    "automountServiceAccountToken",
    "imagePullSecrets",
];

/// By kind, namespace and name.
type Objects = BTreeMap<(Kind, String, String), Value>;

/// The objects. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    objects: Arc<Objects>,
    unseen: BTreeSet<Kind>,
}

/// The parts of a served object that decide about pods.
pub(crate) fn recorded(object: &Value) -> Value {
    let metadata = &object["metadata"];
    let mut kept = Map::new();
    kept.insert("metadata".into(), json!({"name": metadata["name"], "namespace": metadata["namespace"]}));
    for key in KEPT {
        if let Some(value) = object.get(key) {
            kept.insert(key.into(), value.clone());
        }
    }
    kept.into()
}

impl Surroundings {
    /// Adds an object, or puts it in the place of that of its name.
    pub fn insert(&mut self, kind: Kind, object: Value) {
        let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default().to_owned();
        let namespace = if kind.is_namespaced() { text("namespace") } else { String::new() };
        Arc::make_mut(&mut self.objects).insert((kind, namespace, text("name")), object);
    }

    /// Whether a namespace is there.
    pub fn has_namespace(&self, name: &str) -> bool {
        self.get(Kind::Namespace, "", name).is_some()
    }

    /// Objects of a kind could not be seen, so that those that are missed are taken as there, with nothing in them.
    pub fn miss(&mut self, kind: Kind) {
        self.unseen.insert(kind);
    }

    /// Adds the objects of a manifest, as applying it does.
    ///
    /// # Errors
    /// What the API server would refuse, a sentence each.
    pub fn apply(&mut self, written: &[Written]) -> Result<(), Vec<String>> {
        let mut problems = Vec::new();
        for one in written {
            let Some(kind) = Kind::of(&one.object) else { continue };
            match applied(kind, one) {
                Ok(mut object) => {
                    // What is used of a quota stays.
                    let before = self.get(kind, &one.namespace, &one.name);
                    let used = before.and_then(|before| before.pointer("/status/used").cloned());
                    if let Some(used) = used.filter(|_| kind == Kind::ResourceQuota) {
                        object["status"] = json!({ "used": used });
                    }
                    self.insert(kind, object);
                }
                Err(status) => problems.push(format!("{}: {}", one.place, status.message)),
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    /// What a cluster has without anybody's doing, or takes to have where it cannot be seen.
    fn assumed(&self, kind: Kind, namespace: &str, name: &str) -> Option<Value> {
        let system = SYSTEM_PRIORITIES.iter().find(|(system, _)| *system == name);
        match kind {
            Kind::Namespace if SYSTEM_NAMESPACES.contains(&name) => Some(json!({})),
            // A controller makes it with each namespace.
            Kind::ServiceAccount if name == "default" && self.has_namespace(namespace) => Some(json!({})),
            Kind::PriorityClass if system.is_some() => system.map(|(_, value)| json!({ "value": value })),
            kind if self.unseen.contains(&kind) => Some(json!({})),
            _ => None,
        }
    }
}

/// An object of a manifest as it would be served.
fn applied(kind: Kind, written: &Written) -> Result<Value, Status> {
    let missing = || Status::internal(format!("{} is not known", kind.name()));
    let resource =
        everynode_apimachinery::resource_for_kind(kind.group(), "v1", kind.name()).ok_or_else(missing)?;
    let ty = schema::type_named(resource.type_name).ok_or_else(missing)?;
    let body = Body { group: kind.group(), version: "v1", kind: kind.name(), ty };
    let mut manifest = written.object.clone();
    if kind.is_namespaced() {
        manifest["metadata"]["namespace"] = written.namespace.as_str().into();
    } else if let Some(metadata) = manifest["metadata"].as_object_mut() {
        // As kubectl does: a namespace on an object that has none is dropped, not refused.
        metadata.shift_remove("namespace");
    }
    let mut object = body.strict(decode_body(&body, &encode::to_vec(&manifest), false)?)?;
    convert_and_default(resource, &mut object)?;
    resource.rules.prepare_create(&mut object);
    check_new(resource, &object)?;
    Ok(recorded(&object))
}

impl View for Surroundings {
    fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<Value> {
        let known = self.objects.get(&(kind, namespace.to_owned(), name.to_owned())).cloned();
        known.or_else(|| self.assumed(kind, namespace, name))
    }

    fn list(&self, kind: Kind, namespace: &str) -> Vec<Value> {
        let namespace = if kind.is_namespaced() { namespace } else { "" };
        let from = (kind, namespace.to_owned(), String::new());
        let is_in = |(one, ns, _): &&(Kind, String, String)| *one == kind && ns == namespace;
        let found = self.objects.range(from..).take_while(|(key, _)| is_in(key));
        found.map(|(_, object)| object.clone()).collect()
    }

    fn node_label(&self, _: &str, _: &str) -> Option<String> {
        None
    }
}
