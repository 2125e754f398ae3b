//! Resource lists.

use everynode_model::Value;
use everynode_model::access::{Fill, Read};
use everynode_model::pod_resources::{self, Side, is_huge_page};
use everynode_model::quantity::Quantity;

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

/// What a pod asks for as a whole, where it limits something so: huge pages are limited as its containers limit them
/// together, and requests that are missing become those of its containers, or else the limits.
pub(crate) fn of_pod(spec: &mut Value) {
    let (mut limits, mut requests) = (Side::Limits.of(spec), Side::Requests.of(spec));
    if limits.is_empty() && requests.is_empty() {
        return;
    }
    for (name, limit) in pod_resources::of_containers(spec, Side::Limits) {
        if is_huge_page(&name) && !requests.contains_key(&name) {
            limits.entry(name).or_insert(limit);
        }
    }
    if !limits.is_empty() {
        for (name, request) in pod_resources::of_containers(spec, Side::Requests) {
            if pod_resources::is_of_pod_level(&name) && !is_huge_page(&name) {
                requests.entry(name).or_insert(request);
            }
        }
        for (name, limit) in limits.iter().filter(|(name, _)| pod_resources::is_of_pod_level(name)) {
            requests.entry(name.clone()).or_insert_with(|| limit.clone());
        }
    }
    for (side, list) in [(Side::Limits, limits), (Side::Requests, requests)] {
        let amounts = list.into_iter().map(|(name, amount)| (name, amount.to_string().into()));
        if let Some(resources) = spec.get_mut("resources").filter(|_| amounts.len() > 0) {
            resources.put(side.field(), Value::Object(amounts.collect()));
        }
    }
}

/// Amounts finer than a thousandth are rounded up to one, in requests and in limits.
pub(crate) fn round_up(owner: &mut Value) {
    let Some(resources) = owner.get_mut("resources") else { return };
    for list in ["limits", "requests"] {
        round_up_list(resources, list);
    }
}

/// Amounts of a list that are finer than a thousandth are rounded up to one.
pub(crate) fn round_up_list(owner: &mut Value, list: &str) {
    let Some(Value::Object(list)) = owner.get_mut(list) else { return };
    for amount in list.values_mut() {
        let Ok(exact) = Quantity::parse(amount.as_str().unwrap_or_default()) else { continue };
        let rounded = Quantity::from_millis(exact.millis());
        if rounded > exact {
            *amount = rounded.to_string().into();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_pod_asks_for_as_a_whole_is_completed_from_its_containers_and_its_limits() {
        let check = |whole: Value, container: Value, expected: Value| {
            let mut spec = json!({"containers": [{"resources": container}], "resources": whole});
            of_pod(&mut spec);
            assert_eq!(spec["resources"], expected, "{whole} {container}");
        };
        let asks = |cpu: &str| json!({"requests": {"cpu": cpu}});
        let limit = json!({"limits": {"cpu": "1"}});
        check(limit.clone(), asks("200m"), json!({"limits": {"cpu": "1"}, "requests": {"cpu": "200m"}}));
        check(limit, json!({}), json!({"limits": {"cpu": "1"}, "requests": {"cpu": "1"}}));
        check(
            json!({"limits": {"memory": "1Gi"}}),
            asks("200m"),
            json!({"limits": {"memory": "1Gi"}, "requests": {"cpu": "200m", "memory": "1Gi"}}),
        );
        check(asks("1"), asks("200m"), asks("1"));
        check(json!({}), asks("200m"), json!({}));
        let pages = json!({"hugepages-2Mi": "4Mi"});
        check(
            json!({"limits": {"cpu": "1"}}),
            json!({"limits": pages, "requests": pages}),
            json!({
                "limits": {"cpu": "1", "hugepages-2Mi": "4Mi"},
                "requests": {"cpu": "1", "hugepages-2Mi": "4Mi"},
            }),
        );
    }

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
