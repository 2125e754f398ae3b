//! What an API server could have given. A file may hold anything, and what is read from it is taken at its word: a
//! DaemonSet whose pods it does not select itself is never done, and with a time beyond all calendars nothing can be
//! reckoned.

use everynode_model::LabelSelector;
use everynode_model::time;
use serde_json::Value;

use crate::record::{Detail, Node, Pod, Record};

/// The years that RFC 3339 can write, in Unix seconds.
const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=time::LAST_SECOND;

/// Numbers of a policy: counts, and seconds for a whole life.
const LARGEST: f64 = i32::MAX as f64;

/// Checks the time of a snapshot.
///
/// # Errors
/// What is wrong, as the rest of a sentence about it.
pub(crate) fn check_time(unix_seconds: i64) -> Result<(), &'static str> {
    if SECONDS.contains(&unix_seconds) { Ok(()) } else { Err("it has a time that no calendar has") }
}

/// Checks a record.
///
/// # Errors
/// What is wrong, as the rest of a sentence about it.
pub(crate) fn check(record: &Record) -> Result<(), &'static str> {
    match record {
        Record::DaemonSet(object) if !selects_itself(object) => {
            Err("its selector does not match its template")
        }
        Record::RolloutPolicy(object)
            if !["spec", "status"].iter().all(|part| has_small_numbers(&object[*part])) =>
        {
            Err("it has a number that no policy may have")
        }
        Record::Node(Node { ready_since, .. }) => ready_since.iter().try_for_each(|at| check_time(*at)),
        Record::Pod(pod) => check_pod(pod),
        _ => Ok(()),
    }
}

fn check_pod(pod: &Pod) -> Result<(), &'static str> {
    let mut times = vec![Some(pod.created), pod.ready_since, pod.delete_by];
    let mut counts = vec![pod.restarts, pod.grace_seconds.unwrap_or_default()];
    if let Some(Detail { scheduled, unscheduled, not_ready, containers, .. }) = pod.detail.as_deref() {
        times.push(*scheduled);
        times.extend([unscheduled, not_ready].into_iter().flatten().map(|statement| statement.since));
        for container in containers {
            times.extend([container.running_since, container.ended.as_ref().and_then(|ended| ended.at)]);
            counts.push(container.restarts);
        }
    }
    if counts.iter().any(|count| !(0..=i64::from(i32::MAX)).contains(count)) {
        return Err("it has a number that no pod has");
    }
    times.into_iter().flatten().try_for_each(check_time)
}

fn selects_itself(daemonset: &Value) -> bool {
    let labels = &daemonset["spec"]["template"]["metadata"]["labels"];
    LabelSelector::from_object(&daemonset["spec"]["selector"])
        .is_ok_and(|selector| selector.selects_labels(labels))
}

fn has_small_numbers(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_f64().is_some_and(|number| number.abs() <= LARGEST),
        Value::Array(items) => items.iter().all(has_small_numbers),
        Value::Object(fields) => fields.values().all(has_small_numbers),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(record: Value) -> Option<&'static str> {
        check(&serde_json::from_value(record).unwrap()).err()
    }

    #[test]
    fn what_no_api_server_gives_is_refused() {
        let daemonset = |selected: &str| {
            let template = json!({"metadata": {"labels": {"app": "a"}}});
            json!({"daemonSet": {"spec": {"selector": {"matchLabels": {"app": selected}}, "template": template}}})
        };
        assert_eq!(refused(daemonset("a")), None);
        assert_eq!(refused(daemonset("b")), Some("its selector does not match its template"));
        let policy = |seconds: i64| json!({"rolloutPolicy": {"spec": {"waves": [{"bakeSeconds": seconds}]}}});
        assert_eq!(refused(policy(31_536_000)), None);
        assert_eq!(refused(policy(i64::MAX)), Some("it has a number that no policy may have"));
        assert_eq!(check_time(1_700_000_000), Ok(()));
        assert_eq!(check_time(i64::MIN), Err("it has a time that no calendar has"));
    }

    #[test]
    fn times_and_counts_of_pods_are_looked_at_wherever_they_stand() {
        let check_with = |change: &dyn Fn(&mut Pod), expected: Result<(), &str>| {
            let mut pod = Pod { created: 1_700_000_000, detail: Some(Box::default()), ..Pod::default() };
            change(&mut pod);
            assert_eq!(check(&Record::Pod(Box::new(pod))), expected);
        };
        check_with(&|_| {}, Ok(()));
        check_with(&|pod| pod.created = i64::MAX, Err("it has a time that no calendar has"));
        check_with(&|pod| pod.ready_since = Some(i64::MIN), Err("it has a time that no calendar has"));
        check_with(&|pod| pod.restarts = -1, Err("it has a number that no pod has"));
        let detail = |pod: &mut Pod| pod.detail.as_deref_mut().unwrap().scheduled = Some(i64::MAX);
        check_with(&detail, Err("it has a time that no calendar has"));
    }
}
