//! Starts clusters for the tests of the whole, and talks to them with kubectl and with requests.
#![allow(dead_code, reason = "each test uses its part")]

pub mod agent;
pub mod audit;
pub mod bare;
pub mod built_in;
pub mod doubles;
pub mod native;
pub mod over;
pub mod permissions;
pub mod real;
pub mod watch;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use everynode_client::Client;
pub use everynode_testkit::wait::eventually;
use serde_json::Value;

/// How long a condition is waited for unless a test says otherwise.
pub const LIMIT: Duration = Duration::from_secs(60);

/// A cluster in a process of its own, killed when dropped.
pub struct Cluster {
    process: Child,
    pub url: String,
    pub kubeconfig: PathBuf,
    directory: tempfile::TempDir,
}

/// The everynode binary under test.
pub fn everynode() -> Command {
    Command::new(env!("CARGO_BIN_EXE_everynode"))
}

impl Cluster {
    /// Starts `everynode up` in memory on a free port, with these arguments besides.
    pub fn start(args: &[&str]) -> Cluster {
        let directory = tempfile::tempdir().unwrap();
        let kubeconfig = directory.path().join("kubeconfig");
        let mut arguments = vec!["--ephemeral", "--kubeconfig", kubeconfig.to_str().unwrap()];
        arguments.extend(args);
        let (process, url) = spawn(&arguments);
        Cluster { process, url, kubeconfig, directory }
    }

    /// A directory that lives as long as the cluster.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Runs kubectl against the cluster.
    pub fn kubectl(&self, args: &[&str]) -> Output {
        kubectl(&self.kubeconfig).args(args).output().unwrap()
    }

    /// Runs kubectl, demands success, and returns what it printed.
    pub fn kubectl_ok(&self, args: &[&str]) -> String {
        let output = self.kubectl(args);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "kubectl {args:?}\n{out}{err}");
        out.into_owned()
    }

    /// A client of the cluster.
    pub async fn client(&self) -> Client {
        Client::from_file(&self.kubeconfig).await.unwrap()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Starts `everynode up` on a free port and waits until it says where it is.
pub fn spawn(args: &[&str]) -> (Child, String) {
    let mut process = everynode()
        .args(["up", "--listen", "127.0.0.1:0"])
        .args(args)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let url = loop {
        let line = lines.next().expect("up ended before it said where it is").unwrap();
        if let Some(url) = line.strip_prefix("everynode is up at ") {
            break url.to_owned();
        }
    };
    // What follows is read and dropped, so that the process never waits for a full pipe.
    std::thread::spawn(move || lines.for_each(drop));
    (process, url)
}

/// A kubectl that knows nothing but this kubeconfig.
pub fn kubectl(kubeconfig: &Path) -> Command {
    let mut command = Command::new("kubectl");
    command.env("KUBECONFIG", kubeconfig).env("HOME", kubeconfig.parent().unwrap()).stdin(Stdio::null());
    command
}

/// Reads an object or list.
pub async fn get(client: &Client, path: &str) -> Value {
    serde_json::from_slice(&client.get(path).await.unwrap()).unwrap()
}

/// The names of fields in a value that a text does not have in backquotes.
pub fn undocumented(value: &Value, text: &str) -> Vec<String> {
    let inner = |value| undocumented(value, text);
    match value {
        Value::Object(fields) => {
            let names = fields.keys().filter(|name| !text.contains(&format!("`{name}`"))).cloned();
            names.chain(fields.values().flat_map(inner)).collect()
        }
        Value::Array(items) => items.iter().flat_map(inner).collect(),
        _ => Vec::new(),
    }
}
