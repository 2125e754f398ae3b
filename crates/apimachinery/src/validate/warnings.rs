//! Warnings about pods and pod templates: fields that work but not as one may think (specification N10).

use std::collections::{HashMap, HashSet};

use everynode_model::Value;
use everynode_model::access::Read;
use everynode_model::quantity::Quantity;

use super::Path;
use super::virtual_paths::{self, MOST};

/// Labels of nodes that have a newer name.
const OLD_NODE_LABELS: &[(&str, &str)] = &[
    ("beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead"),
    ("beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"),
    (
        "failure-domain.beta.kubernetes.io/region",
        "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead",
    ),
    (
        "failure-domain.beta.kubernetes.io/zone",
        "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead",
    ),
    (
        "beta.kubernetes.io/instance-type",
        "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead",
    ),
    ("app.kubernetes.io/created-by", "deprecated since v1.9"),
    (
        "scheduler.alpha.kubernetes.io/preferAvoidPods",
        "deprecated since v1.22; use Taints and Tolerations instead",
    ),
    ("node-role.kubernetes.io/master", "use \"node-role.kubernetes.io/control-plane\" instead"),
];

/// Annotations that do nothing any more.
const OLD_ANNOTATIONS: &[(&str, &str)] = &[
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        "non-functional in v1.16+; use the \"priorityClassName\" field instead",
    ),
    ("security.alpha.kubernetes.io/sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
    (
        "security.alpha.kubernetes.io/unsafe-sysctls",
        "non-functional in v1.11+; use the \"sysctls\" field instead",
    ),
];

/// Volumes that are on their way out, with what the API calls them.
const OLD_VOLUMES: &[(&str, &str, &str)] = &[
    ("photonPersistentDisk", "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("gitRepo", "gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("scaleIO", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"),
];

/// The prefix of annotations that name a container's AppArmor profile.
pub(crate) const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

/// The annotation that named the seccomp profile of all containers, and the prefix of those for one container.
pub(crate) const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
pub(crate) const SECCOMP: &str = "container.seccomp.security.alpha.kubernetes.io/";

/// Warnings about the pod template at `path`.
pub(crate) fn template(template: &Value, path: &Path<'_>) -> Vec<String> {
    let mut warnings = Vec::new();
    let spec = template.get("spec").unwrap_or(&Value::Null);
    let metadata = template.get("metadata").unwrap_or(&Value::Null);
    let annotations_path = path.child("metadata.annotations");
    both(spec, metadata, &path.child("spec"), &annotations_path, true, &mut warnings);
    warnings
}

/// Warnings about a pod.
pub(crate) fn pod(pod: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    let spec = pod.get("spec").unwrap_or(&Value::Null);
    let metadata = pod.get("metadata").unwrap_or(&Value::Null);
    both(spec, metadata, &Path::root("spec"), &Path::root("metadata.annotations"), false, &mut warnings);
    warnings
}

fn both(
    spec: &Value,
    metadata: &Value,
    path: &Path<'_>,
    annotations: &Path<'_>,
    of_template: bool,
    out: &mut Vec<String>,
) {
    old_labels(spec, path, out);
    spread(spec, path, out);
    let set = metadata.at("annotations").unwrap_or(&Value::Null);
    for (key, message) in OLD_ANNOTATIONS.iter().filter(|(key, _)| set.get(key).is_some()) {
        out.push(format!("{}: {message}", annotations.key(key)));
    }
    let list = path.child("volumes");
    for (index, volume) in spec.items("volumes").iter().enumerate() {
        for (_, shown, message) in OLD_VOLUMES.iter().filter(|(field, _, _)| volume.has(field)) {
            out.push(format!("{}: {message}", list.index(index).child(shown)));
        }
        if let Some(claim) = volume.at("ephemeral.volumeClaimTemplate.spec.resources") {
            let item = list.index(index);
            let path = item.child("ephemeral.volumeClaimTemplate.spec.resources");
            fractions(claim, &["requests", "limits"], &["storage"], &path, out);
        }
    }
    virtual_paths::overlaps(spec.items("volumes"), out);
    repeated(spec, ("hostAliases", "ip"), path, out);
    repeated(spec, ("imagePullSecrets", "name"), path, out);
    let list = path.child("imagePullSecrets");
    for (index, secret) in spec.items("imagePullSecrets").iter().enumerate() {
        if secret.text("name").is_empty() {
            out.push(format!("{}: invalid empty name \"\"", list.index(index).child("name")));
        }
    }
    fractions(spec, &["overhead"], BYTES, path, out);
    let non_functional = "non-functional in v1.27+; use the \"seccompProfile\" field instead";
    if set.get(SECCOMP_POD).is_some() && !spec.has("securityContext.seccompProfile") {
        out.push(format!("{}: {non_functional}", annotations.key(SECCOMP_POD)));
    }
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        let list_path = path.child(list);
        for (index, container) in spec.items(list).iter().enumerate() {
            let key = format!("{SECCOMP}{}", container.text("name"));
            if set.get(&key).is_some() && !container.has("securityContext.seccompProfile") {
                out.push(format!("{}: {non_functional}", annotations.key(&key)));
            }
            if of_template {
                app_armor(spec, container, set, annotations, out);
            }
            let item = list_path.index(index);
            if let Some(resources) = container.at("resources") {
                fractions_by_resource(resources, &item.child("resources"), out);
            }
            hidden_variables(container, &item, out);
        }
    }
    ports(spec, path, out);
    if spec.number("terminationGracePeriodSeconds") < 0 {
        let message = "must be >= 0; negative values are invalid and will be treated as 1";
        out.push(format!("{}: {message}", path.child("terminationGracePeriodSeconds")));
    }
    pod_terms(spec, path, out);
    addresses(spec, path, out);
}

/// Resources that are counted in whole bytes.
const BYTES: &[&str] = &["memory", "ephemeral-storage"];

/// Amounts of bytes that are no whole numbers, in the given maps of `owner`.
fn fractions(owner: &Value, maps: &[&str], resources: &[&str], path: &Path<'_>, out: &mut Vec<String>) {
    for map in maps {
        for resource in resources {
            let amounts = owner.at(map).unwrap_or(&Value::Null);
            let amount = amounts.get(resource).and_then(Value::as_str).map(Quantity::parse);
            if let Some(Ok(amount)) = amount
                && amount.millis() < i64::MAX
                && amount.millis() % 1000 != 0
            {
                let amount = amount.to_string();
                out.push(format!(
                    "{}: fractional byte value {amount:?} is invalid, must be an integer",
                    path.child(map).key(resource)
                ));
            }
        }
    }
}

fn fractions_by_resource(resources: &Value, path: &Path<'_>, out: &mut Vec<String>) {
    for resource in BYTES {
        fractions(resources, &["limits", "requests"], &[resource], path, out);
    }
}

/// Items of a list that have the key of an earlier one.
fn repeated(spec: &Value, (list, key): (&str, &str), path: &Path<'_>, out: &mut Vec<String>) {
    let items = spec.items(list);
    let list_path = path.child(list);
    let mut known = HashSet::new();
    for (index, item) in items.iter().enumerate() {
        let value = item.text(key);
        if !known.insert(value) {
            out.push(format!("{}: duplicate {key} {value:?}", list_path.index(index).child(key)));
        }
    }
}

/// Addresses of version 6 that are not written as RFC 5952 writes them.
fn addresses(spec: &Value, path: &Path<'_>, out: &mut Vec<String>) {
    let mut look = |text: &str, path: &Path<'_>| {
        let Ok(address) = text.parse::<std::net::Ipv6Addr>() else { return };
        let canonical = address.to_string();
        if canonical != text {
            out.push(format!(
                "{path}: IPv6 address {text:?} should be in RFC 5952 canonical format ({canonical:?})"
            ));
        }
    };
    let list = path.child("dnsConfig.nameservers");
    for (index, server) in spec.items("dnsConfig.nameservers").iter().enumerate() {
        look(server.as_str().unwrap_or_default(), &list.index(index));
    }
    let list = path.child("hostAliases");
    for (index, alias) in spec.items("hostAliases").iter().enumerate() {
        let item = list.index(index);
        look(alias.text("ip"), &item.child("ip"));
    }
}

fn old_label(key: &str) -> Option<&'static str> {
    OLD_NODE_LABELS.iter().find(|(label, _)| *label == key).map(|(_, message)| *message)
}

fn old_labels(spec: &Value, path: &Path<'_>, out: &mut Vec<String>) {
    for (key, _) in spec.entries("nodeSelector") {
        if let Some(message) = old_label(key) {
            out.push(format!("{}: {message}", path.child("nodeSelector").key(key)));
        }
    }
    let required = "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
    let list = path.child(required);
    for (index, term) in spec.items(required).iter().enumerate() {
        old_labels_of_term(term, &list.index(index), out);
    }
    let preferred = "affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution";
    let list = path.child(preferred);
    for (index, term) in spec.items(preferred).iter().enumerate() {
        let item = list.index(index);
        let preference = term.get("preference").unwrap_or(&Value::Null);
        old_labels_of_term(preference, &item.child("preference"), out);
    }
}

fn old_labels_of_term(term: &Value, path: &Path<'_>, out: &mut Vec<String>) {
    let list = path.child("matchExpressions");
    for (index, requirement) in term.items("matchExpressions").iter().enumerate() {
        let key = requirement.text("key");
        if let Some(message) = old_label(key) {
            out.push(format!("{}: {key} is {message}", list.index(index).child("key")));
        }
    }
}

fn spread(spec: &Value, path: &Path<'_>, out: &mut Vec<String>) {
    let list = path.child("topologySpreadConstraints");
    for (index, constraint) in spec.items("topologySpreadConstraints").iter().enumerate() {
        let item = list.index(index);
        let key = constraint.text("topologyKey");
        if let Some(message) = old_label(key) {
            out.push(format!("{}: {key} is {message}", item.child("topologyKey")));
        }
        no_selector(constraint, &item, out);
    }
}

fn no_selector(owner: &Value, path: &Path<'_>, out: &mut Vec<String>) {
    if !owner.has("labelSelector") {
        let message = "a null labelSelector results in matching no pod";
        out.push(format!("{}: {message}", path.child("labelSelector")));
    }
}

fn pod_terms(spec: &Value, path: &Path<'_>, out: &mut Vec<String>) {
    for kind in ["affinity.podAffinity", "affinity.podAntiAffinity"] {
        let Some(affinity) = spec.at(kind) else { continue };
        let kind_path = path.child(kind);
        let required = "requiredDuringSchedulingIgnoredDuringExecution";
        let list = kind_path.child(required);
        for (index, term) in affinity.items(required).iter().enumerate() {
            no_selector(term, &list.index(index), out);
        }
        let preferred = "preferredDuringSchedulingIgnoredDuringExecution";
        let list = kind_path.child(preferred);
        for (index, term) in affinity.items(preferred).iter().enumerate() {
            let item = list.index(index);
            let term = term.get("podAffinityTerm").unwrap_or(&Value::Null);
            no_selector(term, &item.child("podAffinityTerm"), out);
        }
    }
}

/// A variable that is defined again without use of its first value.
fn hidden_variables(container: &Value, path: &Path<'_>, out: &mut Vec<String>) {
    let list = container.items("env");
    let mut known = HashSet::new();
    for (index, variable) in list.iter().enumerate() {
        let name = variable.text("name");
        let is_known = !known.insert(name);
        let reference = format!("$({name})");
        let value = variable.text("value");
        let builds_on_it = !variable.has("valueFrom") && value != reference && value.contains(&reference);
        if !builds_on_it && is_known {
            out.push(format!(
                "{}: hides previous definition of {name:?}, which may be dropped when using apply",
                path.child("env").index(index)
            ));
        }
    }
}

/// The ports of a pod so far, and where those of one number and protocol stand among them: all, and by host port.
#[derive(Default)]
struct Ports<'a> {
    list: Vec<(String, &'a Value)>,
    all: HashMap<(i64, &'a str), Vec<usize>>,
    by_host: HashMap<(i64, &'a str, i64), Vec<usize>>,
    names: HashMap<&'a str, usize>,
}

impl<'a> Ports<'a> {
    fn add(&mut self, place: String, port: &'a Value) {
        let (number, protocol, index) =
            (port.number("containerPort"), port.text("protocol"), self.list.len());
        self.all.entry((number, protocol)).or_default().push(index);
        self.by_host.entry((number, protocol, port.number("hostPort"))).or_default().push(index);
        self.names.entry(port.text("name")).or_insert(index);
        self.list.push((place, port));
    }

    /// Those that a port may meet: without a port of the host all of its number, else those without and those with
    /// the same.
    fn near(&self, port: &Value) -> Vec<&(String, &'a Value)> {
        let (number, protocol) = (port.number("containerPort"), port.text("protocol"));
        let of_host = |host: i64| self.by_host.get(&(number, protocol, host)).into_iter().flatten();
        let mut found: Vec<usize> = match port.number("hostPort") {
            0 => self.all.get(&(number, protocol)).into_iter().flatten().copied().collect(),
            host => of_host(0).chain(of_host(host)).copied().collect(),
        };
        found.sort_unstable();
        found.into_iter().filter_map(|index| self.list.get(index)).collect()
    }
}

/// Ports of a pod that are defined twice, in one container or in several.
fn ports(spec: &Value, path: &Path<'_>, out: &mut Vec<String>) {
    let mut known = Ports::default();
    let (mut twice, mut names) = (Vec::new(), Vec::new());
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        let list_path = path.child(list);
        for (index, container) in spec.items(list).iter().enumerate() {
            let item = list_path.index(index);
            let ports_path = item.child("ports");
            for (index, port) in container.items("ports").iter().enumerate() {
                if twice.len() + names.len() >= MOST {
                    break;
                }
                let here = ports_path.index(index).to_string();
                for (there, other) in known.near(port) {
                    same_port(port, other, &here, there, &mut twice);
                }
                let name = port.text("name");
                if let Some((there, _)) =
                    known.names.get(name).filter(|_| !name.is_empty()).map(|at| &known.list[*at])
                {
                    names.push(format!(
                        "{here}: duplicate port name {name:?} with {there}, services and probes that select ports by name will use {there}"
                    ));
                }
                known.add(here, port);
            }
        }
    }
    out.append(&mut twice);
    out.append(&mut names);
}

fn same_port(port: &Value, other: &Value, here: &str, there: &str, out: &mut Vec<String>) {
    let same = |field: &str| port.get(field) == other.get(field);
    if !same("containerPort") || !same("protocol") {
        return;
    }
    let (a, b) = (port.number("hostPort"), other.number("hostPort"));
    if same("hostIP") && a == b {
        out.push(format!("{here}: duplicate port definition with {there}"));
    } else if a == 0 || b == 0 {
        out.push(format!("{here}: overlapping port definition with {there}"));
    } else if a == b && port.text("hostIP").is_empty() != other.text("hostIP").is_empty() {
        out.push(format!("{here}: dangerously ambiguous port definition with {there}"));
    }
}

/// A profile given by annotation only.
fn app_armor(spec: &Value, container: &Value, set: &Value, annotations: &Path<'_>, out: &mut Vec<String>) {
    let key = format!("{APP_ARMOR}{}", container.text("name"));
    let Some(annotation) = set.get(&key).and_then(Value::as_str) else { return };
    let of_pod = spec.at("securityContext.appArmorProfile");
    let has_field = container.has("securityContext.appArmorProfile");
    if !has_field && (of_pod.is_none() || of_pod != app_armor_profile(annotation).as_ref()) {
        let message = "deprecated since v1.30; use the \"appArmorProfile\" field instead";
        out.push(format!("{}: {message}", annotations.key(&key)));
    }
}

/// The profile that an annotation names; none when it names none that there is.
pub(crate) fn app_armor_profile(annotation: &str) -> Option<Value> {
    match annotation {
        "unconfined" => Some(serde_json::json!({"type": "Unconfined"})),
        "runtime/default" => Some(serde_json::json!({"type": "RuntimeDefault"})),
        _ => {
            let file = annotation.strip_prefix("localhost/")?;
            let is_good = !file.is_empty() && file.trim() == file;
            is_good.then(|| serde_json::json!({"type": "Localhost", "localhostProfile": file}))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(spec: Value, annotations: Value, expected: &[&str]) {
        let object = json!({"metadata": {"annotations": annotations}, "spec": spec});
        let warnings = template(&object, &Path::root("spec.template"));
        assert_eq!(warnings, expected, "{object}");
    }

    /// Statement N10.
    #[test]
    fn templates_are_warned_of_what_works_differently_now() {
        let container = json!([{"name": "c"}]);
        check(json!({"containers": container}), json!({}), &[]);
        check(
            json!({"nodeSelector": {"beta.kubernetes.io/os": "linux"}}),
            json!({}),
            &[
                "spec.template.spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use \"kubernetes.io/os\" instead",
            ],
        );
        check(
            json!({"containers": container}),
            json!({"container.apparmor.security.beta.kubernetes.io/c": "unconfined"}),
            &[
                "spec.template.metadata.annotations[container.apparmor.security.beta.kubernetes.io/c]: deprecated since v1.30; use the \"appArmorProfile\" field instead",
            ],
        );
        let env = json!([{"name": "A", "value": "1"}, {"name": "A", "value": "$(A)2"}, {"name": "A", "value": "3"}]);
        check(
            json!({"containers": [{"name": "c", "env": env}]}),
            json!({}),
            &[
                "spec.template.spec.containers[0].env[2]: hides previous definition of \"A\", which may be dropped when using apply",
            ],
        );
        let ports =
            json!([{"containerPort": 80, "protocol": "TCP"}, {"containerPort": 80, "protocol": "TCP"}]);
        check(
            json!({"containers": [{"name": "c", "ports": ports}]}),
            json!({}),
            &[
                "spec.template.spec.containers[0].ports[1]: duplicate port definition with spec.template.spec.containers[0].ports[0]",
            ],
        );
    }
}
