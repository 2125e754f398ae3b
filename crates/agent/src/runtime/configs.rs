//! What the runtime is told about sandboxes and containers.

use std::collections::BTreeMap;

use everynode_cri::messages::{
    ContainerConfig, ContainerMetadata, DnsConfig, ImageSpec, KeyValue, LinuxContainerConfig,
    LinuxContainerResources, LinuxPodSandboxConfig, Mount, PodSandboxConfig, PodSandboxMetadata, PortMapping,
    Protocol,
};

use super::label;
use super::names::Names;
use super::security::{self, ImageUser, UserError};
use crate::env::{Env, expand};
use crate::layout::log_path;
use crate::pod_spec::{Container, MessagePolicy, Pod};

/// The longest name of a host.
const HOSTNAME_LIMIT: usize = 63;

/// The name of a pod as a host; on the node's network that is the node's, and nothing is set.
pub fn hostname(pod: &Pod) -> String {
    let name = if pod.spec.hostname.is_empty() { &pod.metadata.name } else { &pod.spec.hostname };
    let cut = name.get(..HOSTNAME_LIMIT).unwrap_or(name);
    cut.trim_end_matches(['-', '.']).to_owned()
}

/// A sandbox. `log_folder` is the folder of the pod's logs, `cgroup_parent` the cgroup below which it is.
pub fn sandbox_config(
    pod: &Pod,
    attempt: u32,
    node: &str,
    log_folder: &str,
    cgroup_parent: &str,
    names: &Names,
) -> PodSandboxConfig {
    let metadata = &pod.metadata;
    let spec = &pod.spec;
    let sysctls = spec.security_context.sysctls.iter().map(|one| (one.name.clone(), one.value.clone()));
    PodSandboxConfig {
        metadata: Some(PodSandboxMetadata {
            name: metadata.name.clone(),
            uid: metadata.uid.clone(),
            namespace: metadata.namespace.clone(),
            attempt,
        }),
        hostname: if spec.host_network { String::new() } else { hostname(pod) },
        log_directory: log_folder.to_owned(),
        dns_config: dns(pod, names),
        port_mappings: if spec.host_network { Vec::new() } else { port_mappings(pod) },
        labels: labels(pod, node),
        annotations: [(label::GRACE_SECONDS.to_owned(), spec.grace_seconds().to_string())].into(),
        linux: Some(LinuxPodSandboxConfig {
            cgroup_parent: cgroup_parent.to_owned(),
            security_context: Some(security::sandbox(pod)),
            sysctls: sysctls.collect(),
            ..LinuxPodSandboxConfig::default()
        }),
    }
}

fn labels(pod: &Pod, node: &str) -> BTreeMap<String, String> {
    let metadata = &pod.metadata;
    let own = [
        (label::POD_NAME, &*metadata.name),
        (label::POD_NAMESPACE, &*metadata.namespace),
        (label::POD_UID, &*metadata.uid),
        (label::NODE, node),
    ];
    let own = own.map(|(key, value)| (key.to_owned(), value.to_owned()));
    metadata.labels.clone().into_iter().chain(own).collect()
}

/// Where names are looked up; nothing: where the node looks them up.
fn dns(pod: &Pod, names: &Names) -> Option<DnsConfig> {
    let (spec, asked) = (&pod.spec, &pod.spec.dns_config);
    let by_cluster = match spec.dns_policy.as_str() {
        "ClusterFirst" | "" => !spec.host_network,
        "ClusterFirstWithHostNet" => true,
        _ => false,
    };
    let mut config = match spec.dns_policy.as_str() {
        "None" => DnsConfig::default(),
        _ if by_cluster && !names.cluster_servers.is_empty() => {
            let domain = &names.cluster_domain;
            let own =
                [format!("{}.svc.{domain}", pod.metadata.namespace), format!("svc.{domain}"), domain.clone()];
            DnsConfig {
                servers: names.cluster_servers.clone(),
                searches: own.into_iter().chain(names.node.searches.iter().cloned()).collect(),
                options: vec!["ndots:5".to_owned()],
            }
        }
        _ => names.node.clone(),
    };
    let is_changed = !asked.nameservers.is_empty() || !asked.searches.is_empty() || !asked.options.is_empty();
    config.servers.extend(asked.nameservers.iter().cloned());
    config.searches.extend(asked.searches.iter().cloned());
    for option in &asked.options {
        let name = option.name.as_str();
        config.options.retain(|one| one.split(':').next() != Some(name));
        config.options.push(match &option.value {
            Some(value) => format!("{name}:{value}"),
            None => name.to_owned(),
        });
    }
    (is_changed || config != names.node).then_some(config)
}

fn port_mappings(pod: &Pod) -> Vec<PortMapping> {
    let containers =
        pod.spec.init_containers.iter().filter(|one| one.is_sidecar()).chain(&pod.spec.containers);
    let ports = containers.flat_map(|one| &one.ports).filter(|port| port.host_port != 0);
    let mapping = |port: &crate::pod_spec::ContainerPort| PortMapping {
        protocol: match port.protocol.as_str() {
            "UDP" => Protocol::Udp.into(),
            "SCTP" => Protocol::Sctp.into(),
            _ => Protocol::Tcp.into(),
        },
        container_port: port.container_port.into(),
        host_port: port.host_port.into(),
        host_ip: port.host_ip.clone(),
    };
    ports.map(mapping).collect()
}

/// What was worked out for a container before it is made. Its environment may be secret, and is not to be printed.
#[derive(Clone, Default)]
pub struct ContainerPlan {
    /// How often it was started again.
    pub attempt: u32,
    /// The image, as the runtime names it.
    pub image_ref: String,
    /// Whom the image runs as.
    pub image_user: ImageUser,
    /// Its environment.
    pub env: Env,
    /// What it sees of the node's files.
    pub mounts: Vec<Mount>,
    /// What it gets of the machine.
    pub resources: LinuxContainerResources,
    /// Where seccomp profiles are, with a slash at the end.
    pub seccomp_folder: String,
}

/// A container.
///
/// # Errors
/// When it may not be who it would be.
pub fn container_config(
    pod: &Pod,
    container: &Container,
    node: &str,
    plan: ContainerPlan,
) -> Result<ContainerConfig, UserError> {
    let security = security::container(pod, container, &plan.image_user, &plan.seccomp_folder)?;
    let value = |name: &str| plan.env.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let expanded = |texts: &[String]| texts.iter().map(|text| expand(text, value)).collect();
    let mut labels = labels(pod, node);
    labels.insert(label::CONTAINER_NAME.to_owned(), container.name.clone());
    let mut annotations = BTreeMap::from([(label::IMAGE.to_owned(), container.image.clone())]);
    if container.termination_message_policy == MessagePolicy::FallbackToLogsOnError {
        annotations.insert(label::MESSAGE_POLICY.to_owned(), label::FALLBACK_TO_LOGS.to_owned());
    }
    Ok(ContainerConfig {
        metadata: Some(ContainerMetadata { name: container.name.clone(), attempt: plan.attempt }),
        image: Some(ImageSpec { image: plan.image_ref.clone(), ..ImageSpec::default() }),
        command: expanded(&container.command),
        args: expanded(&container.args),
        working_dir: container.working_dir.clone(),
        envs: plan
            .env
            .iter()
            .map(|(key, value)| KeyValue { key: key.clone(), value: value.clone().into() })
            .collect(),
        mounts: plan.mounts.clone(),
        labels,
        annotations,
        log_path: log_path(&container.name, plan.attempt),
        stdin: container.stdin,
        stdin_once: container.stdin_once,
        tty: container.tty,
        linux: Some(LinuxContainerConfig {
            resources: Some(plan.resources.clone()),
            security_context: Some(security),
        }),
        ..ContainerConfig::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(spec: &str) -> Pod {
        serde_json::from_str(&format!(
            r#"{{"metadata":{{"name":"p","namespace":"n","uid":"u","labels":{{"app":"a"}}}},"spec":{spec}}}"#
        ))
        .unwrap()
    }

    fn names() -> Names {
        Names {
            cluster_servers: vec!["10.96.0.10".to_owned()],
            cluster_domain: "cluster.local".to_owned(),
            node: DnsConfig {
                servers: vec!["1.1.1.1".to_owned()],
                searches: vec!["lan".to_owned()],
                options: vec![],
            },
        }
    }

    #[test]
    fn names_are_looked_up_where_the_policy_says() {
        let check = |spec: &str, expected: &str| {
            let text = dns(&pod(spec), &names()).map_or_else(
                || "as the node".to_owned(),
                |one| [one.servers.join(","), one.searches.join(","), one.options.join(",")].join(" "),
            );
            assert_eq!(text, expected, "{spec}");
        };
        let cluster = "10.96.0.10 n.svc.cluster.local,svc.cluster.local,cluster.local,lan ndots:5";
        check("{}", cluster);
        check(r#"{"dnsPolicy":"ClusterFirst","hostNetwork":true}"#, "as the node");
        check(r#"{"dnsPolicy":"ClusterFirstWithHostNet","hostNetwork":true}"#, cluster);
        check(r#"{"dnsPolicy":"Default"}"#, "as the node");
        check(
            r#"{"dnsPolicy":"None","dnsConfig":{"nameservers":["9.9.9.9"],"searches":["x"],"options":[{"name":"ndots","value":"2"},{"name":"edns0"}]}}"#,
            "9.9.9.9 x ndots:2,edns0",
        );
        check(
            r#"{"dnsConfig":{"options":[{"name":"ndots","value":"1"}]}}"#,
            "10.96.0.10 n.svc.cluster.local,svc.cluster.local,cluster.local,lan ndots:1",
        );
    }

    #[test]
    fn a_sandbox_on_the_nodes_network_has_no_name_and_no_ports_of_its_own() {
        let spec = r#""containers":[{"name":"c","ports":[{"containerPort":80,"hostPort":8080}]}]"#;
        let config = |spec: &str| sandbox_config(&pod(spec), 1, "w", "/logs", "/cg", &names());
        let own = config(&format!("{{{spec}}}"));
        assert_eq!((&*own.hostname, own.port_mappings.len()), ("p", 1));
        assert_eq!(own.labels[label::POD_UID], "u");
        assert_eq!(own.labels["app"], "a");
        let nodes = config(&format!(r#"{{"hostNetwork":true,{spec}}}"#));
        assert_eq!((&*nodes.hostname, nodes.port_mappings.len()), ("", 0));
    }

    #[test]
    fn commands_are_expanded_by_the_containers_environment() {
        let pod =
            pod(r#"{"containers":[{"name":"c","image":"i:1","command":["/x","--node=$(NODE)","$(NONE)"]}]}"#);
        let plan = ContainerPlan {
            attempt: 2,
            env: vec![("NODE".to_owned(), "w".to_owned())],
            ..ContainerPlan::default()
        };
        let config = container_config(&pod, &pod.spec.containers[0], "w", plan).unwrap();
        assert_eq!(config.command, ["/x", "--node=w", "$(NONE)"]);
        assert_eq!((&*config.log_path, &*config.annotations[label::IMAGE]), ("c/2.log", "i:1"));
    }
}
