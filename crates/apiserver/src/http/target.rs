//! What a path asks for.

use std::sync::Arc;

use everynode_apimachinery::resource::Resource;
use percent_encoding::percent_decode_str;

use crate::catalog::Registry;
use crate::store::TableId;

/// A path below `/api` or `/apis`, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupVersion<'a> {
    /// Group, empty for the core group.
    pub group: &'a str,
    /// Version.
    pub version: &'a str,
}

/// A resource path.
#[derive(Debug, Clone)]
pub struct Target {
    /// The resource.
    pub resource: Arc<Resource>,
    /// Where its objects lie.
    pub table: Option<TableId>,
    /// The namespace; empty for objects outside of namespaces and for lists over all namespaces.
    pub namespace: String,
    /// The name; none for collections.
    pub name: Option<String>,
    /// The subresource behind the name.
    pub subresource: Option<String>,
}

impl Target {
    /// The objects of all namespaces.
    pub fn is_across_namespaces(&self) -> bool {
        self.resource.namespaced && self.namespace.is_empty()
    }
}

/// Why a path names nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// Nobody serves that group and version: plain 404.
    Path,
    /// The group and version are served, that resource is not: 404 as a Status.
    Resource,
}

/// Splits a path into decoded segments.
pub fn segments(path: &str) -> Vec<String> {
    path.split('/')
        .filter(|segment| !segment.is_empty())
        .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
        .collect()
}

/// Finds the resource that a path below `/api/VERSION` or `/apis/GROUP/VERSION` names. `rest` is what comes
/// behind the version.
pub fn target(registry: &Registry, at: GroupVersion<'_>, rest: &[String]) -> Result<Target, Unknown> {
    if !registry.resources().any(|r| r.group == at.group && r.version == at.version) {
        return Err(Unknown::Path);
    }
    let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
    let (namespace, resource_part): (&str, &[&str]) = match rest.as_slice() {
        ["namespaces", _] | ["namespaces", _, "status" | "finalize"] => ("", &rest),
        ["namespaces", namespace, inside @ ..] => (namespace, inside),
        _ => ("", &rest),
    };
    let (plural, behind) = resource_part.split_first().ok_or(Unknown::Path)?;
    let entry = registry.find(at.group, at.version, plural).ok_or(Unknown::Resource)?;
    let (resource, table) = (entry.resource.clone(), entry.table);
    if resource.namespaced == namespace.is_empty() && !(behind.is_empty() && resource.namespaced) {
        return Err(Unknown::Resource);
    }
    let name = behind.first().map(|name| (*name).to_owned());
    let subresource = behind.get(1).map(|name| (*name).to_owned());
    if behind.len() > 2 && !matches!(behind[1], "proxy") {
        return Err(Unknown::Resource);
    }
    Ok(Target { resource, table, namespace: namespace.to_owned(), name, subresource })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;

    fn check(group: &str, path: &str, expected: &str) {
        let found = match target(
            &Catalog::new(false).registry(),
            GroupVersion { group, version: "v1" },
            &segments(path),
        ) {
            Ok(t) => {
                let (name, subresource) = (t.name.unwrap_or_default(), t.subresource.unwrap_or_default());
                format!("{} {} {name} {subresource}", t.resource.plural, t.namespace)
            }
            Err(unknown) => format!("{unknown:?}"),
        };
        assert_eq!(found.trim_end(), expected, "{group} {path}");
    }

    #[test]
    fn paths_name_resources() {
        check("", "pods", "pods");
        check("", "namespaces", "namespaces");
        check("", "namespaces/a", "namespaces  a");
        check("", "namespaces/a/finalize", "namespaces  a finalize");
        check("", "namespaces/a/pods", "pods a");
        check("", "namespaces/a/pods/p/status", "pods a p status");
        check("", "nodes/n", "nodes  n");
        check("apps", "daemonsets", "daemonsets");
        check("rbac.authorization.k8s.io", "clusterroles/system%3Anode", "clusterroles  system:node");
        check("", "gadgets", "Resource");
        check("", "pods/p", "Resource");
        check("", "namespaces/a/nodes/n", "Resource");
        check("example.io", "gadgets", "Path");
    }
}
