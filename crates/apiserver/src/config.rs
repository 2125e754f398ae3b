//! What a server is told when it starts.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::intercept::{Interceptor, WallClock};
use crate::kubelet::KubeletConnector;
use crate::metrics::MoreFigures;
use crate::usage::UsageSource;

/// Where objects live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Storage {
    /// In memory only; everything is gone with the process.
    Ephemeral,
    /// In this directory, which is made with mode 0700 when it is missing.
    Directory(PathBuf),
}

/// Which parts of a control plane run in the process of the server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Components {
    /// Something binds pods to nodes.
    pub scheduler: bool,
    /// The loops of a controller manager.
    pub controller_manager: bool,
}

/// The settings of a server.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address and port; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Where objects live.
    pub storage: Storage,
    /// What to do about a store in which objects are damaged.
    pub on_damage: crate::store::OnDamage,
    /// Whether pods get the token volume of their service account, and are refused when it is missing.
    pub service_account_admission: bool,
    /// How long an event object lives.
    pub event_life: Duration,
    /// Event objects that are kept at most; the oldest go first.
    pub event_limit: usize,
    /// How often watches that asked for bookmarks get one.
    pub bookmark_interval: Duration,
    /// How long a watch without `timeoutSeconds` lasts at least; it lasts at most twice as long.
    pub watch_life: Duration,
    /// Watches that are open at the same time; others get 429.
    pub watches: usize,
    /// How long a client of a watch may not read what is there for it; then the watch ends.
    pub slow_reader: Duration,
    /// Whether a watch may begin with the present objects (`sendInitialEvents`); servers before 1.34 need not have it.
    pub streaming_lists: bool,
    /// Requests, watches excepted, that are served at the same time; others get 429.
    pub requests_in_flight: usize,
    /// The largest request body, in bytes.
    pub body_limit_bytes: usize,
    /// How long a request, watches excepted, may take.
    pub request_timeout: Duration,
    /// How connections to kubelets are opened.
    pub kubelet_connector: KubeletConnector,
    /// Streams to kubelets (logs, exec, port-forward) that are open at the same time; others get 429.
    pub kubelet_streams: usize,
    /// Who knows what nodes and pods use; without, `metrics.k8s.io` is not served.
    pub usage: Option<Arc<dyn UsageSource>>,
    /// The parts of a control plane that run beside the server, for `componentstatuses`.
    pub components: Components,
    /// Who knows the figures of what runs beside the server.
    pub figures: Option<Arc<dyn MoreFigures>>,
    /// Where every request is taken down, one line of JSON each; `None` takes nothing down.
    pub audit_log: Option<PathBuf>,
    /// By which objects are stamped, and get old.
    pub clock: WallClock,
    /// Who sees requests first and answers last, where somebody does.
    pub interceptor: Option<Arc<dyn Interceptor>>,
    /// Limits of the store.
    pub store_limits: crate::store::Limits,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            storage: Storage::Ephemeral,
            on_damage: crate::store::OnDamage::Refuse,
            service_account_admission: true,
            event_life: Duration::from_secs(3_600),
            event_limit: 20_000,
            bookmark_interval: Duration::from_secs(60),
            watch_life: Duration::from_secs(1_800),
            watches: 10_000,
            slow_reader: Duration::from_secs(60),
            streaming_lists: true,
            requests_in_flight: 800,
            body_limit_bytes: 3 << 20,
            request_timeout: Duration::from_secs(60),
            kubelet_connector: KubeletConnector::default(),
            kubelet_streams: 1_000,
            usage: None,
            components: Components::default(),
            figures: None,
            audit_log: None,
            clock: WallClock::default(),
            interceptor: None,
            store_limits: crate::store::Limits::default(),
        }
    }
}
