//! The audit log: one line of JSON for every request, in the form of `audit.k8s.io/v1` at the level Metadata.
//!
//! ```text
//! request -> Entry ... response -> Event --bounded queue--> one thread -> file
//! ```
//!
//! An answer waits until its line is in the queue, so a slow disk slows clients down and loses nothing. Two
//! things can lose lines, and both are counted (`apiserver_audit_error_total`) and logged: a file that refuses
//! to be written, and requests or watches that are broken off while the queue is full, since nobody can wait
//! then. Lines are handed to the operating system and not forced to the disk.

mod event;
mod log;

use std::net::IpAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{SystemTime, UNIX_EPOCH};
use std::{fmt, io, thread};

use bytes::Bytes;
use everynode_model::Value;
use http::{HeaderValue, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::sync::{mpsc, oneshot};

use crate::authn::User;
use crate::http::attributes::Attributes;
use crate::http::body::{Body, BodyError};
use event::{Event, Stage};

/// Lines that wait for the file at most.
const QUEUE: usize = 4_096;

/// The code of a request whose client went away before the answer; a write may have been made all the same.
const ABANDONED: u16 = 499;

/// Lines since the start.
#[derive(Debug, Default)]
pub struct Counters {
    written: AtomicU64,
    lost: AtomicU64,
}

impl Counters {
    /// Lines that are in the file.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Lines that could not be written.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    fn lose(&self, lines: u64, why: &dyn fmt::Display) {
        // Said at the first and then ever more rarely: a full disk would otherwise fill the log too.
        let before = self.lost.fetch_add(lines, Ordering::Relaxed);
        if before == 0 || before.ilog2() != (before + lines).ilog2() {
            tracing::error!(lost = before + lines, "lines of the audit log are lost: {why}");
        }
    }
}

/// What goes to the thread that writes.
#[derive(Debug)]
enum Message {
    Event(Box<Event>),
    /// Everything before it is to be in the file; answered when it is.
    Close(oneshot::Sender<()>),
}

/// The audit log of a server.
#[derive(Debug, Clone)]
pub struct Audit {
    queue: mpsc::Sender<Message>,
    counters: Arc<Counters>,
}

impl Audit {
    /// Opens the file, to which lines are appended, and starts the thread that writes them. A new file is
    /// readable by its owner only.
    ///
    /// # Errors
    /// The file cannot be opened, or no thread started.
    pub fn open(path: &Path) -> io::Result<Audit> {
        let file = log::open(path)?;
        let (audit, messages) = Audit::new(QUEUE);
        let counters = audit.counters.clone();
        let run = move || log::run(file, messages, &counters);
        thread::Builder::new().name("audit".into()).spawn(run)?;
        Ok(audit)
    }

    fn new(queue: usize) -> (Audit, mpsc::Receiver<Message>) {
        let (queue, messages) = mpsc::channel(queue);
        (Audit { queue, counters: Arc::default() }, messages)
    }

    /// What was written and lost so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Takes a request down.
    pub fn begin(
        &self,
        peer: IpAddr,
        user: Option<Arc<User>>,
        attributes: &Attributes,
        request: &Request<Incoming>,
    ) -> Entry {
        let event = Event::of(peer, user, attributes, request, unix_micros());
        Entry { event: Some(Box::new(event)), audit: self.clone() }
    }

    /// Takes down how a request was answered. A watch gets a line at its beginning, and another one when it is
    /// over.
    pub async fn end(&self, mut entry: Entry, mut response: Response<Body>) -> Response<Body> {
        let subject = response.extensions_mut().remove::<Subject>();
        let Some(event) = &mut entry.event else { return response };
        if let Ok(id) = HeaderValue::from_str(&event.audit_id) {
            response.headers_mut().insert("audit-id", id);
        }
        event.code = response.status().as_u16();
        if let Some(subject) = subject {
            event.complete(subject);
        }
        if event.verb != "watch" || !response.status().is_success() {
            entry.write(Stage::ResponseComplete).await;
            return response;
        }
        entry.write(Stage::ResponseStarted).await;
        response.map(|inner| Followed { inner, _entry: entry }.boxed_unsync())
    }

    /// Waits until everything that was taken down so far is in the file. What comes later is lost.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.queue.send(Message::Close(done)).await.is_ok() {
            let _ = closed.await;
        }
    }
}

/// A request that is taken down. When it is dropped before [`Audit::end`] is through, its client went away.
#[derive(Debug)]
pub struct Entry {
    event: Option<Box<Event>>,
    audit: Audit,
}

impl Entry {
    /// Waits for room and writes. At the last stage the entry is spent.
    async fn write(&mut self, stage: Stage) {
        let room = self.audit.queue.reserve().await;
        let Some(mut event) = self.event.take() else { return };
        if stage == Stage::ResponseStarted {
            self.event = Some(event.clone());
        }
        event.at(stage, unix_micros());
        match room {
            Ok(room) => room.send(Message::Event(event)),
            Err(_) => self.audit.counters.lose(1, &"the server has stopped"),
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let Some(mut event) = self.event.take() else { return };
        if event.code == 0 {
            event.code = ABANDONED;
        }
        event.at(Stage::ResponseComplete, unix_micros());
        if let Err(error) = self.audit.queue.try_send(Message::Event(event)) {
            self.audit.counters.lose(1, &error);
        }
    }
}

/// The object that an answer is about, left by the handlers in the response's extensions.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Subject {
    name: String,
    namespace: String,
    uid: String,
    resource_version: String,
}

impl Subject {
    /// Of an encoded object.
    pub fn of_bytes(object: &[u8]) -> Option<Subject> {
        #[derive(serde::Deserialize)]
        struct Partial {
            metadata: Subject,
        }
        serde_json::from_slice::<Partial>(object).ok().map(|partial| partial.metadata)
    }

    /// Of a decoded object.
    pub fn of_value(object: &Value) -> Option<Subject> {
        let metadata = object.get("metadata")?;
        let text = |field: &str| metadata.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        Some(Subject {
            name: text("name"),
            namespace: text("namespace"),
            uid: text("uid"),
            resource_version: text("resourceVersion"),
        })
    }
}

/// The body of a watch, whose entry is written when it is dropped: at its end, or when the client goes away.
struct Followed {
    inner: Body,
    _entry: Entry,
}

impl hyper::body::Body for Followed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

fn unix_micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(audit: &Audit) -> Entry {
        Entry { event: Some(Box::new(Event::example())), audit: audit.clone() }
    }

    #[tokio::test]
    async fn an_answer_waits_for_room_in_the_queue_and_no_line_is_lost() {
        let (audit, mut messages) = Audit::new(1);
        entry(&audit).write(Stage::ResponseComplete).await;
        let mut second = entry(&audit);
        let mut waiting = Box::pin(second.write(Stage::ResponseComplete));
        assert!(futures::poll!(&mut waiting).is_pending());
        assert!(messages.recv().await.is_some());
        waiting.await;
        drop(second);
        assert!(messages.recv().await.is_some());
        assert_eq!((audit.counters().lost(), messages.len()), (0, 0));
    }

    #[tokio::test]
    async fn a_request_that_is_broken_off_leaves_a_line_or_is_counted_as_lost() {
        let (audit, mut messages) = Audit::new(1);
        drop(entry(&audit));
        drop(entry(&audit));
        let Some(Message::Event(event)) = messages.recv().await else { panic!("a line was expected") };
        assert_eq!(event.code, ABANDONED);
        assert_eq!((audit.counters().lost(), messages.len()), (1, 0));
    }
}
