//! Owns the fleet: follows it, has it looked at, and answers what pages ask about it. Everything that takes long happens
//! here, one after the other, so that a page that asks much keeps nobody but itself and other pages waiting.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::at_length;
use everynode_analysis::Basis;
use everynode_client::{Client, Uptime};
use everynode_engine::Time;
use everynode_inspect::live::{Changes, Live};
use everynode_inspect::status::{Row, State};
use everynode_inspect::{LeanFleet, Look};
use everynode_plan::{CollectError, Wanted};
use futures::stream::StreamExt;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::answers::{Ask, answer};
use crate::hub::Hub;
use crate::picture::{Column, Picture, Places, Seen};
use crate::usage::{Used, looks, usage_of};
use crate::{Source, StartError, snapshot};

/// Questions that wait at most.
const WAITING: usize = 64;
/// The shortest time between two pictures.
const PAUSE: Duration = Duration::from_millis(250);
/// So much of the time goes into making pictures at most: one part of this many.
const SHARE: u32 = 4;
/// Times pass: what is not complete is looked at so often although nothing happens.
const TICK: Duration = Duration::from_secs(5);
/// Of larger fleets ends are not estimated: a run of the engine over all nodes for each DaemonSet takes seconds, and
/// more memory than all else.
const ESTIMATED: usize = 20_000;
/// So much time has passed of which this process has seen nothing: the machine slept, and nobody watched.
const SLEPT: Duration = Duration::from_secs(30);

/// The owner of the fleet.
pub struct Keeper {
    kept: Kept,
    hub: Hub,
    asks: mpsc::Receiver<Ask>,
}

/// What there is to look at.
enum Kept {
    /// Files, by the moments that they are of, and the one that is in memory.
    Snapshots { files: HashMap<u64, PathBuf>, latest: u64, loaded: Option<(u64, Box<LeanFleet>)>, used: Used },
    /// A cluster.
    Live(Box<Followed>),
    /// Nothing but the picture.
    Nothing,
}

/// A cluster that is followed.
struct Followed {
    client: Box<Client>,
    live: Live,
    namespace: Option<String>,
    used: Used,
}

impl Keeper {
    /// Reads what is to be shown.
    pub async fn open(source: Source) -> Result<(Keeper, Hub, mpsc::Sender<Ask>), StartError> {
        let (kept, hub) = match source {
            Source::Picture(picture) => (Kept::Nothing, Hub::new(*picture, false)),
            Source::Snapshots(paths) => {
                // Only a panic would keep it from its end.
                let read = tokio::task::spawn_blocking(move || read_snapshots(paths)).await;
                read.unwrap_or_else(|error| Err(StartError::Cluster(error.to_string())))?
            }
            Source::Cluster { client, namespace, fallback } => {
                let wanted = match &namespace {
                    Some(namespace) => Wanted::Namespace(namespace),
                    None => Wanted::All(&fallback),
                };
                let lean = LeanFleet::from_cluster(&client, wanted).await;
                let mut lean = lean.map_err(|error| StartError::Cluster(sentence(&error)))?;
                let now = Time(client.clock().unix_millis());
                let picture = at_length(|| survey(&mut lean, namespace.as_deref(), now, None, None));
                let hub = Hub::new(picture, true);
                hub.keep();
                let live = Live::follow_lean(&client, lean, namespace.as_deref(), &fallback);
                (Kept::Live(Box::new(Followed { client, live, namespace, used: Used::awaited() })), hub)
            }
        };
        let (sender, asks) = mpsc::channel(WAITING);
        Ok((Keeper { kept, hub: hub.clone(), asks }, hub, sender))
    }

    /// Works until `stop` is cancelled.
    pub async fn run(mut self, stop: CancellationToken) {
        match &mut self.kept {
            Kept::Live(followed) => {
                stop.run_until_cancelled(follow(followed, &self.hub, &mut self.asks)).await;
            }
            _ => {
                stop.run_until_cancelled(self.answer_all()).await;
            }
        }
    }

    async fn answer_all(&mut self) {
        while let Some(ask) = self.asks.recv().await {
            let picture = self.hub.picture();
            let moment = ask.moment;
            match &mut self.kept {
                Kept::Snapshots { files, latest, loaded, used } => {
                    let id = moment.unwrap_or(*latest);
                    let fleet = at_length(|| load(files, id, loaded));
                    at_length(|| answer(ask, fleet.map(|fleet| (fleet, None)), used, &picture));
                }
                _ => at_length(|| answer(ask, None, &Used::default(), &picture)),
            }
        }
    }
}

/// The snapshot of a moment.
fn load<'a>(
    files: &HashMap<u64, PathBuf>,
    id: u64,
    loaded: &'a mut Option<(u64, Box<LeanFleet>)>,
) -> Option<&'a mut LeanFleet> {
    if loaded.as_ref().is_none_or(|(one, _)| *one != id) {
        *loaded = None;
        *loaded = Some((id, Box::new(snapshot(files.get(&id)?).ok()?)));
    }
    loaded.as_mut().map(|(_, fleet)| &mut **fleet)
}

fn read_snapshots(paths: Vec<PathBuf>) -> Result<(Kept, Hub), StartError> {
    let (mut read, mut last) = (Vec::new(), None);
    for path in paths {
        // One fleet is in memory at a time.
        drop(last.take());
        let mut fleet = Box::new(snapshot(&path)?);
        let now = Time(fleet.frame().taken_at_millis);
        read.push((survey(&mut fleet, None, now, None, None), path.clone(), usage_of(&fleet)));
        last = Some((path, fleet));
    }
    read.sort_by_key(|(picture, ..)| picture.taken_at_millis);
    let hub = Hub::new(Picture::default(), false);
    let (mut files, mut latest, mut used) = (HashMap::new(), 0, Used::default());
    for (picture, path, usage) in read {
        hub.show(picture);
        latest = hub.keep();
        files.insert(latest, path);
        used.take_snapshot(usage);
    }
    let is_latest = |(path, _): &(PathBuf, Box<LeanFleet>)| files.get(&latest) == Some(path);
    let loaded = last.filter(is_latest).map(|(_, fleet)| (latest, fleet));
    Ok((Kept::Snapshots { files, latest, loaded, used }, hub))
}

/// Follows a cluster.
async fn follow(followed: &mut Followed, hub: &Hub, asks: &mut mpsc::Receiver<Ask>) {
    let mut not_before = Instant::now();
    let mut due = None;
    let mut changes = Changes::default();
    let mut awake = Awake::new(followed.client.clock().uptime());
    let mut looks = looks((*followed.client).clone(), followed.namespace.clone());
    loop {
        let at = due.unwrap_or_else(|| (Instant::now() + TICK).max(not_before));
        tokio::select! {
            changed = followed.live.next() => {
                hub.heard(followed.client.clock().unix_millis(), followed.live.interrupted());
                if changed && due.is_none() {
                    due = Some(not_before);
                }
            }
            Some(ask) = asks.recv() => {
                let picture = hub.picture();
                // Of the past only pictures are kept.
                let is_of_now = ask.moment.is_none();
                let fleet = is_of_now.then_some((followed.live.lean(), Some(&*followed.client)));
                at_length(|| answer(ask, fleet, &followed.used, &picture));
            }
            Some(looked) = looks.next() => {
                at_length(|| followed.used.take(followed.live.lean(), looked));
            }
            () = tokio::time::sleep_until(at) => {
                let now = followed.client.clock().unix_millis();
                if let Some(slept) = awake.slept(followed.client.clock().uptime()) {
                    hub.slept(now - i64::try_from(slept.as_millis()).unwrap_or(0), now);
                }
                changes.merge(followed.live.changes());
                let is_tick = due.take().is_none();
                let begun = Instant::now();
                at_length(|| refresh(followed, hub, std::mem::take(&mut changes), is_tick, Time(now)));
                not_before = Instant::now() + PAUSE.max(begun.elapsed() * SHARE);
            }
        }
    }
}

/// Tells when the machine slept: its own time goes on then, and that of this process does not.
struct Awake {
    uptime: Uptime,
    at: Instant,
}

impl Awake {
    fn new(uptime: Uptime) -> Awake {
        Awake { uptime, at: Instant::now() }
    }

    /// For how long it slept since this was asked last, if it did.
    fn slept(&mut self, uptime: Uptime) -> Option<Duration> {
        let passed = uptime.since(self.uptime);
        let slept = passed.saturating_sub(self.at.elapsed());
        *self = Awake::new(uptime);
        (slept > SLEPT).then_some(slept)
    }
}

/// Looks again at what may have changed.
fn refresh(followed: &mut Followed, hub: &Hub, changes: Changes, is_tick: bool, now: Time) {
    if followed.live.interrupted().is_some() || changes.is_empty() && !is_tick {
        return;
    }
    let before = hub.picture();
    let namespace = followed.namespace.as_deref();
    let picture = survey(followed.live.lean(), namespace, now, Some(&before), Some(&changes));
    let is_same = before.is_alike(&picture)
        && before.columns.iter().zip(&picture.columns).all(|(old, new)| Arc::ptr_eq(old, new));
    if !is_same {
        hub.show(picture);
    }
}

/// Makes a picture. What has not changed since `before` is taken over, unless time alone changes it.
fn survey(
    fleet: &mut LeanFleet,
    namespace: Option<&str>,
    now: Time,
    before: Option<&Picture>,
    changes: Option<&Changes>,
) -> Picture {
    let mut picture = Picture { taken_at_millis: now.0, ..Picture::of_nodes(fleet.frame()) };
    picture.not_seen = everynode_inspect::status::not_seen(fleet.frame(), namespace.is_some());
    if let Some(before) = before {
        picture.kinds.clone_from(&before.kinds);
    }
    let mut places = Places::of(&picture);
    let mut names: Vec<[String; 3]> =
        fleet.daemonsets().iter().map(|(uid, value)| names(uid, value)).collect();
    names.retain(|[one, ..]| namespace.is_none_or(|wanted| wanted == one));
    names.sort();
    for [namespace, name, uid] in names {
        let is_it = |column: &&Arc<Column>| column.namespace == namespace && column.name == name;
        let known = before.and_then(|before| before.columns.iter().find(is_it));
        let is_untouched = changes.is_some_and(|changes| !changes.all && !changes.daemonsets.contains(&*uid));
        if let Some(known) = known.filter(|column| is_untouched && is_at_rest(column)) {
            picture.columns.push(known.clone());
            continue;
        }
        let is_estimated = picture.nodes.len() <= ESTIMATED;
        let with_others = is_estimated && !fleet.is_even(&uid, picture.nodes.len());
        let seen = |look: &Look<'_>| seen(look, &namespace, &name, is_estimated);
        let seen = match is_estimated {
            true => fleet.look_at(&uid, now, with_others, seen),
            false => fleet.glance_at(&uid, now, seen),
        };
        if let Some(seen) = seen.flatten() {
            let column = picture.column(&mut places, seen, known.map(|column| &**column));
            let column =
                known.filter(|known| ***known == column).cloned().unwrap_or_else(|| Arc::new(column));
            picture.columns.push(column);
        }
    }
    picture.settle();
    picture
}

fn seen(look: &Look<'_>, namespace: &str, name: &str, is_estimated: bool) -> Option<Seen> {
    let set = look.set(namespace, name)?;
    let policy = set.conducted.as_ref().map(|conducted| conducted.policy);
    let rollout = policy.and_then(|policy| policy.status.rollouts.get(name));
    let analysis = rollout.and_then(|rollout| rollout.analysis.clone());
    let row = match is_estimated {
        true => Row::of(look, &set),
        false => Row::without_estimate(look, &set),
    };
    let worse_from = policy.and_then(|policy| {
        let spec = policy.spec.analysis.as_ref()?;
        Some(spec.plan(Basis::Randomised).worse_from().rolls())
    });
    Some(Seen { row, analysis: analysis.zip(worse_from) })
}

/// Nothing about it changes by time alone.
fn is_at_rest(column: &Column) -> bool {
    column.summary["state"] == crate::summary::word(&State::Complete)
}

/// Namespace, name and uid.
fn names(uid: &str, value: &Value) -> [String; 3] {
    let text = |key: &str| value["metadata"][key].as_str().unwrap_or_default().to_owned();
    [text("namespace"), text("name"), uid.to_owned()]
}

fn sentence<E: std::error::Error + 'static>(error: &CollectError<E>) -> String {
    error.to_string()
}
