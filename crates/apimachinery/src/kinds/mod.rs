//! The kinds: one module per kind or group of small kinds, with its rows of the resource table and
//! its rules.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use crate::resource::Resource;

mod address;
mod admission;
mod admission_policy;
mod api_service;
mod autoscaling;
mod autoscaling_v1;
mod batch;
mod binding;
mod certificate;
mod config;
mod controller_revision;
mod custom_resource_definition;
mod daemon_set;
mod device;
mod event;
mod flow_control;
mod gated;
mod lease;
mod namespace;
mod networking;
mod node;
mod node_runtime;
mod pod;
mod policy;
mod print;
mod quota;
mod rbac;
mod review;
mod row;
mod scheduling;
mod service;
mod service_account;
mod spread_keys;
mod storage;
mod usage;
mod volume;
mod workload;

pub use autoscaling_v1::scale;
pub use scheduling::SYSTEM_PRIORITIES;
pub use usage::METRICS;

static RESOURCES: LazyLock<Vec<Arc<Resource>>> = LazyLock::new(|| {
    let rows = [
        address::RESOURCES,
        admission::RESOURCES,
        admission_policy::RESOURCES,
        api_service::RESOURCES,
        autoscaling::RESOURCES,
        autoscaling_v1::RESOURCES,
        batch::RESOURCES,
        binding::RESOURCES,
        certificate::RESOURCES,
        config::RESOURCES,
        controller_revision::RESOURCES,
        custom_resource_definition::RESOURCES,
        daemon_set::RESOURCES,
        device::RESOURCES,
        event::RESOURCES,
        flow_control::RESOURCES,
        lease::RESOURCES,
        namespace::RESOURCES,
        networking::RESOURCES,
        node::RESOURCES,
        node_runtime::RESOURCES,
        pod::RESOURCES,
        policy::RESOURCES,
        quota::RESOURCES,
        rbac::RESOURCES,
        review::RESOURCES,
        scheduling::RESOURCES,
        service::RESOURCES,
        service_account::RESOURCES,
        storage::RESOURCES,
        usage::RESOURCES,
        volume::RESOURCES,
        workload::RESOURCES,
    ]
    .concat();
    let mut all: Vec<Arc<Resource>> = rows.iter().map(|row| Arc::new(Resource::from(row))).collect();
    all.sort_by(|a, b| (&a.group, &a.version, &a.plural).cmp(&(&b.group, &b.version, &b.plural)));
    all
});

/// Resources by group, version and plural.
type ByPlural = HashMap<(&'static str, &'static str, &'static str), &'static Arc<Resource>>;

static BY_PLURAL: LazyLock<ByPlural> = LazyLock::new(|| {
    RESOURCES
        .iter()
        .map(|row| ((row.group.as_ref(), row.version.as_ref(), row.plural.as_ref()), row))
        .collect()
});

/// Every built-in resource, sorted by group, version and plural.
pub fn resources() -> &'static [Arc<Resource>] {
    &RESOURCES
}

/// The built-in resource with that plural name.
pub fn resource_for(group: &str, version: &str, plural: &str) -> Option<&'static Arc<Resource>> {
    BY_PLURAL.get(&(group, version, plural)).copied()
}

/// The built-in resource whose objects have that kind.
pub fn resource_for_kind(group: &str, version: &str, kind: &str) -> Option<&'static Resource> {
    let found = RESOURCES.iter().find(|row| row.kind == kind && row.version == version && row.group == group);
    found.map(|row| &**row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storage_version_hashes_are_those_of_the_api() {
        let check = |group, version, plural, hash: Option<&str>| {
            let row = resource_for(group, version, plural).expect(plural);
            assert_eq!(row.storage_version_hash().as_deref(), hash, "{plural}");
        };
        check("apps", "v1", "daemonsets", Some("dd7pWHUlMKQ="));
        check("", "v1", "pods", Some("xPOwRZ+Yhw8="));
        check("", "v1", "events", Some("r2yiGXH7wu8="));
        check("events.k8s.io", "v1", "events", Some("r2yiGXH7wu8="));
        check("", "v1", "bindings", None);
    }

    #[test]
    fn every_row_is_complete_and_found_by_plural_and_by_kind() {
        for row in resources() {
            assert!(!row.kind.is_empty() && !row.singular.is_empty() && !row.type_name.is_empty(), "{row:?}");
            let found = resource_for(&row.group, &row.version, &row.plural).map(|r| &r.kind);
            assert_eq!(found, Some(&row.kind));
            assert_eq!(
                resource_for_kind(&row.group, &row.version, &row.kind).map(|r| &r.plural),
                Some(&row.plural)
            );
        }
    }
}
