//! The calls: which request goes where, and what its answer is.

use crate::messages::*;

/// A request that [`Client::call`](crate::Client::call) sends.
pub trait Call: prost::Message + Default + 'static {
    /// What the runtime answers.
    type Answer: prost::Message + Default + 'static;
    /// Name of the call, such as `RunPodSandbox`.
    const NAME: &'static str;
    /// Path of the HTTP request.
    const PATH: &'static str;
}

/// Rows of a service: name of a call, its request, its answer.
macro_rules! calls {
    ($service:literal $($name:ident: $request:ty => $answer:ty,)*) => {
        $(impl Call for $request {
            type Answer = $answer;
            const NAME: &'static str = stringify!($name);
            const PATH: &'static str = concat!("/", $service, "/", stringify!($name));
        })*
    };
}

calls! { "runtime.v1.RuntimeService"
    Version: VersionRequest => VersionResponse,
    Status: StatusRequest => StatusResponse,
    RuntimeConfig: RuntimeConfigRequest => RuntimeConfigResponse,
    UpdateRuntimeConfig: UpdateRuntimeConfigRequest => UpdateRuntimeConfigResponse,
    RunPodSandbox: RunPodSandboxRequest => RunPodSandboxResponse,
    StopPodSandbox: StopPodSandboxRequest => StopPodSandboxResponse,
    RemovePodSandbox: RemovePodSandboxRequest => RemovePodSandboxResponse,
    PodSandboxStatus: PodSandboxStatusRequest => PodSandboxStatusResponse,
    ListPodSandbox: ListPodSandboxRequest => ListPodSandboxResponse,
    CreateContainer: CreateContainerRequest => CreateContainerResponse,
    StartContainer: StartContainerRequest => StartContainerResponse,
    StopContainer: StopContainerRequest => StopContainerResponse,
    RemoveContainer: RemoveContainerRequest => RemoveContainerResponse,
    ListContainers: ListContainersRequest => ListContainersResponse,
    ContainerStatus: ContainerStatusRequest => ContainerStatusResponse,
    UpdateContainerResources: UpdateContainerResourcesRequest => UpdateContainerResourcesResponse,
    ReopenContainerLog: ReopenContainerLogRequest => ReopenContainerLogResponse,
    ExecSync: ExecSyncRequest => ExecSyncResponse,
    Exec: ExecRequest => ExecResponse,
    Attach: AttachRequest => AttachResponse,
    PortForward: PortForwardRequest => PortForwardResponse,
    ContainerStats: ContainerStatsRequest => ContainerStatsResponse,
    ListContainerStats: ListContainerStatsRequest => ListContainerStatsResponse,
    PodSandboxStats: PodSandboxStatsRequest => PodSandboxStatsResponse,
    ListPodSandboxStats: ListPodSandboxStatsRequest => ListPodSandboxStatsResponse,
}

calls! { "runtime.v1.ImageService"
    ListImages: ListImagesRequest => ListImagesResponse,
    ImageStatus: ImageStatusRequest => ImageStatusResponse,
    PullImage: PullImageRequest => PullImageResponse,
    RemoveImage: RemoveImageRequest => RemoveImageResponse,
    ImageFsInfo: ImageFsInfoRequest => ImageFsInfoResponse,
}
