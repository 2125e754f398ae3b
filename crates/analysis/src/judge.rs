//! The judge of one roll-out: takes blocks, and says what the evidence says.
//!
//! *Evidence.* What a block multiplies a test's evidence by has a mean of 1 if the revision changes nothing, whatever
//! was before, and of at most 1 if it changes no more than is tolerated. So the evidence of all blocks together is
//! above `1/a` at any time with a chance of at most `a` (Ville): it may be looked at as often as one likes.
//!
//! *Looks.* Looks into a block before it closes overlap, and their evidence must not be multiplied. Each takes half of
//! the weight that is left, and the close the rest: what was taken is added up, and a sum only grows.

use crate::amounts::OneIn;
use crate::block::{Block, Bounds, Chosen, Sides, Turn};
use crate::count::{COUNT_TESTS, Count};
use crate::evidence::{LANES, Lanes, NO_WORSE, TESTS, Test, log_mixture};
use crate::level::{LEVEL_TESTS, Level};
use crate::memory::{Memory, SignalMemory, Tally};
use crate::plan::{Plan, Watch};
use crate::signal::{Controls, Rule};
use crate::verdict::{Figures, Harmed, Report, Sight, SignalReport, Verdict};

/// More early looks into one block than this are not made: each would weigh less than a hundredth.
const EARLY_LOOKS_LIMIT: u32 = 6;

/// Of so many nodes on a side readings must be known: 4 of 5.
const KNOWN_LEAST: (usize, usize) = (4, 5);

/// What is shown of fewer updated nodes does not make the others no worse, however sure it is.
const NO_WORSE_NODES: f64 = 5.0;

/// Judges one roll-out.
#[derive(Clone, Debug)]
pub struct Judge {
    plan: Plan,
    bounds: Bounds,
    tracks: Vec<Track>,
    /// The pool that the first look into the open block has chosen.
    open_pool: Option<Turn>,
}

/// What is known of one signal.
#[derive(Clone, Debug)]
struct Track {
    watch: Watch,
    closed: SignalMemory,
    open: Open,
}

/// What looks into the open block have added.
#[derive(Clone, Copy, Debug)]
struct Open {
    /// The logarithms of what each lane has, and of the weight that is left.
    lanes: Lanes,
    log_left: f64,
    looks: u32,
    /// With the open block, as it was seen last.
    tally: Tally,
    sight: Sight,
    harmed: Option<Harmed>,
}

/// Whether more is to come of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Early,
    Last,
}

impl Open {
    fn new(tally: Tally, sight: Sight, harmed: Option<Harmed>) -> Open {
        Open { lanes: [f64::NEG_INFINITY; LANES], log_left: 0.0, looks: 0, tally, sight, harmed }
    }

    /// Adds a part of a weight.
    fn add(&mut self, log_weight: f64, logs: &Lanes) {
        for (lane, log) in self.lanes.iter_mut().zip(logs) {
            let (high, low) = (lane.max(log + log_weight), lane.min(log + log_weight));
            *lane = high + (low - high).exp().ln_1p();
        }
    }
}

impl Judge {
    /// A judge of a roll-out that begins.
    pub fn new(plan: Plan) -> Judge {
        Judge::resume(plan, &Memory::default())
    }

    /// A judge of a roll-out that goes on. A block that was open is lost.
    pub fn resume(plan: Plan, memory: &Memory) -> Judge {
        let track = |watch: &Watch| Track::new(*watch, memory.of(watch.signal));
        let tracks = plan.watches().iter().map(track).collect();
        Judge { plan, bounds: memory.bounds, tracks, open_pool: None }
    }

    /// How it judges.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What must survive this judge.
    pub fn memory(&self) -> Memory {
        Memory { bounds: self.bounds, signals: self.tracks.iter().map(|track| track.closed).collect() }
    }

    /// Looks into a block that will grow, with the nodes whose windows have closed. Each look halves what later ones
    /// weigh; after six there are none.
    pub fn look(&mut self, block: &Block) -> Report {
        self.take(block, Look::Early);
        self.report()
    }

    /// Takes a block whose windows have all closed. Nodes that were updated since belong to none.
    pub fn close(&mut self, block: &Block) -> Report {
        let pool_end = self.take(block, Look::Last);
        self.bounds.frontier = self.bounds.frontier.max(block.frontier);
        self.bounds.pool_end = self.bounds.pool_end.max(pool_end);
        self.open_pool = None;
        self.report()
    }

    /// What the evidence says.
    pub fn report(&self) -> Report {
        let signals = self.tracks.iter().map(|track| track.report(&self.plan));
        Report::new(self.plan.basis(), signals.collect())
    }

    /// The end of the pool that the block is of.
    fn take(&mut self, block: &Block, look: Look) -> Turn {
        let chosen = Chosen::of(block, self.bounds, self.open_pool);
        self.open_pool = Some(chosen.pool_end);
        let log_worse = self.plan.log_worse();
        for track in &mut self.tracks {
            track.take(&chosen, look, log_worse);
        }
        chosen.pool_end
    }
}

/// What one block shows of a signal.
struct Shown {
    lanes: Lanes,
    tally: Tally,
    harmed: Option<Harmed>,
}

impl Track {
    fn new(watch: Watch, closed: SignalMemory) -> Track {
        let sight = if closed.tally.nodes > 0.0 { Sight::Clear } else { Sight::NotYet };
        Track { watch, closed, open: Open::new(closed.tally, sight, None) }
    }

    fn take(&mut self, chosen: &Chosen<'_>, look: Look, log_worse: f64) {
        // Nodes that were restarted are compared once: evidence by the same ones must not be multiplied.
        let is_spent = self.watch.signal.controls() == Controls::Restarted && self.closed.tally.nodes > 0.0;
        if is_spent || (look == Look::Early && self.open.looks >= EARLY_LOOKS_LIMIT) {
            return;
        }
        let seen = self.sides(chosen);
        self.open.sight = seen.as_ref().map_or_else(|sight| *sight, |_| Sight::Clear);
        if let Ok(sides) = seen {
            let log_weight = match look {
                Look::Early => self.open.log_left - 2.0_f64.ln(),
                Look::Last => self.open.log_left,
            };
            let shown = self.shown(&sides, log_weight, log_worse);
            self.open.add(log_weight, &shown.lanes);
            self.open.log_left = log_weight;
            self.open.looks += 1;
            self.open.tally = self.closed.tally.and(shown.tally, &self.watch.rule);
            self.open.harmed = shown.harmed;
        } else if look == Look::Last {
            self.open.add(self.open.log_left, &[0.0; LANES]);
        }
        self.note_peak();
        if look == Look::Last {
            self.close();
        }
    }

    /// The readings of each group in which there is something to compare; or why there are none. By numbers of nodes
    /// alone: which nodes they are of must not matter.
    fn sides(&self, chosen: &Chosen<'_>) -> Result<Vec<Sides>, Sight> {
        let mut known = [0, 0];
        let mut all = [0, 0];
        let mut sides = Vec::new();
        for group in &chosen.groups {
            let (side, of) = Sides::of(group, self.watch.signal);
            if of.contains(&0) {
                continue;
            }
            known = [known[0] + side.updated.len(), known[1] + side.others.len()];
            all = [all[0] + of[0], all[1] + of[1]];
            if side.can_compare() {
                sides.push(side);
            }
        }
        let (least, of) = KNOWN_LEAST;
        match sides.is_empty() || known.iter().zip(all).any(|(known, all)| known * of < all * least) {
            _ if all == [0, 0] => Err(Sight::NoControls),
            true => Err(Sight::NoSamples),
            false => Ok(sides),
        }
    }

    fn shown(&self, sides: &[Sides], log_weight: f64, log_worse: f64) -> Shown {
        let count = |of: fn(&Sides) -> usize| sides.iter().map(of).sum();
        let (nodes, controls) = (count(|side| side.updated.len()), count(|side| side.others.len()));
        let (lanes, figures, harmed) = match &self.watch.rule {
            Rule::Level(rule) => {
                let level = Level::new(rule, sides);
                let past = (self.closed.tally.nodes > 0.0).then_some(&self.closed.lanes);
                let at_least = level.at_least(past, log_weight, log_worse);
                let figures = Figures::Level { change: level.change(), at_least };
                (level.lanes(&self.closed.lanes), figures, Some(level.harmed()))
            }
            Rule::Count(rule) => {
                let count = Count::new(rule, sides);
                let (updated, others) = count.shares();
                (count.lanes(), Figures::Count { updated, others }, None)
            }
        };
        Shown { lanes, tally: Tally::new(nodes, controls, figures), harmed }
    }

    /// The lanes as they are now.
    fn lanes(&self) -> Lanes {
        let open = |lane: usize| if self.open.looks > 0 { self.open.lanes[lane] } else { 0.0 };
        std::array::from_fn(|lane| self.closed.lanes[lane] + open(lane))
    }

    fn tests(&self) -> &'static [Test; TESTS] {
        match self.watch.rule {
            Rule::Level(_) => &LEVEL_TESTS,
            Rule::Count(_) => &COUNT_TESTS,
        }
    }

    /// The highest that the evidence ever was counts: so often it may be looked at.
    fn note_peak(&mut self) {
        let log_evidence = log_mixture(self.tests(), &self.lanes());
        self.closed.log_peak = self.closed.log_peak.max(log_evidence);
    }

    fn close(&mut self) {
        for (lane, open) in self.closed.lanes.iter_mut().zip(self.open.lanes) {
            *lane += open;
        }
        self.closed.tally = self.open.tally;
        self.open = Open::new(self.closed.tally, self.open.sight, self.open.harmed);
    }

    fn report(&self, plan: &Plan) -> SignalReport {
        let tally = self.open.tally;
        let is_seen = self.open.sight == Sight::Clear;
        let verdict = if self.closed.log_peak >= plan.log_worse() {
            Verdict::Worse
        } else if !is_seen && self.open.sight != Sight::NotYet {
            Verdict::Blind
        } else if self.lanes()[NO_WORSE] >= plan.log_no_worse() && tally.nodes >= NO_WORSE_NODES && is_seen {
            Verdict::NoWorse
        } else {
            Verdict::Undecided
        };
        SignalReport {
            signal: self.watch.signal,
            rule: self.watch.rule,
            verdict,
            sight: self.open.sight,
            figures: tally.figures(&self.watch.rule),
            harmed: self.open.harmed,
            nodes: tally.nodes as usize,
            controls: tally.controls as usize,
            chance: OneIn::from_log_evidence(self.closed.log_peak, plan.watches().len()),
        }
    }
}
