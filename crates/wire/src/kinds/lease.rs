//! Leases: heartbeats of nodes, and leader election.

use super::ROW;
use crate::resource::Resource;

pub(super) const RESOURCES: &[Resource] = &[Resource {
    group: "coordination.k8s.io",
    kind: "Lease",
    plural: "leases",
    singular: "lease",
    type_name: "coordination.v1.Lease",
    create_on_update: true,
    unconditional_update: false,
    ..ROW
}];
