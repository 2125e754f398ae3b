//! Pods.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::container::is_being_started;
use crate::json::raw_value;
use crate::text::null_as_default;
use crate::{
    Condition, ContainerStatus, Metadata, Operator, Phase, PodConditions, Requirement, Text, Trouble,
};

/// A Pod: where it is or should go, and how it is. What only some readers want is unread.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Pod<'a> {
    /// Metadata.
    #[serde(borrow)]
    pub metadata: Metadata<'a>,
    /// What is wanted.
    #[serde(borrow, deserialize_with = "null_as_default")]
    pub spec: PodSpec<'a>,
    /// What is, as its kubelet reports it.
    #[serde(borrow, deserialize_with = "null_as_default")]
    pub status: PodStatus<'a>,
}

/// What is wanted of a pod.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodSpec<'a> {
    /// The node that it is bound to; empty when it is not bound.
    #[serde(borrow)]
    pub node_name: Text<'a>,
    /// Who is to bind it.
    #[serde(borrow)]
    pub scheduler_name: Text<'a>,
    /// `Always`, `OnFailure` or `Never`.
    #[serde(borrow)]
    pub restart_policy: Text<'a>,
    /// Its place among others when there is not room for all.
    pub priority: i32,
    /// Whether it uses the node's network.
    pub host_network: bool,
    /// Its containers.
    #[serde(borrow)]
    pub containers: Option<&'a RawValue>,
    /// The containers that run before those, or beside them.
    #[serde(borrow)]
    pub init_containers: Option<&'a RawValue>,
    /// The containers that were added while it ran, to look into it.
    #[serde(borrow)]
    pub ephemeral_containers: Option<&'a RawValue>,
    /// Labels that its node must have.
    #[serde(borrow)]
    pub node_selector: Option<&'a RawValue>,
    /// Node affinity and others.
    #[serde(borrow)]
    pub affinity: Option<&'a RawValue>,
    /// The taints that it tolerates.
    #[serde(borrow)]
    pub tolerations: Option<&'a RawValue>,
    /// What it takes beside its containers.
    #[serde(borrow)]
    pub overhead: Option<&'a RawValue>,
    /// What it asks for as a whole.
    #[serde(borrow)]
    pub resources: Option<&'a RawValue>,
    #[serde(borrow)]
    scheduling_gates: Option<&'a RawValue>,
    #[serde(borrow)]
    resource_claims: Option<&'a RawValue>,
    #[serde(borrow)]
    volumes: Option<&'a RawValue>,
}

/// How a pod is.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodStatus<'a> {
    /// Phase, such as `Running`; empty before the kubelet has seen the pod.
    #[serde(borrow)]
    pub phase: Text<'a>,
    /// A word for programs about why it is so, such as `Evicted`.
    #[serde(borrow)]
    pub reason: Text<'a>,
    /// A sentence for people about it.
    #[serde(borrow)]
    pub message: Text<'a>,
    /// When the kubelet took it.
    #[serde(borrow)]
    pub start_time: Option<Text<'a>>,
    /// Its address.
    #[serde(borrow, rename = "podIP")]
    pub pod_ip: Text<'a>,
    /// The conditions that somebody asks for.
    #[serde(borrow)]
    pub conditions: PodConditions<'a>,
    #[serde(borrow)]
    init_container_statuses: Option<&'a RawValue>,
    #[serde(borrow)]
    container_statuses: Option<&'a RawValue>,
}

impl<'a> Pod<'a> {
    /// The Ready condition.
    pub fn ready(&self) -> Option<&Condition<'a>> {
        self.status.conditions.ready.as_ref()
    }

    /// The Ready condition is True.
    pub fn is_ready(&self) -> bool {
        self.ready().is_some_and(Condition::is_true)
    }

    /// status.phase.
    pub fn phase(&self) -> Phase {
        Phase::parse(&self.status.phase)
    }

    /// It is asked to go.
    pub fn is_terminating(&self) -> bool {
        self.metadata.is_deleting()
    }

    /// The node that it is bound to.
    pub fn bound_to(&self) -> Option<&str> {
        Some(&*self.spec.node_name).filter(|node| !node.is_empty())
    }

    /// The node that the pod is for: the one it is bound to, else the one that its node affinity names by the
    /// field `metadata.name` ([D1](crate::spec#d1)).
    pub fn target_node(&self) -> Option<Cow<'_, str>> {
        self.bound_to().map(Cow::Borrowed).or_else(|| self.spec.pinned_to().map(Cow::Owned))
    }

    /// What keeps a container from running, in the kubelet's word: of several that wait, in the order in which they
    /// are started, the first that does not get well by itself, else the first that is not just being started.
    pub fn waiting_reason(&self) -> Option<String> {
        if !self.status.tells_of_waiting() {
            return None;
        }
        let containers = [self.status.init_containers(), self.status.containers()].concat();
        let reasons = || containers.iter().filter_map(|one| Some(&*one.waiting()?.reason));
        let trouble = reasons().find(|reason| Trouble::parse(reason).is_some());
        trouble
            .or_else(|| reasons().find(|reason| !reason.is_empty() && !is_being_started(reason)))
            .map(str::to_owned)
    }

    /// Why one of its containers cannot start, or does not stay up.
    pub fn trouble(&self) -> Option<Trouble> {
        self.waiting_reason().and_then(|reason| Trouble::parse(&reason))
    }
}

impl PodSpec<'_> {
    /// The one node that the required node affinity names by the field `metadata.name`: the first such requirement
    /// decides, in whichever term it is ([D1](crate::spec#d1)).
    fn pinned_to(&self) -> Option<String> {
        let affinity = raw_value(self.affinity?);
        let terms = &affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
        let terms = terms["nodeSelectorTerms"].as_array()?.iter();
        let fields = terms.filter_map(|term| term["matchFields"].as_array()).flatten();
        let mut named = fields
            .filter_map(Requirement::from_json)
            .filter(|field| field.key == "metadata.name" && field.operator == Operator::In);
        match named.next()?.values.as_slice() {
            [node] => Some(node.clone()),
            _ => None,
        }
    }

    /// Something has to be taken away before the pod may be bound.
    pub fn is_gated(&self) -> bool {
        is_list_of_some(self.scheduling_gates)
    }

    /// The pod asks for devices.
    pub fn claims_devices(&self) -> bool {
        is_list_of_some(self.resource_claims)
    }

    /// The claims of its namespace whose volumes a pod of that name mounts; those that are made for it are named after it.
    pub fn volume_claims(&self, pod_name: &str) -> Vec<Box<str>> {
        let Some(volumes) = self.volumes.filter(|volumes| volumes.get().len() > 2) else { return Vec::new() };
        let volumes = raw_value(volumes);
        let claim = |volume: &Value| -> Option<Box<str>> {
            match volume["persistentVolumeClaim"]["claimName"].as_str() {
                Some(name) => Some(name.into()),
                None if volume["ephemeral"].is_object() => {
                    Some(format!("{pod_name}-{}", volume["name"].as_str()?).into())
                }
                None => None,
            }
        };
        volumes.as_array().into_iter().flatten().filter_map(claim).collect()
    }

    /// The part of the spec that says what the pod needs of its node.
    pub fn needs(&self) -> Value {
        let value = |raw: Option<&RawValue>| raw.map(raw_value);
        json!({
            "hostNetwork": self.host_network,
            "containers": value(self.containers),
            "initContainers": value(self.init_containers),
            "overhead": value(self.overhead),
            "resources": value(self.resources),
        })
    }

    /// The part of the spec that says on which nodes the pod can be, but for the one that it is bound to.
    pub fn wishes(&self) -> Value {
        let value = |raw: Option<&RawValue>| raw.map(raw_value);
        json!({
            "nodeSelector": value(self.node_selector),
            "affinity": value(self.affinity),
            "tolerations": value(self.tolerations),
        })
    }
}

impl<'a> PodStatus<'a> {
    /// Whether a container may wait: of most pods none does, and then nothing more is read of them.
    fn tells_of_waiting(&self) -> bool {
        let lists = [self.init_container_statuses, self.container_statuses];
        lists.iter().flatten().any(|raw| raw.get().contains("\"waiting\""))
    }

    /// How all containers stand, unread.
    pub fn statuses(&self) -> ContainerStatuses<'a> {
        ContainerStatuses { init: self.init_container_statuses, main: self.container_statuses }
    }

    /// How the containers stand.
    pub fn containers(&self) -> Vec<ContainerStatus<'_>> {
        statuses(self.container_statuses)
    }

    /// How the init containers stand.
    pub fn init_containers(&self) -> Vec<ContainerStatus<'_>> {
        statuses(self.init_container_statuses)
    }
}

/// How the containers of a pod stand, unread: only few pods are asked for it.
#[derive(Clone, Copy, Debug, Default)]
pub struct ContainerStatuses<'a> {
    init: Option<&'a RawValue>,
    main: Option<&'a RawValue>,
}

/// What the containers of a pod tell of its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContainerHistory {
    /// How often they were started again, all together.
    pub restarts: u32,
    /// One of them was ended last because memory ran out.
    pub was_oom_killed: bool,
    /// Since when the one runs that was started last, in Unix seconds.
    pub running_since_seconds: Option<i64>,
}

impl ContainerStatuses<'_> {
    /// Reads them.
    pub fn history(&self) -> ContainerHistory {
        let all = [statuses(self.init), statuses(self.main)].concat();
        let is_oom = |one: &ContainerStatus<'_>| one.ended_last().is_some_and(|end| end.reason == OOM_KILLED);
        ContainerHistory {
            restarts: all.iter().fold(0, |sum, one| sum.saturating_add(one.restart_count)),
            was_oom_killed: all.iter().any(is_oom),
            running_since_seconds: all.iter().filter_map(ContainerStatus::running_since_seconds).max(),
        }
    }
}

/// Why a container ended, in the kubelet's word, when memory ran out.
const OOM_KILLED: &str = "OOMKilled";

fn is_list_of_some(raw: Option<&RawValue>) -> bool {
    raw.map(raw_value).is_some_and(|value| value.as_array().is_some_and(|list| !list.is_empty()))
}

/// Reads a list of statuses. One that is not of the right form is taken as absent: the API server has validated it.
fn statuses(raw: Option<&RawValue>) -> Vec<ContainerStatus<'_>> {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
}
