//! The predicates that placement tells of are those that it decides by.

// A test may panic anywhere, its helpers too.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::print_stdout)]

use everynode_engine::placement::{
    Effect, NodeSelectorTerm, NodeView, Operator, Placement, Predicate, Reason, Requirement, Taint,
    Toleration, Verdict,
};
use fastrand::Rng;

#[derive(Clone, Debug)]
struct TestNode {
    name: String,
    labels: Vec<(String, String)>,
    taints: Vec<(String, String, Effect)>,
}

impl NodeView for TestNode {
    fn name(&self) -> &str {
        &self.name
    }

    fn label(&self, key: &str) -> Option<&str> {
        self.labels.iter().find(|(one, _)| one == key).map(|(_, value)| value.as_str())
    }

    fn taints(&self) -> impl Iterator<Item = Taint<'_>> {
        self.taints.iter().map(|(key, value, effect)| Taint { key, value, effect: *effect })
    }
}

/// The verdict written down once more, without predicates.
fn verdict(placement: &Placement, node: &TestNode) -> Verdict {
    let requirement = |one: &Requirement| match one.operator {
        Operator::In | Operator::NotIn if one.values.is_empty() => false,
        Operator::Exists | Operator::DoesNotExist if !one.values.is_empty() => false,
        Operator::Gt | Operator::Lt if one.values.len() != 1 || one.values[0].parse::<i64>().is_err() => {
            false
        }
        _ => one.holds(node.label(&one.key)),
    };
    let field = |one: &Requirement| {
        let is_readable = matches!(one.operator, Operator::In | Operator::NotIn) && one.values.len() == 1;
        is_readable && one.holds(Some(if one.key == "metadata.name" { &node.name } else { "" }))
    };
    let term = |term: &NodeSelectorTerm| {
        !term.unreadable
            && (!term.match_expressions.is_empty() || !term.match_fields.is_empty())
            && term.match_expressions.iter().all(requirement)
            && term.match_fields.iter().all(field)
    };
    let matches = placement.node_name.as_ref().is_none_or(|name| *name == node.name)
        && placement.node_selector.iter().all(|(key, value)| node.label(key) == Some(value))
        && placement.required_terms.as_ref().is_none_or(|terms| terms.iter().any(term));
    let is_tolerated = |taint: &Taint<'_>| placement.tolerations.iter().any(|one| one.tolerates(taint));
    let lacks = |effect: Effect| node.taints().any(|taint| taint.effect == effect && !is_tolerated(&taint));
    match (matches, lacks(Effect::NoExecute), lacks(Effect::NoSchedule)) {
        (false, ..) | (_, true, _) => Verdict::AWAY,
        (.., true) => Verdict::KEEP,
        _ => Verdict::RUN,
    }
}

fn some<T>(random: &mut Rng, most: usize, mut make: impl FnMut(&mut Rng) -> T) -> Vec<T> {
    (0..random.usize(..=most)).map(|_| make(random)).collect()
}

fn word(random: &mut Rng) -> String {
    random.choice(["", "a", "b", "1", "7"]).expect("one of five").to_owned()
}

fn effect(random: &mut Rng) -> Effect {
    let effects = [Effect::NoSchedule, Effect::PreferNoSchedule, Effect::NoExecute, Effect::Unknown];
    random.choice(effects).expect("one of four")
}

fn requirement(random: &mut Rng, key: String) -> Requirement {
    let operator = random.choice(["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]).expect("one of six");
    Requirement {
        key,
        operator: Operator::parse(operator).expect("an operator"),
        values: some(random, 2, word),
    }
}

fn term(random: &mut Rng) -> NodeSelectorTerm {
    let label = |random: &mut Rng| {
        let key = word(random);
        requirement(random, key)
    };
    let field = |random: &mut Rng| {
        let key = if random.bool() { "metadata.name" } else { "x" };
        requirement(random, key.to_owned())
    };
    NodeSelectorTerm {
        match_expressions: some(random, 2, label),
        match_fields: some(random, 1, field),
        unreadable: random.u8(..10) == 0,
    }
}

fn toleration(random: &mut Rng) -> Toleration {
    Toleration {
        key: word(random),
        exists: random.bool(),
        unreadable: random.u8(..10) == 0,
        value: word(random),
        effect: random.bool().then(|| effect(random)),
    }
}

fn placement(random: &mut Rng) -> Placement {
    Placement {
        node_name: (random.u8(..5) == 0).then(|| word(random)),
        node_selector: some(random, 1, |random| (word(random), word(random))),
        required_terms: random.bool().then(|| some(random, 2, term)),
        tolerations: some(random, 2, toleration),
    }
}

fn node(random: &mut Rng) -> TestNode {
    TestNode {
        name: word(random),
        labels: some(random, 3, |random| (word(random), word(random))),
        taints: some(random, 2, |random| (word(random), word(random), effect(random))),
    }
}

/// Calls `check` with a few thousand placements and nodes.
fn for_many(check: impl Fn(&Placement, &TestNode)) {
    for seed in 0..8_192 {
        let random = &mut Rng::with_seed(seed);
        let (placement, node) = (placement(random), node(random));
        println!("seed {seed}: {placement:?} and {node:?}");
        check(&placement, &node);
    }
}

#[test]
fn the_verdict_is_the_conjunction_of_the_predicates() {
    let seen = std::cell::Cell::new([0; 3]);
    for_many(|placement, node| {
        let told = placement.checks(node).fold(Verdict::RUN, |verdict, check| verdict.and(check.allows));
        assert_eq!(told, placement.verdict(node));
        assert_eq!(told, verdict(placement, node));
        let reason = placement.reason(node);
        assert_eq!(reason == Reason::Eligible, told == Verdict::RUN);
        let failed = placement.checks(node).filter(|check| !check.holds());
        let reasons: Vec<Reason> = failed.map(|check| Reason::from(check.predicate)).collect();
        assert!(reason == Reason::Eligible || reasons.contains(&reason));
        let mut counts = seen.get();
        counts[usize::from(told.should_run) + usize::from(told.should_continue)] += 1;
        seen.set(counts);
    });
    assert!(seen.get().iter().all(|count| *count > 100), "every verdict occurs: {:?}", seen.get());
}

#[test]
fn a_term_matches_when_all_that_is_told_of_it_holds() {
    for_many(|placement, node| {
        for check in placement.checks(node) {
            let Predicate::NodeAffinity { terms } = check.predicate else { continue };
            let one = |term: &NodeSelectorTerm| !term.is_void() && term.checks(node).all(|one| one.holds);
            assert_eq!(check.holds(), terms.iter().any(one));
        }
    });
}
