//! Security contexts of pods and containers.

use std::collections::HashSet;

use everynode_model::access::Read;
use everynode_model::{Value, names};

use super::{Errors, Path, Report, internal, volume};

const PROFILE_TYPES: &[&str] = &["Localhost", "RuntimeDefault", "Unconfined"];

/// The most bytes that a credential specification may have.
const GMSA_SPEC_BYTES: usize = 64 * 1024;

/// Checks the security context of a container.
pub(crate) fn container(context: &Value, host_users: bool, path: &Path<'_>, errors: &mut Errors) {
    users(context, &["runAsUser", "runAsGroup"], path, errors);
    if let Some(kind) = context.at("procMount").and_then(Value::as_str) {
        let path = path.child("procMount");
        if !["Default", "Unmasked"].contains(&kind) {
            errors.not_supported(path, kind, &["Default", "Unmasked"]);
        }
        if host_users && kind == "Unmasked" {
            errors.invalid(path, kind, "`hostUsers` must be false to use `Unmasked`");
        }
    }
    seccomp(context, path, errors);
    let escalation_denied = context.at("allowPrivilegeEscalation") == Some(&Value::Bool(false));
    if escalation_denied && context.flag("privileged") {
        let message = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
        errors.invalid(path, internal::form("core.v1.SecurityContext", context), message);
    }
    if escalation_denied && context.items("capabilities.add").iter().any(|name| name == "CAP_SYS_ADMIN") {
        let message = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
        errors.invalid(path, internal::form("core.v1.SecurityContext", context), message);
    }
    windows(context, path, errors);
    app_armor(context, path, errors);
}

/// Checks the security context of a pod, with the fields beside it that belong to it.
pub(crate) fn pod(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let Some(context) = spec.at("securityContext") else { return };
    users(context, &["fsGroup", "runAsUser", "runAsGroup"], path, errors);
    let list = path.child("supplementalGroups");
    for (index, group) in context.items("supplementalGroups").iter().enumerate() {
        let group = group.as_i64().unwrap_or_default();
        if let Some(message) = names::user_number(group) {
            errors.invalid(list.index(index), group, &message);
        }
    }
    if spec.flag("shareProcessNamespace") && spec.flag("hostPID") {
        let message = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.invalid(path.child("shareProcessNamespace"), true, message);
    }
    sysctls(context.items("sysctls"), spec, &path.child("sysctls"), errors);
    one_of(context, "fsGroupChangePolicy", &["Always", "OnRootMismatch"], path, errors);
    seccomp(context, path, errors);
    windows(context, path, errors);
    app_armor(context, path, errors);
    one_of(context, "supplementalGroupsPolicy", &["Merge", "Strict"], path, errors);
    // The other one, MountOption, is behind a feature gate that is off by default.
    one_of(context, "seLinuxChangePolicy", &["Recursive"], path, errors);
}

fn one_of(context: &Value, field: &str, supported: &[&str], path: &Path<'_>, errors: &mut Errors) {
    if let Some(value) = context.at(field).and_then(Value::as_str)
        && !supported.contains(&value)
    {
        errors.not_supported(path.child(field), value, supported);
    }
}

fn users(context: &Value, fields: &[&str], path: &Path<'_>, errors: &mut Errors) {
    for field in fields {
        let Some(number) = context.number_opt(field) else { continue };
        if let Some(message) = names::user_number(number) {
            errors.invalid(path.child(field), number, &message);
        }
    }
}

fn seccomp(context: &Value, path: &Path<'_>, errors: &mut Errors) {
    let Some(profile) = context.at("seccompProfile") else { return };
    let path = path.child("seccompProfile");
    let kind = profile.text("type");
    if kind.is_empty() {
        errors.required(path.child("type"), "type is required when seccompProfile is set");
    } else if !PROFILE_TYPES.contains(&kind) {
        let order = &["Localhost", "RuntimeDefault", "Unconfined"];
        errors.not_supported(path.child("type"), kind, order);
    }
    let file_path = path.child("localhostProfile");
    match (kind, profile.at("localhostProfile").and_then(Value::as_str)) {
        ("Localhost", None) => {
            errors.required(file_path, "must be set when seccomp type is Localhost");
        }
        ("Localhost", Some(file)) => volume::descending(file, &file_path, errors),
        (_, Some(_)) => {
            let shown = internal::form("core.v1.SeccompProfile", profile);
            errors.invalid(file_path, shown, "can only be set when seccomp type is Localhost");
        }
        (_, None) => {}
    }
}

fn app_armor(context: &Value, path: &Path<'_>, errors: &mut Errors) {
    let Some(profile) = context.at("appArmorProfile") else { return };
    let path = path.child("appArmorProfile");
    let file_path = path.child("localhostProfile");
    let needed = "must be set when AppArmor type is Localhost";
    match (profile.text("type"), profile.at("localhostProfile").and_then(Value::as_str)) {
        ("Localhost", None) => errors.required(file_path, needed),
        ("Localhost", Some(file)) if file.trim() != file => {
            errors.invalid(file_path, file, "must not be padded with whitespace");
        }
        ("Localhost", Some("")) => errors.required(file_path, needed),
        ("RuntimeDefault" | "Unconfined", Some(file)) => {
            errors.invalid(file_path, file, "can only be set when AppArmor type is Localhost");
        }
        ("Localhost" | "RuntimeDefault" | "Unconfined", _) => {}
        ("", _) => errors.required(path.child("type"), "type is required when appArmorProfile is set"),
        (kind, _) => errors.not_supported(path.child("type"), kind, PROFILE_TYPES),
    }
}

fn windows(context: &Value, path: &Path<'_>, errors: &mut Errors) {
    let Some(options) = context.at("windowsOptions") else { return };
    let path = path.child("windowsOptions");
    if let Some(name) = options.at("gmsaCredentialSpecName").and_then(Value::as_str) {
        errors.all_invalid(&path.child("gmsaCredentialSpecName"), name, names::dns_subdomain(name));
    }
    if let Some(spec) = options.at("gmsaCredentialSpec").and_then(Value::as_str) {
        let path = path.child("gmsaCredentialSpec");
        if spec.is_empty() {
            errors.invalid(path, spec, "gmsaCredentialSpec cannot be an empty string");
        } else if spec.len() > GMSA_SPEC_BYTES {
            errors.invalid(path, spec, "gmsaCredentialSpec size must be under 64 KiB");
        }
    }
    let Some(name) = options.at("runAsUserName").and_then(Value::as_str) else { return };
    let path = path.child("runAsUserName");
    if name.is_empty() {
        errors.invalid(path, name, "runAsUserName cannot be an empty string");
    } else if name.chars().any(char::is_control) {
        errors.invalid(path, name, "runAsUserName cannot contain control characters");
    } else if name.matches('\\').count() > 1 {
        errors.invalid(path, name, "runAsUserName cannot contain more than one backslash");
    }
}

fn sysctls(list: &[Value], spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let mut known = HashSet::new();
    for (index, sysctl) in list.iter().enumerate() {
        let name = sysctl.text("name");
        let is_known = !known.insert(name);
        let item = path.index(index);
        let path = item.child("name");
        if name.is_empty() {
            errors.required(path, "");
        } else if !is_sysctl(name) {
            let segment = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?";
            let message =
                format!(r"must have at most 253 characters and match regex ^({segment}[\./])*{segment}$");
            errors.invalid(path, name, &message);
        } else if is_known {
            errors.duplicate(path, name);
        }
        if spec.flag("hostNetwork") && name.replace('/', ".").starts_with("net.") {
            errors.invalid(path, name, "may not be specified when 'hostNetwork' is true");
        } else if spec.flag("hostIPC") && is_ipc_sysctl(&name.replace('/', ".")) {
            errors.invalid(path, name, "may not be specified when 'hostIPC' is true");
        }
    }
}

fn is_ipc_sysctl(name: &str) -> bool {
    name == "kernel.sem"
        || ["kernel.shm", "kernel.msg", "fs.mqueue."].iter().any(|prefix| name.starts_with(prefix))
}

fn is_sysctl(name: &str) -> bool {
    let is_end = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_segment = |segment: &str| {
        let bytes = segment.as_bytes();
        [bytes.first(), bytes.last()].iter().all(|end| end.is_some_and(|&end| is_end(end)))
            && bytes.iter().all(|&byte| is_end(byte) || matches!(byte, b'-' | b'_'))
    };
    name.len() <= 253 && name.split(['.', '/']).all(is_segment)
}
