//! What is said about writes that fail: each cause once, however many pods it concerns.

use std::collections::HashMap;
use std::time::Duration;

use everynode_client::Error;
use everynode_engine::{Action, Uid};
use tokio::time::Instant;

use crate::metrics::work_kind;

/// A cause that goes on is said again after this time.
const SAID_AGAIN: Duration = Duration::from_secs(600);
/// How many causes are remembered.
const REMEMBERED: usize = 1000;

/// Why a write failed, as far as it is the same for many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Cause {
    /// The server cannot be reached, or the connection broke: it concerns all writes.
    Connection,
    /// The server does not know this user: it concerns all writes.
    Credentials,
    /// The server has too much to do: it concerns all writes.
    Load,
    /// The server answered with this status.
    Status(u16),
    /// Anything else.
    Other,
}

impl Cause {
    /// The cause of an error.
    pub(crate) fn of(error: &Error) -> Cause {
        match (error, error.code()) {
            (Error::Transport { .. } | Error::TimedOut(_), _) => Cause::Connection,
            (_, Some(401)) => Cause::Credentials,
            (_, Some(429)) => Cause::Load,
            (_, Some(code)) => Cause::Status(code),
            (_, None) => Cause::Other,
        }
    }

    fn concerns_all(self) -> bool {
        matches!(self, Cause::Connection | Cause::Credentials | Cause::Load)
    }
}

/// What a complaint is about: one kind of write of one DaemonSet, or all writes.
type Key = (Cause, Option<(Uid, &'static str)>);

/// What was said, and when.
#[derive(Debug, Default)]
pub(crate) struct Complaints {
    said: HashMap<Key, Instant>,
}

impl Complaints {
    /// What to say about a write that failed; `None` when it was said already.
    pub(crate) fn about(
        &mut self,
        action: &Action,
        cause: Cause,
        text: &str,
        now: Instant,
    ) -> Option<String> {
        let (work, daemonset) = (work_kind(&action.work), &action.daemonset);
        let key = (cause, (!cause.concerns_all()).then_some((daemonset.uid, work)));
        if self.said.get(&key).is_some_and(|said| now - *said < SAID_AGAIN) {
            return None;
        }
        if self.said.len() >= REMEMBERED {
            self.said.retain(|_, said| now - *said < SAID_AGAIN);
        }
        if self.said.len() < REMEMBERED {
            self.said.insert(key, now);
        }
        let of = format!("{work} for DaemonSet {}/{}", daemonset.namespace, daemonset.name);
        Some(match cause {
            Cause::Connection => format!("writes wait for the API server: {text}"),
            Cause::Credentials => {
                format!(
                    "the API server refuses the credentials: {text}; writes are tried again until it takes them"
                )
            }
            Cause::Load => format!("the API server asks to write more slowly: {text}"),
            Cause::Status(_) | Cause::Other => match missing_rule(text) {
                Some(rule) => {
                    format!("{of} is not allowed: {text}; give this user {rule} and it goes on by itself")
                }
                None => format!("{of} failed and is tried again: {text}"),
            },
        })
    }

    /// A write went well; whether that ends something that was said about all writes.
    pub(crate) fn ended(&mut self) -> bool {
        let before = self.said.len();
        self.said.retain(|(cause, _), _| !cause.concerns_all());
        self.said.len() < before
    }
}

/// The rule that a role lacks, from the words in which API servers refuse without it:
/// `... cannot create resource "pods" in API group "" in the namespace "x"`.
fn missing_rule(text: &str) -> Option<String> {
    let (verb, rest) = text.split_once(" cannot ")?.1.split_once(" resource \"")?;
    let (resource, rest) = rest.split_once('"')?;
    let group = rest
        .split_once("API group \"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .map_or("", |(group, _)| group);
    let (plural, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let mut rule = format!("the verb {verb} on {plural}");
    for (separator, part) in [('.', group), ('/', subresource)] {
        if !part.is_empty() {
            rule.push(separator);
            rule.push_str(part);
        }
    }
    Some(rule)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use everynode_engine::{ActionId, DaemonSetRef, PodRef, Work};

    use super::*;

    fn delete(daemonset: u128) -> Action {
        let daemonset =
            DaemonSetRef { namespace: "ns".to_owned(), name: "ds".to_owned(), uid: Uid(daemonset) };
        let work = Work::DeletePod(PodRef { name: "p".into(), uid: Uid(9) });
        Action { id: ActionId(1), daemonset: Arc::new(daemonset), work }
    }

    #[test]
    fn the_missing_rule_is_named() {
        for (text, rule) in [
            (
                r#"pods is forbidden: User "u" cannot create resource "pods" in API group "" in the namespace "x""#,
                Some("the verb create on pods"),
            ),
            (
                r#"User "u" cannot update resource "daemonsets/status" in API group "apps" in the namespace "x""#,
                Some("the verb update on daemonsets.apps/status"),
            ),
            (
                "pods \"a\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1",
                None,
            ),
            ("admission webhook \"w\" denied the request: no", None),
        ] {
            assert_eq!(missing_rule(text).as_deref(), rule, "{text}");
        }
    }

    #[test]
    fn a_cause_is_said_once_for_each_daemonset_and_one_of_all_writes_once() {
        let (mut complaints, now) = (Complaints::default(), Instant::now());
        let mut say = |daemonset, cause, seconds| {
            let now = now + Duration::from_secs(seconds);
            complaints.about(&delete(daemonset), cause, "no", now).is_some()
        };
        assert!(say(1, Cause::Status(403), 0) && !say(1, Cause::Status(403), 599));
        assert!(say(2, Cause::Status(403), 1) && say(1, Cause::Status(500), 1));
        assert!(say(1, Cause::Status(403), 600), "it still goes on");
        assert!(say(1, Cause::Connection, 0) && !say(2, Cause::Connection, 0));
        assert!(complaints.ended() && !complaints.ended());
    }
}
