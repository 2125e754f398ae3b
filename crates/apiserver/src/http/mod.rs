//! What requests and responses say.

pub mod accept;
pub mod attributes;
pub mod body;
pub mod query;
pub mod target;
pub mod verb;

use everynode_apimachinery::field_selector::FieldSelector;
use everynode_apimachinery::status::Status;
use everynode_model::LabelSelector;

/// Reads what a request says beside its body, as the server does: its path, its query, and the header `Accept`. For
/// fuzzing.
///
/// # Errors
/// The refusal.
pub fn read_head(path: &str, query: &str, accept: &str) -> Result<(), Status> {
    let query = query::Query::parse(Some(query));
    target::segments(path);
    accept::Form::negotiate(Some(accept))?;
    query::ListOptions::parse(&query)?;
    query::WriteOptions::parse(&query, "PatchOptions")?;
    LabelSelector::parse(query.get("labelSelector").unwrap_or(""))?;
    FieldSelector::parse(query.get("fieldSelector").unwrap_or(""))?;
    Ok(())
}
