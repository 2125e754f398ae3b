//! Following a collection.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use everynode_apimachinery::resource::Resource;
use everynode_apimachinery::status::{FieldError, Status};
use everynode_model::{Object, Value, encode};
use futures::stream;
use http::{HeaderValue, Response, header};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::Call;
use crate::http::accept::View;
use crate::http::body::{Body, BodyError};
use crate::http::query::{ListOptions, bad_version};
use crate::panics::contained_async;
use crate::selection::Selection;
use crate::store::{Change, Event, Listing, Stored, TooOld, Watcher};
use crate::view::{self, Shape};

/// The annotation of the bookmark behind the initial events.
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// Bytes that are gathered into one frame when several events wait.
const FRAME_BYTES: usize = 32 << 10;

/// When a watch that was refused for want of room may be tried again.
const RETRY_AFTER_SECONDS: u32 = 5;

/// GET of a collection with `watch`.
pub fn watch(call: &Call<'_>) -> Result<Response<Body>, Status> {
    let options = ListOptions::parse(&call.query)?;
    if options.initial_events.is_some() && !call.state.config.streaming_lists {
        let why = "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled";
        let error = FieldError::forbidden("sendInitialEvents", why);
        return Err(Status::invalid("meta.k8s.io", "ListOptions", "", &[error]));
    }
    let selection = call.selection()?;
    let Some(place) = call.state.metrics.begin_watch(call.state.config.watches) else {
        return Err(Status::too_many_requests(
            "too many watches, please try again later",
            RETRY_AFTER_SECONDS,
        ));
    };
    let version = match options.resource_version.as_deref() {
        None => None,
        Some(text) => Some(text.parse::<u64>().map_err(|_| Status::unclassified(bad_version(text)))?),
    };
    let initial = options.initial_events.unwrap_or(matches!(version, None | Some(0)));
    let mut feed = Feed {
        resource: call.resource.clone(),
        shape: call.shape(),
        namespace: call.namespace.clone(),
        selection,
        watcher: None,
        waiting: VecDeque::new(),
        _place: place,
        first_table: true,
        skip_to: 0,
        bookmarks: options.bookmarks,
        bookmark_interval: call.state.config.bookmark_interval,
        next_bookmark: Instant::now() + call.state.config.bookmark_interval,
        end: Instant::now() + life(call, &options),
        stop: call.state.stop.clone(),
        ended: false,
    };
    feed.begin(call, version, initial, options.initial_events == Some(true));
    let (sender, receiver) = mpsc::channel(1);
    let run = feed.run(sender, call.state.config.slow_reader);
    tokio::spawn(async {
        if let Err(panic) = contained_async(run).await {
            tracing::error!(%panic, "a watch was given up");
        }
    });
    let frames = stream::unfold(receiver, |mut receiver| async move {
        let bytes = receiver.recv().await?;
        Some((Ok::<_, BodyError>(Frame::data(bytes)), receiver))
    });
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    Ok(response)
}

/// The longest life of a watch, whatever a client asks for.
const LONGEST_LIFE: Duration = Duration::from_secs(86_400);

fn life(call: &Call<'_>, options: &ListOptions) -> Duration {
    let least = call.state.config.watch_life;
    let asked = options.timeout_seconds.map(Duration::from_secs);
    asked.unwrap_or_else(|| least.mul_f64(1.0 + fastrand::f64())).min(LONGEST_LIFE)
}

/// What a client is to be shown, encoded when its turn comes: who does not read costs no copies.
enum Item {
    /// An object that is there at the beginning.
    Initial(Arc<Stored>),
    /// An event, and how it is seen.
    Event(Arc<Event>, Change),
    /// An encoded line.
    Line(Bytes),
}

/// One watch on its way to a client. It holds at most one batch of events; the ring holds the rest. It has a task of
/// its own, since a client that does not read never asks for more, and has to be given up.
struct Feed {
    resource: Arc<Resource>,
    shape: Shape,
    namespace: String,
    selection: Selection,
    watcher: Option<Watcher>,
    /// What has not been sent.
    waiting: VecDeque<Item>,
    /// Counts this watch as long as it lives.
    _place: crate::metrics::Watching,
    first_table: bool,
    /// Events up to this revision are not shown.
    skip_to: u64,
    bookmarks: bool,
    bookmark_interval: Duration,
    next_bookmark: Instant,
    end: Instant,
    stop: watch::Receiver<bool>,
    ended: bool,
}

impl Feed {
    fn begin(&mut self, call: &Call<'_>, version: Option<u64>, initial: bool, mark_end: bool) {
        let store = &call.state.store;
        let from = if initial {
            let namespace = (!self.namespace.is_empty()).then_some(self.namespace.as_str());
            let Listing { items, revision } = store.list(call.table, namespace);
            let shown = items.into_iter().map(|(_, stored)| stored).filter(|one| self.selection.matches(one));
            self.waiting = shown.map(Item::Initial).collect();
            if mark_end && self.bookmarks {
                let line = self.bookmark(revision, true);
                self.waiting.push_back(Item::Line(line));
            }
            revision
        } else {
            version.filter(|version| *version > 0).unwrap_or_else(|| store.revision())
        };
        self.skip_to = from;
        match store.watch(call.table, from) {
            Ok(watcher) => self.watcher = Some(watcher),
            Err(error) => self.fail(&error),
        }
    }

    /// Sends until the watch is over, its client is gone, or has not read for so long.
    async fn run(mut self, frames: mpsc::Sender<Bytes>, slow_reader: Duration) {
        loop {
            let bytes = tokio::select! {
                bytes = self.next() => bytes,
                () = frames.closed() => None,
            };
            let Some(bytes) = bytes else { return };
            if frames.send_timeout(bytes, slow_reader).await.is_err() {
                return;
            }
        }
    }

    /// The next bytes for the client; nothing when the watch is over.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(item) = self.waiting.pop_front() {
                return Some(self.gather(item));
            }
            if self.ended {
                return None;
            }
            let mut watcher = self.watcher.take()?;
            let until = if self.bookmarks { self.end.min(self.next_bookmark) } else { self.end };
            let events = tokio::select! {
                () = watcher.ready() => true,
                () = tokio::time::sleep_until(until) => false,
                _ = self.stop.wait_for(|stopped| *stopped) => return None,
            };
            if events {
                self.take_events(&mut watcher);
                self.ended |= self.waiting.is_empty() && watcher.is_over();
            } else if Instant::now() >= self.end {
                return None;
            } else {
                self.next_bookmark = Instant::now() + self.bookmark_interval;
                let line = self.bookmark(watcher.caught_up_revision(), false);
                self.waiting.push_back(Item::Line(line));
            }
            self.watcher = Some(watcher);
        }
    }

    /// Joins small lines that wait into one frame.
    fn gather(&mut self, first: Item) -> Bytes {
        let first = self.encode(first);
        if self.waiting.is_empty() || first.len() >= FRAME_BYTES {
            return first;
        }
        let mut frame = first.to_vec();
        while let Some(item) = self.waiting.pop_front() {
            let line = self.encode(item);
            if frame.len() + line.len() > FRAME_BYTES {
                self.waiting.push_front(Item::Line(line));
                break;
            }
            frame.extend_from_slice(&line);
        }
        Bytes::from(frame)
    }

    fn encode(&mut self, item: Item) -> Bytes {
        match item {
            Item::Initial(stored) => self.line_of(&stored, Change::Added, None),
            Item::Event(event, seen_as) => self.line_of(event.shown(seen_as), seen_as, Some(&event)),
            Item::Line(line) => line,
        }
    }

    fn take_events(&mut self, watcher: &mut Watcher) {
        match watcher.take() {
            Ok(events) => {
                for event in events {
                    if event.revision() > self.skip_to
                        && let Some(seen_as) = self.seen_as(&event)
                    {
                        self.waiting.push_back(Item::Event(event, seen_as));
                    }
                }
            }
            Err(error) => self.fail(&error),
        }
    }

    /// How an event looks through the selector; nothing when it is not seen at all.
    fn seen_as(&self, event: &Event) -> Option<Change> {
        if !self.namespace.is_empty() && event.object.facts.namespace() != self.namespace {
            return None;
        }
        let is = self.selection.matches(&event.object);
        let was = event.previous.as_deref().is_some_and(|previous| self.selection.matches(previous));
        match (event.change, was, is) {
            (Change::Deleted, true, _) => Some(Change::Deleted),
            (Change::Deleted, false, _) | (_, false, false) => None,
            (change, true, true) => Some(change),
            (_, false, true) => Some(Change::Added),
            (_, true, false) => Some(Change::Deleted),
        }
    }

    /// The line of an event, shared where all watchers see the same.
    fn line_of(&mut self, stored: &Stored, seen_as: Change, event: Option<&Event>) -> Bytes {
        if self.shape.view == View::Object && self.resource.stored_as.is_none() {
            return match event {
                Some(event) => event.line(seen_as),
                None => stored.line_as(seen_as, stored.revision),
            };
        }
        let revision = event.map_or(stored.revision, Event::revision);
        let mut object = view::decode(&self.resource, stored.bytes());
        crate::meta::set(&mut object, "resourceVersion", revision.to_string());
        let with_columns = std::mem::take(&mut self.first_table);
        let shown = view::shown(&self.resource, object, self.shape, with_columns);
        line(seen_as.name(), shown)
    }

    fn bookmark(&mut self, revision: u64, initial_end: bool) -> Bytes {
        let mut metadata = Object::new();
        metadata.insert("resourceVersion".into(), revision.to_string().into());
        if initial_end {
            let mut annotations = Object::new();
            annotations.insert(INITIAL_EVENTS_END.into(), "true".into());
            metadata.insert("annotations".into(), Value::Object(annotations));
        }
        let (kind, api_version) = match self.shape.view {
            View::Metadata => ("PartialObjectMetadata", self.shape.table.version.api_version().to_owned()),
            _ => (&*self.resource.kind, self.resource.api_version()),
        };
        let mut object = Object::new();
        object.insert("kind".into(), kind.into());
        object.insert("apiVersion".into(), api_version.into());
        object.insert("metadata".into(), Value::Object(metadata));
        line("BOOKMARK", Value::Object(object))
    }

    fn fail(&mut self, error: &TooOld) {
        let status = Status::too_old_resource_version(error.asked, error.oldest);
        self.waiting.push_back(Item::Line(line("ERROR", status.to_value())));
        self.ended = true;
    }
}

fn line(kind: &str, object: Value) -> Bytes {
    let mut event = Object::new();
    event.insert("type".into(), kind.into());
    event.insert("object".into(), object);
    let mut bytes = encode::to_vec(&Value::Object(event));
    bytes.push(b'\n');
    Bytes::from(bytes)
}
