//! A request about a resource, on its way.

use std::sync::Arc;

use everynode_admission::convert_and_default;
use everynode_apimachinery::decode::{self, Body as Expected, Decode};
use everynode_apimachinery::defaults::order;
use everynode_apimachinery::resource::Resource;
use everynode_apimachinery::schema::Type;
use everynode_apimachinery::status::Status;
use everynode_apimachinery::table::{IncludeObject, TableOptions};
use everynode_model::{Value, encode};
use http::Response;

use crate::audit::Subject;
use crate::authn::User;
use crate::decode::{AsType, body_as_json, model_of};
use crate::http::accept::Form;
use crate::http::body::{self, Body};
use crate::http::query::{FieldValidation, Query};
use crate::objects::change::Change;
use crate::objects::managers::Writer;
use crate::selection::Selection;
use crate::state::State;
use crate::store::{Stored, TableId};
use crate::view::{self, Shape};

/// Where nothing lies: the table of resources that keep nothing.
pub const NO_TABLE: TableId = TableId(u32::MAX);

/// One request about a resource, on its way through a handler.
pub struct Call<'a> {
    /// What the server knows.
    pub state: &'a State,
    /// Who asks.
    pub user: Arc<User>,
    /// The audit log wants to know what answers are about.
    pub is_audited: bool,
    /// The resource.
    pub resource: Arc<Resource>,
    /// Where its objects lie.
    pub table: TableId,
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
    /// What the client calls itself, up to the first slash.
    pub agent: String,
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
            table: TableOptions {
                include: IncludeObject::parse(self.query.get("includeObject").unwrap_or(""))
                    .unwrap_or_default(),
                version: self.form.version,
                now: self.now,
            },
        }
    }

    /// What a list, watch or deletion of the collection is limited to.
    pub fn selection(&self) -> Result<Selection, Status> {
        Selection::parse(&self.query, &self.resource, &self.state.catalog)
    }

    /// A change of the object of the path, by the server itself.
    pub fn change(&self) -> Change<'_> {
        Change::of(&self.resource, self.table, &self.namespace, &self.name)
    }

    /// The name by which the client comes to manage the fields that it writes.
    pub fn manager(&self) -> &str {
        self.query.get("fieldManager").unwrap_or(&self.agent)
    }

    /// Who writes by a subresource, or by none.
    pub fn writer<'c>(&'c self, subresource: &'c str) -> Writer<'c> {
        Writer { manager: self.manager(), subresource }
    }

    /// 404 about the object of the path.
    pub fn not_found(&self) -> Status {
        Status::not_found(&self.resource.group, &self.resource.plural, &self.name)
    }

    /// The stored object of the path.
    pub fn find(&self) -> Result<Arc<Stored>, Status> {
        self.state.store.get(self.table, &self.namespace, &self.name).ok_or_else(|| self.not_found())
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
            _ => decode::decode_body(
                expected,
                &body_as_json(&self.content_type, expected.ty.as_type(), bytes)?,
                false,
            )?,
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

    /// Answers with a stored object.
    pub fn answer_stored(&self, code: u16, stored: &Stored) -> Response<Body> {
        let response = self.answer(code, view::object(&self.resource, stored, self.shape()));
        self.noted(response, || Subject::of_bytes(stored.bytes()))
    }

    /// Answers with an object that may not be stored.
    pub fn answer_value(&self, code: u16, object: Value) -> Response<Body> {
        let subject = self.is_audited.then(|| Subject::of_value(&object)).flatten();
        let response = self.answer(code, view::value(&self.resource, object, self.shape()));
        self.noted(response, || subject)
    }

    /// Answers with an object of another type than the resource's, which is not stored.
    pub fn answer_other(&self, code: u16, ty: &Type, mut object: Value) -> Response<Body> {
        order(ty, &mut object);
        let mut bytes = encode::to_vec(&object);
        bytes.push(b'\n');
        self.answer(code, bytes)
    }

    /// Leaves a note for the audit log, if there is one, of the object that an answer is about.
    pub fn noted(
        &self,
        mut response: Response<Body>,
        subject: impl FnOnce() -> Option<Subject>,
    ) -> Response<Body> {
        if self.is_audited
            && let Some(subject) = subject()
        {
            response.extensions_mut().insert(subject);
        }
        response
    }

    /// Answers with encoded bytes.
    pub fn answer(&self, code: u16, bytes: Vec<u8>) -> Response<Body> {
        let mut response = body::respond(code, self.form.content_type, bytes);
        body::add_warnings(response.headers_mut(), &self.warnings);
        response
    }
}
