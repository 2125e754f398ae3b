//! Resource lists.

use crate::Value;
use crate::access::{Fill, Read};
use crate::quantity::Quantity;

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

/// Amounts finer than a thousandth are rounded up to one, in requests and in limits.
pub(crate) fn round_up(container: &mut Value) {
    let Some(resources) = container.get_mut("resources") else { return };
    for list in ["limits", "requests"] {
        let Some(Value::Object(list)) = resources.get_mut(list) else { continue };
        for amount in list.values_mut() {
            let Ok(exact) = Quantity::parse(amount.as_str().unwrap_or_default()) else { continue };
            let rounded = Quantity::from_millis(exact.millis());
            if rounded > exact {
                *amount = rounded.to_string().into();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn amounts_are_rounded_up_to_thousandths() {
        let check = |amount: &str, expected: &str| {
            let mut container = json!({"resources": {"requests": {"cpu": amount}}});
            round_up(&mut container);
            assert_eq!(container.text("resources.requests.cpu"), expected);
        };
        check("100m", "100m");
        check("1500u", "2m");
        check("1Gi", "1Gi");
        check("10E", "10E");
    }
}
