//! One simulated node: what its agent knows and owes.

use everynode_model::Node;

use crate::config::{Mode, NodeSpec};
use crate::facts;
use crate::faults::NodeFaults;
use crate::identity;

/// An agent.
#[derive(Debug)]
pub(crate) struct NodeAgent {
    pub spec: NodeSpec,
    pub registration: Registration,
    pub faults: NodeFaults,
    pub labels: Vec<(String, String)>,
    pub uid: String,
    pub host_ip: String,
    pod_network: String,
    next_pod_ip: u32,
    /// The Ready condition that the API shows.
    pub shown_ready: String,
    /// Pods that hold the node NotReady.
    pub down_by: Vec<u64>,
    /// When the next lease renewal and heartbeat are due, in milliseconds.
    pub lease_at: u64,
    pub status_at: u64,
    pub lease_exists: bool,
    /// Writes that wait or are under way.
    pub owes: Owes,
    pub failures: u32,
    /// Pods were shown while the agent ran none: they are to be read when it runs pods again.
    pub missed_pods: bool,
    /// The listing in which the Node was last seen.
    pub seen: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Registration {
    /// The Node object has not been looked for yet.
    Unknown,
    Present,
    /// Deleted by others: the agent has stopped, or will register again.
    Gone,
}

#[derive(Debug, Default)]
pub(crate) struct Owes {
    pub register: bool,
    pub status: bool,
    pub lease: bool,
    pub pods: bool,
}

impl NodeAgent {
    pub(crate) fn new(spec: NodeSpec, index: usize) -> NodeAgent {
        let (host_ip, pod_network) = identity::addresses(index);
        NodeAgent {
            spec,
            registration: Registration::Unknown,
            faults: NodeFaults::default(),
            labels: Vec::new(),
            uid: String::new(),
            host_ip,
            pod_network,
            next_pod_ip: 0,
            shown_ready: String::new(),
            down_by: Vec::new(),
            lease_at: 0,
            status_at: 0,
            lease_exists: true,
            owes: Owes::default(),
            failures: 0,
            missed_pods: false,
            seen: 0,
        }
    }

    /// Takes the Node as the API shows it. Returns what of its annotations cannot be read, when they changed.
    pub(crate) fn observe(&mut self, node: &Node<'_>) -> Vec<String> {
        self.registration = Registration::Present;
        self.shown_ready.clear();
        self.shown_ready.push_str(node.ready().map(|ready| &*ready.status).unwrap_or_default());
        if let Some(ip) = node.status.addresses.iter().find(|a| a.kind == "InternalIP")
            && *ip.address != *self.host_ip
        {
            self.host_ip = ip.address.to_string();
        }
        let labels = &node.metadata.labels;
        if !self.labels.iter().map(|(k, v)| (&**k, &**v)).eq(labels.iter()) {
            self.labels = labels.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        }
        let is_new = *self.uid != *node.metadata.uid;
        if is_new {
            self.uid = node.metadata.uid.to_string();
        }
        let (faults, problems) = match facts::annotations(facts::fault_text(&node.metadata)) {
            Ok(annotations) => NodeFaults::read(&annotations),
            Err(problem) => (NodeFaults::default(), vec![problem]),
        };
        let changed = is_new || faults != self.faults;
        self.faults = faults;
        if changed { problems } else { Vec::new() }
    }

    /// The API shows its Node.
    pub(crate) fn is_registered(&self) -> bool {
        self.registration == Registration::Present
    }

    /// The agent runs pods.
    pub(crate) fn runs_pods(&self) -> bool {
        self.lives() && self.spec.mode == Mode::Healthy
    }

    /// The agent posts status.
    pub(crate) fn lives(&self) -> bool {
        self.is_registered() && self.spec.mode != Mode::Silent && !self.faults.silent
    }

    /// The agent renews its lease.
    pub(crate) fn renews(&self) -> bool {
        self.lives() && self.down_by.is_empty()
    }

    /// What the agent reports about itself.
    pub(crate) fn mode_now(&self) -> Mode {
        match self.down_by.is_empty() {
            true => self.spec.mode,
            false => Mode::NotReady,
        }
    }

    /// The API shows another Ready condition than the agent's.
    pub(crate) fn status_differs(&self) -> bool {
        identity::ready(self.mode_now()).0 != self.shown_ready
    }

    pub(crate) fn new_pod_ip(&mut self) -> String {
        self.next_pod_ip = self.next_pod_ip % 250 + 1;
        format!("{}.{}", self.pod_network, self.next_pod_ip + 1)
    }
}
