//! Clusters with real nodes, and what they have on this machine.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use everynode_client::Client;
use everynode_testkit::containers::{have_containerd, program, static_busybox};
use everynode_testkit::{Need, skip};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::agent::Agent;
use super::{LIMIT, eventually, everynode, get, spawn};

/// A busybox, as images for these tests name it.
pub const BUSYBOX: &str = "docker.io/library/busybox:test";
pub const NODE_EXPORTER: &str = "quay.io/prometheus/node-exporter:test";

/// A cluster with real nodes. What it has on disk goes with it.
pub struct RealCluster {
    pub process: Child,
    pub agent: Agent,
    pub directory: TempDir,
}

impl RealCluster {
    /// Starts one with so many real and simulated nodes; `None` where that cannot be, which has been said.
    pub async fn start(real: usize, simulated: usize) -> Option<RealCluster> {
        Some(RealCluster::start_in(prepare()?, real, simulated).await)
    }

    /// Starts one whose images are in a directory that was prepared.
    pub async fn start_in(directory: TempDir, real: usize, simulated: usize) -> RealCluster {
        RealCluster::start_with(directory, real, simulated, &[]).await
    }

    /// Starts one with more arguments.
    pub async fn start_with(directory: TempDir, real: usize, simulated: usize, more: &[&str]) -> RealCluster {
        let (process, client) = launch(directory.path(), real, simulated, more).await;
        let agent = Agent { client, namespace: "default".to_owned() };
        RealCluster { process, agent, directory }
    }

    pub fn client(&self) -> &Client {
        &self.agent.client
    }

    /// Makes a DaemonSet `agent` of which each pod has one container, on all nodes.
    pub async fn run(&self, container: Value, more: Value) {
        self.daemonset("agent", container, more).await;
    }

    async fn daemonset(&self, name: &str, container: Value, more: Value) {
        let mut spec = json!({
            "hostNetwork": true,
            "tolerations": [{"operator": "Exists"}],
            "terminationGracePeriodSeconds": 1,
            "containers": [container],
        });
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let daemonset = json!({
            "metadata": {"name": name, "labels": {"app": name}},
            "spec": {
                "selector": {"matchLabels": {"app": name}},
                "template": {"metadata": {"labels": {"app": name}}, "spec": spec},
            },
        });
        self.client().post(&self.agent.daemonsets(), daemonset.to_string()).await.unwrap();
    }

    /// Has a network plugin make so many nodes Ready, to those too who go by taints, which are taken away a moment
    /// later.
    pub async fn network(&self, count: usize) {
        let config = r#"{"cniVersion": "0.4.0", "name": "none", "plugins": [{"type": "loopback"}]}"#;
        let mut container =
            shell(&format!("echo '{config}' > /cni/10-none.conflist; exec busybox sleep 100000"));
        container["volumeMounts"] = json!([{"name": "cni", "mountPath": "/cni"}]);
        let cni =
            json!([{"name": "cni", "hostPath": {"path": "/etc/cni/net.d", "type": "DirectoryOrCreate"}}]);
        self.daemonset("network", container, json!({"volumes": cni})).await;
        eventually("all nodes are Ready", LIMIT, async || {
            let nodes = get(self.client(), "/api/v1/nodes").await;
            let is_ready = |node: &Value| {
                let conditions = node["status"]["conditions"].as_array().into_iter().flatten();
                let taints = node["spec"]["taints"].as_array();
                taints.is_none_or(Vec::is_empty)
                    && conditions.clone().any(|one| one["type"] == "Ready" && one["status"] == "True")
            };
            let are_ready =
                nodes["items"].as_array().unwrap().iter().filter(|node| is_ready(node)).count() == count;
            if are_ready { Ok(()) } else { Err(nodes["items"].to_string()) }
        })
        .await;
    }

    /// Removes the DaemonSet, and waits until its pods are gone.
    pub async fn remove(&self) {
        self.client().delete(&self.agent.daemonset(), "").await.unwrap();
        eventually("no pod is left", LIMIT, async || {
            let pods = get(self.client(), &self.agent.pods()).await["items"].clone();
            if pods == json!([]) { Ok(()) } else { Err(pods.to_string()) }
        })
        .await;
    }

    pub async fn available(&self, count: usize) {
        eventually("the daemon is available", LIMIT, async || {
            let daemonset = get(self.client(), &self.agent.daemonset()).await;
            let status = &daemonset["status"];
            let is_seen = status["observedGeneration"] == daemonset["metadata"]["generation"];
            let [available, updated] =
                ["numberAvailable", "updatedNumberScheduled"].map(|key| status[key] == count);
            let pods = async || get(self.client(), &self.agent.pods()).await["items"].to_string();
            if is_seen && available && updated { Ok(()) } else { Err(format!("{status} {}", pods().await)) }
        })
        .await;
    }

    /// The processes outside of the nodes that are in their network namespaces.
    pub fn nodes(&self) -> Vec<u32> {
        children(self.process.id()).into_iter().filter(|pid| command(*pid).starts_with("unshare")).collect()
    }

    /// Where the nodes of this cluster have their files.
    pub fn files(&self) -> PathBuf {
        self.directory.path().join("data/real-nodes/0")
    }

    /// Has it end as by Ctrl-C.
    pub fn stop(&mut self) {
        signal(&self.process, Signal::INT);
        assert!(self.process.wait().unwrap().success());
    }
}

impl Drop for RealCluster {
    fn drop(&mut self) {
        // It may have ended by itself. What a killed one leaves is not this machine's for longer than that.
        if self.process.try_wait().is_ok_and(|ended| ended.is_none()) {
            signal(&self.process, Signal::TERM);
            let _ = self.process.wait();
        }
    }
}

/// A directory with the image of a busybox; `None` where no real nodes can be, which has been said.
pub fn prepare() -> Option<TempDir> {
    if !have_containerd() {
        return None;
    }
    let directory = tempfile::tempdir().unwrap();
    image(directory.path(), BUSYBOX, &[&format!("{}:/bin/busybox", static_busybox()?.display())]);
    Some(directory)
}

fn signal(process: &Child, signal: Signal) {
    // It may have ended by itself.
    let _ = kill_process(Pid::from_child(process), signal);
}

pub async fn launch(directory: &Path, real: usize, simulated: usize, more: &[&str]) -> (Child, Client) {
    let data = directory.join("data");
    let (images, real, simulated) = (directory.join("images"), real.to_string(), simulated.to_string());
    let arguments = ["--data-dir", data.to_str().unwrap(), "--images", images.to_str().unwrap()];
    let counts = ["--real-nodes", &real, "--nodes", &simulated, "--pod-start", "50ms"];
    let (process, _) = spawn(&[&arguments[..], &counts[..], more].concat());
    (process, Client::from_file(&data.join("kubeconfig")).await.unwrap())
}

/// Makes an image of files.
pub fn image(directory: &Path, name: &str, files: &[&str]) {
    let folder = directory.join("images");
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join(format!("{}.tar", name.replace(['/', ':'], "-")));
    let mut command = everynode();
    command.args(["image", "--with-libraries", "--name", name, "--output"]).arg(file);
    for file in files {
        command.args(["--file", file]);
    }
    let output =
        command.args(["--symlink", "/bin/sh:busybox", "--symlink", "/bin/tar:busybox"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

pub fn shell(script: &str) -> Value {
    json!({"name": "main", "image": BUSYBOX, "command": ["/bin/sh", "-c", script]})
}

/// The container and the rest of the pod of a node exporter as people run it; `None` where the program is not here,
/// which has been said.
pub fn node_exporter(directory: &Path) -> Option<(Value, Value)> {
    let Some(program) = program("prometheus-node-exporter") else {
        skip(Need::Containerd, "prometheus-node-exporter is not here");
        return None;
    };
    image(directory, NODE_EXPORTER, &[&format!("{}:/bin/node_exporter", program.display())]);
    let container = json!({
        "name": "main", "image": NODE_EXPORTER, "command": ["/bin/node_exporter"],
        "args": ["--path.rootfs=/host", "--web.listen-address=:9100"],
        "securityContext": {"runAsUser": 65534, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": true},
        "readinessProbe": {"httpGet": {"port": 9100, "path": "/metrics"}, "periodSeconds": 1},
        "volumeMounts": [{
            "name": "root", "mountPath": "/host", "readOnly": true, "mountPropagation": "HostToContainer",
        }],
    });
    let root = json!([{"name": "root", "hostPath": {"path": "/"}}]);
    Some((container, json!({"hostPID": true, "volumes": root})))
}

/// The parent of each process.
fn parents() -> Vec<(u32, u32)> {
    let pids = fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let parent = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // Behind the name, which may hold anything.
        Some((pid, stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()?))
    };
    pids.filter_map(parent).collect()
}

fn children(pid: u32) -> Vec<u32> {
    parents().into_iter().filter(|(_, parent)| *parent == pid).map(|(child, _)| child).collect()
}

/// A process and all that came of it, each with the time at which it began: numbers are given again.
pub fn family(pid: u32) -> BTreeSet<(u32, String)> {
    let began = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(')')
            .next()
            .and_then(|rest| rest.split_whitespace().nth(19))
            .unwrap_or_default()
            .to_owned()
    };
    let mut found = BTreeSet::from([(pid, began(pid))]);
    for child in children(pid) {
        found.extend(family(child));
    }
    found
}

pub fn command(pid: u32) -> String {
    String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default()).replace('\0', " ")
}

/// What answers in the network of a node.
pub fn fetch(node: u32, url: &str) -> Result<String, String> {
    let output = Command::new("nsenter")
        .args(["--target", &node.to_string(), "--net", "busybox", "wget", "-qO-", url])
        .output()
        .unwrap();
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}
