//! The controllers of Kubernetes itself, where the machine has them.

use everynode_testkit::{Need, skip};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::bare::Bare;

/// A kube-controller-manager in a process of its own, killed when dropped.
pub struct BuiltIn {
    process: Child,
}

impl BuiltIn {
    /// The program; says so where it is missing.
    pub fn program() -> Option<PathBuf> {
        let program = std::env::var_os("EVERYNODE_KUBE_CONTROLLER_MANAGER").map(PathBuf::from);
        if program.is_none() {
            skip(Need::ControllerManager, "EVERYNODE_KUBE_CONTROLLER_MANAGER does not name one");
        }
        program
    }

    /// Runs these controllers, separated by commas, on the cluster.
    pub fn start(program: &PathBuf, bare: &Bare, controllers: &str) -> BuiltIn {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Command::new(program)
            .arg("--kubeconfig")
            .arg(&bare.kubeconfig)
            .arg(format!("--controllers={controllers}"))
            .arg(format!("--secure-port={port}"))
            .args(["--leader-elect=false", "--use-service-account-credentials=false"])
            .args(["--bind-address=127.0.0.1", "--kube-api-qps=1000", "--kube-api-burst=1000"])
            .current_dir(bare.kubeconfig.parent().unwrap())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        BuiltIn { process }
    }
}

impl Drop for BuiltIn {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
