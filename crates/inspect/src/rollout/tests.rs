use serde_json::json;

use super::*;
use crate::Paint;

fn policy(phase: &str, more: Value) -> Policy {
    let mut entry = json!({
        "phase": phase, "message": "m", "revision": "new", "lastGoodRevision": "old", "wave": 2, "attempt": 0,
        "desired": 6, "updated": 3, "failed": 1, "failureBudget": 2, "waveDoneAt": "2026-01-01T00:00:10Z",
        "startedAt": "2026-01-01T00:00:00Z", "exemptNodes": ["n9"],
        "failedNodes": [{"node": "n1", "reason": "CrashLoopBackOff", "at": "2026-01-01T00:00:05Z"}],
    });
    entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Policy::of(&json!({
        "metadata": {"namespace": "ns", "name": "careful", "generation": 3},
        "spec": {"waves": [
            {"name": "canary", "nodes": 1, "gate": "Manual"},
            {"nodeSelector": {"matchLabels": {"zone": "a"}, "matchExpressions": [
                {"key": "gpu", "operator": "NotIn", "values": ["x", "y"]}, {"key": "z", "operator": "Exists"},
                {"key": "w", "operator": "DoesNotExist"}]}, "bakeSeconds": 60},
            {"nodes": "100%"},
        ]},
        "status": {"observedGeneration": 3, "phase": phase, "message": "agent: m", "daemonSets": {"agent": entry}},
    }))
}

/// The annotation that a command sets, or why it is refused.
fn ordered(command: Command, phase: &str, more: Value) -> String {
    let policy = policy(phase, more);
    match command.order(&policy, policy.rollouts.first()) {
        Ok(order) => {
            let said = order.kubectl.rsplit(' ').next().unwrap().to_owned();
            let (key, value) = said.split_once('=').unwrap();
            assert_eq!(order.patch, json!({"metadata": {"annotations": {key: value}}}));
            said
        }
        Err(refused) => refused.message,
    }
}

#[test]
fn commands_are_bound_to_what_they_are_about() {
    let check = |command, phase: &str, more: Value, expected: &str| {
        assert_eq!(ordered(command, phase, more), expected, "{command:?} {phase}");
    };
    let none = || json!({});
    let nothing =
        |verb: &str, phase: &str| format!("there is nothing to {verb}: the roll-out of agent is {phase}");
    check(Command::Promote, "WaitingForPromotion", none(), "everynode.dev/promote=new/2");
    check(Command::Promote, "Stalled", json!({"promotion": "new/2"}), "everynode.dev/promote=new/2");
    for phase in ["Progressing", "Baking", "Stalled", "Complete", "Halted", "RolledBack"] {
        check(Command::Promote, phase, none(), &nothing("promote", phase));
    }
    check(Command::Retry, "Halted", json!({"attempt": 2}), "everynode.dev/retry=new/3");
    check(Command::Retry, "RolledBack", none(), "everynode.dev/retry=new/1");
    check(Command::Retry, "Progressing", none(), &nothing("retry", "Progressing"));
    check(Command::Abort, "Progressing", none(), "everynode.dev/abort=new");
    check(Command::Abort, "Halted", none(), "everynode.dev/abort=new");
    check(Command::Abort, "Progressing", json!({"attempt": 2}), "everynode.dev/abort=new/2");
    check(Command::Abort, "Complete", none(), &nothing("abort", "Complete"));
    check(Command::Abort, "Halted", json!({"aborted": true}), &nothing("abort", "Halted"));
    check(
        Command::Promote,
        "WaitingForPromotion",
        json!({"revision": null}),
        "the roll-out of agent has not begun",
    );
}

#[test]
fn pausing_is_about_the_whole_policy() {
    let mut policy = policy("Progressing", json!({}));
    let order = Command::Pause.order(&policy, None).unwrap();
    assert_eq!(order.patch, json!({"spec": {"paused": true}}));
    assert_eq!(
        order.kubectl,
        r#"kubectl -n ns patch rolloutpolicy careful --type merge -p '{"spec":{"paused":true}}'"#
    );
    assert_eq!(Command::Resume.order(&policy, None).unwrap_err().message, "policy careful is not paused");
    policy.paused = true;
    assert_eq!(Command::Pause.order(&policy, None).unwrap_err().message, "policy careful is paused already");
    assert_eq!(Command::Resume.order(&policy, None).unwrap().patch, json!({"spec": {"paused": false}}));
}

#[test]
fn waves_stand_as_the_phase_has_them() {
    use WaveState::{Baking, Complete, Halted, Stalled, ToCome, UnderWay, WaitsForPromotion};
    for (phase, expected) in [
        ("Progressing", [Complete, UnderWay, ToCome]),
        ("Baking", [Complete, Baking, ToCome]),
        ("WaitingForPromotion", [Complete, WaitsForPromotion, ToCome]),
        ("Stalled", [Complete, Stalled, ToCome]),
        ("Halted", [Complete, Halted, ToCome]),
        ("RollingBack", [Complete, Halted, ToCome]),
        ("Complete", [Complete, Complete, Complete]),
    ] {
        let policy = policy(phase, json!({}));
        let states: Vec<WaveState> = policy.rollouts[0].waves.iter().map(|wave| wave.state).collect();
        assert_eq!(states, expected, "{phase}");
    }
    let waves = policy("Baking", json!({})).rollouts[0].waves.clone();
    assert_eq!(waves[1].nodes, "zone=a,gpu notin (x,y),z,!w");
    assert_eq!(waves[1].until_seconds, everynode_model::time::parse("2026-01-01T00:01:10Z").ok());
}

#[test]
fn the_text_tells_what_holds_a_rollout_and_what_to_type() {
    let now = everynode_model::time::parse("2026-01-01T00:00:40Z").unwrap();
    let check = |phase: &str, more: Value, expected: &[&str]| {
        let text = policy(phase, more).to_text(now, &Paint::default());
        for part in expected {
            assert!(text.contains(part), "{part:?} is missing in:\n{text}");
        }
    };
    check(
        "Baking",
        json!({}),
        &[
            "Revision     new, last good old, began 40s ago",
            "Failed       1; it halts at 2",
            "n1: CrashLoopBackOff at 2026-01-01T00:00:05Z",
            "Exempt       n9 (broken before their turn)",
            "watched for 30s more",
        ],
    );
    check(
        "Halted",
        json!({"attempt": 1}),
        &["everynode rollout retry daemonset/agent -n ns", "To go back to revision old: "],
    );
    let unseen = Policy::of(&json!({"metadata": {"name": "careful", "generation": 1}, "spec": {}}));
    assert!(unseen.to_text(now, &Paint::default()).contains("Does everynode run?"));
}

#[test]
fn the_text_tells_what_the_nodes_have_shown() {
    let signal = |name: &str, message: &str| json!({"name": name, "verdict": "Worse", "message": message});
    let analysis = json!({
        "verdict": "Worse", "basis": "Randomised", "message": "cpu is higher", "worstNodes": ["n1", "n2"],
        "common": "of the nodes with harm 2 of 2 have zone=a",
        "signals": [signal("cpu", "cpu is higher"), signal("restarts", "restarts is undecided")],
    });
    let text = policy("Halted", json!({"analysis": analysis})).to_text(1_767_225_620, &Paint::default());
    let expected = "  Analysis     Worse: cpu is higher (Randomised)\n    such as n1, n2; of the nodes with harm 2 of 2 \
                    have zone=a\n    restarts is undecided\n";
    assert!(text.contains(expected), "{text}");
    assert!(!policy("Halted", json!({})).to_text(0, &Paint::default()).contains("Analysis"));
}

#[test]
fn lines_keep_to_the_width_and_commands_stay_whole() {
    let narrow = Paint { width: Some(70), colour: true, ..Paint::default() };
    let mut policy = policy("WaitingForPromotion", json!({"message": "a ".repeat(40)}));
    policy.rollouts[0].daemonset = "a-name-that-is-quite-long".to_owned();
    let text = policy.to_text(0, &narrow);
    let plain = policy.to_text(0, &Paint { colour: false, ..narrow });
    assert!(text.contains("\u{1b}[33mWaitingForPromotion\u{1b}[0m: a a"), "{text}");
    assert!(
        plain.contains("  To begin the next wave:\n    everynode rollout promote daemonset/a-name"),
        "{plain}"
    );
    for line in plain.lines().take(4) {
        assert!(line.chars().count() <= 70, "{line:?}");
    }
}

#[test]
fn a_policy_without_waves_has_one() {
    let object = json!({"status": {"daemonSets": {"agent": {"phase": "Progressing", "wave": 1}}}});
    let waves = Policy::of(&object).rollouts[0].waves.clone();
    let told: Vec<(&str, &str)> =
        waves.iter().map(|wave| (wave.name.as_str(), wave.nodes.as_str())).collect();
    assert_eq!(told, [("all", "100%")]);
}

/// Policies by their names and those of the DaemonSets that they conduct.
fn policies(all: &[(&str, &[&str])]) -> Policies {
    let rollout = |name: &&str| Rollout { daemonset: (*name).to_owned(), ..Rollout::default() };
    let of = |(name, conducted): &(&str, &[&str])| Policy {
        name: (*name).to_owned(),
        rollouts: conducted.iter().map(rollout).collect(),
        ..policy("", json!({}))
    };
    Policies { namespace: Some("ns".to_owned()), policies: all.iter().map(of).collect() }
}

fn daemonset(name: &str) -> Target {
    Target::DaemonSet(name.to_owned())
}

#[test]
fn a_command_is_for_one_roll_out_without_a_doubt() {
    let all = policies(&[("careful", &["agent", "logs"]), ("quick", &["gpu"]), ("idle", &[])]);
    let check = |target: Option<Target>, command: Command, expected: &str| {
        let found = target.map_or(Ok(all.clone()), |target| all.about(&target));
        let chosen = found.and_then(|found| {
            let (policy, rollout) = found.only(command)?;
            Ok(format!("{}/{}", policy.name, rollout.map_or("", |one| &one.daemonset)))
        });
        let said = chosen.unwrap_or_else(|Refused { message, hint }| format!("{message}: {hint}"));
        assert_eq!(said, expected);
    };
    let named = |name: &str| Some(Target::Policy(name.to_owned()));
    check(Some(daemonset("logs")), Command::Abort, "careful/logs");
    check(named("quick"), Command::Abort, "quick/gpu");
    check(named("idle"), Command::Pause, "idle/");
    check(named("careful"), Command::Pause, "careful/agent");
    let several = "policy careful conducts 2 DaemonSets: name one: daemonset/agent or daemonset/logs";
    check(named("careful"), Command::Abort, several);
    let which = "there are 3 policies in namespace ns: name one: policy/careful, policy/quick or policy/idle";
    check(None, Command::Pause, which);
    let near = "no policy in namespace ns conducts daemonset agnet: there is agent";
    check(Some(daemonset("agnet")), Command::Pause, near);
    let far = "there is no policy nothing in namespace ns: `everynode rollout status` shows all policies";
    check(named("nothing"), Command::Pause, far);
}
