//! The processes of one node, seen from outside: started, started anew when they end by themselves, and ended.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use everynode_client::Backoff;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::error::RealNodesError;
use crate::lan::Lan;
use crate::setup::{NodeSetup, READY};

/// How long a node may take to end after its input has ended.
const END_LIMIT: Duration = Duration::from_secs(5);
/// Pauses before a node that ended by itself is started anew.
const PAUSES: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
/// The lines of a node's log that are told when it ends by itself.
const TOLD_LINES: usize = 5;

/// How a node is started.
#[derive(Debug, Clone)]
pub struct Start {
    /// The program that is the first process of the node, and its arguments.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// The number of the node on the network.
    pub number: u16,
    /// What the program is told.
    pub setup: NodeSetup,
}

/// The processes of one node. They end with this.
#[derive(Debug)]
pub struct NodeProcess {
    running: Arc<Mutex<Running>>,
    ended: mpsc::Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

/// What is needed to end it.
#[derive(Debug, Default)]
struct Running {
    is_ending: bool,
    /// While this is open the node goes on.
    input: Option<ChildStdin>,
    /// The process that all others of the node end with.
    process: Option<OwnedFd>,
}

impl NodeProcess {
    /// Begins to start a node; the outcome of the start comes through the channel. Processes end with the thread that
    /// made them, so each node has one.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn begin(
        lan: Lan,
        start: Start,
        started: mpsc::Sender<Result<(), RealNodesError>>,
    ) -> Result<NodeProcess, RealNodesError> {
        let running = Arc::new(Mutex::new(Running::default()));
        let (end, ended) = mpsc::channel();
        let (name, shared) = (start.setup.name.clone(), running.clone());
        let thread = thread::Builder::new().name(name.clone()).spawn(move || {
            keep(&lan, &start, &shared, &started);
            // Nobody may wait for it.
            let _ = end.send(());
        });
        let thread = thread.map_err(|source| RealNodesError::Start { node: name, source })?;
        Ok(NodeProcess { running, ended, thread: Some(thread) })
    }

    /// Begins to end it.
    pub fn end(&self) {
        let mut running = lock(&self.running);
        running.is_ending = true;
        running.input = None;
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        self.end();
        if self.ended.recv_timeout(END_LIMIT).is_err()
            && let Some(process) = &lock(&self.running).process
            && let Err(error) = pidfd_send_signal(process, Signal::KILL)
        {
            tracing::warn!(%error, "a node does not end");
        }
        if let Some(thread) = self.thread.take() {
            // It does not panic; if it did, the panic has been reported.
            let _ = thread.join();
        }
    }
}

fn lock(running: &Mutex<Running>) -> MutexGuard<'_, Running> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs the node until it is to end. Whoever waits for the first start is told of it; where that fails nothing more is
/// tried.
fn keep(
    lan: &Lan,
    start: &Start,
    running: &Mutex<Running>,
    started: &mpsc::Sender<Result<(), RealNodesError>>,
) {
    let (outcome, mut begun) = match begin(lan, start, running) {
        Ok(child) => (Ok(()), Some(child)),
        Err(error) => (Err(error), None),
    };
    // Nobody may wait for it.
    let _ = started.send(outcome);
    if begun.is_none() {
        return;
    }
    let mut failures = 0;
    loop {
        if let Some(mut child) = begun.take() {
            drop(child.wait());
        }
        if lock(running).is_ending {
            return;
        }
        failures += 1;
        let name = &start.setup.name;
        tracing::error!(node = %name, log = %last_lines(&log_of(&start.setup.folder)), "a real node ended");
        thread::park_timeout(PAUSES.after(failures));
        if lock(running).is_ending {
            return;
        }
        match begin(lan, start, running) {
            Ok(child) => begun = Some(child),
            Err(error) => tracing::error!(node = %name, %error, "a real node did not start"),
        }
    }
}

/// Starts the first process, links its network, and tells it what it is.
fn begin(lan: &Lan, start: &Start, running: &Mutex<Running>) -> Result<Child, RealNodesError> {
    let failed = |source| RealNodesError::Start { node: start.setup.name.clone(), source };
    fs::create_dir_all(&start.setup.folder).map_err(failed)?;
    let log = File::create(log_of(&start.setup.folder)).map_err(failed)?;
    let mut child = command(start, log).spawn().map_err(failed)?;
    let begun = tell(lan, start, &mut child);
    if let Err(error) = begun {
        // Without an input it ends by itself.
        drop(child.stdin.take());
        drop(child.kill());
        drop(child.wait());
        return Err(error);
    }
    let mut running = lock(running);
    running.process = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).ok();
    running.input = child.stdin.take().filter(|_| !running.is_ending);
    Ok(child)
}

/// The kernel kills `unshare` with the thread that started it, `unshare` kills its child, and with that, which is the
/// first of its process ids, all others of the node end; their mounts and their network go with them.
fn command(start: &Start, log: File) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "unshare", "--mount", "--net", "--uts", "--ipc", "--pid", "--fork"])
        .args(["--kill-child", "--propagation", "private", "--"])
        .arg(&start.program)
        .args(&start.arguments)
        .env_clear()
        .envs(["PATH", "EVERYNODE_LOG"].into_iter().filter_map(|key| Some((key, std::env::var_os(key)?))))
        // A terminal's Ctrl-C is for us: we end the node.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log);
    command
}

fn tell(lan: &Lan, start: &Start, child: &mut Child) -> Result<(), RealNodesError> {
    let failed = |source| RealNodesError::Start { node: start.setup.name.clone(), source };
    let silent = || failed(io::Error::other(last_lines(&log_of(&start.setup.folder))));
    // It speaks when it is in its namespaces. Before that its network would be that of the machine.
    let mut line = String::new();
    if let Some(output) = child.stdout.take() {
        BufReader::new(output).read_line(&mut line).map_err(failed)?;
    }
    if line.trim() != READY {
        return Err(silent());
    }
    lan.link(start.number, child.id())?;
    let mut setup = serde_json::to_string(&start.setup).map_err(|error| failed(error.into()))?;
    setup.push('\n');
    child.stdin.as_mut().ok_or_else(silent)?.write_all(setup.as_bytes()).map_err(failed)
}

fn log_of(folder: &Path) -> PathBuf {
    folder.join("log")
}

/// What a node said last.
fn last_lines(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(TOLD_LINES).collect();
    match lines.is_empty() {
        true => "it said nothing".to_owned(),
        false => lines.into_iter().rev().collect::<Vec<_>>().join("; "),
    }
}
