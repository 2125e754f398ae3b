//! What a request is about, in the words of roles: who may do it is decided by these, and the audit log tells them.

use everynode_apimachinery::field_selector::FieldSelector;
use http::Method;

use super::query::Query;
use super::target;

/// What a request does, and to what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    /// The verb, or the method in small letters where no resource is named.
    pub verb: String,
    /// The path, decoded.
    pub path: String,
    /// The resource; none for other paths.
    pub resource: Option<Resource>,
}

/// A resource that a request names. What is not named is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resource {
    /// API group, empty for the core group.
    pub group: String,
    /// Version.
    pub version: String,
    /// Plural name.
    pub resource: String,
    /// What stands behind the object's name.
    pub subresource: String,
    /// Namespace.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// What a list or watch is limited to.
    pub fields: FieldSelector,
}

impl Resource {
    /// The resource with its subresource, such as `pods/log`.
    pub fn whole_name(&self) -> String {
        let slash = if self.subresource.is_empty() { "" } else { "/" };
        format!("{}{slash}{}", self.resource, self.subresource)
    }
}

impl Attributes {
    /// The attributes of a request.
    pub fn of(method: &Method, path: &str, query: Option<&str>) -> Attributes {
        let query = Query::parse(query);
        let segments = target::segments(path);
        let mut resource = resource(&segments);
        let verb = verb(method, resource.as_ref(), &query);
        if let Some(resource) = &mut resource
            && resource.name.is_empty()
            && matches!(verb.as_str(), "list" | "watch")
        {
            let selector = query.get("fieldSelector").and_then(|text| FieldSelector::parse(text).ok());
            resource.fields = selector.unwrap_or_default();
            // A list of one name may be granted as its object is.
            resource.name = resource.fields.exact("metadata.name").unwrap_or_default().to_owned();
        }
        let path = percent_encoding::percent_decode_str(path).decode_utf8_lossy().into_owned();
        Attributes { verb, path, resource }
    }
}

/// What a path is about; none where it names no resource.
fn resource(segments: &[String]) -> Option<Resource> {
    let parts: Vec<&str> = segments.iter().map(String::as_str).collect();
    let (group, version, rest) = match parts.as_slice() {
        ["api", version, rest @ ..] => ("", *version, rest),
        ["apis", group, version, rest @ ..] => (*group, *version, rest),
        _ => return None,
    };
    let (namespace, rest) = match rest {
        // A namespace is in itself.
        ["namespaces", name] | ["namespaces", name, "status" | "finalize"] => (*name, rest),
        ["namespaces", namespace, rest @ ..] => (*namespace, rest),
        rest => ("", rest),
    };
    let part = |at: usize| rest.get(at).copied().unwrap_or_default().to_owned();
    let resource = part(0);
    (!resource.is_empty()).then(|| Resource {
        group: group.to_owned(),
        version: version.to_owned(),
        resource,
        subresource: part(2),
        namespace: namespace.to_owned(),
        name: part(1),
        fields: FieldSelector::default(),
    })
}

fn verb(method: &Method, resource: Option<&Resource>, query: &Query) -> String {
    let Some(resource) = resource else { return method.as_str().to_ascii_lowercase() };
    let is_named = !resource.name.is_empty();
    let verb = match method.as_str() {
        "GET" | "HEAD" if is_named => "get",
        "GET" | "HEAD" if query.truth("watch") => "watch",
        "GET" | "HEAD" => "list",
        "POST" => "create",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" if is_named => "delete",
        "DELETE" => "deletecollection",
        _ => "",
    };
    verb.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &str, uri: &str, expected: &str) {
        let (path, query) = uri.split_once('?').map_or((uri, None), |(path, query)| (path, Some(query)));
        let Attributes { verb, resource, .. } =
            Attributes::of(&Method::from_bytes(method.as_bytes()).unwrap(), path, query);
        let about = resource.map_or_else(String::new, |o| {
            format!("{}:{}:{}:{}:{}", o.group, o.version, o.whole_name(), o.namespace, o.name)
        });
        assert_eq!(format!("{verb} {about}").trim_end(), expected, "{method} {uri}");
    }

    #[test]
    fn requests_are_named_as_roles_name_them() {
        check("GET", "/version", "get");
        check("HEAD", "/version", "head");
        check("GET", "/apis/apps/v1", "get");
        check("GET", "/api/v1/nodes", "list :v1:nodes::");
        check("GET", "/api/v1/nodes?watch=1", "watch :v1:nodes::");
        check("GET", "/api/v1/nodes?watch=false", "list :v1:nodes::");
        check("GET", "/api/v1/nodes/n", "get :v1:nodes::n");
        check("GET", "/api/v1/nodes/n?watch=1", "get :v1:nodes::n");
        check("GET", "/api/v1/namespaces/a", "get :v1:namespaces:a:a");
        check("PUT", "/api/v1/namespaces/a/finalize", "update :v1:namespaces/finalize:a:a");
        check("POST", "/api/v1/namespaces/a/pods", "create :v1:pods:a:");
        check("POST", "/api/v1/namespaces/a/pods/p/binding", "create :v1:pods/binding:a:p");
        check("PATCH", "/apis/apps/v1/namespaces/a/daemonsets/d", "patch apps:v1:daemonsets:a:d");
        check(
            "PUT",
            "/apis/apps/v1/namespaces/a/daemonsets/d/status",
            "update apps:v1:daemonsets/status:a:d",
        );
        check("DELETE", "/api/v1/namespaces/a/pods", "deletecollection :v1:pods:a:");
        check("DELETE", "/api/v1/namespaces/a/pods/p", "delete :v1:pods:a:p");
        check("GET", "/api/v1/nodes/n/proxy/metrics/a", "get :v1:nodes/proxy::n");
        check(
            "POST",
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            "create authorization.k8s.io:v1:selfsubjectaccessreviews::",
        );
    }

    #[test]
    fn a_list_of_one_name_is_about_that_name() {
        check("GET", "/api/v1/nodes?watch=1&fieldSelector=metadata.name%3Dn", "watch :v1:nodes::n");
        check("GET", "/api/v1/nodes?fieldSelector=a%3Db,metadata.name%3D%3Dn", "list :v1:nodes::n");
        check("GET", "/api/v1/nodes?fieldSelector=metadata.name!%3Dn", "list :v1:nodes::");
        check("POST", "/api/v1/nodes?fieldSelector=metadata.name%3Dn", "create :v1:nodes::");
        check("DELETE", "/api/v1/nodes?fieldSelector=metadata.name%3Dn", "deletecollection :v1:nodes::");
        // A value that looks like another term is none.
        check("GET", "/api/v1/nodes?fieldSelector=a!%3D%5C,metadata.name%3Dn", "list :v1:nodes::");
    }
}
