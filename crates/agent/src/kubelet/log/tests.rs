use serde_json::{Value, json};

use super::*;

fn pod(status: Value) -> Pod {
    let status = json!({"containerStatuses": [status]});
    serde_json::from_value(json!({"metadata": {"name": "p"}, "status": status})).unwrap()
}

#[test]
fn the_log_of_a_container_is_that_of_the_run_that_kubectl_means() {
    let check = |status: Value, is_previous: bool, expected: Result<&str, &str>| {
        let mut status = status;
        status["name"] = "c".into();
        let pod = pod(status.clone());
        let found = logged_container(&pod, "c", is_previous).map_err(|refusal| refusal.message);
        assert_eq!(found, expected.map_err(str::to_owned), "{status}");
    };
    let id = |id: &str| format!("containerd://{id}");
    let ended = |name: &str| json!({"terminated": {"exitCode": 1, "containerID": id(name)}});
    let running = json!({"containerID": id("b"), "state": {"running": {}}, "lastState": ended("a")});
    check(running.clone(), false, Ok("b"));
    check(running, true, Ok("a"));
    let first = json!({"containerID": id("a"), "state": {"running": {}}, "lastState": {}});
    check(first.clone(), false, Ok("a"));
    check(first, true, Err(r#"previous terminated container "c" in pod "p" not found"#));
    let crashing = json!({"containerID": id("b"), "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": ended("b")});
    check(crashing.clone(), false, Ok("b"));
    check(crashing, true, Ok("b"));
    check(json!({"containerID": id("a"), "state": ended("a")}), false, Ok("a"));
    check(json!({"state": {"terminated": {}}, "lastState": ended("a")}), false, Ok("a"));
    check(json!({"state": {"terminated": {}}}), false, Err(r#"container "c" in pod "p" is terminated"#));
    for (reason, why) in [
        ("ErrImagePull", "image can't be pulled"),
        ("ImagePullBackOff", "trying and failing to pull image"),
        ("ContainerCreating", "ContainerCreating"),
    ] {
        let expected = format!(r#"container "c" in pod "p" is waiting to start: {why}"#);
        check(json!({"state": {"waiting": {"reason": reason}}}), false, Err(&expected));
    }
    check(json!({"state": {}}), false, Err(r#"container "c" in pod "p" is waiting to start - no logs yet"#));
    let empty = Pod::default();
    let refusal = logged_container(&empty, "c", false).unwrap_err();
    assert_eq!(refusal.message, r#"container "c" in pod "" is not available"#);
}

#[test]
fn what_is_asked_of_a_log_is_read_as_the_kubelet_reads_it() {
    let check = |query: &str, expected: Result<LogOptions, &str>| {
        let found = options(&Query::parse(Some(query)), 1_000).map_err(|refusal| refusal.message);
        assert_eq!(found, expected.map_err(str::to_owned), "{query}");
    };
    let all = LogOptions::default();
    check("follow=false&stream=All&other=1", Ok(all.clone()));
    let many = LogOptions { is_following: true, tail_lines: Some(0), limit_bytes: Some(9), ..all.clone() };
    check("follow=true&tailLines=0&limitBytes=9", Ok(many));
    check(
        "sinceSeconds=10&timestamps=1",
        Ok(LogOptions { since_seconds: Some(990), has_timestamps: true, ..all.clone() }),
    );
    check("sinceTime=1970-01-01T00:00:05Z", Ok(LogOptions { since_seconds: Some(5), ..all.clone() }));
    check("stream=Stderr", Ok(LogOptions { stream: Some(Stream::Stderr), ..all }));
    check("tailLines=-1", Err("tailLines=-1 is no number from 0 on"));
    check("limitBytes=0", Err("limitBytes=0 is no number from 1 on"));
    check("stream=x", Err("invalid stream type \"x\""));
    check(
        "sinceSeconds=1&sinceTime=1970-01-01T00:00:05Z",
        Err("at most one of sinceTime and sinceSeconds may be said"),
    );
    assert!(options(&Query::parse(Some("sinceTime=x")), 0).is_err());
}
