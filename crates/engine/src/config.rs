//! How an engine works: its bounds, and what it is responsible for.

/// The bounds of an engine. The defaults are the built-in controller's where it has the same bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Pod creations in flight per DaemonSet ([A2](crate::spec#a2)).
    pub creates_in_flight: usize,
    /// Pod deletions in flight per DaemonSet ([A2](crate::spec#a2)).
    pub deletes_in_flight: usize,
    /// Other writes in flight per DaemonSet: adoptions, releases, labels.
    pub patches_in_flight: usize,
    /// The first delay after a failed write; it doubles with each further failure ([A3](crate::spec#a3)).
    pub retry_first_millis: i64,
    /// The longest delay after a failed write.
    pub retry_last_millis: i64,
    /// The time between two attempts at nodes whose creations fail, when these are so many that it counts.
    pub refused_spacing_millis: i64,
    /// How long the effect of a write is waited for, or, when no answer came back, the write itself. A list
    /// decides after that ([H3](crate::spec#h3)).
    pub stale_millis: i64,
    /// The first pause after a list was asked for; it doubles with each further one of the kind.
    pub relist_first_millis: i64,
    /// The longest such pause.
    pub relist_last_millis: i64,
    /// How long nothing is created in a namespace that is being deleted ([C9](crate::spec#c9)).
    pub terminating_millis: i64,
    /// How long a node is left alone when the name for its pod is another pod's.
    pub name_taken_millis: i64,
    /// The shortest time between two status writes of one DaemonSet.
    pub status_interval_millis: i64,
    /// The first window in which no further failed pod is deleted on a node ([D6](crate::spec#d6)).
    pub failed_pod_first_millis: i64,
    /// The longest such window.
    pub failed_pod_last_millis: i64,
    /// The pause before the next pod of a node whose pods do not stay; it doubles with each further one.
    pub churn_first_millis: i64,
    /// The longest such pause.
    pub churn_last_millis: i64,
    /// How many nodes each list in the status of a RolloutPolicy names, of all its DaemonSets together.
    pub policy_status_names: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            creates_in_flight: 250,
            deletes_in_flight: 250,
            patches_in_flight: 250,
            retry_first_millis: 5,
            retry_last_millis: 60_000,
            refused_spacing_millis: 200,
            stale_millis: 30_000,
            relist_first_millis: 30_000,
            relist_last_millis: 300_000,
            terminating_millis: 300_000,
            name_taken_millis: 10_000,
            status_interval_millis: 100,
            failed_pod_first_millis: 1_000,
            failed_pod_last_millis: 900_000,
            churn_first_millis: 1_000,
            churn_last_millis: 300_000,
            policy_status_names: 500,
        }
    }
}

/// What an engine is responsible for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// All of a DaemonSet: placement, updates, revisions, status and history. No other controller may do the same.
    #[default]
    All,
    /// Roll-outs only. Placement, revisions, status and history belong to the built-in controller, so
    /// that the engine asks for none of their writes and events; it observes, counts and explains as with `All`.
    /// What it may ask for is the deletion of old pods as a roll-out policy has it; without a policy it asks for
    /// nothing.
    Rollouts,
    /// Nothing: it observes, counts and explains, and asks for nothing.
    Nothing,
}

/// How an engine works.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineConfig {
    /// The bounds it works under.
    pub limits: Limits,
    /// What it is responsible for.
    pub scope: Scope,
    /// Nothing is decided before the roll-out policies were told.
    pub waits_for_policies: bool,
}

impl From<Limits> for EngineConfig {
    fn from(limits: Limits) -> Self {
        EngineConfig { limits, ..EngineConfig::default() }
    }
}
