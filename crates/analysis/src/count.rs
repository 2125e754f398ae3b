//! The evidence about a count: on how many nodes something happened, once or again.
//!
//! A node is marked when it happened there. That the odds of a mark rise is tolerated: the evidence for higher odds is
//! divided by that for the odds that are tolerated. If nothing changes, its mean is below 1 by that.

use crate::amounts::Share;
use crate::block::Sides;
use crate::evidence::{LANES, Lanes, NO_WORSE, TESTS, Test, log_marks};
use crate::signal::CountRule;
use crate::subsets::log_sum;

/// The tests, with tilts on top of the one that is tolerated: by the nodes on which it happened three times, by those
/// on which it happened again twice.
pub(crate) const COUNT_TESTS: [Test; TESTS] = [
    Test { tilt: 0.7, weight: 0.2 },
    Test { tilt: 1.5, weight: 0.25 },
    Test { tilt: 2.5, weight: 0.25 },
    Test { tilt: 1.5, weight: 0.15 },
    Test { tilt: 2.5, weight: 0.15 },
];

/// The tests from here on are by the nodes on which it happened again.
const AGAIN: usize = 3;

/// Whether it is no worse is asked with the odds of so many times fewer nodes.
const FEWER: [f64; 2] = [2.0, 10.0];

/// One block's readings of a count.
pub(crate) struct Count<'a> {
    rule: &'a CountRule,
    groups: Vec<CountGroup>,
}

struct CountGroup {
    updated: Vec<f64>,
    others: Vec<f64>,
}

impl CountGroup {
    fn new(sides: &Sides) -> CountGroup {
        CountGroup {
            updated: sides.updated.iter().map(|(_, reading)| reading.count()).collect(),
            others: sides.others.iter().map(|(_, reading)| reading.count()).collect(),
        }
    }

    /// One test. What happens twice as often happens again four times as often.
    fn log_ratio(&self, test: usize, log_tolerated: f64) -> f64 {
        let (times, tolerated) = if test < AGAIN { (1.0, log_tolerated) } else { (2.0, 2.0 * log_tolerated) };
        let (ours, others) = (marked(&self.updated, times), marked(&self.others, times));
        let all = self.updated.len() + self.others.len();
        log_marks(COUNT_TESTS[test].tilt, tolerated, ours, ours + others, self.updated.len(), all)
    }
}

/// On how many nodes it happened so many times.
fn marked(counts: &[f64], times: f64) -> usize {
    counts.iter().filter(|count| **count >= times).count()
}

impl<'a> Count<'a> {
    pub fn new(rule: &'a CountRule, sides: &[Sides]) -> Count<'a> {
        Count { rule, groups: sides.iter().map(CountGroup::new).collect() }
    }

    /// What the block multiplies each lane by.
    pub fn lanes(&self) -> Lanes {
        let mut lanes = [0.0; LANES];
        for (test, lane) in lanes[..TESTS].iter_mut().enumerate() {
            let ratios = self.groups.iter().map(|group| group.log_ratio(test, self.rule.worse_by.log()));
            *lane = ratios.sum();
        }
        lanes[NO_WORSE] = self.no_worse();
        lanes
    }

    /// Updated nodes are drawn from all by chance. If it would happen on a share of them, the chance to see it on so
    /// few is at most as if each was drawn by itself (Hoeffding).
    fn no_worse(&self) -> f64 {
        let share = self.rule.no_worse.fraction();
        if share <= 0.0 || share >= 1.0 {
            return 0.0;
        }
        let nodes: usize = self.groups.iter().map(|group| group.updated.len()).sum();
        let on: usize = self.groups.iter().map(|group| marked(&group.updated, 1.0)).sum();
        let log = |fewer: &f64| {
            let (here, elsewhere) = ((1.0 / fewer).ln(), ((1.0 - share / fewer) / (1.0 - share)).ln());
            on as f64 * here + (nodes - on) as f64 * elsewhere - (FEWER.len() as f64).ln()
        };
        log_sum(FEWER.iter().map(log))
    }

    /// The shares of updated nodes and of others on which it happened.
    pub fn shares(&self) -> (Share, Share) {
        let share = |side: fn(&CountGroup) -> &Vec<f64>| {
            let on: usize = self.groups.iter().map(|group| marked(side(group), 1.0)).sum();
            let of: usize = self.groups.iter().map(|group| side(group).len()).sum();
            Share::from_fraction(on as f64 / of.max(1) as f64)
        };
        (share(|group| &group.updated), share(|group| &group.others))
    }
}
