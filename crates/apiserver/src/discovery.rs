//! What the server serves, as clients ask for it: group by group, or all at once.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use everynode_apimachinery::definition::version_rank;
use everynode_apimachinery::resource::{Resource, Subresource};
use everynode_model::{Object, Value, encode};
use sha2::{Digest as _, Sha256};

use crate::catalog::Registry;

/// Groups in the order in which clients prefer them; others follow by name.
const GROUP_ORDER: &[&str] = &[
    "",
    "apiregistration.k8s.io",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
    "resource.k8s.io",
    "flowcontrol.apiserver.k8s.io",
];

fn object(fields: Vec<(&str, Value)>) -> Value {
    Value::Object(fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

fn texts<T: AsRef<str>>(list: &[T]) -> Value {
    list.iter().map(|text| Value::from(text.as_ref())).collect()
}

/// The groups, in their order.
pub fn groups(registry: &Registry) -> Vec<&str> {
    let mut groups: Vec<&str> = registry.resources().map(|r| &*r.group).collect();
    groups.sort_unstable();
    groups.dedup();
    groups.sort_by_key(|group| GROUP_ORDER.iter().position(|known| known == group).unwrap_or(usize::MAX));
    groups
}

/// The versions of a group, the preferred one first.
pub fn versions<'a>(registry: &'a Registry, group: &str) -> Vec<&'a str> {
    let mut versions: Vec<&'a str> =
        registry.resources().filter(|r| r.group == group).map(|r| &*r.version).collect();
    versions.sort_unstable_by(|a, b| version_rank(b).cmp(&version_rank(a)).then_with(|| a.cmp(b)));
    versions.dedup();
    versions
}

fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// `/api`
pub fn api_versions(address: SocketAddr) -> Value {
    let server =
        object(vec![("clientCIDR", "0.0.0.0/0".into()), ("serverAddress", address.to_string().into())]);
    object(vec![
        ("kind", "APIVersions".into()),
        ("versions", texts(&["v1"])),
        ("serverAddressByClientCIDRs", Value::Array(vec![server])),
    ])
}

/// `/apis`
pub fn group_list(registry: &Registry) -> Value {
    let groups = groups(registry)
        .into_iter()
        .filter(|group| !group.is_empty())
        .map(|group| group_fields(registry, group, false));
    object(vec![("kind", "APIGroupList".into()), ("apiVersion", "v1".into()), ("groups", groups.collect())])
}

/// `/apis/GROUP`; nothing when the group is unknown.
pub fn group(registry: &Registry, name: &str) -> Option<Value> {
    (!versions(registry, name).is_empty() && !name.is_empty()).then(|| group_fields(registry, name, true))
}

fn group_fields(registry: &Registry, name: &str, with_kind: bool) -> Value {
    let version = |version: &str| {
        object(vec![("groupVersion", group_version(name, version).into()), ("version", version.into())])
    };
    let versions = versions(registry, name);
    let mut fields = Vec::new();
    if with_kind {
        fields.push(("kind", "APIGroup".into()));
        fields.push(("apiVersion", "v1".into()));
    }
    fields.push(("name", name.into()));
    fields.push(("versions", versions.iter().map(|v| version(v)).collect()));
    fields.push(("preferredVersion", versions.first().map(|v| version(v)).unwrap_or_default()));
    object(fields)
}

/// `/api/v1` and `/apis/GROUP/VERSION`; nothing when they are unknown.
pub fn resource_list(registry: &Registry, group: &str, version: &str) -> Option<Value> {
    if !versions(registry, group).contains(&version) {
        return None;
    }
    let mut rows: Vec<(String, Value)> = Vec::new();
    for resource in registry.resources().filter(|r| r.group == group && r.version == version) {
        rows.push((resource.plural.clone().into_owned(), resource_row(resource)));
        for subresource in &*resource.subresources {
            let name = format!("{}/{}", &resource.plural, subresource.name);
            rows.push((name.clone(), subresource_row(resource, subresource, name)));
        }
    }
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    let mut fields = vec![("kind", "APIResourceList".into())];
    if !group.is_empty() {
        fields.push(("apiVersion", "v1".into()));
    }
    fields.push(("groupVersion", group_version(group, version).into()));
    fields.push(("resources", rows.into_iter().map(|(_, row)| row).collect()));
    Some(object(fields))
}

fn resource_row(resource: &Resource) -> Value {
    let mut fields = vec![
        ("name", (*resource.plural).into()),
        ("singularName", (*resource.singular).into()),
        ("namespaced", resource.namespaced.into()),
        ("kind", (*resource.kind).into()),
        ("verbs", texts(resource.listed_verbs())),
    ];
    if !resource.short_names.is_empty() {
        fields.push(("shortNames", texts(&resource.short_names)));
    }
    if !resource.categories.is_empty() {
        fields.push(("categories", texts(&resource.categories)));
    }
    if let Some(hash) = resource.storage_version_hash() {
        fields.push(("storageVersionHash", hash.into()));
    }
    object(fields)
}

fn subresource_row(resource: &Resource, subresource: &Subresource, name: String) -> Value {
    let mut fields =
        vec![("name", name.into()), ("singularName", "".into()), ("namespaced", resource.namespaced.into())];
    if !subresource.version.is_empty() {
        fields.push(("group", subresource.group.into()));
        fields.push(("version", subresource.version.into()));
    }
    fields.push(("kind", resource.kind_of(subresource).into()));
    fields.push(("verbs", texts(subresource.verbs)));
    object(fields)
}

/// Aggregated discovery of the core group (`/api`) or of all others (`/apis`).
pub fn aggregated(registry: &Registry, core: bool) -> Value {
    let groups = groups(registry).into_iter().filter(|group| group.is_empty() == core).map(|group| {
        let mut metadata = Object::new();
        if !group.is_empty() {
            metadata.insert("name".into(), group.into());
        }
        let versions = versions(registry, group).into_iter();
        let versions = versions.map(|version| aggregated_version(registry, group, version));
        object(vec![("metadata", Value::Object(metadata)), ("versions", versions.collect())])
    });
    object(vec![
        ("kind", "APIGroupDiscoveryList".into()),
        ("apiVersion", "apidiscovery.k8s.io/v2".into()),
        ("metadata", Value::Object(Object::new())),
        ("items", groups.collect()),
    ])
}

fn aggregated_version(registry: &Registry, group: &str, version: &str) -> Value {
    let mut rows: Vec<(&str, Value)> = registry
        .resources()
        .filter(|r| r.group == group && r.version == version)
        .map(|resource| (&*resource.plural, aggregated_resource(resource)))
        .collect();
    rows.sort_by_key(|(plural, _)| *plural);
    object(vec![
        ("version", version.into()),
        ("resources", rows.into_iter().map(|(_, row)| row).collect()),
        ("freshness", "Current".into()),
    ])
}

fn kind_of(group: &str, version: &str, kind: &str) -> Value {
    object(vec![("group", group.into()), ("version", version.into()), ("kind", kind.into())])
}

fn scope(namespaced: bool) -> Value {
    if namespaced { "Namespaced".into() } else { "Cluster".into() }
}

fn aggregated_resource(resource: &Resource) -> Value {
    let mut fields = vec![
        ("resource", (*resource.plural).into()),
        // The API leaves group and version empty where they are those around the resource.
        ("responseKind", kind_of("", "", &resource.kind)),
        ("scope", scope(resource.namespaced)),
        ("singularResource", (*resource.singular).into()),
        ("verbs", texts(resource.listed_verbs())),
    ];
    if !resource.short_names.is_empty() {
        fields.push(("shortNames", texts(&resource.short_names)));
    }
    if !resource.categories.is_empty() {
        fields.push(("categories", texts(&resource.categories)));
    }
    let subresources: Vec<Value> = resource
        .subresources
        .iter()
        .map(|s| {
            object(vec![
                ("subresource", s.name.into()),
                ("responseKind", kind_of(s.group, s.version, resource.kind_of(s))),
                ("verbs", texts(s.verbs)),
            ])
        })
        .collect();
    if !subresources.is_empty() {
        fields.push(("subresources", Value::Array(subresources)));
    }
    object(fields)
}

/// The entity tag of a document: the same text has the same tag.
pub fn etag(document: &Value) -> String {
    let digest = Sha256::digest(encode::to_vec(document));
    format!("\"{}\"", URL_SAFE_NO_PAD.encode(&digest[..]))
}

/// `/version`
pub fn version() -> Value {
    object(vec![
        ("major", "1".into()),
        ("minor", "36".into()),
        ("emulationMajor", "1".into()),
        ("emulationMinor", "36".into()),
        ("minCompatibilityMajor", "1".into()),
        ("minCompatibilityMinor", "35".into()),
        ("gitVersion", concat!("v1.36.2+everynode-", env!("CARGO_PKG_VERSION")).into()),
        ("gitCommit", "".into()),
        ("gitTreeState", "clean".into()),
        ("buildDate", "1970-01-01T00:00:00Z".into()),
        ("goVersion", "".into()),
        ("compiler", "rustc".into()),
        ("platform", format!("{}/{}", std::env::consts::OS, arch()).into()),
    ])
}

/// The processor in the field's words.
fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
