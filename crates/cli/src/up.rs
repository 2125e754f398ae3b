//! `everynode up`: a cluster in this process, shown live or as lines.

use std::io::IsTerminal;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use everynode_client::Client;
use everynode_dashboard::Dashboard;
use everynode_local::up::{
    NodesWanted, Parts, RealNodesConfig, RealNodesWanted, Storage, Tally, Up, UpConfig,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::args::REAL_NODE_COMMAND;
use crate::dashboard::{of_cluster, opened};
use crate::failure::Failure;
use crate::logging;
use crate::plain;
use crate::shared::{duration, node_count};
use crate::signals::stop_on_signals;
use crate::view::{Header, Screen, report};

/// How long everything must have been available without a change: a status may lag behind the last node.
const SETTLED: Duration = Duration::from_millis(300);

/// How often the live view is drawn at most.
const FRAME: Duration = Duration::from_millis(100);

/// Real nodes on one machine at most.
const REAL_NODES_LIMIT: i64 = 250;

/// How many nodes are simulated where nobody says.
const SIMULATED_NODES: u32 = 3;

/// Where real nodes of a cluster without data directory keep their files while they live: on a disk, and root's alone.
const REAL_NODES_FOLDER: &str = "/var/lib/everynode";

/// Arguments of `up`.
#[derive(Debug, clap::Args)]
pub struct UpArgs {
    /// Apply this manifest, the manifests of this directory, or those on standard input with `-` (repeatable)
    #[arg(short, long = "filename", value_name = "FILE|DIR")]
    pub files: Vec<PathBuf>,
    /// Number of simulated nodes; those of an earlier start come back in any case
    /// [default: 3, or none beside real nodes]
    #[arg(long, value_name = "N", conflicts_with = "fleet", value_parser = node_count())]
    pub nodes: Option<u32>,
    /// Simulate these nodes: Node objects as `kubectl get nodes -o yaml` of a real cluster prints them
    #[arg(long, value_name = "FILE")]
    pub fleet: Option<PathBuf>,
    /// Number of real nodes: made of namespaces, each with a containerd of its own, so that pods are real containers.
    /// Needs Linux, root, containerd and runc
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=REAL_NODES_LIMIT))]
    pub real_nodes: u16,
    /// Images for real nodes: OCI layouts, and archives as `docker save` and `everynode image` write them
    /// [default: images in the data directory]
    #[arg(long, value_name = "DIR", requires = "real_nodes")]
    pub images: Option<PathBuf>,
    /// Images that are in no archive are pulled from the registries that they are named after
    ///
    /// Without this nothing leaves this machine.
    #[arg(long, requires = "real_nodes")]
    pub pull_images: bool,
    /// Loopback address of the API server; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7443", value_parser = loopback)]
    pub listen: SocketAddr,
    /// Keep the state here [default: everynode in the user's data directory]
    #[arg(long, value_name = "DIR", conflicts_with = "ephemeral")]
    pub data_dir: Option<PathBuf>,
    /// Keep the state in memory only; it is gone when the command ends
    #[arg(long)]
    pub ephemeral: bool,
    /// Where the state is damaged, go on without the objects that are not what was written, and say which. The damaged
    /// file is kept beside the new one
    #[arg(long, conflicts_with = "ephemeral")]
    pub skip_damaged: bool,
    /// Write the kubeconfig here [default: `kubeconfig` in the data directory]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// How long a simulated pod takes from being bound to being ready
    #[arg(long, value_name = "DURATION", default_value = "500ms", value_parser = duration)]
    pub pod_start: Duration,
    /// Append a line to this file for every request to the API, as Kubernetes' audit log has them (JSON)
    #[arg(long, value_name = "FILE")]
    pub audit_log: Option<PathBuf>,
    /// Run no DaemonSet controller, to bring another one: `everynode controller --kubeconfig FILE`, for example
    #[arg(long)]
    pub no_controller: bool,
    /// Run no controllers at all, to bring kube-controller-manager: nothing makes pods, ends namespaces, collects
    /// garbage, watches nodes or counts disruption budgets
    #[arg(long)]
    pub no_controllers: bool,
    /// Bind no pods to nodes, to bring kube-scheduler
    #[arg(long)]
    pub no_scheduler: bool,
    /// Run the API server alone, as envtest does: no controllers, no scheduler, no nodes. One line says when it answers
    #[arg(long, conflicts_with_all = ["nodes", "fleet", "real_nodes", "exit_when_ready", "dashboard"])]
    pub api_only: bool,
    /// Leave with status 0 once every DaemonSet is fully available, or 1 after --timeout or when a manifest was
    /// refused; at once when nothing can come: everything refused, or no DaemonSet. One for which no node is eligible
    /// counts as available
    #[arg(long)]
    pub exit_when_ready: bool,
    /// How long --exit-when-ready waits
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration, requires = "exit_when_ready")]
    pub timeout: Duration,
    /// Print plain lines also on a terminal
    #[arg(long)]
    pub plain: bool,
    /// Serve the dashboard beside it, and print its address
    #[arg(long, conflicts_with = "exit_when_ready")]
    pub dashboard: bool,
}

/// Starts the cluster, shows it until it is told to stop, and stops it.
pub async fn run(args: UpArgs) -> Result<ExitCode, Failure> {
    let stop = CancellationToken::new();
    stop_on_signals(stop.clone());
    let live = std::io::stdout().is_terminal() && !args.plain && !args.exit_when_ready;
    let config = config_of(&args)?;
    let Some(started) = stop.run_until_cancelled(Up::start(config)).await else {
        return Err(Failure::with_hint(
            "stopped before the cluster was up",
            "nothing was lost; start it again",
        ));
    };
    let up = started?;
    if args.api_only {
        return serve_only(up, &args.files, &stop).await;
    }
    report::started(&up);
    let dashboard = match args.dashboard {
        true => Some(open_dashboard(&up, &stop).await?),
        false => None,
    };
    let applied = up.apply(&args.files, report::news);
    let Some(tally) = stop.run_until_cancelled(applied).await else {
        report::stopping(&up);
        up.stop().await;
        return Ok(ExitCode::FAILURE);
    };
    let address = dashboard.as_ref().map(Dashboard::url);
    let code = if args.exit_when_ready {
        wait_until_available(&up, &stop, args.timeout, tally).await
    } else if live {
        logging::silence_terminal(true);
        let shown = show_live(&up, &stop, tally.refused, address).await;
        logging::silence_terminal(false);
        shown.map(|()| ExitCode::SUCCESS).map_err(Failure::from)
    } else {
        show_lines(&up, &stop).await;
        Ok(ExitCode::SUCCESS)
    };
    report::stopping(&up);
    if let Some(dashboard) = dashboard {
        stop.cancel();
        dashboard.stop().await;
    }
    up.stop().await;
    code
}

/// Says once that the API answers, with what was asked for in it, and serves it until it is told to stop.
async fn serve_only(up: Up, files: &[PathBuf], stop: &CancellationToken) -> Result<ExitCode, Failure> {
    report::notes(&up);
    let applied = stop.run_until_cancelled(up.apply(files, report::news)).await;
    let is_whole = applied.is_some_and(|tally| tally.refused == 0);
    if is_whole {
        report::ready(&up);
        stop.cancelled().await;
    }
    up.stop().await;
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn open_dashboard(up: &Up, stop: &CancellationToken) -> Result<Dashboard, Failure> {
    let client = Client::from_file(up.kubeconfig_path()).await?;
    let dashboard = Dashboard::start(of_cluster(client, None), 0, stop.clone()).await?;
    report::line(&opened(&dashboard));
    Ok(dashboard)
}

fn config_of(args: &UpArgs) -> Result<UpConfig, Failure> {
    let storage = match (&args.data_dir, args.ephemeral) {
        (_, true) => Storage::Ephemeral,
        (Some(dir), false) => Storage::Directory(dir.clone()),
        (None, false) => Storage::Directory(default_data_dir()?),
    };
    let nodes = match &args.fleet {
        Some(file) => NodesWanted::Fleet(file.clone()),
        None => {
            let unsaid = if args.real_nodes > 0 || args.api_only { 0 } else { SIMULATED_NODES };
            NodesWanted::Count { count: args.nodes.unwrap_or(unsaid), prefix: "node-".into() }
        }
    };
    Ok(UpConfig {
        listen: args.listen,
        real_nodes: real_nodes(args, &storage)?,
        storage,
        skip_damaged: args.skip_damaged,
        kubeconfig: args.kubeconfig.clone(),
        nodes,
        pod_start: args.pod_start,
        audit_log: args.audit_log.clone(),
        parts: parts_of(args),
    })
}

fn parts_of(args: &UpArgs) -> Parts {
    if args.api_only {
        return Parts::NONE;
    }
    Parts {
        daemonsets: !args.no_controller && !args.no_controllers,
        controllers: !args.no_controllers,
        scheduler: !args.no_scheduler,
        ..Parts::ALL
    }
}

fn real_nodes(args: &UpArgs, storage: &Storage) -> Result<Option<RealNodesWanted>, Failure> {
    if args.real_nodes == 0 {
        return Ok(None);
    }
    let folder = match storage {
        Storage::Directory(folder) => folder,
        Storage::Ephemeral => Path::new(REAL_NODES_FOLDER),
    };
    let images = match &args.images {
        Some(images) => images.clone(),
        None => {
            let images = folder.join("images");
            std::fs::create_dir_all(&images)?;
            images
        }
    };
    let config = RealNodesConfig {
        program: std::env::current_exe()?,
        arguments: [REAL_NODE_COMMAND, "--verbose"].map(str::to_owned).into(),
        folder: folder.join("real-nodes"),
    };
    let pull_images = args.pull_images;
    Ok(Some(RealNodesWanted { count: args.real_nodes, images, pull_images, config }))
}

fn default_data_dir() -> Result<PathBuf, Failure> {
    let base = match (std::env::var_os("XDG_DATA_HOME"), std::env::var_os("HOME")) {
        (Some(data), _) if !data.is_empty() => PathBuf::from(data),
        (_, Some(home)) if !home.is_empty() => PathBuf::from(home).join(".local/share"),
        _ => {
            return Err(Failure::with_hint(
                "neither XDG_DATA_HOME nor HOME is set, so there is no place for the state",
                "name one with --data-dir DIR, or keep it in memory with --ephemeral",
            ));
        }
    };
    Ok(base.join("everynode"))
}

async fn wait_until_available(
    up: &Up,
    stop: &CancellationToken,
    timeout: Duration,
    tally: Tally,
) -> Result<ExitCode, Failure> {
    if tally.applied == 0 && tally.refused > 0 {
        // What was refused has been said, and what was asked for will not come.
        return Ok(ExitCode::FAILURE);
    }
    if !up.has_daemonsets().await? {
        report::nothing_to_wait_for();
        return Ok(ExitCode::FAILURE);
    }
    let mut snapshots = up.snapshots();
    let deadline = Instant::now() + timeout;
    loop {
        let snapshot = plain::snapshot(&snapshots.borrow_and_update());
        let ready = up.healthy_nodes();
        let available = snapshot.all_available(ready + up.real_nodes(), ready);
        let over = stop.is_cancelled() || Instant::now() >= deadline;
        tokio::select! {
            () = stop.cancelled(), if !over => continue,
            () = tokio::time::sleep_until(deadline), if !over => continue,
            changed = snapshots.changed(), if !over => {
                if changed.is_err() {
                    stop.cancel();
                }
                continue;
            }
            () = tokio::time::sleep(SETTLED), if available && !over => {}
            () = std::future::ready(()), if over => {}
        }
        report::table(&snapshot);
        if !available {
            report::reasons(&snapshot, timeout, stop.is_cancelled(), up.write_failure());
        }
        return Ok(if available && tally.refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
}

async fn show_live(
    up: &Up,
    stop: &CancellationToken,
    refused: usize,
    dashboard: Option<&str>,
) -> Result<(), std::io::Error> {
    let mut header = Header {
        server: up.server_url().to_owned(),
        kubeconfig: up.kubeconfig_path().display().to_string(),
        state: up.state_note(),
        refused,
        dashboard: dashboard.map(str::to_owned),
        colour: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        write_failure: None,
    };
    let mut screen = Screen::open(stop.clone())?;
    let mut snapshots = up.snapshots();
    let mut redraw = tokio::time::interval(Duration::from_secs(1));
    while !stop.is_cancelled() {
        let snapshot = plain::snapshot(&snapshots.borrow_and_update());
        header.write_failure = up.write_failure();
        screen.draw(&header, &snapshot)?;
        tokio::time::sleep(FRAME).await;
        tokio::select! {
            () = stop.cancelled() => {}
            changed = snapshots.changed() => if changed.is_err() { stop.cancel(); },
            // The size of the terminal may have changed.
            _ = redraw.tick() => {}
        }
    }
    Ok(())
}

async fn show_lines(up: &Up, stop: &CancellationToken) {
    let mut snapshots = up.snapshots();
    let mut lines = report::Lines::default();
    let mut look = tokio::time::interval(Duration::from_secs(1));
    while !stop.is_cancelled() {
        let snapshot = plain::snapshot(&snapshots.borrow_and_update());
        lines.print_changes(&snapshot, up.write_failure());
        tokio::select! {
            () = stop.cancelled() => {}
            _ = look.tick() => {}
            changed = snapshots.changed() => if changed.is_err() { stop.cancel(); },
        }
    }
}

/// An address such as `127.0.0.1:7443`, `[::1]:0` or `localhost:7443`; others cannot be certified.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address = match text.strip_prefix("localhost:").map(str::parse::<u16>) {
        Some(Ok(port)) => SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        _ => {
            text.parse().map_err(|_| "write an address and a port, for example 127.0.0.1:7443 or [::1]:0")?
        }
    };
    match address.ip().is_loopback() {
        true => Ok(address),
        false => Err(
            "the API server listens on loopback only, such as 127.0.0.1 or [::1]: its certificate is for \
                      this machine, and its kubeconfig makes everybody an administrator"
                .into(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_addresses_are_listened_on() {
        for text in ["127.0.0.1:7443", "127.8.8.8:0", "[::1]:0", "localhost:0"] {
            assert!(loopback(text).is_ok(), "{text}");
        }
        for text in ["0.0.0.0:0", "[::]:0", "192.0.2.7:7443", "7443", "localhost", "127.0.0.1:80000"] {
            assert!(loopback(text).is_err(), "{text}");
        }
    }
}
