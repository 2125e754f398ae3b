//! Whose turn it is: writes wait in one lane per DaemonSet, and the lanes take turns.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use everynode_engine::{Action, Uid, Work};
use tokio::time::Instant;

/// One write that waits or is under way.
#[derive(Debug)]
pub(crate) struct Job {
    /// What to do.
    pub(crate) action: Action,
    /// When the engine asked for it.
    pub(crate) decided: Instant,
    /// How often the server has asked to try it later.
    pub(crate) put_back: u32,
}

/// Kinds of write that a server may ask to pause, each by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Pods,
    Revisions,
    Status,
}

impl Class {
    pub(crate) fn of(work: &Work) -> Class {
        match work {
            Work::CreatePod(_)
            | Work::DeletePod(_)
            | Work::DeletePodAsKnown { .. }
            | Work::AdoptPod(_)
            | Work::ReleasePod(_)
            | Work::LabelPod { .. } => Class::Pods,
            Work::CreateRevision(_)
            | Work::UpdateRevision { .. }
            | Work::DeleteRevision(_)
            | Work::AdoptRevision(_)
            | Work::ReleaseRevision(_) => Class::Revisions,
            Work::WriteStatus { .. }
            | Work::BumpCollisionCount { .. }
            | Work::WritePolicyStatus { .. }
            | Work::RewriteTemplate { .. }
            | Work::RecordEvent(_)
            | Work::Relist(_) => Class::Status,
        }
    }
}

/// A status goes out after at most this many other writes of its DaemonSet: a long row of creations must not hide
/// what is going on, and a status for each creation would take half of the rate.
const WRITES_PER_STATUS: u32 = 16;

/// The waiting writes. The engine's limits on writes in flight bound each lane.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    lanes: HashMap<Uid, Lane>,
    /// The DaemonSets with a lane, each once, next first.
    turns: VecDeque<Uid>,
    waiting: usize,
    paused: [Option<Instant>; 3],
}

#[derive(Debug, Default)]
struct Lane {
    writes: VecDeque<Job>,
    status: VecDeque<Job>,
    writes_since_status: u32,
}

impl Lane {
    fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.status.is_empty()
    }

    /// The first job that may go now.
    fn take(&mut self, may_go: impl Fn(Class) -> bool) -> Option<Job> {
        let goes = |job: Option<&Job>| job.is_some_and(|job| may_go(Class::of(&job.action.work)));
        let write_goes = goes(self.writes.front());
        if goes(self.status.front()) && (!write_goes || self.writes_since_status >= WRITES_PER_STATUS) {
            self.writes_since_status = 0;
            return self.status.pop_front();
        }
        if write_goes {
            self.writes_since_status = self.writes_since_status.saturating_add(1);
            return self.writes.pop_front();
        }
        None
    }
}

impl Queue {
    /// How many writes wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting
    }

    /// Adds a write at the end of its DaemonSet's lane.
    pub(crate) fn push(&mut self, job: Job) {
        self.lane(&job).push_back(job);
    }

    /// Puts a write back to the front of its lane, and lets its class rest.
    pub(crate) fn put_back(&mut self, job: Job, now: Instant, pause: Duration) {
        let until = now + pause;
        let slot = &mut self.paused[Class::of(&job.action.work) as usize];
        *slot = Some(slot.map_or(until, |known| known.max(until)));
        self.lane(&job).push_front(job);
    }

    fn lane(&mut self, job: &Job) -> &mut VecDeque<Job> {
        let uid = job.action.daemonset.uid;
        self.waiting += 1;
        let lane = self.lanes.entry(uid).or_insert_with(|| {
            self.turns.push_back(uid);
            Lane::default()
        });
        match Class::of(&job.action.work) {
            Class::Status => &mut lane.status,
            Class::Pods | Class::Revisions => &mut lane.writes,
        }
    }

    /// The next write, from the DaemonSet whose turn it is; `None` when none may go now.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Job> {
        let paused = self.paused.map(|until| until.is_some_and(|until| until > now));
        for _ in 0..self.turns.len() {
            let uid = self.turns.pop_front()?;
            let Some(lane) = self.lanes.get_mut(&uid) else { continue };
            let job = lane.take(|class| !paused[class as usize]);
            if lane.is_empty() {
                self.lanes.remove(&uid);
            } else {
                self.turns.push_back(uid);
            }
            if job.is_some() {
                self.waiting -= 1;
                return job;
            }
        }
        None
    }

    /// When a class that rests now may go on.
    pub(crate) fn resumes_at(&self, now: Instant) -> Option<Instant> {
        self.paused.iter().flatten().copied().filter(|until| *until > now).min()
    }

    /// Takes all that waits, whether it may go or not.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Job> {
        self.turns.clear();
        self.waiting = 0;
        std::mem::take(&mut self.lanes)
            .into_values()
            .flat_map(|lane| lane.writes.into_iter().chain(lane.status))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use everynode_engine::{ActionId, DaemonSetRef, PodRef, Status};

    use super::*;

    fn job(daemonset: u128, id: u64, work: Work) -> Job {
        let daemonset =
            DaemonSetRef { namespace: "ns".to_owned(), name: format!("ds{daemonset}"), uid: Uid(daemonset) };
        let action = Action { id: ActionId(id), daemonset: Arc::new(daemonset), work };
        Job { action, decided: Instant::now(), put_back: 0 }
    }

    fn delete(daemonset: u128, id: u64) -> Job {
        job(daemonset, id, Work::DeletePod(PodRef { name: "p".into(), uid: Uid(9) }))
    }

    fn status(daemonset: u128, id: u64) -> Job {
        job(daemonset, id, Work::WriteStatus { status: Status::default() })
    }

    fn ids(queue: &mut Queue, now: Instant, count: usize) -> Vec<u64> {
        (0..count).map_while(|_| queue.take(now)).map(|job| job.action.id.0).collect()
    }

    #[test]
    fn a_daemonset_with_many_writes_does_not_hold_up_another() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        (0..5000).for_each(|id| queue.push(delete(1, id)));
        (0..3).for_each(|id| queue.push(delete(2, 10_000 + id)));
        assert_eq!(ids(&mut queue, now, 7), [0, 10_000, 1, 10_001, 2, 10_002, 3]);
        assert_eq!(queue.len(), 5003 - 7);
    }

    #[test]
    fn a_status_goes_among_the_writes_of_its_daemonset_but_not_for_each_of_them() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        (0..20).for_each(|id| queue.push(delete(1, id)));
        queue.push(status(1, 100));
        let order = ids(&mut queue, now, 21);
        assert_eq!(order.iter().position(|id| *id == 100), Some(WRITES_PER_STATUS as usize), "{order:?}");
        queue.push(status(1, 101));
        assert_eq!(ids(&mut queue, now, 2), [101], "with nothing else to do it goes at once");
    }

    #[test]
    fn a_class_that_is_asked_to_wait_rests_while_the_others_go_on() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.push(delete(1, 1));
        queue.push(status(1, 2));
        let first = queue.take(now).unwrap();
        queue.put_back(first, now, Duration::from_secs(2));
        queue.push(delete(2, 3));
        assert_eq!(ids(&mut queue, now, 3), [2]);
        assert_eq!(queue.resumes_at(now), Some(now + Duration::from_secs(2)));
        let later = now + Duration::from_secs(2);
        let mut rested = ids(&mut queue, later, 3);
        rested.sort_unstable();
        assert_eq!(rested, [1, 3]);
        assert_eq!((queue.resumes_at(later), queue.len()), (None, 0));
    }

    #[test]
    fn draining_gives_all_that_waits() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.push(delete(1, 1));
        queue.push(status(1, 2));
        queue.push(delete(2, 3));
        let mut all: Vec<u64> = queue.drain().map(|job| job.action.id.0).collect();
        all.sort_unstable();
        assert_eq!(all, [1, 2, 3]);
        assert!(queue.take(now).is_none() && queue.len() == 0);
    }
}
