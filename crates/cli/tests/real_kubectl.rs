//! kubectl against real nodes: what it shows of containers that run, and what it runs in them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may stop and speak"
)]

mod common;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use common::real::{RealCluster, prepare, shell};
use common::{LIMIT, get};
use everynode_testkit::{have_kubectl, have_terminal};
use serde_json::json;

/// A kubectl, and the cluster that it is for.
struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
}

/// A process that ends with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Kubectl {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).env("KUBECONFIG", &self.kubeconfig).stdin(Stdio::null());
        command
    }

    /// What it prints, and its exit code.
    fn run(&self, arguments: &[&str]) -> (String, String, Option<i32>) {
        let output = self.command(arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        (text(output.stdout), text(output.stderr), output.status.code())
    }

    /// Begins something of which the lines are read as they come.
    fn begin(&self, arguments: &[&str]) -> (Running, impl Iterator<Item = String> + use<>) {
        let mut command = self.command(arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        (Running(child), lines)
    }

    fn check_exec(&self, pod: &str) {
        let script = ["exec", pod, "--", "/bin/sh", "-c", "echo out; echo err >&2; exit 3"];
        let (out, err, code) = self.run(&script);
        assert_eq!((&*out, code), ("out\n", Some(3)), "{err}");
        assert!(err.contains("err\n"), "{err}");

        let mut child = self.command(&["exec", "-i", pod, "--", "busybox", "cat"]);
        let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"there and back").unwrap();
        assert_eq!(child.wait_with_output().unwrap().stdout, b"there and back");

        let (program, kubeconfig) = (self.program.display(), self.kubeconfig.display());
        let line = format!("{program} --kubeconfig {kubeconfig} exec -it {pod} -- busybox tty");
        let output = Command::new("script").args(["-qec", &line, "/dev/null"]).stdin(Stdio::null()).output();
        let terminal = String::from_utf8_lossy(&output.unwrap().stdout).into_owned();
        assert!(terminal.contains("/dev/pts/"), "{terminal}");
    }

    fn check_copy(&self, pod: &str, directory: &Path) {
        let [there, back] = ["there", "back"].map(|name| directory.join(name));
        fs::write(&there, vec![7; 300_000]).unwrap();
        for arguments in [
            ["cp", there.to_str().unwrap(), &format!("{pod}:/copy")],
            ["cp", &format!("{pod}:/copy"), back.to_str().unwrap()],
        ] {
            let (out, err, code) = self.run(&arguments);
            assert_eq!(code, Some(0), "{arguments:?} {out}{err}");
        }
        assert!(fs::read(&there).unwrap() == fs::read(&back).unwrap());
    }

    fn check_port(&self, pod: &str) {
        let (_running, mut lines) = self.begin(&["port-forward", pod, ":8080"]);
        let line = lines.next().unwrap();
        let port = line.split("127.0.0.1:").nth(1).unwrap().split(' ').next().unwrap();
        let url = format!("http://127.0.0.1:{port}/");
        let output = Command::new("busybox").args(["wget", "-qO-", &url]).output().unwrap();
        assert_eq!(output.stdout, b"page\n", "{line}");
    }

    /// What goes in by `attach` comes out of the log that is followed.
    fn check_attach(&self, pod: &str, word: &str) {
        let (_following, lines) = self.begin(&["logs", "-f", pod]);
        let (mut attached, _) = self.begin(&["attach", "-i", pod]);
        writeln!(attached.0.stdin.as_mut().unwrap(), "{word}").unwrap();
        let mut lines = lines.skip_while(|line| *line != format!("got {word}"));
        assert!(lines.next().is_some());
    }
}

#[tokio::test]
async fn kubectl_reaches_into_the_containers_of_real_nodes() {
    if !have_kubectl() || !have_terminal() {
        return;
    }
    let Some(directory) = prepare() else { return };
    let mut cluster = RealCluster::start_in(directory, 1, 0).await;
    let script = "mkdir /www; echo page > /www/index.html; busybox httpd -p 8080 -h /www; \
        while read line; do echo got $line; done";
    let mut container = shell(script);
    container["stdin"] = true.into();
    cluster.run(container, json!({})).await;
    cluster.available(1).await;
    let pods = get(cluster.client(), &cluster.agent.pods()).await;
    let pod = pods["items"][0]["metadata"]["name"].as_str().unwrap().to_owned();
    let second = std::env::var_os("EVERYNODE_KUBECTL").map(PathBuf::from);
    for program in [PathBuf::from("kubectl")].into_iter().chain(second) {
        let kubeconfig = cluster.directory.path().join("data/kubeconfig");
        let kubectl = Kubectl { program, kubeconfig };
        println!("{}", kubectl.run(&["version", "--client"]).0.trim());
        let (pod, directory) = (pod.clone(), cluster.directory.path().to_owned());
        let checked = tokio::task::spawn_blocking(move || {
            kubectl.check_exec(&pod);
            kubectl.check_copy(&pod, &directory);
            kubectl.check_port(&pod);
            kubectl.check_attach(&pod, &format!("word{}", fastrand::u32(..)));
        });
        tokio::time::timeout(LIMIT, checked).await.unwrap().unwrap();
    }
    cluster.stop();
}
