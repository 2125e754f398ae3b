//! `why`: for one DaemonSet, or one DaemonSet on one node, what decided.

mod text;

use everynode_engine::PodState;
use serde::Serialize;

use crate::events::{EventLine, Subject};
use crate::look::{Answer, Look, Set};
use crate::near::near;
use crate::outlook::Outlook;
use crate::policy::PolicyState;
use crate::predicates::{Told, told};
use crate::reason::{Class, Reason};
use crate::status::{Filter, Group, Row, Status, not_seen};

/// Nothing of that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotFound {
    /// The kind of what was asked for.
    pub kind: NotFoundKind,
    /// Its name, such as `default/agnet`.
    pub name: String,
    /// What somebody may have meant.
    pub near: Vec<String>,
}

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotFoundKind {
    /// A DaemonSet.
    DaemonSet,
    /// A Node.
    Node,
}

/// A DaemonSet, its nodes grouped by cause.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WhySet {
    /// The DaemonSet.
    #[serde(flatten)]
    pub row: Row,
    /// When the fleet was read, in Unix seconds.
    pub taken_at_seconds: i64,
    /// How many nodes there are.
    pub nodes: usize,
    /// What was said last about the DaemonSet, where pods are missing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<EventLine>,
    /// What could not be read, and what that may change.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_seen: Vec<String>,
}

/// A DaemonSet on a node.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WhyNode {
    /// metadata.namespace of the DaemonSet.
    pub namespace: String,
    /// metadata.name of the DaemonSet.
    pub name: String,
    /// The node.
    pub node: String,
    /// When the fleet was read, in Unix seconds.
    pub taken_at_seconds: i64,
    /// How the node stands.
    pub class: Class,
    /// Why.
    pub reason: Reason,
    /// A pod is made when there is none.
    pub should_run: bool,
    /// A pod that is there stays.
    pub may_stay: bool,
    /// Every predicate of placement; all have to hold.
    pub predicates: Vec<Told>,
    /// The node, as far as it matters here.
    pub about_node: Vec<String>,
    /// The pods of the DaemonSet here.
    pub pods: Vec<WhyPod>,
    /// What was said last about the pod, or where there is none, about the DaemonSet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<EventLine>,
    /// What a roll-out may spend.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roll_out: Option<RollOut>,
    /// The policy that conducts the roll-out, while it is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyState>,
    /// What could not be read, and what that may change.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_seen: Vec<String>,
    /// The node was read.
    #[serde(skip)]
    node_seen: bool,
    /// metadata.uid of the DaemonSet.
    #[serde(skip)]
    uid: String,
}

/// A pod.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WhyPod {
    /// metadata.name.
    pub name: String,
    /// It is of the current template.
    pub is_current: bool,
    /// It counts as current by its label pod-template-generation only, and is of another template.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_of_another_template: bool,
    /// It is available, and not asked to go.
    pub is_available: bool,
    /// Why it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// How long a failed pod is kept, in Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_until_seconds: Option<i64>,
    /// metadata.uid.
    #[serde(skip)]
    uid: String,
}

/// The budget, seen from a node.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RollOut {
    /// Such as `maxUnavailable 14 (5%)`.
    pub budget: String,
    /// In nodes.
    pub allowed: i32,
    /// How many nodes use it.
    pub used: i32,
    /// This node is one of them.
    pub is_user: bool,
    /// All of them, by cause.
    pub used_by: Vec<Group>,
}

impl WhySet {
    /// Looks at a DaemonSet.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn of(look: &Look<'_>, namespace: &str, name: &str) -> Result<WhySet, NotFound> {
        let set = look.set(namespace, name).ok_or_else(|| no_daemonset(look, namespace, name))?;
        let filter = Filter { namespace: Some(namespace.to_owned()), names: vec![name.to_owned()] };
        let status = Status::of(look, &filter);
        let Some(row) = status.daemonsets.into_iter().next() else {
            return Err(no_daemonset(look, namespace, name));
        };
        Ok(WhySet {
            row,
            taken_at_seconds: status.taken_at_seconds,
            nodes: set.node_names().len(),
            events: Vec::new(),
            not_seen: status.not_seen,
        })
    }

    /// Takes what events tell of [`Row::subject`].
    pub fn take_events(&mut self, events: Vec<EventLine>) {
        self.row.take_events(&events);
        self.events = events;
    }
}

impl WhyNode {
    /// Looks at a DaemonSet on a node.
    ///
    /// # Errors
    /// There is no such DaemonSet, or no such node.
    pub fn of(look: &Look<'_>, namespace: &str, name: &str, node: &str) -> Result<WhyNode, NotFound> {
        let set = look.set(namespace, name).ok_or_else(|| no_daemonset(look, namespace, name))?;
        let Outlook { answers, .. } = Outlook::of_causes(look, &set);
        let Some(answer) = answers.iter().find(|answer| *answer.node == *node) else {
            let near = near(node, set.node_names().into_iter().map(|name| &**name));
            return Err(NotFound { kind: NotFoundKind::Node, name: node.to_owned(), near });
        };
        let known = look.node(node);
        let (should_run, may_stay) = match answer.class {
            Class::Misscheduled | Class::NotEligible => {
                let verdict =
                    known.map(|known| set.fact.template.placement().verdict(&crate::predicates::Seen(known)));
                (false, verdict.is_some_and(|verdict| verdict.should_continue))
            }
            _ => (true, true),
        };
        Ok(WhyNode {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            node: node.to_owned(),
            taken_at_seconds: look.fleet.taken_at_millis.div_euclid(1000),
            class: answer.class,
            reason: answer.reason.clone(),
            should_run,
            may_stay,
            predicates: known.map(|known| told(&set.fact.template, known)).unwrap_or_default(),
            about_node: about_node(look, node),
            pods: answer.pods.iter().map(|(state, reason)| pod(&set, state, reason.as_deref())).collect(),
            events: Vec::new(),
            node_seen: known.is_some(),
            uid: set.fact.uid.to_string(),
            roll_out: roll_out(&set, &answers, answer),
            policy: set
                .under_way()
                .filter(|_| !matches!(answer.class, Class::Available | Class::NotEligible))
                .and_then(|_| set.policy_state()),
            not_seen: not_seen(look.fleet, true),
        })
    }
}

impl WhyNode {
    /// Takes what events tell of [`WhyNode::subject`].
    pub fn take_events(&mut self, events: Vec<EventLine>) {
        self.reason.name_refusal(&events);
        self.events = events;
    }

    /// What events could tell more about; `None` where everything is said.
    pub fn subject(&self) -> Option<Subject> {
        let of = |uid: &str, warnings_only: bool| {
            Some(Subject { namespace: self.namespace.clone(), uid: uid.to_owned(), warnings_only })
        };
        match self.class {
            Class::Missing => of(&self.uid, true),
            Class::NotAvailable | Class::Old | Class::Misscheduled => {
                let lacking = self.pods.iter().filter(|pod| pod.reason.is_some());
                of(&lacking.max_by_key(|pod| pod.is_current)?.uid, false)
            }
            Class::Available | Class::NotEligible => None,
        }
    }
}

fn pod(set: &Set<'_>, state: &PodState, reason: Option<&Reason>) -> WhyPod {
    WhyPod {
        name: state.name.clone(),
        is_current: state.updated,
        is_of_another_template: set.is_of_other_template(state),
        is_available: state.available && !state.terminating,
        reason: reason.cloned(),
        kept_until_seconds: state.backoff_until.map(|until| until.seconds()),
        uid: state.uid.to_string(),
    }
}

fn about_node(look: &Look<'_>, node: &str) -> Vec<String> {
    let Some(node) = look.node(node) else {
        return match look.nodes_seen() {
            true => vec!["there is no Node object of this name; a pod names it".to_owned()],
            false => vec!["nodes could not be seen".to_owned()],
        };
    };
    let mut about = Vec::new();
    let now = look.now.seconds();
    let since = node.ready_since.map(|since| format!(" for {}", text::age(now, since))).unwrap_or_default();
    about.push(match &*node.ready {
        "True" => format!("Ready{since}"),
        "Unknown" => format!("down{since}: the kubelet does not answer"),
        _ => format!("not Ready{since}"),
    });
    if !node.ready_message.is_empty() {
        about.push(node.ready_message.clone());
    }
    if node.unschedulable {
        about.push("cordoned: that keeps no daemon away".to_owned());
    }
    about
}

fn roll_out(set: &Set<'_>, answers: &[Answer], answer: &Answer) -> Option<RollOut> {
    let concerns = answer.class == Class::Old || answer.uses_budget;
    let spent = crate::status::spent(set, answers).filter(|_| concerns)?;
    Some(RollOut {
        budget: spent.text,
        allowed: spent.allowed,
        used: spent.used,
        is_user: answer.uses_budget,
        used_by: spent.used_by,
    })
}

fn no_daemonset(look: &Look<'_>, namespace: &str, name: &str) -> NotFound {
    let text =
        |value: &serde_json::Value, key: &str| value["metadata"][key].as_str().unwrap_or_default().to_owned();
    let all: Vec<(String, String)> =
        look.fleet.daemonsets.iter().map(|one| (text(one, "namespace"), text(one, "name"))).collect();
    let elsewhere = all.iter().filter(|(_, other)| other == name);
    let mut found: Vec<String> = elsewhere.map(|(ns, other)| format!("{ns}/{other}")).collect();
    let here = all.iter().filter(|(ns, _)| ns == namespace).map(|(_, other)| other.as_str());
    found.extend(near(name, here).into_iter().map(|other| format!("{namespace}/{other}")));
    if found.is_empty() {
        let near = near(name, all.iter().map(|(_, other)| other.as_str()));
        let named = all.iter().filter(|(_, other)| near.contains(other));
        found.extend(named.map(|(ns, other)| format!("{ns}/{other}")));
    }
    found.truncate(5);
    NotFound { kind: NotFoundKind::DaemonSet, name: format!("{namespace}/{name}"), near: found }
}
