//! Carries out the steps of a pod.

use std::time::Duration;

use everynode_cri::messages::{
    CgroupDriver, CreateContainerRequest, Mount, RemoveContainerRequest, RemovePodSandboxRequest,
    RunPodSandboxRequest, StartContainerRequest, StopContainerRequest, StopPodSandboxRequest,
};
use everynode_cri::{Call, CriError, ErrorKind, Feature};
use futures::future::join_all;

use crate::ask;
use crate::context::Context;
use crate::env;
use crate::events::PodEvent;
use crate::hosts;
use crate::images;
use crate::layout::log_path;
use crate::logs;
use crate::machine::{FailureReason, PodView, ProbeAnswer, Step, StepOutcome, StopCause, StopContainer};
use crate::objects::{self, References};
use crate::pod_spec::{Container, LifecycleHandler, Pod};
use crate::resize;
use crate::runtime::{
    ContainerPlan, QosClass, cgroup_parent, container_config, container_resources, sandbox_config,
};
use crate::volumes;

/// A call that makes or ends something.
const DEADLINE: Duration = Duration::from_secs(120);
/// A sandbox needs a network, which may take its time.
const SANDBOX_DEADLINE: Duration = Duration::from_secs(240);
/// How long a container may take to be gone once it was killed.
const KILL_SECONDS: u64 = 30;
/// The longest command after a start or before an end.
const HOOK_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);

/// Why something was not done.
pub(crate) struct Failure {
    reason: FailureReason,
    message: String,
}

pub(crate) type Done = Result<(), Failure>;

pub(crate) fn failed(reason: FailureReason) -> impl FnOnce(String) -> Failure {
    move |message| Failure { reason, message }
}

/// Does one thing for a pod, and says how it went.
pub async fn carry_out(context: &Context, pod: &Pod, view: &PodView, step: &Step) -> StepOutcome {
    let done = match step {
        Step::EnsureImage { container } => match pod.spec.container(container) {
            Some(spec) => return images::ensure(context, pod, spec).await,
            None => Ok(()),
        },
        Step::Prepare => prepare(context, pod, view).await,
        Step::RunSandbox { attempt } => run_sandbox(context, pod, *attempt).await,
        Step::CreateContainer { container, attempt, sandbox_id, image_ref, .. } => {
            create(context, pod, view, container, *attempt, sandbox_id, image_ref).await
        }
        Step::StartContainer { container, id } => start(context, pod, container, id).await,
        Step::PostStart { container, id } => post_start(context, pod, view, container, id).await,
        Step::Resize(containers) => resize::carry_out(context, pod, containers).await,
        Step::StopContainers(containers) => stop(context, pod, view, containers).await,
        Step::StopSandbox { id } => {
            let request = StopPodSandboxRequest { pod_sandbox_id: id.clone() };
            end(context, request, FailureReason::KillPodSandboxError).await
        }
        Step::RemoveContainer { id } => remove(context, pod, view, id).await,
        Step::RemoveSandbox { id } => {
            let request = RemovePodSandboxRequest { pod_sandbox_id: id.clone() };
            end(context, request, FailureReason::CleanUpError).await
        }
        Step::CleanUp => clean_up(context, pod).await,
    };
    match done {
        Ok(()) => StepOutcome::Done,
        Err(Failure { reason, message }) => {
            tell_failure(context, pod, step, reason, &message);
            StepOutcome::Failed { reason, message }
        }
    }
}

fn tell_failure(context: &Context, pod: &Pod, step: &Step, reason: FailureReason, message: &str) {
    let container = match step {
        Step::CreateContainer { container, .. }
        | Step::StartContainer { container, .. }
        | Step::PostStart { container, .. } => container,
        _ => "",
    };
    // The kubelet's events of containers that are not made have one word for all reasons.
    let word = match reason {
        FailureReason::CreateContainerConfigError
        | FailureReason::CreateContainerError
        | FailureReason::RunContainerError => "Failed",
        FailureReason::PostStartHookError => "FailedPostStartHook",
        FailureReason::KillContainerError | FailureReason::KillPodSandboxError => "FailedKillPod",
        other => other.name(),
    };
    tracing::warn!(pod = %pod.metadata.name, namespace = %pod.metadata.namespace, reason = reason.name(), message);
    context.events.tell(pod, PodEvent { container, is_warning: true, reason: word, message });
}

/// A call that ends something: what is not there has ended.
async fn end<C: Call>(context: &Context, request: C, reason: FailureReason) -> Done {
    match context.runtime.call(request, DEADLINE).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(reason)(error.to_string())),
    }
}

/// Makes the cgroup and the folders of a pod and fills its volumes. Done again it brings them up to date.
async fn prepare(context: &Context, pod: &Pod, view: &PodView) -> Done {
    resize::limit(context, pod).await.map_err(failed(FailureReason::FailedCreatePodContainer))?;
    fill_volumes(context, pod, view).await.map_err(failed(FailureReason::FailedMount))
}

/// Makes and fills the volumes of a pod.
///
/// # Errors
/// A sentence about what is missing, or what the system refused.
pub async fn fill_volumes(context: &Context, pod: &Pod, view: &PodView) -> Result<(), String> {
    let mut wanted = References::default();
    for volume in &pod.spec.volumes {
        let References { config_maps, secrets } = References::of_volume(&volume.source);
        wanted.config_maps.extend(config_maps);
        wanted.secrets.extend(secrets);
    }
    let said = |error: everynode_client::Error| error.to_string();
    let objects = objects::read(&context.recalled, &pod.metadata.namespace, &wanted).await.map_err(said)?;
    let tokens = context.tokens.of(&context.api, pod, context.now().millis).await.map_err(said)?;
    let around = context.around(&ips(view));
    let (layout, pod) = (context.layout.clone(), pod.clone());
    let version = context.now().wall_nanos.to_string();
    let filled = tokio::task::spawn_blocking(move || {
        let group = pod.spec.security_context.fs_group.and_then(|group| u32::try_from(group).ok());
        let folder = layout.pod(&pod.metadata.uid);
        std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        for volume in &pod.spec.volumes {
            let about = |error: String| format!("volume {:?}: {error}", volume.name);
            volumes::make_folder(&layout, &pod, volume).map_err(|error| about(error.to_string()))?;
            let from =
                volumes::Ingredients { pod: &pod, objects: &objects, tokens: &tokens, around: &around };
            let payload =
                volumes::payload(&volume.source, &from).map_err(|error| about(error.to_string()))?;
            if let Some(files) = payload {
                let path = volumes::path_of(&layout, &pod.metadata.uid, volume);
                volumes::write_atomically(&path, &files, group, &version)
                    .map_err(|error| about(error.to_string()))?;
            }
        }
        Ok(())
    });
    filled.await.unwrap_or_else(|error| Err(error.to_string()))
}

fn ips(view: &PodView) -> Vec<String> {
    view.sandbox().map(|sandbox| sandbox.ips.clone()).unwrap_or_default()
}

pub(crate) fn cgroup_of(context: &Context, pod: &Pod) -> String {
    let driver = context.abilities.cgroup_driver.unwrap_or(CgroupDriver::Cgroupfs);
    let qos = QosClass::parse(&pod.status.qos_class);
    cgroup_parent(&context.node.cgroup_root, qos, &pod.metadata.uid, driver)
}

async fn run_sandbox(context: &Context, pod: &Pod, attempt: u32) -> Done {
    let failed = |message: String| failed(FailureReason::FailedCreatePodSandBox)(message);
    let logs = context.layout.logs(pod);
    std::fs::create_dir_all(&logs).map_err(|error| failed(format!("{}: {error}", logs.display())))?;
    let (logs, cgroup) = (logs.to_string_lossy(), cgroup_of(context, pod));
    let config = sandbox_config(pod, attempt, &context.node.name, &logs, &cgroup, &context.names);
    let handler = pod.spec.runtime_class_name.clone().unwrap_or_default();
    let lacks = context.abilities.lacks(&handler, &config.features());
    if let Some(lacks) = list(&lacks) {
        return Err(failed(format!("the container runtime of this node does not support {lacks}")));
    }
    let request = RunPodSandboxRequest { config: Some(config), runtime_handler: handler };
    context.runtime.call(request, SANDBOX_DEADLINE).await.map_err(|error| failed(error.to_string()))?;
    Ok(())
}

fn list(features: &std::collections::BTreeSet<Feature>) -> Option<String> {
    let names: Vec<String> = features.iter().map(Feature::to_string).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

async fn create(
    context: &Context,
    pod: &Pod,
    view: &PodView,
    name: &str,
    attempt: u32,
    sandbox_id: &str,
    image_ref: &str,
) -> Done {
    let Some(container) = pod.spec.container(name) else { return Ok(()) };
    // Since the pod was prepared it may have been allotted something else. What is in the way is a container that ends.
    if let Err(message) = resize::limit(context, pod).await {
        tracing::debug!(pod = %pod.metadata.name, message, "the cgroup of the pod stays as it is");
    }
    let wrong = |message: String| failed(FailureReason::CreateContainerConfigError)(message);
    let refused = |error: CriError| failed(FailureReason::CreateContainerError)(error.to_string());
    let image = images::status(context, image_ref).await.map_err(refused)?.unwrap_or_default();
    let env = environment(context, pod, view, container).await.map_err(wrong)?;
    let mounts = mounts(context, pod, view, container, attempt, &env).await.map_err(wrong)?;
    let plan = ContainerPlan {
        attempt,
        image_ref: image_ref.to_owned(),
        image_user: images::user(&image),
        env,
        mounts,
        resources: container_resources(pod, container, context.node.memory_bytes),
        seccomp_folder: format!("{}/seccomp/", context.layout.root().display()),
    };
    let config = container_config(pod, container, &context.node.name, plan).map_err(|error| {
        wrong(format!(
            "{error} (pod: \"{}_{}\", container: {name})",
            pod.metadata.name, pod.metadata.namespace
        ))
    })?;
    let handler = pod.spec.runtime_class_name.clone().unwrap_or_default();
    if let Some(lacks) = list(&context.abilities.lacks(&handler, &config.features())) {
        return Err(wrong(format!("the container runtime of this node does not support {lacks}")));
    }
    let (logs, cgroup) = (context.layout.logs(pod), cgroup_of(context, pod));
    let sandbox = view.sandbox().map_or(0, |sandbox| sandbox.attempt);
    let sandbox =
        sandbox_config(pod, sandbox, &context.node.name, &logs.to_string_lossy(), &cgroup, &context.names);
    let request = CreateContainerRequest {
        pod_sandbox_id: sandbox_id.to_owned(),
        config: Some(config),
        sandbox_config: Some(sandbox),
    };
    context.runtime.call(request, DEADLINE).await.map_err(refused)?;
    tell(context, pod, name, "Created", "Container created");
    Ok(())
}

async fn environment(
    context: &Context,
    pod: &Pod,
    view: &PodView,
    container: &Container,
) -> Result<env::Env, String> {
    let wanted = References::of_container(container);
    let objects = objects::read(&context.recalled, &pod.metadata.namespace, &wanted).await;
    let objects = objects.map_err(|error| error.to_string())?;
    // A static pod runs without an API, and knows nothing of its services.
    let services = match pod.is_static() {
        true => env::Env::default(),
        false => {
            objects::service_variables(&context.recalled, pod).await.map_err(|error| error.to_string())?
        }
    };
    let around = context.around(&ips(view));
    env::environment(pod, container, &objects, &services, &around).map_err(|error| error.to_string())
}

/// What a container sees of the volumes, the file for its last words, and a hosts file where it wants one.
async fn mounts(
    context: &Context,
    pod: &Pod,
    view: &PodView,
    container: &Container,
    attempt: u32,
    env: &env::Env,
) -> Result<Vec<Mount>, String> {
    let (layout, pod, container, env) = (context.layout.clone(), pod.clone(), container.clone(), env.clone());
    let ips = view.sandbox().map(|sandbox| sandbox.ips.clone()).unwrap_or_default();
    let domain = context.names.cluster_domain.clone();
    let made = tokio::task::spawn_blocking(move || {
        let mut mounts =
            volumes::mounts(&layout, &pod, &container, &env).map_err(|error| error.to_string())?;
        let words = layout.last_words(&pod.metadata.uid, &container.name, attempt);
        volumes::make_file(&words, 0o666).map_err(|error| error.to_string())?;
        let path = match container.termination_message_path.as_str() {
            "" => "/dev/termination-log",
            path => path,
        };
        mounts.push(Mount {
            container_path: path.to_owned(),
            host_path: words.to_string_lossy().into_owned(),
            ..Mount::default()
        });
        let has_own = mounts.iter().any(|mount| mount.container_path == hosts::PATH);
        let of_node = || std::fs::read_to_string(hosts::PATH).unwrap_or_default();
        if let Some(content) = hosts::content(&pod, of_node, &ips, &domain).filter(|_| !has_own) {
            let file = layout.hosts(&pod.metadata.uid);
            std::fs::write(&file, content).map_err(|error| format!("{}: {error}", file.display()))?;
            mounts.push(Mount {
                container_path: hosts::PATH.to_owned(),
                host_path: file.to_string_lossy().into_owned(),
                ..Mount::default()
            });
        }
        Ok(mounts)
    });
    made.await.unwrap_or_else(|error| Err(error.to_string()))
}

async fn start(context: &Context, pod: &Pod, name: &str, id: &str) -> Done {
    let request = StartContainerRequest { container_id: id.to_owned() };
    let refused = |error: CriError| failed(FailureReason::RunContainerError)(error.to_string());
    context.runtime.call(request, DEADLINE).await.map_err(refused)?;
    tell(context, pod, name, "Started", "Container started");
    Ok(())
}

fn tell(context: &Context, pod: &Pod, container: &str, reason: &str, message: &str) {
    context.events.tell(pod, PodEvent { container, is_warning: false, reason, message });
}

async fn post_start(context: &Context, pod: &Pod, view: &PodView, name: &str, id: &str) -> Done {
    let Some(container) = pod.spec.container(name) else { return Ok(()) };
    let Some(handler) = &container.lifecycle.post_start else { return Ok(()) };
    hook(context, handler, container, view, id, HOOK_LIMIT)
        .await
        .map_err(failed(FailureReason::PostStartHookError))
}

/// Does what is to be done around a container's life.
async fn hook(
    context: &Context,
    handler: &LifecycleHandler,
    container: &Container,
    view: &PodView,
    id: &str,
    limit: Duration,
) -> Result<(), String> {
    if let Some(sleep) = &handler.sleep {
        let seconds = u64::from(crate::pod_spec::bounded_seconds(sleep.seconds));
        tokio::time::sleep(Duration::from_secs(seconds).min(limit)).await;
        return Ok(());
    }
    let asked = async {
        if let Some(exec) = &handler.exec {
            return ask::command(context, id, &exec.command, limit).await;
        }
        match &handler.http_get {
            Some(get) => ask::request(get, container, &context.address(view)).await,
            None => (ProbeAnswer::Success, String::new()),
        }
    };
    match tokio::time::timeout(limit, asked).await {
        Ok((ProbeAnswer::Success, _)) => Ok(()),
        Ok((_, message)) => Err(message),
        Err(_) => Err(format!("not done within {} s", limit.as_secs())),
    }
}

/// Ends containers, all at once.
async fn stop(context: &Context, pod: &Pod, view: &PodView, containers: &[StopContainer]) -> Done {
    let each = containers.iter().map(|one| stop_one(context, pod, view, one));
    join_all(each).await.into_iter().collect()
}

async fn stop_one(context: &Context, pod: &Pod, view: &PodView, one: &StopContainer) -> Done {
    let left = || Duration::from_millis(one.deadline_millis.saturating_sub(context.now().millis));
    let why = match one.cause {
        StopCause::PodStops | StopCause::SandboxGone => format!("Stopping container {}", one.container),
        StopCause::Probe(kind) => {
            format!(
                "Container {} failed {} probe, will be restarted",
                one.container,
                kind.name().to_lowercase()
            )
        }
        StopCause::PostStartFailed => "FailedPostStartHook".to_owned(),
        StopCause::ImageChanged => {
            format!("Container {} definition changed, will be restarted", one.container)
        }
        StopCause::Resized => format!("Container {} resize requires restart", one.container),
    };
    tell(context, pod, &one.container, "Killing", &why);
    let container = pod.spec.container(&one.container);
    if let Some(container) = container
        && let Some(handler) = &container.lifecycle.pre_stop
        && !left().is_zero()
        && let Err(message) = hook(context, handler, container, view, &one.id, left()).await
    {
        let reason = "FailedPreStopHook";
        context
            .events
            .tell(pod, PodEvent { container: &one.container, is_warning: true, reason, message: &message });
    }
    // Whole seconds are what the runtime takes; whoever has some time left has one.
    let seconds = left().as_millis().div_ceil(1_000);
    let seconds = u64::try_from(seconds).unwrap_or(u64::MAX);
    let request = StopContainerRequest {
        container_id: one.id.clone(),
        timeout: i64::try_from(seconds).unwrap_or(i64::MAX),
    };
    let deadline = Duration::from_secs(seconds.saturating_add(KILL_SECONDS));
    match context.runtime.call(request, deadline).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(FailureReason::KillContainerError)(error.to_string())),
    }
}

/// Removes a container, and its log.
async fn remove(context: &Context, pod: &Pod, view: &PodView, id: &str) -> Done {
    let request = RemoveContainerRequest { container_id: id.to_owned() };
    end(context, request, FailureReason::CleanUpError).await?;
    if let Some(one) = view.containers().iter().find(|one| one.id == id) {
        let log = context.layout.logs(pod).join(log_path(&one.name, one.attempt));
        // What stays goes with the pod.
        let _ = tokio::task::spawn_blocking(move || logs::remove(&log)).await;
    }
    Ok(())
}

/// Takes away what the pod has on the node.
async fn clean_up(context: &Context, pod: &Pod) -> Done {
    context.tokens.forget(&pod.metadata.uid);
    let (layout, uid, cgroup) = (context.layout.clone(), pod.metadata.uid.clone(), cgroup_of(context, pod));
    let cgroups = context.cgroups.clone();
    let removed = tokio::task::spawn_blocking(move || {
        cgroups.remove(&cgroup);
        volumes::remove(&layout, &uid).map_err(|error| error.to_string())
    });
    let removed = removed.await.unwrap_or_else(|error| Err(error.to_string()));
    removed.map_err(failed(FailureReason::CleanUpError))
}
