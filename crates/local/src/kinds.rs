//! The kinds that the server offers, from its discovery documents.

use everynode_client::{Client, Error};
use serde::Deserialize;

/// One kind of object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResourceKind {
    /// `v1`, or `GROUP/VERSION`.
    pub api_version: String,
    pub kind: String,
    pub plural: String,
    pub namespaced: bool,
    /// Its objects say by the scale subresource how many pods they want.
    pub has_scale: bool,
    verbs: Vec<String>,
}

impl ResourceKind {
    /// Objects can be followed and deleted one by one.
    pub(crate) fn can_be_collected(&self) -> bool {
        ["list", "watch", "delete", "patch"].iter().all(|verb| self.can(verb)) && self.plural != "events"
    }

    pub(crate) fn can(&self, verb: &str) -> bool {
        self.verbs.iter().any(|one| one == verb)
    }

    /// Whether the kind is part of Kubernetes, and not of a definition.
    pub(crate) fn is_built_in(&self) -> bool {
        let (group, version) = self.api_version.split_once('/').unwrap_or(("", &self.api_version));
        everynode_apimachinery::resource_for(group, version, &self.plural).is_some()
    }

    /// The group; empty for the core group.
    pub(crate) fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }

    /// `daemonsets.apps`.
    pub(crate) fn qualified_name(&self) -> String {
        match self.group() {
            "" => self.plural.clone(),
            group => format!("{}.{group}", self.plural),
        }
    }

    /// The path of all objects of the cluster.
    pub(crate) fn path(&self) -> String {
        format!("{}/{}", self.root(), self.plural)
    }

    /// The path of the objects of one namespace.
    pub(crate) fn path_in(&self, namespace: &str) -> String {
        match self.namespaced && !namespace.is_empty() {
            true => format!("{}/namespaces/{namespace}/{}", self.root(), self.plural),
            false => self.path(),
        }
    }

    /// The path of one object.
    pub(crate) fn path_of(&self, namespace: &str, name: &str) -> String {
        format!("{}/{name}", self.path_in(namespace))
    }

    fn root(&self) -> String {
        match self.api_version.contains('/') {
            true => format!("/apis/{}", self.api_version),
            false => format!("/api/{}", self.api_version),
        }
    }
}

#[derive(Deserialize)]
struct Groups {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    preferred_version: Version,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    group_version: String,
}

#[derive(Deserialize)]
struct Resources {
    resources: Vec<ResourceEntry>,
}

#[derive(Deserialize)]
struct ResourceEntry {
    name: String,
    kind: String,
    namespaced: bool,
    #[serde(default)]
    verbs: Vec<String>,
}

/// Reads all kinds, each in its group's preferred version. Subresources are left out.
///
/// # Errors
/// The first request that failed.
pub(crate) async fn discover(client: &Client) -> Result<Vec<ResourceKind>, Error> {
    let groups: Groups = read(&client.get("/apis").await?)?;
    let mut kinds = kinds_of(client, "v1", "/api/v1").await?;
    for group in groups.groups {
        let version = group.preferred_version.group_version;
        let path = format!("/apis/{version}");
        match kinds_of(client, &version, &path).await {
            Ok(found) => kinds.extend(found),
            // The group of a custom resource went meanwhile.
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(kinds)
}

async fn kinds_of(client: &Client, api_version: &str, path: &str) -> Result<Vec<ResourceKind>, Error> {
    let resources: Resources = read(&client.get(path).await?)?;
    let (subresources, kinds): (Vec<ResourceEntry>, Vec<ResourceEntry>) =
        resources.resources.into_iter().partition(|resource| resource.name.contains('/'));
    let has_scale =
        |plural: &str| subresources.iter().any(|entry| entry.name.strip_suffix("/scale") == Some(plural));
    Ok(kinds
        .into_iter()
        .map(|resource| ResourceKind {
            api_version: api_version.to_owned(),
            has_scale: has_scale(&resource.name),
            kind: resource.kind,
            plural: resource.name,
            namespaced: resource.namespaced,
            verbs: resource.verbs,
        })
        .collect())
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(|error| Error::Decode(error.to_string()))
}

#[cfg(test)]
impl ResourceKind {
    /// A kind for tests that can do everything.
    pub(crate) fn for_tests(api_version: &str, kind: &str, plural: &str, namespaced: bool) -> ResourceKind {
        let verbs = ["list", "watch", "delete", "patch", "deletecollection"].map(str::to_owned).to_vec();
        ResourceKind {
            api_version: api_version.into(),
            kind: kind.into(),
            plural: plural.into(),
            namespaced,
            has_scale: false,
            verbs,
        }
    }
}
