//! Counters in the Prometheus text format, under the names that the field knows.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use everynode_apimachinery::resource::Resource;

use crate::audit::Counters;
use crate::catalog::Registry;
use crate::store::Store;

/// What is counted apart: verb, group, version, resource, subresource, code.
type Series = (&'static str, String, String, String, String, u16);

/// Series that are kept at most; a client cannot make more by asking for nonsense.
const SERIES: usize = 10_000;

/// The counters of a server.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: Mutex<BTreeMap<Series, u64>>,
    watches: Arc<AtomicUsize>,
}

/// One watch, which is counted until this is dropped.
#[derive(Debug)]
pub struct Watching(Arc<AtomicUsize>);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Metrics {
    /// Counts a watch, unless there are so many already.
    pub fn begin_watch(&self, limit: usize) -> Option<Watching> {
        let watching = Watching(self.watches.clone());
        (self.watches.fetch_add(1, Ordering::Relaxed) < limit).then_some(watching)
    }

    /// Counts an answered request.
    pub fn count(&self, series: Series) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if requests.len() < SERIES || requests.contains_key(&series) {
            *requests.entry(series).or_default() += 1;
        }
    }

    /// All counters as text.
    pub fn text(&self, store: &Store, registry: &Registry, audit: Option<&Counters>) -> String {
        let mut out = String::new();
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        out.push_str("# HELP apiserver_request_total Requests by verb, resource and code.\n");
        out.push_str("# TYPE apiserver_request_total counter\n");
        for ((verb, group, version, resource, subresource, code), count) in &*requests {
            // Writing to a string cannot fail.
            let _ = writeln!(
                out,
                "apiserver_request_total{{verb=\"{verb}\",group=\"{group}\",version=\"{version}\",resource=\"{resource}\",subresource=\"{subresource}\",code=\"{code}\"}} {count}"
            );
        }
        out.push_str("# HELP apiserver_longrunning_requests Watches that are open.\n");
        out.push_str("# TYPE apiserver_longrunning_requests gauge\n");
        let _ = writeln!(
            out,
            "apiserver_longrunning_requests{{verb=\"WATCH\"}} {}",
            self.watches.load(Ordering::Relaxed)
        );
        out.push_str("# HELP apiserver_resource_objects Stored objects by resource.\n");
        out.push_str("# TYPE apiserver_resource_objects gauge\n");
        for (resource, count) in object_counts(store, registry) {
            let _ = writeln!(out, "apiserver_resource_objects{{resource=\"{resource}\"}} {count}");
        }
        out.push_str("# HELP everynode_store_revision The last revision of the store.\n");
        out.push_str("# TYPE everynode_store_revision counter\n");
        let _ = writeln!(out, "everynode_store_revision {}", store.revision());
        if let Some(audit) = audit {
            out.push_str("# HELP apiserver_audit_event_total Lines written to the audit log.\n");
            out.push_str("# TYPE apiserver_audit_event_total counter\n");
            let _ = writeln!(out, "apiserver_audit_event_total {}", audit.written());
            out.push_str("# HELP apiserver_audit_error_total Lines of the audit log that are lost.\n");
            out.push_str("# TYPE apiserver_audit_error_total counter\n");
            let _ = writeln!(out, "apiserver_audit_error_total{{plugin=\"log\"}} {}", audit.lost());
        }
        out
    }
}

/// How many objects each resource has, by names such as `daemonsets.apps`.
fn object_counts(store: &Store, registry: &Registry) -> Vec<(String, usize)> {
    let name = |resource: &Resource| match &*resource.group {
        "" => resource.plural.clone().into_owned(),
        group => format!("{}.{group}", &resource.plural),
    };
    registry.shelves().map(|(shelf, resource)| (name(resource), store.count(shelf))).collect()
}
