//! HTTP/2 on a connection within the process.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::uri::{Authority, Scheme};
use http::{Request, Response, Uri};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Incoming};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::DuplexStream;

/// Any error.
pub type ServiceError = Box<dyn std::error::Error + Send + Sync>;

/// The body of an answer.
pub type ServiceBody = Incoming;

/// A request's body, of whatever kind it was.
type Sent = UnsyncBoxBody<Bytes, ServiceError>;

/// Sends requests to a [`TestApi`](crate::TestApi). Clones share a connection.
#[derive(Clone, Debug)]
pub struct Service(SendRequest<Sent>);

impl Service {
    pub(crate) async fn over(connection: DuplexStream) -> Service {
        let shaken = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
            .adaptive_window(true)
            .max_concurrent_reset_streams(10_000)
            .handshake(TokioIo::new(connection))
            .await;
        let (send, connection) = shaken.unwrap_or_else(|error| panic!("TestApi: {error}"));
        // It ends when the server or the last clone does.
        tokio::spawn(async move { drop(connection.await) });
        Service(send)
    }

    /// Sends one request.
    ///
    /// # Errors
    /// The server has stopped, or gives no answer.
    pub fn send<B>(
        &self,
        request: Request<B>,
    ) -> impl Future<Output = Result<Response<Incoming>, ServiceError>> + Send + 'static
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<ServiceError>,
    {
        let mut send = self.0.clone();
        async move {
            let mut request = request.map(|body| body.map_err(Into::into).boxed_unsync());
            *request.uri_mut() = whole(request.uri());
            send.ready().await?;
            Ok(send.send_request(request).await?)
        }
    }
}

/// HTTP/2 wants a scheme and a host.
fn whole(uri: &Uri) -> Uri {
    let mut parts = uri.clone().into_parts();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(Authority::from_static("testapi"));
    Uri::from_parts(parts).unwrap_or_else(|_| Uri::from_static("http://testapi/"))
}

impl<B> tower::Service<Request<B>> for Service
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<ServiceError>,
{
    type Response = Response<Incoming>;
    type Error = ServiceError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Incoming>, ServiceError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ServiceError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        Box::pin(self.send(request))
    }
}
