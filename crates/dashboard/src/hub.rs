//! What is shown now, who is told of changes, and what was shown before.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::broadcast;

use crate::frame::{Version, encode};
use crate::picture::{Column, Picture};

/// Events that a slow page may be behind before it has to begin anew.
const BEHIND: usize = 256;
/// Changed cells of one delta; more of them are a new frame.
const CELLS: usize = 20_000;
/// Moments that are kept, and their bytes.
const MOMENTS: usize = 240;
const MOMENT_BYTES: usize = 48 << 20;
/// Moments of a watched cluster are so far apart at least.
const MOMENT_MILLIS: i64 = 2_000;
/// Gaps that are kept.
const GAPS: usize = 100;
/// Points of a DaemonSet's course that are kept, and DaemonSets of which they are.
const POINTS: usize = 400;
const COURSES: usize = 200;

/// The one place where pages look.
#[derive(Clone, Debug)]
pub struct Hub {
    state: Arc<Mutex<State>>,
    events: broadcast::Sender<Arc<str>>,
}

#[derive(Debug, Default)]
struct State {
    picture: Arc<Picture>,
    version: Version,
    /// The frame of this version, once it was asked for.
    frame: Option<Bytes>,
    moments: Vec<Moment>,
    gaps: Vec<(i64, i64)>,
    last_id: u64,
    is_live: bool,
    interrupted: Option<(i64, String)>,
    courses: BTreeMap<(String, String), Vec<Point>>,
}

/// How a roll-out stood at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Point {
    at_millis: i64,
    /// Nodes with the current revision; those where it is available; those that use the budget.
    numbers: [i64; 3],
}

/// A frame that was.
#[derive(Clone, Debug)]
struct Moment {
    id: u64,
    at_millis: i64,
    sequence: u64,
    frame: Bytes,
}

impl Hub {
    /// A hub that shows a picture.
    pub fn new(picture: Picture, is_live: bool) -> Hub {
        let mut state = State { picture: Arc::new(picture), is_live, ..State::default() };
        state.note_course();
        Hub { state: Arc::new(Mutex::new(state)), events: broadcast::channel(BEHIND).0 }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is shown.
    pub fn picture(&self) -> Arc<Picture> {
        self.state().picture.clone()
    }

    /// What happens from now on, as JSON.
    pub fn events(&self) -> broadcast::Receiver<Arc<str>> {
        self.events.subscribe()
    }

    /// The frame of what is shown, or of a moment; `None` when that is not kept any more.
    pub fn frame(&self, moment: Option<u64>) -> Option<Bytes> {
        let mut state = self.state();
        if let Some(id) = moment {
            return state.moments.iter().find(|moment| moment.id == id).map(|moment| moment.frame.clone());
        }
        let (picture, version) = (state.picture.clone(), state.version);
        Some(state.frame.get_or_insert_with(|| encode(&picture, version)).clone())
    }

    /// What can be had of the past, and how the cluster is heard of.
    pub fn moments(&self) -> Value {
        let state = self.state();
        let moments = state.moments.iter().map(|one| json!({"id": one.id, "atMillis": one.at_millis}));
        json!({
            "live": state.is_live,
            "interrupted": state.interrupted.as_ref().map(|(_, why)| why),
            "moments": moments.collect::<Vec<_>>(),
            "gaps": state.gaps.iter().map(|(from, to)| json!({"fromMillis": from, "toMillis": to})).collect::<Vec<_>>(),
        })
    }

    /// How a DaemonSet went on since it is watched: at each time that something was different, the nodes with the
    /// current revision, those where it is available, and those that use the budget.
    pub fn course(&self, namespace: &str, name: &str) -> Value {
        let state = self.state();
        let points = state.courses.get(&(namespace.to_owned(), name.to_owned()));
        let told = points.into_iter().flatten().map(|point| {
            let [updated, done, used] = point.numbers;
            json!([point.at_millis, updated, done, used])
        });
        json!({"points": told.collect::<Vec<_>>()})
    }

    /// Shows another picture, and tells pages what is different.
    pub fn show(&self, picture: Picture) {
        let mut state = self.state();
        let before = std::mem::replace(&mut state.picture, Arc::new(picture));
        let event = match before.is_alike(&state.picture) {
            true => delta(&before, &state.picture),
            false => None,
        };
        state.frame = None;
        state.version.sequence += 1;
        let Version { generation, sequence } = state.version;
        let event = match event {
            Some(mut event) => {
                event["sequence"] = sequence.into();
                event
            }
            None => {
                state.version.generation = generation + 1;
                json!({"type": "reload"})
            }
        };
        self.tell(&event);
        state.keep(MOMENT_MILLIS);
        state.note_course();
    }

    /// Keeps what is shown as a moment, and tells its number.
    pub fn keep(&self) -> u64 {
        let mut state = self.state();
        state.keep(0);
        state.last_id
    }

    /// The cluster is heard of, or not, and why.
    pub fn heard(&self, now_millis: i64, interrupted: Option<&str>) {
        let mut state = self.state();
        match (state.interrupted.take(), interrupted) {
            (None, None) => {}
            (Some((since, _)), Some(why)) => state.interrupted = Some((since, why.to_owned())),
            (None, Some(why)) => {
                state.interrupted = Some((now_millis, why.to_owned()));
                self.tell(&json!({"type": "interrupted", "why": why, "sinceMillis": now_millis}));
            }
            (Some((since, _)), None) => {
                state.add_gap(since, now_millis);
                self.tell(&json!({"type": "resumed"}));
            }
        }
    }

    /// Nobody looked between these times: the machine slept.
    pub fn slept(&self, from_millis: i64, to_millis: i64) {
        self.state().add_gap(from_millis, to_millis);
    }

    fn tell(&self, event: &Value) {
        // Nobody need be there.
        let _ = self.events.send(event.to_string().into());
    }
}

impl State {
    fn keep(&mut self, apart_millis: i64) {
        let at_millis = self.picture.taken_at_millis;
        let is_near = |last: &Moment| at_millis - last.at_millis < apart_millis;
        if self.moments.last().is_some_and(|last| is_near(last) || last.sequence == self.version.sequence) {
            return;
        }
        let (picture, version) = (self.picture.clone(), self.version);
        let frame = self.frame.get_or_insert_with(|| encode(&picture, version)).clone();
        self.last_id += 1;
        self.moments.push(Moment { id: self.last_id, at_millis, sequence: version.sequence, frame });
        self.thin_out();
    }

    /// What is long ago is kept less closely.
    fn thin_out(&mut self) {
        let bytes: usize = self.moments.iter().map(|one| one.frame.len()).sum();
        if !self.is_live || self.moments.len() <= MOMENTS && bytes <= MOMENT_BYTES {
            return;
        }
        let recent = self.moments.len() / 2;
        let mut place = 0;
        self.moments.retain(|_| {
            place += 1;
            place > recent || place % 2 == 1
        });
    }

    fn note_course(&mut self) {
        let picture = self.picture.clone();
        for column in picture.columns.iter().take(COURSES) {
            let number = |path: &str| column.summary.pointer(path).and_then(Value::as_i64).unwrap_or(0);
            let numbers = [number("/updated"), number("/done"), number("/budget/used")];
            let course = self.courses.entry((column.namespace.clone(), column.name.clone())).or_default();
            if course.last().is_none_or(|last| last.numbers != numbers) {
                course.push(Point { at_millis: picture.taken_at_millis, numbers });
                let surplus = course.len().saturating_sub(POINTS);
                course.drain(..surplus);
            }
        }
        let is_there = |(namespace, name): &(String, String)| {
            picture.columns.iter().any(|column| column.namespace == *namespace && column.name == *name)
        };
        if self.courses.len() > COURSES {
            self.courses.retain(|key, _| is_there(key));
        }
    }

    fn add_gap(&mut self, from: i64, to: i64) {
        self.gaps.push((from, to));
        let surplus = self.gaps.len().saturating_sub(GAPS);
        self.gaps.drain(..surplus);
    }
}

/// What leads from one picture to the next; `None` when that is too much.
fn delta(before: &Picture, after: &Picture) -> Option<Value> {
    let (mut columns, mut count) = (Vec::new(), 0);
    for (index, (old, new)) in before.columns.iter().zip(&after.columns).enumerate() {
        if Arc::ptr_eq(old, new) {
            continue;
        }
        let changed = new.changed(old);
        count += changed.len();
        if count > CELLS {
            return None;
        }
        columns.push(json!({
            "index": index,
            "cells": flat(new, &changed),
            "summary": new.summary,
            "hashes": new.hashes,
        }));
    }
    Some(json!({
        "type": "delta",
        "takenAtMillis": after.taken_at_millis,
        "columns": columns,
        "kinds": after.kinds,
    }))
}

/// The number of a node, then its bytes; one after the other.
fn flat(column: &Column, nodes: &[usize]) -> Vec<usize> {
    let of = |node: &usize| [*node].into_iter().chain(column.cell(*node).map(usize::from));
    nodes.iter().flat_map(of).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panic")]
mod tests {
    use super::*;

    fn picture(at: i64, classes: &[u8]) -> Picture {
        let nodes = (0..classes.len()).map(|node| format!("n{node}")).collect();
        let lists = || vec![0; classes.len()];
        let column = Column {
            name: "agent".into(),
            classes: classes.to_vec(),
            kinds: lists(),
            waves: lists(),
            restarts: lists(),
            revisions: lists(),
            flags: lists(),
            ..Column::default()
        };
        Picture { taken_at_millis: at, nodes, columns: vec![Arc::new(column)], ..Picture::default() }
    }

    #[test]
    fn a_change_is_told_by_the_cells_that_differ_and_other_nodes_by_a_new_frame() {
        let hub = Hub::new(picture(0, &[0, 0, 0]), true);
        let mut events = hub.events();
        let mut next = || serde_json::from_str::<Value>(&events.try_recv().unwrap()).unwrap();
        hub.show(picture(1, &[0, 2, 0]));
        let event = next();
        assert_eq!((&event["type"], &event["sequence"]), (&json!("delta"), &json!(1)));
        assert_eq!(event["columns"][0]["cells"], json!([1, 2, 0, 0, 0, 0, 0]));
        hub.show(picture(2, &[0, 2]));
        assert_eq!(next()["type"], "reload");
    }

    #[test]
    fn the_past_is_kept_within_a_bound_and_times_that_nobody_watched_are_gaps() {
        let hub = Hub::new(picture(0, &[0]), true);
        for at in 1..1_000 {
            hub.show(picture(at * MOMENT_MILLIS, &[u8::try_from(at % 6).unwrap()]));
        }
        hub.heard(5, Some("refused"));
        hub.heard(6, Some("refused still"));
        hub.heard(9, None);
        let told = hub.moments();
        let moments = told["moments"].as_array().unwrap();
        assert!(moments.len() <= MOMENTS && moments.len() > MOMENTS / 2, "{}", moments.len());
        assert_eq!(moments.first().unwrap()["atMillis"], MOMENT_MILLIS);
        assert_eq!(told["gaps"], json!([{"fromMillis": 5, "toMillis": 9}]));
        let id = moments[3]["id"].as_u64().unwrap();
        assert!(hub.frame(Some(id)).is_some() && hub.frame(Some(u64::MAX)).is_none());
    }
}
