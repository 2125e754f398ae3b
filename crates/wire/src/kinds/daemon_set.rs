//! Daemon sets (specification 1.K and 1.N).

use super::{ROW, status, strategy};
use crate::Value;
use crate::access::{Fill, Read};
use crate::defaults;
use crate::resource::{Resource, Rules};

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
