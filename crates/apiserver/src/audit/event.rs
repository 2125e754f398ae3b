//! One line of the audit log.

use everynode_model::time;
use http::{Method, Request, header};
use hyper::body::Incoming;
use serde::{Serialize, Serializer};

use super::Subject;
use crate::authn::{Connection, User};
use crate::http::query::Query;
use crate::http::target;
use crate::meta;

/// User agents are cut to this length, as a kube-apiserver cuts them.
const USER_AGENT_BYTES: usize = 1_024;

/// Where a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Stage {
    /// A watch has begun.
    ResponseStarted,
    /// The answer is complete.
    ResponseComplete,
}

/// A request and what became of it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    kind: &'static str,
    api_version: &'static str,
    level: &'static str,
    #[serde(rename = "auditID")]
    pub audit_id: String,
    stage: Stage,
    #[serde(rename = "requestURI")]
    request_uri: String,
    pub verb: &'static str,
    user: UserInfo,
    #[serde(rename = "sourceIPs")]
    source_ips: [String; 1],
    #[serde(skip_serializing_if = "String::is_empty")]
    user_agent: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    object_ref: Option<ObjectRef>,
    #[serde(rename = "responseStatus", serialize_with = "status")]
    pub code: u16,
    #[serde(serialize_with = "micro_time")]
    request_received_timestamp: i64,
    #[serde(serialize_with = "micro_time")]
    stage_timestamp: i64,
}

#[derive(Debug, Clone, Serialize)]
struct UserInfo {
    username: &'static str,
    groups: &'static [&'static str],
}

/// Those whom the server does not know.
const ANONYMOUS: User = User { name: "system:anonymous", groups: &["system:unauthenticated"] };

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct ObjectRef {
    resource: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    namespace: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    uid: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    api_group: String,
    api_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    resource_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    subresource: String,
}

impl Event {
    /// A request that came at `now`, Unix time in microseconds.
    pub fn of(connection: Connection, user: Option<User>, request: &Request<Incoming>, now: i64) -> Event {
        let object_ref = object_ref(request.uri().path());
        let verb = verb(request.method(), object_ref.as_ref(), request.uri().query());
        let uri = request.uri().path_and_query().map_or_else(String::new, ToString::to_string);
        let agent = request.headers().get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        let mut event = Event::new(uri, verb, user.unwrap_or(ANONYMOUS), now);
        event.source_ips = [connection.peer.to_canonical().to_string()];
        // Header values that are text are ASCII.
        event.user_agent = agent.unwrap_or_default().chars().take(USER_AGENT_BYTES).collect();
        event.object_ref = object_ref;
        event
    }

    fn new(request_uri: String, verb: &'static str, user: User, now: i64) -> Event {
        Event {
            kind: "Event",
            api_version: "audit.k8s.io/v1",
            level: "Metadata",
            audit_id: meta::random_uid(),
            stage: Stage::ResponseComplete,
            request_uri,
            verb,
            user: UserInfo { username: user.name, groups: user.groups },
            source_ips: [String::new()],
            user_agent: String::new(),
            object_ref: None,
            code: 0,
            request_received_timestamp: now,
            stage_timestamp: now,
        }
    }

    /// A stage is reached at `now`, Unix time in microseconds.
    pub fn at(&mut self, stage: Stage, now: i64) {
        self.stage = stage;
        self.stage_timestamp = now;
    }

    /// Fills in what the path does not say of the object.
    pub fn complete(&mut self, subject: Subject) {
        let Some(object_ref) = &mut self.object_ref else { return };
        if object_ref.name.is_empty() {
            object_ref.name = subject.name;
        }
        if object_ref.namespace.is_empty() {
            object_ref.namespace = subject.namespace;
        }
        object_ref.uid = subject.uid;
        object_ref.resource_version = subject.resource_version;
    }

    #[cfg(test)]
    pub fn example() -> Event {
        Event::new("/version".into(), "get", ANONYMOUS, 0)
    }
}

/// What a path is about; `None` where it names no resource.
fn object_ref(path: &str) -> Option<ObjectRef> {
    let segments = target::segments(path);
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
    (!resource.is_empty()).then(|| ObjectRef {
        resource,
        namespace: namespace.to_owned(),
        name: part(1),
        api_group: group.to_owned(),
        api_version: version.to_owned(),
        subresource: part(2),
        ..ObjectRef::default()
    })
}

/// The verb as roles name it, or the method where no resource is named.
fn verb(method: &Method, object_ref: Option<&ObjectRef>, query: Option<&str>) -> &'static str {
    let named = object_ref.is_some_and(|object_ref| !object_ref.name.is_empty());
    match (method.as_str(), object_ref.is_some(), named) {
        ("GET", true, false) if Query::parse(query).truth("watch") => "watch",
        ("GET" | "HEAD", true, false) => "list",
        ("HEAD", false, _) => "head",
        ("GET" | "HEAD", ..) => "get",
        ("POST", true, _) => "create",
        ("POST", false, _) => "post",
        ("PUT", true, _) => "update",
        ("PUT", false, _) => "put",
        ("PATCH", ..) => "patch",
        ("DELETE", true, false) => "deletecollection",
        ("DELETE", ..) => "delete",
        ("OPTIONS", ..) => "options",
        _ => "",
    }
}

fn status<S: Serializer>(code: &u16, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Status {
        metadata: Empty,
        code: u16,
    }
    #[derive(Serialize)]
    struct Empty {}
    Status { metadata: Empty {}, code: *code }.serialize(serializer)
}

fn micro_time<S: Serializer>(micros: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time::format_micros(*micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &str, uri: &str, expected: &str) {
        let (path, query) = uri.split_once('?').map_or((uri, None), |(path, query)| (path, Some(query)));
        let found = object_ref(path);
        let verb = verb(&Method::from_bytes(method.as_bytes()).unwrap(), found.as_ref(), query);
        let about = found.map_or_else(String::new, |o| {
            let slash = if o.subresource.is_empty() { "" } else { "/" };
            let resource = format!("{}{slash}{}", o.resource, o.subresource);
            format!("{}:{}:{resource}:{}:{}", o.api_group, o.api_version, o.namespace, o.name)
        });
        assert_eq!(format!("{verb} {about}").trim_end(), expected, "{method} {uri}");
    }

    #[test]
    fn requests_are_named_as_roles_name_them() {
        check("GET", "/version", "get");
        check("GET", "/apis/apps/v1", "get");
        check("GET", "/api/v1/nodes", "list :v1:nodes::");
        check("GET", "/api/v1/nodes?watch=1", "watch :v1:nodes::");
        check("GET", "/api/v1/nodes?watch=false", "list :v1:nodes::");
        check("GET", "/api/v1/nodes/n", "get :v1:nodes::n");
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
        check(
            "POST",
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            "create authorization.k8s.io:v1:selfsubjectaccessreviews::",
        );
    }

    #[test]
    fn a_line_has_the_fields_of_a_kubernetes_audit_event() {
        let mut event = Event::new("/api/v1/namespaces/a/pods".into(), "create", ANONYMOUS, 1_500_000);
        event.audit_id = "id".into();
        event.source_ips = ["127.0.0.1".into()];
        event.user_agent = "kubectl/v1".into();
        event.object_ref = object_ref("/api/v1/namespaces/a/pods");
        event.complete(Subject { name: "p".into(), uid: "u".into(), ..Subject::default() });
        event.code = 201;
        event.at(Stage::ResponseComplete, 1_750_000);
        let expected = concat!(
            r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"id","#,
            r#""stage":"ResponseComplete","requestURI":"/api/v1/namespaces/a/pods","verb":"create","#,
            r#""user":{"username":"system:anonymous","groups":["system:unauthenticated"]},"#,
            r#""sourceIPs":["127.0.0.1"],"userAgent":"kubectl/v1","#,
            r#""objectRef":{"resource":"pods","namespace":"a","name":"p","uid":"u","apiVersion":"v1"},"#,
            r#""responseStatus":{"metadata":{},"code":201},"#,
            r#""requestReceivedTimestamp":"1970-01-01T00:00:01.500000Z","#,
            r#""stageTimestamp":"1970-01-01T00:00:01.750000Z"}"#
        );
        assert_eq!(serde_json::to_string(&event).unwrap(), expected);
    }
}
