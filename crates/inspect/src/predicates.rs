//! The predicates of placement in words: what each compares, and what would change its answer.

use everynode_engine::Template;
use everynode_engine::placement::{
    Check, Effect, NodeSelectorTerm, NodeView, Operator, Predicate, Requirement, RequirementCheck, Taint,
    Toleration, Verdict,
};
use everynode_model::{CORDONED_TAINT, NOT_READY_TAINTS};
use everynode_plan::record::Node;
use serde::Serialize;

use crate::reason::{Kind, Reason};

/// A node as placement sees it.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a>(pub &'a Node);

impl NodeView for Seen<'_> {
    fn name(&self) -> &str {
        &self.0.name
    }

    fn label(&self, key: &str) -> Option<&str> {
        self.0.labels.get(key)
    }

    fn taints(&self) -> impl Iterator<Item = Taint<'_>> {
        self.0.taints.iter().map(|one| one.taint())
    }
}

/// One predicate against one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// Which.
    pub kind: Kind,
    /// It does not speak against the node.
    pub holds: bool,
    /// What it compares, with the values.
    pub text: String,
    /// Details: the requirements of affinity terms.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
    /// What would make it hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub would_change: Vec<String>,
}

/// All predicates against a node, in the order in which they are asked.
pub fn told(template: &Template, node: &Node) -> Vec<Told> {
    let seen = Seen(node);
    template.placement().checks(&seen).map(|check| tell(&check, template, &seen)).collect()
}

/// The predicate that keeps pods of the template away from a node, as a cause; `None` when none does.
pub fn decisive(template: &Template, node: &Node) -> Option<Reason> {
    let seen = Seen(node);
    let mut failed: Vec<Check<'_>> =
        template.placement().checks(&seen).filter(|check| !check.holds()).collect();
    // A taint that evicts is the more telling one.
    failed.sort_by_key(|check| check.allows != Verdict::AWAY);
    let first = failed.first()?;
    let told = tell(first, template, &seen);
    let others: Vec<String> = failed[1..].iter().map(|check| tell(check, template, &seen).text).collect();
    let detail = if others.is_empty() { String::new() } else { format!("and {}", others.join("; ")) };
    Some(Reason {
        would_change: told.would_change,
        general: general_text(&first.predicate, &seen),
        ..Reason::new(told.kind, told.text).detail(detail)
    })
}

/// What a predicate compares, without what the node has; `None` where the text is that already.
fn general_text(predicate: &Predicate<'_>, node: &Seen<'_>) -> Option<String> {
    match *predicate {
        Predicate::NodeSelector { key, wanted, .. } => {
            Some(format!("nodeSelector wants {key}={wanted}, the nodes have other values"))
        }
        Predicate::NodeAffinity { terms } => {
            let failed = closest_term(terms, node)?.checks(node).filter(|check| !check.holds);
            let failed = failed.map(|check| requirement_text(check.requirement)).collect();
            Some(mismatch_text(terms.len(), failed))
        }
        Predicate::NodeName { .. } | Predicate::Taint { .. } => None,
    }
}

fn tell(check: &Check<'_>, template: &Template, node: &Seen<'_>) -> Told {
    let holds = check.holds();
    let (kind, text) = match check.predicate {
        Predicate::NodeName { wanted } => (Kind::NodeName, format!("nodeName is {wanted}")),
        Predicate::NodeSelector { key, wanted, actual } => {
            (Kind::NodeSelector, format!("nodeSelector wants {key}={wanted}, {}", has(key, actual)))
        }
        Predicate::NodeAffinity { terms } => (Kind::NodeAffinity, affinity_text(terms, node, holds)),
        Predicate::Taint { taint, toleration } => (Kind::Taint, taint_text(&taint, toleration, template)),
    };
    let details = match check.predicate {
        Predicate::NodeAffinity { terms } => term_lines(terms, node),
        _ => Vec::new(),
    };
    let would_change = if holds { Vec::new() } else { would_change(&check.predicate, node) };
    Told { kind, holds, text, details, would_change }
}

fn has(key: &str, actual: Option<&str>) -> String {
    match actual {
        Some(value) => format!("the node has {key}={value}"),
        None => "the node has no such label".to_owned(),
    }
}

fn taint_text(taint: &Taint<'_>, toleration: Option<&Toleration>, template: &Template) -> String {
    let name = taint_name(taint);
    let Some(toleration) = toleration else {
        let then = match taint.effect {
            Effect::NoExecute => "no pod is made, one that is there goes",
            _ => "no pod is made, one that is there stays",
        };
        return format!("taint {name} is not tolerated ({then})");
    };
    let own = everynode_engine::pod_placement(&template.value()["spec"]).tolerations;
    let whose = if own.contains(toleration) { "by the template" } else { "as every daemon pod does" };
    format!("taint {name} is tolerated {whose}: {}", toleration_text(toleration))
}

/// `key=value:Effect`, as `kubectl taint` writes it.
fn taint_name(taint: &Taint<'_>) -> String {
    match taint.value {
        "" => format!("{}:{}", taint.key, taint.effect.as_str()),
        value => format!("{}={value}:{}", taint.key, taint.effect.as_str()),
    }
}

fn toleration_text(toleration: &Toleration) -> String {
    let effect = toleration.effect.map_or("every effect", Effect::as_str);
    match (toleration.key.as_str(), toleration.exists) {
        ("", _) => format!("every taint, {effect}"),
        (key, true) => format!("{key} exists, {effect}"),
        (key, false) => format!("{key}={}, {effect}", toleration.value),
    }
}

fn affinity_text(terms: &[NodeSelectorTerm], node: &Seen<'_>, holds: bool) -> String {
    if holds {
        return "required node affinity matches".to_owned();
    }
    match (terms.len(), closest(terms, node)) {
        (0, _) => "required node affinity has no term, so it matches nothing".to_owned(),
        (number, Some(failed)) => mismatch_text(number, failed),
        (_, None) => "no term of the required node affinity can be met".to_owned(),
    }
}

/// What fails of the nearest of so many terms.
fn mismatch_text(terms: usize, failed: Vec<String>) -> String {
    let failed = failed.join(", ");
    match terms {
        1 => format!("required node affinity does not match: {failed}"),
        number => {
            format!("none of {number} terms of the required node affinity matches; the nearest: {failed}")
        }
    }
}

/// What fails of the term that is nearest to matching.
fn closest(terms: &[NodeSelectorTerm], node: &Seen<'_>) -> Option<Vec<String>> {
    let term = closest_term(terms, node)?;
    Some(term.checks(node).filter(|check| !check.holds).map(|check| check_text(&check)).collect())
}

fn closest_term<'a>(terms: &'a [NodeSelectorTerm], node: &Seen<'_>) -> Option<&'a NodeSelectorTerm> {
    let usable = terms.iter().filter(|term| !term.is_void());
    usable.min_by_key(|term| term.checks(node).filter(|check| !check.holds).count())
}

fn term_lines(terms: &[NodeSelectorTerm], node: &Seen<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    for (index, term) in terms.iter().enumerate() {
        let head = if terms.len() > 1 { format!("term {}: ", index + 1) } else { String::new() };
        if term.is_void() {
            lines.push(format!("no   {head}empty or unreadable, so it matches nothing"));
        }
        for check in term.checks(node) {
            let mark = if check.holds { "yes" } else { "no " };
            lines.push(format!("{mark}  {head}{}", check_text(&check)));
        }
    }
    lines
}

fn check_text(check: &RequirementCheck<'_>) -> String {
    let actual = match (check.is_field, check.actual) {
        (true, Some(value)) => format!("it is {value}"),
        (_, value) => has(&check.requirement.key, value),
    };
    format!("{} ({actual})", requirement_text(check.requirement))
}

fn requirement_text(requirement: &Requirement) -> String {
    let Requirement { key, operator, values } = requirement;
    let list = values.join(", ");
    match operator {
        Operator::Equals => format!("{key} = {list}"),
        Operator::NotEquals => format!("{key} != {list}"),
        Operator::In => format!("{key} in ({list})"),
        Operator::NotIn => format!("{key} not in ({list})"),
        Operator::Exists => format!("{key} exists"),
        Operator::DoesNotExist => format!("{key} does not exist"),
        Operator::Gt => format!("{key} > {list}"),
        Operator::Lt => format!("{key} < {list}"),
    }
}

fn would_change(predicate: &Predicate<'_>, node: &Seen<'_>) -> Vec<String> {
    let name = node.name();
    match *predicate {
        Predicate::NodeName { .. } => vec!["the template without nodeName".to_owned()],
        Predicate::NodeSelector { key, wanted, actual } => vec![
            label_command(name, key, wanted, actual),
            format!("the template without {key} in nodeSelector"),
        ],
        Predicate::NodeAffinity { terms } => {
            // All of a term has to hold, so its labels are one way together.
            let labels = closest_term(terms, node).and_then(|term| {
                let failed = term.checks(node).filter(|check| !check.holds);
                failed.map(|check| requirement_change(name, &check)).collect::<Option<Vec<String>>>()
            });
            let labels = labels.filter(|labels| !labels.is_empty()).map(|labels| labels.join(", and "));
            labels.into_iter().chain(["another required node affinity in the template".to_owned()]).collect()
        }
        Predicate::Taint { taint, .. } => taint_changes(name, &taint),
    }
}

fn label_command(node: &str, key: &str, value: &str, actual: Option<&str>) -> String {
    let overwrite = if actual.is_some() { " --overwrite" } else { "" };
    format!("kubectl label node {node} {key}={value}{overwrite}")
}

/// What makes a requirement hold, where a label can.
fn requirement_change(node: &str, check: &RequirementCheck<'_>) -> Option<String> {
    let Requirement { key, operator, values } = check.requirement;
    if check.is_field {
        return None;
    }
    match operator {
        Operator::Equals | Operator::In => {
            values.first().map(|value| label_command(node, key, value, check.actual))
        }
        Operator::Exists => Some(format!("kubectl label node {node} {key}=")),
        Operator::NotEquals | Operator::NotIn | Operator::DoesNotExist => {
            Some(format!("kubectl label node {node} {key}-"))
        }
        Operator::Gt | Operator::Lt => {
            Some(format!("a label of the node: {}", requirement_text(check.requirement)))
        }
    }
}

fn taint_changes(node: &str, taint: &Taint<'_>) -> Vec<String> {
    let effect = taint.effect.as_str();
    let value = match taint.value {
        "" => "operator: Exists".to_owned(),
        value => format!("value: {}", serde_json::Value::from(value)),
    };
    let toleration =
        format!("a toleration in the template: {{key: {}, {value}, effect: {effect}}}", taint.key);
    let removal = match taint.key {
        key if NOT_READY_TAINTS.contains(&key) => "the node is Ready again, and the taint goes".to_owned(),
        CORDONED_TAINT => format!("kubectl uncordon {node}"),
        key if key.starts_with("node.kubernetes.io/") => "the node gets well, and the taint goes".to_owned(),
        _ => format!("kubectl taint node {node} {}-", taint_name(taint)),
    };
    vec![removal, toleration]
}
