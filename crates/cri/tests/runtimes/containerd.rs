//! A private containerd: in namespaces of its own, with all its files in a temporary folder. Nothing of it is left when
//! it is dropped, nor when the test process dies in any way, but empty cgroups in the latter case.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use everynode_cri::messages::{ImageSpec, PullImageRequest, VersionRequest};
use everynode_cri::{Client, Endpoint};
use everynode_registry::ImageStore;
use everynode_testkit::containers::{have_containerd, static_busybox};
use everynode_testkit::wait::eventually;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::image::{self, IMAGE, PAUSE};

pub const LIMIT: Duration = Duration::from_secs(60);

/// Each process dies with its parent: the kernel kills `unshare` with the thread that started it, `unshare` its child,
/// and the child, which is the first of its process ids, takes all others with it. Mounts that are made here are seen
/// here only, and `/run` is another one, where containerd keeps the sockets of its shims whatever its configuration.
const SCRIPT: &str = "mount --make-rprivate / && mount --make-rshared / && mount -t tmpfs tmpfs /run \
    && exec containerd --config \"$0\"";

pub struct Containerd {
    child: Child,
    folder: Option<TempDir>,
    cgroup: String,
    /// Its registry ends with it.
    _registry: DropGuard,
}

fn config(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        r#"version = 2
root = "{folder}/root"
state = "{folder}/state"
oom_score = 0
[grpc]
address = "{folder}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE}"
disable_tcp_service = true
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "{folder}/registries"
[plugins."io.containerd.grpc.v1.cri".cni]
conf_dir = "{folder}/cni"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
"#
    )
}

/// Serves the images of this test, in the place of all registries.
async fn serve_images(folder: &Path) -> DropGuard {
    let images = folder.join("images");
    fs::create_dir(&images).unwrap();
    image::write(&static_busybox().unwrap(), &images.join("busybox.tar"));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let registries = folder.join("registries/_default");
    fs::create_dir_all(&registries).unwrap();
    let hosts = format!(
        "server = \"http://{address}\"\n[host.\"http://{address}\"]\ncapabilities = [\"pull\", \"resolve\"]\n"
    );
    fs::write(registries.join("hosts.toml"), hosts).unwrap();
    let stop = CancellationToken::new();
    let store = ImageStore::open(images).unwrap();
    tokio::spawn(everynode_registry::serve(listener, store.into(), stop.clone()));
    stop.drop_guard()
}

impl Containerd {
    /// Starts one that has the images of this test; says so where that is not possible.
    pub async fn start() -> Option<Containerd> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if !have_containerd() {
            return None;
        }
        let folder = TempDir::new().unwrap();
        let registry = serve_images(folder.path()).await;
        let file = folder.path().join("config.toml");
        fs::write(&file, config(folder.path())).unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new("setpriv")
            .args([
                "--pdeathsig",
                "KILL",
                "unshare",
                "--mount",
                "--pid",
                "--fork",
                "--kill-child",
                "--mount-proc",
            ])
            .args(["sh", "-c", SCRIPT])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let cgroup = format!("/everynode-test-{}-{number}", std::process::id());
        let containerd = Containerd { child, folder: Some(folder), cgroup, _registry: registry };
        let client = containerd.client();
        eventually("a containerd", LIMIT, async || {
            let answer = client.call(VersionRequest::default(), LIMIT).await;
            answer.map_err(|error| format!("{error}; {}", containerd.log()))
        })
        .await;
        let image = Some(ImageSpec { image: IMAGE.to_owned(), ..Default::default() });
        client.call(PullImageRequest { image, ..Default::default() }, LIMIT).await.unwrap();
        Some(containerd)
    }

    pub fn folder(&self) -> &Path {
        self.folder.as_ref().unwrap().path()
    }

    /// The cgroup that all pods of this test are in.
    pub fn cgroup(&self) -> &str {
        &self.cgroup
    }

    fn socket(&self) -> PathBuf {
        self.folder().join("containerd.sock")
    }

    pub fn client(&self) -> Client {
        Client::new(self.socket().to_str().unwrap().parse::<Endpoint>().unwrap())
    }

    /// What containerd has written.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder().join("log")).unwrap_or_default()
    }

    /// What would be left of it if it ended now.
    pub fn traces(&self) -> Vec<String> {
        traces(self.folder(), &self.cgroup)
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let left = wait_until_gone(self.folder(), &self.cgroup);
        let folder = self.folder.take().unwrap();
        remove_cgroups(&self.cgroup);
        let removed = folder.close();
        if !std::thread::panicking() {
            assert!(left.is_empty(), "left: {left:#?}");
            removed.unwrap();
        }
    }
}

/// What is left after a while, of what should go.
pub fn wait_until_gone(folder: &Path, cgroup: &str) -> Vec<String> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let left = traces(folder, cgroup);
        if left.is_empty() || Instant::now() > deadline {
            return left;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Processes and mounts that belong to a containerd: they name its folder or are in its cgroup.
fn traces(folder: &Path, cgroup: &str) -> Vec<String> {
    let folder = folder.to_str().unwrap();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mut found: Vec<String> =
        mounts.lines().filter(|line| line.contains(folder)).map(str::to_owned).collect();
    for process in fs::read_dir("/proc").unwrap().flatten() {
        // A process may end while it is looked at.
        let read = |file: &str| fs::read(process.path().join(file)).unwrap_or_default();
        let command = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
        let is_in_cgroup = String::from_utf8_lossy(&read("cgroup")).contains(&format!("{cgroup}/"));
        if command.contains(folder) || is_in_cgroup {
            found.push(format!("{}: {command}", process.path().display()));
        }
    }
    found
}

/// Removes the cgroups of a containerd that has ended, in all hierarchies.
pub fn remove_cgroups(cgroup: &str) {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    for hierarchy in hierarchies.chain([root.to_owned()]) {
        remove_empty(&hierarchy.join(cgroup.trim_start_matches('/')));
    }
}

/// Removes a folder of cgroups from the leaves on; their files go with them.
fn remove_empty(folder: &Path) {
    let inner = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in inner.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove_empty(&entry.path());
    }
    // Of most hierarchies it is none.
    let _ = fs::remove_dir(folder);
}
