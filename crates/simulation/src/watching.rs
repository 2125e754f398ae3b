//! A watch as its client gets it: late, twice, cut off or silent, as the faults have it.

use std::time::Duration;

use bytes::Bytes;
use everynode_client::Error;
use tokio::time::Instant;

use crate::actor::Actor;
use crate::injected::Fault;
use crate::model::{Feed, Line, Refusal};
use crate::world::{Shared, World, lock};

/// About how often a watch says how far it has come.
const BOOKMARKS: Duration = Duration::from_secs(55);

/// An open watch.
#[derive(Debug)]
pub(crate) struct Watching {
    shared: Shared,
    actor: Actor,
    feed: Feed,
    /// When the world began.
    begin: Instant,
    /// When the server ends it.
    ends: Instant,
    /// When the connection breaks.
    cut: Option<Instant>,
    /// When it says that its version is too old, and ends.
    expires: Option<Instant>,
    lag: Duration,
    /// Nothing is shown from then to then.
    stall: Option<(Instant, Instant)>,
    bookmark: Instant,
    again: Option<Bytes>,
    is_over: bool,
}

enum Step {
    Send(Bytes),
    Wait(Instant),
    Quiet,
}

impl Watching {
    pub(crate) fn new(shared: Shared, actor: Actor, feed: Feed, seconds: u64, world: &mut World) -> Watching {
        let (now, now_millis) = (Instant::now(), world.now_millis());
        let begin = now - Duration::from_millis(now_millis);
        let mut watching = Watching {
            shared,
            actor,
            feed,
            begin,
            ends: now + Duration::from_secs(seconds),
            cut: None,
            expires: None,
            lag: Duration::ZERO,
            stall: None,
            bookmark: now + BOOKMARKS,
            again: None,
            is_over: false,
        };
        if let Some(until) = world.injected.stale_until_millis.filter(|_| watching.actor.is_controller()) {
            watching.stall = Some((now, begin + Duration::from_millis(until))).filter(|(from, to)| from < to);
        }
        if !world.is_calm() {
            watching.draw(world, now);
        }
        watching
    }

    fn draw(&mut self, world: &mut World, now: Instant) {
        let (faults, random) = (&world.faults, &mut world.random);
        let millis = Duration::from_millis;
        let calm = self.begin + millis(faults.ends_millis);
        if faults.lag_millis > 0 {
            let most = if random.u8(..3) == 0 { faults.lag_millis } else { faults.lag_millis.min(100) };
            self.lag = millis(random.u64(0..=most));
        }
        if faults.cut_millis > 0 {
            self.cut = Some(now + millis(random.u64(1..=2 * faults.cut_millis))).filter(|cut| *cut < calm);
        }
        if random.f64() < faults.stalled {
            let from = now + millis(random.u64(0..30_000));
            let to = from + millis(random.u64(1..=faults.stall_millis));
            self.stall = Some((from, to.min(calm))).filter(|(from, to)| from < to);
        }
    }

    /// What comes next; `None` when the server has ended the watch.
    pub(crate) async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        loop {
            self.actor.let_go().await;
            let now = Instant::now();
            if self.is_over || now >= self.ends {
                return None;
            }
            if self.expires.is_some_and(|expires| now >= expires) {
                self.is_over = true;
                return Some(Ok(error_line(&Refusal::expired("too old resource version"))));
            }
            if self.cut.is_some_and(|cut| now >= cut) {
                self.is_over = true;
                let message = "connection reset by peer".to_owned();
                return Some(Err(Error::Transport { message, hint: None, may_have_arrived: true }));
            }
            // Made before the look at the changes, so that none is missed.
            let changes = lock(&self.shared).changes(self.feed.kind);
            let changed = changes.notified();
            let until = match self.step(now) {
                Step::Send(line) => return Some(Ok(line)),
                Step::Wait(until) => {
                    tokio::time::sleep_until(self.limit(until)).await;
                    continue;
                }
                Step::Quiet => self.limit(self.bookmark),
            };
            let _ = tokio::time::timeout_at(until, changed).await;
        }
    }

    fn limit(&self, until: Instant) -> Instant {
        [self.cut, self.expires].into_iter().flatten().fold(until.min(self.ends), Instant::min)
    }

    fn step(&mut self, now: Instant) -> Step {
        if let Some((from, to)) = self.stall
            && (from..to).contains(&now)
            && !self.feed.is_listing()
        {
            return Step::Wait(to);
        }
        if let Some(line) = self.again.take() {
            return Step::Send(line);
        }
        let shared = self.shared.clone();
        let mut world = lock(&shared);
        match self.feed.next(&world.store) {
            Some(Line::Initial(line)) => {
                self.feed.advance();
                Step::Send(line)
            }
            Some(Line::Changed { line, at_millis, version }) => {
                let calm = self.begin + Duration::from_millis(world.faults.ends_millis.max(at_millis));
                let due = (self.begin + Duration::from_millis(at_millis) + self.lag).min(calm);
                if due > now {
                    return Step::Wait(due);
                }
                self.show(&mut world, now, line, version)
            }
            None if now >= self.bookmark => {
                self.bookmark = now + BOOKMARKS;
                Step::Send(self.feed.bookmark(false))
            }
            None => Step::Quiet,
        }
    }

    fn show(&mut self, world: &mut World, now: Instant, line: Bytes, version: u64) -> Step {
        if self.actor.is_controller() {
            world.injected.events += 1;
            let number = world.injected.events;
            match world.injected.fault {
                Some(Fault::Hide(at, seconds)) if at == number => {
                    world.injected.fault = None;
                    world.injected.hidden = Some(self.feed.kind);
                    world.note(format_args!("hides {} of {version}", self.feed.kind.plural()));
                    let until = now + Duration::from_secs(seconds);
                    (self.stall, self.expires) = (Some((now, until)), Some(until));
                    return Step::Wait(until);
                }
                Some(Fault::Drop(at, seconds)) if at == number => {
                    world.injected.fault = None;
                    world.note(format_args!("drops {} of {version}", self.feed.kind.plural()));
                    let expires = now + Duration::from_secs(seconds);
                    // Another watch would go on behind what was dropped.
                    (self.expires, self.ends) = (Some(expires), self.ends.max(expires + BOOKMARKS));
                    self.feed.advance();
                    return Step::Wait(now);
                }
                _ => {}
            }
        }
        world.counts.events += 1;
        if !world.is_calm() && world.random.f64() < world.faults.duplicated {
            self.again = Some(line.clone());
        }
        self.feed.advance();
        Step::Send(line)
    }
}

/// A refusal within a watch.
pub(crate) fn error_line(refusal: &Refusal) -> Bytes {
    let mut line = b"{\"type\":\"ERROR\",\"object\":".to_vec();
    line.extend_from_slice(&refusal.body());
    line.extend_from_slice(b"}\n");
    Bytes::from(line)
}
