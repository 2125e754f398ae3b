//! From a configuration to something that sends requests.

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
    let unusable = |error: kube::Error| Error::Config(chain(&error));
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(config.connect_timeout);
    let connector = FencedConnector { inner: http, fence };
    let https = config.rustls_https_connector_with_connector(connector).map_err(unusable)?;
    let client = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build(https);
    let stack = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer().map_err(unusable)?)
        .layer(config.extra_headers_layer().map_err(unusable)?)
        .map_response(|answer: Response<Incoming>| {
            answer.map(|body| body.map_err(|error| transport(&error)).boxed_unsync())
        })
        .map_err(BoxError::from)
        .service(client);
    let errors = |error: BoxError| transport(error.as_ref());
    Ok(BoxCloneSyncService::new(ServiceBuilder::new().map_err(errors).service(stack)))
}
