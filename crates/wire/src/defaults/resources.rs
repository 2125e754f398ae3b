//! Resource lists.

use crate::Value;
use crate::access::{Fill, Read};

/// Requests that are missing become equal to the limits. The API does this for pods, not for templates.
pub(crate) fn requests_from_limits(container: &mut Value) {
    let Some(resources) = container.get_mut("resources") else { return };
    let limits: Vec<(String, Value)> =
        resources.entries("limits").map(|(name, quantity)| (name.to_owned(), quantity.clone())).collect();
    if limits.is_empty() {
        return;
    }
    let Some(requests) = resources.make("requests") else { return };
    for (name, quantity) in limits {
        requests.fill(&name, quantity);
    }
}
