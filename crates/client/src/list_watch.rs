//! A collection as a stream of events that survives disconnections.
//!
//! [`ListWatch::run`] first gives all objects, then every change, for ever: it reconnects with a backoff,
//! resumes from the last version seen, and starts over with [`Event::Restarted`] when the server no longer
//! knows that version. Objects are raw JSON, untouched; nothing is kept here but the last one.

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::error::ApiStatus;
use crate::pages::Pages;
use crate::{Backoff, Client, Error};

/// What happened to the collection.
#[derive(Debug)]
pub enum Event {
    /// The objects that follow, up to [`Event::InitialDone`], are the whole collection: what was known before
    /// and does not come again is gone. Also the first event.
    Restarted,
    /// One object of the collection as it stands. Items of a paged list carry no `kind` and `apiVersion`.
    InitialObject(Bytes),
    /// The collection is complete, as of this resource version.
    InitialDone(String),
    /// The object was created or changed.
    Applied(Bytes),
    /// The object was deleted, or left the selection; this is its last state.
    Deleted(Bytes),
    /// Nothing changed up to this resource version.
    Bookmark(String),
    /// The connection failed; it is tried again after a pause. For logs and metrics: the state is unaffected.
    Interrupted(Error),
}

/// Which collection to follow, and how patiently.
#[derive(Debug, Clone)]
pub struct ListWatch {
    path: String,
    query: String,
    page_limit: u32,
    stall_timeout: Duration,
    random: fastrand::Rng,
}

/// Objects per page of a paged list.
const PAGE_LIMIT: u32 = 500;
/// API servers send a bookmark each minute; nothing at all for longer than this means a dead connection.
const STALL_TIMEOUT: Duration = Duration::from_secs(150);
/// The server is asked to end each watch after this time and up to as much again, so that load spreads.
const WATCH_SECONDS: u64 = 300;
/// Pauses after failures; a server may ask for one of its own, up to the last of these.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), LONGEST_PAUSE);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A watch that lives for less than this and brings nothing is a failure, not a success.
const SHORT_WATCH: Duration = Duration::from_secs(1);

impl ListWatch {
    /// Follows the collection at this path, such as `/api/v1/pods`.
    pub fn new(path: impl Into<String>) -> ListWatch {
        ListWatch {
            path: path.into(),
            query: String::new(),
            page_limit: PAGE_LIMIT,
            stall_timeout: STALL_TIMEOUT,
            random: fastrand::Rng::new(),
        }
    }

    /// The collection that is followed.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Narrows the collection by selectors, given as a query that is encoded already, such as
    /// `fieldSelector=spec.nodeName%3Da`.
    pub fn query(mut self, query: impl Into<String>) -> ListWatch {
        self.query = query.into();
        self
    }

    /// Objects per page where the server cannot stream lists (500 unless set).
    pub fn page_limit(mut self, objects: u32) -> ListWatch {
        self.page_limit = objects.max(1);
        self
    }

    /// How long a watch may be silent before it is opened anew (150 seconds unless set).
    pub fn stall_timeout(mut self, timeout: Duration) -> ListWatch {
        self.stall_timeout = timeout;
        self
    }

    /// Fixes the jitter, for tests.
    pub fn seed(mut self, seed: u64) -> ListWatch {
        self.random = fastrand::Rng::with_seed(seed);
        self
    }

    /// Starts following. The stream never ends; dropping it closes the connection.
    pub fn run(self, client: Client) -> impl Stream<Item = Event> + Send + Unpin + use<> {
        let driver = Driver {
            client,
            config: self,
            state: State::Listing(ListMode::Streamed),
            streams_lists: true,
            queue: VecDeque::new(),
            failures: 0,
            pause: Duration::ZERO,
        };
        Box::pin(futures::stream::unfold(driver, |mut driver| async move {
            let event = driver.next().await;
            Some((event, driver))
        }))
    }
}

type Lines = Pin<Box<dyn Stream<Item = Result<Bytes, Error>> + Send>>;

/// Where the driver stands between two events.
enum State {
    /// A new list is to be begun.
    Listing(ListMode),
    /// Pages follow.
    Paging { pages: Pages, query: String },
    /// Initial objects are arriving over a watch.
    Streaming(Lines),
    /// The collection is known; a watch from this version is to be opened.
    Resuming(Position),
    /// Changes are arriving.
    Watching { lines: Lines, position: Position, opened: Instant, brought: bool },
}

enum ListMode {
    Streamed,
    Paged,
}

/// The last version seen: as text, or within an object whose version has not been needed yet.
enum Position {
    Version(String),
    Object(Bytes),
}

impl Position {
    fn version(self) -> Result<String, Error> {
        match self {
            Position::Version(version) => Ok(version),
            Position::Object(object) => Ok(read::<Versioned<'_>>(&object)?.metadata.resource_version.into()),
        }
    }
}

struct Driver {
    client: Client,
    config: ListWatch,
    state: State,
    /// False once the server has refused to stream a list.
    streams_lists: bool,
    /// Events of one page, or of one step.
    queue: VecDeque<Event>,
    /// How many steps failed in a row.
    failures: u32,
    /// How long to wait before the next step.
    pause: Duration,
}

impl Driver {
    async fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.queue.pop_front() {
                return event;
            }
            if !self.pause.is_zero() {
                tokio::time::sleep(self.pause).await;
                self.pause = Duration::ZERO;
            }
            let mode = self.list_mode();
            let state = std::mem::replace(&mut self.state, State::Listing(mode));
            match self.step(state).await {
                Ok(next) => self.state = next,
                Err(Broken { error, next }) => {
                    self.state = next;
                    self.failures = self.failures.saturating_add(1);
                    self.pause = pause(&error, self.failures, &mut self.config.random);
                    tracing::debug!(path = %self.config.path, %error, pause = ?self.pause, "watch interrupted");
                    return Event::Interrupted(error);
                }
            }
        }
    }

    fn list_mode(&self) -> ListMode {
        match self.streams_lists {
            true => ListMode::Streamed,
            false => ListMode::Paged,
        }
    }

    fn relist(&self, error: Error) -> Broken {
        Broken { error, next: State::Listing(self.list_mode()) }
    }

    async fn step(&mut self, state: State) -> Result<State, Broken> {
        match state {
            State::Listing(ListMode::Streamed) => self.open_streamed_list().await,
            State::Listing(ListMode::Paged) => {
                let first = self.page(Pages::default(), "").await.map_err(|e| self.relist(e))?;
                self.queue.push_front(Event::Restarted);
                Ok(first)
            }
            State::Paging { pages, query } => self.page(pages, &query).await.map_err(|e| self.relist(e)),
            State::Streaming(lines) => self.initial(lines).await.map_err(|error| {
                // Some servers (with an old etcd, for example) accept such a watch and refuse within it. Lists in
                // pages work everywhere, so any refusal but that of a busy server leads there.
                let refused = error.status().is_some_and(|status| status.code != 429);
                self.streams_lists &= !refused;
                self.relist(error)
            }),
            State::Resuming(position) => self.resume(position).await,
            State::Watching { lines, position, opened, brought } => {
                self.change(lines, position, opened, brought).await
            }
        }
    }

    async fn open_streamed_list(&mut self) -> Result<State, Broken> {
        let path = self.watch_path("&sendInitialEvents=true&resourceVersionMatch=NotOlderThan");
        match self.client.watch(&path).await {
            Ok(lines) => {
                self.queue.push_back(Event::Restarted);
                Ok(State::Streaming(Box::pin(lines)))
            }
            Err(error) if matches!(error.code(), Some(400 | 422)) => {
                self.streams_lists = false;
                Ok(State::Listing(ListMode::Paged))
            }
            Err(error) => Err(self.relist(error)),
        }
    }

    /// Reads one page of a list: the first, or the one that `more` of the query leads to.
    async fn page(&mut self, mut pages: Pages, more: &str) -> Result<State, Error> {
        let ListWatch { path, query, page_limit, .. } = &self.config;
        let mut path = format!("{path}?limit={page_limit}");
        append(&mut path, query);
        append(&mut path, more);
        let body = self.client.get(&path).await?;
        let page: Page<'_> = read(&body)?;
        for item in &page.items {
            self.queue.push_back(Event::InitialObject(body.slice_ref(item.get().as_bytes())));
        }
        match &*page.metadata.continue_token {
            "" => {
                let version = page.metadata.resource_version.into_owned();
                self.queue.push_back(Event::InitialDone(version.clone()));
                self.failures = 0;
                Ok(State::Resuming(Position::Version(version)))
            }
            token => {
                let query = pages.next(token)?;
                Ok(State::Paging { pages, query })
            }
        }
    }

    /// Takes one line of a streamed list.
    async fn initial(&mut self, mut lines: Lines) -> Result<State, Error> {
        match next_line(&mut lines, self.config.stall_timeout).await? {
            Some(Change::Applied(object)) => self.queue.push_back(Event::InitialObject(object)),
            Some(Change::Bookmark { version, ends_initial: true }) => {
                self.queue.push_back(Event::InitialDone(version.clone()));
                self.failures = 0;
                let position = Position::Version(version);
                return Ok(State::Watching { lines, position, opened: Instant::now(), brought: true });
            }
            Some(Change::Bookmark { .. } | Change::Other) => {}
            // An object that goes before the list is complete was given out before.
            Some(Change::Deleted(object)) => self.queue.push_back(Event::Deleted(object)),
            None => return Err(closed_early("before the list was complete")),
        }
        Ok(State::Streaming(lines))
    }

    /// Opens a watch that goes on where the last one stopped.
    async fn resume(&mut self, position: Position) -> Result<State, Broken> {
        let version = position.version().map_err(|error| self.relist(error))?;
        let path = self.watch_path(&format!("&resourceVersion={version}"));
        let position = Position::Version(version);
        match self.client.watch(&path).await {
            Ok(lines) => Ok(State::Watching {
                lines: Box::pin(lines),
                position,
                opened: Instant::now(),
                brought: false,
            }),
            Err(error) if error.is_expired() => Err(self.relist(error)),
            Err(error) => Err(Broken { error, next: State::Resuming(position) }),
        }
    }

    /// Takes one line of a watch.
    async fn change(
        &mut self,
        mut lines: Lines,
        position: Position,
        opened: Instant,
        brought: bool,
    ) -> Result<State, Broken> {
        let (event, position) = match next_line(&mut lines, self.config.stall_timeout).await {
            Ok(Some(Change::Applied(object))) => (Event::Applied(object.clone()), Position::Object(object)),
            Ok(Some(Change::Deleted(object))) => (Event::Deleted(object.clone()), Position::Object(object)),
            Ok(Some(Change::Bookmark { version, .. })) => {
                (Event::Bookmark(version.clone()), Position::Version(version))
            }
            Ok(Some(Change::Other)) => return Ok(State::Watching { lines, position, opened, brought }),
            Ok(None) if brought || opened.elapsed() > SHORT_WATCH => return Ok(State::Resuming(position)),
            Ok(None) => {
                let error = closed_early("at once");
                return Err(Broken { error, next: State::Resuming(position) });
            }
            Err(error) if error.is_expired() => return Err(self.relist(error)),
            Err(error) => return Err(Broken { error, next: State::Resuming(position) }),
        };
        if !brought {
            self.failures = 0;
        }
        self.queue.push_back(event);
        Ok(State::Watching { lines, position, opened, brought: true })
    }

    fn watch_path(&mut self, more: &str) -> String {
        let seconds = WATCH_SECONDS + self.config.random.u64(0..WATCH_SECONDS);
        let mut path =
            format!("{}?watch=1&allowWatchBookmarks=true&timeoutSeconds={seconds}{more}", self.config.path);
        append(&mut path, &self.config.query);
        path
    }
}

async fn next_line(lines: &mut Lines, stall_timeout: Duration) -> Result<Option<Change>, Error> {
    match tokio::time::timeout(stall_timeout, lines.next()).await {
        Err(_) => Err(Error::TimedOut(stall_timeout)),
        Ok(None) => Ok(None),
        Ok(Some(line)) => parse_line(&line?).map(Some),
    }
}

/// A step that failed, and how to go on after a pause.
struct Broken {
    error: Error,
    next: State,
}

fn closed_early(when: &str) -> Error {
    Error::Transport {
        message: format!("the server closed the watch {when}"),
        hint: None,
        may_have_arrived: true,
    }
}

fn append(path: &mut String, query: &str) {
    if !query.is_empty() {
        path.push('&');
        path.push_str(query);
    }
}

/// How long to wait after this failure, the last of so many in a row.
fn pause(error: &Error, failures: u32, random: &mut fastrand::Rng) -> Duration {
    if error.is_expired() && failures == 1 {
        // Not a failure of the server: only the version is gone. Starting over needs no pause the first time.
        return Duration::ZERO;
    }
    let asked = error.status().and_then(|status| status.retry_after_seconds).unwrap_or(0);
    BACKOFF.jittered(failures, random).max(Duration::from_secs(u64::from(asked)).min(LONGEST_PAUSE))
}

/// One line of a watch.
#[derive(Debug)]
enum Change {
    Applied(Bytes),
    Deleted(Bytes),
    Bookmark { version: String, ends_initial: bool },
    Other,
}

/// Takes a line apart. Kubernetes writes `{"type":"...","object":...}` without spaces, which needs no parsing
/// at all; anything else is parsed.
fn parse_line(line: &Bytes) -> Result<Change, Error> {
    let (kind, object) = match split_line(line) {
        Some(parts) => parts,
        None => {
            let event: RawEvent<'_> = read(line)?;
            (event.kind, line.slice_ref(event.object.get().as_bytes()))
        }
    };
    Ok(match kind {
        "ADDED" | "MODIFIED" => Change::Applied(object),
        "DELETED" => Change::Deleted(object),
        "BOOKMARK" => {
            let bookmark: Versioned<'_> = read(&object)?;
            let ends_initial = bookmark
                .metadata
                .annotations
                .is_some_and(|annotations| annotations.initial_events_end.as_deref() == Some("true"));
            Change::Bookmark { version: bookmark.metadata.resource_version.into(), ends_initial }
        }
        "ERROR" => return Err(Error::Api(Box::new(ApiStatus::from_body(500, None, &object)))),
        _ => Change::Other,
    })
}

fn split_line(line: &Bytes) -> Option<(&str, Bytes)> {
    let text = line.strip_prefix(br#"{"type":""#)?;
    let kind_end = memchr::memchr(b'"', text)?;
    let kind = std::str::from_utf8(&text[..kind_end]).ok()?;
    let object = text[kind_end..].strip_prefix(br#"","object":"#)?.strip_suffix(b"}")?;
    // The end may be white space after all, or the line may be cut: then the parser decides.
    (object.first() == Some(&b'{') && object.last() == Some(&b'}')).then(|| (kind, line.slice_ref(object)))
}

fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|e| Error::Decode(e.to_string()))
}

#[derive(Deserialize)]
struct RawEvent<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow, default)]
    metadata: Metadata<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_empty")]
    items: Vec<&'a RawValue>,
}

/// Go writes an empty list as `null` here and there.
fn null_is_empty<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<&'de RawValue>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[derive(Deserialize)]
struct Versioned<'a> {
    #[serde(borrow, default)]
    metadata: Metadata<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Metadata<'a> {
    #[serde(borrow)]
    resource_version: std::borrow::Cow<'a, str>,
    #[serde(borrow, rename = "continue")]
    continue_token: std::borrow::Cow<'a, str>,
    annotations: Option<Annotations>,
}

#[derive(Deserialize)]
struct Annotations {
    #[serde(rename = "k8s.io/initial-events-end")]
    initial_events_end: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[test]
    fn a_line_of_a_watch_gives_its_object_untouched() {
        for text in [
            r#"{"type":"ADDED","object":{"kind":"Pod","metadata":{}}}"#,
            r#"{ "type" : "ADDED", "object" : {"kind":"Pod","metadata":{}} }"#,
            r#"{"object":{"kind":"Pod","metadata":{}},"type":"ADDED"}"#,
        ] {
            match parse_line(&line(text)) {
                Ok(Change::Applied(object)) => {
                    assert_eq!(object, line(r#"{"kind":"Pod","metadata":{}}"#), "{text}");
                }
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn the_end_of_the_initial_objects_is_known_by_its_annotation() {
        let text = r#"{"type":"BOOKMARK","object":{"kind":"Pod","metadata":{"resourceVersion":"12","annotations":{"k8s.io/initial-events-end":"true"}}}}"#;
        assert!(
            matches!(parse_line(&line(text)), Ok(Change::Bookmark { version, ends_initial: true }) if version == "12")
        );
        let text = r#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"13"}}}"#;
        assert!(
            matches!(parse_line(&line(text)), Ok(Change::Bookmark { version, ends_initial: false }) if version == "13")
        );
    }

    #[test]
    fn changed_lines_are_read_or_refused_and_borrow_what_they_hold() {
        let lines = [
            r#"{"type":"ADDED","object":{"kind":"Pod","metadata":{"name":"a\u0031","resourceVersion":"12"}}}"#,
            r#"{"object":{"metadata":{"resourceVersion":"12","annotations":{"k8s.io/initial-events-end":"true"}}},"type":"BOOKMARK"}"#,
            r#"{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"m"}}"#,
        ];
        for seed in 1..=20_000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut line = lines[random.usize(0..lines.len())].as_bytes().to_vec();
            for _ in 0..random.usize(1..5) {
                let at = random.usize(0..line.len());
                match random.u32(0..4) {
                    0 => line.insert(at, b"{}[]\",:\\\0\xff"[random.usize(0..10)]),
                    1 => drop(line.remove(at)),
                    2 => line.extend_from_within(at..(at + 20).min(line.len())),
                    _ => line[at] = random.u8(..),
                }
            }
            let line = Bytes::from(line);
            if let Ok(Change::Applied(object)) = parse_line(&line) {
                let range = line.as_ptr_range();
                assert!(range.contains(&object.as_ptr()) && object.len() < line.len(), "seed {seed}");
            }
        }
    }

    #[test]
    fn an_error_line_is_the_servers_refusal() {
        let text = r#"{"type":"ERROR","object":{"kind":"Status","message":"too old resource version","reason":"Expired","code":410}}"#;
        assert!(parse_line(&line(text)).unwrap_err().is_expired());
        assert!(matches!(parse_line(&line("{")), Err(Error::Decode(_))));
    }

    #[test]
    fn a_pause_is_as_long_as_the_server_asks_and_a_version_that_is_gone_needs_none_at_first() {
        fn check(error: Error, failures: u32, between_millis: [u64; 2]) {
            let pause = pause(&error, failures, &mut fastrand::Rng::new());
            let [least, most] = between_millis.map(Duration::from_millis);
            assert!(pause >= least && pause <= most, "{error}, {failures}: {pause:?}");
        }
        let refusal = |code, retry_after_seconds| {
            Error::Api(Box::new(ApiStatus { code, retry_after_seconds, ..ApiStatus::default() }))
        };
        check(Error::TimedOut(Duration::from_secs(1)), 1, [50, 100]);
        check(Error::TimedOut(Duration::from_secs(1)), 12, [15_000, 30_000]);
        check(refusal(429, Some(20)), 1, [20_000, 20_000]);
        check(refusal(429, Some(3600)), 1, [30_000, 30_000]);
        check(refusal(410, None), 1, [0, 0]);
        check(refusal(410, None), 2, [100, 200]);
    }
}
