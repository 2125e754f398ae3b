//! Figures of the controller, under the names that the field uses.

mod coverage;
pub(crate) mod fleet;
mod rollouts;
pub(crate) mod text;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use everynode_client::{Method, Observer};
use everynode_engine::{Fact, Kind, Work};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// What the controller counts and measures. Clones share the figures.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Registry>,
    facts: Family<KindLabel, Counter>,
    actions: Family<KindLabel, Counter>,
    unreadable: Family<KindLabel, Counter>,
    interruptions: Family<KindLabel, Counter>,
    requests: Family<RequestLabels, Counter>,
    request_duration: Family<VerbLabels, Histogram, fn() -> Histogram>,
    leading: Family<QueueLabel, Gauge>,
    depth: Family<QueueLabel, Gauge>,
    adds: Family<QueueLabel, Counter>,
    retries: Family<QueueLabel, Counter>,
    queue_duration: Family<QueueLabel, Histogram, fn() -> Histogram>,
    work_duration: Family<QueueLabel, Histogram, fn() -> Histogram>,
    unfinished: Family<QueueLabel, Gauge<f64, AtomicU64>>,
    longest_running: Family<QueueLabel, Gauge<f64, AtomicU64>>,
    /// When each write that is under way began, by its action's number.
    under_way: Arc<Mutex<BTreeMap<u64, Instant>>>,
    event_to_decision: Histogram,
    decision_to_write: Histogram,
    events_dropped: Counter,
    violations: Counter,
    synced: Gauge,
    unwatched: Gauge<f64, AtomicU64>,
    /// When the leader before this one was heard of last, in Unix milliseconds, until this one watches.
    unwatched_since: Arc<Mutex<Option<i64>>>,
    /// Who knows the figures of the DaemonSets, while somebody does.
    fleet: Arc<Mutex<Option<mpsc::Sender<Question>>>>,
}

/// Asks for the figures of the DaemonSets, in the OpenMetrics text format without its last line.
pub(crate) type Question = oneshot::Sender<String>;

/// Questions that may wait.
const QUESTIONS: usize = 4;
/// How long the figures of the DaemonSets are waited for; a scrape goes without them after that.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QueueLabel {
    name: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    code: String,
    method: String,
    host: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerbLabels {
    verb: String,
    host: String,
}

/// The name of the controller's one queue, as upstream has it.
const QUEUE: QueueLabel = QueueLabel { name: "daemonset" };

/// The name of the election, as the Lease has it unless told otherwise.
const ELECTION: QueueLabel = QueueLabel { name: "everynode-controller" };

/// 10 ns to 10 s in powers of ten: the buckets of the field's workqueue metrics.
fn workqueue_histogram() -> Histogram {
    Histogram::new((-8..=1).map(|exponent| 10f64.powi(exponent)))
}

/// 100 us to about 26 s, doubling.
fn latency_histogram() -> Histogram {
    Histogram::new((0..19).map(|step| 0.0001 * f64::from(1u32 << step)))
}

/// 5 ms to 60 s: the buckets of the field's rest_client metrics.
fn request_histogram() -> Histogram {
    Histogram::new([0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0])
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics::new()
    }
}

impl Metrics {
    /// All figures at zero.
    pub fn new() -> Metrics {
        let histogram: fn() -> Histogram = workqueue_histogram;
        let requests: fn() -> Histogram = request_histogram;
        let mut metrics = Metrics {
            registry: Arc::default(),
            facts: Family::default(),
            actions: Family::default(),
            unreadable: Family::default(),
            interruptions: Family::default(),
            requests: Family::default(),
            request_duration: Family::new_with_constructor(requests),
            leading: Family::default(),
            depth: Family::default(),
            adds: Family::default(),
            retries: Family::default(),
            queue_duration: Family::new_with_constructor(histogram),
            work_duration: Family::new_with_constructor(histogram),
            unfinished: Family::default(),
            longest_running: Family::default(),
            under_way: Arc::default(),
            event_to_decision: latency_histogram(),
            decision_to_write: latency_histogram(),
            events_dropped: Counter::default(),
            violations: Counter::default(),
            synced: Gauge::default(),
            unwatched: Gauge::default(),
            unwatched_since: Arc::default(),
            fleet: Arc::default(),
        };
        metrics.registry = Arc::new(metrics.registered());
        metrics
    }

    fn registered(&self) -> Registry {
        let mut all = Registry::default();
        let s = Unit::Seconds;
        all.register("workqueue_depth", "Writes that wait for their turn", self.depth.clone());
        all.register("workqueue_adds", "Writes asked for", self.adds.clone());
        all.register(
            "workqueue_retries",
            "Writes put back because the server asked to wait",
            self.retries.clone(),
        );
        all.register_with_unit(
            "workqueue_queue_duration",
            "Time that a write waited for its turn",
            s.clone(),
            self.queue_duration.clone(),
        );
        all.register_with_unit(
            "workqueue_work_duration",
            "Time that a write took",
            s.clone(),
            self.work_duration.clone(),
        );
        all.register_with_unit(
            "workqueue_unfinished_work",
            "Time that the writes under way have taken so far, summed",
            s.clone(),
            self.unfinished.clone(),
        );
        all.register_with_unit(
            "workqueue_longest_running_processor",
            "Time that the oldest write under way has taken so far",
            s.clone(),
            self.longest_running.clone(),
        );
        all.register(
            "rest_client_requests",
            "Requests by answer, method and server; code <error> when there was no answer",
            self.requests.clone(),
        );
        all.register_with_unit(
            "rest_client_request_duration",
            "Time from a request to the head of its answer",
            s.clone(),
            self.request_duration.clone(),
        );
        all.register(
            "leader_election_master_status",
            "1 while this replica leads, 0 while it stands by",
            self.leading.clone(),
        );
        all.register("everynode_facts", "Facts that the engine observed", self.facts.clone());
        all.register("everynode_actions", "Actions that the engine asked for", self.actions.clone());
        all.register(
            "everynode_unreadable_objects",
            "Watched objects that could not be read",
            self.unreadable.clone(),
        );
        all.register(
            "everynode_watch_interruptions",
            "Watches that broke and were opened anew",
            self.interruptions.clone(),
        );
        all.register(
            "everynode_events_dropped",
            "Events not recorded because too many were waiting",
            self.events_dropped.clone(),
        );
        all.register(
            "everynode_invariant_violations",
            "Faults of the engine itself that came to light; what would have done harm was left out",
            self.violations.clone(),
        );
        all.register("everynode_synced", "1 once all kinds have been listed", self.synced.clone());
        all.register_with_unit(
            "everynode_unwatched",
            "How long nobody watched before this leader, from the last renewal of the Lease by the one before",
            s.clone(),
            self.unwatched.clone(),
        );
        all.register_with_unit(
            "everynode_event_to_decision",
            "From the arrival of a watch event to the decision that saw it",
            s.clone(),
            self.event_to_decision.clone(),
        );
        all.register_with_unit(
            "everynode_decision_to_write",
            "From a decision to the server's answer to its write",
            s,
            self.decision_to_write.clone(),
        );
        all
    }

    /// The figures of the controller in the OpenMetrics text format.
    pub fn encode(&self) -> String {
        self.encode_with("")
    }

    /// The figures of the controller and those of each DaemonSet, for a scraper.
    pub async fn scrape(&self) -> String {
        let fleet = self.fleet().clone();
        let answered = async {
            let (answer, answered) = oneshot::channel();
            fleet?.try_send(answer).ok()?;
            answered.await.ok()
        };
        let fleet = tokio::time::timeout(ANSWER_TIMEOUT, answered).await.ok().flatten();
        self.encode_with(&fleet.unwrap_or_default())
    }

    /// The same in the text format of Prometheus.
    pub async fn scrape_as_text(&self) -> String {
        text::prometheus(&self.scrape().await)
    }

    fn encode_with(&self, more: &str) -> String {
        use prometheus_client::encoding::text::{encode_eof, encode_registry};
        self.measure_under_way();
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = encode_registry(&mut text, &self.registry);
        text.push_str(more);
        let _ = encode_eof(&mut text);
        text
    }

    /// From now on the receiver's owner is asked for the figures of the DaemonSets.
    pub(crate) fn questions(&self) -> mpsc::Receiver<Question> {
        let (questions, asked) = mpsc::channel(QUESTIONS);
        *self.fleet() = Some(questions);
        asked
    }

    fn fleet(&self) -> MutexGuard<'_, Option<mpsc::Sender<Question>>> {
        match self.fleet.lock() {
            Ok(guard) => guard,
            // No step under the lock leaves the option half changed.
            Err(poisoned) => poisoned.into_inner(),
        }
    }

    /// Whether all kinds have been listed: before that nothing is decided.
    pub fn is_synced(&self) -> bool {
        self.synced.get() == 1
    }

    /// All is listed, at this time in Unix milliseconds: the gap since the leader before ends.
    pub(crate) fn set_synced(&self, now_millis: i64) {
        self.synced.set(1);
        let since = self.unwatched_since.lock().unwrap_or_else(PoisonError::into_inner).take();
        let gap_millis = since.map_or(0, |since| now_millis.saturating_sub(since).max(0));
        self.unwatched.set(gap_millis as f64 / 1000.0);
    }

    /// A term begins; the leader before was heard of last at this time in Unix milliseconds, if there was one.
    pub(crate) fn set_unwatched_since(&self, millis: Option<i64>) {
        *self.unwatched_since.lock().unwrap_or_else(PoisonError::into_inner) = millis;
    }

    pub(crate) fn fact(&self, fact: &Fact<'_>) {
        self.facts.get_or_create(&KindLabel { kind: fact_kind(fact) }).inc();
    }

    pub(crate) fn action(&self, work: &Work) {
        self.actions.get_or_create(&KindLabel { kind: work_kind(work) }).inc();
    }

    pub(crate) fn unreadable(&self, kind: Kind) {
        self.unreadable.get_or_create(&KindLabel { kind: kind_name(kind) }).inc();
    }

    pub(crate) fn interruption(&self, kind: &'static str) {
        self.interruptions.get_or_create(&KindLabel { kind }).inc();
    }

    pub(crate) fn set_leading(&self, leads: bool) {
        self.leading.get_or_create(&ELECTION).set(leads.into());
        self.synced.set(0);
    }

    pub(crate) fn queued(&self) {
        self.adds.get_or_create(&QUEUE).inc();
    }

    /// How often the engine has found a fault of its own.
    pub fn violations(&self) -> u64 {
        self.violations.get()
    }

    pub(crate) fn violated(&self, times: u64) {
        self.violations.inc_by(times);
    }

    pub(crate) fn put_back(&self) {
        self.retries.get_or_create(&QUEUE).inc();
    }

    pub(crate) fn set_depth(&self, waiting: usize) {
        self.depth.get_or_create(&QUEUE).set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }

    pub(crate) fn write_began(&self, number: u64, now: Instant, waited: Duration) {
        self.queue_duration.get_or_create(&QUEUE).observe(waited.as_secs_f64());
        self.under_way().insert(number, now);
    }

    /// A write is not under way any more, however it ended.
    pub(crate) fn write_left(&self, number: u64) {
        self.under_way().remove(&number);
    }

    pub(crate) fn write_ended(&self, took: Duration, since_decision: Duration) {
        self.work_duration.get_or_create(&QUEUE).observe(took.as_secs_f64());
        self.decision_to_write.observe(since_decision.as_secs_f64());
    }

    fn under_way(&self) -> MutexGuard<'_, BTreeMap<u64, Instant>> {
        match self.under_way.lock() {
            Ok(guard) => guard,
            // No step under the lock leaves the map half changed.
            Err(poisoned) => poisoned.into_inner(),
        }
    }

    fn measure_under_way(&self) {
        let (now, under_way) = (Instant::now(), self.under_way());
        let taken = |began: &Instant| now.saturating_duration_since(*began).as_secs_f64();
        self.unfinished
            .get_or_create(&QUEUE)
            .set(under_way.values().map(taken).fold(0.0, |sum, one| sum + one));
        self.longest_running.get_or_create(&QUEUE).set(under_way.values().map(taken).fold(0.0, f64::max));
    }

    pub(crate) fn decided(&self, since_event: Duration) {
        self.event_to_decision.observe(since_event.as_secs_f64());
    }

    pub(crate) fn event_dropped(&self) {
        self.events_dropped.inc();
    }
}

impl Observer for Metrics {
    fn request(&self, method: &Method, host: &str, code: Option<u16>, took: Duration) {
        let (method, host) = (method.as_str().to_owned(), host.to_owned());
        let verb = VerbLabels { verb: method.clone(), host: host.clone() };
        self.request_duration.get_or_create(&verb).observe(took.as_secs_f64());
        let code = code.map_or_else(|| "<error>".to_owned(), |code| code.to_string());
        self.requests.get_or_create(&RequestLabels { code, method, host }).inc();
    }
}

/// The Kubernetes name of a kind.
pub(crate) fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Node => "Node",
        Kind::DaemonSet => "DaemonSet",
        Kind::Pod => "Pod",
        Kind::Revision => "ControllerRevision",
    }
}

fn fact_kind(fact: &Fact<'_>) -> &'static str {
    match fact {
        Fact::Node(_) => "node",
        Fact::NodeGone(_) => "node_gone",
        Fact::DaemonSet(_) => "daemonset",
        Fact::DaemonSetGone(_) => "daemonset_gone",
        Fact::Pod(_) => "pod",
        Fact::PodGone { .. } => "pod_gone",
        Fact::Revision(_) => "revision",
        Fact::RevisionGone(_) => "revision_gone",
        Fact::RelistBegun(_) => "relist_begun",
        Fact::RelistEnded { .. } => "relist_ended",
        Fact::Progress { .. } => "progress",
        Fact::Policies(_) => "policies",
        Fact::Samples(_) => "samples",
        Fact::Finished { .. } => "finished",
    }
}

/// The name of a kind of write, for figures and logs.
pub(crate) fn work_kind(work: &Work) -> &'static str {
    match work {
        Work::CreatePod(_) => "create_pod",
        Work::DeletePod(_) | Work::DeletePodAsKnown { .. } => "delete_pod",
        Work::AdoptPod(_) => "adopt_pod",
        Work::ReleasePod(_) => "release_pod",
        Work::LabelPod { .. } => "label_pod",
        Work::CreateRevision(_) => "create_revision",
        Work::UpdateRevision { .. } => "update_revision",
        Work::DeleteRevision(_) => "delete_revision",
        Work::AdoptRevision(_) => "adopt_revision",
        Work::ReleaseRevision(_) => "release_revision",
        Work::WriteStatus { .. } => "write_status",
        Work::BumpCollisionCount { .. } => "bump_collision_count",
        Work::WritePolicyStatus { .. } => "write_policy_status",
        Work::RewriteTemplate { .. } => "rewrite_template",
        Work::RecordEvent(_) => "record_event",
        Work::Relist(_) => "relist",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Statement O1.
    #[test]
    fn the_figures_have_the_names_that_dashboards_look_for() {
        let metrics = Metrics::new();
        metrics.queued();
        metrics.set_depth(3);
        let millis = Duration::from_millis;
        metrics.request(&Method::POST, "10.0.0.1:443", Some(201), millis(3));
        metrics.request(&Method::GET, "10.0.0.1:443", None, millis(3));
        metrics.write_began(1, Instant::now(), millis(2));
        metrics.set_leading(true);
        metrics.write_ended(Duration::from_millis(5), Duration::from_millis(7));
        metrics.decided(Duration::from_micros(90));
        let text = metrics.encode();
        for line in [
            r#"workqueue_depth{name="daemonset"} 3"#,
            r#"workqueue_adds_total{name="daemonset"} 1"#,
            r#"rest_client_requests_total{code="201",method="POST",host="10.0.0.1:443"} 1"#,
            r#"rest_client_requests_total{code="<error>",method="GET",host="10.0.0.1:443"} 1"#,
            r#"rest_client_request_duration_seconds_count{verb="POST",host="10.0.0.1:443"} 1"#,
            r#"leader_election_master_status{name="everynode-controller"} 1"#,
            r#"workqueue_unfinished_work_seconds{name="daemonset"}"#,
            r#"workqueue_longest_running_processor_seconds{name="daemonset"}"#,
            r#"workqueue_queue_duration_seconds_count{name="daemonset"} 1"#,
            r#"workqueue_work_duration_seconds_sum{name="daemonset"} 0.005"#,
            r#"everynode_event_to_decision_seconds_bucket{le="0.0001"} 1"#,
            "everynode_decision_to_write_seconds_sum 0.007",
        ] {
            assert!(text.contains(line), "{line} is missing in:\n{text}");
        }
        assert!(!metrics.is_synced());
        metrics.set_unwatched_since(Some(1_000));
        metrics.clone().set_synced(4_500);
        assert!(metrics.is_synced());
        assert!(metrics.encode().contains("everynode_unwatched_seconds 3.5\n"));
        // Without a leader before there was no gap.
        metrics.set_synced(9_000);
        assert!(metrics.encode().contains("everynode_unwatched_seconds 0.0\n"));
    }
}
