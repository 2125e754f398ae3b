//! Real nodes of `everynode up`: daemons that really run, and nothing that stays when they end.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may stop and speak"
)]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use common::real::{RealCluster, command, family, fetch, launch, node_exporter, prepare, shell};
use common::{LIMIT, eventually, everynode, get};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

/// Waits until of these processes none is left, nor a mount of these files.
async fn ended(processes: &BTreeSet<(u32, String)>, files: &Path) {
    eventually("all processes and mounts go", LIMIT, async || {
        let left: Vec<String> = processes
            .iter()
            .filter(|one| family(one.0).contains(one) && Path::new(&format!("/proc/{}", one.0)).exists())
            .map(|(pid, _)| format!("{pid}: {}", command(*pid)))
            .collect();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let mounts = mounts.lines().filter(|line| line.contains(files.to_str().unwrap())).map(str::to_owned);
        let left: Vec<String> = left.into_iter().chain(mounts).collect();
        if left.is_empty() { Ok(()) } else { Err(left.join("\n")) }
    })
    .await;
}

/// Folders of cgroups of nodes whose files are here, in any hierarchy.
fn cgroups(of: &BTreeSet<String>) -> Vec<String> {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = fs::read_dir(root).unwrap().flatten().map(|entry| entry.path());
    let folders =
        hierarchies.chain([root.to_owned()]).flat_map(|folder| of.iter().map(move |name| folder.join(name)));
    folders.filter(|folder| folder.exists()).map(|folder| folder.display().to_string()).collect()
}

/// The cgroups of clusters that processes are in, by their names.
fn cgroups_of(processes: &BTreeSet<(u32, String)>) -> BTreeSet<String> {
    let read = |pid: &u32| fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let lines: Vec<String> = processes
        .iter()
        .flat_map(|(pid, _)| read(pid).lines().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    lines
        .iter()
        .filter_map(|line| line.rsplit(':').next()?.trim_start_matches('/').split('/').next())
        .filter(|name| name.starts_with("everynode-"))
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn a_real_node_is_a_machine_to_its_daemons_and_leaves_nothing() {
    let Some(mut cluster) = RealCluster::start(2, 2).await else { return };
    let written = Path::new("/etc").join(format!("everynode-test-{}", std::process::id()));
    let script = format!(
        "touch /host{}; mkdir /www; hostname > /www/index.html; exec busybox httpd -f -p 9100 -h /www",
        written.display()
    );
    let mut container = shell(&script);
    container["readinessProbe"] = json!({"httpGet": {"port": 9100, "path": "/"}, "periodSeconds": 1});
    container["volumeMounts"] =
        json!([{"name": "root", "mountPath": "/host", "mountPropagation": "HostToContainer"}]);
    let root = json!([{"name": "root", "hostPath": {"path": "/"}}]);
    cluster.run(container, json!({"hostPID": true, "volumes": root})).await;
    cluster.available(4).await;

    let nodes = cluster.nodes();
    let answers: BTreeSet<String> =
        nodes.iter().map(|node| fetch(*node, "http://127.0.0.1:9100/").unwrap().trim().to_owned()).collect();
    assert_eq!(answers, ["real-1", "real-2"].map(str::to_owned).into(), "each has port 9100 and a name");
    let other = fetch(nodes[0], "http://172.18.0.3:9100/").unwrap();
    assert_eq!(other.trim(), "real-2", "nodes see each other");
    assert!(!written.exists(), "what is written to the host's path stays in the node");

    let processes = family(cluster.process.id());
    let cgroups_before = cgroups_of(&processes);
    assert!(!cgroups_before.is_empty() && !cgroups(&cgroups_before).is_empty(), "{processes:?}");
    cluster.stop();
    ended(&processes, &cluster.files()).await;
    assert_eq!(cgroups(&cgroups_before), [""; 0]);
    assert!(!cluster.files().exists(), "files of nodes go with them");
}

#[tokio::test]
async fn a_cluster_that_is_killed_takes_its_nodes_along_and_the_next_start_tidies_up() {
    let Some(mut cluster) = RealCluster::start(1, 0).await else { return };
    cluster.run(shell("exec busybox sleep 100000"), json!({})).await;
    cluster.available(1).await;
    let processes = family(cluster.process.id());
    assert!(processes.len() >= 6, "up, unshare, the agent, containerd, a shim, the daemon: {processes:?}");

    cluster.process.kill().unwrap();
    cluster.process.wait().unwrap();
    ended(&processes, &cluster.files()).await;
    let old = cluster.files().join("real-1/log");
    let old_cgroups = cgroups_of(&processes);
    assert!(old.exists(), "nobody was left to remove it");
    fs::write(cluster.files().join("left"), "").unwrap();

    let (process, client) = launch(cluster.directory.path(), 1, 0, &[]).await;
    (cluster.process, cluster.agent.client) = (process, client);
    cluster.available(1).await;
    assert!(!cluster.files().join("left").exists(), "the next start removes what was left");
    cluster.stop();
    assert_eq!(cgroups(&old_cgroups), [""; 0]);
}

#[tokio::test]
async fn a_revision_that_really_crashes_goes_back_and_its_last_words_are_told() {
    let Some(mut cluster) = RealCluster::start(2, 0).await else { return };
    // To a policy a node that is not Ready is down.
    cluster.network(2).await;
    cluster.run(shell("exec busybox sleep 100000"), json!({})).await;
    cluster.available(2).await;
    let spec = json!({
        "selector": {"matchLabels": {"app": "agent"}},
        "maxUnavailable": 1,
        "waves": [{"name": "canary", "nodes": 1, "bakeSeconds": 30}, {"name": "rest", "nodes": "100%"}],
        "failure": {"budget": 1, "action": "Pause"},
    });
    cluster.agent.policy("careful", spec).await;
    cluster.agent.phase("careful", "Complete").await;

    let bad = shell("echo 'no such device: /dev/x' > /dev/termination-log; exit 3");
    let patch = json!({"spec": {"template": {"spec": {"containers": [bad]}}}});
    cluster.agent.merge(&cluster.agent.daemonset(), patch).await;
    let entry = cluster.agent.phase("careful", "Halted").await;
    assert_eq!(entry["failedNodes"][0]["node"], "real-1", "{entry}");
    let kubeconfig = cluster.directory.path().join("data/kubeconfig");
    let everynode = |arguments: &[&str]| {
        let mut command = everynode();
        let output =
            command.args(arguments).args(["-n", "default", "--kubeconfig"]).arg(&kubeconfig).output();
        let output = output.unwrap();
        let [out, err] =
            [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        assert!(output.status.success(), "{arguments:?}: {out}{err}");
        out
    };
    let why = everynode(&["why", "daemonset/agent", "node/real-1"]);
    let pods = async || get(cluster.client(), &cluster.agent.pods()).await["items"].to_string();
    assert!(why.contains("its last words: no such device: /dev/x"), "{why}\n{}", pods().await);
    everynode(&["rollout", "abort", "daemonset/agent"]);
    cluster.agent.phase("careful", "RolledBack").await;
    eventually("all nodes are back", LIMIT, async || {
        let status = get(cluster.client(), &cluster.agent.daemonset()).await["status"].clone();
        if status["numberAvailable"] == 2 { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    cluster.stop();
}

#[tokio::test]
async fn a_node_exporter_tells_of_its_node() {
    let Some(directory) = prepare() else { return };
    let Some((container, more)) = node_exporter(directory.path()) else { return };
    let mut cluster = RealCluster::start_in(directory, 1, 0).await;
    cluster.run(container, more).await;
    cluster.available(1).await;
    let metrics = fetch(cluster.nodes()[0], "http://127.0.0.1:9100/metrics").unwrap();
    assert!(metrics.contains("nodename=\"real-1\""), "{metrics}");
    assert!(metrics.contains("node_network_up{device=\"eth0\"} 1"), "the node's own network");
    cluster.stop();
}

/// The limits of memory of the cgroup that a process is in, and of the one above.
fn memory_limits(pid: u32) -> [u64; 2] {
    let lines = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let is_unified = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let (hierarchy, file) = if is_unified { ("", "memory.max") } else { ("memory", "memory.limit_in_bytes") };
    let line = lines.lines().find(|line| line.split(':').nth(1) == Some(hierarchy)).unwrap();
    let own = Path::new("/sys/fs/cgroup").join(hierarchy).join(line.rsplit(":/").next().unwrap());
    let read = |folder: &Path| fs::read_to_string(folder.join(file)).unwrap().trim().parse().unwrap();
    [read(&own), read(own.parent().unwrap())]
}

#[tokio::test]
async fn a_daemon_that_runs_gets_more_memory_without_a_restart() {
    let Some(mut cluster) = RealCluster::start(1, 0).await else { return };
    let mut container = shell("exec busybox sleep 100000");
    container["resources"] = json!({"limits": {"memory": "64Mi"}});
    cluster.run(container, json!({})).await;
    cluster.available(1).await;
    let sleeping = || {
        let processes = family(cluster.process.id()).into_iter().map(|(pid, _)| pid);
        processes.filter(|pid| command(*pid).starts_with("busybox sleep")).collect::<Vec<u32>>()
    };
    let before = sleeping();
    assert_eq!(memory_limits(before[0]), [64 << 20, 64 << 20]);
    let pods = get(cluster.client(), &cluster.agent.pods()).await;
    let name = pods["items"][0]["metadata"]["name"].as_str().unwrap().to_owned();
    for (memory, bytes) in [("128Mi", 128 << 20), ("32Mi", 32 << 20)] {
        let resources = json!({"limits": {"memory": memory}, "requests": {"memory": memory}});
        let patch = json!({"spec": {"containers": [{"name": "main", "resources": resources}]}});
        let path = format!("{}/{name}", cluster.agent.pods());
        let kind = everynode_client::content_type::STRATEGIC_MERGE_PATCH;
        cluster.client().patch(&format!("{path}/resize"), kind, patch.to_string()).await.unwrap();
        eventually("the pod is resized", LIMIT, async || {
            let status = get(cluster.client(), &path).await["status"].clone();
            let is_done = status["containerStatuses"][0]["resources"]["limits"]["memory"] == memory
                && !status["conditions"].to_string().contains("PodResize");
            if is_done { Ok(()) } else { Err(status.to_string()) }
        })
        .await;
        assert_eq!((sleeping(), memory_limits(before[0])), (before.clone(), [bytes, bytes]));
    }
    cluster.stop();
}

/// A registry on loopback with the images of a directory, for those only who send these credentials.
async fn private_registry(images: &Path, authorization: &'static str) -> u16 {
    let listen = async || tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (inner, outer) = (listen().await, listen().await);
    let (at, port) = (inner.local_addr().unwrap(), outer.local_addr().unwrap().port());
    let store = everynode_registry::ImageStore::open(images).unwrap();
    tokio::spawn(everynode_registry::serve(inner, store.into(), CancellationToken::new()));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = outer.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await?);
                }
                let line = format!("authorization: {authorization}\r\n");
                if !head.windows(line.len()).any(|window| window == line.as_bytes()) {
                    let refused =
                        "HTTP/1.1 401 U\r\nwww-authenticate: Basic realm=\"r\"\r\ncontent-length: 0\r\n\r\n";
                    return stream.write_all(refused.as_bytes()).await;
                }
                let mut inner = tokio::net::TcpStream::connect(at).await?;
                inner.write_all(&head).await?;
                tokio::io::copy_bidirectional(&mut stream, &mut inner).await.map(drop)
            });
        }
    });
    port
}

#[tokio::test]
async fn an_image_that_no_archive_has_comes_from_its_registry_for_those_with_a_secret() {
    let Some(directory) = prepare() else { return };
    let upstream = tempfile::tempdir().unwrap();
    // The archives of the one are the other's.
    fs::rename(directory.path().join("images"), upstream.path().join("images")).unwrap();
    fs::create_dir(directory.path().join("images")).unwrap();
    // `me:secret`
    let port = private_registry(&upstream.path().join("images"), "Basic bWU6c2VjcmV0").await;
    let mut cluster = RealCluster::start_with(directory, 1, 0, &["--pull-images"]).await;
    let registry = format!("localhost:{port}");
    let config = json!({"auths": {&registry: {"username": "me", "password": "secret"}}}).to_string();
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pull"},
        "type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": config},
    });
    let secrets = "/api/v1/namespaces/default/secrets";
    cluster.client().post(secrets, secret.to_string()).await.unwrap();
    let mut container = shell("exec busybox sleep 100000");
    container["image"] = format!("{registry}/library/busybox:test").into();
    cluster.run(container.clone(), json!({})).await;
    let path = cluster.agent.pods();
    eventually("nobody may pull without the secret", LIMIT, async || {
        let pods = get(cluster.client(), &path).await["items"].to_string();
        if pods.contains("ErrImagePull") || pods.contains("ImagePullBackOff") { Ok(()) } else { Err(pods) }
    })
    .await;
    cluster.remove().await;
    cluster.run(container, json!({"imagePullSecrets": [{"name": "pull"}]})).await;
    cluster.available(1).await;
    cluster.stop();
}

#[tokio::test]
async fn what_keeps_a_daemon_from_running_is_told() {
    let Some(mut cluster) = RealCluster::start(1, 0).await else { return };
    let mut missing_image = shell("exec busybox sleep 100000");
    missing_image["image"] = "quay.io/nobody/nothing:1".into();
    let mut missing_command = shell("");
    missing_command["command"] = json!(["/nothing"]);
    for (container, words) in [
        (missing_image, "quay.io/nobody/nothing:1: not found"),
        (missing_command, "no such file or directory"),
    ] {
        cluster.run(container, json!({})).await;
        eventually(words, LIMIT, async || {
            let pods = get(cluster.client(), &cluster.agent.pods()).await;
            let waiting = pods["items"][0]["status"]["containerStatuses"][0]["state"]["waiting"].clone();
            let is_told = waiting["message"].as_str().is_some_and(|message| message.contains(words));
            if is_told { Ok(()) } else { Err(waiting.to_string()) }
        })
        .await;
        cluster.remove().await;
    }
    cluster.stop();
}
