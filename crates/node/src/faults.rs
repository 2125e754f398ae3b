//! Faults and delays that annotations ask for.
//!
//! All keys start with `simulate.everynode.dev/`. On a pod (through a pod template):
//!
//! | key | value | effect |
//! |---|---|---|
//! | `start-delay` | duration | time from binding to running, instead of the fleet's |
//! | `ready-after` | duration | ready only this long after the start |
//! | `never-ready` | `true` | runs, and never becomes ready |
//! | `honour-probes` | `true` | ready only after the longest `initialDelaySeconds` of the readiness probes |
//! | `crash` | `true`, `after=DURATION` | containers exit with code 1 at once, or after that time, and again after each restart |
//! | `exit` | `0` to `255` | containers exit for good: phase Succeeded (0) or Failed |
//! | `exit-after` | duration | when `exit` happens (at once unless given) |
//! | `termination-delay` | duration | time from deletion to the end, never more than the grace period |
//! | `honour-prestop` | `true` | termination takes the longest `preStop.sleep` |
//! | `node-not-ready` | `true`, `after=DURATION` | the node reports NotReady and stops renewing its lease while the pod runs on it |
//! | `restart-rate` | `5%`, `5%,OOMKilled` | of 100 pods five end in an hour, at random: containers exit with code 1, or are killed for their memory |
//! | `cpu`, `memory` | quantity | what the pod uses in the middle, instead of half of what it requests |
//! | `noise` | `15%` | how far CPU strays from that (a standard deviation), 15 % unless given; memory a fifth of it |
//! | `leak` | quantity | memory that it gains in an hour |
//! | `step` | `1.5`, `1.5@TIME,1@TIME` | CPU times this, from a time on |
//! | `fail-on-nodes` | label selector | the other keys count on matching nodes only |
//! | `fail-on-share` | `20%` | the other keys count on this share of the nodes only, by a hash of their names |
//!
//! On a Node:
//!
//! | key | value | effect |
//! |---|---|---|
//! | `silent` | `true` | the agent does nothing: no lease, no status, no pods |
//! | `start-delay` | duration | time from binding to running for pods without their own |
//! | `step` | as above | the same for all pods of the node |
//! | `register-again` | `true`, `after=DURATION` | when the Node is deleted the agent registers it again, at once or after that time |
//!
//! A value that cannot be read is ignored, and an event on the object says so.

use std::time::Duration;

use everynode_model::LabelSelector;
use everynode_model::Labels;

use crate::load::{self, Load, Step};

/// What all annotation keys start with.
pub const PREFIX: &str = "simulate.everynode.dev/";

/// What the annotations of a pod ask for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PodFaults {
    /// Time from binding to running.
    pub start_delay: Option<Duration>,
    /// Time from running to ready.
    pub ready_after: Option<Duration>,
    /// Never ready.
    pub never_ready: bool,
    /// The readiness probes' initial delay counts.
    pub honour_probes: bool,
    /// Exits with code 1 this long after each start.
    pub crash_after: Option<Duration>,
    /// Exits for good with this code.
    pub exit_code: Option<u8>,
    /// When `exit_code` happens.
    pub exit_after: Duration,
    /// Time from deletion to the end.
    pub termination_delay: Option<Duration>,
    /// The sleep of `preStop` counts.
    pub honour_prestop: bool,
    /// The node goes NotReady this long after the start.
    pub node_not_ready_after: Option<Duration>,
    /// Its containers end now and then.
    pub restarts: Option<Restarts>,
    /// What it uses, where something is said of it.
    pub load: Option<Box<Load>>,
}

/// Containers that end at random.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Restarts {
    /// How often in an hour, in the mean.
    pub per_hour: f64,
    /// Whether they are killed for their memory, instead of exiting with code 1.
    pub oom_killed: bool,
}

/// What the annotations of a Node ask for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NodeFaults {
    /// The agent does nothing.
    pub silent: bool,
    /// Time from binding to running.
    pub start_delay: Option<Duration>,
    /// Time from the deletion of the Node to its registration; without one the agent stops.
    pub register_again_after: Option<Duration>,
    /// What all its pods do more, or less.
    pub steps: Vec<Step>,
}

/// What limits faults to some nodes reads of one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OnNode<'a> {
    pub name: &'a str,
    pub labels: &'a [(String, String)],
}

impl PodFaults {
    /// Reads a pod's annotations, for a pod on this node. The second part tells what could not be read, a sentence each.
    pub(crate) fn read(annotations: &Labels<'_>, node: OnNode<'_>) -> (PodFaults, Vec<String>) {
        let mut faults = PodFaults::default();
        let mut problems = Vec::new();
        let mut matches = true;
        for (key, value) in own(annotations) {
            let result = match key {
                "fail-on-nodes" => matches_nodes(value, node.labels).map(|m| matches &= m),
                "fail-on-share" => share(value).map(|share| matches &= load::is_in_share(node.name, share)),
                _ => faults.set(key, value),
            };
            problems.extend(result.err().map(|problem| sentence(key, value, &problem)));
        }
        match matches {
            true => (faults, problems),
            false => (PodFaults::default(), problems),
        }
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "start-delay" => self.start_delay = Some(duration(value)?),
            "ready-after" => self.ready_after = Some(duration(value)?),
            "never-ready" => self.never_ready = boolean(value)?,
            "honour-probes" => self.honour_probes = boolean(value)?,
            "crash" => self.crash_after = moment(value)?,
            "exit" => self.exit_code = Some(value.parse().map_err(|_| "must be a number from 0 to 255")?),
            "exit-after" => self.exit_after = duration(value)?,
            "termination-delay" => self.termination_delay = Some(duration(value)?),
            "honour-prestop" => self.honour_prestop = boolean(value)?,
            "node-not-ready" => self.node_not_ready_after = moment(value)?,
            "restart-rate" => self.restarts = Some(restarts(value)?),
            _ if load::KEYS.contains(&key) => self.load.get_or_insert_default().set(key, value)?,
            _ => return Err("is not a key that simulated nodes know on a pod".into()),
        }
        Ok(())
    }
}

impl NodeFaults {
    /// Reads a Node's annotations, and tells what could not be read.
    pub(crate) fn read(annotations: &Labels<'_>) -> (NodeFaults, Vec<String>) {
        let mut faults = NodeFaults::default();
        let mut problems = Vec::new();
        for (key, value) in own(annotations) {
            let result = match key {
                "silent" => boolean(value).map(|silent| faults.silent = silent),
                "start-delay" => duration(value).map(|delay| faults.start_delay = Some(delay)),
                "register-again" => moment(value).map(|after| faults.register_again_after = after),
                "step" => load::steps(value).map(|steps| faults.steps = steps),
                _ => Err("is not a key that simulated nodes know on a Node".into()),
            };
            problems.extend(result.err().map(|problem| sentence(key, value, &problem)));
        }
        (faults, problems)
    }
}

fn own<'a>(annotations: &'a Labels<'_>) -> impl Iterator<Item = (&'a str, &'a str)> {
    annotations.iter().filter_map(|(key, value)| Some((key.strip_prefix(PREFIX)?, value)))
}

fn sentence(key: &str, value: &str, problem: &str) -> String {
    format!("annotation {PREFIX}{key}={value:?} is ignored: {problem}")
}

fn boolean(value: &str) -> Result<bool, String> {
    value.parse().map_err(|_| "must be \"true\" or \"false\"".into())
}

/// `true` is at once, `false` never, `after=DURATION` later.
fn moment(value: &str) -> Result<Option<Duration>, String> {
    match (value, value.strip_prefix("after=")) {
        ("true", _) => Ok(Some(Duration::ZERO)),
        ("false", _) => Ok(None),
        (_, Some(after)) => duration(after).map(Some),
        _ => Err("must be \"true\", \"false\" or \"after=DURATION\", such as \"after=5s\"".into()),
    }
}

/// Reads `15%` as 0.15.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').and_then(|number| number.parse::<f64>().ok());
    let number = number.filter(|number| (0.0..=10_000.0).contains(number));
    Ok(number.ok_or("must be a percentage such as \"15%\"")? / 100.0)
}

fn restarts(text: &str) -> Result<Restarts, String> {
    let (rate, oom_killed) = match text.split_once(',') {
        Some((rate, "OOMKilled")) => (rate, true),
        Some(_) => return Err("must be a percentage such as \"5%\", or \"5%,OOMKilled\"".into()),
        None => (text, false),
    };
    Ok(Restarts { per_hour: share(rate)?, oom_killed })
}

/// Reads a duration such as `500ms`, `2s`, `1m30s` or `1h`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let problem = || "must be a duration such as \"500ms\", \"2s\" or \"1m30s\"".to_owned();
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = 0.0;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(problem)?;
        let number: f64 = rest[..number_end].parse().map_err(|_| problem())?;
        rest = &rest[number_end..];
        let unit_end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let seconds = match &rest[..unit_end] {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(problem()),
        };
        total += number * seconds;
        rest = &rest[unit_end..];
    }
    match text.is_empty() {
        true => Err(problem()),
        false => Duration::try_from_secs_f64(total).map_err(|_| problem()),
    }
}

fn matches_nodes(selector: &str, labels: &[(String, String)]) -> Result<bool, String> {
    let selector =
        LabelSelector::parse(selector).map_err(|error| format!("is no label selector: {error}"))?;
    Ok(selector.selects(|key| labels.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())))
}

#[cfg(test)]
mod tests {
    use everynode_model::Text;

    use super::*;

    fn map<'a>(pairs: &[(&'a str, &'a str)]) -> Labels<'a> {
        let pairs = pairs.iter().map(|(k, v)| (Text(format!("{PREFIX}{k}").into()), Text::from(*v)));
        Labels(pairs.collect())
    }

    fn on_node(labels: &[(String, String)]) -> OnNode<'_> {
        OnNode { name: "n", labels }
    }

    fn check(pairs: &[(&str, &str)], expected: PodFaults) {
        let (faults, problems) = PodFaults::read(&map(pairs), on_node(&[("zone".into(), "a".into())]));
        assert_eq!((faults, problems), (expected, vec![]), "{pairs:?}");
    }

    #[test]
    fn durations_are_read_as_go_writes_them() {
        for (text, millis) in [("500ms", 500), ("2s", 2000), ("1m30s", 90_000), ("1.5h", 5_400_000), ("0", 0)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "5", "s", "-1s", "5x", "1..2s", "99999999999999999999999h"] {
            assert!(duration(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn annotations_become_faults() {
        let none = PodFaults::default;
        let second = Some(Duration::from_secs(1));
        check(&[], none());
        check(&[("crash", "true")], PodFaults { crash_after: Some(Duration::ZERO), ..none() });
        check(&[("crash", "after=1s")], PodFaults { crash_after: second, ..none() });
        check(&[("crash", "false")], none());
        check(
            &[("exit", "1"), ("exit-after", "1s")],
            PodFaults { exit_code: Some(1), exit_after: Duration::from_secs(1), ..none() },
        );
        check(
            &[("ready-after", "1s"), ("start-delay", "1s")],
            PodFaults { ready_after: second, start_delay: second, ..none() },
        );
    }

    #[test]
    fn what_a_pod_uses_and_how_often_it_ends_is_read() {
        let restarts = |per_hour, oom_killed| PodFaults {
            restarts: Some(Restarts { per_hour, oom_killed }),
            ..PodFaults::default()
        };
        check(&[("restart-rate", "5%")], restarts(0.05, false));
        check(&[("restart-rate", "150%,OOMKilled")], restarts(1.5, true));
        let load = Load {
            cpu_nanocores: Some(100_000_000),
            memory_bytes: Some(64 << 20),
            noise: Some(0.1),
            leak_bytes_per_hour: 1_000,
            steps: vec![Step { factor: 2.0, since_seconds: None }],
        };
        check(
            &[("cpu", "100m"), ("memory", "64Mi"), ("noise", "10%"), ("leak", "1k"), ("step", "2")],
            PodFaults { load: Some(Box::new(load)), ..PodFaults::default() },
        );
        for pair in [("cpu", "-1"), ("noise", "0.1"), ("noise", "-1%"), ("restart-rate", "5%,Killed")] {
            assert_eq!(PodFaults::read(&map(&[pair]), on_node(&[])).1.len(), 1, "{pair:?}");
        }
    }

    #[test]
    fn faults_are_limited_to_the_nodes_that_match() {
        check(&[("never-ready", "true"), ("fail-on-nodes", "zone=b")], PodFaults::default());
        check(&[("never-ready", "true"), ("fail-on-share", "0%")], PodFaults::default());
        check(
            &[("never-ready", "true"), ("fail-on-share", "100%")],
            PodFaults { never_ready: true, ..PodFaults::default() },
        );
        check(
            &[("never-ready", "true"), ("fail-on-nodes", "zone in (a, b)")],
            PodFaults { never_ready: true, ..PodFaults::default() },
        );
    }

    #[test]
    fn a_value_that_cannot_be_read_is_named_and_the_others_count() {
        let (faults, problems) = PodFaults::read(
            &map(&[("colour", "red"), ("crash", "maybe"), ("never-ready", "true")]),
            on_node(&[]),
        );
        assert!(faults.never_ready);
        assert_eq!(
            problems,
            [
                "annotation simulate.everynode.dev/colour=\"red\" is ignored: is not a key that simulated nodes know on a pod",
                "annotation simulate.everynode.dev/crash=\"maybe\" is ignored: must be \"true\", \"false\" or \"after=DURATION\", such as \"after=5s\"",
            ]
        );
    }
}
