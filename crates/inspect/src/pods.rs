//! Why a pod is not available, as its status, its node and the time tell.

use everynode_engine::Time;
use everynode_model::{Phase, is_being_started};
use everynode_plan::record::{Container, Detail, Ended, Node, Pod};
use everynode_plan::spread::human;
use serde_json::Value;

use crate::reason::{Kind, Reason};

/// Reasons of waiting containers that are about images.
const IMAGE_REASONS: [&str; 6] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "RegistryUnavailable",
];

/// How somebody says that a node is down for good.
const OUT_OF_SERVICE: &str = "it is tainted node.kubernetes.io/out-of-service:NoExecute";

/// What is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// Its node, when it is known.
    pub node: Option<&'a Node>,
    /// All nodes are known.
    pub nodes_seen: bool,
    /// The DaemonSet.
    pub daemonset: &'a Value,
    /// When it will be available, if it stays ready.
    pub available_at: Option<Time>,
    /// Now.
    pub now: Time,
}

impl Case<'_> {
    /// Why the pod is not available.
    pub fn reason(&self) -> Reason {
        let pod = self.pod;
        let node_down = self.node.is_some_and(|node| !node.is_up());
        let nothing = Detail::default();
        let detail = pod.detail.as_deref().unwrap_or(&nothing);
        match () {
            _ if pod.deleting => self.terminating(node_down),
            _ if pod.phase().is_terminal() => self.ended(detail),
            _ if !pod.bound => self.unbound(detail),
            _ if self.node.is_none() && self.nodes_seen => {
                let reason = Reason::new(Kind::NodeGone, "its node is gone");
                reason
                    .changed_by("its node comes back, or the pod is deleted with it by the garbage collector")
            }
            _ if node_down => self.node_down(),
            _ if pod.ready => self.young(),
            _ => self.starting(detail),
        }
    }

    fn terminating(&self, node_down: bool) -> Reason {
        let pod = self.pod;
        let asked = pod.delete_by.map(|by| by - pod.grace_seconds.unwrap_or(0));
        let mut detail = match (pod.delete_by, pod.grace_seconds) {
            (Some(by), Some(grace)) if Time::from_seconds(by) > self.now => {
                let left = human(Time::from_seconds(by).millis_since(self.now));
                format!("{left} of its {grace}s of grace are left")
            }
            (Some(_), Some(grace)) => format!("its {grace}s of grace are over"),
            _ => String::new(),
        };
        let reason = if node_down {
            detail.push_str(if detail.is_empty() { "" } else { "; " });
            detail.push_str("its node is down and cannot end it");
            Reason::new(Kind::Terminating, "terminating, on a node that is down")
                .changed_by(format!("the node comes back, its Node object is deleted, or {OUT_OF_SERVICE}"))
        } else {
            let reason = Reason::new(Kind::Terminating, "terminating");
            reason.changed_by("its containers end and its finalizers are removed")
        };
        reason.since(asked).detail(detail)
    }

    fn unbound(&self, detail: &Detail) -> Reason {
        match &detail.unscheduled {
            Some(statement) if !statement.reason.is_empty() || !statement.message.is_empty() => {
                let (reason, message) = (statement.reason.as_str(), statement.message.as_str());
                let since = statement.since.or(Some(self.pod.created));
                let because = |text: &str| Reason::new(Kind::Unschedulable, text).since(since);
                if reason == "SchedulingGated" {
                    let change = "whoever set the gates takes them out of spec.schedulingGates of the pod";
                    return because("held by scheduling gates").detail(message).changed_by(change);
                }
                because("the scheduler does not bind it").said(message)
            }
            _ => self.not_looked_at(),
        }
    }

    /// No scheduler has said anything. Who serves a name is known to nobody but those who run it.
    fn not_looked_at(&self) -> Reason {
        let name = self.daemonset["spec"]["template"]["spec"]["schedulerName"].as_str().unwrap_or_default();
        let (text, change) = match name {
            "" | "default-scheduler" => {
                ("the scheduler has not bound it".to_owned(), "a scheduler that runs".to_owned())
            }
            name => (
                format!("no scheduler by the name {name} has bound it"),
                format!("a scheduler that serves schedulerName {name}, or a template without it"),
            ),
        };
        Reason::new(Kind::WaitsForScheduler, text).since(Some(self.pod.created)).changed_by(change)
    }

    fn node_down(&self) -> Reason {
        let Some(node) = self.node else { return Reason::new(Kind::NodeDown, "its node is down") };
        let text = match &*node.ready {
            "Unknown" => "the node is down: its kubelet does not answer",
            _ => "the node is not ready",
        };
        Reason::new(Kind::NodeDown, text)
            .since(node.ready_since)
            .detail(node.ready_message.clone())
            .changed_by("repair the node, or delete its Node object")
    }

    fn young(&self) -> Reason {
        let min_ready = self.daemonset["spec"]["minReadySeconds"].as_i64().unwrap_or(0);
        let text = format!("ready, and not yet for minReadySeconds ({min_ready}s)");
        let detail = self.available_at.map(|at| format!("available in {}", human(at.millis_since(self.now))));
        Reason::new(Kind::MinReadySeconds, text)
            .since(self.pod.ready_since)
            .detail(detail.unwrap_or_default())
            .changed_by("time")
    }

    /// The pod has ended for good. Where the node is short of something, that is taken to be why.
    fn ended(&self, detail: &Detail) -> Reason {
        let pod = self.pod;
        let has_failed = pod.phase() == Phase::Failed;
        let how = if has_failed { "failed" } else { "ended, although daemons go on" };
        let pressure = self.node.and_then(pressure).filter(|_| has_failed);
        let mut text = how.to_owned();
        if !detail.reason.is_empty() {
            text.push_str(&format!(": {}", detail.reason));
        }
        if let Some(short_of) = pressure {
            text.push_str(&format!(", on a node that is short of {short_of}"));
        }
        let exit = detail.containers.iter().find_map(|one| one.ended.as_ref());
        let since = exit.and_then(|exit| exit.at).or(pod.ready_since);
        let mut details = Vec::new();
        details.extend(Some(detail.message.clone()).filter(|message| !message.is_empty()));
        details.extend(exit.map(exit_text));
        details.push("the controller makes a new one, later each time".to_owned());
        let (namespace, name) = (&pod.namespace, &pod.name);
        let change = match (pressure, exit) {
            (Some(short_of), _) => format!("more {short_of} on the node: other pods go, or it gets more"),
            (None, Some(_)) => {
                format!("containers that go on: kubectl -n {namespace} logs {name} tells what they said")
            }
            (None, None) => format!("what ended it: kubectl -n {namespace} describe pod {name} tells"),
        };
        Reason::new(Kind::Ended, text).since(since).detail(details.join("; ")).changed_by(change)
    }

    fn starting(&self, detail: &Detail) -> Reason {
        let failing = detail.containers.iter().find_map(|one| self.trouble_of(one));
        let not_ready = detail.not_ready.as_ref().and_then(|statement| statement.since);
        if let Some(reason) = failing {
            return reason.since(not_ready.or(Some(self.pod.created)));
        }
        let begun = detail.scheduled.or(Some(self.pod.created));
        if let Some(init) = detail.containers.iter().find(|one| one.init) {
            let since = init.running_since.or(begun);
            return Reason::new(Kind::InitContainers, format!("init container {} is at work", init.name))
                .since(since)
                .changed_by(format!("{} ends with exit code 0", init.name));
        }
        let is_being_made = |one: &&Container| is_being_started(&one.waiting);
        if let Some(container) = detail.containers.iter().find(is_being_made) {
            return starting(begun).detail(format!("container {}: {}", container.name, container.waiting));
        }
        if let Some(container) = detail.containers.iter().find(|one| one.running_since.is_some()) {
            return self.probe(container);
        }
        self.without_containers(detail, begun)
    }

    /// Why a container cannot go on by itself, if that is so.
    fn trouble_of(&self, container: &Container) -> Option<Reason> {
        let name = &container.name;
        let what = if container.init { "init container" } else { "container" };
        match container.waiting.as_str() {
            "CrashLoopBackOff" => Some(self.crashing(what, container)),
            "" => match &container.ended {
                Some(ended) if container.running_since.is_none() && ended.exit_code != 0 => {
                    Some(self.crashing(what, container))
                }
                _ => None,
            },
            reason if is_being_started(reason) => None,
            reason if IMAGE_REASONS.contains(&reason) => Some(
                Reason::new(
                    Kind::ImagePull,
                    format!("the image of {what} {name} cannot be pulled: {reason}"),
                )
                .detail(container.message.clone())
                .changed_by("an image that is there, and may be pulled"),
            ),
            reason => Some(
                Reason::new(Kind::Held, format!("{what} {name} waits: {reason}")).said(&container.message),
            ),
        }
    }

    fn crashing(&self, what: &str, container: &Container) -> Reason {
        let name = &container.name;
        let how = container.ended.as_ref().map(exit_text).map_or(String::new(), |exit| format!(": {exit}"));
        let restarts = match container.restarts {
            1 => "1 restart".to_owned(),
            number => format!("{number} restarts"),
        };
        let last = container.ended.as_ref().and_then(|ended| ended.at);
        let last = last.map(|at| {
            format!(", the last end {} ago", human(self.now.millis_since(Time::from_seconds(at)).max(0)))
        });
        let again = if container.waiting.is_empty() { "" } else { ", waits for the next" };
        let words = container.ended.as_ref().map(|ended| ended.last_words.as_str()).unwrap_or_default();
        let said = if words.is_empty() { String::new() } else { format!("; its last words: {words}") };
        Reason::new(Kind::Crashing, format!("{what} {name} crashes{how}"))
            .detail(format!("{restarts}{}{again}{said}", last.unwrap_or_default()))
            .changed_by(format!(
                "a container that goes on: kubectl -n {} logs {} -c {name} --previous tells what it said",
                self.pod.namespace, self.pod.name
            ))
    }

    /// A container runs and is not ready.
    fn probe(&self, container: &Container) -> Reason {
        let name = &container.name;
        let spec = self.container_spec(name).unwrap_or(&Value::Null);
        let (kind, which, key) = match !container.started && !spec["startupProbe"].is_null() {
            true => (Kind::StartupProbe, "startup", "startupProbe"),
            false => (Kind::ReadinessProbe, "readiness", "readinessProbe"),
        };
        let written = &spec[key];
        let mut details = Vec::new();
        if let Some(text) = probe_text(written) {
            details.push(text);
        }
        if container.restarts > 0 {
            details.push(last_end(container));
        }
        let reason = if written.is_null() {
            Reason::new(kind, format!("container {name} runs, and is not ready"))
        } else {
            Reason::new(kind, format!("container {name} runs, and its {which} probe has not succeeded"))
                .changed_by(format!("the {which} probe of {name} succeeds"))
        };
        reason.since(container.running_since).detail(details.join("; "))
    }

    /// The container in the current template.
    fn container_spec(&self, name: &str) -> Option<&Value> {
        let containers = self.daemonset["spec"]["template"]["spec"]["containers"].as_array()?;
        containers.iter().find(|container| container["name"] == name)
    }

    /// The status tells of no container that is not ready.
    fn without_containers(&self, detail: &Detail, begun: Option<i64>) -> Reason {
        let gate = detail.not_ready.as_ref().filter(|one| one.reason == "ReadinessGatesNotReady");
        if let Some(statement) = gate {
            return Reason::new(Kind::ReadinessGate, "a readiness gate is not met")
                .since(statement.since)
                .said(&statement.message);
        }
        let waiting = self.pod.waiting.as_str();
        match (self.pod.phase(), waiting) {
            // Snapshots of an older everynode tell no more.
            (_, "CrashLoopBackOff") => Reason::new(Kind::Crashing, "crashes")
                .since(self.pod.ready_since)
                .detail(format!("{} restarts", self.pod.restarts)),
            (_, waiting) if IMAGE_REASONS.contains(&waiting) => {
                Reason::new(Kind::ImagePull, format!("an image cannot be pulled: {waiting}")).since(begun)
            }
            (Phase::Pending, "") => starting(begun),
            (Phase::Pending, waiting) if is_being_started(waiting) => starting(begun),
            (_, "") => {
                let message = detail.not_ready.as_ref().map(|one| one.message.clone()).unwrap_or_default();
                let since = detail.not_ready.as_ref().and_then(|one| one.since).or(self.pod.ready_since);
                Reason::new(Kind::NotReady, "not ready").since(since).said(&message)
            }
            (_, waiting) => Reason::new(Kind::Held, format!("a container waits: {waiting}")).since(begun),
        }
    }
}

/// Taints by which the node lifecycle says what a node is short of: its kubelet evicts pods then.
const PRESSURES: [(&str, &str); 3] = [
    ("node.kubernetes.io/disk-pressure", "disk space"),
    ("node.kubernetes.io/memory-pressure", "memory"),
    ("node.kubernetes.io/pid-pressure", "process ids"),
];

fn pressure(node: &Node) -> Option<&'static str> {
    let is_there = |key: &str| node.taints.iter().any(|taint| *taint.key == *key);
    PRESSURES.iter().find(|(key, _)| is_there(key)).map(|(_, short_of)| *short_of)
}

fn starting(begun: Option<i64>) -> Reason {
    Reason::new(Kind::Starting, "starting: images are pulled, or volumes are mounted")
        .since(begun)
        .changed_by("the kubelet is done with it; events of the pod tell where it is")
}

fn exit_text(ended: &Ended) -> String {
    match ended.reason.as_str() {
        "" => format!("exit code {}", ended.exit_code),
        reason => format!("exit code {} ({reason})", ended.exit_code),
    }
}

fn last_end(container: &Container) -> String {
    let exit = container.ended.as_ref().map(exit_text).unwrap_or_else(|| "unknown".to_owned());
    format!("restarted {} times, last end: {exit}", container.restarts)
}

/// `httpGet :8080/healthz every 10s`.
fn probe_text(probe: &Value) -> Option<String> {
    let port = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let how = if let Some(get) = probe["httpGet"].as_object() {
        let path = get.get("path").and_then(Value::as_str).unwrap_or("/");
        format!("httpGet :{}{path}", port(get.get("port")?))
    } else if !probe["tcpSocket"].is_null() {
        format!("tcpSocket :{}", port(&probe["tcpSocket"]["port"]))
    } else if !probe["grpc"].is_null() {
        format!("grpc :{}", port(&probe["grpc"]["port"]))
    } else {
        let command = probe["exec"]["command"].as_array()?;
        let words: Vec<&str> = command.iter().filter_map(Value::as_str).collect();
        format!("exec {}", words.join(" "))
    };
    let period = probe["periodSeconds"].as_i64().unwrap_or(10);
    Some(format!("{how} every {period}s"))
}
