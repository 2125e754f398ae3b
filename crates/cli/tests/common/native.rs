//! A cluster whose own DaemonSet controller is on, for tests of what works beside it.
//!
//! `EVERYNODE_TEST_NATIVE_KUBECONFIG` names the kubeconfig of one. Else an embedded cluster gets a controller:
//! `EVERYNODE_KUBE_CONTROLLER_MANAGER`, or a stand-in, which is everynode's own controller for all of a DaemonSet's
//! life, but does not get to know policies.

use std::path::PathBuf;

use everynode_client::Client;
use everynode_controller::{Controller, ControllerConfig};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::bare::Bare;
use super::built_in::BuiltIn;
use super::over::over;
use super::{LIMIT, eventually, kubectl};

/// The definition of RolloutPolicy.
pub use everynode_api::rollout_policy::DEFINITION;
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// The cluster, with simulated nodes and a namespace of its own. Drops from top to bottom.
pub struct Native {
    _controller: Option<DaemonSets>,
    pub bare: Bare,
    _definition: Definition,
    /// Whose controller makes the pods.
    pub whose: &'static str,
}

/// A controller that the test brought along.
pub enum DaemonSets {
    BuiltIn { _process: BuiltIn },
    StandIn(JoinHandle<()>),
}

impl Native {
    pub async fn start(nodes: usize) -> Native {
        let kubeconfig = std::env::var_os("EVERYNODE_TEST_NATIVE_KUBECONFIG").map(PathBuf::from);
        let is_native = kubeconfig.is_some();
        let bare = Bare::start_on(kubeconfig, nodes).await;
        let definition = Definition::install(&bare).await;
        let program = std::env::var_os("EVERYNODE_KUBE_CONTROLLER_MANAGER").map(PathBuf::from);
        let (controller, whose) = match program {
            _ if is_native => (None, "the cluster"),
            Some(program) => {
                let process = BuiltIn::start(&program, &bare, "daemonset-controller");
                (Some(DaemonSets::BuiltIn { _process: process }), "Kubernetes, on an embedded cluster")
            }
            None => (
                Some(DaemonSets::stand_in(bare.client.clone(), &bare.namespace)),
                "the stand-in, on an embedded cluster",
            ),
        };
        Native { _controller: controller, bare, _definition: definition, whose }
    }
}

impl DaemonSets {
    /// Everynode's own controller, which does not get to know policies.
    pub fn stand_in(client: Client, namespace: &str) -> DaemonSets {
        let config =
            ControllerConfig { namespace: Some(namespace.to_owned()), ..ControllerConfig::default() };
        let client = over(client, |_, path, _| !path.starts_with("/apis/everynode.dev/"));
        DaemonSets::StandIn(tokio::spawn(async move {
            Controller::run(client, config, CancellationToken::new()).await.unwrap();
        }))
    }
}

impl Drop for DaemonSets {
    fn drop(&mut self) {
        if let DaemonSets::StandIn(task) = self {
            task.abort();
        }
    }
}

/// The definition of RolloutPolicy; taken away again if it was not there.
pub struct Definition {
    remove_by: Option<PathBuf>,
}

impl Definition {
    /// Makes it, unless it is there, and waits until policies are served.
    pub async fn install(bare: &Bare) -> Definition {
        let document = everynode_apimachinery::manifest::documents(DEFINITION).remove(0).unwrap();
        let name = document.value["metadata"]["name"].as_str().unwrap();
        let there = match bare.client.get(&format!("{DEFINITIONS}/{name}")).await {
            Ok(there) => Some(serde_json::from_slice::<Value>(&there).unwrap()),
            Err(error) if error.is_not_found() => None,
            Err(error) => panic!("{error}"),
        };
        let definition = Definition { remove_by: there.is_none().then(|| bare.kubeconfig.clone()) };
        if there.is_none() {
            bare.client.post(DEFINITIONS, document.value.to_string()).await.unwrap();
        }
        eventually("RolloutPolicy is served", LIMIT, async || {
            let policies = "/apis/everynode.dev/v1alpha1/rolloutpolicies";
            bare.client.get(policies).await.map(drop).map_err(|error| error.to_string())
        })
        .await;
        definition
    }
}

impl Drop for Definition {
    fn drop(&mut self) {
        if let Some(kubeconfig) = &self.remove_by {
            let delete = ["delete", "customresourcedefinition", "rolloutpolicies.everynode.dev"];
            let _ = kubectl(kubeconfig).args(delete).output();
        }
    }
}
