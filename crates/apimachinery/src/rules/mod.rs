//! What makes a kind that kind.

mod column;
pub(crate) mod strategy;

pub(crate) use column::column_definition;
pub use column::{CREATED, Column, NAME, NAME_AND_CREATED};

use everynode_model::Value;

use crate::status::FieldError;

/// The rules of a kind. Objects reach these functions decoded by the schema
/// (unknown fields gone, types right, quantities canonical); the metadata that is common to all kinds
/// (names, labels, annotations, owner references, finalizers) is handled by the generic code.
pub trait Rules: Send + Sync + std::fmt::Debug {
    /// Says why the object cannot be converted, where decoding by the schema is not enough. The
    /// sentence follows `DaemonSet in version "v1" cannot be handled as a DaemonSet: ` in a 400.
    fn convert(&self, _object: &Value) -> Result<(), String> {
        Ok(())
    }

    /// Fills in what the client left out. Runs after decoding on create, update and patch.
    fn default(&self, _object: &mut Value) {}

    /// The type of the status, for kinds where clients write the spec and controllers the status, and a change
    /// of the spec raises `metadata.generation`. The preparations below do that, unless a kind has its own.
    fn status_type(&self) -> Option<&'static str> {
        None
    }

    /// Clears or sets what a client may not choose on create (status, `metadata.generation`).
    fn prepare_create(&self, object: &mut Value) {
        if let Some(status_type) = self.status_type() {
            strategy::create(object, status_type);
        }
    }

    /// Takes over from `old` what an update of the main resource may not change (status) and raises
    /// `metadata.generation` when the spec changed. Expects that `metadata.generation` of `new` has
    /// been set to that of `old`.
    fn prepare_update(&self, new: &mut Value, old: &Value) {
        if self.status_type().is_some() {
            strategy::update(new, old);
        }
    }

    /// Takes over from `old` what an update of the status subresource may not change (spec).
    fn prepare_status_update(&self, new: &mut Value, old: &Value) {
        if self.status_type().is_some() {
            strategy::status_update(new, old);
        }
    }

    /// Takes over from `old` all but the amounts that the resize subresource of pods may change.
    fn prepare_resize(&self, new: &mut Value, old: &Value) {
        *new = old.clone();
    }

    /// Takes over from `old` all but what the ephemeralcontainers subresource of pods may change.
    fn prepare_ephemeral_containers(&self, new: &mut Value, old: &Value) {
        *new = old.clone();
    }

    /// A written object as managers of fields see it, where that is not as the client sent it.
    fn as_tracked(&self, _object: &Value) -> Option<Value> {
        None
    }

    /// Adds what a deletion has to wait for. Runs when the object is first deleted.
    fn prepare_delete(&self, _object: &mut Value) {}

    /// Whether what an object owns stays when the object is deleted and nobody says what is to become of it.
    fn orphans_by_default(&self) -> bool {
        false
    }

    /// What the `Warning` header says of a deletion where nobody says what is to become of what the object owns.
    fn orphan_warning(&self) -> Option<&'static str> {
        None
    }

    /// Checks a new object.
    fn validate_create(&self, _object: &Value, _errors: &mut Vec<FieldError>) {}

    /// Checks a changed object against the one it replaces: as a new object, unless a kind has its own
    /// checks, which include those of `validate_create` where the API repeats them.
    fn validate_update(&self, new: &Value, _old: &Value, errors: &mut Vec<FieldError>) {
        self.validate_create(new, errors);
    }

    /// Checks an update of the status subresource.
    fn validate_status_update(&self, _new: &Value, _old: &Value, _errors: &mut Vec<FieldError>) {}

    /// Checks an update of the resize subresource.
    fn validate_resize(&self, _new: &Value, _old: &Value, _errors: &mut Vec<FieldError>) {}

    /// Checks an update of the ephemeralcontainers subresource.
    fn validate_ephemeral_containers(&self, _new: &Value, _old: &Value, _errors: &mut Vec<FieldError>) {}

    /// Sentences for the `Warning` header. `old` is absent on create.
    fn warnings(&self, _new: &Value, _old: Option<&Value>) -> Vec<String> {
        Vec::new()
    }

    /// The columns of `kubectl get`.
    fn columns(&self) -> &'static [Column] {
        NAME_AND_CREATED
    }

    /// The columns as a table shows them.
    fn column_definitions(&self) -> Vec<Value> {
        self.columns().iter().map(Column::definition).collect()
    }

    /// The cells of one row, one per column. `now` is Unix time in seconds, for ages.
    fn cells(&self, object: &Value, _now: i64) -> Vec<Value> {
        default_cells(object)
    }

    /// Takes out of metadata what is only there in the versioned form of the object, as tables and
    /// partial objects are made from the other one.
    fn unversion_metadata(&self, _metadata: &mut Value) {}

    /// What a row says about an object that has come to its end.
    fn row_conditions(&self, _object: &Value) -> Option<Value> {
        None
    }
}

fn default_cells(object: &Value) -> Vec<Value> {
    let field = |pointer: &str| object.pointer(pointer).cloned().unwrap_or_default();
    vec![field("/metadata/name"), field("/metadata/creationTimestamp")]
}
