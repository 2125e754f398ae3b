//! Watches: which lines one is to see, one after the other.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::model::store::encode;
use crate::model::{Change, Kind, Moved, Refusal, Selection, Store, Target};

/// A watch that is open: where it stands in the changes.
#[derive(Debug)]
pub(crate) struct Feed {
    pub(crate) kind: Kind,
    selection: Selection,
    /// The version of the last change that was looked at.
    pub(crate) position: u64,
    /// Lines of the first list that are still to be sent.
    initial: VecDeque<Bytes>,
}

/// The next line of a watch.
#[derive(Debug)]
pub(crate) enum Line {
    /// To be sent at once.
    Initial(Bytes),
    /// What to send for a change, which was made at this time.
    Changed { line: Bytes, at_millis: u64, version: u64 },
}

impl Feed {
    /// Opens a watch.
    ///
    /// # Errors
    /// 410 when the version that it is to begin at is not kept any more.
    pub(crate) fn open(store: &Store, target: &Target) -> Result<Feed, Refusal> {
        let selection = target.selection.clone();
        let mut feed =
            Feed { kind: target.kind, selection, position: store.version(), initial: VecDeque::new() };
        if target.sends_initial_events {
            let objects = store.all(target.kind).filter(|object| feed.selection.takes(object));
            feed.initial = objects.map(|object| line("ADDED", &encode(object))).collect();
            feed.initial.push_back(feed.bookmark(true));
            return Ok(feed);
        }
        let version = target.resource_version.as_deref().and_then(|text| text.parse().ok()).unwrap_or(0);
        if store.is_compacted(version) {
            return Err(Refusal::expired(format!("too old resource version: {version}")));
        }
        if version > store.version() {
            return Err(Refusal::new(504, "Timeout", "Too large resource version").retry_after(1));
        }
        feed.position = version;
        Ok(feed)
    }

    /// A line that says how far the watch has come.
    pub(crate) fn bookmark(&self, ends_initial: bool) -> Bytes {
        let annotations = match ends_initial {
            true => r#","annotations":{"k8s.io/initial-events-end":"true"}"#,
            false => "",
        };
        let (kind, version) = (self.kind, self.position);
        Bytes::from(format!(
            r#"{{"type":"BOOKMARK","object":{{"kind":"{}","apiVersion":"{}","metadata":{{"resourceVersion":"{version}"{annotations}}}}}}}{}"#,
            kind.name(),
            kind.api_version(),
            "\n"
        ))
    }

    /// The next line, if there is one. It stays the next one until [`advance`](Self::advance).
    pub(crate) fn next(&mut self, store: &Store) -> Option<Line> {
        if let Some(line) = self.initial.front() {
            return Some(Line::Initial(line.clone()));
        }
        while let Some(change) = store.since(self.position).first() {
            if let Some(line) = self.line_of(change) {
                return Some(Line::Changed { line, at_millis: change.at_millis, version: change.version });
            }
            self.position = change.version;
        }
        None
    }

    /// Lines of the first list are still to be sent.
    pub(crate) fn is_listing(&self) -> bool {
        !self.initial.is_empty()
    }

    /// The next line was sent, or left out.
    pub(crate) fn advance(&mut self) {
        if self.initial.pop_front().is_none() {
            self.position += 1;
        }
    }

    fn line_of(&self, change: &Change) -> Option<Bytes> {
        if change.key.kind != self.kind {
            return None;
        }
        let was = change.old.as_ref().is_some_and(|old| self.selection.takes(old));
        let is = change.moved != Moved::Deleted && self.selection.takes(&change.new);
        let what = match (was, is) {
            (false, false) => return None,
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
        };
        Some(line(what, &change.bytes))
    }
}

fn line(what: &str, object: &[u8]) -> Bytes {
    let mut line = Vec::with_capacity(object.len() + 32);
    line.extend_from_slice(b"{\"type\":\"");
    line.extend_from_slice(what.as_bytes());
    line.extend_from_slice(b"\",\"object\":");
    line.extend_from_slice(object);
    line.extend_from_slice(b"}\n");
    Bytes::from(line)
}
