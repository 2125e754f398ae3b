//! Node eligibility (specification 1.B): pure predicates over labels, names and taints, without any state.

pub use everynode_model::{Effect, Operator, Requirement, Taint, Toleration};

/// One term of a required node affinity: all its requirements must hold ([B4](crate::spec#b4),
/// [B5](crate::spec#b5)).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeSelectorTerm {
    /// Conditions on labels.
    pub match_expressions: Vec<Requirement>,
    /// Conditions on fields; `metadata.name` is the only one that a node has.
    pub match_fields: Vec<Requirement>,
    /// Some requirement could not be read: the term matches nothing.
    pub unreadable: bool,
}

impl NodeSelectorTerm {
    /// Whether the term matches a node.
    pub fn matches<N: NodeView + ?Sized>(&self, node: &N) -> bool {
        !self.is_void() && self.checks(node).all(|check| check.holds)
    }

    /// The term matches no node at all: it is empty, or cannot be read.
    pub fn is_void(&self) -> bool {
        self.unreadable || self.match_expressions.is_empty() && self.match_fields.is_empty()
    }

    /// Each requirement of the term, and whether a node meets it.
    pub fn checks<'a, N: NodeView + ?Sized>(
        &'a self,
        node: &'a N,
    ) -> impl Iterator<Item = RequirementCheck<'a>> {
        let expressions = self.match_expressions.iter().map(|requirement| {
            let actual = node.label(&requirement.key);
            let holds = requirement.is_readable_expression() && requirement.holds(actual);
            RequirementCheck { requirement, actual, holds, is_field: false }
        });
        let fields = self.match_fields.iter().map(|requirement| {
            let actual = if requirement.key == "metadata.name" { node.name() } else { "" };
            let holds = requirement.is_readable_field() && requirement.holds(Some(actual));
            RequirementCheck { requirement, actual: Some(actual), holds, is_field: true }
        });
        expressions.chain(fields)
    }
}

/// A requirement of a node selector term against one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequirementCheck<'a> {
    /// The requirement.
    pub requirement: &'a Requirement,
    /// The value that the node has.
    pub actual: Option<&'a str>,
    /// The node meets it.
    pub holds: bool,
    /// It is about a field, not about a label.
    pub is_field: bool,
}

/// The first taint among those that keep pods away which no toleration covers.
pub fn untolerated<'a>(
    taints: impl IntoIterator<Item = Taint<'a>>,
    tolerations: &[Toleration],
) -> Option<Taint<'a>> {
    taints
        .into_iter()
        .filter(|taint| taint.effect.keeps_pods_away())
        .find(|taint| !tolerations.iter().any(|one| one.tolerates(taint)))
}

/// A node as the predicates see it.
pub trait NodeView {
    /// metadata.name.
    fn name(&self) -> &str;
    /// The value of a label.
    fn label(&self, key: &str) -> Option<&str>;
    /// The taints, in order.
    fn taints(&self) -> impl Iterator<Item = Taint<'_>>;
}

/// What a pod spec says about the nodes it can be on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// spec.nodeName, when set.
    pub node_name: Option<String>,
    /// spec.nodeSelector.
    pub node_selector: Vec<(String, String)>,
    /// The terms of the required node affinity, when there is one; an empty list matches nothing
    /// ([B4](crate::spec#b4)).
    pub required_terms: Option<Vec<NodeSelectorTerm>>,
    /// spec.tolerations, for a daemon pod with the default ones ([C1](crate::spec#c1)).
    pub tolerations: Vec<Toleration>,
}

/// Whether a node gets, and whether it keeps, a pod of a DaemonSet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Verdict {
    /// A pod is created when there is none.
    pub should_run: bool,
    /// A pod that is there stays.
    pub should_continue: bool,
}

impl Verdict {
    /// Gets and keeps a pod.
    pub const RUN: Verdict = Verdict { should_run: true, should_continue: true };
    /// Keeps a pod, gets none.
    pub const KEEP: Verdict = Verdict { should_run: false, should_continue: true };
    /// Neither gets nor keeps a pod.
    pub const AWAY: Verdict = Verdict { should_run: false, should_continue: false };

    /// What remains when two predicates have spoken.
    #[must_use]
    pub const fn and(self, other: Verdict) -> Verdict {
        Verdict {
            should_run: self.should_run && other.should_run,
            should_continue: self.should_continue && other.should_continue,
        }
    }
}

/// One predicate of placement against one node, with the values that it compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Predicate<'a> {
    /// spec.nodeName is set ([B2](crate::spec#b2)).
    NodeName {
        /// The node that it names.
        wanted: &'a str,
    },
    /// A pair of spec.nodeSelector ([B3](crate::spec#b3)).
    NodeSelector {
        /// The label's key.
        key: &'a str,
        /// The value that the selector wants.
        wanted: &'a str,
        /// The value that the node has.
        actual: Option<&'a str>,
    },
    /// The required node affinity: one of the terms must match ([B4](crate::spec#b4), [B5](crate::spec#b5)).
    NodeAffinity {
        /// The terms; [`NodeSelectorTerm::checks`] tells of each requirement.
        terms: &'a [NodeSelectorTerm],
    },
    /// A taint of the node that keeps pods away unless it is tolerated ([B6](crate::spec#b6) to
    /// [B8](crate::spec#b8)).
    Taint {
        /// The taint.
        taint: Taint<'a>,
        /// The first toleration that covers it.
        toleration: Option<&'a Toleration>,
    },
}

/// A predicate and what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check<'a> {
    /// The predicate.
    pub predicate: Predicate<'a>,
    /// What it leaves of the verdict: everything when it holds.
    pub allows: Verdict,
}

impl<'a> Check<'a> {
    fn new(predicate: Predicate<'a>, allows: Verdict) -> Check<'a> {
        Check { predicate, allows }
    }

    /// Nothing in it speaks against the node.
    pub fn holds(&self) -> bool {
        self.allows == Verdict::RUN
    }
}

/// The predicate that decided about a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Everything matches.
    Eligible,
    /// The template names another node ([B2](crate::spec#b2)).
    OtherNodeName {
        /// The node that it names.
        wanted: String,
    },
    /// A pair of nodeSelector does not match ([B3](crate::spec#b3)).
    NodeSelector {
        /// The label's key.
        key: String,
        /// The value that the selector wants.
        wanted: String,
        /// The value that the node has.
        actual: Option<String>,
    },
    /// No term of the required node affinity matches ([B4](crate::spec#b4), [B5](crate::spec#b5)).
    NodeAffinity,
    /// A NoSchedule or NoExecute taint is not tolerated ([B7](crate::spec#b7)).
    Taint {
        /// The taint's key.
        key: String,
        /// The taint's value.
        value: String,
        /// The taint's effect.
        effect: Effect,
    },
}

impl From<Predicate<'_>> for Reason {
    /// The reason that a predicate gives when it does not hold.
    fn from(predicate: Predicate<'_>) -> Reason {
        match predicate {
            Predicate::NodeName { wanted } => Reason::OtherNodeName { wanted: wanted.to_owned() },
            Predicate::NodeSelector { key, wanted, actual } => Reason::NodeSelector {
                key: key.to_owned(),
                wanted: wanted.to_owned(),
                actual: actual.map(str::to_owned),
            },
            Predicate::NodeAffinity { .. } => Reason::NodeAffinity,
            Predicate::Taint { taint, .. } => Reason::Taint {
                key: taint.key.to_owned(),
                value: taint.value.to_owned(),
                effect: taint.effect,
            },
        }
    }
}

impl Placement {
    /// Every predicate that is to be asked about a node, in the order of the specification. They all have to hold;
    /// [`Placement::verdict`] is their conjunction.
    pub fn checks<'a, N: NodeView + ?Sized>(&'a self, node: &'a N) -> impl Iterator<Item = Check<'a>> {
        self.label_checks(node).chain(self.taint_checks(node))
    }

    /// nodeName, nodeSelector and required affinity ([B2](crate::spec#b2) to [B5](crate::spec#b5)).
    fn label_checks<'a, N: NodeView + ?Sized>(&'a self, node: &'a N) -> impl Iterator<Item = Check<'a>> {
        let when = |holds: bool| if holds { Verdict::RUN } else { Verdict::AWAY };
        let name = self
            .node_name
            .iter()
            .map(move |wanted| Check::new(Predicate::NodeName { wanted }, when(wanted == node.name())));
        let selector = self.node_selector.iter().map(move |(key, wanted)| {
            let actual = node.label(key);
            Check::new(Predicate::NodeSelector { key, wanted, actual }, when(actual == Some(wanted)))
        });
        let affinity = self.required_terms.iter().map(move |terms| {
            let matches = terms.iter().any(|term| term.matches(node));
            Check::new(Predicate::NodeAffinity { terms }, when(matches))
        });
        name.chain(selector).chain(affinity)
    }

    /// Taints that keep pods away ([B6](crate::spec#b6) to [B8](crate::spec#b8)): those that also evict take
    /// running pods with them.
    fn taint_checks<'a, N: NodeView + ?Sized>(&'a self, node: &'a N) -> impl Iterator<Item = Check<'a>> {
        node.taints().filter(|taint| taint.effect.keeps_pods_away()).map(|taint| {
            let toleration = self.tolerations.iter().find(|one| one.tolerates(&taint));
            let allows = match (toleration, taint.effect) {
                (Some(_), _) => Verdict::RUN,
                (None, Effect::NoExecute) => Verdict::AWAY,
                (None, _) => Verdict::KEEP,
            };
            Check::new(Predicate::Taint { taint, toleration }, allows)
        })
    }

    /// shouldRun and shouldContinueRunning for a node ([B1](crate::spec#b1)-[B8](crate::spec#b8)).
    /// Conditions, cordons, resources and ports are not looked at ([B9](crate::spec#b9)).
    pub fn verdict<N: NodeView + ?Sized>(&self, node: &N) -> Verdict {
        let mut verdict = Verdict::RUN;
        for check in self.checks(node) {
            verdict = verdict.and(check.allows);
            if verdict == Verdict::AWAY {
                break;
            }
        }
        verdict
    }

    /// nodeName, nodeSelector and required affinity.
    pub fn matches_name_and_labels<N: NodeView + ?Sized>(&self, node: &N) -> bool {
        self.label_checks(node).all(|check| check.holds())
    }

    /// The predicate that decides about a node; [`Reason::Eligible`] when none speaks against it. A taint that evicts
    /// is the more telling one of two.
    pub fn reason<N: NodeView + ?Sized>(&self, node: &N) -> Reason {
        let mut decisive: Option<Check<'_>> = None;
        for check in self.checks(node).filter(|check| !check.holds()) {
            if check.allows == Verdict::AWAY {
                decisive = Some(check);
                break;
            }
            decisive = decisive.or(Some(check));
        }
        decisive.map_or(Reason::Eligible, |check| Reason::from(check.predicate))
    }

    /// The verdict depends on the node's name, so that nodes of equal labels and taints can differ.
    pub fn reads_name(&self) -> bool {
        self.node_name.is_some()
            || self.required_terms.iter().flatten().any(|term| !term.match_fields.is_empty())
    }

    /// The label keys that the verdict depends on.
    pub fn label_keys(&self) -> impl Iterator<Item = &str> {
        let expressions = self.required_terms.iter().flatten().flat_map(|term| &term.match_expressions);
        self.node_selector.iter().map(|(key, _)| key.as_str()).chain(expressions.map(|one| one.key.as_str()))
    }

    /// The keys of taints whose value the verdict depends on; an empty text means every key.
    pub fn taint_value_keys(&self) -> impl Iterator<Item = &str> {
        self.tolerations.iter().filter(|one| !one.exists).map(|one| one.key.as_str())
    }
}
