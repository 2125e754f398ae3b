//! How a roll-out is judged by what its nodes show: `spec.analysis` of a RolloutPolicy, and what its status says of it.

use everynode_analysis::{
    Basis, Controls, CountRule, FalseHalts, LevelRule, NUMBERS, Plan, Rise, Rule, Share, Signal, Verdict,
    Watch,
};
use everynode_model::json::{items, text};
use everynode_model::quantity;
use serde_json::{Value, json};

/// spec.analysis.
#[derive(Clone, Debug, PartialEq)]
pub struct AnalysisSpec {
    /// What a revision that is worse does to the roll-out.
    pub mode: AnalysisMode,
    /// How likely a roll-out of a revision that is not worse may be called worse.
    pub false_halts: FalseHalts,
    /// How long a node is watched before, of what has a level.
    pub before_seconds: i64,
    /// How long a fresh pod is left alone.
    pub settle_seconds: i64,
    /// How long a node is watched after that.
    pub after_seconds: i64,
    /// Node labels: only nodes with equal values are compared.
    pub strata: Vec<String>,
    /// So many untouched nodes get a fresh pod of the old revision with the first wave.
    pub baseline_nodes: usize,
    /// What a wave does at whose end nothing is shown.
    pub undecided: Undecided,
    /// How long a wave is watched at most when it waits for a verdict.
    pub max_bake_seconds: i64,
    /// What is watched.
    pub signals: Vec<SignalSpec>,
}

/// What a revision that is worse does to the roll-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnalysisMode {
    /// Nothing: it is said.
    Observe,
    /// It halts, as if too many nodes had failed.
    Halt,
}

/// What a wave does at whose end neither worse nor no worse is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undecided {
    /// The next one begins.
    Proceed,
    /// It is watched for longer.
    Wait,
    /// The roll-out halts.
    Halt,
}

/// A signal that is watched.
#[derive(Clone, Debug, PartialEq)]
pub struct SignalSpec {
    /// What is watched.
    pub signal: Signal,
    /// What counts as worse.
    pub rule: Rule,
    /// Levels below this count as this: cores, bytes, seconds, or what the daemon's own figure is in.
    pub floor: f64,
    /// Where a figure of the daemon's own is found.
    pub metric: Option<MetricSource>,
}

/// A figure on the page of metrics that a daemon serves itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricSource {
    /// The name of the figure. Of one with labels all values are added up.
    pub name: String,
    /// The port of the page, by name or number.
    pub port: MetricPort,
    /// The path of the page.
    pub path: String,
    /// It is a counter, of which the growth in a second counts.
    pub is_counter: bool,
}

/// A port of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetricPort {
    /// Its name.
    Name(String),
    /// Its number.
    Number(u16),
}

/// What the status says of the analysis of one DaemonSet's roll-out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnalysisStatus {
    /// What the evidence says; none before a block of nodes was judged.
    pub verdict: Option<Verdict>,
    /// Whether chance has chosen the nodes that come first: `Randomised`, or `Assumed` with what has.
    pub basis: String,
    /// The verdict in one sentence.
    pub message: String,
    /// What the nodes on which it is worse have in common, if chance does not explain that.
    pub common: Option<String>,
    /// The first of these nodes.
    pub worst_nodes: Vec<String>,
    /// Signal by signal.
    pub signals: Vec<SignalStatus>,
    /// For the next leader: nodes from this place in the order on were untouched when the last block closed.
    pub frontier: Option<String>,
    /// For the next leader: nodes before this place were compared.
    pub pool_end: Option<String>,
}

/// What the status says of one signal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignalStatus {
    /// Its name.
    pub name: String,
    /// What the evidence says of it.
    pub verdict: Option<Verdict>,
    /// The same in one sentence.
    pub message: String,
    /// Updated nodes that were judged.
    pub nodes: usize,
    /// Nodes that they were compared with.
    pub controls: usize,
    /// If the revision changed nothing, so much evidence would appear in one of so many roll-outs.
    pub chance_one_in: u64,
    /// For the next leader: the evidence of closed blocks, as numbers with spaces between them.
    pub evidence: String,
}

impl AnalysisSpec {
    /// Reads spec.analysis.
    pub fn from_json(spec: &Value) -> AnalysisSpec {
        let seconds = |key: &str, assumed: i64| spec[key].as_i64().unwrap_or(assumed);
        let chance = percent(&spec["falseHalts"]).and_then(|chance| FalseHalts::from_percent(chance).ok());
        let mut signals: Vec<SignalSpec> =
            items(&spec["signals"]).filter_map(SignalSpec::from_json).collect();
        let baseline_nodes = spec["baseline"]["nodes"].as_u64().and_then(|n| n.try_into().ok()).unwrap_or(0);
        if signals.is_empty() {
            // What is compared with restarted nodes says nothing where there are none.
            let is_shown = |one: &Signal| baseline_nodes > 0 || one.controls() == Controls::Untouched;
            signals = Signal::usual().filter(is_shown).map(SignalSpec::usual).collect();
        }
        AnalysisSpec {
            mode: if spec["mode"] == "Halt" { AnalysisMode::Halt } else { AnalysisMode::Observe },
            false_halts: chance.unwrap_or(FalseHalts::USUAL),
            before_seconds: seconds("beforeSeconds", 1800),
            settle_seconds: seconds("settleSeconds", 120),
            after_seconds: seconds("afterSeconds", 600),
            strata: items(&spec["strata"]).filter_map(Value::as_str).map(str::to_owned).collect(),
            baseline_nodes,
            undecided: match spec["undecided"].as_str() {
                Some("Wait") => Undecided::Wait,
                Some("Halt") => Undecided::Halt,
                _ => Undecided::Proceed,
            },
            max_bake_seconds: seconds("maxBakeSeconds", 3600),
            signals,
        }
    }

    /// How it is judged, where nodes come by their turn so.
    pub fn plan(&self, basis: Basis) -> Plan {
        let watches = self.signals.iter().map(|one| Watch { signal: one.signal, rule: one.rule });
        Plan::new(&watches.collect::<Vec<Watch>>(), self.false_halts, basis)
    }

    /// How long the nodes of a wave are watched at least: until their windows have closed.
    pub fn bake_seconds(&self) -> i64 {
        self.settle_seconds.saturating_add(self.after_seconds)
    }

    /// CPU or memory is watched, which somebody has to measure.
    pub fn needs_usage(&self) -> bool {
        self.signals.iter().any(|one| matches!(one.signal, Signal::Cpu | Signal::Memory))
    }

    /// The figure of the daemon's own that is watched.
    pub fn metric(&self) -> Option<&MetricSource> {
        self.signals.iter().find_map(|one| one.metric.as_ref())
    }
}

impl SignalSpec {
    /// A signal by its usual rule.
    pub fn usual(signal: Signal) -> SignalSpec {
        let floor = match signal {
            Signal::Cpu => 0.02,
            Signal::Memory => 16.0 * 1024.0 * 1024.0,
            Signal::TimeToReady => 2.0,
            Signal::Restarts | Signal::OomKills | Signal::ReadinessFlaps => 0.0,
            // A policy says it: what matters of a figure that nobody knows cannot be assumed.
            Signal::MetricLevel | Signal::MetricRate => 1.0,
        };
        SignalSpec { signal, rule: signal.default_rule(), floor, metric: None }
    }

    fn from_json(spec: &Value) -> Option<SignalSpec> {
        let usual = SignalSpec::usual(Signal::parse(spec["name"].as_str()?)?);
        let metric = MetricSource::from_json(usual.signal, spec);
        if metric.is_none() && usual.signal.is_own_metric() {
            return None;
        }
        let rise = |key: &str| percent(&spec[key]).and_then(|percent| Rise::from_percent(percent).ok());
        let rule = match usual.rule {
            Rule::Level(rule) => {
                let worse_by = rise("worseBy").unwrap_or(rule.worse_by);
                let no_worse = Rise::from_percent(worse_by.percent() * NO_WORSE_TIMES).unwrap_or(worse_by);
                let no_worse = if rise("worseBy").is_some() { no_worse } else { rule.no_worse };
                Rule::Level(LevelRule { worse_by, harm: rise("harm").unwrap_or(rule.harm), no_worse })
            }
            Rule::Count(rule) => {
                let share = percent(&spec["harm"]).and_then(|percent| Share::from_percent(percent).ok());
                let worse_by = rise("worseBy").unwrap_or(rule.worse_by);
                Rule::Count(CountRule { worse_by, no_worse: share.unwrap_or(rule.no_worse) })
            }
        };
        let floor = quantity::read(&spec["floor"]).map(|floor| floor.millis() as f64 / 1000.0);
        let floor = floor.filter(|floor| *floor >= 0.0).unwrap_or(usual.floor);
        Some(SignalSpec { rule, floor, metric, ..usual })
    }
}

impl MetricSource {
    /// Where the figure of this signal is found; nothing when it is none of the daemon's own.
    fn from_json(signal: Signal, spec: &Value) -> Option<MetricSource> {
        let port = match &spec["port"] {
            Value::Number(number) => MetricPort::Number(number.as_u64()?.try_into().ok()?),
            name => MetricPort::Name(name.as_str()?.to_owned()),
        };
        signal.is_own_metric().then_some(())?;
        Some(MetricSource {
            name: spec["metric"].as_str()?.to_owned(),
            port,
            path: spec["path"].as_str().unwrap_or("/metrics").to_owned(),
            is_counter: signal == Signal::MetricRate,
        })
    }
}

/// What is shown not to have risen by so many times what is tolerated is no worse.
const NO_WORSE_TIMES: f64 = 2.5;

impl AnalysisStatus {
    /// Reads it.
    pub fn from_json(status: &Value) -> Option<AnalysisStatus> {
        status.is_object().then(|| AnalysisStatus {
            verdict: status["verdict"].as_str().and_then(Verdict::parse),
            basis: text(&status["basis"]),
            message: text(&status["message"]),
            common: status["common"].as_str().map(str::to_owned),
            worst_nodes: items(&status["worstNodes"]).filter_map(Value::as_str).map(str::to_owned).collect(),
            signals: items(&status["signals"]).map(SignalStatus::from_json).collect(),
            frontier: status["frontier"].as_str().map(str::to_owned),
            pool_end: status["poolEnd"].as_str().map(str::to_owned),
        })
    }

    /// As it is served.
    pub fn to_json(&self) -> Value {
        let signals: Vec<Value> = self.signals.iter().map(SignalStatus::to_json).collect();
        json!({
            "verdict": self.verdict.map(Verdict::name),
            "basis": self.basis,
            "message": self.message,
            "common": self.common,
            "worstNodes": self.worst_nodes,
            "signals": signals,
            "frontier": self.frontier,
            "poolEnd": self.pool_end,
        })
    }
}

impl SignalStatus {
    fn from_json(status: &Value) -> SignalStatus {
        let count = |key: &str| status[key].as_u64().unwrap_or_default();
        SignalStatus {
            name: text(&status["name"]),
            verdict: status["verdict"].as_str().and_then(Verdict::parse),
            message: text(&status["message"]),
            nodes: count("nodes").try_into().unwrap_or_default(),
            controls: count("controls").try_into().unwrap_or_default(),
            chance_one_in: count("chanceOneIn"),
            evidence: text(&status["evidence"]),
        }
    }

    fn to_json(&self) -> Value {
        json!({
            "name": self.name,
            "verdict": self.verdict.map(Verdict::name),
            "message": self.message,
            "nodes": self.nodes,
            "controls": self.controls,
            "chanceOneIn": self.chance_one_in,
            "evidence": self.evidence,
        })
    }

    /// The numbers of its evidence, as the next leader reads them.
    pub fn numbers(&self) -> Vec<f64> {
        let numbers = self.evidence.split_ascii_whitespace().take(NUMBERS + 1);
        numbers.filter_map(|number| number.parse().ok()).collect()
    }
}

/// A percentage such as `10%`.
fn percent(value: &Value) -> Option<f64> {
    value.as_str()?.strip_suffix('%')?.parse().ok()
}
