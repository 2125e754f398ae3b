//! From a request to its answer.

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;

use super::answer::{Body, Refusal, whole};
use super::query::Query;
use super::route::{self, Route};
use super::state::{Connection, Kubelet};
use super::{figures, log, streams, summary};

/// Answers a request.
pub async fn serve(kubelet: &Kubelet, connection: Connection, request: Request<Incoming>) -> Response<Body> {
    answer(kubelet, connection, request).await.unwrap_or_else(Refusal::into_response)
}

async fn answer(
    kubelet: &Kubelet,
    connection: Connection,
    request: Request<Incoming>,
) -> Result<Response<Body>, Refusal> {
    let user = match &connection.user {
        Some(user) => user.clone(),
        None => kubelet.access.user_of_token(request.headers()).await?,
    };
    let path = request.uri().path().to_owned();
    kubelet.access.check(&user, request.method(), route::subresources(&path)).await?;
    let route = Route::of(&path).ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, "404 page not found"))?;
    if !route.methods().contains(request.method()) {
        return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "405: Method Not Allowed"));
    }
    let query = Query::parse(request.uri().query());
    match route {
        Route::Healthz => Ok(whole("text/plain; charset=utf-8", "ok")),
        Route::Pods => Ok(pods(kubelet)),
        Route::ResourceMetrics => Ok(figures::resource_metrics(kubelet).await),
        Route::Metrics => Ok(figures::metrics(kubelet)),
        Route::StatsSummary => summary::summary(kubelet).await,
        Route::ContainerLogs(target) => log::container_logs(kubelet, &target, &query).await,
        Route::Stream(kind, target) => {
            streams::stream(kubelet, &connection, kind, &target, &query, request).await
        }
    }
}

/// The pods of the node, as the API served them.
fn pods(kubelet: &Kubelet) -> Response<Body> {
    let pods = kubelet.context.bound.all();
    let objects: Vec<&[u8]> = pods.iter().map(|pod| pod.object.trim_ascii()).collect();
    let items = objects.join(&b',');
    let list =
        [br#"{"kind":"PodList","apiVersion":"v1","metadata":{},"items":["#, &items[..], b"]}"].concat();
    whole("application/json", list)
}
