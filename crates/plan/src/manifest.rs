//! What a manifest holds of what a plan is about.

use everynode_admission::Kind;
use everynode_api::rollout_policy::KIND;
use everynode_apimachinery::manifest;
use everynode_model::Value;

/// What a manifest holds.
#[derive(Debug, Default)]
pub struct Manifest {
    /// The DaemonSets, as written.
    pub daemonsets: Vec<Written>,
    /// The RolloutPolicies, as written.
    pub policies: Vec<Written>,
    /// The objects that decide about new pods, as written: they are there for the plan.
    pub surroundings: Vec<Written>,
    /// What else is in it, such as `ConfigMap agent`: it is not planned.
    pub ignored: Vec<String>,
    /// What cannot be read, a sentence each.
    pub problems: Vec<String>,
}

/// An object of a manifest.
#[derive(Clone, Debug)]
pub struct Written {
    /// File and line.
    pub place: String,
    /// metadata.namespace, `default` when there is none; empty for kinds without.
    pub namespace: String,
    /// metadata.name.
    pub name: String,
    /// The object as written.
    pub object: Value,
    /// What is odd in the text and was read nevertheless, such as a key that stands twice.
    pub warnings: Vec<String>,
}

impl Manifest {
    /// Reads the text of a file.
    pub fn read(file: &str, text: &str, default_namespace: &str) -> Manifest {
        let mut result = Manifest::default();
        for document in manifest::documents(text) {
            match document {
                Err(error) => result.problems.push(format!("{file}: {error}")),
                Ok(document) => {
                    let place = format!("{file}:{}", document.line);
                    let warning = |one: &manifest::Warning| format!("{file}: {one}");
                    let warnings = document.warnings.iter().map(warning).collect();
                    result.take(place, document.value, warnings, default_namespace);
                }
            }
        }
        if result.daemonsets.is_empty() && result.problems.is_empty() {
            result.problems.push(format!("{file}: there is no DaemonSet in it"));
        }
        result
    }

    fn take(&mut self, place: String, object: Value, warnings: Vec<String>, default_namespace: &str) {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (version, kind, name) = (text("/apiVersion"), text("/kind"), text("/metadata/name"));
        let around = Kind::of(&object);
        let served = match kind {
            "DaemonSet" => "apps/v1",
            KIND => everynode_api::API_VERSION,
            _ if around.is_some() => version,
            _ => "",
        };
        if served.is_empty() {
            match kind {
                "" => self.problems.push(format!("{place}: kind is not set: is this a Kubernetes manifest?")),
                kind => self.ignored.push(format!("{kind} {name}").trim_end().to_owned()),
            }
            return;
        }
        if version != served {
            self.problems.push(format!(
                "{place}: {kind} {name}: no kind \"{kind}\" is served in version {version:?}: write {served}"
            ));
            return;
        }
        if name.is_empty() {
            let generated = !text("/metadata/generateName").is_empty();
            let hint = if generated { ": as kubectl apply, a plan takes no generateName" } else { "" };
            self.problems.push(format!("{place}: {kind}: metadata.name must be set{hint}"));
            return;
        }
        let namespace = match text("/metadata/namespace") {
            _ if around.is_some_and(|kind| !kind.is_namespaced()) => "",
            "" => default_namespace,
            namespace => namespace,
        };
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        let list = match kind {
            "DaemonSet" => &mut self.daemonsets,
            "RolloutPolicy" => &mut self.policies,
            _ => &mut self.surroundings,
        };
        list.push(Written { place, namespace, name, object, warnings });
    }
}
