//! Logs of containers, in the kubelet's words.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use everynode_model::time;
use futures::stream;
use http::Response;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::answer::{Body, BodyError, Refusal};
use super::query::Query;
use super::route::Target;
use super::state::Kubelet;
use crate::layout::log_path;
use crate::logs::{LogOptions, LogReader, Stream};
use crate::pod_spec::{Pod, ShownContainer};
use crate::runtime::Listing;

/// Between two looks at a log that is followed.
const FOLLOW_PAUSE: Duration = Duration::from_millis(200);
/// How long a log that is followed may be silent; the API server waits for as long.
const LONGEST_SILENCE: Duration = Duration::from_secs(4 * 3_600);

/// Answers with the log of a container.
///
/// # Errors
/// 404: the pod is not here, or has no such container. 400: there is no log, with the reason; the question makes no
/// sense.
pub async fn container_logs(
    kubelet: &Kubelet,
    target: &Target,
    query: &Query,
) -> Result<Response<Body>, Refusal> {
    let Target { namespace, pod: name, container, .. } = target;
    let context = &kubelet.context;
    let options = options(query, context.now().wall_seconds())?;
    let bound = context.bound.find(namespace, name);
    let pod = bound.ok_or_else(|| Refusal::not_found(format!("pod {name:?} does not exist")))?.pod;
    if pod.spec.container(container).is_none() {
        return Err(Refusal::not_found(format!("container {container:?} not found in pod {name:?}")));
    }
    let id = logged_container(&pod, container, query.truth("previous"))?.to_owned();
    let uid = &pod.metadata.uid;
    let listing =
        context.lister.list(Some(uid)).await.map_err(|error| Refusal::internal(error.to_string()))?;
    let containers = listing.pods.get(uid).map(|view| view.containers()).unwrap_or_default();
    let gone = || Refusal::bad_request(format!("the container runtime has container {id:?} no more"));
    let attempt = containers.iter().find(|one| one.id == id).ok_or_else(gone)?.attempt;
    let path = context.layout.logs(&pod).join(log_path(container, attempt));
    let opened = {
        let (path, options) = (path.clone(), options.clone());
        blocking(move || LogReader::open(&path, options)).await
    };
    let reader = opened.map_err(|error| Refusal::bad_request(format!("{}: {error}", path.display())))?;
    let log = Log {
        reader: Some(reader),
        is_followed: options.is_following,
        uid: uid.clone(),
        id,
        number: listing.number,
        listings: kubelet.listings.clone(),
        cancelled: kubelet.cancelled.clone(),
    };
    let mut response = Response::new(StreamBody::new(stream::unfold(log, Log::next)).boxed_unsync());
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("text/plain"));
    Ok(response)
}

/// What is asked for of a log.
fn options(query: &Query, now_seconds: i64) -> Result<LogOptions, Refusal> {
    let since_seconds = match (query.number("sinceSeconds", 1)?, query.get("sinceTime")) {
        (Some(_), Some(_)) => {
            return Err(Refusal::bad_request("at most one of sinceTime and sinceSeconds may be said"));
        }
        (Some(seconds), None) => Some(now_seconds.saturating_sub_unsigned(seconds)),
        (None, Some(text)) => {
            Some(time::parse(text).map_err(|error| Refusal::bad_request(error.to_string()))?)
        }
        (None, None) => None,
    };
    let stream = match query.get("stream") {
        None | Some("All") => None,
        Some("Stdout") => Some(Stream::Stdout),
        Some("Stderr") => Some(Stream::Stderr),
        Some(other) => return Err(Refusal::bad_request(format!("invalid stream type {other:?}"))),
    };
    Ok(LogOptions {
        is_following: query.truth("follow"),
        tail_lines: query.number("tailLines", 0)?,
        limit_bytes: query.number("limitBytes", 1)?,
        since_seconds,
        has_timestamps: query.truth("timestamps"),
        stream,
    })
}

/// The identifier of the container whose log is meant, as the pod's status shows it.
fn logged_container<'a>(pod: &'a Pod, container: &str, is_previous: bool) -> Result<&'a str, Refusal> {
    let name = &pod.metadata.name;
    let refused =
        |what: &str| Err(Refusal::bad_request(format!("container {container:?} in pod {name:?} {what}")));
    let mut shown = pod.status.container_statuses.iter().chain(&pod.status.init_container_statuses);
    let Some(shown) = shown.find(|shown| shown.name == container) else { return refused("is not available") };
    let ShownContainer { state, last_state, container_id, .. } = shown;
    let before = last_state.terminated.as_ref().map(|ended| ended.container_id.as_str());
    let found = match (&state.terminated, &state.waiting) {
        _ if is_previous => before,
        (Some(ended), _) if !ended.container_id.is_empty() => Some(ended.container_id.as_str()),
        (Some(_), _) => Some(before.unwrap_or_default()),
        (None, None) if !container_id.is_empty() => Some(container_id.as_str()),
        _ => before,
    };
    match (found, &state.waiting) {
        (Some(id), _) if !id.is_empty() => Ok(id.split_once("://").map_or(id, |(_, id)| id)),
        _ if is_previous => {
            let what = format!("previous terminated container {container:?} in pod {name:?} not found");
            Err(Refusal::bad_request(what))
        }
        (Some(_), _) => refused("is terminated"),
        (None, Some(waiting)) => {
            let why = match waiting.reason.as_str() {
                "ErrImagePull" => "image can't be pulled",
                "ImagePullBackOff" => "trying and failing to pull image",
                reason => reason,
            };
            refused(&format!("is waiting to start: {why}"))
        }
        (None, None) => refused("is waiting to start - no logs yet"),
    }
}

/// A log that is being sent.
struct Log {
    /// None after it has failed.
    reader: Option<LogReader>,
    is_followed: bool,
    uid: String,
    id: String,
    /// The listing that showed the container: earlier ones may not.
    number: u64,
    listings: watch::Receiver<Arc<Listing>>,
    cancelled: CancellationToken,
}

impl Log {
    /// What is sent next.
    async fn next(mut self) -> Option<(Result<Frame<Bytes>, BodyError>, Log)> {
        let silent_since = Instant::now();
        loop {
            // Looked at before the file: a container that has ended writes nothing after this.
            let may_grow = self.is_followed && self.runs();
            let mut reader = self.reader.take()?;
            let (reader, chunk) = blocking(move || {
                let chunk = reader.read();
                Ok((reader, chunk))
            })
            .await
            .ok()?;
            match chunk {
                Err(error) => return Some((Err(error.into()), self)),
                Ok(chunk) if !chunk.is_empty() => {
                    self.reader = Some(reader);
                    return Some((Ok(Frame::data(chunk.into())), self));
                }
                Ok(_) if !may_grow || reader.is_exhausted() => return None,
                Ok(_) if silent_since.elapsed() > LONGEST_SILENCE => return None,
                Ok(_) => self.reader = Some(reader),
            }
            tokio::select! {
                () = self.cancelled.cancelled() => return None,
                () = tokio::time::sleep(FOLLOW_PAUSE) => {}
            }
        }
    }

    /// Whether the container may still write, as far as is known.
    fn runs(&self) -> bool {
        let listing = self.listings.borrow();
        let view = listing.pods.get(&self.uid);
        let container = view.and_then(|view| view.containers().iter().find(|one| one.id == self.id));
        listing.number <= self.number || container.is_some_and(|one| one.exit().is_none())
    }
}

/// Works with files where that holds nobody up.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

#[cfg(test)]
mod tests;
