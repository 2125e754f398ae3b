//! Questions that need the fleet itself, and their answers in JSON: why, about a node, a plan.

use everynode_client::Client;
use everynode_engine::Time;
use everynode_inspect::LeanFleet;
use everynode_inspect::usage::Measure;
use everynode_inspect::why::WhyNode;
use everynode_plan::record::Node;
use everynode_plan::spread::Spread;
use everynode_plan::{Assumptions, Change, Manifest, Model, Options, Plan, Run};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::picture::{Picture, Places};
use crate::usage::Used;

/// A question, and where its answer goes.
#[derive(Debug)]
pub struct Ask {
    /// What is asked.
    pub question: Question,
    /// Of which moment; `None` is now.
    pub moment: Option<u64>,
    /// Who asks; nothing is done for who has gone.
    pub reply: oneshot::Sender<Result<Value, Sorry>>,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Why a DaemonSet is, or is not, on a node.
    Why {
        /// metadata.namespace.
        namespace: String,
        /// metadata.name.
        name: String,
        /// The node.
        node: String,
    },
    /// What there is to know of a node.
    Node(String),
    /// What applying a manifest would do.
    Plan(String),
    /// What daemons use against the same daemons on nodes like theirs.
    Peers(Measure),
    /// What has left its level.
    Outliers,
    /// What a DaemonSet used on its nodes before and after a roll-out.
    BeforeAfter {
        /// As `namespace/name`.
        daemonset: String,
        /// The value of controller-revision-hash of what is rolled out.
        revision: String,
        /// What is measured.
        measure: Measure,
    },
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sorry {
    /// There is no such thing.
    NotFound(String),
    /// What is asked about is not at hand.
    NotHere,
}

impl Sorry {
    /// A sentence.
    pub fn text(&self) -> String {
        match self {
            Sorry::NotFound(what) => format!("There is no {what}."),
            Sorry::NotHere => "Of this moment only the picture was kept.".to_owned(),
        }
    }
}

/// Answers by a fleet, by what its daemons use, and by its cluster's events where there is a client.
pub fn answer(ask: Ask, fleet: Option<(&mut LeanFleet, Option<&Client>)>, used: &Used, picture: &Picture) {
    if ask.reply.is_closed() {
        return;
    }
    let Some((fleet, client)) = fleet else {
        let _ = ask.reply.send(Err(Sorry::NotHere));
        return;
    };
    let now = Time(client.map_or(fleet.frame().taken_at_millis, |client| client.clock().unix_millis()));
    match ask.question {
        Question::Why { namespace, name, node } => {
            let why = why(fleet, now, &namespace, &name, &node);
            tell_why(why, client.cloned(), ask.reply);
        }
        Question::Node(name) => {
            let found = fleet.frame().nodes.iter().find(|node| *node.name == *name);
            let _ = ask.reply.send(found.map(about).ok_or_else(|| Sorry::NotFound(format!("node {name}"))));
        }
        Question::Plan(manifest) => drop(ask.reply.send(Ok(plan(fleet, now, &manifest, picture)))),
        Question::Peers(measure) => drop(ask.reply.send(Ok(used.peers(fleet, picture, measure)))),
        Question::Outliers => drop(ask.reply.send(Ok(used.outliers(fleet)))),
        Question::BeforeAfter { daemonset, revision, measure } => {
            drop(ask.reply.send(Ok(used.before_after(&daemonset, &revision, measure))));
        }
    }
}

fn why(fleet: &mut LeanFleet, now: Time, namespace: &str, name: &str, node: &str) -> Result<WhyNode, Sorry> {
    let uid = uid_of(fleet, namespace, name);
    let missing = || Sorry::NotFound(format!("DaemonSet {namespace}/{name}"));
    let uid = uid.ok_or_else(missing)?;
    let seen = fleet.look_at(&uid, now, true, |look| WhyNode::of(look, namespace, name, node));
    seen.ok_or_else(missing)?.map_err(|_| Sorry::NotFound(format!("node {node}")))
}

/// Reads what events tell more, beside everything else.
fn tell_why(
    why: Result<WhyNode, Sorry>,
    client: Option<Client>,
    reply: oneshot::Sender<Result<Value, Sorry>>,
) {
    let json = |why: WhyNode| serde_json::to_value(why).unwrap_or_default();
    match (why, client) {
        (Ok(mut why), Some(client)) => {
            tokio::spawn(async move {
                if let Some(subject) = why.subject() {
                    match subject.events(&client).await {
                        Ok(events) => why.take_events(events),
                        Err(error) => {
                            why.not_seen.push(format!("events could not be seen ({error}), so less is told"));
                        }
                    }
                }
                let _ = reply.send(Ok(json(why)));
            });
        }
        (why, _) => drop(reply.send(why.map(json))),
    }
}

fn uid_of(fleet: &LeanFleet, namespace: &str, name: &str) -> Option<String> {
    let is_it = |(_, value): &(&String, &Value)| {
        value["metadata"]["namespace"] == namespace && value["metadata"]["name"] == name
    };
    fleet.daemonsets().iter().find(is_it).map(|(uid, _)| uid.clone())
}

fn about(node: &Node) -> Value {
    json!({
        "name": node.name,
        "labels": node.labels,
        "system": node.system,
        "taints": node.taints,
        "unschedulable": node.unschedulable,
        "ready": node.ready,
        "readySinceSeconds": node.ready_since,
        "readyMessage": node.ready_message,
        "allocatable": node.allocatable,
    })
}

/// Plans what a manifest holds, as `everynode plan -o json` does, and says when each node's turn would come.
fn plan(fleet: &mut LeanFleet, now: Time, text: &str, picture: &Picture) -> Value {
    let manifest = Manifest::read("manifest", text, "default");
    let (mut errors, mut plans) = (manifest.problems.clone(), Vec::new());
    let places = Places::of(picture);
    for written in &manifest.daemonsets {
        let live =
            uid_of(fleet, &written.namespace, &written.name).and_then(|uid| fleet.daemonsets().get(&uid));
        let live = live.cloned();
        let planned = fleet.with_fleet(live, now, true, |fleet| {
            let mut fleet = std::borrow::Cow::Borrowed(fleet);
            if !manifest.policies.is_empty() || !manifest.surroundings.is_empty() {
                let own = fleet.to_mut();
                everynode_plan::policy::apply(&mut own.policies, &manifest.policies)?;
                own.surroundings.apply(&manifest.surroundings)?;
            }
            let change = Change::of(written, &fleet)?;
            let Some(plan) = Plan::make(&fleet, &change, &Options::default()) else { return Ok(Value::Null) };
            let mut told = serde_json::to_value(&plan).unwrap_or_default();
            told["text"] = plan.to_text().into();
            told["played"] = played(&fleet, &change, &plan, &places);
            Ok(told)
        });
        match planned {
            Ok(planned) => plans.push(planned),
            Err(refusals) => errors.extend::<Vec<String>>(refusals),
        }
    }
    json!({"errors": errors, "ignored": manifest.ignored, "plans": plans})
}

/// The run with typical times: where and when pods are replaced, and how long each takes to become ready.
fn played(fleet: &everynode_plan::Fleet, change: &Change, plan: &Plan, places: &Places) -> Value {
    let stop_millis = Options::default().stop.percentile(50);
    let assumptions = Assumptions {
        start: Spread::Fixed(plan.duration.start_p50_millis),
        stop: Spread::Fixed(stop_millis),
        failure_rate: 0.0,
        failing: Vec::new(),
        promote: false,
    };
    let Some(model) = Model::new(fleet, change, assumptions) else { return Value::Null };
    let run = Run::of(&model, Options::default().seed);
    let place = |index: u32| model.nodes.get(index as usize).and_then(|node| places.get(&node.name));
    let touches = run.tally.order.iter().filter_map(|touch| {
        let wave = touch.policy_wave.max(usize::try_from(touch.wave).unwrap_or(0));
        Some(json!([place(touch.node)?, touch.at_millis, wave]))
    });
    let left: Vec<usize> = run.left.iter().filter_map(|(index, _)| place(*index)).collect();
    json!({
        "touches": touches.collect::<Vec<_>>(),
        "left": left,
        "takesMillis": stop_millis + plan.duration.start_p50_millis,
        "endMillis": run.tally.last_progress_millis,
    })
}
