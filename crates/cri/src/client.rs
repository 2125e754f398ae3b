//! One connection to a runtime, made when it is needed and made again after it broke.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use http::uri::{PathAndQuery, Uri};
use http::{Request, Response};
use http_body_util::BodyExt as _;
use http_body_util::combinators::MapErr;
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::sync::{Mutex, watch};
use tonic::body::Body;
use tonic_prost::ProstCodec;

use crate::calls::Call;
use crate::endpoint::Endpoint;
use crate::error::{Broken, CriError};

/// The longest answer that is read, in bytes; runtimes send none that is longer.
pub const ANSWER_LIMIT_BYTES: usize = 16 << 20;

/// The longest deadline; a longer one is cut to this. What waits longer than a day waits for nothing.
pub const LONGEST_DEADLINE: Duration = Duration::from_secs(24 * 60 * 60);

/// Headers of an answer, in bytes. A runtime's words about a failure are among them.
const HEADER_LIMIT_BYTES: u32 = 256 << 10;

/// How long a call waits for its answer after its connection has ended.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// How often a request is tried that did not leave because the connection had just been closed.
const TRIES: usize = 2;

/// Bytes to and from a runtime.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Makes a connection.
type Connect = Box<dyn Fn() -> BoxFuture<'static, Result<Box<dyn Stream>, Broken>> + Send + Sync>;

type AnswerBody = MapErr<Incoming, fn(hyper::Error) -> Broken>;

/// A client of one runtime. Clones share the connection, on which calls do not wait for each other.
#[derive(Clone)]
pub struct Client {
    connection: Arc<Connection>,
}

struct Connection {
    connect: Connect,
    live: Mutex<Option<Live>>,
}

/// An open connection.
#[derive(Clone)]
struct Live {
    sender: SendRequest<Body>,
    /// Changes when the connection has ended.
    ended: watch::Receiver<()>,
}

impl Client {
    /// A client of the runtime that listens there. Nothing is sent before the first call.
    pub fn new(endpoint: Endpoint) -> Client {
        Client::over(Box::new(move || {
            let endpoint = endpoint.clone();
            Box::pin(async move {
                let stream = UnixStream::connect(endpoint.path()).await;
                let stream = stream.map_err(|error: io::Error| Broken::unreachable(&endpoint, &error))?;
                Ok(Box::new(stream) as Box<dyn Stream>)
            })
        }))
    }

    /// A client whose connections are made by a function.
    pub(crate) fn over(connect: Connect) -> Client {
        Client { connection: Arc::new(Connection { connect, live: Mutex::new(None) }) }
    }

    /// Sends a request and waits for its answer, for as long as `deadline`, which the runtime is told. Whoever drops
    /// the future before cancels the call; the runtime may have carried it out by then.
    ///
    /// # Errors
    /// [`CriError`]: its kind says what went wrong, its fate what became of the request. The next call makes a new
    /// connection where this one broke.
    pub async fn call<C: Call>(&self, request: C, deadline: Duration) -> Result<C::Answer, CriError> {
        let deadline = deadline.min(LONGEST_DEADLINE);
        let was_sent = Arc::new(AtomicBool::new(false));
        let channel = tower::service_fn(|request| {
            let (connection, was_sent) = (self.connection.clone(), was_sent.clone());
            async move { connection.send(request, &was_sent).await }
        });
        let origin = Uri::from_static("http://localhost");
        let mut grpc =
            tonic::client::Grpc::with_origin(channel, origin).max_decoding_message_size(ANSWER_LIMIT_BYTES);
        let mut request = tonic::Request::new(request);
        request.set_timeout(deadline);
        let answer = grpc.unary(request, PathAndQuery::from_static(C::PATH), ProstCodec::default());
        match tokio::time::timeout(deadline, answer).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(CriError::read(C::NAME, &status)),
            Err(_) => Err(CriError::late(C::NAME, deadline, was_sent.load(Ordering::Relaxed))),
        }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Connection {
    /// Sends a request; `was_sent` is true from the moment at which it may have left.
    async fn send(
        &self,
        mut request: Request<Body>,
        was_sent: &AtomicBool,
    ) -> Result<Response<AnswerBody>, Broken> {
        let mut tries = 0;
        loop {
            tries += 1;
            let Live { mut sender, ended } = self.live().await?;
            was_sent.store(true, Ordering::Relaxed);
            let mut error = match until_end(sender.try_send_request(request), ended).await {
                Some(Ok(answer)) => return Ok(answer.map(|body| body.map_err(lost as fn(_) -> _))),
                Some(Err(error)) => error,
                None => return Err(Broken { was_sent: true, words: "the connection ended".to_owned() }),
            };
            let kept = error.take_message();
            was_sent.store(kept.is_none(), Ordering::Relaxed);
            match kept {
                Some(kept) if tries < TRIES => request = kept,
                kept => return Err(Broken::by(kept.is_none(), &error.into_error())),
            }
        }
    }

    /// The open connection, or a new one.
    async fn live(&self) -> Result<Live, Broken> {
        let mut slot = self.live.lock().await;
        if let Some(live) = slot.as_ref().filter(|live| !live.sender.is_closed()) {
            return Ok(live.clone());
        }
        let stream = TokioIo::new((self.connect)().await?);
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.max_header_list_size(HEADER_LIMIT_BYTES);
        let (sender, connection) =
            builder.handshake(stream).await.map_err(|error| Broken::by(false, &error))?;
        // It ends with the last sender, or when the other side closes; each call on it is told why.
        let (alive, ended) = watch::channel(());
        tokio::spawn(async move {
            let _ = connection.await;
            drop(alive);
        });
        let live = Live { sender, ended };
        *slot = Some(live.clone());
        Ok(live)
    }
}

/// Waits for an answer; nothing where the connection has ended without one.
async fn until_end<T>(answer: impl Future<Output = T>, mut ended: watch::Receiver<()>) -> Option<T> {
    tokio::pin!(answer);
    tokio::select! {
        biased;
        answer = &mut answer => return Some(answer),
        _ = ended.changed() => {}
    }
    // Most calls are told why. One that was handed over just then may never be.
    tokio::time::timeout(LAST_WORDS, answer).await.ok()
}

/// The connection broke while an answer was read.
fn lost(error: hyper::Error) -> Broken {
    Broken::by(true, &error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{ErrorKind, Fate};
    use crate::messages::VersionRequest;

    const DEADLINE: Duration = Duration::from_secs(5);

    #[tokio::test(start_paused = true)]
    async fn a_call_that_gets_no_connection_in_time_was_never_sent() {
        let client = Client::over(Box::new(|| Box::pin(std::future::pending())));
        let error = client.call(VersionRequest::default(), DEADLINE).await.unwrap_err();
        assert_eq!((error.kind, error.fate), (ErrorKind::DeadlineExceeded, Fate::NeverSent));
    }
}
