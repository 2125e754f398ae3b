//! Probes and hooks of a container.

use everynode_model::access::Read;
use everynode_model::{Value, names};

use super::{Errors, Path, Report};

/// Handlers in the order in which the API looks at them.
const HANDLERS: &[&str] = &["exec", "httpGet", "tcpSocket", "grpc", "sleep"];

/// Checks a container's three probes.
pub(crate) fn probes(container: &Value, grace_seconds: Option<i64>, path: &Path<'_>, errors: &mut Errors) {
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let Some(probe) = container.at(name) else { continue };
        let path = path.child(name);
        self::probe(probe, grace_seconds, &path, errors);
        if name == "readinessProbe" {
            if let Some(seconds) = probe.number_opt("terminationGracePeriodSeconds") {
                let message = "must not be set for readinessProbes";
                errors.invalid(path.child("terminationGracePeriodSeconds"), seconds, message);
            }
        } else if probe.number("successThreshold") != 1 {
            errors.invalid(path.child("successThreshold"), probe.number("successThreshold"), "must be 1");
        }
    }
}

fn probe(probe: &Value, grace_seconds: Option<i64>, path: &Path<'_>, errors: &mut Errors) {
    handler(probe, grace_seconds, path, errors);
    let numbers =
        ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"];
    for field in numbers {
        errors.not_negative(&path.child(field), probe.number(field));
    }
    if let Some(seconds) = probe.number_opt("terminationGracePeriodSeconds")
        && seconds <= 0
    {
        errors.invalid(path.child("terminationGracePeriodSeconds"), seconds, "must be greater than 0");
    }
}

/// Checks `postStart` and `preStop`. `os` is the pod's operating system, empty when it names none.
pub(crate) fn lifecycle(
    lifecycle: &Value,
    grace_seconds: Option<i64>,
    os: &str,
    path: &Path<'_>,
    errors: &mut Errors,
) {
    for name in ["postStart", "preStop"] {
        if let Some(hook) = lifecycle.at(name) {
            handler(hook, grace_seconds, &path.child(name), errors);
        }
    }
    if lifecycle.has("stopSignal") && os.is_empty() {
        let message = "may not be set for containers with empty `spec.os.name`";
        errors.forbidden(path.child("stopSignal"), message);
    }
}

fn handler(owner: &Value, grace_seconds: Option<i64>, path: &Path<'_>, errors: &mut Errors) {
    let mut found = 0;
    for name in HANDLERS {
        let Some(action) = owner.at(name) else { continue };
        let path = path.child(name);
        found += 1;
        if found > 1 {
            errors.forbidden(path, "may not specify more than 1 handler type");
            continue;
        }
        match *name {
            "exec" if action.items("command").is_empty() => errors.required(path.child("command"), ""),
            "httpGet" => http_get(action, &path, errors),
            "tcpSocket" | "grpc" => port(action.get("port"), &path.child("port"), errors),
            "sleep" => sleep(action.number("seconds"), grace_seconds, &path, errors),
            _ => {}
        }
    }
    if found == 0 {
        errors.required(path, "must specify a handler type");
    }
}

fn http_get(get: &Value, path: &Path<'_>, errors: &mut Errors) {
    if get.text("path").is_empty() {
        errors.required(path.child("path"), "");
    }
    port(get.get("port"), &path.child("port"), errors);
    let scheme = get.text("scheme");
    if !["HTTP", "HTTPS"].contains(&scheme) {
        errors.not_supported(path.child("scheme"), scheme, &["HTTP", "HTTPS"]);
    }
    for header in get.items("httpHeaders") {
        let name = header.text("name");
        if let Some(message) = names::header_name(name) {
            errors.invalid(path.child("httpHeaders"), name, &message);
        }
    }
}

/// Checks a port given by number or by name.
pub(crate) fn port(port: Option<&Value>, path: &Path<'_>, errors: &mut Errors) {
    match port {
        Some(Value::String(name)) => errors.all_invalid(path, name, names::port_name(name)),
        port => {
            let number = port.and_then(Value::as_i64).unwrap_or_default();
            if let Some(message) = names::port_number(number) {
                errors.invalid(path, number, &message);
            }
        }
    }
}

fn sleep(seconds: i64, grace_seconds: Option<i64>, path: &Path<'_>, errors: &mut Errors) {
    if let Some(grace) = grace_seconds
        && (seconds < 0 || seconds > grace)
    {
        let message = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
        errors.invalid(path, seconds, &message);
    }
}
