//! Which function of the state serves which call.

use http::{Request, Response};
use hyper::body::Incoming;
use tonic::Status;
use tonic::body::Body;

use super::state::State;
use super::stream::Visit;
use crate::calls::Call;
use crate::messages::*;

/// Serves a request by the row whose call has its path.
macro_rules! routes {
    ($visit:ident, $request:ident, $($call:ty => $handle:expr,)*) => {
        match $request.uri().path() {
            $(<$call>::PATH => $visit.answer::<$call, _>($request, $handle).await,)*
            path => Status::unimplemented(format!("unknown method {path}")).into_http(),
        }
    };
}

impl Visit {
    pub(super) async fn route(&self, request: Request<Incoming>) -> Response<Body> {
        routes! { self, request,
            VersionRequest => State::version,
            StatusRequest => State::status,
            RuntimeConfigRequest => State::runtime_config,
            UpdateRuntimeConfigRequest => |_, _| Ok(UpdateRuntimeConfigResponse {}),
            RunPodSandboxRequest => State::run_pod_sandbox,
            StopPodSandboxRequest => State::stop_pod_sandbox,
            RemovePodSandboxRequest => State::remove_pod_sandbox,
            PodSandboxStatusRequest => State::pod_sandbox_status,
            ListPodSandboxRequest => State::list_pod_sandbox,
            CreateContainerRequest => State::create_container,
            StartContainerRequest => State::start_container,
            StopContainerRequest => State::stop_container,
            RemoveContainerRequest => State::remove_container,
            ListContainersRequest => State::list_containers,
            ContainerStatusRequest => State::container_status,
            UpdateContainerResourcesRequest => State::update_container_resources,
            ReopenContainerLogRequest => State::reopen_container_log,
            ExecSyncRequest => State::exec_sync,
            ExecRequest => State::exec,
            AttachRequest => State::attach,
            PortForwardRequest => State::port_forward,
            ContainerStatsRequest => State::container_stats,
            ListContainerStatsRequest => State::list_container_stats,
            PodSandboxStatsRequest => State::pod_sandbox_stats,
            ListPodSandboxStatsRequest => State::list_pod_sandbox_stats,
            ListImagesRequest => State::list_images,
            ImageStatusRequest => State::image_status,
            PullImageRequest => State::pull_image,
            RemoveImageRequest => State::remove_image,
            ImageFsInfoRequest => State::image_fs_info,
        }
    }
}
