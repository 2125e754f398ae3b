//! The spec of a pod or of a pod template.

use std::collections::HashSet;

use everynode_model::access::Read;
use everynode_model::{Value, names};

use super::container::Pod;
use super::{
    Errors, Path, Report, container_list, internal, meta, resource_list, scheduling, security, selector,
    volume, warnings,
};

/// Checks a pod template (specification N3).
pub(crate) fn template(template: &Value, path: &Path<'_>, errors: &mut Errors) {
    let metadata = template.get("metadata").unwrap_or(&Value::Null);
    selector::labels(metadata.at("labels"), &path.child("labels"), errors);
    meta::annotations(metadata.at("annotations"), &path.child("annotations"), errors);
    let empty = Value::Object(everynode_model::Object::new());
    let spec = template.at("spec").unwrap_or(&empty);
    special_annotations(metadata, spec, &path.child("annotations"), errors);
    let spec_path = path.child("spec");
    self::spec(spec, None, &spec_path, errors);
    app_armor_twice(metadata, spec, &spec_path, errors);
    if !spec.items("ephemeralContainers").is_empty() {
        let message = "ephemeral containers not allowed in pod template";
        errors.forbidden(spec_path.child("ephemeralContainers"), message);
    }
}

/// Checks annotations that mean something to the API.
pub(crate) fn special_annotations(metadata: &Value, spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let Some(annotations) = metadata.at("annotations") else { return };
    let mirror = "kubernetes.io/config.mirror";
    if let Some(value) = annotations.get(mirror)
        && spec.text("nodeName").is_empty()
    {
        let message = "must set spec.nodeName if mirror pod annotation is set";
        errors.invalid(path.key(mirror), value.clone(), message);
    }
    let cost = "controller.kubernetes.io/pod-deletion-cost";
    if let Some(value) = annotations.get(cost).and_then(Value::as_str)
        && value.parse::<i32>().is_err()
    {
        errors.invalid(path.key(cost), value, "must be a 32bit integer");
    }
    profiles(annotations, spec, path, errors);
}

/// Checks the annotations that name profiles of seccomp and AppArmor.
fn profiles(annotations: &Value, spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let texts = |key: &str| annotations.get(key).and_then(Value::as_str);
    if let Some(profile) = texts(warnings::SECCOMP_POD) {
        seccomp_profile(profile, &path.child(warnings::SECCOMP_POD), errors);
    }
    let all = annotations.as_object().into_iter().flatten();
    let all: Vec<_> = all.filter_map(|(key, value)| Some((key, value.as_str()?))).collect();
    for (key, profile) in all.iter().filter(|(key, _)| key.starts_with(warnings::SECCOMP)) {
        seccomp_profile(profile, &path.child(key), errors);
    }
    let containers: HashSet<&str> = each_container(spec).map(|(_, _, one)| one.text("name")).collect();
    for (key, profile) in all {
        let Some(container) = key.strip_prefix(warnings::APP_ARMOR) else { continue };
        if !containers.contains(container) {
            errors.invalid(path.key(key), container, "container not found");
        }
        let is_known = matches!(profile, "" | "runtime/default" | "unconfined");
        if !is_known && !profile.starts_with("localhost/") {
            let message = format!("invalid AppArmor profile name: {profile:?}");
            errors.invalid(path.key(key), profile, &message);
        }
    }
}

/// A profile that both an annotation and a field name must be the same.
pub(crate) fn app_armor_twice(metadata: &Value, spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    if spec.text("os.name") == "windows" {
        return;
    }
    let annotations = metadata.at("annotations").unwrap_or(&Value::Null);
    for (list, index, container) in each_container(spec) {
        let key = format!("{}{}", warnings::APP_ARMOR, container.text("name"));
        let Some(annotation) = annotations.get(&key).and_then(Value::as_str) else { continue };
        let field = "securityContext.appArmorProfile";
        let Some(profile) = container.at(field).or_else(|| spec.at(field)) else { continue };
        let list_path = path.child(list);
        let item = list_path.index(index);
        let path = item.child(field);
        let file = annotation.strip_prefix("localhost/");
        let same_kind = match profile.text("type") {
            "Unconfined" => annotation == "unconfined",
            "RuntimeDefault" => annotation == "runtime/default",
            "Localhost" => file.is_some(),
            _ => true,
        };
        if !same_kind {
            errors.forbidden(path.child("type"), "apparmor type in annotation and field must match");
        } else if file.is_some_and(|file| file != profile.text("localhostProfile")) {
            let message = "apparmor profile in annotation and field must match";
            errors.forbidden(path.child("localhostProfile"), message);
        }
    }
}

fn seccomp_profile(profile: &str, path: &Path<'_>, errors: &mut Errors) {
    if let Some(file) = profile.strip_prefix("localhost/") {
        volume::descending(file, path, errors);
    } else if !["runtime/default", "docker/default", "unconfined"].contains(&profile) {
        errors.invalid(path, profile, "must be a valid seccomp profile");
    }
}

/// Checks the spec of a pod, whose name is then given, or of a template.
pub(crate) fn spec(spec: &Value, pod_name: Option<&str>, path: &Path<'_>, errors: &mut Errors) {
    if !spec.has("terminationGracePeriodSeconds") {
        errors.required(path.child("terminationGracePeriodSeconds"), "");
    }
    let volumes = volume::volumes(spec.items("volumes"), pod_name, &path.child("volumes"), errors);
    resource_claims(spec.items("resourceClaims"), &path.child("resourceClaims"), errors);
    let mut claims: Vec<&str> = spec.items("resourceClaims").iter().map(|claim| claim.text("name")).collect();
    claims.sort_unstable();
    claims.dedup();
    let pod = Pod {
        volumes,
        claims,
        grace_seconds: spec.number_opt("terminationGracePeriodSeconds"),
        restart_policy: spec.text("restartPolicy"),
        host_users: spec.at("hostUsers") != Some(&Value::Bool(false)),
        os: spec.text("os.name"),
    };
    all_containers(spec, &pod, path, errors);
    if let Some(resources) = spec.at("resources") {
        let resources_path = path.child("resources");
        if pod.os == "windows" {
            errors.forbidden(resources_path, "may not be set for a windows pod");
        } else {
            resource_list::requirements(resources, true, &pod.claims, &resources_path, errors);
            resource_list::of_pod(spec, &resources_path, errors);
        }
    }
    host_network_ports(spec, pod_name.is_some(), &path.child("containers"), errors);
    let restart_policies = &["Always", "OnFailure", "Never"];
    errors.one_of(&path.child("restartPolicy"), pod.restart_policy, restart_policies);
    let dns_policies = &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    errors.one_of(&path.child("dnsPolicy"), spec.text("dnsPolicy"), dns_policies);
    selector::labels(spec.at("nodeSelector"), &path.child("nodeSelector"), errors);
    security::pod(spec, &path.child("securityContext"), errors);
    if let Some(affinity) = spec.at("affinity") {
        scheduling::affinity(affinity, &path.child("affinity"), errors);
    }
    dns_config(spec, &path.child("dnsConfig"), errors);
    gates(spec, path, errors);
    let spread = path.child("topologySpreadConstraints");
    scheduling::spread(spec.items("topologySpreadConstraints"), &spread, errors);
    host_process(spec, path, errors);
    host_users(spec, path, errors);
    hostname_override(spec, &path.child("hostnameOverride"), errors);
    single_fields(spec, path, errors);
    operating_system(spec, path, errors);
    variables_from_files(spec, path, errors);
}

/// Claims of devices have one source each.
fn resource_claims(list: &[Value], path: &Path<'_>, errors: &mut Errors) {
    let mut known = HashSet::new();
    for (index, claim) in list.iter().enumerate() {
        let path = path.index(index);
        let name = claim.text("name");
        let is_known = !known.insert(name);
        if name.is_empty() {
            errors.required(path.child("name"), "");
        } else if is_known {
            errors.duplicate(path.child("name"), name);
        } else {
            errors.all_invalid(&path.child("name"), name, names::dns_label(name));
        }
        let shown = || internal::form("core.v1.PodResourceClaim", claim);
        let sources = ["resourceClaimName", "resourceClaimTemplateName"];
        match sources.map(|source| claim.has(source)) {
            [true, true] => {
                let message =
                    "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified";
                errors.invalid(path, shown(), message);
            }
            [false, false] => {
                let message = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`";
                errors.invalid(path, shown(), message);
            }
            _ => {}
        }
        for source in sources.into_iter().filter(|source| claim.has(source)) {
            let name = claim.text(source);
            errors.all_invalid(&path.child(source), name, names::dns_subdomain(name));
        }
    }
}

/// Files that variables are read from are in volumes of the pod that begin empty.
fn variables_from_files(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    for (list, index, container) in each_container(spec) {
        let list_path = path.child(list);
        let item = list_path.index(index);
        let env = item.child("env");
        for (index, variable) in container.items("env").iter().enumerate() {
            let Some(file) = variable.at("valueFrom.fileKeyRef") else { continue };
            let name = file.text("volumeName");
            let item = env.index(index);
            let path = item.child("valueFrom.fileKeyRef.volumeName");
            match spec.items("volumes").iter().rfind(|volume| volume.text("name") == name) {
                None => errors.not_found(path, name),
                Some(volume) if !volume.has("emptyDir") => {
                    errors.invalid(path, name, "referenced volume must be of type emptyDir");
                }
                Some(_) => {}
            }
        }
    }
}

fn all_containers(spec: &Value, pod: &Pod<'_>, path: &Path<'_>, errors: &mut Errors) {
    let (ordinary, init) = (spec.items("containers"), spec.items("initContainers"));
    container_list::containers(ordinary, pod, &path.child("containers"), errors);
    container_list::init_containers(init, ordinary, pod, &path.child("initContainers"), errors);
    let ephemeral = spec.items("ephemeralContainers");
    let ephemeral_path = path.child("ephemeralContainers");
    container_list::ephemeral_containers(ephemeral, [ordinary, init], pod, &ephemeral_path, errors);
}

fn host_network_ports(spec: &Value, of_pod: bool, path: &Path<'_>, errors: &mut Errors) {
    if !spec.flag("hostNetwork") {
        return;
    }
    for (index, container) in spec.items("containers").iter().enumerate() {
        let item = path.index(index);
        let list = item.child("ports");
        for (index, port) in container.items("ports").iter().enumerate() {
            let (host, number) = (port.number("hostPort"), port.number("containerPort"));
            if (of_pod || host != 0) && host != number {
                let message = "must match `containerPort` when `hostNetwork` is true";
                errors.invalid(list.index(index).child("hostPort"), host, message);
            }
        }
    }
}

fn dns_config(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let config = spec.at("dnsConfig");
    if spec.text("dnsPolicy") == "None" {
        if config.is_none() {
            return errors.required(path, "must provide `dnsConfig` when `dnsPolicy` is None");
        }
        if config.is_some_and(|config| config.items("nameservers").is_empty()) {
            let message = "must provide at least one DNS nameserver when `dnsPolicy` is None";
            return errors.required(path.child("nameservers"), message);
        }
    }
    let Some(config) = config else { return };
    let (servers, searches) = (config.items("nameservers"), config.items("searches"));
    if servers.len() > 3 {
        let message = "must not have more than 3 nameservers";
        errors.invalid(path.child("nameservers"), servers.to_vec(), message);
    }
    let list = path.child("nameservers");
    for (index, server) in servers.iter().filter_map(Value::as_str).enumerate() {
        ip(server, &list.index(index), errors);
    }
    search_domains(searches, &path.child("searches"), errors);
    let list = path.child("options");
    for (index, option) in config.items("options").iter().enumerate() {
        if option.text("name").is_empty() {
            errors.required(list.index(index), "must not be empty");
        }
    }
}

fn search_domains(searches: &[Value], path: &Path<'_>, errors: &mut Errors) {
    if searches.len() > 32 {
        errors.invalid(path, searches.to_vec(), "must not have more than 32 search paths");
    }
    let characters: usize = searches.iter().filter_map(Value::as_str).map(|search| search.len() + 1).sum();
    if characters > 2049 {
        let message = "must not have more than 2048 characters (including spaces) in the search list";
        errors.invalid(path, searches.to_vec(), message);
    }
    for (index, search) in searches.iter().filter_map(Value::as_str).enumerate() {
        if search != "." {
            let search = search.strip_suffix('.').unwrap_or(search);
            errors.all_invalid(&path.index(index), search, names::dns_search(search));
        }
    }
}

/// Checks an address of either family.
pub(crate) fn ip(text: &str, path: &Path<'_>, errors: &mut Errors) {
    match text.parse::<std::net::IpAddr>() {
        Err(_) if without_leading_zeros(text).parse::<std::net::Ipv4Addr>().is_ok() => {
            errors.invalid(path, text, "must not have leading 0s");
        }
        Err(_) => {
            errors.invalid(path, text, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
        }
        Ok(std::net::IpAddr::V6(address)) if address.to_ipv4_mapped().is_some() => {
            errors.invalid(path, text, "must not be an IPv4-mapped IPv6 address");
        }
        Ok(_) => {}
    }
}

/// An address as it was meant by those who took `010` for 10.
fn without_leading_zeros(address: &str) -> String {
    let number = |text: &str| {
        let rest = text.trim_start_matches('0');
        if rest.is_empty() && !text.is_empty() { "0".to_owned() } else { rest.to_owned() }
    };
    address.split('.').map(number).collect::<Vec<_>>().join(".")
}

fn gates(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let list = path.child("readinessGates");
    for (index, gate) in spec.items("readinessGates").iter().enumerate() {
        let name = gate.text("conditionType");
        let path = list.index(index);
        errors.all_invalid(&path.child("conditionType"), name, names::qualified_name(name));
    }
    let list = path.child("schedulingGates");
    let gates = spec.items("schedulingGates");
    let mut known = HashSet::new();
    for (index, gate) in gates.iter().enumerate() {
        let name = gate.text("name");
        errors.all_invalid(&list.index(index), name, names::qualified_name(name));
        if !known.insert(name) {
            errors.duplicate(list.index(index), name);
        }
    }
}

/// All containers of the pod with the names of their lists.
fn each_container(spec: &Value) -> impl Iterator<Item = (&'static str, usize, &Value)> {
    ["initContainers", "containers", "ephemeralContainers"].into_iter().flat_map(|list| {
        spec.items(list).iter().enumerate().map(move |(index, container)| (list, index, container))
    })
}

/// Windows host processes: all containers or none, and with the host's network.
fn host_process(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    const FIELD: &str = "securityContext.windowsOptions.hostProcess";
    let of_pod = spec.at(FIELD).and_then(Value::as_bool);
    let (mut all, mut host) = (0, 0);
    for (list, index, container) in each_container(spec) {
        all += 1;
        let of_container = container.at(FIELD).and_then(Value::as_bool);
        if let (Some(of_pod), Some(of_container)) = (of_pod, of_container)
            && of_pod != of_container
        {
            let message =
                format!("pod hostProcess value must be identical if both are specified, was {of_pod}");
            errors.invalid(path.child(list).index(index).child(FIELD), of_container, &message);
        }
        host += i32::from(of_container.or(of_pod).unwrap_or_default());
    }
    if host == 0 {
        return;
    }
    if host != all {
        let message =
            "If pod contains any hostProcess containers then all containers must be HostProcess containers";
        errors.invalid(path, "", message);
    }
    if !spec.flag("hostNetwork") {
        let message = "hostNetwork must be true if pod contains any hostProcess containers";
        errors.invalid(path.child("hostNetwork"), false, message);
    }
}

fn host_users(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    if spec.at("hostUsers") != Some(&Value::Bool(false)) {
        return;
    }
    for (field, shown) in [("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")] {
        if spec.flag(field) {
            errors.forbidden(path.child(shown), "when `hostUsers` is false");
        }
    }
}

fn hostname_override(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let Some(name) = spec.at("hostnameOverride").and_then(Value::as_str) else { return };
    for field in ["setHostnameAsFQDN", "hostNetwork"] {
        if spec.flag(field) {
            errors.forbidden(path, &format!("may not be specified when {field} is true"));
        }
    }
    if name.len() > 64 {
        errors.push(crate::status::FieldError::too_long(path, 64));
    }
    errors.all_invalid(path, name, names::dns_subdomain(name));
}

fn single_fields(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let named = |field: &str, rule: fn(&str) -> names::Messages, errors: &mut Errors| {
        let text = spec.text(field);
        if !text.is_empty() {
            errors.all_invalid(&path.child(field), text, rule(text));
        }
    };
    named("serviceAccountName", meta::subdomain, errors);
    named("nodeName", names::dns_subdomain, errors);
    if let Some(seconds) = spec.number_opt("activeDeadlineSeconds") {
        let most = i64::from(i32::MAX);
        if !(1..=most).contains(&seconds) {
            errors.invalid(path.child("activeDeadlineSeconds"), seconds, &names::between(1, most));
        }
    }
    named("hostname", names::dns_label, errors);
    named("subdomain", names::dns_label, errors);
    scheduling::tolerations(spec.items("tolerations"), &path.child("tolerations"), errors);
    let list = path.child("hostAliases");
    for (index, alias) in spec.items("hostAliases").iter().enumerate() {
        let path = list.index(index);
        ip(alias.text("ip"), &path.child("ip"), errors);
        let list = path.child("hostnames");
        for (index, name) in alias.items("hostnames").iter().filter_map(Value::as_str).enumerate() {
            errors.all_invalid(&list.index(index), name, names::dns_subdomain(name));
        }
    }
    named("priorityClassName", names::dns_subdomain, errors);
    named("runtimeClassName", names::dns_subdomain, errors);
    if let Some(policy) = spec.at("preemptionPolicy").and_then(Value::as_str) {
        errors.one_of(&path.child("preemptionPolicy"), policy, &["PreemptLowerPriority", "Never"]);
    }
    if let Some(overhead) = spec.at("overhead") {
        let limits = serde_json::json!({"limits": overhead});
        resource_list::requirements(&limits, false, &[], &path.child("overhead"), errors);
    }
}

/// Fields that a pod of the other operating system may not set.
fn operating_system(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let Some(os) = spec.at("os") else { return };
    match os.text("name") {
        "" => errors.required(path.child("os.name"), ""),
        "linux" => linux(spec, path, errors),
        "windows" => windows(spec, path, errors),
        other => errors.not_supported(path.child("os"), other, &["linux", "windows"]),
    }
}

fn linux(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    const FIELD: &str = "securityContext.windowsOptions";
    let message = "windows options cannot be set for a linux pod";
    if spec.has(FIELD) {
        errors.forbidden(path.child(FIELD), message);
    }
    for (list, index, container) in each_container(spec) {
        if container.has(FIELD) {
            errors.forbidden(path.child(list).index(index).child(FIELD), message);
        }
    }
}

fn windows(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    const POD: &[&str] = &[
        "securityContext.appArmorProfile",
        "securityContext.seLinuxOptions",
        "hostUsers",
        "hostPID",
        "hostIPC",
        "securityContext.seccompProfile",
        "securityContext.fsGroup",
        "securityContext.fsGroupChangePolicy",
        "securityContext.sysctls",
        "shareProcessNamespace",
        "securityContext.runAsUser",
        "securityContext.runAsGroup",
        "securityContext.supplementalGroups",
        "securityContext.supplementalGroupsPolicy",
        "securityContext.seLinuxChangePolicy",
    ];
    const CONTAINER: &[&str] = &[
        "appArmorProfile",
        "seLinuxOptions",
        "seccompProfile",
        "capabilities",
        "readOnlyRootFilesystem",
        "privileged",
        "allowPrivilegeEscalation",
        "procMount",
        "runAsUser",
        "runAsGroup",
    ];
    let message = "cannot be set for a windows pod";
    for field in POD {
        if spec.has(field) {
            errors.forbidden(path.child(field), message);
        }
    }
    for (list, index, container) in each_container(spec) {
        let Some(context) = container.at("securityContext") else { continue };
        for field in CONTAINER.iter().filter(|field| context.has(field)) {
            let list_path = path.child(list);
            let item = list_path.index(index);
            errors.forbidden(item.child("securityContext").child(field), message);
        }
    }
}
