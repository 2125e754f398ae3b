//! The health service of gRPC (`grpc.health.v1.Health`), as probes ask it: without TLS, as by the kubelet.

use std::time::Duration;

use http::header::{HeaderValue, USER_AGENT};
use http::uri::{PathAndQuery, Uri};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tonic::Code;
use tonic::body::Body;
use tonic_prost::ProstCodec;

use super::{ANSWER_LIMIT_BYTES, PROBER};

const CHECK: &str = "/grpc.health.v1.Health/Check";
const HEADER_LIMIT_BYTES: u32 = 16 << 10;

#[derive(Clone, PartialEq, prost::Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct HealthCheckResponse {
    #[prost(enumeration = "ServingStatus", tag = "1")]
    status: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
enum ServingStatus {
    Unknown = 0,
    Serving = 1,
    NotServing = 2,
    ServiceUnknown = 3,
}

/// Asks by a new connection whether a service is well; the empty one is the server as a whole. The server is told how
/// long it may take.
///
/// # Errors
/// A sentence about what is not well.
pub async fn check(stream: TcpStream, service: &str, limit: Duration) -> Result<(), String> {
    let builder = http2::Builder::new(TokioExecutor::new()).max_header_list_size(HEADER_LIMIT_BYTES).clone();
    let handshake = builder.handshake(TokioIo::new(stream)).await;
    let (sender, connection) = handshake.map_err(|error| error.to_string())?;
    // It ends with the question, however that ends.
    let mut connections = JoinSet::new();
    connections.spawn(connection);
    let channel = tower::service_fn(move |mut request: http::Request<Body>| {
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(PROBER));
        let mut sender = sender.clone();
        async move { sender.send_request(request).await }
    });
    let origin = Uri::from_static("http://localhost");
    let mut grpc =
        tonic::client::Grpc::with_origin(channel, origin).max_decoding_message_size(ANSWER_LIMIT_BYTES);
    let mut request = tonic::Request::new(HealthCheckRequest { service: service.to_owned() });
    request.set_timeout(limit);
    let codec = ProstCodec::<HealthCheckRequest, HealthCheckResponse>::default();
    match grpc.unary(request, PathAndQuery::from_static(CHECK), codec).await {
        Ok(answer) => match answer.into_inner().status() {
            ServingStatus::Serving => Ok(()),
            status => Err(format!("service unhealthy (responded with {:?})", word(status))),
        },
        Err(status) if status.code() == Code::Unimplemented => {
            Err("the server has no health service of gRPC (grpc.health.v1.Health)".to_owned())
        }
        Err(status) => Err(format!("health check failed: {}", status.message())),
    }
}

/// As the service's definition writes it.
fn word(status: ServingStatus) -> &'static str {
    match status {
        ServingStatus::Unknown => "UNKNOWN",
        ServingStatus::Serving => "SERVING",
        ServingStatus::NotServing => "NOT_SERVING",
        ServingStatus::ServiceUnknown => "SERVICE_UNKNOWN",
    }
}

#[cfg(test)]
mod tests {
    use hyper::service::service_fn;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;
    use tonic::Status;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    async fn connected(listener: &TcpListener) -> TcpStream {
        TcpStream::connect(listener.local_addr().unwrap()).await.unwrap()
    }

    /// Serves one connection: `web` is well, `down` is not, others are not known.
    async fn serve(listener: &TcpListener, path: &'static str) {
        let (stream, _) = listener.accept().await.unwrap();
        let answer = |request: tonic::Request<HealthCheckRequest>| async move {
            match request.into_inner().service.as_str() {
                "web" => Ok(HealthCheckResponse { status: ServingStatus::Serving.into() }),
                "down" => Ok(HealthCheckResponse { status: ServingStatus::NotServing.into() }),
                _ => Err(Status::not_found("unknown service")),
            }
            .map(tonic::Response::new)
        };
        let service = service_fn(move |request: http::Request<hyper::body::Incoming>| async move {
            assert_eq!(request.headers()["user-agent"], PROBER);
            if request.uri().path() != path {
                return Ok::<_, hyper::Error>(Status::unimplemented("").into_http());
            }
            let codec = ProstCodec::<HealthCheckResponse, HealthCheckRequest>::default();
            Ok(tonic::server::Grpc::new(codec).unary(tower::service_fn(answer), request).await)
        });
        let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = builder.serve_connection(TokioIo::new(stream), service).await;
    }

    async fn asked(path: &'static str, service: &str) -> Result<(), String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = connected(&listener).await;
        let (answer, ()) = tokio::join!(check(stream, service, LIMIT), serve(&listener, path));
        answer
    }

    #[tokio::test]
    async fn a_service_is_well_when_it_says_so() {
        let wrong = |text: &str| Err(text.to_owned());
        assert_eq!(asked(CHECK, "web").await, Ok(()));
        assert_eq!(asked(CHECK, "down").await, wrong("service unhealthy (responded with \"NOT_SERVING\")"));
        assert_eq!(asked(CHECK, "").await, wrong("health check failed: unknown service"));
        let none = wrong("the server has no health service of gRPC (grpc.health.v1.Health)");
        assert_eq!(asked("/other.Service/Check", "web").await, none);
    }

    #[tokio::test]
    async fn what_speaks_something_else_is_not_well() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = connected(&listener).await;
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        };
        let (answer, ()) = tokio::join!(check(stream, "", LIMIT), serve);
        assert!(answer.is_err());
    }
}
