//! The rules of an election: what a candidate does next, from what it has seen of the Lease.

use std::time::Duration;

use everynode_client::Uptime;
use everynode_model::encode::to_vec;
use everynode_model::{Value, time};
use serde_json::json;

/// How a leader is elected: by a Lease of `coordination.k8s.io/v1`, as the controllers of Kubernetes do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseConfig {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease.
    pub name: String,
    /// What tells this candidate from all others, those of an earlier start included.
    pub identity: String,
    /// How long others leave a leader that they do not hear of alone; whole seconds.
    pub lease_duration: Duration,
    /// How long a leader goes on without a renewal; shorter than `lease_duration`.
    pub renew_deadline: Duration,
    /// The time between two attempts; shorter than `renew_deadline`.
    pub retry_period: Duration,
}

impl LeaseConfig {
    /// The times that the controllers of Kubernetes use: 15, 10 and 2 seconds.
    pub fn new(namespace: &str, name: &str, identity: &str) -> LeaseConfig {
        LeaseConfig {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            identity: identity.to_owned(),
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }

    /// What makes no sense about it, if anything.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        if self.identity.is_empty() || self.name.is_empty() || self.namespace.is_empty() {
            Some("the Lease needs a namespace and a name, and the candidate an identity")
        } else if self.lease_duration < Duration::from_secs(1) || self.lease_duration.subsec_nanos() != 0 {
            Some("the lease duration is a number of whole seconds, at least 1")
        } else if self.renew_deadline >= self.lease_duration {
            Some("the renew deadline must be shorter than the lease duration")
        } else if self.retry_period.is_zero() || self.retry_period * 6 / 5 >= self.renew_deadline {
            Some(
                "the retry period must be above zero and, with a fifth on top, shorter than the renew deadline",
            )
        } else {
            None
        }
    }

    pub(crate) fn collection(&self) -> String {
        format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", self.namespace)
    }

    pub(crate) fn path(&self) -> String {
        format!("{}/{}", self.collection(), self.name)
    }
}

/// What a candidate does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// POST this Lease.
    Create(Vec<u8>),
    /// PUT this Lease.
    Update(Vec<u8>),
    /// Somebody else leads.
    StandBy,
}

/// What one candidate knows of the Lease.
#[derive(Debug)]
pub(crate) struct Candidate {
    config: LeaseConfig,
    seen: Option<Seen>,
}

#[derive(Debug)]
struct Seen {
    lease: Value,
    /// When its present content was first seen. Only this clock counts: the times within the Lease are others'.
    since: Uptime,
}

/// What cannot be understood of a Lease.
#[derive(Debug, thiserror::Error)]
#[error("the Lease is not readable: {0}")]
pub(crate) struct Unreadable(#[from] serde_json::Error);

impl Candidate {
    pub(crate) fn new(config: LeaseConfig) -> Candidate {
        Candidate { config, seen: None }
    }

    /// Takes in the Lease as the server has it, or that there is none.
    pub(crate) fn observe(&mut self, lease: Option<&[u8]>, now: Uptime) -> Result<(), Unreadable> {
        let Some(bytes) = lease else {
            self.seen = None;
            return Ok(());
        };
        let lease: Value = serde_json::from_slice(bytes)?;
        let same = self.seen.as_ref().filter(|seen| seen.lease["spec"] == lease["spec"]);
        let since = same.map_or(now, |seen| seen.since);
        self.seen = Some(Seen { lease, since });
        Ok(())
    }

    /// What to do now; `wall` is the time of day in RFC 3339 with microseconds.
    pub(crate) fn step(&self, now: Uptime, wall: &str) -> Step {
        let Some(seen) = &self.seen else {
            return Step::Create(to_vec(&json!({
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": self.config.name, "namespace": self.config.namespace},
                "spec": self.spec(wall, wall, 0),
            })));
        };
        let spec = &seen.lease["spec"];
        let transitions = spec["leaseTransitions"].as_i64().unwrap_or_default();
        let spec = match self.holder() {
            Some(holder) if holder == self.config.identity => {
                self.spec(spec["acquireTime"].as_str().unwrap_or(wall), wall, transitions)
            }
            Some(_) if now.since(seen.since) < lease_duration(spec) => return Step::StandBy,
            _ => self.spec(wall, wall, transitions + 1),
        };
        Step::Update(with_spec(&seen.lease, spec))
    }

    /// Forgets what it has seen of a Lease that was its own, so that it is read again.
    pub(crate) fn forget(&mut self) {
        if self.holder() == Some(&self.config.identity) {
            self.seen = None;
        }
    }

    /// Who leads, as far as this candidate knows.
    pub(crate) fn holder(&self) -> Option<&str> {
        let holder = self.seen.as_ref()?.lease["spec"]["holderIdentity"].as_str()?;
        (!holder.is_empty()).then_some(holder)
    }

    /// When the Lease was renewed last, by whoever had it, in Unix milliseconds: others' clocks say so.
    pub(crate) fn renewed_millis(&self) -> Option<i64> {
        let text = self.seen.as_ref()?.lease["spec"]["renewTime"].as_str()?;
        time::parse_micros(text).ok().map(|micros| micros.div_euclid(1_000))
    }

    /// The Lease that lets others lead at once; `None` when it is not ours to give up.
    pub(crate) fn release(&self, wall: &str) -> Option<Vec<u8>> {
        let seen = self.seen.as_ref().filter(|_| self.holder() == Some(&self.config.identity))?;
        let mut spec = self.spec(wall, wall, seen.lease["spec"]["leaseTransitions"].as_i64().unwrap_or(0));
        spec["holderIdentity"] = "".into();
        spec["leaseDurationSeconds"] = 1.into();
        Some(with_spec(&seen.lease, spec))
    }

    fn spec(&self, acquired: &str, renewed: &str, transitions: i64) -> Value {
        json!({
            "holderIdentity": self.config.identity,
            "leaseDurationSeconds": self.config.lease_duration.as_secs(),
            "acquireTime": acquired,
            "renewTime": renewed,
            "leaseTransitions": transitions,
        })
    }
}

/// The Lease as it was read, version included, with another content. A field newer than this program stays.
fn with_spec(lease: &Value, spec: Value) -> Vec<u8> {
    let mut lease = lease.clone();
    match (lease["spec"].as_object_mut(), spec) {
        (Some(known), Value::Object(new)) => known.extend(new),
        (_, spec) => lease["spec"] = spec,
    }
    to_vec(&lease)
}

fn lease_duration(spec: &Value) -> Duration {
    Duration::from_secs(spec["leaseDurationSeconds"].as_u64().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: &str = "2026-01-02T03:04:05.000006Z";

    fn config(identity: &str) -> LeaseConfig {
        LeaseConfig::new("ns", "everynode-controller", identity)
    }

    fn lease(holder: &str, seconds: u64, version: &str) -> Vec<u8> {
        to_vec(&json!({
            "metadata": {"name": "everynode-controller", "resourceVersion": version},
            "spec": {
                "holderIdentity": holder, "leaseDurationSeconds": seconds, "leaseTransitions": 3,
                "acquireTime": "2020-01-01T00:00:00.000000Z", "renewTime": version, "strategy": "kept",
            },
        }))
    }

    fn spec(step: Step) -> Value {
        match step {
            Step::Create(body) | Step::Update(body) => {
                serde_json::from_slice::<Value>(&body).unwrap()["spec"].clone()
            }
            Step::StandBy => Value::Null,
        }
    }

    fn after(seconds: u64) -> Uptime {
        Uptime::new(Duration::from_secs(1_000 + seconds))
    }

    #[test]
    fn a_lease_says_until_when_somebody_looked() {
        let mut candidate = Candidate::new(config("a"));
        assert_eq!(candidate.renewed_millis(), None);
        candidate.observe(Some(&lease("b", 15, "2026-01-01T00:00:01.500000Z")), after(0)).unwrap();
        assert_eq!(candidate.renewed_millis(), Some(1_767_225_601_500));
        candidate.observe(Some(&lease("b", 15, "no time")), after(1)).unwrap();
        assert_eq!(candidate.renewed_millis(), None);
    }

    #[test]
    fn without_a_lease_one_is_made() {
        let spec = spec(Candidate::new(config("a")).step(after(0), WALL));
        assert_eq!((&spec["holderIdentity"], &spec["renewTime"]), (&"a".into(), &WALL.into()));
        assert_eq!((&spec["leaseDurationSeconds"], &spec["leaseTransitions"]), (&15.into(), &0.into()));
    }

    #[test]
    fn another_leader_is_left_alone_until_nothing_was_heard_of_it_for_its_lease() {
        let mut candidate = Candidate::new(config("a"));
        candidate.observe(Some(&lease("b", 15, "1")), after(0)).unwrap();
        assert_eq!(candidate.step(after(14), WALL), Step::StandBy);
        candidate.observe(Some(&lease("b", 15, "2")), after(14)).unwrap();
        assert_eq!(candidate.step(after(28), WALL), Step::StandBy, "a renewal starts the time anew");
        candidate.observe(Some(&lease("b", 15, "2")), after(28)).unwrap();
        let taken = spec(candidate.step(after(29), WALL));
        assert_eq!((&taken["holderIdentity"], &taken["leaseTransitions"]), (&"a".into(), &4.into()));
        assert_eq!(
            (&taken["acquireTime"], &taken["strategy"]),
            (&WALL.into(), &"kept".into()),
            "what this program does not know stays"
        );
    }

    #[test]
    fn a_free_lease_is_taken_at_once_and_ones_own_is_renewed() {
        let mut candidate = Candidate::new(config("a"));
        candidate.observe(Some(&lease("", 1, "1")), after(0)).unwrap();
        assert_eq!(spec(candidate.step(after(0), WALL))["leaseTransitions"], 4);
        candidate.observe(Some(&lease("a", 15, "2")), after(1)).unwrap();
        let renewed = spec(candidate.step(after(2), WALL));
        assert_eq!(renewed["acquireTime"], "2020-01-01T00:00:00.000000Z");
        assert_eq!((&renewed["renewTime"], &renewed["leaseTransitions"]), (&WALL.into(), &3.into()));
    }

    #[test]
    fn only_the_leader_gives_a_lease_up() {
        let mut candidate = Candidate::new(config("a"));
        assert_eq!(candidate.release(WALL), None);
        candidate.observe(Some(&lease("b", 15, "1")), after(0)).unwrap();
        assert_eq!(candidate.release(WALL), None);
        candidate.observe(Some(&lease("a", 15, "2")), after(0)).unwrap();
        let released: Value = serde_json::from_slice(&candidate.release(WALL).unwrap()).unwrap();
        assert_eq!(released["spec"]["holderIdentity"], "");
        assert_eq!(released["metadata"]["resourceVersion"], "2");
    }

    #[test]
    fn times_that_could_let_two_lead_are_refused() {
        let seconds = Duration::from_secs;
        for (lease, renew, retry, is_good) in
            [(15, 10, 2, true), (15, 15, 2, false), (15, 10, 9, false), (15, 10, 0, false), (0, 0, 0, false)]
        {
            let times = LeaseConfig {
                lease_duration: seconds(lease),
                renew_deadline: seconds(renew),
                retry_period: seconds(retry),
                ..config("a")
            };
            assert_eq!(times.problem().is_none(), is_good, "{lease} {renew} {retry}");
        }
        assert!(config("").problem().is_some());
    }
}
