//! What goes wrong, and where.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use everynode_apimachinery::status::{Reason, Status};
use everynode_apiserver::{Attributes, Body, BodyError, Interceptor, answer_json, refusal};
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, stream};
use http::{Response, header};
use http_body_util::{BodyExt as _, BodyStream, StreamBody};
use hyper::body::Frame;
use serde_json::json;

/// So long an event may take to a client in the same process.
const BEFORE_BREAK: Duration = Duration::from_millis(20);

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Reads one object.
    Get,
    /// Reads a list.
    List,
    /// Watches.
    Watch,
    /// Makes an object, or calls a subresource such as `eviction`.
    Create,
    /// Replaces an object.
    Update,
    /// Changes an object by a patch.
    Patch,
    /// Deletes one object or many.
    Delete,
}

/// Something that goes wrong.
#[derive(Clone, Debug)]
pub struct Fault {
    what: What,
    verb: Option<Verb>,
    resource: Option<String>,
    path: Option<String>,
    left: usize,
}

#[derive(Clone, Debug)]
enum What {
    Refuse(u16),
    LoseAnswer,
    Delay(Duration),
    EndWatch { events: usize, is_broken: bool },
    ExpireWatch,
    LagWatch(Duration),
}

impl Fault {
    fn new(what: What) -> Fault {
        Fault { what, verb: None, resource: None, path: None, left: usize::MAX }
    }

    /// Requests are refused with this code, such as 409, 410, 429 or 500, and nothing is done.
    pub fn refuse(code: u16) -> Fault {
        Fault::new(What::Refuse(code))
    }

    /// What is asked is done, and the connection breaks before the answer has come.
    pub fn lose_answer() -> Fault {
        Fault::new(What::LoseAnswer)
    }

    /// Requests wait so long before anything is done, by tokio's time.
    pub fn delay(by: Duration) -> Fault {
        Fault::new(What::Delay(by))
    }

    /// Watches end in peace after so many events.
    pub fn end_watch_after(events: usize) -> Fault {
        Fault { verb: Some(Verb::Watch), ..Fault::new(What::EndWatch { events, is_broken: false }) }
    }

    /// The connection of watches breaks after so many events.
    pub fn break_watch_after(events: usize) -> Fault {
        Fault { verb: Some(Verb::Watch), ..Fault::new(What::EndWatch { events, is_broken: true }) }
    }

    /// Watches say that their version is too old (410), so that a client has to list anew.
    pub fn expire_watch() -> Fault {
        Fault { verb: Some(Verb::Watch), ..Fault::new(What::ExpireWatch) }
    }

    /// Events of watches come so much later, by tokio's time, each after the one before.
    pub fn lag_watch(by: Duration) -> Fault {
        Fault { verb: Some(Verb::Watch), ..Fault::new(What::LagWatch(by)) }
    }

    /// Only requests that do this.
    #[must_use]
    pub fn of(mut self, verb: Verb) -> Fault {
        self.verb = Some(verb);
        self
    }

    /// Only requests about this resource, by its plural, such as `pods`.
    #[must_use]
    pub fn of_resource(mut self, plural: &str) -> Fault {
        self.resource = Some(plural.to_owned());
        self
    }

    /// Only requests whose path has this in it, such as `/namespaces/a/` or `/status`.
    #[must_use]
    pub fn of_path(mut self, part: &str) -> Fault {
        self.path = Some(part.to_owned());
        self
    }

    /// So many times, and then no more.
    #[must_use]
    pub fn times(mut self, times: usize) -> Fault {
        self.left = times;
        self
    }

    fn fits(&self, asked: &Attributes) -> bool {
        let Some(resource) = &asked.resource else { return false };
        self.left > 0
            && self.verb.is_none_or(|verb| verb.names().contains(&asked.verb.as_str()))
            && self.resource.as_ref().is_none_or(|wanted| *wanted == resource.resource)
            && self.path.as_ref().is_none_or(|part| asked.path.contains(part.as_str()))
    }
}

impl Verb {
    /// What roles call it.
    fn names(self) -> &'static [&'static str] {
        match self {
            Verb::Get => &["get"],
            Verb::List => &["list"],
            Verb::Watch => &["watch"],
            Verb::Create => &["create"],
            Verb::Update => &["update"],
            Verb::Patch => &["patch"],
            Verb::Delete => &["delete", "deletecollection"],
        }
    }
}

/// The faults of a server.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    all: Mutex<Vec<Fault>>,
    /// While somebody is at work whom faults do not concern.
    calm: AtomicUsize,
}

/// Faults do not happen while this lives.
pub(crate) struct Calm<'a>(&'a AtomicUsize);

impl Drop for Calm<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Faults {
    pub(crate) fn add(&self, fault: Fault) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
    }

    pub(crate) fn clear(&self) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(crate) fn calm(&self) -> Calm<'_> {
        self.calm.fetch_add(1, Ordering::SeqCst);
        Calm(&self.calm)
    }

    /// What happens to a request at this end of it, which counts.
    fn happens(&self, asked: &Attributes, at_this_end: impl Fn(&What) -> bool) -> Option<What> {
        if self.calm.load(Ordering::SeqCst) > 0 {
            return None;
        }
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let first = all.iter_mut().find(|fault| fault.fits(asked))?;
        if !at_this_end(&first.what) {
            return None;
        }
        first.left -= 1;
        Some(first.what.clone())
    }
}

impl Interceptor for Faults {
    fn before<'a>(&'a self, asked: &'a Attributes) -> BoxFuture<'a, Option<Response<Body>>> {
        let at_this_end = |what: &What| matches!(what, What::Refuse(_) | What::Delay(_) | What::ExpireWatch);
        let happens = self.happens(asked, at_this_end);
        async move {
            match happens? {
                What::Refuse(code) => Some(refused(code)),
                What::ExpireWatch => Some(expired()),
                What::Delay(by) => {
                    tokio::time::sleep(by).await;
                    None
                }
                _ => None,
            }
        }
        .boxed()
    }

    fn after(&self, asked: &Attributes, answer: Response<Body>) -> Response<Body> {
        let at_this_end =
            |what: &What| matches!(what, What::LoseAnswer | What::EndWatch { .. } | What::LagWatch(_));
        match self.happens(asked, at_this_end) {
            Some(What::LoseAnswer) => answer.map(|_| broken()),
            Some(What::EndWatch { events, is_broken }) => answer.map(|body| cut(body, events, is_broken)),
            Some(What::LagWatch(by)) => answer.map(|body| lagging(body, by)),
            _ => answer,
        }
    }
}

/// A refusal in the words of an API server.
fn refused(code: u16) -> Response<Body> {
    let reason = match code {
        410 => Reason::Expired,
        500 => Reason::InternalError,
        code => Reason::from_code(code),
    };
    let mut response = refusal(&Status::new(reason, format!("a fault that the test asked for: {reason}")));
    if matches!(code, 429 | 503) {
        response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
    }
    response
}

/// A watch that says at once that its version is too old.
fn expired() -> Response<Body> {
    let status = Status::expired("too old resource version").to_value();
    answer_json(200, &json!({"type": "ERROR", "object": status}))
}

fn break_off() -> BodyError {
    "a fault that the test asked for: the connection breaks".into()
}

fn broken() -> Body {
    StreamBody::new(stream::once(async { Err(break_off()) })).boxed_unsync()
}

/// So many events of a watch; then it ends, or breaks.
fn cut(body: Body, events: usize, is_broken: bool) -> Body {
    let end = stream::iter(is_broken.then_some(())).then(|()| async {
        // A reset would overtake the events that are on their way.
        tokio::time::sleep(BEFORE_BREAK).await;
        Err(break_off())
    });
    let frames = BodyStream::new(body).scan(events, |left, frame| {
        let passed = (*left > 0).then(|| frame.map(|frame| first_lines(frame, left)));
        std::future::ready(passed)
    });
    match events {
        0 => StreamBody::new(end).boxed_unsync(),
        _ => StreamBody::new(until_last(frames, events).chain(end)).boxed_unsync(),
    }
}

/// Ends a stream with the frame in which the last event is, without waiting for one more.
fn until_last(
    frames: impl futures::Stream<Item = Result<Frame<Bytes>, BodyError>> + Send + 'static,
    events: usize,
) -> impl futures::Stream<Item = Result<Frame<Bytes>, BodyError>> + Send {
    let state = (Box::pin(frames), events);
    stream::unfold(state, |(mut frames, left)| async move {
        if left == 0 {
            return None;
        }
        let frame = frames.next().await?;
        let lines = frame.as_ref().ok().and_then(Frame::data_ref).map_or(0, lines);
        Some((frame, (frames, left.saturating_sub(lines))))
    })
}

fn lines(data: &Bytes) -> usize {
    data.iter().filter(|byte| **byte == b'\n').count()
}

/// The first lines of a frame, as many as are left.
fn first_lines(frame: Frame<Bytes>, left: &mut usize) -> Frame<Bytes> {
    let Ok(data) = frame.into_data() else { return Frame::data(Bytes::new()) };
    let mut end = data.len();
    for (at, _) in data.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
        *left -= 1;
        if *left == 0 {
            end = at + 1;
            break;
        }
    }
    Frame::data(data.slice(..end))
}

/// Each part of a body after a pause.
fn lagging(body: Body, by: Duration) -> Body {
    let frames = BodyStream::new(body).then(move |frame| async move {
        tokio::time::sleep(by).await;
        frame
    });
    StreamBody::new(frames).boxed_unsync()
}
