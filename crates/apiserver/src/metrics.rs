//! Figures in the text format of Prometheus, under the names that the field knows.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use everynode_apimachinery::resource::Resource;
use futures::future::BoxFuture;
use prometheus_client::encoding::text::encode_registry;
use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::{MetricType, TypedMetric, counter};
use prometheus_client::registry::Registry as Figures;

use crate::audit;
use crate::catalog::Registry;
use crate::store::Store;

/// What is counted apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    pub verb: &'static str,
    pub group: String,
    pub version: String,
    pub resource: String,
    pub subresource: String,
    pub code: u16,
}

/// Series of requests that are kept at most; a client cannot make more by asking for nonsense.
const MAX_SERIES: usize = 10_000;

/// A counter as the text format of Prometheus has it: its family is called what its samples are called. The library
/// writes OpenMetrics, where the name of the family lacks their `_total`, so that a scraper would find no type.
#[derive(Clone, Debug, Default)]
struct Counter(counter::Counter);

impl Counter {
    fn at(count: u64) -> Counter {
        let counter = Counter::default();
        counter.0.inc_by(count);
        counter
    }
}

impl TypedMetric for Counter {
    const TYPE: MetricType = MetricType::Counter;
}

impl EncodeMetric for Counter {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        // A gauge is written under the name alone.
        encoder.encode_gauge(&self.0.get())
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

/// Knows the figures of what runs beside the server. They are shown with its own.
pub trait MoreFigures: fmt::Debug + Send + Sync {
    /// All figures, in the text format of Prometheus.
    fn text(&self) -> BoxFuture<'_, String>;
}

/// The media type of that format.
pub const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a server counts.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: Family<RequestLabels, Counter>,
    /// How many of `requests` there are.
    series: AtomicUsize,
    watches: Gauge,
}

/// One watch, which is counted until this is dropped.
#[derive(Debug)]
pub struct Watching(Gauge);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// Counts a watch, unless there are so many already.
    pub fn begin_watch(&self, limit: usize) -> Option<Watching> {
        let before = self.watches.inc();
        let watching = Watching(self.watches.clone());
        usize::try_from(before).is_ok_and(|before| before < limit).then_some(watching)
    }

    /// Counts an answered request.
    pub fn count(&self, labels: &RequestLabels) {
        if let Some(counter) = self.requests.get(labels) {
            counter.0.inc();
            return;
        }
        // Two requests that are the first of their series may take two places; that many threads matter to no limit.
        let place = |taken: usize| (taken < MAX_SERIES).then_some(taken + 1);
        if self.series.fetch_update(Ordering::Relaxed, Ordering::Relaxed, place).is_ok() {
            self.requests.get_or_create(labels).0.inc();
        }
    }

    /// All figures as text.
    pub fn text(&self, store: &Store, registry: &Registry, audit: Option<&audit::Counters>) -> String {
        let mut all = Figures::default();
        all.register("apiserver_request_total", "Requests by verb, resource and code", self.requests.clone());
        all.sub_registry_with_label(("verb".into(), "WATCH".into())).register(
            "apiserver_longrunning_requests",
            "Watches that are open",
            self.watches.clone(),
        );
        let objects = object_counts(store, registry);
        all.register("apiserver_resource_objects", "Stored objects by resource", objects);
        let revision = Gauge::<i64>::default();
        revision.set(i64::try_from(store.revision()).unwrap_or(i64::MAX));
        all.register("everynode_store_revision", "The last revision of the store", revision);
        if let Some(audit) = audit {
            let (written, lost) = (Counter::at(audit.written()), Counter::at(audit.lost()));
            all.register("apiserver_audit_event_total", "Lines written to the audit log", written);
            all.sub_registry_with_label(("plugin".into(), "log".into())).register(
                "apiserver_audit_error_total",
                "Lines of the audit log that are lost",
                lost,
            );
        }
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode_registry(&mut text, &all);
        text
    }
}

/// How many objects each resource has, by names such as `daemonsets.apps`.
fn object_counts(store: &Store, registry: &Registry) -> Family<[(&'static str, String); 1], Gauge> {
    let name = |resource: &Resource| match &*resource.group {
        "" => resource.plural.clone().into_owned(),
        group => format!("{}.{group}", &resource.plural),
    };
    let objects = Family::<_, Gauge>::default();
    for (table, resource) in registry.tables() {
        let count = i64::try_from(store.count(table)).unwrap_or(i64::MAX);
        objects.get_or_create(&[("resource", name(resource))]).set(count);
    }
    objects
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;
    use crate::store::{Limits, Memory};

    fn labels(code: u16) -> RequestLabels {
        RequestLabels {
            verb: "LIST",
            group: "apps".into(),
            version: "v1".into(),
            resource: "daemonsets".into(),
            subresource: String::new(),
            code,
        }
    }

    fn text(metrics: &Metrics) -> String {
        let catalog = Catalog::new(false);
        let facts = |_, _: &[u8]| None;
        let store = Store::open(Box::new(Memory), catalog.table_specs(), Limits::default(), &facts).unwrap();
        metrics.text(&store, &catalog.registry(), Some(&audit::Counters::default()))
    }

    #[test]
    fn families_are_called_and_typed_as_their_samples_are_in_the_text_format_of_prometheus() {
        let metrics = Metrics::default();
        let _watching = metrics.begin_watch(1).unwrap();
        assert!(metrics.begin_watch(1).is_none());
        metrics.count(&labels(200));
        metrics.count(&labels(200));
        let text = text(&metrics);
        for lines in [
            "# HELP apiserver_request_total Requests by verb, resource and code.\n\
             # TYPE apiserver_request_total counter\n\
             apiserver_request_total{verb=\"LIST\",group=\"apps\",version=\"v1\",resource=\"daemonsets\",\
             subresource=\"\",code=\"200\"} 2\n",
            "# TYPE apiserver_longrunning_requests gauge\napiserver_longrunning_requests{verb=\"WATCH\"} 1\n",
            "# TYPE apiserver_resource_objects gauge\n",
            "\napiserver_resource_objects{resource=\"daemonsets.apps\"} 0\n",
            "\napiserver_resource_objects{resource=\"pods\"} 0\n",
            "# TYPE everynode_store_revision gauge\neverynode_store_revision 1\n",
            "# TYPE apiserver_audit_event_total counter\napiserver_audit_event_total 0\n",
            "# TYPE apiserver_audit_error_total counter\napiserver_audit_error_total{plugin=\"log\"} 0\n",
        ] {
            assert!(text.contains(lines), "{lines} is missing in:\n{text}");
        }
        everynode_testkit::check_metrics(&text);
    }

    #[test]
    fn only_so_many_series_are_kept_and_those_go_on_counting() {
        let metrics = Metrics::default();
        for code in 0..=u16::MAX {
            metrics.count(&labels(code));
        }
        metrics.count(&labels(7));
        let text = text(&metrics);
        let lines: Vec<&str> =
            text.lines().filter(|line| line.starts_with("apiserver_request_total{")).collect();
        assert_eq!(lines.len(), MAX_SERIES);
        assert!(lines.iter().any(|line| line.ends_with("code=\"7\"} 2")));
    }
}
