//! Events as the kubelet words them, at a rate that does not load the server.

use serde_json::json;

use crate::pod::{Note, Now, PodFacts};

/// One event to create.
#[derive(Debug)]
pub(crate) struct NewEvent {
    pub namespace: String,
    pub body: Vec<u8>,
}

/// Whom an event is about.
pub(crate) struct About<'a> {
    pub kind: &'a str,
    pub namespace: &'a str,
    pub name: &'a str,
    pub uid: &'a str,
    pub field_path: Option<String>,
}

/// An allowance of events: a token bucket.
#[derive(Debug)]
pub(crate) struct Allowance {
    per_second: f64,
    burst: f64,
    tokens: f64,
    at_millis: u64,
}

impl Allowance {
    pub(crate) fn new(per_second: f64) -> Allowance {
        let burst = per_second * 5.0;
        Allowance { per_second, burst, tokens: burst, at_millis: 0 }
    }

    pub(crate) fn take(&mut self, now: Now) -> bool {
        let elapsed = now.millis.saturating_sub(self.at_millis) as f64 / 1000.0;
        self.tokens = (self.tokens + elapsed * self.per_second).min(self.burst);
        self.at_millis = now.millis;
        let granted = self.tokens >= 1.0;
        if granted {
            self.tokens -= 1.0;
        }
        granted
    }
}

/// `Normal` or `Warning`, reason and message for what happened to one container.
pub(crate) fn wording(note: Note, facts: &PodFacts) -> Vec<(usize, &'static str, &'static str, String)> {
    let image = |index: usize| facts.containers[index].image.clone();
    let each = 0..facts.containers.len();
    match note {
        Note::Started => each
            .flat_map(|i| {
                let message = format!("Container image {:?} already present on machine", image(i));
                [
                    (i, "Normal", "Pulled", message),
                    (i, "Normal", "Created", "Container created".to_owned()),
                    (i, "Normal", "Started", "Container started".to_owned()),
                ]
            })
            .collect(),
        Note::Killing => each
            .map(|i| (i, "Normal", "Killing", format!("Stopping container {}", facts.containers[i].name)))
            .collect(),
        Note::PullFailed => unpullable(facts)
            .map(|i| {
                let image = image(i);
                let message = format!(
                    "Failed to pull image {image:?}: failed to resolve reference {image:?}: not found"
                );
                (i, "Warning", "Failed", message)
            })
            .collect(),
        Note::PullBackOff => unpullable(facts)
            .map(|i| (i, "Normal", "BackOff", format!("Back-off pulling image {:?}", image(i))))
            .collect(),
        Note::CrashBackOff => each
            .map(|i| {
                let (container, pod) = (&facts.containers[i].name, &facts.name);
                let message = format!(
                    "Back-off restarting failed container {container} in pod {pod}_{}({})",
                    facts.namespace, facts.uid
                );
                (i, "Warning", "BackOff", message)
            })
            .collect(),
    }
}

fn unpullable(facts: &PodFacts) -> impl Iterator<Item = usize> {
    facts
        .containers
        .iter()
        .enumerate()
        .filter(|(_, c)| crate::pod::is_unpullable(&c.image))
        .map(|(index, _)| index)
}

/// The Event object. `suffix` makes the name unique.
pub(crate) fn event(
    about: &About<'_>,
    node: &str,
    suffix: u64,
    (kind, reason, message): (&str, &str, &str),
    now: Now,
) -> NewEvent {
    let namespace = if about.namespace.is_empty() { "default" } else { about.namespace };
    let api_version = "v1";
    let mut involved =
        json!({ "apiVersion": api_version, "kind": about.kind, "name": about.name, "uid": about.uid });
    if !about.namespace.is_empty() {
        involved["namespace"] = about.namespace.into();
    }
    if let Some(path) = &about.field_path {
        involved["fieldPath"] = path.as_str().into();
    }
    let body = json!({
        "apiVersion": api_version,
        "kind": "Event",
        "metadata": { "name": format!("{}.{suffix:016x}", about.name), "namespace": namespace },
        "involvedObject": involved,
        "reason": reason,
        "message": message,
        "type": kind,
        "count": 1,
        "firstTimestamp": now.wall,
        "lastTimestamp": now.wall,
        "source": { "component": "kubelet", "host": node },
        "reportingComponent": "kubelet",
        "reportingInstance": node,
    });
    NewEvent { namespace: namespace.to_owned(), body: body.to_string().into_bytes() }
}
