//! Autoscalers in their older version: those of `v2`, with what it does not know in annotations.

use std::sync::{Arc, LazyLock};

use everynode_model::access::{Fill, Read};
use everynode_model::{Object, Value};
use serde_json::json;

use super::print;
use super::row::{ROW, Row, status};
use crate::defaults;
use crate::resource::{Resource, StoredAs};
use crate::rules::{Column, Rules, strategy};
use crate::schema;

pub(super) const RESOURCES: &[Row] = &[Row {
    group: "autoscaling",
    kind: "HorizontalPodAutoscaler",
    plural: "horizontalpodautoscalers",
    singular: "horizontalpodautoscaler",
    short_names: &["hpa"],
    categories: &["all"],
    subresources: &[status("HorizontalPodAutoscaler")],
    type_name: "autoscaling.v1.HorizontalPodAutoscaler",
    stored_as: Some(|| Arc::new(InNewVersion)),
    rules: &HorizontalPodAutoscaler,
    ..ROW
}];

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

#[derive(Debug)]
struct InNewVersion;

impl StoredAs for InNewVersion {
    fn group(&self) -> &str {
        "autoscaling"
    }

    fn version(&self) -> &str {
        "v2"
    }

    fn plural(&self) -> &str {
        "horizontalpodautoscalers"
    }

    fn to_stored(&self, object: Value) -> Value {
        newer(object)
    }

    fn shown_form(&self, object: Value) -> Value {
        older(&object)
    }
}

/// The scale of an object: a part of others, and no resource of its own, but shown in tables as one.
static SCALE: LazyLock<Resource> = LazyLock::new(|| {
    Resource::from(&Row {
        group: "autoscaling",
        kind: "Scale",
        plural: "scales",
        singular: "scale",
        verbs: &[],
        type_name: "autoscaling.v1.Scale",
        rules: &Scale,
        ..ROW
    })
});

/// How the scale of an object is shown.
pub fn scale() -> &'static Resource {
    &SCALE
}

#[derive(Debug)]
struct Scale;

impl Rules for Scale {
    fn columns(&self) -> &'static [Column] {
        print::workload::SCALE
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        print::workload::scale(object, now)
    }
}

/// A field of `v1`, the same in `v2`, and whether `v1` always has it.
type Names = (&'static str, &'static str, bool);

/// What a kind of metric is asked to be.
fn target_names(kind: &str) -> &'static [Names] {
    match kind {
        "object" => &[
            ("target", "describedObject", false),
            ("metricName", "metric.name", false),
            ("targetValue", "target.value", true),
            ("selector", "metric.selector", false),
            ("averageValue", "target.averageValue", false),
        ],
        "pods" => &[
            ("metricName", "metric.name", false),
            ("targetAverageValue", "target.averageValue", true),
            ("selector", "metric.selector", false),
        ],
        "resource" | "containerResource" => &[
            ("name", "name", false),
            ("targetAverageUtilization", "target.averageUtilization", false),
            ("targetAverageValue", "target.averageValue", false),
            ("container", "container", false),
        ],
        _ => &[
            ("metricName", "metric.name", false),
            ("metricSelector", "metric.selector", false),
            ("targetValue", "target.value", false),
            ("targetAverageValue", "target.averageValue", false),
        ],
    }
}

/// What a kind of metric is now.
fn current_names(kind: &str) -> &'static [Names] {
    match kind {
        "object" => &[
            ("target", "describedObject", false),
            ("metricName", "metric.name", false),
            ("currentValue", "current.value", true),
            ("selector", "metric.selector", false),
            ("averageValue", "current.averageValue", false),
        ],
        "pods" => &[
            ("metricName", "metric.name", false),
            ("currentAverageValue", "current.averageValue", true),
            ("selector", "metric.selector", false),
        ],
        "resource" | "containerResource" => &[
            ("name", "name", false),
            ("currentAverageUtilization", "current.averageUtilization", false),
            ("currentAverageValue", "current.averageValue", true),
            ("container", "container", false),
        ],
        _ => &[
            ("metricName", "metric.name", false),
            ("metricSelector", "metric.selector", false),
            ("currentValue", "current.value", true),
            ("currentAverageValue", "current.averageValue", false),
        ],
    }
}

/// Fields of the rules of a behaviour, which the annotation writes with capitals.
const RULE_FIELDS: [(&str, &str); 4] = [
    ("StabilizationWindowSeconds", "stabilizationWindowSeconds"),
    ("SelectPolicy", "selectPolicy"),
    ("Policies", "policies"),
    ("Tolerance", "tolerance"),
];
const POLICY_FIELDS: [(&str, &str); 3] =
    [("Type", "type"), ("Value", "value"), ("PeriodSeconds", "periodSeconds")];
const SIDES: [(&str, &str); 2] = [("ScaleUp", "scaleUp"), ("ScaleDown", "scaleDown")];

/// Whether this is the metric for which `v1` has a field.
fn is_cpu(metric: &Value, utilization: &str) -> bool {
    metric.text("type") == "Resource"
        && metric.text("resource.name") == "cpu"
        && metric.at("resource").is_some_and(|resource| resource.has(utilization))
}

/// Sets a field behind a dotted path.
fn put_at(object: &mut Value, path: &str, value: Value) {
    match path.split_once('.') {
        None => object.put(path, value),
        Some((first, rest)) => {
            if let Some(inner) = object.make(first) {
                put_at(inner, rest, value);
            }
        }
    }
}

fn older_metric(metric: &Value, names: fn(&str) -> &'static [Names]) -> Value {
    let mut older = json!({"type": metric.text("type")});
    for (kind, source) in entries(metric).filter(|(kind, _)| *kind != "type") {
        let mut fields = Object::new();
        for (old, new, always) in names(kind) {
            match source.at(new) {
                Some(value) => drop(fields.insert((*old).into(), value.clone())),
                None if *always => drop(fields.insert((*old).into(), "0".into())),
                None => {}
            }
        }
        older.put(kind, Value::Object(fields));
    }
    older
}

fn newer_metric(metric: &Value, names: fn(&str) -> &'static [Names]) -> Value {
    let mut newer = json!({"type": metric.text("type")});
    for (kind, source) in entries(metric).filter(|(kind, _)| *kind != "type") {
        let mut fields = Value::Object(Object::new());
        for (old, new, _) in names(kind) {
            // An average stands alone; the older version had to write a value beside it.
            let is_filler = kind == "object" && *old == "targetValue" && source.has("averageValue");
            if let Some(value) = source.at(old).filter(|value| !(is_filler && *value == "0")) {
                put_at(&mut fields, new, value.clone());
            }
        }
        if fields.has("target") {
            let of = |field: &str| fields.has(&format!("target.{field}"));
            let target = match (of("averageUtilization"), of("averageValue"), of("value")) {
                (true, ..) => "Utilization",
                (_, _, true) if kind != "object" || !of("averageValue") => "Value",
                _ => "AverageValue",
            };
            put_at(&mut fields, "target.type", target.into());
        }
        newer.put(kind, fields);
    }
    newer
}

fn entries(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

/// A behaviour with its fields renamed from the second name of each pair to the first, or back.
fn renamed_behavior(behavior: &Value, capitals: bool) -> Value {
    let pick = |(upper, lower): (&'static str, &'static str)| {
        if capitals { (lower, upper) } else { (upper, lower) }
    };
    let mut renamed = Object::new();
    for (from, to) in SIDES.map(pick) {
        let Some(side) = behavior.at(from) else {
            if capitals {
                renamed.insert(to.into(), Value::Null);
            }
            continue;
        };
        let mut rules = Object::new();
        for (from, to) in RULE_FIELDS.map(pick) {
            match side.at(from) {
                Some(Value::Array(list)) => {
                    let policies = list.iter().map(|policy| {
                        let fields = POLICY_FIELDS.map(pick).into_iter();
                        let fields =
                            fields.filter_map(|(from, to)| Some((to.to_owned(), policy.at(from)?.clone())));
                        Value::Object(fields.collect())
                    });
                    rules.insert(to.into(), policies.collect());
                }
                Some(value) => drop(rules.insert(to.into(), value.clone())),
                None if capitals => drop(rules.insert(to.into(), Value::Null)),
                None => {}
            }
        }
        renamed.insert(to.into(), Value::Object(rules));
    }
    Value::Object(renamed)
}

fn ordered(type_name: &str, mut object: Value) -> Value {
    if let Some(ty) = schema::type_named(type_name) {
        defaults::order(ty, &mut object);
    }
    object
}

/// An autoscaler of `v2` as `v1` shows it.
fn older(object: &Value) -> Value {
    let mut shown = json!({"kind": "HorizontalPodAutoscaler", "apiVersion": "autoscaling/v1"});
    let mut metadata = object.get("metadata").cloned().unwrap_or_default();
    let texts = annotations_of(object);
    if let Some(annotations) = metadata.make("annotations") {
        [METRICS, CURRENT_METRICS, CONDITIONS, BEHAVIOR]
            .iter()
            .for_each(|key| drop(annotations.take_out(key)));
        for (key, value) in texts {
            annotations.put(key, value.to_string());
        }
        if annotations.as_object().is_some_and(Object::is_empty) {
            metadata.take_out("annotations");
        }
    }
    shown.put("metadata", metadata);
    let (mut spec, mut status) = (Value::Object(Object::new()), Value::Object(Object::new()));
    for field in ["scaleTargetRef", "minReplicas", "maxReplicas"] {
        copy(object, "spec", field, &mut spec);
    }
    for field in ["observedGeneration", "lastScaleTime", "currentReplicas", "desiredReplicas"] {
        copy(object, "status", field, &mut status);
    }
    status.fill("currentReplicas", 0);
    status.fill("desiredReplicas", 0);
    let wanted =
        object.items("spec.metrics").iter().find(|metric| is_cpu(metric, "target.averageUtilization"));
    if let Some(percent) = wanted.and_then(|metric| metric.at("resource.target.averageUtilization")) {
        spec.put("targetCPUUtilizationPercentage", percent.clone());
    }
    let mut current = object.items("status.currentMetrics").iter();
    if let Some(metric) = current.rfind(|metric| is_cpu(metric, "current.averageUtilization")) {
        let percent = metric.at("resource.current.averageUtilization").cloned().unwrap_or_default();
        status.put("currentCPUUtilizationPercentage", percent);
    }
    shown.put("spec", spec);
    shown.put("status", status);
    ordered("autoscaling.v1.HorizontalPodAutoscaler", shown)
}

fn copy(object: &Value, part: &str, field: &str, into: &mut Value) {
    if let Some(value) = object.get(part).and_then(|part| part.at(field)) {
        into.put(field, value.clone());
    }
}

/// What `v1` has no fields for.
fn annotations_of(object: &Value) -> Vec<(&'static str, Value)> {
    let mut texts = Vec::new();
    let others = object.items("spec.metrics").iter();
    let others: Vec<Value> = others
        .filter(|metric| !is_cpu(metric, "target.averageUtilization"))
        .map(|metric| older_metric(metric, target_names))
        .collect();
    if !others.is_empty() {
        texts.push((METRICS, Value::from(others)));
    }
    let current = object.items("status.currentMetrics");
    if !current.is_empty() {
        texts.push((
            CURRENT_METRICS,
            current.iter().map(|metric| older_metric(metric, current_names)).collect(),
        ));
    }
    if let Some(behavior) = object.at("spec.behavior") {
        texts.push((BEHAVIOR, renamed_behavior(behavior, true)));
    }
    let conditions = object.items("status.conditions");
    if !conditions.is_empty() {
        texts.push((CONDITIONS, Value::from(conditions.to_vec())));
    }
    texts
}

/// An autoscaler of `v1` in the version in which it is kept.
fn newer(mut object: Value) -> Value {
    let mut metadata = object.take_out("metadata").unwrap_or_default();
    let mut read = |key: &str| -> Option<Value> {
        let text = metadata.at_mut("annotations")?.take_out(key)?;
        serde_json::from_str(text.as_str()?).ok()
    };
    let (metrics, behavior, current, conditions) =
        (read(METRICS), read(BEHAVIOR), read(CURRENT_METRICS), read(CONDITIONS));
    if metadata.entries("annotations").next().is_none() {
        metadata.take_out("annotations");
    }
    let mut spec = object.take_out("spec").unwrap_or_default();
    let cpu = spec.take_out("targetCPUUtilizationPercentage");
    let metrics = metrics.map(|list| list_of(&list).iter().map(|m| newer_metric(m, target_names)).collect());
    let mut metrics = typed_list(metrics, "autoscaling.v2.MetricSpec").unwrap_or_default();
    if cpu.is_some() || metrics.is_empty() {
        let target = json!({"type": "Utilization", "averageUtilization": cpu.unwrap_or_else(|| 80.into())});
        metrics.push(json!({"type": "Resource", "resource": {"name": "cpu", "target": target}}));
    }
    spec.put("metrics", metrics);
    let behavior = behavior.map(|behavior| renamed_behavior(&behavior, false));
    let behavior = behavior.and_then(|b| typed(&b, "autoscaling.v2.HorizontalPodAutoscalerBehavior"));
    if let Some(behavior) = behavior.filter(|b| b.as_object().is_some_and(|fields| !fields.is_empty())) {
        spec.put("behavior", behavior);
    }
    let mut status = object.take_out("status").unwrap_or_else(|| Value::Object(Object::new()));
    let cpu = status.take_out("currentCPUUtilizationPercentage");
    let current = current.map(|list| list_of(&list).iter().map(|m| newer_metric(m, current_names)).collect());
    let current = match (typed_list(current, "autoscaling.v2.MetricStatus"), cpu) {
        (Some(current), _) => Value::from(current),
        (None, Some(percent)) => {
            json!([{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": percent}}}])
        }
        (None, None) => Value::Null,
    };
    status.put("currentMetrics", current);
    if status.number("currentReplicas") == 0 {
        status.take_out("currentReplicas");
    }
    let conditions = conditions.map(|list| list_of(&list).to_vec());
    if let Some(conditions) = typed_list(conditions, "autoscaling.v2.HorizontalPodAutoscalerCondition") {
        status.put("conditions", conditions);
    }
    let kept = json!({
        "kind": "HorizontalPodAutoscaler",
        "apiVersion": "autoscaling/v2",
        "metadata": metadata,
        "spec": spec,
        "status": status,
    });
    ordered("autoscaling.v2.HorizontalPodAutoscaler", kept)
}

fn list_of(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The value as that type of the schema has it. Anybody may write anything into an annotation.
fn typed(value: &Value, type_name: &str) -> Option<Value> {
    let ty = schema::type_named(type_name)?;
    Some(crate::decode::decode(ty, &everynode_model::encode::to_vec(value)).ok()?.value)
}

/// The values as that type has them; none where one is of another.
fn typed_list(list: Option<Vec<Value>>, type_name: &str) -> Option<Vec<Value>> {
    list?.iter().map(|value| typed(value, type_name)).collect()
}

#[derive(Debug)]
struct HorizontalPodAutoscaler;

impl Rules for HorizontalPodAutoscaler {
    fn default(&self, object: &mut Value) {
        if let Some(spec) = object.get_mut("spec") {
            spec.fill("minReplicas", 1);
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        strategy::reset_status(object, "autoscaling.v1.HorizontalPodAutoscalerStatus");
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
        print::workload::autoscaler(&newer(object.clone()), now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(spec: Value) -> Value {
        json!({
            "kind": "HorizontalPodAutoscaler",
            "apiVersion": "autoscaling/v2",
            "metadata": {"name": "a"},
            "spec": spec,
            "status": {"desiredReplicas": 0, "currentMetrics": null},
        })
    }

    fn target() -> Value {
        json!({"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"})
    }

    #[test]
    fn what_the_older_version_cannot_say_comes_back_from_annotations() {
        let check = |metrics: Value, behavior: Option<Value>| {
            let mut spec = json!({"scaleTargetRef": target(), "minReplicas": 1, "maxReplicas": 3});
            spec.put("metrics", metrics);
            if let Some(behavior) = behavior {
                spec.put("behavior", behavior);
            }
            let before = stored(spec);
            assert_eq!(newer(older(&before)), before, "{:#}", older(&before));
        };
        let cpu = json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}});
        let memory = json!({"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "5Gi"}}});
        let pods = json!({"type": "Pods", "pods": {"metric": {"name": "m"}, "target": {"type": "AverageValue", "averageValue": "10"}}});
        let object = json!({"type": "Object", "object": {"describedObject": target(), "target": {"type": "Value", "value": "2"}, "metric": {"name": "m"}}});
        let average = json!({"type": "Object", "object": {"describedObject": target(), "target": {"type": "AverageValue", "averageValue": "2"}, "metric": {"name": "m"}}});
        let external = json!({"type": "External", "external": {"metric": {"name": "m", "selector": {"matchLabels": {"a": "b"}}}, "target": {"type": "Value", "value": "2"}}});
        let container = json!({"type": "ContainerResource", "containerResource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 5}, "container": "c"}});
        check(json!([cpu]), None);
        check(json!([memory, pods, object, average, external, container, cpu]), None);
        let rules = json!({"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}]});
        check(json!([cpu]), Some(json!({"scaleUp": rules.clone(), "scaleDown": rules})));
    }

    #[test]
    fn an_autoscaler_without_metrics_looks_at_processors() {
        let plain = json!({
            "kind": "HorizontalPodAutoscaler",
            "apiVersion": "autoscaling/v1",
            "metadata": {"name": "a"},
            "spec": {"scaleTargetRef": target(), "minReplicas": 1, "maxReplicas": 3},
        });
        assert_eq!(
            newer(plain.clone()).items("spec.metrics")[0].number("resource.target.averageUtilization"),
            80
        );
        let shown = older(&newer(plain));
        assert_eq!(shown.number("spec.targetCPUUtilizationPercentage"), 80);
        assert_eq!(shown.at("metadata.annotations"), None);
    }

    #[test]
    fn annotations_that_are_no_metrics_count_for_nothing() {
        let odd = json!({
            "metadata": {"annotations": {METRICS: "[{\"type\": 3, \"pods\": {\"targetAverageValue\": {}}}]", BEHAVIOR: "[", "a": "b"}},
            "spec": {"scaleTargetRef": target(), "maxReplicas": 3},
        });
        let kept = newer(odd);
        assert_eq!(kept.at("metadata.annotations"), Some(&json!({"a": "b"})));
        assert_eq!(kept.items("spec.metrics").len(), 1, "{kept:#}");
    }
}
