//! What all containers of a pod have in common.

use std::collections::{HashMap, HashSet};

use everynode_model::access::Read;
use everynode_model::{Value, names};

use super::{Errors, Path, Report, env, resource_list, security, volume_mount};

/// What the checks of a container need to know of its pod.
pub(crate) struct Pod<'a> {
    /// Good volumes by name.
    pub(crate) volumes: HashMap<&'a str, &'a Value>,
    /// Names of the resource claims.
    pub(crate) claims: Vec<&'a str>,
    /// The grace period, where there is one.
    pub(crate) grace_seconds: Option<i64>,
    /// The restart policy.
    pub(crate) restart_policy: &'a str,
    /// Whether the pod's users are the host's.
    pub(crate) host_users: bool,
    /// The operating system, empty when none is named.
    pub(crate) os: &'a str,
}

/// Checks that hold for ordinary, init and ephemeral containers.
pub(crate) fn common(container: &Value, pod: &Pod<'_>, path: &Path<'_>, errors: &mut Errors) {
    let name = container.text("name");
    if name.is_empty() {
        errors.required(path.child("name"), "");
    } else {
        errors.all_invalid(&path.child("name"), name, names::dns_label(name));
    }
    if container.text("image").is_empty() {
        errors.required(path.child("image"), "");
    }
    let message_policies = &["File", "FallbackToLogsOnError"];
    let policy_path = path.child("terminationMessagePolicy");
    errors.one_of(&policy_path, container.text("terminationMessagePolicy"), message_policies);
    ports(container.items("ports"), &path.child("ports"), errors);
    env::variables(container.items("env"), &path.child("env"), errors);
    env::sources(container.items("envFrom"), &path.child("envFrom"), errors);
    volume_mount::mounts(container, &pod.volumes, path, errors);
    let pull_policies = &["Always", "IfNotPresent", "Never"];
    errors.one_of(&path.child("imagePullPolicy"), container.text("imagePullPolicy"), pull_policies);
    if let Some(resources) = container.at("resources") {
        resource_list::requirements(resources, false, &pod.claims, &path.child("resources"), errors);
    }
    resize_policy(container.items("resizePolicy"), pod.restart_policy, &path.child("resizePolicy"), errors);
    if let Some(context) = container.at("securityContext") {
        security::container(context, pod.host_users, &path.child("securityContext"), errors);
    }
}

fn ports(list: &[Value], path: &Path<'_>, errors: &mut Errors) {
    let mut known = HashSet::new();
    for (index, port) in list.iter().enumerate() {
        let path = path.index(index);
        let name = port.text("name");
        if !name.is_empty() {
            let messages = names::port_name(name);
            if !messages.is_empty() {
                errors.all_invalid(&path.child("name"), name, messages);
            } else if !known.insert(name) {
                errors.duplicate(path.child("name"), name);
            }
        }
        let (number, host) = (port.number("containerPort"), port.number("hostPort"));
        if number == 0 {
            errors.required(path.child("containerPort"), "");
        } else if let Some(message) = names::port_number(number) {
            errors.invalid(path.child("containerPort"), number, &message);
        }
        if host != 0
            && let Some(message) = names::port_number(host)
        {
            errors.invalid(path.child("hostPort"), host, &message);
        }
        errors.one_of(&path.child("protocol"), port.text("protocol"), &["SCTP", "TCP", "UDP"]);
    }
}

/// Two containers of a pod may not ask for one port of the host.
pub(crate) fn host_ports(containers: &[Value], path: &Path<'_>, errors: &mut Errors) {
    let mut taken = HashSet::new();
    for (index, container) in containers.iter().enumerate() {
        let container_path = path.index(index);
        let list = container_path.child("ports");
        for (index, port) in container.items("ports").iter().enumerate() {
            let number = port.number("hostPort");
            if number == 0 {
                continue;
            }
            let address = format!("{}/{}/{number}", port.text("protocol"), port.text("hostIP"));
            if taken.contains(&address) {
                errors.duplicate(list.index(index).child("hostPort"), address);
            } else {
                taken.insert(address);
            }
        }
    }
}

fn resize_policy(list: &[Value], restart_policy: &str, path: &Path<'_>, errors: &mut Errors) {
    let mut known = HashSet::new();
    for (index, policy) in list.iter().enumerate() {
        let (resource, restart) = (policy.text("resourceName"), policy.text("restartPolicy"));
        if !known.insert(resource) {
            errors.duplicate(path.index(index), resource);
        }
        errors.one_of(path, resource, &["cpu", "memory"]);
        errors.one_of(path, restart, &["NotRequired", "RestartContainer"]);
        if restart_policy == "Never" && restart != "NotRequired" {
            errors.invalid(path, restart, "must be 'NotRequired' when pod `restartPolicy` is 'Never'");
        }
    }
}

/// Checks `restartPolicy` and `restartPolicyRules` of a container.
pub(crate) fn restart_policy(container: &Value, path: &Path<'_>, errors: &mut Errors) {
    let rules = container.items("restartPolicyRules");
    match container.at("restartPolicy").and_then(Value::as_str) {
        None if rules.is_empty() => return,
        None => {
            let message = "must specify restartPolicy when restart rules are used";
            errors.required(path.child("restartPolicy"), message);
        }
        Some(policy) if !["Always", "Never", "OnFailure"].contains(&policy) => {
            errors.not_supported(path.child("restartPolicy"), policy, &["Always", "Never", "OnFailure"]);
        }
        Some(_) => {}
    }
    if rules.len() > 20 {
        let error = crate::status::FieldError::too_many(path.child("restartPolicyRules"), rules.len(), 20);
        errors.push(error);
    }
    let list = path.child("restartPolicyRules");
    for (index, rule) in rules.iter().enumerate() {
        let path = list.index(index);
        let actions = &["Restart", "RestartAllContainers"];
        if !actions.contains(&rule.text("action")) {
            errors.not_supported(path.child("action"), rule.text("action"), actions);
        }
        let codes_path = path.child("exitCodes");
        let Some(codes) = rule.at("exitCodes") else {
            errors.required(codes_path, "must be specified");
            continue;
        };
        if !["In", "NotIn"].contains(&codes.text("operator")) {
            errors.not_supported(codes_path.child("operator"), codes.text("operator"), &["In", "NotIn"]);
        }
    }
}
