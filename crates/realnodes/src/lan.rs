//! The network between nodes: a network namespace with a bridge to which each node is linked, and with the addresses by
//! which nodes reach the API and the images. It goes with the process, and nothing of it is seen on the machine.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::net::TcpSocket;

use crate::error::RealNodesError;

/// The network's own address on it, the way to everything that is not a node.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(172, 18, 0, 1);
/// The length of its prefix: room for 65,533 nodes.
pub const PREFIX_BITS: u8 = 16;
/// Where images come from.
const REGISTRY: SocketAddr = SocketAddr::new(IpAddr::V4(GATEWAY), 5_000);

type Work = Box<dyn FnOnce() + Send>;

/// The network between nodes. Handles are cheap; it goes with the last of them.
#[derive(Debug, Clone)]
pub struct Lan {
    work: mpsc::Sender<Work>,
}

/// The address of the node of a number, which counts from one.
pub fn address(number: u16) -> Ipv4Addr {
    let [high, low] = number.saturating_add(1).to_be_bytes();
    Ipv4Addr::new(172, 18, high, low)
}

/// The range of the addresses of its pods, for network plugins that go by it.
pub fn pod_cidr(number: u16) -> String {
    let [_, low] = number.to_be_bytes();
    format!("10.244.{low}.0/24")
}

impl Lan {
    /// Makes the network, on which the API has this address.
    ///
    /// # Errors
    /// The kernel lacks something, or forbids it.
    pub fn make(api: Ipv4Addr) -> Result<Lan, RealNodesError> {
        let failed = |error: io::Error| RealNodesError::Network(error.to_string());
        let namespace = new_namespace().map_err(failed)?;
        let (work, works) = mpsc::channel::<Work>();
        let (entered, has_entered) = mpsc::channel();
        // A thread is in the namespace for good, and so is what it opens.
        thread::Builder::new()
            .name("lan".into())
            .spawn(move || {
                let moved = move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network));
                let is_in = moved.is_ok();
                // Who asked may be gone; then so is the other channel.
                let _ = entered.send(moved);
                if is_in {
                    works.iter().for_each(|work| work());
                }
            })
            .map_err(failed)?;
        has_entered.recv().map_err(|_| failed(gone()))?.map_err(|error| failed(error.into()))?;
        let lan = Lan { work };
        let script = format!(
            "link set lo up\nlink add nodes type bridge\naddr add {GATEWAY}/{PREFIX_BITS} dev nodes\n\
             addr add {api}/32 dev nodes\nlink set nodes up\n"
        );
        lan.within(move || ip(&script))?.map_err(RealNodesError::Network)?;
        Ok(lan)
    }

    /// A listener for requests for images, and its address.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub fn listen_for_images(&self) -> Result<(TcpListener, SocketAddr), RealNodesError> {
        Ok((self.listen(REGISTRY)?, REGISTRY))
    }

    /// A listener on the network's own addresses.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub fn listen(&self, address: SocketAddr) -> Result<TcpListener, RealNodesError> {
        let listen = move || {
            let listener = TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            Ok::<_, io::Error>(listener)
        };
        self.within(listen)?.map_err(|error| RealNodesError::Network(format!("{address}: {error}")))
    }

    /// A socket that connects to nodes.
    ///
    /// # Errors
    /// There are too many open files.
    pub fn socket(&self) -> io::Result<TcpSocket> {
        self.within(TcpSocket::new_v4).map_err(|_| gone())?
    }

    /// Links the network namespace of a process to the network: that namespace has an `eth0` afterwards, and here it is
    /// `node-NUMBER`.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn link(&self, number: u16, process: u32) -> Result<(), RealNodesError> {
        let name = format!("node-{number}");
        let script = format!(
            "link add name {name} type veth peer name eth0 netns {process}\nlink set {name} master nodes up\n"
        );
        self.within(move || ip(&script))?.map_err(RealNodesError::Network)
    }

    /// Does something in the network's namespace.
    fn within<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, RealNodesError> {
        let ended = || RealNodesError::Network(gone().to_string());
        let (done, outcome) = mpsc::channel();
        let work: Work = Box::new(move || drop(done.send(work())));
        self.work.send(work).map_err(|_| ended())?;
        outcome.recv().map_err(|_| ended())
    }
}

fn gone() -> io::Error {
    io::Error::other("its thread has ended")
}

/// A network namespace of its own, as a file that keeps it.
fn new_namespace() -> io::Result<OwnedFd> {
    let mut child = Command::new("unshare")
        .args(["--net", "sh", "-c", "echo ready; read line"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    if let Some(output) = child.stdout.take() {
        BufReader::new(output).read_line(&mut line)?;
    }
    let namespace = File::open(format!("/proc/{}/ns/net", child.id()));
    // Its standard input ends here, and with that the child.
    let ended = child.wait_with_output()?;
    match line.trim() {
        "ready" => namespace.map(OwnedFd::from),
        _ => Err(io::Error::other(String::from_utf8_lossy(&ended.stderr).trim().to_owned())),
    }
}

/// Has `ip` carry out lines, in the network namespace of this thread.
pub fn ip(lines: &str) -> Result<(), String> {
    let run = || {
        let mut child = Command::new("ip")
            .args(["-batch", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(lines.as_bytes())?;
        }
        child.wait_with_output()
    };
    match run() {
        Ok(ended) if ended.status.success() => Ok(()),
        Ok(ended) => {
            Err(format!("ip: {}", String::from_utf8_lossy(&ended.stderr).trim().replace('\n', "; ")))
        }
        Err(error) => Err(format!("ip: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_node_has_an_address_of_its_own_beside_the_gateway() {
        let check = |number, expected: &str| assert_eq!(address(number).to_string(), expected);
        check(1, "172.18.0.2");
        check(254, "172.18.0.255");
        check(255, "172.18.1.0");
        assert_ne!(address(1), GATEWAY);
    }
}
