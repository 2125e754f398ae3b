//! Applies manifests to a cluster as `kubectl apply` does, on the client's side.

use everynode_client::{Client, Error, content_type};
use everynode_wire::patch::three_way;
use everynode_wire::resource::Resource;
use everynode_wire::{Value, schema};
use serde_json::json;

use super::sources::{Document, SourceError};

/// How often an object that somebody else changes meanwhile is tried.
const CONFLICT_TRIES: usize = 5;

/// What became of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The object, as kubectl names it: `daemonset.apps/agent`.
    pub object: String,
    /// What was done.
    pub outcome: Outcome,
}

/// What was done with one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It did not exist.
    Created,
    /// It existed and differed.
    Configured,
    /// It was as the manifest says.
    Unchanged,
}

impl std::fmt::Display for Applied {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let outcome = match self.outcome {
            Outcome::Created => "created",
            Outcome::Configured => "configured",
            Outcome::Unchanged => "unchanged",
        };
        write!(f, "{} {outcome}", self.object)
    }
}

/// Applies one document in the name of a field manager. Unknown fields are refused, as kubectl refuses them.
///
/// # Errors
/// The server's refusal with the place in the file.
pub async fn apply(client: &Client, document: &Document, manager: &str) -> Result<Applied, SourceError> {
    let refuse = |message: String| SourceError { place: document.place.clone(), message };
    let target = Target::of(&document.object).map_err(&refuse)?;
    let mut tries = 0;
    loop {
        tries += 1;
        match apply_once(client, &target, &document.object, manager).await {
            Ok(outcome) => return Ok(Applied { object: target.title(), outcome }),
            Err(error) if error.is_conflict() && tries < CONFLICT_TRIES => {}
            Err(error) => return Err(refuse(format!("{}: {error}", target.title()))),
        }
    }
}

async fn apply_once(
    client: &Client,
    target: &Target<'_>,
    manifest: &Value,
    manager: &str,
) -> Result<Outcome, Error> {
    let path = target.path();
    let live: Value = match client.get(&path).await {
        Ok(live) => serde_json::from_slice(&live).map_err(|error| Error::Decode(error.to_string()))?,
        Err(error) if error.is_not_found() => return create(client, target, manifest, manager).await,
        Err(error) => return Err(error),
    };
    let last = live["metadata"]["annotations"][three_way::LAST_APPLIED].as_str().unwrap_or("null");
    let last: Value = serde_json::from_str(last).unwrap_or_default();
    let ty = schema::type_named(target.resource.type_name);
    let patch = three_way::patch(ty, &last, &target.annotated(manifest));
    let query = format!("{path}?fieldManager={manager}&fieldValidation=Strict");
    let body = everynode_wire::encode::to_vec(&patch);
    let after = client.patch(&query, content_type::STRATEGIC_MERGE_PATCH, body).await?;
    let after: Value = serde_json::from_slice(&after).map_err(|error| Error::Decode(error.to_string()))?;
    let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
    Ok(if version(&after) == version(&live) { Outcome::Unchanged } else { Outcome::Configured })
}

async fn create(
    client: &Client,
    target: &Target<'_>,
    manifest: &Value,
    manager: &str,
) -> Result<Outcome, Error> {
    let path = format!("{}?fieldManager={manager}&fieldValidation=Strict", target.collection());
    client.post(&path, everynode_wire::encode::to_vec(&target.annotated(manifest))).await?;
    Ok(Outcome::Created)
}

/// Where an object belongs.
pub(super) struct Target<'a> {
    resource: &'static Resource,
    namespace: &'a str,
    name: &'a str,
}

impl<'a> Target<'a> {
    pub(super) fn of(object: &'a Value) -> Result<Target<'a>, String> {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (version, kind) = (text("/apiVersion"), text("/kind"));
        if version.is_empty() || kind.is_empty() {
            return Err("apiVersion and kind must be set: is this a Kubernetes manifest?".into());
        }
        let (group, version_name) = version.split_once('/').unwrap_or(("", version));
        let resource = everynode_wire::resource_for_kind(group, version_name, kind).ok_or_else(|| {
            let hint = kind_hint(group, version_name, kind);
            format!("no kind \"{kind}\" in version \"{version}\" is served here; {hint}")
        })?;
        let name = text("/metadata/name");
        if name.is_empty() {
            return Err(format!("{kind}: metadata.name must be set (generateName cannot be applied)"));
        }
        for (field, value) in [("name", name), ("namespace", text("/metadata/namespace"))] {
            let fits = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
            if !value.chars().all(fits) || value == ".." {
                return Err(format!(
                    "{kind}: metadata.{field}: Invalid value: {value:?}: no object can be named so"
                ));
            }
        }
        let namespace = match (resource.namespaced, text("/metadata/namespace")) {
            (false, _) => "",
            (true, "") => "default",
            (true, namespace) => namespace,
        };
        Ok(Target { resource, namespace, name })
    }

    /// The manifest with itself in the annotation that kubectl reads on the next apply.
    fn annotated(&self, manifest: &Value) -> Value {
        let mut bare = manifest.clone();
        if let Some(metadata) = bare["metadata"].as_object_mut().filter(|_| !self.resource.namespaced) {
            // As kubectl does: a namespace on an object that has none is dropped, not refused.
            metadata.shift_remove("namespace");
        }
        match bare.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
            Some(annotations) => drop(annotations.shift_remove(three_way::LAST_APPLIED)),
            None => bare["metadata"]["annotations"] = json!({}),
        }
        let mut text = everynode_wire::encode::canonical(&bare);
        text.push(b'\n');
        let text = String::from_utf8_lossy(&text).into_owned();
        bare["metadata"]["annotations"][three_way::LAST_APPLIED] = text.into();
        bare
    }

    fn collection(&self) -> String {
        let Resource { group, version, plural, .. } = self.resource;
        let root =
            if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
        match self.namespace.is_empty() {
            true => format!("{root}/{plural}"),
            false => format!("{root}/namespaces/{}/{plural}", self.namespace),
        }
    }

    pub(super) fn path(&self) -> String {
        format!("{}/{}", self.collection(), self.name)
    }

    pub(super) fn title(&self) -> String {
        let Resource { singular, group, .. } = self.resource;
        match group.is_empty() {
            true => format!("{singular}/{}", self.name),
            false => format!("{singular}.{group}/{}", self.name),
        }
    }
}

/// What to do about a kind that is not served.
fn kind_hint(group: &str, version: &str, kind: &str) -> String {
    let resources = everynode_wire::resources();
    let served = |r: &&Resource| r.kind.eq_ignore_ascii_case(kind);
    if let Some(found) = resources.iter().find(|r| served(r) && r.group == group && r.version == version) {
        return format!("kinds are written as they are: did you mean \"{}\"?", found.kind);
    }
    match resources.iter().find(served) {
        Some(Resource { group: "", version, kind, .. }) => {
            format!("\"{kind}\" is served in version \"{version}\"")
        }
        Some(Resource { group, version, kind, .. }) => {
            format!("\"{kind}\" is served in version \"{group}/{version}\"")
        }
        None if kind == "CustomResourceDefinition"
            || (group.contains('.') && !group.ends_with(".k8s.io")) =>
        {
            "custom resources are not supported, and the daemons run without them".into()
        }
        None => "docs/api.md lists the kinds".into(),
    }
}

/// Namespaces first, as they hold the others; otherwise in the order of the files.
pub fn in_order(mut documents: Vec<Document>) -> Vec<Document> {
    documents.sort_by_key(|document| document.object["kind"] != "Namespace");
    documents
}

/// Creates the namespaces that the documents use, none of them brings, and the cluster has not: whoever tries a
/// vendor's manifest wants to see its daemons.
///
/// # Errors
/// The server's refusal, with the place of a document that uses the namespace.
pub async fn create_missing_namespaces(
    client: &Client,
    documents: &[Document],
) -> Result<Vec<Applied>, SourceError> {
    let mut created = Vec::new();
    for (name, place) in missing_namespaces(documents) {
        let refuse =
            |error: Error| SourceError { place: place.into(), message: format!("namespace/{name}: {error}") };
        match client.get(&format!("/api/v1/namespaces/{name}")).await {
            Ok(_) => continue,
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(refuse(error)),
        }
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        client.post("/api/v1/namespaces", body.to_string()).await.map_err(refuse)?;
        created.push(Applied { object: format!("namespace/{name}"), outcome: Outcome::Created });
    }
    Ok(created)
}

fn missing_namespaces(documents: &[Document]) -> Vec<(&str, &str)> {
    let is_namespace = |document: &&Document| document.object["kind"] == "Namespace";
    let name = |document: &Document| document.object["metadata"]["name"].clone();
    let brought: Vec<Value> = documents.iter().filter(is_namespace).map(name).collect();
    let mut missing: Vec<(&str, &str)> = Vec::new();
    for document in documents {
        // What cannot be applied needs no namespace; it is refused when its turn comes.
        let Ok(Target { namespace: name, .. }) = Target::of(&document.object) else { continue };
        if name.is_empty() || name == "default" {
            continue;
        }
        if !brought.iter().any(|brought| brought == name) && !missing.iter().any(|(known, _)| *known == name)
        {
            missing.push((name, &document.place));
        }
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(kind: &str, name: &str, namespace: Option<&str>) -> Document {
        let version = match kind {
            "DaemonSet" => "apps/v1",
            "ClusterRole" => "rbac.authorization.k8s.io/v1",
            _ => "v1",
        };
        let mut object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": name}});
        if let Some(namespace) = namespace {
            object["metadata"]["namespace"] = namespace.into();
        }
        Document { place: format!("{name}.yaml:1"), object }
    }

    #[test]
    fn only_namespaces_that_no_document_brings_are_missing() {
        let documents = [
            document("DaemonSet", "a", Some("one")),
            document("ConfigMap", "b", Some("one")),
            document("DaemonSet", "c", Some("two")),
            document("Namespace", "two", None),
            document("ClusterRole", "d", Some("three")),
            document("Unknown", "e", Some("four")),
        ];
        assert_eq!(missing_namespaces(&documents), [("one", "a.yaml:1")]);
    }

    #[test]
    fn a_kind_that_is_not_served_is_refused_with_advice() {
        let check = |version: &str, kind: &str, advice: &str| {
            let object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": "x"}});
            let message = Target::of(&object).err().unwrap_or_default();
            assert!(message.ends_with(advice), "{message}");
        };
        check("apps/v1", "Daemonset", "did you mean \"DaemonSet\"?");
        check("apps/v1beta1", "DaemonSet", "is served in version \"apps/v1\"");
        check("v1", "ClusterRole", "is served in version \"rbac.authorization.k8s.io/v1\"");
        check("monitoring.coreos.com/v1", "ServiceMonitor", "the daemons run without them");
        check("v1", "Nope", "docs/api.md lists the kinds");
    }

    #[test]
    fn namespaces_come_first_and_the_rest_keeps_its_order() {
        let documents = vec![
            document("DaemonSet", "b", None),
            document("Namespace", "n", None),
            document("Service", "a", None),
        ];
        let names: Vec<_> =
            in_order(documents).iter().map(|d| d.object["metadata"]["name"].clone()).collect();
        assert_eq!(names, ["n", "b", "a"]);
    }

    #[test]
    fn the_annotation_holds_the_manifest_as_kubectl_writes_it() {
        let manifest = json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "c"}});
        let annotated = Target::of(&manifest).unwrap().annotated(&manifest);
        let text = annotated["metadata"]["annotations"][three_way::LAST_APPLIED].as_str().unwrap();
        assert_eq!(
            text,
            "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"annotations\":{},\"name\":\"c\"}}\n"
        );
    }
}
