//! The kubelet endpoint of a node: what API servers and collectors of figures ask of it, by HTTPS.
//!
//! Everybody has to show who they are, and the API says what they may ([`access`]), as with the kubelet. What a path
//! asks for is read in one place ([`route`]). The endpoint reads no bodies of requests, and speaks HTTP/1.1 only, since
//! streams of commands begin as its upgrades: so the number of connections limits everything else.

mod access;
mod answer;
mod answers;
mod figures;
mod log;
mod query;
mod route;
mod server;
mod streams;
mod tls;
mod user;

use std::sync::Arc;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::context::Context;
use crate::runtime::Listing;
use access::Access;
use answer::{Body, Refusal, whole};
use query::Query;
use route::Route;
pub use server::{ListenError, Server};
use user::User;

/// What answers requests.
#[derive(Debug)]
pub struct Kubelet {
    context: Arc<Context>,
    listings: watch::Receiver<Arc<Listing>>,
    access: Access,
    cancelled: CancellationToken,
    tasks: TaskTracker,
}

/// The connection by which a request came.
#[derive(Debug, Clone)]
struct Connection {
    /// Whom the client's certificate stands for.
    user: Option<Arc<User>>,
    /// Its place among the connections that may be open; a stream that goes on without the connection has it too.
    place: Arc<OwnedSemaphorePermit>,
}

impl Kubelet {
    /// Of a node; `listings` are what its runtime has.
    pub fn new(
        context: Arc<Context>,
        listings: watch::Receiver<Arc<Listing>>,
        cancelled: CancellationToken,
    ) -> Kubelet {
        let access = Access::new(context.api.clone(), &context.node.name);
        Kubelet { context, listings, access, cancelled, tasks: TaskTracker::new() }
    }

    async fn serve(&self, connection: Connection, request: Request<Incoming>) -> Response<Body> {
        self.answer(connection, request).await.unwrap_or_else(Refusal::into_response)
    }

    async fn answer(
        &self,
        connection: Connection,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Refusal> {
        let user = match &connection.user {
            Some(user) => user.clone(),
            None => self.access.user_of_token(request.headers()).await?,
        };
        let path = request.uri().path().to_owned();
        self.access.check(&user, request.method(), route::subresources(&path)).await?;
        let route =
            Route::of(&path).ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, "404 page not found"))?;
        if !route.methods().contains(request.method()) {
            return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "405: Method Not Allowed"));
        }
        let query = Query::parse(request.uri().query());
        match route {
            Route::Healthz => Ok(whole("text/plain; charset=utf-8", "ok")),
            Route::Pods => Ok(self.pods()),
            Route::ResourceMetrics => Ok(figures::resource_metrics(self).await),
            Route::ContainerLogs(target) => log::container_logs(self, &target, &query).await,
            Route::Stream(kind, target) => {
                streams::stream(self, &connection, kind, &target, &query, request).await
            }
        }
    }

    /// The pods of the node, as the API served them.
    fn pods(&self) -> Response<Body> {
        let pods = self.context.bound.all();
        let objects: Vec<&[u8]> = pods.iter().map(|pod| pod.object.trim_ascii()).collect();
        let items = objects.join(&b',');
        let list =
            [br#"{"kind":"PodList","apiVersion":"v1","metadata":{},"items":["#, &items[..], b"]}"].concat();
        whole("application/json", list)
    }
}
