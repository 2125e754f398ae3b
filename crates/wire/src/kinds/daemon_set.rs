//! Daemon sets (specification 1.K and 1.N).

use super::{ROW, print, status, strategy};
use crate::Value;
use crate::access::{Fill, Read};
use crate::defaults;
use crate::resource::{Column, Resource, Rules};
use crate::validate::{Errors, Path, Report, internal, meta, pod_spec, rolling, selector, warnings};

pub(super) const RESOURCES: &[Resource] = &[Resource {
    group: "apps",
    kind: "DaemonSet",
    plural: "daemonsets",
    singular: "daemonset",
    short_names: &["ds"],
    categories: &["all"],
    subresources: &[status("DaemonSet")],
    type_name: "apps.v1.DaemonSet",
    rules: &DaemonSet,
    ..ROW
}];

/// The annotation that carries the template's generation (specification K1).
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

#[derive(Debug)]
struct DaemonSet;

impl Rules for DaemonSet {
    fn convert(&self, object: &Value) -> Result<(), String> {
        let text = annotation(object);
        match text.map(str::parse::<i64>) {
            Some(Err(_)) => {
                Err(format!("strconv.ParseInt: parsing {:?}: invalid syntax", text.unwrap_or("")))
            }
            _ => Ok(()),
        }
    }

    fn default(&self, object: &mut Value) {
        let Some(spec) = object.get_mut("spec") else { return };
        spec.fill("revisionHistoryLimit", 10);
        if let Some(strategy) = spec.make("updateStrategy") {
            strategy.fill("type", "RollingUpdate");
            if strategy.text("type") == "RollingUpdate"
                && let Some(rolling) = strategy.make("rollingUpdate")
            {
                rolling.fill("maxUnavailable", 1);
                rolling.fill("maxSurge", 0);
            }
        }
        defaults::pod::template(spec);
    }

    fn prepare_create(&self, object: &mut Value) {
        strategy::create(object, "apps.v1.DaemonSetStatus");
        let generation = template_generation(object).max(1);
        set_template_generation(object, generation);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        strategy::update(new, old);
        let changed = new.at("spec.template") != old.at("spec.template");
        set_template_generation(new, template_generation(old) + i64::from(changed));
    }

    fn prepare_status_update(&self, new: &mut Value, old: &Value) {
        strategy::status_update(new, old);
        set_template_generation(new, template_generation(old));
    }

    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        spec(object.get("spec").unwrap_or(&Value::Null), false, errors);
    }

    fn validate_update(&self, new: &Value, old: &Value, errors: &mut Errors) {
        let path = Path::root("spec");
        let empty = Value::Null;
        let (new, old) = (new.get("spec").unwrap_or(&empty), old.get("spec").unwrap_or(&empty));
        meta::immutable_field(new, old, "selector", &path.child("selector"), errors);
        spec(new, selector::has_invalid_values(old.at("selector")), errors);
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        let template = new.at("spec.template").unwrap_or(&Value::Null);
        if old.is_some_and(|old| old.at("spec.template") == Some(template)) {
            return Vec::new();
        }
        warnings::template(template, &Path::root("spec.template"))
    }

    fn unversion_metadata(&self, metadata: &mut Value) {
        let Some(annotations) = metadata.get_mut("annotations") else { return };
        annotations.take_out(TEMPLATE_GENERATION);
        if annotations.as_object().is_some_and(crate::Object::is_empty) {
            metadata.take_out("annotations");
        }
    }

    fn validate_status_update(&self, new: &Value, old: &Value, errors: &mut Errors) {
        let path = Path::root("status");
        for count in COUNTS {
            errors.not_negative(&path.child(count), new.number(&format!("status.{count}")));
        }
        let collisions = |object: &Value| object.number("status.collisionCount");
        if collisions(new) < collisions(old) {
            errors.invalid(path.child("collisionCount"), collisions(new), "cannot be decremented");
        }
    }

    fn columns(&self) -> &'static [Column] {
        print::workload::DAEMON_SET
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        print::workload::daemon_set(object, now)
    }
}

/// Numbers of the status, none of which may be negative (specification N7).
const COUNTS: &[&str] = &[
    "currentNumberScheduled",
    "numberMisscheduled",
    "desiredNumberScheduled",
    "numberReady",
    "observedGeneration",
    "updatedNumberScheduled",
    "numberAvailable",
    "numberUnavailable",
    "collisionCount",
];

/// Checks the spec (specification N2 to N4). A selector that was stored with invalid values may keep them.
fn spec(spec: &Value, values_may_be_invalid: bool, errors: &mut Errors) {
    let path = Path::root("spec");
    let selector_path = path.child("selector");
    let selector = spec.at("selector");
    selector::label_selector(selector, values_may_be_invalid, &selector_path, errors);
    let template = spec.get("template").unwrap_or(&Value::Null);
    let labels = template.at("metadata.labels").unwrap_or(&Value::Null);
    if selector::matches(selector, labels) == Some(false) {
        let message = "`selector` does not match template `labels`";
        errors.invalid(path.child("template.metadata.labels"), labels.clone(), message);
    }
    if let Some(selector) = selector
        && selector.entries("matchLabels").next().is_none()
        && selector.items("matchExpressions").is_empty()
    {
        errors.invalid(selector_path, selector.clone(), "empty selector is invalid for daemonset");
    }
    let template_path = path.child("template");
    pod_spec::template(template, &template_path, errors);
    let restart_policy = template.text("spec.restartPolicy");
    if restart_policy != "Always" {
        errors.not_supported(template_path.child("spec.restartPolicy"), restart_policy, &["Always"]);
    }
    if template.has("spec.activeDeadlineSeconds") {
        let message = "activeDeadlineSeconds in DaemonSet is not Supported";
        errors.forbidden(template_path.child("spec.activeDeadlineSeconds"), message);
    }
    errors.not_negative(&path.child("minReadySeconds"), spec.number("minReadySeconds"));
    update_strategy(spec.get("updateStrategy").unwrap_or(&Value::Null), &path, errors);
    errors.not_negative(&path.child("revisionHistoryLimit"), spec.number("revisionHistoryLimit"));
}

fn update_strategy(strategy: &Value, path: &Path<'_>, errors: &mut Errors) {
    let path = path.child("updateStrategy");
    match strategy.text("type") {
        "OnDelete" => {}
        "RollingUpdate" => match strategy.at("rollingUpdate") {
            Some(rolling) => rolling_update(rolling, &path.child("rollingUpdate"), errors),
            None => errors.required(path.child("rollingUpdate"), ""),
        },
        _ => {
            let shown = internal::form("apps.v1.DaemonSetUpdateStrategy", strategy);
            errors.not_supported(path, shown, &["RollingUpdate", "OnDelete"]);
        }
    }
}

fn rolling_update(rolling: &Value, path: &Path<'_>, errors: &mut Errors) {
    let zero = Value::from(0);
    let fields = ["maxUnavailable", "maxSurge"];
    for field in fields {
        rolling::positive_or_percent(rolling.at(field).unwrap_or(&zero), &path.child(field), errors);
    }
    for field in fields {
        rolling::at_most_all(rolling.at(field).unwrap_or(&zero), &path.child(field), errors);
    }
    let is_set = |field: &str| rolling::number(rolling.at(field).unwrap_or(&zero)) != 0;
    match (is_set("maxUnavailable"), is_set("maxSurge")) {
        (true, true) => {
            let surge = rolling.at("maxSurge").unwrap_or(&zero).clone();
            errors.invalid(path.child("maxSurge"), surge, "may not be set when maxUnavailable is non-zero");
        }
        (false, false) => {
            errors.required(path.child("maxUnavailable"), "cannot be 0 when maxSurge is 0");
        }
        _ => {}
    }
}

fn annotation(object: &Value) -> Option<&str> {
    object.pointer("/metadata/annotations")?.get(TEMPLATE_GENERATION)?.as_str()
}

/// The template's generation, 0 when the object carries none.
fn template_generation(object: &Value) -> i64 {
    annotation(object).and_then(|text| text.parse().ok()).unwrap_or_default()
}

fn set_template_generation(object: &mut Value, generation: i64) {
    let metadata = object.make("metadata");
    if let Some(annotations) = metadata.and_then(|metadata| metadata.make("annotations")) {
        annotations.put(TEMPLATE_GENERATION, generation.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A valid DaemonSet with these fields of the spec changed; null takes a field out.
    fn daemon_set(changes: Value) -> Value {
        let mut object = json!({
            "metadata": {"name": "agent", "namespace": "default"},
            "spec": {
                "selector": {"matchLabels": {"app": "agent"}},
                "template": {
                    "metadata": {"labels": {"app": "agent"}},
                    "spec": {"containers": [{"name": "main", "image": "agent:1"}]}
                }
            }
        });
        for (field, value) in changes.as_object().expect("fields") {
            match value {
                Value::Null => drop(object["spec"].take_out(field)),
                value => object["spec"].put(field, value.clone()),
            }
        }
        DaemonSet.default(&mut object);
        object
    }

    fn check(changes: Value, expected: &[&str]) {
        let object = daemon_set(changes);
        let mut errors = Vec::new();
        DaemonSet.validate_create(&object, &mut errors);
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(errors, expected, "{object}");
    }

    #[test]
    fn specs_are_checked_as_the_api_checks_them() {
        check(json!({}), &[]);
        check(
            json!({"selector": null}),
            &[
                "spec.template.metadata.labels: Invalid value: {\"app\":\"agent\"}: `selector` does not match template `labels`",
            ],
        );
        check(
            json!({"selector": {}}),
            &["spec.selector: Invalid value: {}: empty selector is invalid for daemonset"],
        );
        check(json!({"updateStrategy": {"type": "OnDelete"}}), &[]);
        check(
            json!({"updateStrategy": {"rollingUpdate": {"maxSurge": 1}}}),
            &[
                "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero",
            ],
        );
        check(json!({"updateStrategy": {"rollingUpdate": {"maxSurge": "30%", "maxUnavailable": 0}}}), &[]);
        check(
            json!({"minReadySeconds": -1}),
            &["spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0"],
        );
    }

    #[test]
    fn only_a_changed_template_raises_the_generation_of_the_template() {
        let mut old = daemon_set(json!({}));
        DaemonSet.prepare_create(&mut old);
        assert_eq!((old.number("metadata.generation"), template_generation(&old)), (1, 1));
        let check = |change: fn(&mut Value), expected: (i64, i64)| {
            let mut new = old.clone();
            change(&mut new);
            DaemonSet.prepare_update(&mut new, &old);
            assert_eq!((new.number("metadata.generation"), template_generation(&new)), expected, "{new}");
        };
        check(|_| {}, (1, 1));
        check(|new| new["metadata"].put("labels", json!({"a": "b"})), (1, 1));
        check(|new| new["metadata"].put("annotations", json!({})), (1, 1));
        check(|new| new["status"].put("numberReady", 5), (1, 1));
        check(|new| new["spec"].put("minReadySeconds", 5), (2, 1));
        check(|new| new["spec"]["template"]["spec"]["containers"][0].put("image", "agent:2"), (2, 2));
    }

    #[test]
    fn a_client_may_start_with_a_generation_of_the_template_if_it_is_a_number() {
        let check = |text: &str, expected: Result<i64, &str>| {
            let mut object = daemon_set(json!({}));
            object["metadata"].put("annotations", json!({TEMPLATE_GENERATION: text}));
            let converted = DaemonSet.convert(&object);
            DaemonSet.prepare_create(&mut object);
            let got = converted.map(|()| template_generation(&object));
            assert_eq!(got.as_ref().map_err(String::as_str).copied(), expected, "{text}");
        };
        check("7", Ok(7));
        check("-3", Ok(1));
        check("x", Err("strconv.ParseInt: parsing \"x\": invalid syntax"));
    }

    #[test]
    fn the_status_changes_through_its_subresource_alone() {
        let mut old = daemon_set(json!({}));
        DaemonSet.prepare_create(&mut old);
        let mut new = old.clone();
        new["status"].put("numberReady", 3);
        new["spec"].put("minReadySeconds", 9);
        let mut through_main = new.clone();
        DaemonSet.prepare_update(&mut through_main, &old);
        assert_eq!(through_main.number("status.numberReady"), 0);
        DaemonSet.prepare_status_update(&mut new, &old);
        assert_eq!((new.number("status.numberReady"), new.number("spec.minReadySeconds")), (3, 0));
    }
}
