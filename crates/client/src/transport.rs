//! From a configuration to something that sends requests.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::ConfigExt;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, ServiceBuilder};

use crate::Error;
use crate::error::chain;
use crate::fence::{Fence, FencedConnector};

/// Sends a request with the credentials of a configuration. Clones share the connections.
pub(crate) type Transport = BoxCloneSyncService<Request<Full<Bytes>>, Response<Incoming>, BoxError>;

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
        .map_err(BoxError::from)
        .service(client);
    Ok(BoxCloneSyncService::new(stack))
}
