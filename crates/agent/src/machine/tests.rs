//! The life of a pod in a model of a runtime: by tables for what is shown, and by seeds for what must never happen.

mod model;
mod seeds;

use std::sync::Arc;

use model::{Behaviour, World};

use super::*;

const SECOND: u64 = 1_000;

fn pod(spec: &str) -> Arc<Pod> {
    let text = format!(r#"{{"metadata":{{"name":"p","namespace":"n","uid":"u"}},"spec":{spec}}}"#);
    Arc::new(serde_json::from_str(&text).unwrap())
}

/// What is shown in short: the phase, each container with its state, `!` when it is ready.
fn shown(world: &mut World) -> String {
    let Some(status) = world.status() else { return "as before".to_owned() };
    let one = |status: &ContainerStatus| {
        let state = match &status.state {
            StateStatus::Waiting { reason, .. } => reason.clone(),
            StateStatus::Running { .. } => "running".to_owned(),
            StateStatus::Terminated(exit) => format!("exit {}", exit.code),
        };
        let restarts =
            if status.restart_count > 0 { format!("*{}", status.restart_count) } else { String::new() };
        format!("{}{restarts} {state}{}", status.name, if status.is_ready { "!" } else { "" })
    };
    let containers: Vec<String> = status.init_containers.iter().chain(&status.containers).map(one).collect();
    format!("{}: {}", status.phase.name(), containers.join(", "))
}

/// Runs a pod for so many seconds after another and says what is shown then.
fn check(spec: &str, behaviours: &[(&str, Behaviour)], expected: &[(u64, &str)]) {
    let mut world = World::new(pod(spec), behaviours);
    for (seconds, text) in expected {
        world.run_until(seconds * SECOND);
        assert_eq!(shown(&mut world), *text, "after {seconds} s: {spec}");
    }
}

#[test]
fn a_pod_runs_and_its_readiness_is_probed() {
    let runs = Behaviour::default();
    check(r#"{"containers":[{"name":"c"}]}"#, &[("c", runs)], &[(0, "Running: c running!")]);
    check(
        r#"{"containers":[{"name":"c","readinessProbe":{"initialDelaySeconds":5,"periodSeconds":10}}]}"#,
        &[("c", Behaviour { well_after: 12 * SECOND, ..runs })],
        &[(0, "Running: c running"), (14, "Running: c running"), (16, "Running: c running!")],
    );
    check(
        r#"{"containers":[{"name":"c","startupProbe":{"periodSeconds":1,"failureThreshold":30},
            "livenessProbe":{"periodSeconds":1,"failureThreshold":1}}]}"#,
        &[("c", Behaviour { well_after: 5 * SECOND, ..runs })],
        &[
            (0, "Running: c running"),
            (4, "Running: c running"),
            (6, "Running: c running!"),
            (60, "Running: c running!"),
        ],
    );
}

#[test]
fn a_container_that_comes_up_is_ready_soon_and_not_killed_sooner() {
    let well_after = |millis| [("c", Behaviour { well_after: millis, ..Behaviour::default() })];
    let ready = r#"{"containers":[{"name":"c","readinessProbe":{"periodSeconds":60}}]}"#;
    let mut world = World::new(pod(ready), &well_after(100));
    world.run_until(200);
    assert_eq!(shown(&mut world), "Running: c running!");

    let started = r#"{"containers":[{"name":"c","startupProbe":{"periodSeconds":2,"failureThreshold":3}}]}"#;
    let mut world = World::new(pod(started), &well_after(60 * SECOND));
    world.run_until(3_900);
    assert_eq!(world.starts.len(), 1);
    world.run_until(4 * SECOND);
    assert_eq!(world.starts.len(), 2, "killed by the third asking of the period");
}

#[test]
fn a_container_that_ends_is_started_again_with_pauses() {
    check(
        r#"{"containers":[{"name":"c"}]}"#,
        &[("c", Behaviour { exits: Some((SECOND, 1)), ..Behaviour::default() })],
        &[
            (0, "Running: c running!"),
            // The first time at once, then after 10 and 20 seconds.
            (1, "Running: c*1 running!"),
            (2, "Running: c*1 CrashLoopBackOff"),
            (12, "Running: c*2 running!"),
            (13, "Running: c*2 CrashLoopBackOff"),
            (32, "Running: c*2 CrashLoopBackOff"),
            (33, "Running: c*3 running!"),
        ],
    );
    check(
        r#"{"restartPolicy":"Never","containers":[{"name":"c"},{"name":"d"}]}"#,
        &[
            ("c", Behaviour { exits: Some((SECOND, 0)), ..Behaviour::default() }),
            ("d", Behaviour { exits: Some((2 * SECOND, 3)), ..Behaviour::default() }),
        ],
        &[
            (1, "Running: c exit 0, d running!"),
            (2, "Failed: c exit 0, d exit 3"),
            (60, "Failed: c exit 0, d exit 3"),
        ],
    );
    check(
        r#"{"restartPolicy":"OnFailure","containers":[{"name":"c"}]}"#,
        &[("c", Behaviour { exits: Some((SECOND, 0)), ..Behaviour::default() })],
        &[(1, "Succeeded: c exit 0")],
    );
}

/// A container that asks for cpu, with this policy of resizes.
fn resizable(policy: &str) -> World {
    let asks = r#""resources":{"requests":{"cpu":"100m"}}"#;
    let policy = format!(r#""resizePolicy":[{{"resourceName":"cpu","restartPolicy":"{policy}"}}]"#);
    let mut world = World::new(pod(&format!(r#"{{"containers":[{{"name":"c",{asks},{policy}}}]}}"#)), &[]);
    world.run_until(SECOND);
    world
}

/// The conditions of resizes that hold, with their reasons.
fn resizing(world: &mut World) -> Vec<String> {
    let conditions = world.status().map(|status| status.conditions).unwrap_or_default();
    let of_resize = conditions.iter().filter(|one| one.kind.starts_with("PodResize"));
    of_resize.map(|one| format!("{} {}", one.kind, one.reason)).collect()
}

#[test]
fn a_container_that_runs_gets_what_is_asked_for_without_a_restart_unless_its_policy_says_so() {
    for (policy, starts) in [("NotRequired", 1), ("RestartContainer", 2)] {
        let mut world = resizable(policy);
        world.resize("200m");
        world.run_until(40 * SECOND);
        assert_eq!((world.cpu("c").as_deref(), world.starts.len()), (Some("200m"), starts), "{policy}");
        assert!(resizing(&mut world).is_empty());
        // An agent that is started anew knows what the container has.
        world.restart_agent();
        world.run_until(80 * SECOND);
        assert_eq!(world.starts.len(), starts, "{policy}: started anew with the agent");
    }
}

#[test]
fn a_resize_waits_for_room_and_survives_a_restart_of_the_agent() {
    let mut world = resizable("NotRequired");
    world.has_room = false;
    world.resize("200m");
    world.run_until(2 * SECOND);
    for _ in 0..2 {
        assert_eq!(resizing(&mut world), ["PodResizePending Deferred"]);
        let shown = world.status().unwrap().containers[0].resources.requests["cpu"].to_string();
        assert_eq!((shown.as_str(), world.cpu("c").as_deref()), ("100m", Some("100m")));
        world.restart_agent();
        world.run_until(world.now.millis + SECOND);
    }
    // A container that is made anew meanwhile is as it was allotted.
    let running = world.ids_of_running();
    world.end(&running[0], 1);
    world.run_until(world.now.millis + 60 * SECOND);
    assert_eq!(world.cpu("c").as_deref(), Some("100m"));
    world.has_room = true;
    world.run_until(world.now.millis + SECOND);
    assert_eq!((world.cpu("c").as_deref(), resizing(&mut world).len()), (Some("200m"), 0));
}

#[test]
fn a_resize_that_the_runtime_refuses_is_told_and_tried_again() {
    let mut world = resizable("NotRequired");
    world.faults = vec![Some(model::Fault::Refused)];
    world.resize("200m");
    world.run_until(world.now.millis);
    assert_eq!(resizing(&mut world), ["PodResizeInProgress Error"]);
    world.run_until(30 * SECOND);
    assert_eq!((world.cpu("c").as_deref(), resizing(&mut world).len()), (Some("200m"), 0));
}

#[test]
fn a_container_whose_liveness_probe_fails_is_ended_and_started_again() {
    check(
        r#"{"containers":[{"name":"c","livenessProbe":{"periodSeconds":1,"failureThreshold":2}}]}"#,
        &[("c", Behaviour { unwell_after: Some(3 * SECOND), ..Behaviour::default() })],
        &[(2, "Running: c running!"), (5, "Running: c*1 running!"), (10, "Running: c*1 CrashLoopBackOff")],
    );
}

#[test]
fn containers_start_in_their_order_and_sidecars_run_beside_them() {
    let short = Behaviour { exits: Some((2 * SECOND, 0)), ..Behaviour::default() };
    check(
        r#"{"initContainers":[{"name":"i"},{"name":"s","restartPolicy":"Always","startupProbe":{"periodSeconds":1,"failureThreshold":9}},{"name":"j"}],
            "containers":[{"name":"c"}]}"#,
        &[("i", short), ("s", Behaviour { well_after: 3 * SECOND, ..Behaviour::default() }), ("j", short)],
        &[
            (0, "Pending: i running, s PodInitializing, j PodInitializing, c PodInitializing"),
            (2, "Pending: i exit 0!, s running, j PodInitializing, c PodInitializing"),
            (5, "Pending: i exit 0!, s running!, j running, c PodInitializing"),
            (7, "Running: i exit 0!, s running!, j exit 0!, c running!"),
        ],
    );
    check(
        r#"{"restartPolicy":"Never","initContainers":[{"name":"i"}],"containers":[{"name":"c"}]}"#,
        &[("i", Behaviour { exits: Some((0, 1)), ..Behaviour::default() })],
        &[(1, "Failed: i exit 1, c PodInitializing")],
    );
}

#[test]
fn an_image_that_cannot_be_pulled_is_tried_again_with_pauses() {
    check(
        r#"{"containers":[{"name":"c","image":"x"},{"name":"d"}]}"#,
        &[("c", Behaviour { pullable_after: 25 * SECOND, ..Behaviour::default() })],
        &[
            (0, "Pending: c ErrImagePull, d running!"),
            (2, "Pending: c ImagePullBackOff, d running!"),
            (11, "Pending: c ImagePullBackOff, d running!"),
            (31, "Running: c running!, d running!"),
        ],
    );
}

#[test]
fn a_pod_that_is_deleted_ends_within_its_grace_period() {
    let mut world = World::new(
        pod(r#"{"terminationGracePeriodSeconds":10,"initContainers":[{"name":"s","restartPolicy":"Always"}],
            "containers":[{"name":"c"},{"name":"d"}]}"#),
        &[("d", Behaviour { ends_after: 60 * SECOND, ..Behaviour::default() })],
    );
    world.run_until(SECOND);
    world.delete(10);
    world.run_until(9 * SECOND);
    assert_eq!(shown(&mut world), "Running: s running!, c exit 0, d running!");
    world.run_until(12 * SECOND);
    assert_eq!(shown(&mut world), "Failed: s exit 137, c exit 0, d exit 137");
    assert!(world.is_gone && world.is_empty());
}

#[test]
fn a_pod_that_has_to_go_fails_and_leaves_nothing_but_its_status() {
    let spec = r#"{"containers":[{"name":"c"},{"name":"d"}]}"#;
    let mut world =
        World::new(pod(spec), &[("d", Behaviour { ends_after: 60 * SECOND, ..Behaviour::default() })]);
    world.run_until(SECOND);
    assert!(world.machine.evict("low", SECOND, world.now));
    assert!(!world.machine.evict("lower", SECOND, world.now), "it goes for the first reason");
    world.run_until(3 * SECOND);
    assert_eq!(shown(&mut world), "Failed: c exit 0, d exit 137");
    assert!(world.is_empty() && !world.is_gone, "the object is for others to delete");
    let status = world.status().unwrap();
    assert_eq!((&*status.reason, &*status.message), ("Evicted", "low"));
    let target = status.conditions.iter().find(|one| one.kind == "DisruptionTarget").unwrap();
    assert_eq!((target.is_true, target.reason), (true, "TerminationByKubelet"));

    // One that the node does not even take.
    let mut world = World::new(pod(spec), &[]);
    assert!(world.machine.evict("low", SECOND, world.now));
    world.run_until(SECOND);
    assert_eq!(shown(&mut world), "Failed: c ContainerCreating, d ContainerCreating");
    assert!(world.starts.is_empty());
}

#[test]
fn a_shorter_grace_period_counts_at_once() {
    let mut world = World::new(
        pod(r#"{"containers":[{"name":"c"}]}"#),
        &[("c", Behaviour { ends_after: 60 * SECOND, ..Behaviour::default() })],
    );
    world.run_until(SECOND);
    world.delete(30);
    world.run_until(2 * SECOND);
    world.delete(1);
    world.run_until(4 * SECOND);
    assert!(world.is_gone && world.is_empty());
}

#[test]
fn what_runs_goes_on_when_the_agent_is_started_again() {
    let mut world = World::new(
        pod(r#"{"containers":[{"name":"c","readinessProbe":{"periodSeconds":60}}]}"#),
        &[("c", Behaviour { ..Behaviour::default() })],
    );
    world.run_until(SECOND);
    assert_eq!(shown(&mut world), "Running: c running!");
    let before = world.starts.clone();
    world.restart_agent();
    assert_eq!(shown(&mut world), "Running: c running!");
    world.run_until(100 * SECOND);
    assert_eq!(world.starts, before);
}

#[test]
fn a_sandbox_that_is_gone_is_replaced_with_all_its_containers() {
    let mut world = World::new(
        pod(r#"{"initContainers":[{"name":"i"}],"containers":[{"name":"c"}]}"#),
        &[("i", Behaviour { exits: Some((0, 0)), ..Behaviour::default() })],
    );
    world.run_until(SECOND);
    world.lose_sandbox();
    world.run_until(2 * SECOND);
    assert_eq!(shown(&mut world), "Running: i*1 exit 0!, c*1 running!");
}

#[test]
fn a_pod_with_what_an_agent_cannot_do_says_so_and_goes_when_it_is_deleted() {
    let mut world = World::new(pod(r#"{"hostUsers":false,"containers":[{"name":"c"}]}"#), &[]);
    world.run_until(SECOND);
    assert_eq!(shown(&mut world), "Pending: c CreateContainerConfigError");
    world.delete(30);
    world.run_until(2 * SECOND);
    assert!(world.is_gone && world.starts.is_empty());
}

#[test]
fn a_clock_that_is_set_ends_nothing_and_starts_nothing_anew() {
    let spec = r#"{"containers":[{"name":"c","livenessProbe":{"periodSeconds":1},
        "startupProbe":{"initialDelaySeconds":2,"periodSeconds":1},"readinessProbe":{"periodSeconds":1}}]}"#;
    for step_hours in [-48, 48] {
        let mut world = World::new(pod(spec), &[("c", Behaviour::default())]);
        world.run_until(500);
        world.now.wall_nanos += step_hours * 3_600 * 1_000_000_000;
        world.run_until(10 * SECOND);
        assert_eq!(shown(&mut world), "Running: c running!", "{step_hours} h");
        world.now.wall_nanos -= step_hours * 3_600 * 1_000_000_000;
        world.restart_agent();
        world.run_until(60 * SECOND);
        assert_eq!((shown(&mut world).as_str(), world.starts.len()), ("Running: c running!", 1));
    }
}
