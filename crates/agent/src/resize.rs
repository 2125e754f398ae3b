//! Carries out what the node allots to pods: their cgroups, and containers that run.

use std::time::Duration;

use everynode_cri::messages::{ContainerStatsRequest, UpdateContainerResourcesRequest};
use everynode_model::Value;
use serde_json::json;

use crate::context::Context;
use crate::events::PodEvent;
use crate::machine::{FailureReason, Pending, ResizeContainer};
use crate::pod_spec::{Container, Pod, Resources};
use crate::runtime::{Cgroups, PodLimits, QosClass, cgroup_of_class, container_resources, shares};
use crate::steps::{Done, cgroup_of, failed};

/// How long a call may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// Makes the cgroup of a pod, and has it and its class take what was allotted.
///
/// # Errors
/// A sentence about what the system refused.
pub async fn limit(context: &Context, pod: &Pod) -> Result<(), String> {
    let limits = PodLimits::of(pod);
    let qos = QosClass::parse(&pod.status.qos_class);
    let class = cgroup_of_class(&context.node.cgroup_root, qos);
    let class_shares = match qos {
        QosClass::Guaranteed => None,
        QosClass::Burstable => Some(shares(context.allotments.cpu_millis(qos))),
        QosClass::BestEffort => Some(shares(0)),
    };
    with_cgroups(context, pod, move |cgroups, path| {
        cgroups.set(path, &limits)?;
        // Systemd's classes are slices, which nobody has made by this name.
        let is_slice = path.ends_with(".slice");
        class_shares.filter(|_| !is_slice).map_or(Ok(()), |shares| cgroups.set_shares(&class, shares))
    })
    .await
}

async fn with_cgroups(
    context: &Context,
    pod: &Pod,
    work: impl FnOnce(&Cgroups, &str) -> Result<(), String> + Send + 'static,
) -> Result<(), String> {
    let (cgroups, path) = (context.cgroups.clone(), cgroup_of(context, pod));
    let done = tokio::task::spawn_blocking(move || work(&cgroups, &path));
    done.await.unwrap_or_else(|error| Err(error.to_string()))
}

/// Gives containers that run what was allotted to them. The pod as a whole gets more before they do, and less after.
pub async fn carry_out(context: &Context, pod: &Pod, containers: &[ResizeContainer]) -> Done {
    let failed = |message: String| failed(FailureReason::ResizeError)(message);
    for one in containers {
        check_memory(context, one).await.map_err(failed)?;
    }
    let limits = PodLimits::of(pod);
    with_cgroups(context, pod, move |cgroups, path| cgroups.raise(path, &limits)).await.map_err(failed)?;
    for one in containers {
        let Some(container) = pod.spec.container(&one.container) else { continue };
        let container = Container { resources: one.to.clone(), ..container.clone() };
        let request = UpdateContainerResourcesRequest {
            container_id: one.id.clone(),
            linux: Some(container_resources(pod, &container, context.node.memory_bytes)),
            ..UpdateContainerResourcesRequest::default()
        };
        context.runtime.call(request, DEADLINE).await.map_err(|error| failed(error.to_string()))?;
    }
    limit(context, pod).await.map_err(failed)
}

/// A container does not get less memory than it uses: the kernel would kill it.
async fn check_memory(context: &Context, one: &ResizeContainer) -> Result<(), String> {
    let limit = |resources: &Resources| resources.limits.get("memory").map(|limit| limit.value());
    let Some(wanted) = limit(&one.to) else { return Ok(()) };
    if one.from.as_ref().and_then(limit).is_some_and(|before| before <= wanted) {
        return Ok(());
    }
    let request = ContainerStatsRequest { container_id: one.id.clone() };
    let answer = context.runtime.call(request, DEADLINE).await.map_err(|error| error.to_string())?;
    let memory = answer.stats.and_then(|stats| stats.memory).and_then(|memory| memory.working_set_bytes);
    let used = memory.map_or(0, |used| used.value);
    if i64::try_from(used).is_ok_and(|used| used < wanted) {
        return Ok(());
    }
    Err(format!(
        "cannot decrease memory limits: attempting to set container {:?} memory limit ({wanted}) below current usage ({used})",
        one.container
    ))
}

/// Tells of what the node says to what a pod asks for.
pub fn tell_answer(context: &Context, asked: &Pod, answer: &Result<(), Pending>) {
    let (reason, summary) = match answer {
        Ok(()) => ("ResizeStarted", format!("Pod resize started: {}", summary(asked, ""))),
        Err(pending) => (
            if pending.is_infeasible { "ResizeInfeasible" } else { "ResizeDeferred" },
            format!("Pod resize {}: {}", pending.reason(), summary(asked, &pending.message)),
        ),
    };
    let event = PodEvent { container: "", is_warning: answer.is_err(), reason, message: &summary };
    context.events.tell(asked, event);
}

/// Tells that containers have what was allotted.
pub fn tell_done(context: &Context, pod: &Pod) {
    let message = format!("Pod resize completed: {}", summary(pod, ""));
    let event = PodEvent { container: "", is_warning: false, reason: "ResizeCompleted", message: &message };
    context.events.tell(pod, event);
}

/// What a pod asks for, for programs that read it in events.
fn summary(pod: &Pod, error: &str) -> Value {
    let list = |containers: &[Container]| -> Value {
        let one = |one: &Container| json!({ "name": one.name, "resources": one.resources });
        containers.iter().map(one).collect()
    };
    let mut summary = serde_json::Map::new();
    if !pod.spec.init_containers.is_empty() {
        summary.insert("initContainers".to_owned(), list(&pod.spec.init_containers));
    }
    summary.insert("containers".to_owned(), list(&pod.spec.containers));
    summary.insert("generation".to_owned(), pod.metadata.generation.into());
    if !error.is_empty() {
        summary.insert("error".to_owned(), error.into());
    }
    Value::Object(summary)
}
