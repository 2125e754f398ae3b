//! Autoscalers: kept for manifests that bring them.

use super::{ROW, status};
use crate::resource::Resource;

pub(super) const RESOURCES: &[Resource] = &[Resource {
    group: "autoscaling",
    version: "v2",
    kind: "HorizontalPodAutoscaler",
    plural: "horizontalpodautoscalers",
    singular: "horizontalpodautoscaler",
    short_names: &["hpa"],
    categories: &["all"],
    subresources: &[status("HorizontalPodAutoscaler")],
    type_name: "autoscaling.v2.HorizontalPodAutoscaler",
    ..ROW
}];
