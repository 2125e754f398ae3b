//! `everynode agent`: this machine as a node, with real containers.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::path::PathBuf;
use std::process::ExitCode;

use everynode_agent::{
    AgentConfig, AgentError, Cgroups, ImageGc, KUBELET_PORT, Meter, Names, Registration, StaticPods,
    Thresholds,
};
use everynode_cri::Endpoint;
use everynode_model::Value;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;
use crate::shared::ClusterArgs;
use crate::signals::stop_on_signals;

/// Arguments of `agent`: what the kubelet has too is called as there.
#[derive(Debug, clap::Args)]
pub struct AgentArgs {
    /// The cluster to join.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Where the container runtime listens
    #[arg(long, value_name = "SOCKET", default_value = "unix:///run/containerd/containerd.sock")]
    pub container_runtime_endpoint: Endpoint,
    /// Name of the node [default: that of the machine]
    #[arg(long, value_name = "NAME")]
    pub hostname_override: Option<String>,
    /// Address of the node [default: the one from which the API server is reached]
    #[arg(long, value_name = "ADDRESS")]
    pub node_ip: Option<IpAddr>,
    /// Labels of the node when it is registered
    #[arg(long, value_name = "KEY=VALUE", value_delimiter = ',', value_parser = label)]
    pub node_labels: Vec<(String, String)>,
    /// Taints of the node when it is registered
    #[arg(long, value_name = "KEY=VALUE:EFFECT", value_delimiter = ',', value_parser = taint)]
    pub register_with_taints: Vec<Value>,
    /// Address on which the kubelet endpoint listens
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0")]
    pub address: IpAddr,
    /// Port of the kubelet endpoint: logs, exec, port-forward, figures; 0: none
    #[arg(long, value_name = "PORT", default_value_t = KUBELET_PORT)]
    pub port: u16,
    /// Folder of volumes
    #[arg(long, value_name = "DIR", default_value = "/var/lib/kubelet")]
    pub root_dir: PathBuf,
    /// Folder of the logs of pods
    #[arg(long, value_name = "DIR", default_value = "/var/log/pods")]
    pub pod_logs_dir: PathBuf,
    /// The cgroup below which all pods are
    #[arg(long, value_name = "PATH", default_value = "")]
    pub cgroup_root: String,
    /// Addresses of the cluster's name servers [default: pods look names up as the node does]
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    pub cluster_dns: Vec<IpAddr>,
    /// The cluster's domain
    #[arg(long, value_name = "DOMAIN", default_value = "cluster.local")]
    pub cluster_domain: String,
    /// How many pods the node takes
    #[arg(long, value_name = "N", default_value_t = 110, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub max_pods: u32,
    /// Folder of manifests of static pods, which run without being asked for by the API
    #[arg(long, value_name = "DIR")]
    pub pod_manifest_path: Option<PathBuf>,
    /// Images that nobody uses are removed from so many percent of their disk in use on; 100: never
    #[arg(long, value_name = "PERCENT", default_value_t = 85, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub image_gc_high_threshold: u8,
    /// Until so many percent are in use
    #[arg(long, value_name = "PERCENT", default_value_t = 80, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub image_gc_low_threshold: u8,
    /// From when on the node is short of something, and ends pods; empty: never
    #[arg(
        long,
        value_name = "SIGNAL<AMOUNT,...",
        default_value = "memory.available<100Mi,nodefs.available<10%,nodefs.inodesFree<5%,imagefs.available<15%,imagefs.inodesFree<5%"
    )]
    pub eviction_hard: Thresholds,
}

/// Runs the agent until it is told to stop. The containers go on after that.
#[expect(clippy::print_stdout, reason = "this is where the command speaks to its user")]
pub async fn run(args: AgentArgs) -> Result<ExitCode, Failure> {
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::with_hint(
            "the agent of a node makes containers and mounts volumes, and has to be root",
            "run it with sudo, or simulate nodes: `everynode nodes --simulate 3` needs no rights",
        ));
    }
    let client = args.cluster.connect().await?;
    client.get("/version").await?;
    let name = args.hostname_override.clone().unwrap_or_else(machine_name);
    let ip = args.node_ip.or_else(|| address_towards(client.server_url())).unwrap_or([127, 0, 0, 1].into());
    let stop = CancellationToken::new();
    stop_on_signals(stop.clone());
    println!("{name} ({ip}) joins {}; Ctrl-C stops the agent, and containers go on", client.server_url());
    let config = AgentConfig {
        node_name: name,
        node_ips: vec![ip.to_string()],
        runtime: args.container_runtime_endpoint,
        kubelet: (args.port != 0).then(|| SocketAddr::new(args.address, args.port)),
        root_dir: args.root_dir,
        logs_dir: args.pod_logs_dir,
        cgroup_root: args.cgroup_root,
        cgroups: Cgroups::default(),
        names: Names::new(
            &std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default(),
            args.cluster_dns.iter().map(IpAddr::to_string).collect(),
            &args.cluster_domain,
        ),
        registration: Registration {
            labels: args.node_labels.into_iter().collect(),
            taints: args.register_with_taints,
            max_pods: args.max_pods,
            pod_cidr: None,
        },
        static_pods: args.pod_manifest_path.map(|folder| {
            StaticPods::new(folder, |manifest, node| {
                everynode_admission::static_pod(manifest, node).map_err(|refusal| refusal.message)
            })
        }),
        meter: Meter::default(),
        image_gc: ImageGc {
            high_percent: args.image_gc_high_threshold,
            low_percent: args.image_gc_low_threshold,
            ..ImageGc::default()
        },
        eviction_hard: args.eviction_hard,
    };
    match everynode_agent::run(client, config, stop).await {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            let hint = match &error {
                AgentError::Runtime { .. } => {
                    "start containerd or CRI-O, or name its socket by --container-runtime-endpoint; simulated nodes need none"
                }
                AgentError::Kubelet { .. } => {
                    "name another port by --port if another kubelet or agent runs here; --port 0 has no endpoint"
                }
            };
            Err(Failure::with_hint(error, hint))
        }
    }
}

/// Is a node of namespaces until standard input ends.
pub async fn run_in_namespaces() -> Result<ExitCode, Failure> {
    everynode_realnodes::inside::run().await?;
    Ok(ExitCode::SUCCESS)
}

/// The machine's name, as nodes are named.
fn machine_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().to_lowercase()
}

/// Our address on the way to a server. Nothing is sent.
fn address_towards(server_url: &str) -> Option<IpAddr> {
    let host = server_url.split("://").nth(1)?.split('/').next()?;
    let host = if host.rsplit(']').next()?.contains(':') { host.to_owned() } else { format!("{host}:443") };
    let server = host.to_socket_addrs().ok()?.next()?;
    let any: IpAddr = if server.is_ipv4() { [0, 0, 0, 0].into() } else { [0_u16; 8].into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(server).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    match everynode_model::names::qualified_name(key).into_iter().next() {
        Some(message) => Err(format!("{key:?} cannot be the key of a label: {message}")),
        None => Ok((key.to_owned(), value.to_owned())),
    }
}

fn taint(text: &str) -> Result<Value, String> {
    let (pair, effect) = text.rsplit_once(':').ok_or("a taint is written KEY=VALUE:EFFECT")?;
    if !["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&effect) {
        return Err(format!("{effect:?} is no effect: NoSchedule, PreferNoSchedule or NoExecute"));
    }
    let (key, value) = label(pair)?;
    Ok(json!({ "key": key, "value": value, "effect": effect }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_taints_are_read_as_the_kubelet_reads_them() {
        assert_eq!(label("a=b"), Ok(("a".to_owned(), "b".to_owned())));
        assert_eq!(label("example.com/a"), Ok(("example.com/a".to_owned(), String::new())));
        assert!(label("a b=c").is_err());
        assert_eq!(
            taint("dedicated=x:NoExecute"),
            Ok(json!({"key": "dedicated", "value": "x", "effect": "NoExecute"}))
        );
        assert!(taint("dedicated=x").is_err() && taint("a:Never").is_err());
    }

    #[test]
    fn the_way_to_a_server_on_this_machine_is_the_loopback() {
        assert_eq!(address_towards("https://127.0.0.1:7443"), Some([127, 0, 0, 1].into()));
        assert_eq!(address_towards("nonsense"), None);
    }
}
