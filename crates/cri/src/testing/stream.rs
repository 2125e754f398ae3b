//! One connection of a runtime in memory: HTTP/2, and the framing of gRPC.

use std::convert::Infallible;
use std::sync::atomic::Ordering;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_prost::ProstCodec;

use super::state::State;
use super::{FakeRuntime, How, Shared, When, lock};
use crate::calls::Call;
use crate::error::ErrorKind;

/// The room of a connection in memory, in each direction.
pub(super) const PIPE_BYTES: usize = 64 << 10;

/// An answer, and when it is given.
pub(super) struct Reply<A> {
    pub(super) answer: Result<A, Status>,
    /// Later than now.
    pub(super) at: Option<Instant>,
}

impl<A> From<Result<A, Status>> for Reply<A> {
    fn from(answer: Result<A, Status>) -> Reply<A> {
        Reply { answer, at: None }
    }
}

/// Serves a connection until one side ends it.
pub(super) async fn serve(runtime: FakeRuntime, stream: impl AsyncRead + AsyncWrite + Unpin) {
    let cut = lock(&runtime.shared.connections).child_token();
    let visit = Visit { runtime, cut: cut.clone() };
    let service = service_fn(move |request: Request<Incoming>| {
        let visit = visit.clone();
        async move { Ok::<_, Infallible>(visit.route(request).await) }
    });
    let connection =
        http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // How a client leaves is its own business.
        _ = connection => {}
        () = cut.cancelled() => {}
    }
}

/// A connection as its calls see it.
#[derive(Clone)]
pub(super) struct Visit {
    runtime: FakeRuntime,
    /// Ends the connection.
    cut: CancellationToken,
}

/// Counts a call for as long as it is served.
struct InFlight<'a>(&'a Shared);

impl<'a> InFlight<'a> {
    fn new(shared: &'a Shared) -> InFlight<'a> {
        shared.in_flight.fetch_add(1, Ordering::SeqCst);
        InFlight(shared)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Visit {
    /// Serves one call by a function of the state.
    pub(super) async fn answer<C: Call, R: Into<Reply<C::Answer>>>(
        &self,
        request: Request<Incoming>,
        handle: fn(&mut State, C) -> R,
    ) -> Response<Body> {
        let service = tower::service_fn(|request: tonic::Request<C>| {
            let visit = self.clone();
            async move { visit.carry_out(request.into_inner(), handle).await.map(tonic::Response::new) }
        });
        tonic::server::Grpc::new(ProstCodec::<C::Answer, C>::default()).unary(service, request).await
    }

    async fn carry_out<C: Call, R: Into<Reply<C::Answer>>>(
        &self,
        request: C,
        handle: fn(&mut State, C) -> R,
    ) -> Result<C::Answer, Status> {
        let shared = &*self.runtime.shared;
        let _in_flight = InFlight::new(shared);
        let fault = self.runtime.next_fault(C::NAME);
        if let Some(fault) = fault.filter(|fault| fault.when == When::Before) {
            return Err(self.suffer(fault.how).await);
        }
        let reply: Reply<C::Answer> = handle(&mut lock(&shared.state), request).into();
        if let Some(at) = reply.at {
            tokio::time::sleep_until(at).await;
        }
        match fault {
            Some(fault) => Err(self.suffer(fault.how).await),
            None => reply.answer,
        }
    }

    async fn suffer(&self, how: How) -> Status {
        match how {
            How::Refuse(kind) => return Status::new(code(kind), "a fault of the test"),
            How::Hang => {}
            How::Disconnect => self.cut.cancel(),
        }
        std::future::pending().await
    }
}

/// The status of a kind.
fn code(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::Unavailable => Code::Unavailable,
        ErrorKind::DeadlineExceeded => Code::DeadlineExceeded,
        ErrorKind::Unimplemented => Code::Unimplemented,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::AlreadyExists => Code::AlreadyExists,
        ErrorKind::InvalidArgument => Code::InvalidArgument,
        ErrorKind::FailedPrecondition => Code::FailedPrecondition,
        ErrorKind::PermissionDenied => Code::PermissionDenied,
        ErrorKind::ResourceExhausted => Code::ResourceExhausted,
        ErrorKind::AnswerTooLarge => Code::OutOfRange,
        ErrorKind::Failed => Code::Unknown,
    }
}
