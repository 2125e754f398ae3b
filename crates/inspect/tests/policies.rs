//! What `why` and `status` say of roll-outs that a policy conducts.

// A test may panic anywhere, its helpers too.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::indexing_slicing)]

use everynode_engine::Time;
use everynode_inspect::status::{Filter, State, Status};
use everynode_inspect::why::WhyNode;
use everynode_inspect::{Kind, Look, Paint};
use everynode_plan::Fleet;
use everynode_plan::record::{Container, Detail, Record, Revision};
use everynode_testkit::fleets;
use everynode_testkit::fleets::{Case, NOW, change, manifest, node_name};
use serde_json::{Value, json};

/// The value of controller-revision-hash of updated pods.
const NEW: &str = "new";

fn tolerant(spec: &mut Value) {
    spec["template"]["spec"]["tolerations"] = json!([{"operator": "Exists"}]);
}

/// `agent:2` is being rolled out: these nodes have it.
struct RollingOut {
    case: Case,
    policies: Vec<Value>,
}

impl RollingOut {
    fn new(nodes: usize, updated: usize) -> RollingOut {
        let mut case = Case::new(nodes, tolerant);
        for pod in &mut case.pods[..updated] {
            pod.labels.insert("controller-revision-hash", NEW);
            pod.labels.insert("pod-template-generation", "2");
            (pod.created, pod.ready_since) = (NOW - 100, Some(NOW - 80));
        }
        RollingOut { case, policies: Vec::new() }
    }

    /// With a policy whose status says this of the DaemonSet.
    fn under(mut self, name: &str, spec: Value, entry: Value) -> RollingOut {
        let number = self.policies.len();
        let mut policy = json!({
            "metadata": {"name": name, "namespace": "default", "generation": 1,
                "uid": format!("44444444-4444-4444-8444-{number:012}")},
            "spec": {"selector": {}},
            "status": {"daemonSets": {"agent": {"revision": NEW, "lastGoodRevision": fleets::HASH, "wave": 1,
                "startedAt": time(-120), "progressAt": time(-120)}}},
        });
        for (to, from) in [("/spec", spec), ("/status/daemonSets/agent", entry)] {
            let to = policy.pointer_mut(to).unwrap();
            from.as_object().into_iter().flatten().for_each(|(key, value)| to[key] = value.clone());
        }
        self.policies.push(policy);
        self
    }

    /// The pod on a node crashes.
    fn crashes(mut self, index: usize) -> RollingOut {
        let pod = &mut self.case.pods[index];
        (pod.ready, pod.restarts) = (false, 4);
        pod.waiting = "CrashLoopBackOff".into();
        let container =
            Container { name: "main".into(), waiting: pod.waiting.clone(), ..Container::default() };
        pod.detail = Some(Box::new(Detail { containers: vec![container], ..Detail::default() }));
        self
    }

    fn fleet(&self) -> Fleet {
        let mut fleet = self.case.fleet();
        let new = change(&fleet, &manifest("agent:2", tolerant)).expect("a good manifest").new;
        let old = &mut fleet.daemonsets[0];
        old["spec"] = new["spec"].clone();
        old["metadata"]["generation"] = 2.into();
        old["metadata"]["annotations"]["deprecated.daemonset.template.generation"] = "2".into();
        old["status"]["observedGeneration"] = 2.into();
        let revision = &fleet.revisions[0];
        let data = revision.data.replace("agent:1", "agent:2");
        let labels = [("app", "agent"), ("controller-revision-hash", NEW)];
        fleet.revisions.push(Revision {
            name: format!("agent-{NEW}"),
            uid: "33333333-3333-4333-8333-444444444444".into(),
            labels: labels.into(),
            revision: 2,
            data,
            ..revision.clone()
        });
        let policies = self.policies.iter().cloned().map(Record::RolloutPolicy);
        let wanted = [("default".to_owned(), "agent".to_owned())];
        fleet.policies = Fleet::from_records(policies, &wanted, NOW * 1000).policies;
        fleet
    }

    fn status(&self) -> (Status, String) {
        let fleet = self.fleet();
        let status = Status::of(&Look::of(&fleet, Time::from_seconds(NOW)), &Filter::default());
        let text = status.to_text(&Paint::default());
        (status, text)
    }

    fn why(&self, index: usize) -> (WhyNode, String) {
        let fleet = self.fleet();
        let look = Look::of(&fleet, Time::from_seconds(NOW));
        let why = WhyNode::of(&look, "default", "agent", &node_name(index)).expect("both are there");
        let text = why.to_text(&Paint::default());
        (why, text)
    }

    /// How it stands, what the node waits for, and what both say.
    fn check(&self, state: State, node: usize, kind: Kind, parts: &[&str]) {
        let (status, status_text) = self.status();
        let (why, why_text) = self.why(node);
        let text = format!("{status_text}\n{why_text}");
        assert_eq!((status.daemonsets[0].state, why.reason.kind), (state, kind), "{text}");
        for part in parts {
            assert!(text.contains(part), "{part:?} is not in:\n{text}");
        }
    }
}

fn time(seconds: i64) -> String {
    everynode_model::time::format(NOW + seconds)
}

fn canary(more: Value) -> Value {
    let mut spec =
        json!({"maxUnavailable": "50%", "waves": [{"name": "canary", "nodes": 1}, {"nodes": "100%"}]});
    more.as_object().into_iter().flatten().for_each(|(key, value)| spec[key] = value.clone());
    spec
}

#[test]
fn what_waits_for_a_wave_says_which_and_what_is_under_way() {
    let mut case = RollingOut::new(6, 1).under("careful", canary(json!({})), json!({"phase": "Progressing"}));
    case.case.pods[0].ready = false;
    case.check(
        State::RollingOut,
        4,
        Kind::WaitsForWave,
        &[
            "waits for wave 2 of 2 of policy careful",
            "policy   careful: wave 1 of 2 (canary) is under way",
            "maxUnavailable 3 (50%), 1 in use",
        ],
    );
}

#[test]
fn what_is_watched_or_waits_for_promotion_says_until_when_and_how_to_go_on() {
    let baking =
        canary(json!({"waves": [{"name": "canary", "nodes": 1, "bakeSeconds": 300, "gate": "Manual"},
        {"nodes": "100%"}]}));
    let entry = json!({"phase": "Baking", "waveDoneAt": time(-60)});
    let until = format!("wave 1 of 2 (canary) is complete and watched until {}", time(240));
    RollingOut::new(6, 1).under("careful", baking.clone(), entry).check(
        State::RollingOut,
        4,
        Kind::WaitsForWave,
        &[&until, "then somebody promotes it", "to its gate", "gate     in about 4m"],
    );
    let entry = json!({"phase": "WaitingForPromotion", "waveDoneAt": time(-400)});
    RollingOut::new(6, 1).under("careful", baking, entry).check(
        State::WaitsForPromotion,
        4,
        Kind::WaitsForPromotion,
        &["waits for promotion", "everynode rollout promote daemonset/agent -n default"],
    );
}

#[test]
fn a_halt_names_the_node_and_the_evidence() {
    let case = RollingOut::new(6, 1).crashes(0);
    let case = case.under("careful", canary(json!({})), json!({"phase": "Progressing"}));
    let parts = [
        "halted in wave 1 of 2 (canary); failed: n00000 (CrashLoopBackOff)",
        "policy careful halted in wave 1 of 2",
        "everynode rollout retry daemonset/agent -n default",
    ];
    case.check(State::Halted, 4, Kind::RolloutHalted, &parts);
    case.check(State::Halted, 0, Kind::Crashing, &["policy careful counts it as failed: CrashLoopBackOff"]);
    let failed = json!([{"node": node_name(0), "reason": "NodeNotReady", "at": time(-50)}]);
    let entry = json!({"phase": "RolledBack", "failedNodes": failed});
    let spec = canary(json!({"failure": {"action": "Rollback"}}));
    let gone_back = RollingOut::new(6, 0).under("careful", spec, entry);
    let parts = ["gone back", "has gone back to revision old; failed: n00000 (NodeNotReady)"];
    gone_back.check(State::RolledBack, 4, Kind::RolledBack, &parts);
}

#[test]
fn what_failed_nodes_have_in_common_is_named_among_those_that_had_their_turn() {
    let mut case = RollingOut::new(40, 20);
    for (index, node) in case.case.nodes.iter_mut().enumerate() {
        let old = (index < 5, "5.4.0", "5.10.0");
        let pick =
            |(is_first, first, rest): (bool, &str, &str)| if is_first { first } else { rest }.to_owned();
        node.system.insert("kernelVersion", pick(old));
        // All that had their turn are here, so it explains nothing.
        node.labels.insert("zone", pick((index < 20, "a", "b")));
        node.labels.insert("pool", pick((index % 2 == 0, "even", "odd")));
    }
    let case = (0..4).fold(case, RollingOut::crashes);
    let spec = json!({"maxUnavailable": "50%", "waves": [{"nodes": "100%"}], "failure": {"budget": 4}});
    let case = case.under("careful", spec, json!({"phase": "Progressing"}));
    let line = "of the nodes that failed 4 of 4 have kernelVersion=5.4.0, as have 25 % of the 20 nodes: \
                4.0 times as many; by chance 1 in 242";
    case.check(State::Halted, 0, Kind::Crashing, &[line]);
    let (status, _) = case.status();
    let told = &status.daemonsets[0].policy.as_ref().unwrap().failed_where;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((told[0].failed_with, told[0].failed, told[0].nodes_with, told[0].nodes), (4, 4, 5, 20));
}

#[test]
fn what_stops_a_policy_is_told() {
    let check = |spec: Value, state: State, kind: Kind, parts: &[&str]| {
        let case = RollingOut::new(6, 1).under("careful", spec, json!({"phase": "Progressing"}));
        case.check(state, 4, kind, parts);
    };
    let paused = canary(json!({"paused": true}));
    check(
        paused,
        State::Paused,
        Kind::RolloutPaused,
        &["careful: paused in wave", "everynode rollout resume"],
    );
    let nothing = canary(json!({"maxUnavailable": 0}));
    let parts = ["maxUnavailable is 0: nothing can be replaced"];
    check(nothing.clone(), State::Stalled, Kind::RolloutStalled, &parts);
    let case = RollingOut::new(6, 1).under("careful", nothing, json!({"phase": "Stalled"}));
    case.check(State::Stalled, 4, Kind::RolloutStalled, &parts);
    let nowhere = json!({"waves": [{"name": "gpu", "nodeSelector": {"matchLabels": {"pool": "gpu"}}},
        {"nodes": "100%"}]});
    check(nowhere, State::Stalled, Kind::RolloutStalled, &["stalls in wave 1 of 2 (gpu)", "no further node"]);
    let short = json!({"waves": [{"nodes": 1}]});
    check(short, State::Stalled, Kind::RolloutStalled, &["the waves leave 5 nodes out"]);
    let case =
        RollingOut::new(6, 1).under("careful", json!({}), json!({})).under("other", json!({}), json!({}));
    let parts = ["policies careful and other select this DaemonSet, so none acts"];
    case.check(State::Stalled, 4, Kind::PolicyConflict, &parts);
}

#[test]
fn the_budget_of_a_policy_and_its_users_are_shown() {
    let mut case = RollingOut::new(6, 2).under("careful", json!({"maxUnavailable": 2}), json!({}));
    for pod in &mut case.case.pods[..2] {
        pod.ready = false;
    }
    let parts = ["maxUnavailable 2, 2 in use", "by n00000, n00001"];
    case.check(State::RollingOut, 4, Kind::WaitsForBudget, &parts);
    // A node that was down before uses nothing, and nodes with a ready pod wait for their turn only.
    let mut case = RollingOut::new(6, 2).under("careful", json!({"maxUnavailable": 2}), json!({}));
    case.case.down(3, "Unknown");
    case.check(State::RollingOut, 4, Kind::WaitsForTurn, &["its wave is under way"]);
    case.check(State::RollingOut, 3, Kind::NodeDown, &[]);
}

#[test]
fn a_first_roll_out_in_waves_says_what_its_nodes_wait_for() {
    let spec = canary(json!({"firstRollout": "Waves"}));
    let entry = json!({"phase": "Progressing", "lastGoodRevision": null});
    let mut case = RollingOut::new(6, 6).under("careful", spec, entry);
    case.case.pods.truncate(1);
    case.case.pods[0].ready = false;
    case.check(State::RollingOut, 4, Kind::WaitsForWave, &["waits for wave 2 of 2 of policy careful"]);
}

#[test]
fn without_a_policy_for_it_nothing_is_said_of_policies() {
    let other = json!({"selector": {"matchLabels": {"team": "b"}}});
    let case = RollingOut::new(6, 1).under("other", other, json!({}));
    let (status, text) = case.status();
    assert!(status.daemonsets[0].policy.is_none() && !text.contains("policy"), "{text}");
}
