//! A client whose requests a test sees, and can keep from the server.

use std::sync::Arc;

use bytes::Bytes;
use everynode_client::{AnswerBody, Client, Error, Method, Transport};
use futures::StreamExt;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, StreamBody};

/// A client of the same server; where `is_served` says no to method, path and body, the answer is 404.
pub fn over(
    client: Client,
    is_served: impl Fn(&Method, &str, &Bytes) -> bool + Send + Sync + 'static,
) -> Client {
    let (clock, url) = (Arc::clone(client.clock()), client.server_url().to_owned());
    let is_served = Arc::new(is_served);
    let service = tower::service_fn(move |request: Request<Full<Bytes>>| {
        let (client, is_served) = (client.clone(), is_served.clone());
        async move {
            let (parts, body) = request.into_parts();
            let path = parts.uri.path_and_query().map_or("", |path| path.as_str());
            let body = body.collect().await.unwrap().to_bytes();
            if !is_served(&parts.method, path, &body) {
                return Ok(Response::builder().status(404).body(whole(Bytes::new())).unwrap());
            }
            if path.contains("watch=") {
                return stream(&client, path).await;
            }
            let content_type = parts.headers.get(http::header::CONTENT_TYPE);
            let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
            client
                .request(parts.method, path, content_type, body)
                .await
                .map(|answer| Response::new(whole(answer)))
        }
    });
    Client::over(Transport::new(service), clock, &url)
}

fn whole(body: Bytes) -> AnswerBody {
    Full::new(body).map_err(|never| match never {}).boxed_unsync()
}

async fn stream(client: &Client, path: &str) -> Result<Response<AnswerBody>, Error> {
    let lines = client.watch(path).await?;
    let frame = |line: Bytes| hyper::body::Frame::data([&line[..], b"\n"].concat().into());
    let frames = lines.map(move |line| line.map(frame));
    Ok(Response::new(StreamBody::new(frames).boxed_unsync()))
}
