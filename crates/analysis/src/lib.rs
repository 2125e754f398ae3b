//! Whether a new revision of a daemon is worse than the old one, by what its nodes show while it is rolled out.
//!
//! Pure: no clock, no I/O, no randomness; the same input gives the same verdict. Formulas, assumptions and what was
//! measured are in `docs/analysis.md`.
//!
//! ```
//! use everynode_analysis::{Basis, Block, FalseHalts, Group, Judge, Node, Plan, Reading, Signal, Turn, Verdict};
//!
//! # fn main() -> Result<(), everynode_analysis::AmountError> {
//! let plan = Plan::usual(FalseHalts::from_percent(5.0)?, Basis::Randomised);
//! let mut judge = Judge::new(plan);
//! // Ten nodes whose CPU has doubled, and ninety whose has not.
//! let node = |turn: u64, after: f64| {
//!     let wobble = |level: f64| [level, level * 1.1, level * 0.95, level * 1.05];
//!     let reading = Reading::of_levels(&wobble(0.1), &wobble(after), 0.02);
//!     Node::new(Turn(turn)).with(Signal::Cpu, reading)
//! };
//! let updated = (0..10).map(|turn| node(turn, 0.2)).collect();
//! let untouched = (10..100).map(|turn| node(turn, 0.1)).collect();
//! let groups = vec![Group { updated, untouched, restarted: Vec::new() }];
//! let report = judge.close(&Block { frontier: Turn(10), groups });
//! assert_eq!(report.verdict, Verdict::Worse);
//! println!("{}", report.signals[0]); // cpu is higher by 100 % (at least 95 %) on 10 updated nodes than ...
//! # Ok(())
//! # }
//! ```

mod amounts;
mod block;
mod cohort;
mod count;
mod evidence;
mod judge;
mod level;
mod memory;
mod outliers;
mod plan;
mod power;
mod reading;
mod scores;
mod sentence;
mod signal;
pub mod subsets;
mod verdict;

pub use amounts::{AmountError, Change, FalseHalts, OneIn, Rise, Share};
pub use block::{Block, CONTROLS_LIMIT, GROUPS_LIMIT, Group, Node, Turn, UPDATED_LIMIT};
pub use cohort::{Cohort, Labelled, cohorts};
pub use judge::Judge;
pub use memory::{Memory, MemoryError, NUMBERS, SignalMemory};
pub use outliers::{OddNode, OddPair, Outliers, Pair, against_peers, outliers};
pub use plan::{Plan, Watch};
pub use power::Power;
pub use reading::{Before, Reading};
pub use signal::{Controls, CountRule, LevelRule, Rule, Signal};
pub use verdict::{Assumption, Basis, Figures, Harmed, Report, Sight, SignalReport, Verdict};
