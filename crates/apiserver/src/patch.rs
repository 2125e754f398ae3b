//! Patches of requests, in the three forms that the API takes.

use everynode_apimachinery::decode::Body;
use everynode_apimachinery::patch;
use everynode_apimachinery::resource::{Model, Resource};
use everynode_apimachinery::status::Status;
use everynode_model::Value;

use crate::decode::model_of;
use crate::http::query::FieldValidation;
use crate::objects::managers;

/// The media types of patches, as `Accept-Patch` lists them.
pub const MEDIA_TYPES: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    APPLY,
];

/// The media types of patches of custom resources: no schema says which of their lists are merged.
pub const CUSTOM_MEDIA_TYPES: &[&str] =
    &["application/json-patch+json", "application/merge-patch+json", APPLY];

/// The media type of an applied configuration, which is not laid over an object as the others are.
pub const APPLY: &str = "application/apply-patch+yaml";

#[derive(Debug, Clone, Copy)]
enum Form {
    Json,
    Merge,
    Strategic,
}

/// A patch as it was sent.
#[derive(Debug)]
pub struct Patch<'a> {
    form: Form,
    bytes: &'a [u8],
}

/// The patched object.
#[derive(Debug)]
pub struct Patched {
    /// The object, decoded by its schema.
    pub object: Value,
    /// Unknown fields, under `Warn`.
    pub warnings: Vec<String>,
}

impl<'a> Patch<'a> {
    /// Takes the form from the media type.
    pub fn read(content_type: &str, bytes: &'a [u8]) -> Result<Patch<'a>, Status> {
        let form = match content_type {
            "application/json-patch+json" => Form::Json,
            "application/merge-patch+json" => Form::Merge,
            "application/strategic-merge-patch+json" => Form::Strategic,
            _ => return Err(Status::unsupported_patch_type()),
        };
        Ok(Patch { form, bytes })
    }

    /// Whether the patch may say who manages the fields of the object, or ask about it.
    pub fn sees_managers(&self) -> bool {
        matches!(self.form, Form::Json)
            || memchr::memmem::find(self.bytes, managers::FIELD.as_bytes()).is_some()
    }

    /// The object with the patch applied.
    pub fn apply(
        &self,
        resource: &Resource,
        old: &Value,
        validation: FieldValidation,
    ) -> Result<Patched, Status> {
        let model = model_of(resource)?;
        let expected = Body {
            group: &resource.group,
            version: &resource.version,
            kind: &resource.kind,
            ty: model.clone(),
        };
        Patched::of(self.patched(&model, old)?.keeping_kind(&expected)?, validation)
    }

    /// The same for an object that is only shown.
    pub fn apply_as(
        &self,
        model: &Model,
        old: &Value,
        validation: FieldValidation,
    ) -> Result<Patched, Status> {
        Patched::of(self.patched(model, old)?, validation)
    }

    fn patched(&self, model: &Model, old: &Value) -> Result<patch::Patched, Status> {
        match self.form {
            Form::Json => patch::json_patch(model.clone(), old, self.bytes),
            Form::Merge => patch::merge_patch(model.clone(), old, self.bytes),
            Form::Strategic => {
                let ty = model.as_type().ok_or_else(|| Status::unsupported_media_type(CUSTOM_MEDIA_TYPES))?;
                patch::strategic_merge(ty, old, self.bytes)
            }
        }
    }
}

impl Patched {
    fn of(patched: patch::Patched, validation: FieldValidation) -> Result<Patched, Status> {
        Ok(match validation {
            FieldValidation::Strict => Patched { object: patched.strict()?, warnings: Vec::new() },
            FieldValidation::Warn => Patched { object: patched.value, warnings: patched.problems },
            FieldValidation::Ignore => Patched { object: patched.value, warnings: Vec::new() },
        })
    }
}
