//! What the first process of a node does: it makes the node's file system and network, keeps a containerd, ends what
//! nobody else waits for, and is the node's agent.

mod containerd;
mod network;
mod root;

use std::io::{self, BufRead as _, Write as _};
use std::time::{Duration, Instant};

use everynode_agent::{AgentConfig, Cgroups, ImageGc, KUBELET_PORT, Meter, Names, Registration, Thresholds};
use everynode_client::Client;
use tokio_util::sync::CancellationToken;

use crate::setup::{NodeSetup, READY};

/// How many pods a node takes, as a kubelet does where nothing else is said.
const MAX_PODS: u32 = 110;
/// Between two looks whether containerd answers.
const CONTAINERD_PAUSE: Duration = Duration::from_millis(10);
/// For so long it is waited for without a word.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a node did not come to be.
#[derive(Debug, thiserror::Error)]
pub enum InsideError {
    /// A call of the operating system.
    #[error("cannot {what}: {source}")]
    System {
        /// What was to be done.
        what: String,
        /// Why it was not.
        source: io::Error,
    },
    /// The network's addresses and routes.
    #[error("cannot set up the network: {0}")]
    Network(String),
    /// What the process was told.
    #[error("this is started by `everynode up --real-nodes`, which says on standard input what to do: {0}")]
    Setup(String),
    /// The kubeconfig.
    #[error(transparent)]
    Client(#[from] everynode_client::Error),
}

impl InsideError {
    fn system<E: Into<io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> InsideError {
        |source| InsideError::System { what: what.into(), source: source.into() }
    }
}

/// Is a node until standard input ends; then the process ends, and with it the node.
///
/// # Errors
/// Why there is no node.
#[expect(clippy::print_stdout, reason = "this is how the outside knows that the namespaces are there")]
pub async fn run() -> Result<(), InsideError> {
    if std::process::id() != 1 {
        return Err(InsideError::Setup("this process is not the first of a process namespace".to_owned()));
    }
    println!("{READY}");
    io::stdout().flush().map_err(InsideError::system("write to standard output"))?;
    let setup = read_setup()?;
    end_with_input();
    root::enter(&setup.folder)?;
    rustix::system::sethostname(setup.name.as_bytes()).map_err(InsideError::system("set the host name"))?;
    network::set_up(&setup)?;
    containerd::configure(setup.registry)?;
    containerd::keep().map_err(InsideError::system("start a thread"))?;
    let client = Client::from_kubeconfig_text(&setup.kubeconfig).await?;
    run_agent(client, &setup).await;
    Ok(())
}

fn read_setup() -> Result<NodeSetup, InsideError> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map_err(InsideError::system("read standard input"))?;
    serde_json::from_str(&line).map_err(|error| InsideError::Setup(error.to_string()))
}

/// Ends the process when nobody holds the other end of standard input any more.
fn end_with_input() {
    std::thread::spawn(|| {
        let mut line = String::new();
        while io::stdin().lock().read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
            line.clear();
        }
        std::process::exit(0);
    });
}

/// Is the node's agent, from when containerd answers.
async fn run_agent(client: Client, setup: &NodeSetup) {
    let names = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let config = AgentConfig {
        node_name: setup.name.clone(),
        node_ips: vec![setup.address.to_string()],
        runtime: containerd::endpoint(),
        kubelet: Some((setup.address, KUBELET_PORT).into()),
        root_dir: root::KUBELET.into(),
        logs_dir: root::POD_LOGS.into(),
        cgroup_root: setup.cgroup.clone(),
        cgroups: Cgroups::default(),
        names: Names::new(&names, Vec::new(), "cluster.local"),
        registration: Registration {
            max_pods: MAX_PODS,
            pod_cidr: Some(setup.pod_cidr.clone()),
            ..Registration::default()
        },
        static_pods: None,
        meter: Meter::default(),
        // Disk and memory are those of the machine, and who uses it sees to them.
        image_gc: ImageGc::NEVER,
        eviction_hard: Thresholds::none(),
    };
    let mut patience = Patience::new(Instant::now());
    loop {
        let ended = everynode_agent::run(client.clone(), config.clone(), CancellationToken::new()).await;
        if let Err(error) = ended {
            match patience.ends(Instant::now()) {
                true => tracing::warn!(%error, "the node has no agent yet"),
                false => tracing::debug!(%error, "what the agent needs is waited for"),
            }
        }
        tokio::time::sleep(CONTAINERD_PAUSE).await;
    }
}

/// Says once that something has been waited for too long.
struct Patience {
    since: Instant,
    has_ended: bool,
}

impl Patience {
    fn new(now: Instant) -> Patience {
        Patience { since: now, has_ended: false }
    }

    /// Whether it ends now.
    fn ends(&mut self, now: Instant) -> bool {
        let ends = !self.has_ended && now.duration_since(self.since) >= PATIENCE;
        self.has_ended |= ends;
        ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_come_is_told_once() {
        let begin = Instant::now();
        let mut patience = Patience::new(begin);
        let told = [0, 9, 10, 11, 100].map(|seconds| patience.ends(begin + Duration::from_secs(seconds)));
        assert_eq!(told, [false, false, true, false, false]);
    }
}
