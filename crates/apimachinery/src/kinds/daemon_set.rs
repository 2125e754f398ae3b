//! Daemon sets (specification 1.K and 1.N).

use everynode_model::Value;
use everynode_model::access::{Fill, Read};

use super::row::{ROW, Row, status};
use super::{gated, print};
use crate::defaults;
use crate::rules::{Column, Rules, strategy};
use crate::validate::{Errors, Path, Report, internal, meta, pod_spec, rolling, selector, warnings};

pub(super) const RESOURCES: &[Row] = &[Row {
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
            // Beside OnDelete the numbers mean nothing, and the API serves those that are missing as 0.
            if let Some(rolling) = strategy.get_mut("rollingUpdate").filter(|rolling| rolling.is_object()) {
                rolling.fill("maxUnavailable", 0);
                rolling.fill("maxSurge", 0);
            }
        }
        defaults::pod::template(spec);
    }

    fn prepare_create(&self, object: &mut Value) {
        strategy::create(object, "apps.v1.DaemonSetStatus");
        gated::take_out(object.at_mut("spec.template.spec"), None);
        let generation = template_generation(object).max(1);
        set_template_generation(object, generation);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        gated::take_out(new.at_mut("spec.template.spec"), old.at("spec.template.spec"));
        strategy::update(new, old);
        let changed = new.at("spec.template") != old.at("spec.template");
        set_template_generation(new, template_generation(old) + i64::from(changed));
    }

    fn prepare_status_update(&self, new: &mut Value, old: &Value) {
        strategy::status_update(new, old);
        set_template_generation(new, template_generation(old));
    }

    /// The API makes the annotation of a field of its own, which is 0 where nobody says it.
    fn as_tracked(&self, object: &Value) -> Option<Value> {
        if annotation(object).is_some() {
            return None;
        }
        let mut object = object.clone();
        set_template_generation(&mut object, 0);
        Some(object)
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
        if annotations.as_object().is_some_and(everynode_model::Object::is_empty) {
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

    /// Statements N2, N3, N4.
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
            json!({"updateStrategy": {"rollingUpdate": {"maxUnavailable": "10"}}}),
            &[
                "spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: \"10\": a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
            ],
        );
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

    /// Statements K2, N6.
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

    /// Statements K1, K2.
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

    /// Statement N6.
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

    #[test]
    fn n1_what_is_left_out_is_filled_in() {
        let spec = |changes: Value| daemon_set(changes)["spec"].clone();
        let plain = spec(json!({}));
        let rolling = json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}});
        assert_eq!((&plain["updateStrategy"], &plain["revisionHistoryLimit"]), (&rolling, &json!(10)));
        assert_eq!(plain.get("minReadySeconds"), None);
        assert_eq!(plain["template"]["spec"]["restartPolicy"], "Always");
        let beside = json!({"type": "OnDelete", "rollingUpdate": {"maxUnavailable": 2}});
        let strategy = daemon_set(json!({"updateStrategy": beside}))["spec"]["updateStrategy"].clone();
        assert_eq!(strategy["rollingUpdate"], json!({"maxUnavailable": 2, "maxSurge": 0}));
        let on_delete = json!({"type": "OnDelete"});
        assert_eq!(spec(json!({"updateStrategy": on_delete}))["updateStrategy"], on_delete);
        assert_eq!(spec(json!({"revisionHistoryLimit": 0}))["revisionHistoryLimit"], 0);
    }

    #[test]
    fn n3_n4_n5_templates_and_strategies_keep_to_what_a_daemon_can_be() {
        let template = |field: &str, value: Value| {
            let mut template = daemon_set(json!({}))["spec"]["template"].clone();
            template["spec"].put(field, value);
            json!({ "template": template })
        };
        let path = "spec.template.spec";
        check(
            template("restartPolicy", json!("Never")),
            &[&format!("{path}.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\"")],
        );
        check(
            template("activeDeadlineSeconds", json!(5)),
            &[&format!(
                "{path}.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in DaemonSet is not Supported"
            )],
        );
        check(
            json!({"revisionHistoryLimit": -1}),
            &["spec.revisionHistoryLimit: Invalid value: -1: must be greater than or equal to 0"],
        );
        let strategy = |unavailable: Value, surge: Value| json!({"updateStrategy": {"rollingUpdate": {"maxUnavailable": unavailable, "maxSurge": surge}}});
        let rolling = "spec.updateStrategy.rollingUpdate";
        check(
            strategy(json!(0), json!("0%")),
            &[&format!("{rolling}.maxUnavailable: Required value: cannot be 0 when maxSurge is 0")],
        );
        check(
            strategy(json!("101%"), json!(0)),
            &[&format!("{rolling}.maxUnavailable: Invalid value: \"101%\": must not be greater than 100%")],
        );
        let (old, mut new) = (daemon_set(json!({})), daemon_set(json!({})));
        new["spec"]["selector"]["matchLabels"].put("more", "x");
        new["spec"]["template"]["metadata"]["labels"].put("more", "x");
        let mut errors = Vec::new();
        DaemonSet.validate_update(&new, &old, &mut errors);
        assert!(errors.len() == 1 && errors[0].to_string().ends_with("field is immutable"), "{errors:?}");
    }

    #[test]
    fn n7_counts_are_not_negative_and_collisions_are_not_forgotten() {
        let check = |old: Value, new: Value, expected: &[&str]| {
            let mut errors = Vec::new();
            DaemonSet.validate_status_update(&json!({"status": new}), &json!({"status": old}), &mut errors);
            let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(errors, expected, "{new}");
        };
        for count in COUNTS {
            let message = format!("status.{count}: Invalid value: -1: must be greater than or equal to 0");
            if *count != "collisionCount" {
                check(json!({}), json!({*count: -1}), &[&message]);
            }
        }
        let fewer = "status.collisionCount: Invalid value: 1: cannot be decremented";
        check(json!({"collisionCount": 2}), json!({"collisionCount": 1}), &[fewer]);
        let none = "status.collisionCount: Invalid value: 0: cannot be decremented";
        check(json!({"collisionCount": 2}), json!({}), &[none]);
        check(json!({}), json!({"collisionCount": 1}), &[]);
    }

    #[test]
    fn m5_a_daemon_set_cannot_be_paused() {
        let object = br#"{"apiVersion":"apps/v1","kind":"DaemonSet","spec":{"paused":true}}"#;
        let kind = crate::schema::type_named("apps.v1.DaemonSet").expect("a type");
        let decoded = crate::decode::decode(kind, object).expect("a DaemonSet");
        assert!(format!("{:?}", decoded.problems).contains("spec.paused"), "{:?}", decoded.problems);
    }

    #[test]
    fn n8_the_table_says_how_daemon_sets_are_served() {
        let row = &RESOURCES[0];
        assert_eq!((row.short_names, row.categories), (&["ds"][..], &["all"][..]));
        assert_eq!((row.create_on_update, row.unconditional_update), (false, true));
        assert!(row.subresources.iter().map(|one| one.name).eq(["status"]));
    }

    #[test]
    fn n10_an_update_warns_only_when_the_template_changes() {
        let deprecated = json!({"beta.kubernetes.io/os": "linux"});
        let mut old = daemon_set(json!({}));
        old["spec"]["template"]["spec"].put("nodeSelector", deprecated);
        let mut new = old.clone();
        new["spec"].put("minReadySeconds", 5);
        assert_eq!(DaemonSet.warnings(&old, None).len(), 1);
        assert_eq!(DaemonSet.warnings(&new, Some(&old)).len(), 0);
        new["spec"]["template"]["spec"]["containers"][0].put("image", "agent:2");
        assert_eq!(DaemonSet.warnings(&new, Some(&old)).len(), 1);
    }
}
