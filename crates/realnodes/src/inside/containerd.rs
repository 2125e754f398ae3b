//! The node's containerd: configured, kept running, and with what its shims leave taken in.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use everynode_cri::Endpoint;
use rustix::process::{WaitOptions, wait};

use super::InsideError;

const SOCKET: &str = "unix:///run/containerd/containerd.sock";
const CONFIG: &str = "/etc/containerd/config.toml";
const HOSTS: &str = "/etc/containerd/certs.d/_default";
/// The image that holds the namespaces of pods, which the registry brings along.
const PAUSE_IMAGE: &str = "registry.k8s.io/pause:3.10";
/// How much of what it holds a containerd, or a shim, may leave to be collected. Many of them are on one machine, and
/// mostly have nothing to do: by Go's own 100 each takes 4 MB more.
const GC_PERCENT: &str = "25";
/// Before a containerd that ended is started anew.
const PAUSE: Duration = Duration::from_secs(1);

/// Where it listens.
pub fn endpoint() -> Endpoint {
    #[expect(clippy::expect_used, reason = "a constant")]
    SOCKET.parse().expect("an absolute path")
}

/// Writes its configuration: all images come from the registry.
pub fn configure(registry: SocketAddr) -> Result<(), InsideError> {
    let config = format!(
        r#"version = 2
oom_score = 0
[debug]
level = "warn"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE_IMAGE}"
disable_tcp_service = true
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "/etc/containerd/certs.d"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
"#
    );
    // Nobody is asked after it: nodes have no way to anybody, and would wait for that.
    let server = format!("server = \"http://{registry}\"\n");
    let hosts = format!("{server}[host.\"http://{registry}\"]\ncapabilities = [\"pull\", \"resolve\"]\n");
    let write = |folder: &str, file: &str, content: String| {
        fs::create_dir_all(folder).and_then(|()| fs::write(file, content))
    };
    write("/etc/containerd", CONFIG, config).map_err(InsideError::system(format!("write {CONFIG}")))?;
    let file = format!("{HOSTS}/hosts.toml");
    write(HOSTS, &file, hosts).map_err(InsideError::system(format!("write {file}")))
}

/// Keeps it running. Its containers go on when it ends, and it knows them again. Shims and what daemons leave behind
/// become children of the first process, which is this one: each is waited for when it ends.
pub fn keep() -> io::Result<()> {
    thread::Builder::new().name("containerd".into()).spawn(|| {
        loop {
            match Command::new("containerd").env("GOGC", GC_PERCENT).stdin(Stdio::null()).spawn() {
                Ok(child) => wait_for(child.id()),
                Err(error) => tracing::error!(%error, "containerd does not start"),
            }
            tracing::error!("containerd ended, and is started anew");
            thread::sleep(PAUSE);
        }
    })?;
    Ok(())
}

/// Waits for all children until this one has ended.
fn wait_for(child: u32) {
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((ended, _))) if u32::try_from(ended.as_raw_nonzero().get()) == Ok(child) => return,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return,
        }
    }
}
