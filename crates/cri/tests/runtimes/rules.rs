//! The rules of the interface that an agent rests on. Each is held against a runtime in memory and a containerd.

use std::collections::BTreeMap;

use everynode_cri::messages::*;
use everynode_cri::{CriError, ErrorKind, Fate};

use crate::stage::{Pod, Program, Stage};

/// The refusal of a runtime.
fn refused<T>(result: Result<T, CriError>) -> ErrorKind {
    let error = result.map(|_| ()).unwrap_err();
    assert_eq!(error.fate, Fate::Answered, "{error}");
    error.kind
}

/// What is not there has stopped: some say it by success, containerd 1.6 by an error.
fn is_gone<T>(result: Result<T, CriError>) {
    let kind = result.map(|_| ()).map_err(|error| error.kind);
    assert!(matches!(kind, Ok(()) | Err(ErrorKind::NotFound)), "{kind:?}");
}

pub async fn all(stage: &Stage) {
    sandboxes_have_names_of_their_own(stage).await;
    a_stopped_sandbox_has_stopped_its_containers(stage).await;
    containers_need_a_ready_sandbox_an_image_and_a_name(stage).await;
    a_container_lives_once(stage).await;
    the_end_of_a_container_is_told(stage).await;
    programs_run_in_running_containers(stage).await;
    lists_are_filtered(stage).await;
    figures_are_of_those_that_run(stage).await;
    what_is_not_there_is_not_found_or_gone_already(stage).await;
    images_are_found_by_name_and_id(stage).await;
    runtimes_ignore_what_they_do_not_know(stage).await;
}

async fn sandbox_state(stage: &Stage, id: &str) -> Result<PodSandboxState, CriError> {
    let request = PodSandboxStatusRequest { pod_sandbox_id: id.to_owned(), verbose: false };
    stage.call(request).await.map(|answer| answer.status.unwrap().state())
}

async fn sandboxes_have_names_of_their_own(stage: &Stage) {
    let pod = stage.run_pod("named").await;
    assert_eq!(sandbox_state(stage, &pod.id).await.unwrap(), PodSandboxState::Ready);
    let request = |attempt| RunPodSandboxRequest {
        config: Some(stage.pod_config("named", attempt)),
        ..Default::default()
    };
    assert_eq!(refused(stage.call(request(0)).await), ErrorKind::Failed, "the name is taken");
    let second = stage.call(request(1)).await.unwrap();
    assert_ne!(second.pod_sandbox_id, pod.id);
    stage.remove_pod(Pod { id: second.pod_sandbox_id, config: stage.pod_config("named", 1) }).await;
    let id = pod.id.clone();
    stage.remove_pod(pod).await;
    assert_eq!(refused(sandbox_state(stage, &id).await), ErrorKind::NotFound);
    is_gone(stage.call(StopPodSandboxRequest { pod_sandbox_id: id.clone() }).await);
    stage.call(RemovePodSandboxRequest { pod_sandbox_id: id }).await.unwrap();
    let again = stage.run_pod("named").await;
    stage.remove_pod(again).await;
}

async fn a_stopped_sandbox_has_stopped_its_containers(stage: &Stage) {
    let pod = stage.run_pod("stopped").await;
    let id = stage.start(&pod, "waits", Program::Waits).await;
    let request = StopPodSandboxRequest { pod_sandbox_id: pod.id.clone() };
    stage.call(request.clone()).await.unwrap();
    stage.call(request).await.unwrap();
    assert_eq!(sandbox_state(stage, &pod.id).await.unwrap(), PodSandboxState::NotReady);
    assert_eq!(stage.stopped(&id).await.exit_code, 137);
    let late = stage.create(&pod, stage.container_config("late", Program::Waits)).await;
    let kind = refused(late);
    // The sandbox is there, yet its process is not: containerd 1.6 means that.
    assert!(matches!(kind, ErrorKind::NotFound | ErrorKind::Failed), "{kind:?}");
    stage.remove_pod(pod).await;
    assert_eq!(refused(stage.status(&id).await), ErrorKind::NotFound, "it went with its sandbox");
}

async fn containers_need_a_ready_sandbox_an_image_and_a_name(stage: &Stage) {
    let pod = stage.run_pod("needs").await;
    let config = stage.container_config("one", Program::Waits);
    let id = stage.create(&pod, config.clone()).await.unwrap();
    assert_eq!(refused(stage.create(&pod, config.clone()).await), ErrorKind::Failed, "the name is taken");
    let metadata = Some(ContainerMetadata { name: "one".to_owned(), attempt: 1 });
    let second = ContainerConfig { metadata, ..config.clone() };
    assert_ne!(stage.create(&pod, second).await.unwrap(), id);
    let image = Some(ImageSpec { image: "everynode.test/none:1".to_owned(), ..Default::default() });
    let metadata = Some(ContainerMetadata { name: "two".to_owned(), attempt: 0 });
    let without = ContainerConfig { image, metadata, ..config.clone() };
    assert_eq!(refused(stage.create(&pod, without).await), ErrorKind::NotFound, "its image is not here");
    let nowhere = Pod { id: "none".to_owned(), config: pod.config.clone() };
    assert_eq!(refused(stage.create(&nowhere, config).await), ErrorKind::NotFound);
    stage.remove_pod(pod).await;
}

async fn a_container_lives_once(stage: &Stage) {
    let pod = stage.run_pod("lives").await;
    let created = stage.create(&pod, stage.container_config("created", Program::Waits)).await.unwrap();
    let status = stage.status(&created).await.unwrap();
    assert_eq!((status.state(), status.started_at, status.finished_at), (ContainerState::Created, 0, 0));
    assert!(status.created_at > 0);

    let id = stage.start(&pod, "waits", Program::Waits).await;
    let status = stage.status(&id).await.unwrap();
    assert_eq!((status.state(), status.finished_at), (ContainerState::Running, 0));
    assert!(status.started_at >= status.created_at);
    assert!(status.log_path.ends_with("/lives/waits.log"), "{}", status.log_path);
    assert_eq!(status.labels["container"], "waits");
    let images = stage.call(ListImagesRequest::default()).await.unwrap().images;
    let listed = stage.call(ListContainersRequest::default()).await.unwrap().containers;
    let image_ref = &listed.iter().find(|one| one.id == id).unwrap().image_ref;
    assert!(images.iter().any(|image| image.id == *image_ref), "who uses an image is told: {image_ref}");
    let start = StartContainerRequest { container_id: id.clone() };
    assert_eq!(refused(stage.call(start.clone()).await), ErrorKind::Failed, "it runs");

    stage.stop(&id, 30).await.unwrap();
    let status = stage.status(&id).await.unwrap();
    assert_eq!(
        (status.state(), status.exit_code, status.reason.as_str()),
        (ContainerState::Exited, 7, "Error")
    );
    assert!(status.finished_at >= status.started_at);
    stage.stop(&id, 30).await.unwrap();
    assert_eq!(refused(stage.call(start).await), ErrorKind::Failed, "it ran");
    assert_eq!(stage.status(&id).await.unwrap(), status, "nothing changes any more");

    let remove = RemoveContainerRequest { container_id: id.clone() };
    stage.call(remove.clone()).await.unwrap();
    stage.call(remove).await.unwrap();
    assert_eq!(refused(stage.status(&id).await), ErrorKind::NotFound);
    let running = stage.start(&pod, "removed", Program::Waits).await;
    stage.call(RemoveContainerRequest { container_id: running.clone() }).await.unwrap();
    assert_eq!(refused(stage.status(&running).await), ErrorKind::NotFound, "running ones go too");
    stage.remove_pod(pod).await;
}

async fn the_end_of_a_container_is_told(stage: &Stage) {
    let pod = stage.run_pod("ends").await;
    for (name, code, reason) in [("well", 0, "Completed"), ("badly", 3, "Error")] {
        let id = stage.start(&pod, name, Program::Exits(code)).await;
        let status = stage.stopped(&id).await;
        assert_eq!((status.exit_code, status.reason.as_str()), (code, reason));
    }
    let id = stage.start(&pod, "stubborn", Program::IgnoresTerm).await;
    stage.stop(&id, 1).await.unwrap();
    let status = stage.status(&id).await.unwrap();
    assert_eq!((status.state(), status.exit_code), (ContainerState::Exited, 137));
    stage.remove_pod(pod).await;
}

async fn programs_run_in_running_containers(stage: &Stage) {
    let pod = stage.run_pod("execs").await;
    let id = stage.start(&pod, "waits", Program::Waits).await;
    let exec = |container_id: &str| ExecSyncRequest {
        container_id: container_id.to_owned(),
        cmd: vec!["/bin/sh".to_owned(), "-c".to_owned(), "exit 0".to_owned()],
        timeout: 10,
    };
    assert_eq!(stage.call(exec(&id)).await.unwrap().exit_code, 0);
    let attach = AttachRequest { container_id: id.clone(), stdout: true, ..Default::default() };
    assert!(stage.call(attach).await.unwrap().url.starts_with("http://127.0.0.1:"));
    let forward = PortForwardRequest { pod_sandbox_id: pod.id.clone(), port: vec![80] };
    assert!(stage.call(forward).await.unwrap().url.starts_with("http://127.0.0.1:"));
    stage.stop(&id, 30).await.unwrap();
    assert_eq!(refused(stage.call(exec(&id)).await), ErrorKind::Failed);
    assert_eq!(refused(stage.call(exec("none")).await), ErrorKind::NotFound);
    let reopen = ReopenContainerLogRequest { container_id: id };
    assert_eq!(refused(stage.call(reopen).await), ErrorKind::Failed);
    stage.remove_pod(pod).await;
}

async fn lists_are_filtered(stage: &Stage) {
    let (one, two) = (stage.run_pod("list-one").await, stage.run_pod("list-two").await);
    let waits = stage.start(&one, "waits", Program::Waits).await;
    let other = stage.start(&two, "exits", Program::Exits(0)).await;
    stage.stopped(&other).await;
    let check = async |filter: ContainerFilter, expected: &[&String]| {
        let request = ListContainersRequest { filter: Some(filter.clone()) };
        let found = stage.call(request).await.unwrap().containers;
        let mut found: Vec<String> = found.into_iter().map(|container| container.id).collect();
        let mut expected: Vec<String> = expected.iter().map(|id| (*id).clone()).collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{filter:?}");
    };
    let state = |state: ContainerState| Some(ContainerStateValue { state: state.into() });
    let labels = |name: &str| BTreeMap::from([("container".to_owned(), name.to_owned())]);
    let any = ContainerFilter::default;
    check(any(), &[&waits, &other]).await;
    check(ContainerFilter { pod_sandbox_id: two.id.clone(), ..any() }, &[&other]).await;
    check(ContainerFilter { state: state(ContainerState::Running), ..any() }, &[&waits]).await;
    check(ContainerFilter { state: state(ContainerState::Exited), ..any() }, &[&other]).await;
    check(ContainerFilter { label_selector: labels("waits"), ..any() }, &[&waits]).await;
    check(ContainerFilter { label_selector: labels("none"), ..any() }, &[]).await;
    check(ContainerFilter { id: waits.clone(), label_selector: labels("exits"), ..any() }, &[]).await;

    let label_selector = BTreeMap::from([("pod".to_owned(), "list-two".to_owned())]);
    let filter = Some(PodSandboxFilter { label_selector, ..Default::default() });
    let found = stage.call(ListPodSandboxRequest { filter }).await.unwrap().items;
    assert_eq!(found.iter().map(|item| &item.id).collect::<Vec<_>>(), [&two.id]);
    assert_eq!(found[0].metadata, two.config.metadata);
    stage.remove_pod(one).await;
    stage.remove_pod(two).await;
}

async fn figures_are_of_those_that_run(stage: &Stage) {
    let pod = stage.run_pod("figures").await;
    let runs = stage.start(&pod, "waits", Program::Waits).await;
    let created = stage.create(&pod, stage.container_config("created", Program::Waits)).await.unwrap();
    let exited = stage.start(&pod, "exits", Program::Exits(0)).await;
    stage.stopped(&exited).await;
    let filter = ContainerStatsFilter { pod_sandbox_id: pod.id.clone(), ..Default::default() };
    let request = ListContainerStatsRequest { filter: Some(filter) };
    let stats = stage.call(request).await.unwrap().stats;
    let figures = |id: &str| {
        let is_its = |one: &&ContainerStats| one.attributes.as_ref().is_some_and(|its| its.id == id);
        stats.iter().find(is_its).map(|one| (one.cpu.is_some(), one.memory.is_some()))
    };
    assert_eq!(figures(&runs), Some((true, true)));
    for id in [created, exited] {
        assert!(matches!(figures(&id), None | Some((false, false))), "{:?}", figures(&id));
    }
    stage.remove_pod(pod).await;
}

async fn what_is_not_there_is_not_found_or_gone_already(stage: &Stage) {
    let id = || "none".to_owned();
    let stats = stage.call(ContainerStatsRequest { container_id: id() }).await;
    assert_eq!(refused(stats), ErrorKind::NotFound);
    let start = stage.call(StartContainerRequest { container_id: id() }).await;
    assert_eq!(refused(start), ErrorKind::NotFound);
    let update = UpdateContainerResourcesRequest { container_id: id(), ..Default::default() };
    assert_eq!(refused(stage.call(update).await), ErrorKind::NotFound);
    stage.call(RemoveContainerRequest { container_id: id() }).await.unwrap();
    stage.call(RemovePodSandboxRequest { pod_sandbox_id: id() }).await.unwrap();
    is_gone(stage.call(StopPodSandboxRequest { pod_sandbox_id: id() }).await);
    is_gone(stage.stop("none", 1).await);
}

async fn images_are_found_by_name_and_id(stage: &Stage) {
    let spec = |image: &str| Some(ImageSpec { image: image.to_owned(), ..Default::default() });
    let status = async |image: &str| {
        let request = ImageStatusRequest { image: spec(image), verbose: false };
        stage.call(request).await.unwrap().image
    };
    let found = status(crate::image::IMAGE).await.unwrap();
    assert!(found.id.starts_with("sha256:") && found.repo_tags.contains(&crate::image::IMAGE.to_owned()));
    assert_eq!(status(&found.id).await.unwrap().id, found.id);
    let none = "everynode.test/none:1";
    assert_eq!(status(none).await, None);
    stage.call(RemoveImageRequest { image: spec(none) }).await.unwrap();
    let all = stage.call(ListImagesRequest::default()).await.unwrap().images;
    assert!(all.iter().any(|image| image.id == found.id));
    assert!(!stage.call(ImageFsInfoRequest::default()).await.unwrap().image_filesystems.is_empty());
}

/// What an agent would miss that did not compare.
async fn runtimes_ignore_what_they_do_not_know(stage: &Stage) {
    let runtime = everynode_cri::Runtime::ask(&stage.client, crate::containerd::LIMIT).await.unwrap();
    let is_old = runtime.cgroup_driver.is_none();
    let pod = stage.run_pod("ignores").await;
    let image = Some(ImageSpec { image: crate::image::IMAGE.to_owned(), ..Default::default() });
    let asked = ContainerConfig {
        stop_signal: Signal::Sigusr1.into(),
        ..stage.container_config("signal", Program::Waits)
    };
    let id = stage.create(&pod, asked.clone()).await.unwrap();
    let ignored = stage.status(&id).await.unwrap().ignored(&asked);
    if is_old {
        assert_eq!(ignored, asked.features(), "it was made as if nothing had been asked for");
    }
    let mount = Mount { container_path: "/image".to_owned(), image, ..Default::default() };
    let asked = ContainerConfig { mounts: vec![mount], ..stage.container_config("image", Program::Waits) };
    // Without the image it is a mount of nothing, which some refuse.
    if let Ok(id) = stage.create(&pod, asked.clone()).await {
        let ignored = stage.status(&id).await.unwrap().ignored(&asked);
        assert_eq!(!ignored.is_empty(), is_old);
    }
    stage.remove_pod(pod).await;
}
