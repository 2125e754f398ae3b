//! Programs in containers, streams and logs.

use std::time::Duration;

use tokio::time::Instant;
use tonic::Status;

use super::{Container, Run, State};
use crate::messages::*;
use crate::testing::behaviour::Exec;
use crate::testing::stream::Reply;

impl State {
    /// A container that runs.
    fn running(&self, id: &str) -> Result<&Container, Status> {
        let container = self.container(id)?;
        match container.state(Instant::now()) {
            ContainerState::Running => Ok(container),
            state => Err(Status::unknown(format!("the container is {state:?}"))),
        }
    }

    pub(in crate::testing) fn exec_sync(&mut self, request: ExecSyncRequest) -> Reply<ExecSyncResponse> {
        let Exec { takes, answer } = match self.running(&request.container_id).map(|container| &container.run)
        {
            Ok(Run::Running { behaviour, .. }) => behaviour.exec.clone(),
            Ok(_) => Exec::default(),
            Err(status) => return Err(status).into(),
        };
        let timeout = u64::try_from(request.timeout).ok().filter(|seconds| *seconds > 0);
        match timeout.map(Duration::from_secs).filter(|timeout| takes > *timeout) {
            Some(timeout) => {
                let late = Status::deadline_exceeded(format!("the program runs for more than {timeout:?}"));
                Reply { answer: Err(late), at: Some(Instant::now() + timeout) }
            }
            None => Reply { answer: Ok(answer), at: Some(Instant::now() + takes) },
        }
    }

    pub(in crate::testing) fn exec(&mut self, request: ExecRequest) -> Result<ExecResponse, Status> {
        self.running(&request.container_id)?;
        Ok(ExecResponse { url: self.url("exec") })
    }

    pub(in crate::testing) fn attach(&mut self, request: AttachRequest) -> Result<AttachResponse, Status> {
        self.running(&request.container_id)?;
        Ok(AttachResponse { url: self.url("attach") })
    }

    pub(in crate::testing) fn port_forward(
        &mut self,
        request: PortForwardRequest,
    ) -> Result<PortForwardResponse, Status> {
        if !self.sandbox(&request.pod_sandbox_id)?.is_ready() {
            return Err(Status::unknown("the sandbox is not ready"));
        }
        Ok(PortForwardResponse { url: self.url("portforward") })
    }

    /// Where a new stream is served.
    fn url(&mut self, what: &str) -> String {
        let id = self.new_id();
        format!("{}/{what}/{id}", self.streams)
    }

    pub(in crate::testing) fn reopen_container_log(
        &mut self,
        request: ReopenContainerLogRequest,
    ) -> Result<ReopenContainerLogResponse, Status> {
        self.running(&request.container_id)?;
        Ok(ReopenContainerLogResponse {})
    }
}
