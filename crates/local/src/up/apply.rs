//! Applies manifests to a cluster by server-side apply (KEP-555).

use std::sync::Arc;
use std::time::Duration;

use everynode_apimachinery::patch::three_way;
use everynode_apimachinery::resource::Resource;
use everynode_client::{Backoff, Client, Error, content_type};
use everynode_model::Value;
use serde_json::json;
use tokio::time::{Instant, sleep};

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

/// Applies one document in the name of a field manager. Unknown fields are refused, as kubectl refuses them. What the
/// manifest says holds, also where somebody else said otherwise; what it said before and says no longer goes.
///
/// # Errors
/// The server's refusal with the place in the file.
pub async fn apply(client: &Client, document: &Document, manager: &str) -> Result<Applied, SourceError> {
    let refuse = |message: String| SourceError { place: document.place.clone(), message };
    let target = Target::find(client, &document.object).await.map_err(&refuse)?;
    if target.kind.type_name == "core.v1.Pod" {
        let waited = default_account(client, &target, &document.object).await;
        waited.map_err(|error| refuse(format!("{}: {error}", target.title())))?;
    }
    let mut tries = 0;
    loop {
        tries += 1;
        match apply_once(client, &target, &document.object, manager).await {
            Ok(outcome) => {
                if is_definition(&document.object) {
                    served(client, &document.object).await.map_err(&refuse)?;
                }
                return Ok(Applied { object: target.title(), outcome });
            }
            // Somebody else changed it, or made it, meanwhile.
            Err(error) if (error.is_conflict() || error.is_already_exists()) && tries < CONFLICT_TRIES => {}
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
    let live: Option<Value> = match client.get(&path).await {
        Ok(live) => Some(object(&live)?),
        Err(error) if error.is_not_found() => None,
        Err(error) => return Err(error),
    };
    if let Some(steps) = live.as_ref().and_then(|live| taken_over(live, manager)) {
        client.patch(&path, content_type::JSON_PATCH, steps.to_string()).await?;
    }
    let query = format!("{path}?fieldManager={manager}&fieldValidation=Strict&force=true");
    let body = everynode_model::encode::to_vec(&target.configuration(manifest));
    let after = object(&client.patch(&query, content_type::APPLY_PATCH, body).await?)?;
    Ok(match live {
        None => Outcome::Created,
        Some(live) if is_same(&live, &after) => Outcome::Unchanged,
        Some(_) => Outcome::Configured,
    })
}

/// Whether an object is as it was, but for who manages what of it.
fn is_same(before: &Value, after: &Value) -> bool {
    let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
    if version(before) == version(after) {
        return true;
    }
    let bare = |object: &Value| {
        let mut object = object.clone();
        drop_server_fields(&mut object);
        object
    };
    bare(before) == bare(after)
}

fn object(bytes: &[u8]) -> Result<Value, Error> {
    serde_json::from_slice(bytes).map_err(|error| Error::Decode(error.to_string()))
}

/// The JSON patch by which what a manager applied from the client's side, as earlier versions of everynode did, becomes
/// what it applied by the server; nothing where there is no such thing. Else what goes from the manifest would stay.
fn taken_over(live: &Value, manager: &str) -> Option<Value> {
    let metadata = &live["metadata"];
    metadata["annotations"][three_way::LAST_APPLIED].as_str()?;
    let mut managed = metadata["managedFields"].clone();
    let entries = managed.as_array_mut()?;
    let is_own = |entry: &Value, operation: &str| {
        entry["manager"] == manager && entry["operation"] == operation && entry["subresource"].is_null()
    };
    if entries.iter().any(|entry| is_own(entry, "Apply")) {
        return None;
    }
    entries.iter_mut().find(|entry| is_own(entry, "Update"))?["operation"] = "Apply".into();
    let annotation = three_way::LAST_APPLIED.replace('/', "~1");
    Some(json!([
        {"op": "replace", "path": "/metadata/managedFields", "value": managed},
        {"op": "remove", "path": format!("/metadata/annotations/{annotation}")},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]},
    ]))
}

/// Fields of `metadata` that the server fills in. A manifest that was read from a cluster has them, and they are of
/// that cluster and that moment.
const SERVER_FIELDS: [&str; 6] =
    ["creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid"];

fn drop_server_fields(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|name, _| !SERVER_FIELDS.contains(&name.as_str()));
    }
}

/// What is known of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kind {
    group: String,
    version: String,
    plural: String,
    singular: String,
    namespaced: bool,
    /// The name of its type in the schema; empty for custom resources.
    type_name: &'static str,
}

impl Kind {
    /// The kind of an object, if the server has it from the start.
    fn built_in(group: &str, version: &str, kind: &str) -> Option<Kind> {
        let resource = everynode_apimachinery::resource_for_kind(group, version, kind)?;
        Some(Kind {
            group: group.to_owned(),
            version: version.to_owned(),
            plural: resource.plural.to_string(),
            singular: resource.singular.to_string(),
            namespaced: resource.namespaced,
            type_name: resource.type_name,
        })
    }

    /// The kind of an object, if one of the definitions makes it.
    fn defined(definitions: &[Value], group: &str, version: &str, kind: &str) -> Option<Kind> {
        let makes = |definition: &&Value| {
            let spec = &definition["spec"];
            let versions = spec["versions"].as_array().map_or(&[][..], Vec::as_slice);
            let served = versions.iter().any(|one| one["name"] == version && one["served"] == true);
            spec["group"] == group && spec["names"]["kind"] == kind && served
        };
        let spec = &definitions.iter().find(makes)?["spec"];
        let name = |field: &str| spec["names"][field].as_str().map(str::to_owned);
        Some(Kind {
            group: group.to_owned(),
            version: version.to_owned(),
            plural: name("plural").unwrap_or_default(),
            singular: name("singular").unwrap_or_else(|| kind.to_lowercase()),
            namespaced: spec["scope"] == "Namespaced",
            type_name: "",
        })
    }
}

/// Where an object belongs.
pub(super) struct Target<'a> {
    kind: Kind,
    namespace: &'a str,
    name: &'a str,
}

impl<'a> Target<'a> {
    /// Where an object belongs; the server is asked about kinds that it has not from the start.
    pub(super) async fn find(client: &Client, object: &'a Value) -> Result<Target<'a>, String> {
        match Target::of(object, &[]) {
            Err(_) if needs_definition(object) => {
                let definitions = definitions(client).await.map_err(|error| error.to_string())?;
                Target::of(object, &definitions)
            }
            found => found,
        }
    }

    fn of(object: &'a Value, definitions: &[Value]) -> Result<Target<'a>, String> {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (version, kind) = (text("/apiVersion"), text("/kind"));
        if version.is_empty() || kind.is_empty() {
            return Err("apiVersion and kind must be set: is this a Kubernetes manifest?".into());
        }
        let (group, version_name) = version.split_once('/').unwrap_or(("", version));
        let known = Kind::built_in(group, version_name, kind)
            .or_else(|| Kind::defined(definitions, group, version_name, kind))
            .ok_or_else(|| {
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
        let namespace = match (known.namespaced, text("/metadata/namespace")) {
            (false, _) => "",
            (true, "") => "default",
            (true, namespace) => namespace,
        };
        Ok(Target { kind: known, namespace, name })
    }

    /// The manifest as it is sent.
    fn configuration(&self, manifest: &Value) -> Value {
        let mut bare = manifest.clone();
        if let Some(metadata) = bare["metadata"].as_object_mut() {
            // As kubectl does: a namespace on an object that has none is dropped, not refused.
            match self.kind.namespaced {
                true => drop(metadata.insert("namespace".into(), self.namespace.into())),
                false => drop(metadata.shift_remove("namespace")),
            }
            // What was read from a cluster may carry what kubectl applied there.
            if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
                annotations.shift_remove(three_way::LAST_APPLIED);
            }
        }
        drop_server_fields(&mut bare);
        bare
    }

    fn collection(&self) -> String {
        let Kind { group, version, plural, .. } = &self.kind;
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
        let Kind { singular, group, .. } = &self.kind;
        match group.is_empty() {
            true => format!("{singular}/{}", self.name),
            false => format!("{singular}.{group}/{}", self.name),
        }
    }
}

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// How long the cluster may take until it has made something that was asked for.
const MADE_LIMIT: Duration = Duration::from_secs(20);
/// The pauses between looks whether it has.
const LOOKS: Backoff = Backoff::new(Duration::from_millis(5), Duration::from_millis(200));

/// Looks again and again; whether what was looked for was there in time.
async fn there_in_time<E, F>(mut is_there: impl FnMut() -> F) -> Result<bool, E>
where
    F: Future<Output = Result<bool, E>>,
{
    let (deadline, mut looks) = (Instant::now() + MADE_LIMIT, 0);
    loop {
        if is_there().await? {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        looks += 1;
        sleep(LOOKS.after(looks)).await;
    }
}

/// Waits for the account `default` of a pod's namespace, which the cluster makes behind the namespace: the pod would
/// be refused before.
async fn default_account(client: &Client, target: &Target<'_>, pod: &Value) -> Result<(), Error> {
    let named = |field: &str| pod["spec"][field].as_str().is_some_and(|name| !matches!(name, "" | "default"));
    if named("serviceAccountName") || named("serviceAccount") {
        return Ok(());
    }
    let namespace = format!("/api/v1/namespaces/{}", target.namespace);
    if exists(client, &namespace).await? {
        let account = format!("{namespace}/serviceaccounts/default");
        // When it does not come, the server says so better than we could.
        there_in_time(|| exists(client, &account)).await?;
    }
    Ok(())
}

async fn exists(client: &Client, path: &str) -> Result<bool, Error> {
    match client.get(path).await {
        Ok(_) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}

fn is_definition(object: &Value) -> bool {
    let version = object["apiVersion"].as_str().unwrap_or_default();
    object["kind"] == "CustomResourceDefinition" && version.starts_with("apiextensions.k8s.io/")
}

/// Whether the kind of an object, if it is served at all, is so by a definition.
fn needs_definition(object: &Value) -> bool {
    let version = object["apiVersion"].as_str().unwrap_or_default();
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let kind = object["kind"].as_str().unwrap_or_default();
    group.contains('.') && Kind::built_in(group, version, kind).is_none()
}

/// The definitions that the cluster has.
async fn definitions(client: &Client) -> Result<Vec<Value>, Error> {
    let bytes = match client.get(DEFINITIONS).await {
        Ok(bytes) => bytes,
        Err(error) if error.is_not_found() => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut list: Value = serde_json::from_slice(&bytes).map_err(|error| Error::Decode(error.to_string()))?;
    Ok(match list["items"].take() {
        Value::Array(items) => items,
        _ => Vec::new(),
    })
}

/// Waits until the resource of a definition is served.
async fn served(client: &Client, definition: &Value) -> Result<(), String> {
    let name = definition["metadata"]["name"].as_str().unwrap_or_default();
    let (group, plural) = (&definition["spec"]["group"], &definition["spec"]["names"]["plural"]);
    let versions = definition["spec"]["versions"].as_array().map_or(&[][..], Vec::as_slice);
    let Some(version) = versions.iter().find(|version| version["served"] == true) else { return Ok(()) };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let path = format!("/apis/{}/{}/{}?limit=1", text(group), text(&version["name"]), text(plural));
    let is_served = || async {
        if exists(client, &path).await.map_err(|error| error.to_string())? {
            return Ok(true);
        }
        let live = client.get(&format!("{DEFINITIONS}/{name}")).await.map_err(|error| error.to_string())?;
        let live: Value = serde_json::from_slice(&live).map_err(|error| error.to_string())?;
        let conditions = live["status"]["conditions"].as_array().map_or(&[][..], Vec::as_slice);
        let refused = |one: &&Value| one["type"] == "NamesAccepted" && one["status"] == "False";
        match conditions.iter().find(refused) {
            Some(condition) => Err(format!("its names are not accepted: {}", text(&condition["message"]))),
            None => Ok(false),
        }
    };
    match there_in_time(is_served).await? {
        true => Ok(()),
        false => Err(format!("it is not served after {} s", MADE_LIMIT.as_secs())),
    }
}

/// What to do about a kind that is not served.
fn kind_hint(group: &str, version: &str, kind: &str) -> String {
    let same_name = |r: &&Arc<Resource>| r.kind.eq_ignore_ascii_case(kind);
    let mut resources = everynode_apimachinery::resources().iter().filter(same_name);
    if let Some(found) = resources.clone().find(|r| r.group == group && r.version == version) {
        return format!("kinds are written as they are: did you mean \"{}\"?", found.kind);
    }
    match resources.next() {
        Some(found) => format!("\"{}\" is served in version \"{}\"", found.kind, found.api_version()),
        None if group.contains('.') && !group.ends_with(".k8s.io") => {
            "no custom resource definition of it has been applied; most daemons run without such objects"
                .into()
        }
        None => "docs/api.md lists the kinds".into(),
    }
}

/// Namespaces first, as they hold the others, then definitions, which make the kinds of others; otherwise in the
/// order of the files.
pub fn in_order(mut documents: Vec<Document>) -> Vec<Document> {
    documents.sort_by_key(|document| match &document.object {
        object if object["kind"] == "Namespace" => 0,
        object if is_definition(object) => 1,
        _ => 2,
    });
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
    let mut known: Vec<Value> =
        documents.iter().map(|document| &document.object).filter(|one| is_definition(one)).cloned().collect();
    if let Some(document) = documents.iter().find(|document| needs_definition(&document.object)) {
        let live = definitions(client).await;
        let refuse = |error: Error| SourceError { place: document.place.clone(), message: error.to_string() };
        known.extend(live.map_err(refuse)?);
    }
    for (name, place) in missing_namespaces(documents, &known) {
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

fn missing_namespaces<'a>(documents: &'a [Document], definitions: &[Value]) -> Vec<(&'a str, &'a str)> {
    let is_namespace = |document: &&Document| document.object["kind"] == "Namespace";
    let name = |document: &Document| document.object["metadata"]["name"].clone();
    let brought: Vec<Value> = documents.iter().filter(is_namespace).map(name).collect();
    let mut missing: Vec<(&str, &str)> = Vec::new();
    for document in documents {
        // What cannot be applied needs no namespace; it is refused when its turn comes.
        let Ok(Target { namespace: name, .. }) = Target::of(&document.object, definitions) else { continue };
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
        Document { place: format!("{name}.yaml:1"), object, warnings: Vec::new() }
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
        assert_eq!(missing_namespaces(&documents, &[]), [("one", "a.yaml:1")]);
    }

    #[test]
    fn a_kind_that_is_not_served_is_refused_with_advice() {
        let check = |version: &str, kind: &str, advice: &str| {
            let object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": "x"}});
            let message = Target::of(&object, &[]).err().unwrap_or_default();
            assert!(message.ends_with(advice), "{message}");
        };
        check("apps/v1", "Daemonset", "did you mean \"DaemonSet\"?");
        check("apps/v1beta1", "DaemonSet", "is served in version \"apps/v1\"");
        check("v1", "ClusterRole", "is served in version \"rbac.authorization.k8s.io/v1\"");
        check("monitoring.coreos.com/v1", "ServiceMonitor", "run without such objects");
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
    fn server_fields_and_what_kubectl_applied_elsewhere_are_not_sent() {
        let check = |kind: &str, metadata: Value, sent: Value| {
            let manifest = json!({"kind": kind, "apiVersion": "v1", "metadata": metadata});
            let target = Target::of(&manifest, &[]).unwrap();
            assert_eq!(target.configuration(&manifest)["metadata"], sent);
        };
        check("ConfigMap", json!({"name": "c"}), json!({"name": "c", "namespace": "default"}));
        check("Namespace", json!({"name": "c", "namespace": "x"}), json!({"name": "c"}));
        let metadata = json!({
            "name": "c", "namespace": "n", "uid": "u", "resourceVersion": "7", "generation": 2,
            "creationTimestamp": null, "managedFields": [],
            "annotations": {"a": "b", (three_way::LAST_APPLIED): "old"},
        });
        check("ConfigMap", metadata, json!({"name": "c", "namespace": "n", "annotations": {"a": "b"}}));
    }

    #[test]
    fn what_was_applied_from_the_client_is_taken_over_once() {
        let check = |annotations: Value, entries: Value, after: Option<Value>| {
            let metadata =
                json!({"resourceVersion": "7", "annotations": annotations, "managedFields": entries});
            let steps = taken_over(&json!({"metadata": metadata}), "everynode");
            assert_eq!(steps.map(|steps| steps[0]["value"].clone()), after);
        };
        let entry = |manager: &str, operation: &str| json!({"manager": manager, "operation": operation});
        let applied = json!({(three_way::LAST_APPLIED): "{}"});
        let (own, other) = (entry("everynode", "Update"), entry("kubectl-edit", "Update"));
        let status = json!({"manager": "everynode", "operation": "Update", "subresource": "status"});
        let done = entry("everynode", "Apply");
        check(applied.clone(), json!([own, other]), Some(json!([done, other])));
        check(applied.clone(), json!([done, own]), None);
        check(applied.clone(), json!([status, other]), None);
        check(applied, Value::Null, None);
        check(json!({}), json!([own]), None);
    }
}
