//! A runtime in memory, for tests of what speaks to runtimes: sandboxes and containers by the rules of the interface,
//! containers that behave as they are told to, and calls that fail as they are told to. It is reached in memory, where
//! time may be virtual, or over a Unix socket.
//!
//! It runs nothing and writes no logs. `crates/cri/tests/runtimes` holds it to the same rules as a real containerd.

mod behaviour;
mod route;
mod state;
mod stream;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::UnixListener;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

pub use behaviour::{Behaviour, End, Exec, OnStop};
use state::State;

use crate::calls::Call;
use crate::client::{Client, Stream};
use crate::error::{Broken, ErrorKind};
use crate::messages::{ContainerConfig, ContainerStatus, PodSandboxConfig, PodSandboxStatus};

/// How old a runtime is: what it knows of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// As containerd 1.6: it has no `RuntimeConfig`, tells no features, and forgets fields that it does not know.
    Old,
    /// It knows everything.
    New,
}

/// How a call fails, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// Whether the runtime has done what it was asked to.
    pub when: When,
    /// What its client sees.
    pub how: How,
}

/// Whether a call that fails was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// It was not.
    Before,
    /// It was.
    After,
}

/// What the client sees of a call that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// An answer of this kind.
    Refuse(ErrorKind),
    /// No answer at all.
    Hang,
    /// The end of the connection.
    Disconnect,
}

/// A runtime in memory. Clones are the same runtime. It lives in an asynchronous runtime, whose time is its time.
#[derive(Clone)]
pub struct FakeRuntime {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// The faults of calls that come, by the names of the calls.
    faults: Mutex<HashMap<&'static str, VecDeque<Fault>>>,
    /// Ends the connections that are open.
    connections: Mutex<CancellationToken>,
    is_running: AtomicBool,
    in_flight: AtomicUsize,
}

/// A mutex is only poisoned by a test that has failed already.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FakeRuntime {
    /// A runtime without images, whose clock shows `now_nanoseconds` since 1970.
    pub fn new(generation: Generation, now_nanoseconds: i64) -> FakeRuntime {
        FakeRuntime {
            shared: Arc::new(Shared {
                state: Mutex::new(State::new(generation, now_nanoseconds)),
                faults: Mutex::default(),
                connections: Mutex::default(),
                is_running: AtomicBool::new(true),
                in_flight: AtomicUsize::new(0),
            }),
        }
    }

    /// A client whose connections are in memory.
    pub fn client(&self) -> Client {
        let runtime = self.clone();
        Client::over(Box::new(move || {
            let connected = runtime.connect();
            Box::pin(std::future::ready(connected))
        }))
    }

    fn connect(&self) -> Result<Box<dyn Stream>, Broken> {
        if !self.shared.is_running.load(Ordering::SeqCst) {
            return Err(Broken { was_sent: false, words: "the runtime in memory is off".to_owned() });
        }
        let (near, far) = tokio::io::duplex(stream::PIPE_BYTES);
        tokio::spawn(stream::serve(self.clone(), far));
        Ok(Box::new(near))
    }

    /// Listens on a Unix socket until what is returned is dropped.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn listen(&self, path: &Path) -> io::Result<Listening> {
        let listener = UnixListener::bind(path)?;
        let runtime = self.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(stream::serve(runtime.clone(), connection));
            }
        });
        Ok(Listening { runtime: self.clone(), path: path.to_owned(), accepting: accepting.abort_handle() })
    }

    /// Switches it off or on for clients in memory. Off, it ends its connections and makes no new ones; its containers
    /// go on.
    pub fn set_running(&self, is_running: bool) {
        self.shared.is_running.store(is_running, Ordering::SeqCst);
        if !is_running {
            self.disconnect();
        }
    }

    /// Ends the connections that are open.
    pub fn disconnect(&self) {
        std::mem::take(&mut *lock(&self.shared.connections)).cancel();
    }

    /// Offers an image in the registry, from which it can be pulled.
    pub fn offer_image(&self, name: &str) {
        lock(&self.shared.state).registry.insert(name.to_owned());
    }

    /// Says how containers of this name behave that are started from now on, and programs in them.
    pub fn set_behaviour(&self, container: &str, behaviour: Behaviour) {
        lock(&self.shared.state).behaviours.insert(container.to_owned(), behaviour);
    }

    /// Says where streams are served from now on, such as `http://127.0.0.1:1234`: it serves none itself.
    pub fn set_streams(&self, url: &str) {
        url.clone_into(&mut lock(&self.shared.state).streams);
    }

    /// Has the next call of `C` fail. Several are used up one by one.
    pub fn fail_next<C: Call>(&self, fault: Fault) {
        lock(&self.shared.faults).entry(C::NAME).or_default().push_back(fault);
    }

    fn next_fault(&self, call: &str) -> Option<Fault> {
        lock(&self.shared.faults).get_mut(call)?.pop_front()
    }

    /// Ends a running container now, by its id; says whether it ran.
    pub fn end(&self, container_id: &str, end: End) -> bool {
        lock(&self.shared.state).end(container_id, end)
    }

    /// The sandboxes, in the order of their making.
    pub fn sandboxes(&self) -> Vec<PodSandboxStatus> {
        lock(&self.shared.state).sandbox_statuses()
    }

    /// The containers, in the order of their making.
    pub fn containers(&self) -> Vec<ContainerStatus> {
        lock(&self.shared.state).container_statuses()
    }

    /// What a sandbox was made of.
    pub fn sandbox_config(&self, id: &str) -> Option<PodSandboxConfig> {
        lock(&self.shared.state).sandboxes.get(id).map(|sandbox| sandbox.config.clone())
    }

    /// What a container was made of.
    pub fn container_config(&self, id: &str) -> Option<ContainerConfig> {
        lock(&self.shared.state).containers.get(id).map(|container| container.config.clone())
    }

    /// How many calls are being served.
    pub fn in_flight(&self) -> usize {
        self.shared.in_flight.load(Ordering::SeqCst)
    }
}

impl std::fmt::Debug for FakeRuntime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FakeRuntime").finish_non_exhaustive()
    }
}

/// A socket on which a runtime in memory listens. Dropping it closes the connections and removes the socket.
#[derive(Debug)]
pub struct Listening {
    runtime: FakeRuntime,
    path: PathBuf,
    accepting: AbortHandle,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.accepting.abort();
        self.runtime.disconnect();
        // Somebody may have removed it before.
        let _ = std::fs::remove_file(&self.path);
    }
}
