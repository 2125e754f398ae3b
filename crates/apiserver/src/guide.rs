//! What the server tells of what it serves: discovery and OpenAPI, as answers.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use everynode_apimachinery::status::Status;
use everynode_model::Value;
use http::{HeaderMap, HeaderValue, Response, header};

use crate::catalog::Registry;
use crate::http::body::{self, Body, header_text};
use crate::{discovery, openapi};

/// The media type of aggregated discovery.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// Tells what is served at an address.
#[derive(Debug)]
pub struct Guide {
    address: SocketAddr,
    url: String,
    /// The documents of one generation of the registry.
    openapi: Mutex<Option<(u64, Arc<openapi::Documents>)>>,
}

impl Guide {
    /// Nothing is made yet: a server that nobody asks does not pay for documents.
    pub fn new(address: SocketAddr) -> Guide {
        Guide { address, url: format!("https://{address}"), openapi: Mutex::new(None) }
    }

    /// The base of the server's URLs.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The answer for a path of discovery or OpenAPI; the plain 404 for any other.
    pub fn answer(
        &self,
        registry: &Registry,
        path: &[&str],
        headers: &HeaderMap,
    ) -> Result<Response<Body>, Status> {
        match path {
            ["version"] => Ok(body::json(200, &discovery::version())),
            ["api"] if wants_aggregated(headers) => Ok(aggregated(registry, headers, true)),
            ["apis"] if wants_aggregated(headers) => Ok(aggregated(registry, headers, false)),
            ["api"] => Ok(body::json(200, &discovery::api_versions(self.address))),
            ["apis"] => Ok(body::json(200, &discovery::group_list(registry))),
            ["openapi", "v2"] => openapi_two(registry, headers),
            ["openapi", "v3"] => Ok(body::json(200, &self.openapi(registry).index())),
            ["openapi", "v3", "api", version] => {
                Ok(schema_document(self.openapi(registry).group_document("", version)))
            }
            ["openapi", "v3", "apis", group, version] => {
                Ok(schema_document(self.openapi(registry).group_document(group, version)))
            }
            ["apis", group] => Ok(document(discovery::group(registry, group))),
            ["api", version] => Ok(document(discovery::resource_list(registry, "", version))),
            ["apis", group, version] => Ok(document(discovery::resource_list(registry, group, version))),
            _ => Ok(body::not_found()),
        }
    }

    /// The documents of what is served now; made anew when that has changed.
    fn openapi(&self, registry: &Registry) -> Arc<openapi::Documents> {
        let mut kept = self.openapi.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some((generation, documents)) if *generation == registry.generation() => documents.clone(),
            _ => {
                let made = Arc::new(openapi::Documents::of(registry));
                *kept = Some((registry.generation(), made.clone()));
                made
            }
        }
    }
}

/// OpenAPI v2 in the first form of the header that there is, JSON or protobuf.
fn openapi_two(registry: &Registry, headers: &HeaderMap) -> Result<Response<Body>, Status> {
    let accept = header_text(headers, header::ACCEPT).unwrap_or("*/*");
    let document = || openapi::whole(registry);
    accept
        .split(',')
        .find_map(|clause| match clause.split(';').next().unwrap_or_default().trim() {
            body::JSON | "application/*" | "*/*" => Some(body::json(200, &document())),
            openapi::binary::ACCEPTED => {
                Some(body::respond(200, openapi::binary::SENT, openapi::binary::document(&document())))
            }
            _ => None,
        })
        .ok_or_else(|| Status::not_acceptable(&[body::JSON]))
}

/// A discovery document, or the plain 404 of a path that nobody serves.
fn document(found: Option<Value>) -> Response<Body> {
    found.map_or_else(body::not_found, |value| body::json(200, &value))
}

fn schema_document(found: Option<Bytes>) -> Response<Body> {
    found.map_or_else(body::not_found, |bytes| body::respond(200, body::JSON, bytes))
}

fn wants_aggregated(headers: &HeaderMap) -> bool {
    header_text(headers, header::ACCEPT).is_some_and(|accept| {
        accept.split(',').any(|clause| {
            let has = |parameter: &str| clause.split(';').any(|part| part.trim() == parameter);
            has("as=APIGroupDiscoveryList") && has("v=v2") && has("application/json")
        })
    })
}

/// Aggregated discovery, or 304 when the client has it already.
fn aggregated(registry: &Registry, headers: &HeaderMap, core: bool) -> Response<Body> {
    let value = discovery::aggregated(registry, core);
    let etag = discovery::etag(&value);
    let known = header_text(headers, header::IF_NONE_MATCH) == Some(etag.as_str());
    let mut response = if known { body::respond(304, AGGREGATED, "") } else { body::json(200, &value) };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(AGGREGATED));
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        headers.insert(header::ETAG, etag);
    }
    response
}
