//! Which events reach the API, and in which form (specification [L4](everynode_engine::spec#l4)): a roll-out
//! of 5,000 pods must not send 5,000.
//!
//! As the field's correlator does in effect: an event that was sent before is counted up; when many differ only in
//! their message, they are combined into one; and each object has a small budget per type of event.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use everynode_client::TokenBucket;
use everynode_engine::{Event, Time, Uid};

/// Different messages of one reason within the window before they are combined.
const SIMILAR_MESSAGES: usize = 10;
/// How long events of one reason count as similar after the last of them.
const SIMILAR_MILLIS: i64 = 600_000;
/// Events per object and type that pass at once.
const BURST: f64 = 25.0;
/// After the burst, one event passes in five minutes.
const PER_SECOND: f64 = 1.0 / 300.0;
/// How much is remembered of each sort.
const REMEMBERED: usize = 4096;

/// What an event is about: the DaemonSet and the type.
type Object = (Uid, bool);
/// One row of events on the server: the object, the reason, and the message unless messages are combined.
pub(crate) type Key = (Object, &'static str, Option<String>);

/// What to do about an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Create it.
    Create(Row),
    /// Count the one up that was created before; create it when it is gone.
    CountUp(Row),
    /// Leave it out.
    Drop,
}

/// An event as it is to stand on the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// By which the result is told.
    pub(crate) key: Key,
    /// metadata.name.
    pub(crate) name: String,
    /// message.
    pub(crate) message: String,
    /// count.
    pub(crate) count: u32,
    /// firstTimestamp.
    pub(crate) first: Time,
    /// lastTimestamp.
    pub(crate) last: Time,
}

/// Remembers what was sent, within limits.
#[derive(Debug, Default)]
pub(crate) struct Correlator {
    similar: Recent<(Object, &'static str), Similar>,
    budgets: Recent<Object, TokenBucket>,
    sent: Recent<Key, Sent>,
    named: u64,
}

#[derive(Debug, Default)]
struct Similar {
    messages: HashSet<String>,
    last: Time,
}

#[derive(Debug)]
struct Sent {
    name: String,
    count: u32,
    first: Time,
}

impl Correlator {
    /// Decides about an event on the DaemonSet of this name.
    pub(crate) fn decide(&mut self, daemonset: Uid, name: &str, event: Event, now: Time) -> Decision {
        let object = (daemonset, event.warning);
        let combined = self.is_one_of_many(object, &event, now);
        let message = match combined {
            true => format!("(combined from similar events): {}", event.message),
            false => event.message.clone(),
        };
        let key = (object, event.reason, (!combined).then_some(event.message));
        if !self.has_budget(object, now) {
            return Decision::Drop;
        }
        match self.sent.get(&key) {
            Some(sent) => {
                let (name, count, first) = (sent.name.clone(), sent.count + 1, sent.first);
                Decision::CountUp(Row { key, name, message, count, first, last: now })
            }
            None => {
                let name = self.new_name(name, now);
                Decision::Create(Row { key, name, message, count: 1, first: now, last: now })
            }
        }
    }

    /// Tells that an event now stands on the server as this row says.
    pub(crate) fn recorded(&mut self, row: Row) {
        self.sent.insert(row.key, Sent { name: row.name, count: row.count, first: row.first });
    }

    fn is_one_of_many(&mut self, object: Object, event: &Event, now: Time) -> bool {
        let similar = self.similar.get_or_insert((object, event.reason), Similar::default);
        if now.millis_since(similar.last) > SIMILAR_MILLIS {
            similar.messages.clear();
        }
        similar.last = now;
        if similar.messages.len() < SIMILAR_MESSAGES {
            similar.messages.insert(event.message.clone());
        }
        similar.messages.len() >= SIMILAR_MESSAGES
    }

    fn has_budget(&mut self, object: Object, now: Time) -> bool {
        let budget = self.budgets.get_or_insert(object, || TokenBucket::new(PER_SECOND, BURST));
        budget.take(now.0.try_into().unwrap_or_default())
    }

    /// `<object>.<hexadecimal nanoseconds>`, the form of the field; the last digits keep the names of one
    /// millisecond apart.
    fn new_name(&mut self, object: &str, now: Time) -> String {
        self.named = (self.named + 1) % 1_000_000;
        let nanos = u64::try_from(now.0).unwrap_or_default().saturating_mul(1_000_000) + self.named;
        format!("{object}.{nanos:x}")
    }
}

/// A map that forgets what was not used for the longest time once it is full.
#[derive(Debug)]
struct Recent<K, V> {
    entries: HashMap<K, (V, u64)>,
    used: u64,
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Recent { entries: HashMap::new(), used: 0 }
    }
}

impl<K: Hash + Eq + Clone, V> Recent<K, V> {
    fn get(&mut self, key: &K) -> Option<&mut V> {
        self.used += 1;
        let (value, used) = self.entries.get_mut(key)?;
        *used = self.used;
        Some(value)
    }

    fn get_or_insert(&mut self, key: K, new: impl FnOnce() -> V) -> &mut V {
        self.make_room();
        self.used += 1;
        let used = self.used;
        let (value, at) = self.entries.entry(key).or_insert_with(|| (new(), used));
        *at = used;
        value
    }

    fn insert(&mut self, key: K, value: V) {
        self.make_room();
        self.used += 1;
        self.entries.insert(key, (value, self.used));
    }

    /// Forgets the older half, so that the cost is spread over as many insertions.
    fn make_room(&mut self) {
        if self.entries.len() >= REMEMBERED {
            let mut ages: Vec<u64> = self.entries.values().map(|(_, used)| *used).collect();
            let (_, median, _) = ages.select_nth_unstable(REMEMBERED / 2);
            let median = *median;
            self.entries.retain(|_, (_, used)| *used > median);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(message: String) -> Event {
        Event { warning: false, reason: "SuccessfulCreate", message }
    }

    /// Decides about an event and, as a server would, takes it.
    fn send(correlator: &mut Correlator, message: &str, seconds: i64) -> Decision {
        let now = Time::from_seconds(1_000_000 + seconds);
        let decision = correlator.decide(Uid(1), "ds", event(message.to_owned()), now);
        if let Decision::Create(row) | Decision::CountUp(row) = &decision {
            correlator.recorded(row.clone());
        }
        decision
    }

    fn count(decision: &Decision) -> (char, u32) {
        match decision {
            Decision::Create(row) => ('c', row.count),
            Decision::CountUp(row) => ('u', row.count),
            Decision::Drop => ('d', 0),
        }
    }

    /// Statement L4.
    #[test]
    fn the_same_event_again_is_counted_up() {
        let mut correlator = Correlator::default();
        let (first, second) = (send(&mut correlator, "m", 0), send(&mut correlator, "m", 5));
        assert_eq!((count(&first), count(&second)), (('c', 1), ('u', 2)));
        let (Decision::Create(first), Decision::CountUp(second)) = (first, second) else { panic!() };
        assert_eq!((&first.name, first.first), (&second.name, second.first));
        assert_eq!(second.last.millis_since(first.last), 5000);
    }

    /// Statement L4.
    #[test]
    fn a_roll_out_of_5000_pods_sends_25_events_of_one_type() {
        let mut correlator = Correlator::default();
        let all: Vec<Decision> =
            (0..5000).map(|pod| send(&mut correlator, &format!("Created pod: ds-{pod}"), 0)).collect();
        let sent: Vec<(char, u32)> = all.iter().map(count).filter(|(what, _)| *what != 'd').collect();
        assert_eq!(sent.len(), 25);
        assert_eq!(sent.iter().filter(|(what, _)| *what == 'c').count(), 10, "the tenth combines the others");
        assert_eq!(sent.last(), Some(&('u', 16)));
        let Decision::CountUp(row) = &all[24] else { panic!("{:?}", all[24]) };
        assert_eq!(row.message, "(combined from similar events): Created pod: ds-24");
    }

    /// Statement L4.
    #[test]
    fn after_the_burst_one_event_passes_in_five_minutes() {
        let mut correlator = Correlator::default();
        (0..30).for_each(|_| drop(send(&mut correlator, "m", 0)));
        assert_eq!(count(&send(&mut correlator, "m", 299)).0, 'd');
        assert_eq!(count(&send(&mut correlator, "m", 301)).0, 'u');
        assert_eq!(count(&send(&mut correlator, "m", 302)).0, 'd');
        let warning = Event { warning: true, ..event("w".to_owned()) };
        let decision = correlator.decide(Uid(1), "ds", warning, Time::from_seconds(1_000_302));
        assert_eq!(count(&decision).0, 'c', "warnings have a budget of their own");
    }

    #[test]
    fn events_that_are_far_apart_are_not_combined() {
        let mut correlator = Correlator::default();
        (0..9).for_each(|pod| drop(send(&mut correlator, &format!("{pod}"), 0)));
        let Decision::Create(row) = send(&mut correlator, "later", 601) else { panic!() };
        assert_eq!(row.message, "later");
    }

    #[test]
    fn no_more_is_remembered_than_the_limit() {
        let mut recent: Recent<usize, ()> = Recent::default();
        for key in 0..3 * REMEMBERED {
            recent.insert(key, ());
            assert!(recent.get(&0).is_some(), "what is used stays");
        }
        assert!(recent.entries.len() <= REMEMBERED);
    }

    #[test]
    fn names_of_one_moment_differ() {
        let mut correlator = Correlator::default();
        let names: HashSet<String> =
            (0..100).map(|_| correlator.new_name("ds", Time::from_seconds(1_767_323_045))).collect();
        assert_eq!(names.len(), 100);
        assert!(names.iter().all(|name| name.starts_with("ds.")));
    }
}
