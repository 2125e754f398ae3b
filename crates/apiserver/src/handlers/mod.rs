//! One set of handlers for all kinds, driven by the resource table.

pub mod change;
pub mod create;
pub mod delete;
pub mod list;
pub mod pods;
pub mod scale;
pub mod watch;

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use everynode_wire::decode::{self, Body as Expected, Decode};
use everynode_wire::resource::{Model, Resource};
use everynode_wire::schema::Type;
use everynode_wire::status::Status;
use everynode_wire::table::IncludeObject;
use everynode_wire::{Value, encode, manifest};
use http::{HeaderMap, HeaderValue, Method, Response, header};

use crate::api::Api;
use crate::audit::Subject;
use crate::http::accept::{AVAILABLE, Form};
use crate::http::body::{self, Body};
use crate::http::query::{FieldValidation, Query};
use crate::http::target::Target;
use crate::protobuf;
use crate::store::{ShelfId, Stored};
use crate::view::{self, Shape};

/// One request about a resource, on its way through a handler.
pub struct Call<'a> {
    /// The server.
    pub api: &'a Api,
    /// The resource.
    pub resource: Arc<Resource>,
    /// Where its objects lie.
    pub shelf: ShelfId,
    /// The namespace of the path, or empty.
    pub namespace: String,
    /// The name of the path, or empty.
    pub name: String,
    /// The parameters.
    pub query: Query,
    /// The form of the answer.
    pub form: Form,
    /// The media type of the body.
    pub content_type: String,
    /// Unix time in seconds.
    pub now: i64,
    /// Sentences for `Warning` headers.
    pub warnings: Vec<String>,
}

impl Call<'_> {
    /// How objects are shown.
    pub fn shape(&self) -> Shape {
        Shape {
            view: self.form.view,
            include: IncludeObject::parse(self.query.get("includeObject").unwrap_or("")).unwrap_or_default(),
            now: self.now,
        }
    }

    /// 404 about the object of the path.
    pub fn not_found(&self) -> Status {
        Status::not_found(&self.resource.group, &self.resource.plural, &self.name)
    }

    /// The stored object of the path.
    pub fn find(&self) -> Result<std::sync::Arc<Stored>, Status> {
        self.api.store().get(self.shelf, &self.namespace, &self.name).ok_or_else(|| self.not_found())
    }

    /// Reads the body as an object of the resource's kind, with its defaults filled in.
    pub fn read_object(&mut self, bytes: &[u8], validation: FieldValidation) -> Result<Value, Status> {
        let resource = self.resource.clone();
        let expected = Expected {
            group: &resource.group,
            version: &resource.version,
            kind: &resource.kind,
            ty: model_of(&resource)?,
        };
        let mut object = self.read_body(&expected, bytes, validation)?;
        convert_and_default(&resource, &mut object)?;
        Ok(object)
    }

    /// Reads the body as an object of any kind.
    pub fn read_body<D: Decode + AsType>(
        &mut self,
        expected: &Expected<'_, D>,
        bytes: &[u8],
        validation: FieldValidation,
    ) -> Result<Value, Status> {
        let decoded = match self.content_type.as_str() {
            "application/yaml" => decode::decode_body(expected, bytes, true)?,
            _ => decode::decode_body(expected, &self.body_as_json(expected.ty.as_type(), bytes)?, false)?,
        };
        match validation {
            FieldValidation::Strict => expected.strict(decoded),
            FieldValidation::Warn => {
                self.warnings.extend(decoded.problems);
                Ok(decoded.value)
            }
            FieldValidation::Ignore => Ok(decoded.value),
        }
    }

    /// The body as JSON text, whatever form it came in.
    pub fn body_as_json<'b>(
        &self,
        ty: Option<&'static Type>,
        bytes: &'b [u8],
    ) -> Result<Cow<'b, [u8]>, Status> {
        match self.content_type.as_str() {
            "" | "application/json" => Ok(Cow::Borrowed(bytes)),
            "application/yaml" => {
                let text = String::from_utf8_lossy(bytes);
                let yaml = manifest::parse_yaml(&text).map_err(|e| Status::bad_request(e.to_string()))?;
                Ok(Cow::Owned(encode::to_vec(&yaml.value)))
            }
            "application/vnd.kubernetes.protobuf" => {
                let ty = ty.ok_or_else(|| Status::unsupported_media_type(JSON_AND_YAML))?;
                let json = protobuf::to_json(ty, bytes);
                json.map(Cow::Owned).map_err(|error| Status::bad_request(error.to_string()))
            }
            _ => Err(Status::unsupported_media_type(AVAILABLE)),
        }
    }

    /// Answers with a stored object.
    pub fn answer_stored(&self, code: u16, stored: &Stored) -> Response<Body> {
        let mut response = self.answer(code, view::object(&self.resource, stored, self.shape()));
        self.api.note(&mut response, || Subject::of_bytes(stored.bytes()));
        response
    }

    /// Answers with an object that may not be stored.
    pub fn answer_value(&self, code: u16, object: Value) -> Response<Body> {
        let subject = self.api.audit().and_then(|_| Subject::of_value(&object));
        let mut response = self.answer(code, view::value(&self.resource, object, self.shape()));
        self.api.note(&mut response, || subject);
        response
    }

    /// Answers with encoded bytes.
    pub fn answer(&self, code: u16, bytes: Vec<u8>) -> Response<Body> {
        let mut response = body::respond(code, self.form.content_type, bytes);
        add_warnings(response.headers_mut(), &self.warnings);
        response
    }
}

/// Media types of custom resources: no schema says how they look in protobuf.
const JSON_AND_YAML: &[&str] = &["application/json", "application/yaml"];

/// What a type of the schema and the model of a resource have in common for bodies in protobuf.
pub trait AsType {
    /// The type of the schema, where there is one.
    fn as_type(&self) -> Option<&'static Type>;
}

impl AsType for &'static Type {
    fn as_type(&self) -> Option<&'static Type> {
        Some(self)
    }
}

impl AsType for Model {
    fn as_type(&self) -> Option<&'static Type> {
        Model::as_type(self)
    }
}

/// How bytes become objects of a resource.
pub fn model_of(resource: &Resource) -> Result<Model, Status> {
    resource.model().ok_or_else(|| Status::internal(format!("no schema for {}", resource.type_name)))
}

/// What decoding does after the schema: conversion and defaults.
pub fn convert_and_default(resource: &Resource, object: &mut Value) -> Result<(), Status> {
    resource
        .rules
        .convert(object)
        .map_err(|why| Status::cannot_be_handled(&resource.kind, &resource.version, &resource.kind, &why))?;
    resource.rules.default(object);
    Ok(())
}

/// Sentences in `Warning` headers are quoted; this many bytes of them are sent at most.
const WARNING_BYTES: usize = 4_096;

fn add_warnings(headers: &mut HeaderMap, warnings: &[String]) {
    let mut sent = 0;
    let mut seen = HashSet::new();
    for warning in warnings.iter().filter(|warning| seen.insert(warning.as_str())) {
        sent += warning.len();
        if sent > WARNING_BYTES {
            return;
        }
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"").replace(['\n', '\r'], " ");
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            headers.append(header::WARNING, value);
        }
    }
}

/// A verb of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// POST
    Create,
    /// GET of one object
    Get,
    /// GET of a collection
    List,
    /// GET of a collection with `watch`
    Watch,
    /// PUT
    Update,
    /// PATCH
    Patch,
    /// DELETE of one object
    Delete,
    /// DELETE of a collection
    DeleteCollection,
}

impl Verb {
    /// The verb of a request; none when nothing has that method there.
    pub fn of(method: &Method, target: &Target, query: &Query) -> Option<Verb> {
        let named = target.name.is_some();
        match *method {
            Method::GET | Method::HEAD if named => Some(Verb::Get),
            Method::GET | Method::HEAD if query.truth("watch") => Some(Verb::Watch),
            Method::GET | Method::HEAD => Some(Verb::List),
            Method::POST => Some(Verb::Create),
            Method::PUT if named => Some(Verb::Update),
            Method::PATCH if named => Some(Verb::Patch),
            Method::DELETE if named => Some(Verb::Delete),
            Method::DELETE => Some(Verb::DeleteCollection),
            _ => None,
        }
    }

    /// The name of the verb in discovery.
    pub fn name(self) -> &'static str {
        match self {
            Verb::Create => "create",
            Verb::Get => "get",
            Verb::List => "list",
            Verb::Watch => "watch",
            Verb::Update => "update",
            Verb::Patch => "patch",
            Verb::Delete => "delete",
            Verb::DeleteCollection => "deletecollection",
        }
    }
}

/// Answers a request about a main resource.
pub async fn main_resource(call: &mut Call<'_>, verb: Verb, bytes: &[u8]) -> Result<Response<Body>, Status> {
    match verb {
        Verb::Create if !call.name.is_empty() => Err(Status::method_not_allowed()),
        Verb::Create => create::create(call, bytes).await,
        Verb::Get => call.find().map(|stored| call.answer_stored(200, &stored)),
        Verb::List => list::list(call).await,
        Verb::Watch => watch::watch(call),
        Verb::Update => change::update(call, change::Part::Main, bytes).await,
        Verb::Patch => change::patch(call, change::Part::Main, bytes).await,
        Verb::Delete => delete::delete(call, bytes).await,
        Verb::DeleteCollection => delete::delete_collection(call, bytes).await,
    }
}

/// Answers a request about a subresource.
pub async fn subresource(
    call: &mut Call<'_>,
    verb: Verb,
    name: &str,
    bytes: &[u8],
) -> Result<Response<Body>, Status> {
    let part = match name {
        "status" => change::Part::Status,
        "finalize" => change::Part::Finalize,
        "scale" => return scale::subresource(call, verb, bytes).await,
        _ => return pods::subresource(call, verb, name, bytes).await,
    };
    match verb {
        Verb::Get => call.find().map(|stored| call.answer_stored(200, &stored)),
        Verb::Update => change::update(call, part, bytes).await,
        Verb::Patch => change::patch(call, part, bytes).await,
        _ => Err(Status::method_not_allowed()),
    }
}
