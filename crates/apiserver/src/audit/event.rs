//! One line of the audit log.

use std::net::IpAddr;
use std::sync::Arc;

use everynode_model::time;
use http::{Request, header};
use hyper::body::Incoming;
use serde::{Serialize, Serializer};

use super::Subject;
use crate::authn::{ANONYMOUS, User};
use crate::http::attributes::{Attributes, Resource};
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
    pub verb: String,
    user: Arc<User>,
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

impl From<Resource> for ObjectRef {
    fn from(resource: Resource) -> ObjectRef {
        let Resource { group, version, resource, subresource, namespace, name, .. } = resource;
        let (uid, resource_version) = (String::new(), String::new());
        ObjectRef {
            resource,
            namespace,
            name,
            uid,
            api_group: group,
            api_version: version,
            resource_version,
            subresource,
        }
    }
}

impl Event {
    /// A request that came at `now`, Unix time in microseconds.
    pub fn of(
        peer: IpAddr,
        user: Option<Arc<User>>,
        attributes: &Attributes,
        request: &Request<Incoming>,
        now: i64,
    ) -> Event {
        let uri = request.uri().path_and_query().map_or_else(String::new, ToString::to_string);
        let agent = request.headers().get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        let user = user.unwrap_or_else(|| Arc::new(ANONYMOUS.clone()));
        let mut event = Event::new(uri, attributes.verb.clone(), user, now);
        event.source_ips = [peer.to_canonical().to_string()];
        // Header values that are text are ASCII.
        event.user_agent = agent.unwrap_or_default().chars().take(USER_AGENT_BYTES).collect();
        event.object_ref = attributes.resource.clone().map(ObjectRef::from);
        event
    }

    fn new(request_uri: String, verb: String, user: Arc<User>, now: i64) -> Event {
        Event {
            kind: "Event",
            api_version: "audit.k8s.io/v1",
            level: "Metadata",
            audit_id: meta::random_uid(),
            stage: Stage::ResponseComplete,
            request_uri,
            verb,
            user,
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
        Event::new("/version".into(), "get".into(), Arc::new(ANONYMOUS.clone()), 0)
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
    use http::Method;

    use super::*;

    #[test]
    fn a_line_has_the_fields_of_a_kubernetes_audit_event() {
        let user = Arc::new(ANONYMOUS.clone());
        let mut event = Event::new("/api/v1/namespaces/a/pods".into(), "create".into(), user, 1_500_000);
        event.audit_id = "id".into();
        event.source_ips = ["127.0.0.1".into()];
        event.user_agent = "kubectl/v1".into();
        let attributes = Attributes::of(&Method::POST, "/api/v1/namespaces/a/pods", None);
        event.object_ref = attributes.resource.map(ObjectRef::from);
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
