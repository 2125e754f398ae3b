//! From a configuration to something that sends requests.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::ConfigExt;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, ServiceBuilder};

use crate::Error;
use crate::error::{chain, transport};
use crate::fence::{Fence, FencedConnector};

/// The body of an answer.
pub type AnswerBody = UnsyncBoxBody<Bytes, Error>;

/// Sends requests and returns answers. Clones share the connections, where there are any.
pub type Transport = BoxCloneSyncService<Request<Full<Bytes>>, Response<AnswerBody>, Error>;

/// Prepares connections; none is opened yet. With a fence nothing is sent once that is shut.
pub(crate) fn connect(config: &kube::Config, fence: Option<Fence>) -> Result<Transport, Error> {
    if let Some(proxy) = &config.proxy_url {
        return Err(Error::Config(format!("the proxy {proxy} of the kubeconfig is not supported")));
    }
    let connector = FencedConnector { inner: http_connector(config.connect_timeout), fence };
    let https = config.rustls_https_connector_with_connector(connector).map_err(unusable)?;
    let client = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build(https);
    let stack = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer().map_err(unusable)?)
        .layer(config.extra_headers_layer().map_err(unusable)?)
        .map_response(erased)
        .map_err(BoxError::from)
        .service(client);
    let errors = |error: BoxError| transport(error.as_ref());
    Ok(BoxCloneSyncService::new(ServiceBuilder::new().map_err(errors).service(stack)))
}

/// By what a kubelet is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KubeletTrust {
    /// A certificate that the cluster's authority has signed.
    #[default]
    SignedByCluster,
    /// Its address: whoever answers there is shown this client's credentials.
    Anybody,
}

/// Prepares connections to any server whose certificate the configuration's authority has signed, or to any at all, which
/// is told the configuration's credentials. None is kept open: there may be many of them.
pub(crate) fn connect_to_kubelets(config: &kube::Config, trust: KubeletTrust) -> Result<Transport, Error> {
    let connector = http_connector(config.connect_timeout);
    // The name that a kubeconfig gives is the API server's.
    let mut config = config.clone();
    config.tls_server_name = None;
    config.accept_invalid_certs |= trust == KubeletTrust::Anybody;
    let https = config.rustls_https_connector_with_connector(connector).map_err(unusable)?;
    let client = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(0)
        .build(https);
    let stack = ServiceBuilder::new()
        .option_layer(config.auth_layer().map_err(unusable)?)
        .map_response(erased)
        .map_err(BoxError::from)
        .service(client);
    let errors = |error: BoxError| transport(error.as_ref());
    Ok(BoxCloneSyncService::new(ServiceBuilder::new().map_err(errors).service(stack)))
}

/// Prepares connections without TLS, on which nothing of ours is shown.
pub(crate) fn connect_in_the_open(connect_timeout: Duration) -> Transport {
    let connector = http_connector(Some(connect_timeout));
    let client = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(0)
        .build(connector);
    let errors = |error: hyper_util::client::legacy::Error| transport(&error);
    BoxCloneSyncService::new(ServiceBuilder::new().map_err(errors).map_response(erased).service(client))
}

fn unusable(error: kube::Error) -> Error {
    Error::Config(chain(&error))
}

fn http_connector(connect_timeout: Option<Duration>) -> HttpConnector {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(connect_timeout);
    http
}

fn erased(answer: Response<Incoming>) -> Response<AnswerBody> {
    answer.map(|body| body.map_err(|error| transport(&error)).boxed_unsync())
}
