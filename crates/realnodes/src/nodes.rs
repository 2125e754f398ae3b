//! The real nodes of this process.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::mpsc;

use crate::error::RealNodesError;
use crate::folder::RunFolder;
use crate::lan::{self, Lan};
use crate::needs;
use crate::process::{NodeProcess, Start};
use crate::setup::NodeSetup;

/// How real nodes are made.
#[derive(Debug, Clone)]
pub struct RealNodesConfig {
    /// The program that calls [`crate::inside::run`].
    pub program: PathBuf,
    /// The arguments with which it does.
    pub arguments: Vec<String>,
    /// Where nodes keep images, containers, volumes and logs while they live.
    pub folder: PathBuf,
}

/// The real nodes of this process. They end with it, and with this.
#[derive(Debug)]
pub struct RealNodes {
    config: RealNodesConfig,
    api: Ipv4Addr,
    lan: Lan,
    processes: Vec<NodeProcess>,
    /// Removed after the processes have ended.
    folder: RunFolder,
}

impl RealNodes {
    /// Makes the network between nodes, on which the API has this address, and the folder of their files, and removes what earlier runs left that were
    /// killed. May take some milliseconds, in which the thread is blocked; the same goes for what is below.
    ///
    /// # Errors
    /// What the machine lacks.
    pub fn prepare(config: RealNodesConfig, api: Ipv4Addr) -> Result<RealNodes, RealNodesError> {
        needs::check()?;
        let folder = RunFolder::make(&config.folder)?;
        Ok(RealNodes { lan: Lan::make(api)?, api, config, processes: Vec::new(), folder })
    }

    /// The network between nodes.
    pub fn lan(&self) -> &Lan {
        &self.lan
    }

    /// The address that the node of a number will have; numbers count from one.
    pub fn address(number: u16) -> Ipv4Addr {
        lan::address(number)
    }

    /// Starts nodes by their numbers, names and kubeconfigs, all at once. Their agents are on their way when this
    /// returns.
    ///
    /// # Errors
    /// The first that did not start; the others run.
    pub fn start(
        &mut self,
        nodes: impl IntoIterator<Item = (u16, String, String)>,
        registry: SocketAddr,
    ) -> Result<(), RealNodesError> {
        let (started, outcomes) = mpsc::channel();
        let mut begun = 0;
        for (number, name, kubeconfig) in nodes {
            let start = Start {
                program: self.config.program.clone(),
                arguments: self.config.arguments.clone(),
                number,
                setup: NodeSetup {
                    address: lan::address(number),
                    pod_cidr: lan::pod_cidr(number),
                    prefix_bits: lan::PREFIX_BITS,
                    gateway: lan::GATEWAY,
                    folder: self.folder.of_node(&name),
                    cgroup: self.folder.cgroup_of(&name),
                    api: self.api,
                    kubeconfig,
                    registry,
                    name,
                },
            };
            self.processes.push(NodeProcess::begin(self.lan.clone(), start, started.clone())?);
            begun += 1;
        }
        drop(started);
        outcomes.iter().take(begun).collect()
    }
}

impl Drop for RealNodes {
    fn drop(&mut self) {
        self.processes.iter().for_each(NodeProcess::end);
        self.processes.clear();
    }
}
