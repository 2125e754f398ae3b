//! Specs of workloads: a selector and a pod template with its replicas.

use everynode_model::Value;
use everynode_model::access::Read;

use super::{Errors, Path, Report, pod_spec, rolling, selector};

/// Words in which the API tells workloads apart.
pub(crate) struct Words {
    /// As in `empty selector is invalid for deployment`.
    pub(crate) lower: &'static str,
    /// As in `activeDeadlineSeconds in ReplicaSet is not Supported`.
    pub(crate) kind: &'static str,
}

/// Checks replicas, selector and template.
pub(crate) fn replicated(spec: &Value, words: &Words, errors: &mut Errors) {
    let path = Path::root("spec");
    for field in ["replicas", "minReadySeconds", "revisionHistoryLimit"] {
        errors.not_negative(&path.child(field), spec.number(field));
    }
    let selector_path = path.child("selector");
    match spec.at("selector") {
        None => errors.required(selector_path, ""),
        Some(selector) => {
            selector::label_selector(Some(selector), false, &selector_path, errors);
            if is_empty(selector) {
                let message = format!("empty selector is invalid for {}", words.lower);
                errors.invalid(selector_path, selector.clone(), &message);
            }
        }
    }
    match selector::matches(spec.at("selector"), labels(spec)) {
        None => {
            let shown = spec.get("selector").cloned().unwrap_or_default();
            errors.invalid(selector_path, shown, "invalid label selector");
        }
        Some(matches) => template(spec, matches, words, errors),
    }
}

fn is_empty(selector: &Value) -> bool {
    selector.entries("matchLabels").next().is_none() && selector.items("matchExpressions").is_empty()
}

fn labels(spec: &Value) -> &Value {
    spec.at("template.metadata.labels").unwrap_or(&Value::Null)
}

/// Checks the template of a workload that restarts its pods.
fn template(spec: &Value, matches: bool, words: &Words, errors: &mut Errors) {
    let path = Path::root("spec.template");
    if !matches && spec.at("selector").is_some_and(|selector| !is_empty(selector)) {
        let message = "`selector` does not match template `labels`";
        errors.invalid(path.child("metadata.labels"), labels(spec).clone(), message);
    }
    let template = spec.get("template").unwrap_or(&Value::Null);
    pod_spec::template(template, &path, errors);
    always_running(template, &path, words, errors);
}

/// A pod of such a workload runs until it is deleted.
pub(crate) fn always_running(template: &Value, path: &Path<'_>, words: &Words, errors: &mut Errors) {
    let policy = template.text("spec.restartPolicy");
    if policy != "Always" {
        errors.not_supported(path.child("spec.restartPolicy"), policy, &["Always"]);
    }
    if template.has("spec.activeDeadlineSeconds") {
        let message = format!("activeDeadlineSeconds in {} is not Supported", words.kind);
        errors.forbidden(path.child("spec.activeDeadlineSeconds"), &message);
    }
}

/// Checks `strategy` of a deployment.
pub(crate) fn deployment_strategy(spec: &Value, errors: &mut Errors) {
    let path = Path::root("spec.strategy");
    let rolling = spec.at("strategy.rollingUpdate");
    match spec.text("strategy.type") {
        "Recreate" if rolling.is_some() => {
            let message = "may not be specified when strategy `type` is 'Recreate'";
            errors.forbidden(path.child("rollingUpdate"), message);
        }
        "Recreate" => {}
        "RollingUpdate" => match rolling {
            Some(rolling) => deployment_rolling(rolling, &path.child("rollingUpdate"), errors),
            None => {
                errors.required(path.child("rollingUpdate"), "this should be defaulted and never be nil");
            }
        },
        _ => {
            let shown = super::internal::form(
                "apps.v1.DeploymentStrategy",
                spec.get("strategy").unwrap_or(&Value::Null),
            );
            errors.not_supported(path, shown, &["Recreate", "RollingUpdate"]);
        }
    }
}

fn deployment_rolling(rolling: &Value, path: &Path<'_>, errors: &mut Errors) {
    let zero = Value::from(0);
    let unavailable = rolling.at("maxUnavailable").unwrap_or(&zero);
    let surge = rolling.at("maxSurge").unwrap_or(&zero);
    rolling::positive_or_percent(unavailable, &path.child("maxUnavailable"), errors);
    rolling::positive_or_percent(surge, &path.child("maxSurge"), errors);
    if rolling::number(unavailable) == 0 && rolling::number(surge) == 0 {
        let message = "may not be 0 when `maxSurge` is 0";
        errors.invalid(path.child("maxUnavailable"), unavailable.clone(), message);
    }
    rolling::at_most_all(unavailable, &path.child("maxUnavailable"), errors);
}

/// Checks what stateful sets have beyond other workloads.
pub(crate) fn stateful(spec: &Value, errors: &mut Errors) {
    let path = Path::root("spec");
    let management = spec.text("podManagementPolicy");
    if !["OrderedReady", "Parallel"].contains(&management) {
        let message = "must be 'OrderedReady' or 'Parallel'";
        errors.invalid(path.child("podManagementPolicy"), management, message);
    }
    let strategy_path = path.child("updateStrategy");
    match spec.text("updateStrategy.type") {
        "OnDelete" | "RollingUpdate" => {}
        _ => {
            let shown = super::internal::form(
                "apps.v1.StatefulSetUpdateStrategy",
                spec.get("updateStrategy").unwrap_or(&Value::Null),
            );
            errors.invalid(strategy_path, shown, "must be 'RollingUpdate' or 'OnDelete'");
        }
    }
    let partition = strategy_path.child("rollingUpdate.partition");
    errors.not_negative(&partition, spec.number("updateStrategy.rollingUpdate.partition"));
}

/// Checks the spec of a job: its numbers and its template.
pub(crate) fn job(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let numbers =
        ["parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished"];
    for field in numbers {
        errors.not_negative(&path.child(field), spec.number(field));
    }
    let modes = &["Indexed", "NonIndexed"];
    if let Some(mode) = spec.at("completionMode").and_then(Value::as_str)
        && !modes.contains(&mode)
    {
        errors.not_supported(path.child("completionMode"), mode, modes);
    }
    let template_path = path.child("template");
    let template = spec.get("template").unwrap_or(&Value::Null);
    pod_spec::template(template, &template_path, errors);
    if template.text("spec.restartPolicy") == "Always" {
        let message = "valid values: \"OnFailure\", \"Never\"";
        errors.required(template_path.child("spec.restartPolicy"), message);
    }
}
