//! What is shown now, who is told of changes, and what was shown before.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::broadcast;

use crate::frame::{Version, encode, names};
use crate::picture::{Column, Picture};

/// Events that a slow page may be behind before it has to begin anew.
const BEHIND: usize = 256;
/// Changed cells of one delta; more of them are a new frame.
const CELLS: usize = 20_000;
/// Moments that are kept, and their bytes.
const MOMENTS: usize = 240;
const MOMENT_BYTES: usize = 24 << 20;
/// Moments of a watched cluster are so far apart at least.
const MOMENT_MILLIS: i64 = 2_000;
/// Gaps that are kept.
const GAPS: usize = 100;
/// Points of a DaemonSet's course that are kept, and DaemonSets of which they are.
const POINTS: usize = 400;
const COURSES: usize = 200;
/// Signals of an analysis whose evidence is kept.
const SIGNALS: usize = 12;

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
    /// The names of its nodes, once they were asked for.
    names: Option<Bytes>,
    moments: Vec<Moment>,
    gaps: Vec<(i64, i64)>,
    last_id: u64,
    is_live: bool,
    interrupted: Option<(i64, String)>,
    courses: BTreeMap<(String, String), Course>,
}

/// How a roll-out went on.
#[derive(Debug, Default)]
struct Course {
    points: Vec<Point>,
    /// The evidence of each signal of its analysis: it would be there by chance once in so many roll-outs.
    evidence: BTreeMap<String, Vec<(i64, u64)>>,
}

/// How a roll-out stood at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Point {
    at_millis: i64,
    /// Nodes with the current revision; those where it is available; those that use the budget; the wave, from 1.
    numbers: [i64; 4],
}

/// A frame that was.
#[derive(Clone, Debug)]
struct Moment {
    id: u64,
    at_millis: i64,
    version: Version,
    frame: Bytes,
    /// Those of moments with the same version are the same.
    names: Bytes,
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

    /// The names of nodes of a version, as long as something that is kept has them.
    pub fn names(&self, version: u64) -> Option<Bytes> {
        let mut state = self.state();
        if state.version.names == version {
            return Some(state.names());
        }
        state.moments.iter().find(|moment| moment.version.names == version).map(|moment| moment.names.clone())
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
    /// current revision, those where it is available, those that use the budget, and the wave; and the evidence of its analysis.
    pub fn course(&self, namespace: &str, name: &str) -> Value {
        let state = self.state();
        let course = state.courses.get(&(namespace.to_owned(), name.to_owned()));
        let told = course.into_iter().flat_map(|course| &course.points).map(|point| {
            let [updated, done, used, wave] = point.numbers;
            json!([point.at_millis, updated, done, used, wave])
        });
        let evidence = course.map(|course| &course.evidence);
        json!({"points": told.collect::<Vec<_>>(), "evidence": evidence})
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
        if before.nodes != state.picture.nodes {
            state.names = None;
            state.version.names += 1;
        }
        let Version { generation, sequence, .. } = state.version;
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
        let (picture, version) = (self.picture.clone(), self.version);
        let at_millis = picture.taken_at_millis;
        let is_near = |last: &Moment| at_millis - last.at_millis < apart_millis;
        if self.moments.last().is_some_and(|last| is_near(last) || last.version.sequence == version.sequence)
        {
            return;
        }
        let frame = self.frame.get_or_insert_with(|| encode(&picture, version)).clone();
        let names = self.names();
        self.last_id += 1;
        self.moments.push(Moment { id: self.last_id, at_millis, version, frame, names });
        self.thin_out();
    }

    fn names(&mut self) -> Bytes {
        let picture = self.picture.clone();
        self.names.get_or_insert_with(|| names(&picture)).clone()
    }

    /// What is long ago is kept less closely.
    fn thin_out(&mut self) {
        let frames: usize = self.moments.iter().map(|one| one.frame.len()).sum();
        let is_same = |one: &Moment, next: &Moment| one.version.names == next.version.names;
        let names = self.moments.chunk_by(is_same).filter_map(<[Moment]>::first);
        let bytes = frames + names.map(|one| one.names.len()).sum::<usize>();
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
            let numbers = ["/updated", "/done", "/budget/used", "/policy/wave"].map(number);
            let course = self.courses.entry((column.namespace.clone(), column.name.clone())).or_default();
            course.note(picture.taken_at_millis, numbers, &column.summary);
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

impl Course {
    fn note(&mut self, at_millis: i64, numbers: [i64; 4], summary: &Value) {
        if self.points.last().is_none_or(|last| last.numbers != numbers) {
            self.points.push(Point { at_millis, numbers });
            cut(&mut self.points);
        }
        let signals = summary.pointer("/policy/analysis/signals").and_then(Value::as_array);
        for signal in signals.into_iter().flatten() {
            let (Some(name), Some(chance)) = (signal["name"].as_str(), signal["chanceOneIn"].as_u64()) else {
                continue;
            };
            if self.evidence.len() >= SIGNALS && !self.evidence.contains_key(name) {
                continue;
            }
            let curve = self.evidence.entry(name.to_owned()).or_default();
            if curve.last().is_none_or(|(_, last)| *last != chance) {
                curve.push((at_millis, chance));
                cut(curve);
            }
        }
    }
}

/// What is long ago goes first.
fn cut<T>(points: &mut Vec<T>) {
    let surplus = points.len().saturating_sub(POINTS);
    points.drain(..surplus);
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
        let nodes = (0..classes.len()).map(|node| format!("n{node}").into()).collect();
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
