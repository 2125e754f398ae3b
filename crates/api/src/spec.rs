use everynode_model::json::items;
use everynode_model::{IntOrPercent, LabelSelector};
use serde_json::Value;

use crate::AnalysisSpec;

/// spec of a RolloutPolicy.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicySpec {
    /// The DaemonSets of its namespace, by their labels.
    pub selector: LabelSelector,
    /// Nothing more is replaced for now.
    pub paused: bool,
    /// How many pods may be taken away whose successors are not available yet; `None` leaves it to the DaemonSet.
    pub max_unavailable: Option<IntOrPercent>,
    /// A bound of its own for each failure domain.
    pub domain: Option<Domain>,
    /// Label keys in whose values' order nodes are taken; by name where these are equal.
    pub order: Vec<String>,
    /// The steps; one with all nodes when there are none.
    pub waves: Vec<Wave>,
    /// So many nodes that fail halt the roll-out.
    pub failure_budget: IntOrPercent,
    /// What a halt does.
    pub on_failure: OnFailure,
    /// Where another controller makes the pods, what leads nodes back rewrites the DaemonSet's template.
    pub rewrite_template: bool,
    /// A pod that is not ready so long after its creation has failed.
    pub ready_within_seconds: i64,
    /// A node that goes NotReady so soon after its new pod's creation has failed.
    pub node_window_seconds: i64,
    /// First roll-outs, and nodes that join, go in waves and within the budget too.
    pub paces_creations: bool,
    /// Without progress for so long, the condition Progressing is False.
    pub progress_deadline_seconds: i64,
    /// How the revision is judged by what its nodes show; not at all when absent.
    pub analysis: Option<AnalysisSpec>,
}

/// A bound per failure domain.
#[derive(Clone, Debug, PartialEq)]
pub struct Domain {
    /// The label whose values are the domains.
    pub label: String,
    /// As `max_unavailable`, of the nodes of one domain.
    pub max_unavailable: IntOrPercent,
}

/// One step of a roll-out.
#[derive(Clone, Debug, PartialEq)]
pub struct Wave {
    /// Its name; its number, from 1, when it has none.
    pub name: String,
    /// The nodes that have the new revision at its end.
    pub nodes: WaveNodes,
    /// How long it is watched when all of its nodes are available.
    pub bake_seconds: i64,
    /// What comes after that.
    pub gate: Gate,
}

/// The nodes of a wave, those of all waves before it included.
#[derive(Clone, Debug, PartialEq)]
pub enum WaveNodes {
    /// So many of all nodes, those of the waves before included.
    Count(IntOrPercent),
    /// All nodes with these labels, in addition to those of the waves before.
    Selector(LabelSelector),
}

/// What lets the next wave begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// The end of the bake time.
    Automatic,
    /// Somebody promotes it.
    Manual,
}

/// What a halt does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// Nothing more is replaced.
    Pause,
    /// Nodes go back to the last good revision.
    Rollback,
}

impl PolicySpec {
    /// Reads spec. What is absent has its default; the API server has validated the rest by the schema.
    pub fn from_json(spec: &Value) -> Self {
        let failure = &spec["failure"];
        let mut waves: Vec<Wave> =
            items(&spec["waves"]).enumerate().map(|(index, wave)| Wave::from_json(index, wave)).collect();
        if waves.is_empty() {
            waves.push(Wave {
                name: "all".to_owned(),
                nodes: WaveNodes::Count(IntOrPercent::Percent(100)),
                bake_seconds: 0,
                gate: Gate::Automatic,
            });
        }
        PolicySpec {
            selector: LabelSelector::from_json(&spec["selector"]),
            paused: spec["paused"] == true,
            max_unavailable: IntOrPercent::from_json(&spec["maxUnavailable"]),
            domain: spec["domain"].as_object().and_then(|domain| {
                Some(Domain {
                    label: domain.get("label")?.as_str()?.to_owned(),
                    max_unavailable: IntOrPercent::from_json(domain.get("maxUnavailable")?)?,
                })
            }),
            order: items(&spec["order"]).filter_map(Value::as_str).map(str::to_owned).collect(),
            waves,
            failure_budget: IntOrPercent::from_json(&failure["budget"]).unwrap_or(IntOrPercent::Int(1)),
            on_failure: match failure["action"].as_str() {
                Some("Rollback") => OnFailure::Rollback,
                _ => OnFailure::Pause,
            },
            rewrite_template: failure["rewriteTemplate"] == true,
            ready_within_seconds: failure["readyWithinSeconds"].as_i64().unwrap_or(600),
            node_window_seconds: failure["nodeWindowSeconds"].as_i64().unwrap_or(300),
            paces_creations: spec["firstRollout"].as_str() == Some("Waves"),
            progress_deadline_seconds: spec["progressDeadlineSeconds"].as_i64().unwrap_or(1800),
            analysis: spec["analysis"].is_object().then(|| AnalysisSpec::from_json(&spec["analysis"])),
        }
    }
}

impl PolicySpec {
    /// Labels choose the nodes of a wave.
    pub fn has_selectors(&self) -> bool {
        self.waves.iter().any(|wave| matches!(wave.nodes, WaveNodes::Selector(_)))
    }

    /// How long the wave of this number, from 0, is watched at least: where there are nodes left to compare it with, until
    /// what an analysis watches is over.
    pub fn bake_seconds(&self, wave: usize) -> i64 {
        let own = self.waves.get(wave).map_or(0, |wave| wave.bake_seconds);
        let analysis = self.analysis.as_ref().filter(|_| wave + 1 < self.waves.len());
        own.max(analysis.map_or(0, AnalysisSpec::bake_seconds))
    }
}

impl Wave {
    fn from_json(index: usize, wave: &Value) -> Self {
        let nodes = match &wave["nodeSelector"] {
            Value::Object(_) => WaveNodes::Selector(LabelSelector::from_json(&wave["nodeSelector"])),
            _ => WaveNodes::Count(
                IntOrPercent::from_json(&wave["nodes"]).unwrap_or(IntOrPercent::Percent(100)),
            ),
        };
        Wave {
            name: wave["name"].as_str().map_or_else(|| (index + 1).to_string(), str::to_owned),
            nodes,
            bake_seconds: wave["bakeSeconds"].as_i64().unwrap_or_default(),
            gate: match wave["gate"].as_str() {
                Some("Manual") => Gate::Manual,
                _ => Gate::Automatic,
            },
        }
    }
}
