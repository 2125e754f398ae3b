//! Controller revisions: the history of a workload's templates.

use super::ROW;
use crate::resource::Resource;

pub(super) const RESOURCES: &[Resource] = &[Resource {
    group: "apps",
    kind: "ControllerRevision",
    plural: "controllerrevisions",
    singular: "controllerrevision",
    type_name: "apps.v1.ControllerRevision",
    ..ROW
}];
