//! Events of the cluster about a pod or a DaemonSet: what its kubelet and its controller said last.

use everynode_client::{Client, Error};
use everynode_model::time;
use serde::{Deserialize, Serialize};

/// Events that are kept, the latest ones.
const KEPT: usize = 3;
/// Events that are read.
const READ: usize = 100;

/// The reason of the event of a DaemonSet of which a pod could not be made.
const FAILED_CREATE: &str = "FailedCreate";

/// What a controller was told last when it asked for a pod in vain.
pub(crate) fn refusal(events: &[EventLine]) -> Option<&str> {
    let mut refusals = events.iter().rev().filter(|event| event.reason == FAILED_CREATE);
    refusals.next().map(|event| event.message.as_str())
}

/// What events are asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// metadata.namespace.
    pub namespace: String,
    /// metadata.uid.
    pub uid: String,
    /// Only warnings tell something.
    pub warnings_only: bool,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EventLine {
    /// When it was last seen, in Unix seconds.
    pub last_seconds: Option<i64>,
    /// How often.
    pub count: i64,
    /// reason, such as `Unhealthy`.
    pub reason: String,
    /// message.
    pub message: String,
}

#[derive(Deserialize)]
struct List {
    #[serde(default)]
    items: Option<Vec<EventIn>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct EventIn {
    reason: Option<String>,
    message: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    count: Option<i64>,
    last_timestamp: Option<String>,
    event_time: Option<String>,
    series: Option<Series>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Series {
    count: Option<i64>,
    last_observed_time: Option<String>,
}

impl Subject {
    /// Reads the latest events about it, the oldest of them first.
    ///
    /// # Errors
    /// What the API answers, when it refuses.
    pub async fn events(&self, client: &Client) -> Result<Vec<EventLine>, Error> {
        let Subject { namespace, uid, .. } = self;
        let path = format!(
            "/api/v1/namespaces/{namespace}/events?limit={READ}&fieldSelector=involvedObject.uid%3D{uid}"
        );
        let body = client.get(&path).await?;
        let list: List = serde_json::from_slice(&body).map_err(|error| Error::Decode(error.to_string()))?;
        let is_wanted = |event: &EventIn| !self.warnings_only || event.kind.as_deref() == Some("Warning");
        let items = list.items.unwrap_or_default().into_iter().filter(is_wanted);
        let mut lines: Vec<EventLine> = Vec::new();
        for event in items.map(EventLine::from) {
            let is_same =
                |known: &&mut EventLine| (&known.reason, &known.message) == (&event.reason, &event.message);
            match lines.iter_mut().find(is_same) {
                Some(known) => {
                    known.count += event.count;
                    known.last_seconds = known.last_seconds.max(event.last_seconds);
                }
                None => lines.push(event),
            }
        }
        lines.sort_by_key(|line| line.last_seconds);
        Ok(lines.split_off(lines.len().saturating_sub(KEPT)))
    }
}

impl From<EventIn> for EventLine {
    fn from(event: EventIn) -> EventLine {
        let series = event.series.unwrap_or_default();
        let times = [series.last_observed_time, event.last_timestamp, event.event_time];
        EventLine {
            last_seconds: times.into_iter().flatten().find_map(|text| time::parse(&text).ok()),
            count: series.count.or(event.count).unwrap_or(1),
            reason: event.reason.unwrap_or_default(),
            message: event.message.unwrap_or_default().replace('\n', " "),
        }
    }
}
