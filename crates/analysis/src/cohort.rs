//! Where it happened: values of labels that marked nodes have more often than chance would give them.
//!
//! If the marked nodes were any nodes, how many of them have a value would be hypergeometric. The chance of as many or
//! more is multiplied by the number of sets of nodes that were looked at (Bonferroni). Which these are does not depend on
//! which nodes are marked: every set of two nodes or more, but not all, that have a value. Values of the same nodes are
//! one set. After the clearest set its nodes are left out and the rest is looked at again, so that what only goes along
//! with it is not named too.

use std::collections::HashMap;
use std::fmt;

/// A value is named when chance alone would show as much in fewer cases than this.
const CHANCE: f64 = 0.05;
/// Sets that are named, at most.
const MOST_COHORTS: usize = 3;
/// Other labels of the same nodes that are named, at most.
const MOST_ALIKE: usize = 3;
/// Rarer than one in so many is said as this.
const RAREST: f64 = 1e9;

/// A node with its labels.
#[derive(Clone, Debug)]
pub struct Labelled<'a> {
    /// It happened there.
    pub is_marked: bool,
    /// Names of labels and their values.
    pub labels: Vec<(&'a str, &'a str)>,
}

/// Nodes that have something in common, of which more are marked than chance would mark.
#[derive(Clone, Debug, PartialEq)]
pub struct Cohort {
    /// The label and its value.
    pub label: (String, String),
    /// Others that the same nodes have, by name.
    pub alike: Vec<(String, String)>,
    /// Marked nodes among them.
    pub marked_inside: usize,
    /// How many they are.
    pub inside: usize,
    /// Marked nodes among all that were looked at.
    pub marked: usize,
    /// All that were looked at.
    pub nodes: usize,
    /// The chance to see as much in any of the sets that were looked at, if the marked nodes were any nodes.
    pub chance: f64,
}

impl Cohort {
    /// How many times more often marked nodes have the value than all nodes.
    pub fn lift(&self) -> f64 {
        (self.marked_inside as f64 / self.marked as f64) / (self.inside as f64 / self.nodes as f64)
    }

    /// Chance alone would show as much in one of so many cases.
    pub fn one_in(&self) -> u64 {
        (1.0 / self.chance).min(RAREST) as u64
    }

    /// Of a hundred nodes so many have the value.
    fn percent_of_nodes(&self) -> f64 {
        self.inside as f64 / self.nodes as f64 * 100.0
    }
}

impl fmt::Display for Cohort {
    /// `14 of 20 have kernelVersion=5.10.0, as have 3 % of the 400 nodes: 23 times as many; by chance 1 in 1000000`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, value) = &self.label;
        write!(f, "{} of {} have {name}={value}", self.marked_inside, self.marked)?;
        for (name, value) in self.alike.iter().take(MOST_ALIKE) {
            write!(f, " and {name}={value}")?;
        }
        let percent = self.percent_of_nodes();
        let decimals = usize::from(percent < 10.0);
        write!(f, ", as have {percent:.decimals$} % of the {} nodes: ", self.nodes)?;
        let lift = self.lift();
        let decimals = usize::from(lift < 10.0);
        write!(f, "{lift:.decimals$} times as many; by chance 1 in {}", self.one_in())
    }
}

/// The values that marked nodes have more often than chance would give them, the clearest first.
pub fn cohorts(nodes: &[Labelled<'_>]) -> Vec<Cohort> {
    let mut left: Vec<&Labelled<'_>> = nodes.iter().collect();
    let mut found = Vec::new();
    while found.len() < MOST_COHORTS
        && let Some((cohort, set)) = clearest(&left)
    {
        let mut place = 0;
        left.retain(|_| {
            place += 1;
            set.members.binary_search(&(place - 1)).is_err()
        });
        found.push(cohort);
    }
    found
}

/// Nodes with a value.
#[derive(Default)]
struct Set<'a> {
    /// Their places in the list that is looked at, in order.
    members: Vec<usize>,
    marked: usize,
    /// The labels that these nodes have, and no others.
    labels: Vec<(&'a str, &'a str)>,
}

/// The sets that are looked at.
fn sets<'a>(nodes: &[&Labelled<'a>]) -> Vec<Set<'a>> {
    let mut by_value: HashMap<(&str, &str), Set<'_>> = HashMap::new();
    for (place, node) in nodes.iter().enumerate() {
        for label in &node.labels {
            let set = by_value.entry(*label).or_default();
            set.members.push(place);
            set.marked += usize::from(node.is_marked);
        }
    }
    let mut by_members: HashMap<Vec<usize>, Set<'_>> = HashMap::new();
    for (label, set) in by_value {
        if (2..nodes.len()).contains(&set.members.len()) {
            by_members.entry(set.members.clone()).or_insert(set).labels.push(label);
        }
    }
    let mut sets: Vec<Set<'_>> = by_members.into_values().collect();
    sets.iter_mut().for_each(|set| set.labels.sort_unstable());
    sets
}

fn clearest<'a>(nodes: &[&Labelled<'a>]) -> Option<(Cohort, Set<'a>)> {
    let marked = nodes.iter().filter(|node| node.is_marked).count();
    if marked < 2 {
        return None;
    }
    let (sets, table) = (sets(nodes), Factorials::up_to(nodes.len()));
    let tests = sets.len() as f64;
    let candidates = sets.into_iter().filter(|set| set.marked >= 2).map(|set| {
        let one = table.at_least(set.marked, set.members.len(), marked, nodes.len());
        ((one * tests).min(1.0), set)
    });
    // Of equal ones the greater set, then the first by name: the same is said each time.
    let best = candidates.filter(|(chance, _)| *chance < CHANCE).min_by(|(chance, set), (other, than)| {
        let by_size = than.members.len().cmp(&set.members.len());
        chance.total_cmp(other).then(by_size).then_with(|| set.labels.cmp(&than.labels))
    });
    let (chance, set) = best?;
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let mut labels = set.labels.iter().map(owned);
    let cohort = Cohort {
        label: labels.next()?,
        alike: labels.collect(),
        marked_inside: set.marked,
        inside: set.members.len(),
        marked,
        nodes: nodes.len(),
        chance,
    };
    Some((cohort, set))
}

/// The logarithms of factorials.
struct Factorials(Vec<f64>);

impl Factorials {
    fn up_to(number: usize) -> Factorials {
        let mut logs = vec![0.0; number + 1];
        for at in 1..=number {
            logs[at] = logs[at - 1] + (at as f64).ln();
        }
        Factorials(logs)
    }

    fn choose(&self, all: usize, some: usize) -> f64 {
        self.0[all] - self.0[some] - self.0[all - some]
    }

    /// The chance that of `marked` among `all` nodes `inside` hold at least `least`, if the marked ones were any.
    fn at_least(&self, least: usize, inside: usize, marked: usize, all: usize) -> f64 {
        let from = least.max((marked + inside).saturating_sub(all));
        let whole = self.choose(all, marked);
        let one =
            |hit: usize| (self.choose(inside, hit) + self.choose(all - inside, marked - hit) - whole).exp();
        (from..=marked.min(inside)).map(one).sum::<f64>().min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A label by the number of a node.
    type Label<'a> = fn(usize) -> (&'a str, &'a str);

    /// `nodes` nodes; label values by functions of a node's number, and those below `marked` are marked.
    fn fleet<'a>(nodes: usize, is_marked: impl Fn(usize) -> bool, labels: &[Label<'a>]) -> Vec<Labelled<'a>> {
        let node = |number: usize| Labelled {
            is_marked: is_marked(number),
            labels: labels.iter().map(|label| label(number)).collect(),
        };
        (0..nodes).map(node).collect()
    }

    #[test]
    fn the_chance_is_that_of_drawing_without_putting_back() {
        let table = Factorials::up_to(5_000);
        let check = |least, inside, marked, all, expected: f64| {
            let chance = table.at_least(least, inside, marked, all);
            assert!((chance / expected - 1.0).abs() < 1e-9, "{chance} and {expected}");
        };
        // Of 5 nodes 2 are drawn, 3 have the value: 3 of 10 pairs are both inside, 9 hold at least one.
        check(2, 3, 2, 5, 0.3);
        check(1, 3, 2, 5, 0.9);
        check(0, 3, 2, 5, 1.0);
        // Of 4 nodes 3 are drawn: at least one of two is there always.
        check(1, 2, 3, 4, 1.0);
    }

    #[test]
    fn the_kernel_on_which_daemons_fail_is_named_with_its_numbers() {
        // 12 of 400 nodes have the odd kernel, and 11 of the 20 that failed.
        let kernel = |node: usize| ("kernelVersion", if node < 12 { "5.4" } else { "5.10" });
        let zone = |node: usize| ("zone", ["a", "b", "c"][node % 3]);
        let nodes = fleet(400, |node| node < 11 || (100..109).contains(&node), &[kernel, zone]);
        let found = cohorts(&nodes);
        let text: Vec<String> = found.iter().map(Cohort::to_string).collect();
        assert_eq!(
            text,
            [
                "11 of 20 have kernelVersion=5.4, as have 3.0 % of the 400 nodes: 18 times as many; by chance 1 in 1000000000"
            ]
        );
    }

    #[test]
    fn what_goes_along_with_the_cause_is_not_named_and_what_is_the_same_is_named_with_it() {
        let kernel = |node: usize| ("kernel", if node.is_multiple_of(10) { "old" } else { "new" });
        let image = |node: usize| ("image", if node.is_multiple_of(10) { "u20" } else { "u22" });
        // Every node with the old kernel is in pool a, as are others that are well.
        let pool = |node: usize| ("pool", if node.is_multiple_of(5) { "a" } else { "b" });
        let nodes = fleet(200, |node| node.is_multiple_of(10), &[kernel, image, pool]);
        let found = cohorts(&nodes);
        assert_eq!(found.len(), 1, "{found:?}");
        let owned = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            (&found[0].label, &found[0].alike[..]),
            (&owned("image", "u20"), &[owned("kernel", "old")][..])
        );
    }

    #[test]
    fn two_causes_are_two_cohorts() {
        let kernel = |node: usize| ("kernel", if node < 20 { "old" } else { "new" });
        let zone = |node: usize| ("zone", if node >= 180 { "z" } else { "y" });
        let found = cohorts(&fleet(200, |node| !(15..188).contains(&node), &[kernel, zone]));
        let names: Vec<&str> = found.iter().map(|cohort| cohort.label.1.as_str()).collect();
        assert_eq!(names, ["old", "z"]);
    }

    #[test]
    fn names_of_nodes_and_what_all_have_explain_nothing() {
        let os = |_: usize| ("os", "linux");
        let name = |node: usize| ("name", ["n0", "n1", "n2", "n3", "n4", "n5"][node % 6]);
        assert_eq!(cohorts(&fleet(6, |node| node < 3, &[os, name])), []);
        assert_eq!(cohorts(&[]), []);
    }

    #[test]
    fn chance_names_something_in_at_most_so_many_cases() {
        let seed = everynode_testkit::number("EVERYNODE_SEED", fastrand::u64(..));
        let mut random = fastrand::Rng::with_seed(seed);
        let values: Vec<String> = (0..40).map(|value| format!("v{value}")).collect();
        let named = (0..400)
            .filter(|_| {
                let mut nodes: Vec<Labelled<'_>> = (0..100)
                    .map(|_| Labelled {
                        is_marked: false,
                        labels: (0..4)
                            .map(|label| {
                                (
                                    ["a", "b", "c", "d"][label],
                                    values[random.usize(0..10) + label * 10].as_str(),
                                )
                            })
                            .collect(),
                    })
                    .collect();
                for _ in 0..8 {
                    let marked = random.usize(0..nodes.len());
                    nodes[marked].is_marked = true;
                }
                !cohorts(&nodes).is_empty()
            })
            .count();
        // 20 are allowed on average; 40 would be a chance of one in 100,000.
        assert!(named < 40, "{named} of 400 with the seed {seed}");
    }
}
