//! A cluster that is a function: its lists are written page by page as they are asked for, and its pods change a thousand
//! times a second. So a process that watches it holds hardly more than what the dashboard does.
#![allow(clippy::expect_used, reason = "a benchmark may panic")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use everynode_client::{AnswerBody, Client, Error, SystemClock, Transport};
use futures::stream::{self, StreamExt};
use http::{Request, Response};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use serde_json::{Value, json};

/// When everything was made.
const CREATED: &str = "2026-09-01T00:00:00Z";
/// How often changes come, and how many at a time: 1,000 a second.
const PAUSE: Duration = Duration::from_millis(50);
const CHANGES: usize = 50;

/// So many nodes by so many daemons.
#[derive(Clone, Copy)]
pub struct Cluster {
    /// How many nodes.
    pub nodes: usize,
    /// How many DaemonSets.
    pub daemons: usize,
}

impl Cluster {
    /// A client of it.
    pub fn client(self) -> Client {
        let service = tower::service_fn(move |request: Request<Full<Bytes>>| async move {
            let target = request.uri().path_and_query().map_or("", |target| target.as_str()).to_owned();
            Ok::<_, Error>(self.answer(&target))
        });
        Client::over(Transport::new(service), Arc::new(SystemClock), "https://cluster.test")
    }

    fn answer(self, target: &str) -> Response<AnswerBody> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let number = |key: &str| -> Option<usize> {
            query.split('&').find_map(|one| one.strip_prefix(key)?.strip_prefix('=')?.parse().ok())
        };
        if query.contains("sendInitialEvents") {
            return whole(400, json!({"kind": "Status", "code": 400}).to_string());
        }
        if query.contains("watch=") {
            return if path.ends_with("/pods") { self.changes() } else { silent() };
        }
        let (count, item): (usize, &dyn Fn(usize) -> Value) =
            match path.rsplit('/').next().unwrap_or_default() {
                "nodes" => (self.nodes, &node),
                "daemonsets" => (self.daemons, &|number| self.daemonset(number)),
                "controllerrevisions" => (self.daemons, &revision),
                "pods" if path.starts_with("/api/v1") => {
                    (self.nodes * self.daemons, &|number| self.pod(number, true, 1))
                }
                "rolloutpolicies" | "pods" => {
                    return whole(404, json!({"kind": "Status", "code": 404}).to_string());
                }
                _ => (0, &|_| Value::Null),
            };
        let from = number("continue").unwrap_or(0);
        let end = count.min(from + number("limit").unwrap_or(count));
        let next = if end < count { end.to_string() } else { String::new() };
        let items: Vec<String> = (from..end).map(|number| item(number).to_string()).collect();
        let metadata = json!({"resourceVersion": "1", "continue": next});
        whole(200, format!(r#"{{"metadata":{metadata},"items":[{}]}}"#, items.join(",")))
    }

    /// Pods that become ready, and not, for ever.
    fn changes(self) -> Response<AnswerBody> {
        let next = move |version: usize| async move {
            tokio::time::sleep(PAUSE).await;
            let line = |change: usize| {
                let version = version + change;
                let pod = version.wrapping_mul(7_919_993) % (self.nodes * self.daemons);
                let object = self.pod(pod, version.is_multiple_of(2), version);
                format!("{}\n", json!({"type": "MODIFIED", "object": object}))
            };
            let lines: String = (0..CHANGES).map(line).collect();
            Some((Ok(Frame::data(Bytes::from(lines))), version + CHANGES))
        };
        Response::new(StreamBody::new(stream::unfold(2, next)).boxed_unsync())
    }

    fn daemonset(self, number: usize) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet",
            "metadata": {"name": daemon(number), "namespace": "fleet", "uid": uid(1, number), "generation": 1,
                "resourceVersion": "1", "creationTimestamp": CREATED,
                "annotations": {"deprecated.daemonset.template.generation": "1"}},
            "spec": {"selector": {"matchLabels": {"app": daemon(number)}}, "revisionHistoryLimit": 10,
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "1%", "maxSurge": 0}},
                "template": template(number)},
            "status": {"observedGeneration": 1, "desiredNumberScheduled": self.nodes},
        })
    }

    fn pod(self, number: usize, is_ready: bool, version: usize) -> Value {
        let (number, node) = (number / self.nodes, number % self.nodes);
        let ready = if is_ready { "True" } else { "False" };
        json!({
            "metadata": {"name": format!("{}-{:05x}", daemon(number), node & 0xf_ffff), "namespace": "fleet",
                "uid": uid(0x1000 + number, node), "resourceVersion": version.to_string(), "creationTimestamp": CREATED,
                "labels": {"app": daemon(number), "controller-revision-hash": "aaaa", "pod-template-generation": "1"},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": daemon(number),
                    "uid": uid(1, number), "controller": true, "blockOwnerDeletion": true}]},
            "spec": {"nodeName": name(node), "containers": template(number)["spec"]["containers"],
                "schedulerName": "default-scheduler"},
            "status": {"phase": "Running",
                "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": "2026-09-01T00:00:20Z"}],
                "containerStatuses": [{"name": "main", "ready": is_ready, "restartCount": 0,
                    "state": {"running": {"startedAt": "2026-09-01T00:00:10Z"}}}]},
        })
    }
}

fn template(number: usize) -> Value {
    json!({"metadata": {"labels": {"app": daemon(number)}},
        "spec": {"containers": [{"name": "main", "image": "registry.example/agent:1",
            "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}}}], "tolerations": [{"operator": "Exists"}]}})
}

fn revision(number: usize) -> Value {
    let mut template = template(number);
    template["$patch"] = "replace".into();
    let name = format!("{}-aaaa", daemon(number));
    json!({"metadata": {"name": name, "namespace": "fleet", "uid": uid(3, number), "resourceVersion": "1",
            "labels": {"app": daemon(number), "controller-revision-hash": "aaaa"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": daemon(number), "uid": uid(1, number), "controller": true}]},
        "data": {"spec": {"template": template}}, "revision": 1})
}

/// A node as clouds have them: twenty labels, three of which name it.
fn node(number: usize) -> Value {
    let zone = ["eu-1a", "eu-1b", "eu-1c"][number % 3];
    let kind = ["m7.large", "m7.xlarge", "c7.large"][number / 3 % 3];
    let mut labels = json!({
        "kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux", "kubernetes.io/hostname": name(number),
        "beta.kubernetes.io/arch": "amd64", "beta.kubernetes.io/os": "linux", "beta.kubernetes.io/instance-type": kind,
        "node.kubernetes.io/instance-type": kind, "topology.kubernetes.io/zone": zone,
        "topology.kubernetes.io/region": "eu-1", "failure-domain.beta.kubernetes.io/zone": zone,
        "failure-domain.beta.kubernetes.io/region": "eu-1", "topology.disk.example.com/zone": zone,
        "example.com/instance-id": format!("i-{number:017x}"), "example.com/machine": uid(9, number),
    });
    for (key, value) in [
        ("pool", "general"),
        ("capacity", "on-demand"),
        ("image", "ami-0123"),
        ("team", "core"),
        ("stage", "prod"),
        ("cni", "on"),
    ] {
        labels[format!("example.com/{key}")] = value.into();
    }
    json!({
        "metadata": {"name": name(number), "resourceVersion": "1", "labels": labels},
        "spec": {"taints": []},
        "status": {
            "allocatable": {"cpu": "15890m", "memory": format!("{}Ki", 63_000_000 + number % 7), "pods": "250", "ephemeral-storage": "95551679124"},
            "nodeInfo": {"kernelVersion": "6.8.0-48", "osImage": "Debian 12", "containerRuntimeVersion": "containerd://2.0.1", "kubeletVersion": "v1.36.2"},
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": CREATED}],
        },
    })
}

fn name(node: usize) -> String {
    format!("ip-10-{}-{}-{}.eu.internal", node / 65_536, node / 256 % 256, node % 256)
}

fn daemon(number: usize) -> String {
    format!("daemon-{number:02}")
}

/// Uids are as good as random: nothing may gain by their order.
fn uid(kind: usize, index: usize) -> String {
    let mixed =
        ((kind as u128) << 64 | index as u128).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835) | 1;
    let digits = format!("{mixed:032x}");
    format!("{}-{}-{}-{}-{}", &digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..])
}

fn whole(code: u16, body: String) -> Response<AnswerBody> {
    let body = Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed_unsync();
    Response::builder().status(code).body(body).expect("a response")
}

fn silent() -> Response<AnswerBody> {
    Response::new(StreamBody::new(stream::pending().map(|line: Bytes| Ok(Frame::data(line)))).boxed_unsync())
}
