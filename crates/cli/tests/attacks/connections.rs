//! Connections that keep others out.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures::future::join_all;
use futures::stream::{self, StreamExt as _};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::tls::Door;
use crate::common::{self, Cluster, LIMIT, eventually};

/// How long an answer may take while others try to keep everybody out.
const SOON: Duration = Duration::from_secs(5);

/// The files that the test itself may have open.
fn have_files(count: u64) {
    let limit = getrlimit(Resource::Nofile);
    let current = limit.maximum.map_or(count, |most| most.min(count));
    if limit.current.is_some_and(|now| now < current) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(current), ..limit }).unwrap();
    }
}

/// `up` with limits of open files as a shell sets them.
struct Limited {
    process: Child,
    url: String,
    directory: tempfile::TempDir,
}

impl Limited {
    fn start(limit: &str) -> Limited {
        let directory = tempfile::tempdir().unwrap();
        let binary = env!("CARGO_BIN_EXE_everynode");
        let script = format!(
            "ulimit {limit} && exec {binary} up --ephemeral --listen 127.0.0.1:0 --kubeconfig kubeconfig"
        );
        let mut command = Command::new("sh");
        command.args(["-c", &script]).current_dir(directory.path()).stdout(Stdio::piped()).process_group(0);
        let mut process = command.spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        let url = lines.find_map(|line| Some(line.strip_prefix("everynode is up at ")?.to_owned()));
        std::thread::spawn(move || lines.for_each(drop));
        Limited { process, url: url.expect("up says where it is"), directory }
    }

    fn kubeconfig(&self) -> std::path::PathBuf {
        self.directory.path().join("kubeconfig")
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn as_many_files_as_are_allowed_are_used() {
    let cluster = Limited::start("-Sn 200");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", cluster.process.id())).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let numbers: Vec<&str> = files.split_whitespace().skip(3).take(2).collect();
    assert_eq!(numbers[0], numbers[1], "{files}");
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_keep_nobody_out_and_stop_no_part() {
    have_files(4_096);
    let cluster = Limited::start("-n 1024");
    let door = Door::of(&cluster.url, &cluster.kubeconfig());
    // Some go as far as they can without a certificate, the others say nothing at all.
    let shaken = join_all((0..400).map(|_| door.connect(false))).await;
    let mut idle: Vec<TcpStream> = Vec::new();
    for _ in 0..1_500 {
        idle.extend(TcpStream::connect(door.address).await.ok());
    }
    let client = everynode_client::Client::from_file(&cluster.kubeconfig()).await.unwrap();
    let begun = Instant::now();
    let answer = tokio::time::timeout(LIMIT, client.get("/api/v1/nodes")).await;
    assert!(answer.is_ok_and(|answer| answer.is_ok()), "the admin is kept out");
    assert!(begun.elapsed() < SOON, "the admin waited for {:?}", begun.elapsed());
    // The controller, the binder and the nodes go on: a daemon gets its pods.
    let daemon = include_str!("daemon.json");
    client.post("/apis/apps/v1/namespaces/default/daemonsets", daemon).await.unwrap();
    let path = "/apis/apps/v1/namespaces/default/daemonsets/agent";
    eventually("the daemon is available", LIMIT, async || {
        let status = common::get(&client, path).await["status"].clone();
        if status["numberAvailable"] == 3 { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    drop((idle, shaken));
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_bodies_turn_nobody_away() {
    have_files(4_096);
    let cluster = Cluster::start(&["--nodes", "0"]);
    let door = Door::of(&cluster.url, &cluster.kubeconfig);
    let head = "POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                content-length: 1000\r\n\r\n{";
    let begin = async |_: usize| {
        let mut stream = door.connect(true).await.ok()?;
        stream.write_all(head.as_bytes()).await.ok()?;
        stream.flush().await.ok()?;
        Some(stream)
    };
    // Some at a time: each has little time to show who it is, and the processors are few.
    let slow: Vec<_> = stream::iter(0..850).map(begin).buffer_unordered(16).collect().await;
    assert!(slow.iter().flatten().count() > 800, "enough of them got through to hold all places");
    let client = cluster.client().await;
    let begun = Instant::now();
    let body = r#"{"metadata":{"name":"quick"}}"#;
    client.post("/api/v1/namespaces/default/configmaps", body).await.unwrap();
    client.get("/api/v1/namespaces/default/configmaps/quick").await.unwrap();
    assert!(begun.elapsed() < SOON, "others waited for {:?}", begun.elapsed());
}

/// Asks for a path of a plain HTTP server and gives the answer.
async fn probe(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_keep_no_probe_of_the_controller_out() {
    let cluster = Cluster::start(&["--nodes", "0", "--no-controller"]);
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = common::everynode();
    command.args(["controller", "--listen", &address.to_string(), "--kubeconfig"]).arg(&cluster.kubeconfig);
    let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let _controller = Limited { process, url: String::new(), directory: tempfile::tempdir().unwrap() };
    eventually("the controller answers", LIMIT, async || {
        probe(address, "/livez").await.map_err(|error| error.to_string())
    })
    .await;
    let idle = join_all((0..80).map(|_| TcpStream::connect(address))).await;
    // A kubelet waits for a second.
    for _ in 0..5 {
        let answer = tokio::time::timeout(Duration::from_secs(1), probe(address, "/livez")).await;
        assert!(answer.is_ok_and(|answer| answer.is_ok_and(|text| text.starts_with("HTTP/1.1 200"))));
    }
    drop(idle);
}
