//! Spans and their ids.

use everynode_engine::policy::RolloutPhase;
use everynode_engine::{Rollout, Time, Uid};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const NANOS_PER_MILLI: i128 = 1_000_000;

/// A span that has ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Span {
    pub trace_id: String,
    pub span_id: String,
    pub parent_id: Option<String>,
    pub name: String,
    pub began: Time,
    pub ended: Time,
    /// What happened within it.
    pub events: Vec<(&'static str, Time)>,
    pub attributes: Vec<(&'static str, Value)>,
    /// Why it failed, if it did.
    pub error: Option<String>,
}

/// How a roll-out ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Complete,
    Halted,
    RolledBack,
    /// By another revision.
    Replaced,
}

impl Outcome {
    pub(crate) fn of(phase: RolloutPhase) -> Outcome {
        match phase {
            RolloutPhase::Halted => Outcome::Halted,
            RolloutPhase::RolledBack => Outcome::RolledBack,
            _ => Outcome::Complete,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Outcome::Complete => "complete",
            Outcome::Halted => "halted",
            Outcome::RolledBack => "rolledBack",
            Outcome::Replaced => "replaced",
        }
    }
}

/// The way of a node to its new pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// When the pod was made.
    pub made: Time,
    /// When the last of its containers was running: until then the image is pulled, and init containers run.
    pub started: Option<Time>,
    /// When it was ready, or has failed.
    pub ended: Time,
}

/// What a trace is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TraceKey {
    namespace: String,
    daemonset: String,
    revision: String,
    attempt: i64,
    trace_id: String,
}

impl TraceKey {
    /// Of a DaemonSet by namespace and name.
    pub(crate) fn new(
        (namespace, daemonset): (&str, &str),
        uid: Uid,
        revision: &str,
        attempt: i64,
    ) -> TraceKey {
        TraceKey {
            namespace: namespace.to_owned(),
            daemonset: daemonset.to_owned(),
            revision: revision.to_owned(),
            attempt,
            trace_id: id(&format!("{uid}/{revision}/{attempt}"), 16),
        }
    }

    pub(crate) fn revision(&self) -> &str {
        &self.revision
    }

    fn span_id(&self, of: &str) -> String {
        id(&format!("{}/{of}", self.trace_id), 8)
    }

    fn span(&self, of: &str, parent: Option<&str>, name: String, began: Time, ended: Time) -> Span {
        Span {
            trace_id: self.trace_id.clone(),
            span_id: self.span_id(of),
            parent_id: parent.map(|parent| self.span_id(parent)),
            name,
            began,
            ended: ended.max(began),
            events: Vec::new(),
            attributes: vec![
                ("k8s.namespace.name", self.namespace.as_str().into()),
                ("k8s.daemonset.name", self.daemonset.as_str().into()),
                ("everynode.revision", self.revision.as_str().into()),
                ("everynode.attempt", self.attempt.into()),
            ],
            error: None,
        }
    }

    pub(crate) fn rollout(
        &self,
        rollout: &Rollout<'_>,
        began: Time,
        ended: Time,
        outcome: Outcome,
        nodes: usize,
    ) -> Span {
        let mut span = self.span("rollout", None, format!("rollout {}", self.daemonset), began, ended);
        span.attributes.extend([
            ("everynode.policy", rollout.policy.into()),
            ("everynode.outcome", outcome.name().into()),
            ("everynode.nodes", nodes.into()),
            ("everynode.nodes.failed", rollout.failed.into()),
        ]);
        span.error =
            matches!(outcome, Outcome::Halted | Outcome::RolledBack).then(|| rollout.message.clone());
        span
    }

    pub(crate) fn wave(&self, wave: usize, began: Time, ended: Time) -> Span {
        let of = format!("wave/{wave}");
        let mut span = self.span(&of, Some("rollout"), format!("wave {wave}"), began, ended);
        span.attributes.push(("everynode.wave", wave.into()));
        span
    }

    pub(crate) fn node(&self, node: &str, wave: usize, step: Step, failure: Option<&str>) -> Span {
        let (of, parent) = (format!("node/{node}"), format!("wave/{wave}"));
        let mut span = self.span(&of, Some(&parent), format!("node {node}"), step.made, step.ended);
        span.events.extend(step.started.map(|at| ("containers running", at)));
        span.attributes.extend([("k8s.node.name", node.into()), ("everynode.wave", wave.into())]);
        span.error = failure.map(str::to_owned);
        span
    }
}

impl Span {
    /// As OTLP has it in JSON: ids in hexadecimal, times in nanoseconds as texts.
    pub(crate) fn to_otlp(&self) -> Value {
        let nanos = |at: Time| (i128::from(at.0) * NANOS_PER_MILLI).to_string();
        let attributes: Vec<Value> =
            self.attributes.iter().map(|(key, value)| attribute(key, value)).collect();
        let event = |(name, at): &(&str, Time)| json!({"name": name, "timeUnixNano": nanos(*at)});
        let events: Vec<Value> = self.events.iter().map(event).collect();
        let status = match &self.error {
            Some(why) => json!({"code": 2, "message": why}),
            None => json!({"code": 1}),
        };
        json!({
            "traceId": self.trace_id,
            "spanId": self.span_id,
            "parentSpanId": self.parent_id.clone().unwrap_or_default(),
            "name": self.name,
            "kind": 1,
            "startTimeUnixNano": nanos(self.began),
            "endTimeUnixNano": nanos(self.ended),
            "events": events,
            "attributes": attributes,
            "status": status,
        })
    }
}

/// An attribute in OTLP's JSON, where integers are texts.
pub(crate) fn attribute(key: &str, value: &Value) -> Value {
    let value = match value {
        Value::Number(number) => json!({"intValue": number.to_string()}),
        other => json!({"stringValue": other.as_str().unwrap_or_default()}),
    };
    json!({"key": key, "value": value})
}

/// The first bytes of a hash, in hexadecimal.
fn id(of: &str, bytes: usize) -> String {
    Sha256::digest(of).iter().take(bytes).map(|byte| format!("{byte:02x}")).collect()
}

/// Where a node stands between 0 and 1, by a hash of its name.
pub(crate) fn part_of(node: &str) -> f64 {
    let digest = Sha256::digest(node);
    let number = digest.iter().take(4).fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
    f64::from(number) / f64::from(u32::MAX)
}
