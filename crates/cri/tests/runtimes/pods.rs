//! Pods that really run: what a containerd makes of what it is asked for, and that nothing of it is left.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use everynode_cri::messages::*;
use everynode_cri::{ErrorKind, Fate, Feature, Runtime};
use everynode_testkit::wait::eventually;

use crate::containerd::{Containerd, LIMIT, remove_cgroups, wait_until_gone};
use crate::image::PAUSE;
use crate::on;
use crate::stage::{Pod, Program, Stage, namespaces};

const MEGABYTE: i64 = 1 << 20;

/// A container that runs a script, which says something at first.
fn script(stage: &Stage, name: &str, script: &str) -> ContainerConfig {
    let command = vec!["/bin/sh".to_owned(), "-c".to_owned(), script.to_owned()];
    ContainerConfig { command, ..stage.container_config(name, Program::Waits) }
}

async fn exec(stage: &Stage, container_id: &str, script: &str) -> ExecSyncResponse {
    let cmd = vec!["/bin/sh".to_owned(), "-c".to_owned(), script.to_owned()];
    let request = ExecSyncRequest { container_id: container_id.to_owned(), cmd, timeout: 10 };
    stage.call(request).await.unwrap()
}

async fn output(stage: &Stage, container_id: &str, script: &str) -> String {
    String::from_utf8(exec(stage, container_id, script).await.stdout).unwrap()
}

/// The last word of a line of `/proc/1/status`.
fn value<'a>(status: &'a str, name: &str) -> &'a str {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_default().split_whitespace().next_back().unwrap_or_default()
}

fn resources(memory_limit_in_bytes: i64) -> LinuxContainerResources {
    LinuxContainerResources {
        cpu_period: 100_000,
        cpu_quota: 50_000,
        cpu_shares: 102,
        memory_limit_in_bytes,
        oom_score_adj: 900,
        ..Default::default()
    }
}

/// As a careful daemon has it: another user, no capabilities, a root that is read-only.
fn careful() -> LinuxContainerSecurityContext {
    let profile = SecurityProfile { profile_type: ProfileType::RuntimeDefault.into(), ..Default::default() };
    LinuxContainerSecurityContext {
        capabilities: Some(Capability { drop_capabilities: vec!["ALL".to_owned()], ..Default::default() }),
        namespace_options: Some(namespaces()),
        run_as_user: Some(Int64Value { value: 65_534 }),
        supplemental_groups: vec![2_000],
        readonly_rootfs: true,
        no_new_privs: true,
        masked_paths: vec!["/proc/keys".to_owned()],
        seccomp: Some(profile),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_container_has_the_rights_limits_and_mounts_that_were_asked_for() {
    let Some(containerd) = Containerd::start().await else { return };
    let stage = on(&containerd);
    let pod = stage.run_pod("careful").await;
    let folder = containerd.folder().join("mounted");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("file"), "of the host").unwrap();
    let mount = Mount {
        container_path: "/tmp".to_owned(),
        host_path: folder.display().to_string(),
        readonly: true,
        propagation: MountPropagation::HostToContainer.into(),
        ..Default::default()
    };
    let linux =
        LinuxContainerConfig { resources: Some(resources(64 * MEGABYTE)), security_context: Some(careful()) };
    let config = ContainerConfig {
        envs: vec![KeyValue { key: "NAME".to_owned(), value: b"value".to_vec() }],
        mounts: vec![mount],
        linux: Some(linux),
        ..stage.container_config("careful", Program::Waits)
    };
    let id = stage.start_with(&pod, config).await;

    let status = output(&stage, &id, "cat /proc/1/status").await;
    let found = ["Uid", "Groups", "CapEff", "NoNewPrivs", "Seccomp"].map(|name| value(&status, name));
    assert_eq!(found, ["65534", "2000", "0000000000000000", "1", "2"], "{status}");
    assert_eq!(output(&stage, &id, "cat /proc/1/oom_score_adj").await, "900\n");
    assert_eq!(output(&stage, &id, "cat /tmp/file; echo $NAME").await, "of the hostvalue\n");
    assert_ne!(exec(&stage, &id, "echo x > /file").await.exit_code, 0, "its root is read-only");
    assert_ne!(exec(&stage, &id, "echo x > /tmp/file").await.exit_code, 0, "the mount is read-only");
    assert_eq!(output(&stage, &id, "cat /proc/keys").await, "", "the path is masked");
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(output(&stage, &id, "hostname").await, host, "it is in the host's network");

    let stats = stage.call(ContainerStatsRequest { container_id: id.clone() }).await.unwrap().stats.unwrap();
    let used = stats.memory.unwrap().working_set_bytes.unwrap().value;
    assert!((1..64 * MEGABYTE as u64).contains(&used), "{used}");
    assert!(stats.cpu.unwrap().usage_core_nano_seconds.unwrap().value > 0);
    let pod_stats = stage.call(PodSandboxStatsRequest { pod_sandbox_id: pod.id.clone() }).await.unwrap();
    assert_eq!(pod_stats.stats.unwrap().linux.unwrap().containers.len(), 1);

    let update = UpdateContainerResourcesRequest {
        container_id: id.clone(),
        linux: Some(LinuxContainerResources { cpu_quota: 20_000, ..resources(32 * MEGABYTE) }),
        ..Default::default()
    };
    stage.call(update).await.unwrap();
    assert_eq!(memory_limit_bytes(&containerd, &id), 32 * MEGABYTE);
    stage.remove_pod(pod).await;
}

/// What the kernel has as limit of a container, wherever the hierarchy of memory is.
fn memory_limit_bytes(containerd: &Containerd, id: &str) -> i64 {
    let cgroup = format!("{}/careful/{id}", containerd.cgroup().trim_start_matches('/'));
    let files = ["memory/CGROUP/memory.limit_in_bytes", "CGROUP/memory.max"];
    let files = files.map(|file| Path::new("/sys/fs/cgroup").join(file.replace("CGROUP", &cgroup)));
    files.iter().find_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok()).unwrap()
}

#[tokio::test]
async fn a_container_that_takes_too_much_memory_says_so() {
    let Some(containerd) = Containerd::start().await else { return };
    let stage = on(&containerd);
    let pod = stage.run_pod("hungry").await;
    let linux = LinuxContainerConfig { resources: Some(resources(16 * MEGABYTE)), security_context: None };
    // Its buffer is larger than all that it may have.
    let hungry = script(&stage, "hungry", "echo start; exec dd if=/dev/zero of=/dev/null bs=128M count=1");
    let id = stage.start_with(&pod, ContainerConfig { linux: Some(linux), ..hungry }).await;
    let status = stage.stopped(&id).await;
    assert_eq!((status.exit_code, status.reason.as_str()), (137, "OOMKilled"));
    stage.remove_pod(pod).await;
}

/// The lines of a log without their times.
fn lines(log: &Path) -> Vec<String> {
    let text = fs::read_to_string(log).unwrap_or_default();
    text.lines().map(|line| line.split_once(' ').unwrap_or_default().1.to_owned()).collect()
}

async fn logged(log: &Path, expected: &[&str]) {
    eventually("lines in a log", LIMIT, async || match lines(log) {
        found if found == expected => Ok(()),
        found => Err(format!("{found:?}")),
    })
    .await;
}

#[tokio::test]
async fn logs_are_written_and_opened_anew() {
    let Some(containerd) = Containerd::start().await else { return };
    let stage = on(&containerd);
    let pod = stage.run_pod("logs").await;
    let exits = stage.start(&pod, "exits", Program::Exits(0)).await;
    stage.stopped(&exits).await;
    let folder = containerd.folder().join("logs/logs");
    let mut found = lines(&folder.join("exits.log"));
    // Nobody knows which of the two pipes is read first.
    found.sort();
    assert_eq!(found, ["stderr F err", "stdout F out"]);

    let told = "echo one; trap 'echo two' USR1; trap 'exit 0' TERM; echo set; while :; do sleep 0.05; done";
    let id = stage.start_with(&pod, script(&stage, "told", told)).await;
    let log = folder.join("told.log");
    logged(&log, &["stdout F one", "stdout F set"]).await;
    let old = folder.join("told.log.1");
    fs::rename(&log, &old).unwrap();
    stage.call(ReopenContainerLogRequest { container_id: id.clone() }).await.unwrap();
    assert_eq!(exec(&stage, &id, "kill -USR1 1").await.exit_code, 0);
    logged(&log, &["stdout F two"]).await;
    assert_eq!(lines(&old), ["stdout F one", "stdout F set"]);
    stage.remove_pod(pod).await;
}

#[tokio::test]
async fn a_program_tells_its_outputs_and_its_exit_code_or_runs_for_too_long() {
    let Some(containerd) = Containerd::start().await else { return };
    let stage = on(&containerd);
    let pod = stage.run_pod("execs").await;
    let id = stage.start(&pod, "waits", Program::Waits).await;
    let answer = exec(&stage, &id, "echo out; echo err >&2; exit 4").await;
    assert_eq!(
        (answer.stdout.as_slice(), answer.stderr.as_slice(), answer.exit_code),
        (&b"out\n"[..], &b"err\n"[..], 4)
    );

    let cmd = vec!["/bin/sleep".to_owned(), "1000".to_owned()];
    let endless = |timeout| ExecSyncRequest { container_id: id.clone(), cmd: cmd.clone(), timeout };
    let error = stage.call(endless(1)).await.unwrap_err();
    assert_eq!((error.kind, error.fate), (ErrorKind::DeadlineExceeded, Fate::Answered), "{error}");
    let error = stage.client.call(endless(0), Duration::from_millis(500)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::DeadlineExceeded, "{error}");
    stage.remove_pod(pod).await;
}

#[tokio::test]
async fn what_a_containerd_lacks_is_known_before_it_ignores_it() {
    let Some(containerd) = Containerd::start().await else { return };
    let stage = on(&containerd);
    let runtime = Runtime::ask(&stage.client, LIMIT).await.unwrap();
    assert_eq!(runtime.version.runtime_name, "containerd");
    let ready = runtime.conditions.iter().find(|condition| condition.r#type == "RuntimeReady");
    assert!(ready.unwrap().status);
    let is_pinned = async || {
        let images = stage.call(ListImagesRequest::default()).await.unwrap().images;
        images.iter().any(|image| image.pinned && image.repo_tags.iter().any(|name| name == PAUSE))
    };
    assert!(runtime.sandbox_image.as_deref() == Some(PAUSE) || is_pinned().await, "{runtime:?}");
    let mut config = stage.pod_config("users", 0);
    let range = IdMapping { host_id: 100_000, container_id: 0, length: 65_536 };
    let users =
        UserNamespace { mode: NamespaceMode::Pod.into(), uids: vec![range.clone()], gids: vec![range] };
    let security = config.linux.as_mut().unwrap().security_context.as_mut().unwrap();
    security.namespace_options =
        Some(NamespaceOption { userns_options: Some(users), ..NamespaceOption::default() });
    security.namespace_options.as_mut().unwrap().network = NamespaceMode::Node.into();
    assert!(config.features().contains(&Feature::UserNamespaces));
    if runtime.lacks("", &config.features()).contains(&Feature::UserNamespaces) {
        // It makes the sandbox all the same: nothing but the comparison warns of it.
        let request = RunPodSandboxRequest { config: Some(config.clone()), ..Default::default() };
        let id = stage.call(request).await.unwrap().pod_sandbox_id;
        stage.remove_pod(Pod { id, config }).await;
    }
}

/// Starts a containerd with a pod in which a container runs.
async fn running() -> Option<Containerd> {
    let containerd = Containerd::start().await?;
    let stage = on(&containerd);
    let pod = stage.run_pod("left").await;
    stage.start(&pod, "stubborn", Program::IgnoresTerm).await;
    // Containerd, its shim, the sandbox's process, the container's and what it runs.
    assert!(containerd.traces().len() >= 4, "{:?}", containerd.traces());
    Some(containerd)
}

#[tokio::test]
async fn nothing_is_left_of_a_containerd_whose_test_fails() {
    let Some(containerd) = running().await else { return };
    let (folder, cgroup) = (containerd.folder().to_owned(), containerd.cgroup().to_owned());
    let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _containerd = containerd;
        std::panic::resume_unwind(Box::new("a test fails"));
    }));
    assert!(failed.is_err());
    assert_eq!(wait_until_gone(&folder, &cgroup), [""; 0]);
    assert!(!folder.exists());
}

/// Set for the process that is killed while a pod runs.
const VICTIM: &str = "EVERYNODE_CRI_VICTIM";

#[tokio::test]
async fn nothing_is_left_of_a_containerd_whose_process_is_killed() {
    let Some(containerd) = running().await else { return };
    if std::env::var_os(VICTIM).is_some() {
        println!("\nrunning {} {}", containerd.folder().display(), containerd.cgroup());
        return std::future::pending().await;
    }
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "pods::nothing_is_left_of_a_containerd_whose_process_is_killed", "--nocapture"])
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(process.stdout.take().unwrap()).lines();
    let line = said.find_map(|line| line.unwrap().strip_prefix("running /").map(str::to_owned));
    process.kill().unwrap();
    process.wait().unwrap();
    let line = format!("/{}", line.unwrap());
    let (folder, cgroup) = line.split_once(' ').unwrap();
    assert_eq!(wait_until_gone(Path::new(folder), cgroup), [""; 0]);
    fs::remove_dir_all(folder).unwrap();
    remove_cgroups(cgroup);
}
