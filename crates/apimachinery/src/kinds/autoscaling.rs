//! Autoscalers: kept for manifests that bring them.

use everynode_model::Value;
use everynode_model::access::{Fill, Read};
use serde_json::json;

use super::print;
use super::row::{ROW, Row, status};
use crate::rules::{Column, Rules, strategy};

pub(super) const RESOURCES: &[Row] = &[Row {
    group: "autoscaling",
    version: "v2",
    kind: "HorizontalPodAutoscaler",
    plural: "horizontalpodautoscalers",
    singular: "horizontalpodautoscaler",
    short_names: &["hpa"],
    categories: &["all"],
    subresources: &[status("HorizontalPodAutoscaler")],
    type_name: "autoscaling.v2.HorizontalPodAutoscaler",
    rules: &HorizontalPodAutoscaler,
    ..ROW
}];

#[derive(Debug)]
struct HorizontalPodAutoscaler;

impl Rules for HorizontalPodAutoscaler {
    fn default(&self, object: &mut Value) {
        let Some(spec) = object.get_mut("spec") else { return };
        spec.fill("minReplicas", 1);
        if spec.items("metrics").is_empty() {
            let target = json!({"type": "Utilization", "averageUtilization": 80});
            spec.put("metrics", json!([{"type": "Resource", "resource": {"name": "cpu", "target": target}}]));
        }
        if let Some(behavior) = spec.get_mut("behavior") {
            scale_up(behavior);
            scale_down(behavior);
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        strategy::reset_status(object, "autoscaling.v2.HorizontalPodAutoscalerStatus");
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        strategy::keep(new, old, "status");
    }

    fn prepare_status_update(&self, new: &mut Value, old: &Value) {
        strategy::status_update(new, old);
    }

    fn columns(&self) -> &'static [Column] {
        print::workload::AUTOSCALER
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        print::workload::autoscaler(object, now)
    }
}

fn scale_up(behavior: &mut Value) {
    if let Some(rules) = behavior.make("scaleUp") {
        rules.fill("stabilizationWindowSeconds", 0);
        rules.fill("selectPolicy", "Max");
        rules.fill(
            "policies",
            json!([
                {"type": "Pods", "value": 4, "periodSeconds": 15},
                {"type": "Percent", "value": 100, "periodSeconds": 15}
            ]),
        );
    }
}

fn scale_down(behavior: &mut Value) {
    if let Some(rules) = behavior.make("scaleDown") {
        rules.fill("selectPolicy", "Max");
        rules.fill("policies", json!([{"type": "Percent", "value": 100, "periodSeconds": 15}]));
    }
}
