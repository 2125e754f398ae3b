//! How the bytes of bodies become objects.

use std::borrow::Cow;

use everynode_apimachinery::manifest;
use everynode_apimachinery::resource::{Model, Resource};
use everynode_apimachinery::schema::Type;
use everynode_apimachinery::status::Status;
use everynode_model::encode;

use crate::http::accept::AVAILABLE;
use crate::protobuf;

/// The body as JSON text, whatever form it came in.
pub fn body_as_json<'b>(
    content_type: &str,
    ty: Option<&'static Type>,
    bytes: &'b [u8],
) -> Result<Cow<'b, [u8]>, Status> {
    match content_type {
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
