use serde_json::{Value, json};

use super::*;
use crate::faults::Restarts;

fn now(seconds: u64) -> Now {
    let wall = Timestamp(1_700_000_000 + i64::try_from(seconds).unwrap());
    Now { millis: seconds * 1000, wall, wall_millis: 0 }
}

fn pod_object() -> Value {
    json!({
        "metadata": {"name": "web-x", "namespace": "default", "uid": "u1", "generation": 1},
        "spec": {"nodeName": "a", "restartPolicy": "Always", "containers": [{"name": "app", "image": "app:1"}]},
        "status": {"phase": "Pending"},
    })
}

/// A machine under test, with what it last wanted.
struct Bench {
    object: Value,
    machine: PodMachine,
    effects: Effects,
}

impl Bench {
    fn new(object: Value, faults: PodFaults, start_delay_seconds: u64) -> Bench {
        let text = object.to_string();
        let pod: Pod<'_> = serde_json::from_str(&text).unwrap();
        let (machine, effects) =
            PodMachine::admit(&pod, faults, Duration::from_secs(start_delay_seconds), now(0));
        Bench { object, machine, effects }
    }

    fn plain(faults: PodFaults) -> Bench {
        Bench::new(pod_object(), faults, 0)
    }

    fn wake(&mut self, seconds: u64) -> &mut Bench {
        self.effects = self.machine.wake(now(seconds));
        self
    }

    fn delete(&mut self, grace_seconds: u64, seconds: u64) -> &mut Bench {
        self.object["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        self.object["metadata"]["deletionGracePeriodSeconds"] = grace_seconds.into();
        self.observe(seconds)
    }

    fn observe(&mut self, seconds: u64) -> &mut Bench {
        let text = self.object.to_string();
        self.effects = self.machine.observe(&serde_json::from_str(&text).unwrap(), now(seconds));
        self
    }

    /// Phase, ready, the state of the first container, and its restarts.
    fn check(&mut self, phase: &str, ready: bool, state: &str, restarts: u64) -> &mut Bench {
        let status = self.status();
        let container = &status["containerStatuses"][0];
        let (name, detail) = container["state"].as_object().unwrap().iter().next().unwrap();
        let shown = match name.as_str() {
            "waiting" => detail["reason"].as_str().unwrap().to_owned(),
            "terminated" => format!("exit {}", detail["exitCode"]),
            other => other.to_owned(),
        };
        assert_eq!(
            (status["phase"].as_str().unwrap(), container["ready"].as_bool().unwrap(), shown.as_str()),
            (phase, ready, state)
        );
        assert_eq!(container["restartCount"], restarts);
        assert_eq!(condition(&status, "Ready"), if ready { "True" } else { "False" });
        self
    }

    fn status(&self) -> Value {
        let view = self.machine.status().expect("the machine has a status");
        serde_json::from_slice::<Value>(&status::patch(&view, "192.168.0.1", "10.0.0.2")).unwrap()["status"]
            .take()
    }
}

use crate::status;

fn condition<'a>(status: &'a Value, kind: &str) -> &'a str {
    let conditions = status["conditions"].as_array().unwrap();
    conditions.iter().find(|c| c["type"] == kind).unwrap()["status"].as_str().unwrap()
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_bound_pod_is_running_and_ready_in_one_report() {
    let mut bench = Bench::plain(PodFaults::default());
    assert!(bench.effects.report);
    assert_eq!(bench.machine.wake_at(), None);
    let status = bench.check("Running", true, "running", 0).status();
    assert_eq!(status["podIP"], "10.0.0.2");
    assert_eq!(status["hostIPs"], json!([{"ip": "192.168.0.1"}]));
    assert_eq!(status["observedGeneration"], 1);
    for kind in ["PodReadyToStartContainers", "Initialized", "ContainersReady"] {
        assert_eq!(condition(&status, kind), "True", "{kind}");
    }
}

#[test]
fn the_start_delay_passes_before_anything_is_reported() {
    let mut bench = Bench::new(pod_object(), PodFaults::default(), 2);
    assert_eq!(bench.effects, Effects::default());
    assert_eq!(bench.machine.wake_at(), Some(2000));
    assert!(!bench.wake(1).effects.report);
    assert!(bench.wake(2).effects.report);
    bench.check("Running", true, "running", 0);
}

#[test]
fn a_host_network_pod_has_the_address_of_its_node() {
    let mut object = pod_object();
    object["spec"]["hostNetwork"] = true.into();
    assert_eq!(Bench::new(object, PodFaults::default(), 0).status()["podIP"], "192.168.0.1");
}

#[test]
fn init_containers_are_done_before_the_others_run_and_sidecars_stay() {
    let mut object = pod_object();
    object["spec"]["initContainers"] = json!([{"name": "setup", "image": "s:1"}, {"name": "proxy", "image": "p:1", "restartPolicy": "Always"}]);
    let status = Bench::new(object, PodFaults::default(), 0).status();
    assert_eq!(status["initContainerStatuses"][0]["state"]["terminated"]["reason"], "Completed");
    assert!(status["initContainerStatuses"][1]["state"]["running"].is_object());
    assert_eq!(condition(&status, "Initialized"), "True");
}

#[test]
fn an_image_that_cannot_be_pulled_stays_pending() {
    let mut object = pod_object();
    object["spec"]["containers"][0]["image"] = "foo:non-existent".into();
    let mut bench = Bench::new(object, PodFaults::default(), 0);
    assert_eq!(bench.effects.note, Some(Note::PullFailed));
    bench.check("Pending", false, "ErrImagePull", 0);
    bench.wake(10).check("Pending", false, "ImagePullBackOff", 0);
    assert_eq!(bench.machine.wake_at(), None);
    assert!(bench.delete(30, 20).effects.delete);
}

#[test]
fn readiness_comes_late_or_never_when_asked() {
    let mut late = Bench::plain(PodFaults { ready_after: Some(30 * SECOND), ..PodFaults::default() });
    late.check("Running", false, "running", 0);
    assert!(!late.wake(29).effects.report);
    late.wake(30).check("Running", true, "running", 0);
    let mut never = Bench::plain(PodFaults { never_ready: true, ..PodFaults::default() });
    never.check("Running", false, "running", 0);
    assert_eq!(never.machine.wake_at(), None);
}

#[test]
fn the_initial_delay_of_probes_counts_when_asked() {
    let mut object = pod_object();
    object["spec"]["containers"][0]["readinessProbe"] = json!({"initialDelaySeconds": 7});
    Bench::new(object.clone(), PodFaults::default(), 0).check("Running", true, "running", 0);
    let mut bench = Bench::new(object, PodFaults { honour_probes: true, ..PodFaults::default() }, 0);
    bench.check("Running", false, "running", 0).wake(7).check("Running", true, "running", 0);
}

#[test]
fn a_crash_at_once_loops_with_a_doubling_back_off() {
    let mut bench = Bench::plain(PodFaults { crash_after: Some(Duration::ZERO), ..PodFaults::default() });
    bench.check("Running", false, "CrashLoopBackOff", 1);
    let mut at = 0;
    for (pause, restarts) in [(10, 2), (20, 3), (40, 4), (80, 5), (160, 6), (300, 7), (300, 8)] {
        at += pause;
        assert!(!bench.wake(at - 1).effects.report, "before {at}");
        bench.wake(at).check("Running", false, "CrashLoopBackOff", restarts);
    }
}

#[test]
fn a_later_crash_is_ready_in_between() {
    let mut bench = Bench::plain(PodFaults { crash_after: Some(5 * SECOND), ..PodFaults::default() });
    bench.check("Running", true, "running", 0);
    bench.wake(5).check("Running", true, "running", 1);
    bench.wake(10).check("Running", false, "CrashLoopBackOff", 1);
    bench.wake(20).check("Running", true, "running", 2);
    assert_eq!(bench.status()["containerStatuses"][0]["lastState"]["terminated"]["exitCode"], 1);
}

#[test]
fn an_exit_for_good_is_succeeded_or_failed() {
    let exit = |code| PodFaults { exit_code: Some(code), exit_after: 3 * SECOND, ..PodFaults::default() };
    Bench::plain(exit(0)).check("Running", true, "running", 0).wake(3).check("Succeeded", false, "exit 0", 0);
    Bench::plain(exit(7)).wake(3).check("Failed", false, "exit 7", 0);
}

#[test]
fn a_deleted_pod_ends_at_once_and_is_then_removed() {
    let mut bench = Bench::plain(PodFaults::default());
    let effects = &bench.delete(30, 5).effects;
    assert!(effects.report && effects.delete);
    bench.check("Succeeded", false, "exit 0", 0);
}

#[test]
fn a_termination_takes_as_long_as_asked_but_not_longer_than_the_grace_period() {
    let slow = PodFaults { termination_delay: Some(20 * SECOND), ..PodFaults::default() };
    let mut bench = Bench::plain(slow.clone());
    assert!(!bench.delete(30, 5).effects.delete);
    bench.check("Running", true, "running", 0);
    assert!(!bench.wake(24).effects.delete);
    assert!(bench.wake(25).effects.delete);
    let mut bench = Bench::plain(slow);
    assert!(!bench.delete(10, 5).effects.delete);
    assert!(!bench.delete(1, 6).effects.delete, "a shorter grace period shortens the rest");
    assert!(bench.wake(7).effects.delete);
}

#[test]
fn prestop_counts_when_asked() {
    let mut object = pod_object();
    object["spec"]["containers"][0]["lifecycle"] = json!({"preStop": {"sleep": {"seconds": 15}}});
    let mut bench = Bench::new(object, PodFaults { honour_prestop: true, ..PodFaults::default() }, 0);
    bench.delete(30, 0);
    assert!(bench.wake(15).effects.delete);
}

#[test]
fn a_pod_that_others_ended_is_over_again_when_a_late_status_of_ours_replaced_theirs() {
    for (phase, state) in [("Failed", "exit 1"), ("Succeeded", "exit 0")] {
        let mut bench = Bench::plain(PodFaults::default());
        bench.object["status"]["phase"] = phase.into();
        bench.observe(3);
        bench.object["status"]["phase"] = "Running".into();
        bench.observe(4).check(phase, false, state, 0);
        assert!(bench.effects.report);
    }
}

#[test]
fn a_phase_that_others_made_terminal_is_never_taken_back() {
    let mut bench =
        Bench::new(pod_object(), PodFaults { ready_after: Some(SECOND), ..PodFaults::default() }, 0);
    bench.object["status"]["phase"] = "Failed".into();
    bench.observe(1);
    assert!(!bench.effects.report);
    assert!(!bench.wake(5).effects.report);
    assert!(bench.machine.status().is_none());
    let effects = &bench.delete(30, 6).effects;
    assert!(effects.delete && !effects.report);
}

#[test]
fn a_pod_from_before_a_restart_of_the_agents_keeps_running() {
    let mut object = pod_object();
    object["status"] = json!({
        "phase": "Running", "startTime": "2023-11-14T00:00:00Z",
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [{"restartCount": 3, "state": {"running": {"startedAt": "2023-11-14T00:00:05Z"}}}],
    });
    let bench = Bench::new(object, PodFaults::default(), 5);
    assert_eq!(bench.effects, Effects::default());
    assert_eq!(bench.machine.wake_at(), None);
    assert_eq!(
        bench.status()["containerStatuses"][0]["state"]["running"]["startedAt"],
        "2023-11-14T00:00:05Z"
    );
}

#[test]
fn a_pod_can_take_its_node_down() {
    let fault = PodFaults { node_not_ready_after: Some(4 * SECOND), ..PodFaults::default() };
    let mut bench = Bench::plain(fault);
    assert!(!bench.effects.node_down);
    assert!(bench.wake(4).effects.node_down);
    assert!(!bench.wake(5).effects.node_down);
}

#[test]
fn faults_that_change_count_from_then_on() {
    let mut bench = Bench::plain(PodFaults::default());
    bench.effects = bench.machine.set_faults(PodFaults { never_ready: true, ..PodFaults::default() }, now(1));
    let lost = bench.check("Running", false, "running", 0).status();
    let ready = lost["conditions"].as_array().unwrap().iter().find(|one| one["type"] == "Ready").unwrap();
    assert_eq!(ready["lastTransitionTime"], "2023-11-14T22:13:21Z", "the second of the change");
    bench.effects = bench.machine.set_faults(PodFaults::default(), now(2));
    bench.check("Running", true, "running", 0);
}

/// The moments at which a pod ends in a day, in seconds, when its containers end at random.
fn random_ends(uid: &str, restarts: Restarts) -> (Vec<u64>, Bench) {
    let mut object = pod_object();
    object["metadata"]["uid"] = uid.into();
    let faults = PodFaults { restarts: Some(restarts), ..PodFaults::default() };
    let mut bench = Bench::new(object, faults, 0);
    let (mut ends, mut seen) = (Vec::new(), 0);
    while let Some(at) = bench.machine.wake_at().filter(|at| *at < 86_400_000) {
        bench.wake(at / 1_000 + 1);
        let restarts = bench.status()["containerStatuses"][0]["restartCount"].as_u64().unwrap();
        if restarts > seen {
            ends.push(at / 1_000);
            seen = restarts;
        }
    }
    (ends, bench)
}

#[test]
fn containers_end_at_random_as_often_as_asked_and_at_the_same_times_again() {
    let rate = Restarts { per_hour: 0.5, oom_killed: false };
    let all: usize = (0..200).map(|pod| random_ends(&format!("u{pod}"), rate).0.len()).sum();
    // 200 pods for 24 hours: 2,400 are expected.
    assert!((2_200..2_500).contains(&all), "{all}");
    assert_eq!(random_ends("u1", rate).0, random_ends("u1", rate).0);
    assert_ne!(random_ends("u1", rate).0, random_ends("u2", rate).0);
}

#[test]
fn a_container_that_ends_at_random_says_how_and_is_restarted_at_once_after_a_long_run() {
    for (oom_killed, code, reason) in [(false, 1, "Error"), (true, 137, "OOMKilled")] {
        let (ends, mut bench) = random_ends("u1", Restarts { per_hour: 0.3, oom_killed });
        let restarts = u64::try_from(ends.len()).unwrap();
        assert!(restarts > 0);
        bench.check("Running", true, "running", restarts);
        let ended = bench.status()["containerStatuses"][0]["lastState"]["terminated"].take();
        assert_eq!((ended["exitCode"].as_i64(), ended["reason"].as_str()), (Some(code), Some(reason)));
    }
}

#[test]
fn a_pod_has_what_it_asks_for_and_is_resized_at_once() {
    let mut bench = Bench::plain(PodFaults::default());
    assert_eq!(bench.status()["containerStatuses"][0]["resources"], json!({}));
    let asked = json!({"requests": {"cpu": "200m"}, "limits": {"memory": "1Gi"}});
    bench.object["spec"]["containers"][0]["resources"] = asked.clone();
    bench.object["metadata"]["generation"] = 2.into();
    bench.observe(5);
    assert!(bench.effects.report);
    let status = bench.status();
    assert_eq!(status["containerStatuses"][0]["resources"], asked);
    assert_eq!(status["containerStatuses"][0]["allocatedResources"], asked["requests"]);
    assert_eq!(status["observedGeneration"], 2);
    bench.object["metadata"]["generation"] = 3.into();
    bench.observe(6);
    assert!(bench.effects.report, "the status says which generation it is about");
}

#[test]
fn a_container_that_gets_another_image_is_started_anew_with_it() {
    let mut bench = Bench::plain(PodFaults::default());
    let image = |bench: &mut Bench, image: &str, seconds: u64| {
        bench.object["spec"]["containers"][0]["image"] = image.into();
        let generation = bench.object["metadata"]["generation"].as_i64().unwrap();
        bench.object["metadata"]["generation"] = (generation + 1).into();
        bench.observe(seconds);
        assert!(bench.effects.report);
    };
    bench.check("Running", true, "running", 0);
    image(&mut bench, "app:2", 5);
    bench.check("Running", true, "running", 1);
    assert_eq!(bench.status()["containerStatuses"][0]["image"], "app:2");
    assert_eq!(bench.status()["observedGeneration"], 2);
    image(&mut bench, "app:non-existent", 6);
    bench.check("Running", false, "ErrImagePull", 2);
    image(&mut bench, "app:3", 7);
    bench.check("Running", true, "running", 2);
}

#[test]
fn a_container_that_is_added_to_look_into_a_pod_runs_until_the_pod_is_over() {
    let mut bench = Bench::plain(PodFaults::default());
    let add = |bench: &mut Bench, containers: Value, seconds: u64| {
        bench.object["spec"]["ephemeralContainers"] = containers;
        let generation = bench.object["metadata"]["generation"].as_i64().unwrap();
        bench.object["metadata"]["generation"] = (generation + 1).into();
        bench.observe(seconds);
        assert!(bench.effects.report);
    };
    assert_eq!(bench.status().get("ephemeralContainerStatuses"), None);
    add(&mut bench, json!([{"name": "look", "image": "busybox"}]), 5);
    add(
        &mut bench,
        json!([{"name": "look", "image": "busybox"}, {"name": "no", "image": "x:non-existent"}]),
        9,
    );
    let statuses = bench.status()["ephemeralContainerStatuses"].take();
    assert_eq!(statuses[0]["name"], "look");
    assert_eq!(statuses[0]["state"], json!({"running": {"startedAt": "2023-11-14T22:13:25Z"}}));
    assert_eq!(statuses[0]["ready"], false);
    assert_eq!(statuses[1]["state"]["waiting"]["reason"], "ErrImagePull");
    bench.check("Running", true, "running", 0);
    bench.delete(0, 12);
    let statuses = bench.status()["ephemeralContainerStatuses"].take();
    assert_eq!(statuses[0]["state"]["terminated"]["exitCode"], 0);
}
