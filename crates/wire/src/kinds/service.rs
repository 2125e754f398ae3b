//! Services and their endpoints.

use super::{PROXY, ROW, status, subresource};
use crate::resource::Resource;
use crate::validate::meta::NameRule;

pub(super) const RESOURCES: &[Resource] = &[
    Resource {
        kind: "Endpoints",
        plural: "endpoints",
        singular: "endpoints",
        short_names: &["ep"],
        type_name: "core.v1.Endpoints",
        create_on_update: true,
        ..ROW
    },
    Resource {
        kind: "Service",
        plural: "services",
        singular: "service",
        short_names: &["svc"],
        categories: &["all"],
        subresources: &[subresource("proxy", "ServiceProxyOptions", PROXY), status("Service")],
        type_name: "core.v1.Service",
        selectable_fields: &["spec.clusterIP", "spec.type"],
        name_rule: NameRule::Label1035,
        create_on_update: true,
        ..ROW
    },
    Resource {
        group: "discovery.k8s.io",
        kind: "EndpointSlice",
        plural: "endpointslices",
        singular: "endpointslice",
        type_name: "discovery.v1.EndpointSlice",
        ..ROW
    },
];
