//! Pods drawn by chance, and everything that can go wrong with them: no container runs twice, none is lost, and every
//! pod ends as its spec says.
//!
//! `EVERYNODE_SEEDS` sets how many (default 500), `EVERYNODE_SEED` the first one.

use everynode_model::Phase;

use super::model::{Behaviour, Fault, World};
use super::{SECOND, pod};

/// Until then things go wrong.
const WEATHER: u64 = 120 * SECOND;
/// By then everything has been done, whatever the pauses were.
const END: u64 = WEATHER + 1_200 * SECOND;

struct Drawn {
    spec: String,
    behaviours: Vec<(&'static str, Behaviour)>,
    policy: &'static str,
    is_deleted: bool,
    has_to_go: bool,
}

fn draw(random: &mut fastrand::Rng) -> Drawn {
    let policy = ["Always", "Always", "OnFailure", "Never"][random.usize(0..4)];
    let behaviour = |random: &mut fastrand::Rng, ends: bool, may_fail: bool| Behaviour {
        exits: ends.then(|| (random.u64(0..20 * SECOND), i32::from(may_fail && random.u8(0..3) == 0))),
        well_after: random.u64(0..5 * SECOND),
        ends_after: [0, SECOND, 100 * SECOND][random.usize(0..3)],
        pullable_after: if random.u8(0..4) == 0 { random.u64(0..60 * SECOND) } else { 0 },
        unwell_after: None,
    };
    let init_names = ["i", "j"];
    let app_names = ["c", "d"];
    let mut behaviours = Vec::new();
    let mut init = Vec::new();
    for name in &init_names[..random.usize(0..3)] {
        let sidecar = random.bool();
        behaviours.push((*name, behaviour(random, !sidecar, policy == "Never")));
        let more = if sidecar { r#","restartPolicy":"Always""# } else { "" };
        init.push(format!(r#"{{"name":"{name}"{more}}}"#));
    }
    let mut apps = Vec::new();
    for name in &app_names[..random.usize(1..3)] {
        let ends = policy != "Always" || random.u8(0..4) == 0;
        behaviours.push((*name, behaviour(random, ends, true)));
        let probes = [
            "",
            r#","readinessProbe":{"periodSeconds":1}"#,
            r#","startupProbe":{"periodSeconds":1,"failureThreshold":30}"#,
            r#","lifecycle":{"postStart":{"exec":{"command":["x"]}}}"#,
        ];
        let policies = ["", r#","resizePolicy":[{"resourceName":"cpu","restartPolicy":"RestartContainer"}]"#];
        let policy = if policy == "Always" { policies[random.usize(0..2)] } else { "" };
        let asks = r#","resources":{"requests":{"cpu":"100m"}}"#;
        apps.push(format!(r#"{{"name":"{name}"{}{asks}{policy}}}"#, probes[random.usize(0..4)]));
    }
    let spec = format!(
        r#"{{"restartPolicy":"{policy}","terminationGracePeriodSeconds":{},"initContainers":[{}],"containers":[{}]}}"#,
        random.u8(0..20),
        init.join(","),
        apps.join(",")
    );
    Drawn { spec, behaviours, policy, is_deleted: random.bool(), has_to_go: random.u8(0..4) == 0 }
}

fn fault(random: &mut fastrand::Rng) -> Option<Fault> {
    let faults = [Fault::Refused, Fault::AnswerLost, Fault::AgentEndsBefore, Fault::AgentEndsAfter];
    (random.u8(0..5) == 0).then(|| faults[random.usize(0..4)])
}

fn run(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let drawn = draw(&mut random);
    let mut world = World::new(pod(&drawn.spec), &drawn.behaviours);
    let mut sandboxes_lost = 0;
    while world.now.millis < WEATHER {
        world.faults = (0..20).map(|_| fault(&mut random)).collect();
        match random.u8(0..20) {
            0 => world.restart_agent(),
            1 => {
                world.lose_sandbox();
                sandboxes_lost += 1;
            }
            2 => world.resize(["100m", "200m", "300m"][random.usize(0..3)]),
            3 => world.has_room = random.bool(),
            4 => {
                let running = world.ids_of_running();
                if let Some(id) = random.choice(&running) {
                    world.end(&id.clone(), 137);
                }
            }
            _ => {}
        }
        let step = random.u64(1..15 * SECOND);
        world.run_until((world.now.millis + step).min(WEATHER));
    }
    world.faults.clear();
    world.has_room = true;
    world.resize("400m");
    let is_evicted = drawn.has_to_go && world.machine.evict("low", SECOND, world.now);
    if drawn.is_deleted {
        world.delete(i64::from(random.u8(0..30)));
    }
    world.run_until(END);
    if std::env::var_os("EVERYNODE_TRACE").is_some() {
        println!(
            "{} {:?}\n{:?}\n{:#?}\n{:#?}",
            drawn.spec,
            drawn.behaviours,
            world.starts,
            world.view(),
            world.machine
        );
    }
    if is_evicted && !drawn.is_deleted {
        let phase = world.status().map(|status| status.phase);
        assert_eq!((phase, world.is_empty()), (Some(Phase::Failed), true), "a pod that had to go");
        return;
    }
    check_end(&mut world, &drawn, sandboxes_lost);
}

fn check_end(world: &mut World, drawn: &Drawn, sandboxes_lost: usize) {
    if drawn.is_deleted {
        assert!(world.is_gone && world.is_empty(), "something of a deleted pod is left");
        return;
    }
    let phase = world.status().map(|status| status.phase);
    match drawn.policy {
        "Never" => {
            assert!(
                matches!(phase, None | Some(Phase::Succeeded | Phase::Failed)),
                "a pod that runs once is {phase:?}"
            );
            for (name, _) in drawn.behaviours.iter().filter(|(name, _)| ["c", "d"].contains(name)) {
                let starts = world.starts.iter().filter(|start| start == name).count();
                assert!(starts <= 1 + sandboxes_lost, "{name} of a pod that runs once ran {starts} times");
            }
        }
        "OnFailure" => assert!(
            matches!(phase, None | Some(Phase::Running | Phase::Succeeded)),
            "a pod that runs until it succeeds is {phase:?}"
        ),
        _ => {
            assert_eq!(phase, Some(Phase::Running), "a pod that always runs");
            for (name, behaviour) in &drawn.behaviours {
                let stays = behaviour.exits.is_none();
                let runs = world.view().current(name).is_some_and(|one| one.is_running());
                assert!(runs || !stays, "{name} is lost");
                let cpu = world.cpu(name);
                assert!(cpu.is_none_or(|cpu| cpu == "400m"), "{name} did not get what was asked for");
            }
        }
    }
}

#[test]
fn whatever_goes_wrong_no_container_runs_twice_and_every_pod_ends_as_its_spec_says() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let count = number("EVERYNODE_SEEDS").unwrap_or(500);
    let first = number("EVERYNODE_SEED").unwrap_or_else(|| fastrand::u64(0..1 << 48));
    println!("again: EVERYNODE_SEED={first} EVERYNODE_SEEDS={count} cargo test -p everynode-agent seeds");
    for seed in first..first + count {
        if let Err(cause) = std::panic::catch_unwind(|| run(seed)) {
            println!("seed {seed} FAILED");
            std::panic::resume_unwind(cause);
        }
    }
}
