//! An API server that is a function.

#![allow(clippy::expect_used, reason = "a test may panic anywhere, its helpers too")]

use std::sync::Arc;

use bytes::Bytes;
use everynode_client::{AnswerBody, Client, Error, SystemClock, Transport};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};

/// A client of a server that answers each GET by its path and query with a code and a body.
pub fn client(answer: impl Fn(&str) -> (u16, String) + Send + Sync + 'static) -> Client {
    let answer = Arc::new(answer);
    let service = tower::service_fn(move |request: Request<Full<Bytes>>| {
        let answer = answer.clone();
        async move {
            assert_eq!(request.method(), http::Method::GET, "only reads are made");
            let target = request.uri().path_and_query().map_or("", |target| target.as_str());
            let (code, body) = answer(target);
            let body = Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed_unsync();
            let response: Response<AnswerBody> =
                Response::builder().status(code).body(body).expect("a response");
            Ok::<_, Error>(response)
        }
    });
    Client::over(Transport::new(service), Arc::new(SystemClock), "https://cluster.test")
}
