//! Requests and limits of resources.

use std::collections::HashSet;

use everynode_model::access::Read;
use everynode_model::pod_resources::{self, Side, is_huge_page, is_native};
use everynode_model::quantity::Quantity;
use everynode_model::{Value, names};

use super::{Errors, Path, Report};

/// Resources of a container that have no domain in front.
const CONTAINER: &[&str] = &["cpu", "memory", "ephemeral-storage"];

/// Resources without a domain that the API knows anywhere.
const STANDARD: &[&str] = &[
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "storage",
    "requests.storage",
    "services.nodeports",
    "services.loadbalancers",
];

/// What a downward API field may name.
const FIELDS: &[&str] = &[
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];

/// Divisors of amounts in bytes.
const BYTE_DIVISORS: &[&str] =
    &["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];

fn is_extended(name: &str) -> bool {
    !is_native(name)
        && !name.starts_with("requests.")
        && names::qualified_name(&format!("requests.{name}")).is_empty()
}

/// Whether requests may stay below the limit.
fn may_overcommit(name: &str) -> bool {
    is_native(name) && !is_huge_page(name)
}

fn parsed(value: &Value) -> Option<Quantity> {
    Quantity::parse(value.as_str()?).ok()
}

/// Checks `resources` of a container, or of a pod. `claims` are the names of the pod's resource claims.
pub(crate) fn requirements(
    requirements: &Value,
    of_pod: bool,
    claims: &[&str],
    path: &Path<'_>,
    errors: &mut Errors,
) {
    let (mut huge_pages, mut cpu_or_memory) = (false, false);
    let (limits_path, requests_path) = (path.child("limits"), path.child("requests"));
    for (name, quantity) in requirements.entries("limits") {
        amount(name, quantity, of_pod, &limits_path.key(name), errors);
        huge_pages |= is_huge_page(name);
        cpu_or_memory |= matches!(name, "cpu" | "memory");
    }
    for (name, quantity) in requirements.entries("requests") {
        amount(name, quantity, of_pod, &requests_path.key(name), errors);
        huge_pages |= is_huge_page(name);
        cpu_or_memory |= matches!(name, "cpu" | "memory");
        let limit = requirements.get("limits").and_then(|limits| limits.get(name));
        request_fits(name, quantity, limit, (&requests_path, &limits_path), errors);
    }
    if huge_pages && !cpu_or_memory {
        errors.forbidden(path, "HugePages require cpu or memory");
    }
    let claims_path = path.child("claims");
    if of_pod && requirements.has("claims") {
        errors.forbidden(claims_path, "claims may not be set for Resources at pod-level");
    }
    claim_names(requirements.items("claims"), claims, &claims_path, errors);
}

/// Checks what a pod asks for as a whole against what its containers ask for.
pub(crate) fn of_pod(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    for (side, what) in [(Side::Requests, "requests"), (Side::Limits, "limits")] {
        let whole = side.of(spec);
        let list = path.child(what);
        for (name, together) in pod_resources::of_containers(spec, side) {
            let is_checked = side == Side::Requests || is_huge_page(&name);
            let Some(amount) = whole.get(&name).filter(|amount| is_checked && together > **amount) else {
                continue;
            };
            let message =
                format!("must be greater than or equal to aggregate container {what} of {together}");
            errors.invalid(list.key(&name), amount.to_string(), &message);
        }
    }
    let whole = Side::Limits.of(spec);
    let list = path.child("containers");
    for (index, container) in spec.items("containers").iter().enumerate() {
        for (name, limit) in Side::Limits.of(container) {
            let Some(most) = whole.get(&name).filter(|most| limit > **most) else { continue };
            let message = format!("must be less than or equal to pod limits of {most}");
            errors.invalid(list.index(index).key(&name).child("limits"), limit.to_string(), &message);
        }
    }
}

fn request_fits(
    name: &str,
    request: &Value,
    limit: Option<&Value>,
    (requests, limits): (&Path<'_>, &Path<'_>),
    errors: &mut Errors,
) {
    let overcommit = may_overcommit(name);
    let Some(limit) = limit else {
        if !overcommit {
            errors.required(limits, "Limit must be set for non overcommitable resources");
        }
        return;
    };
    let (Some(request), Some(limit)) = (parsed(request), parsed(limit)) else { return };
    if !overcommit && request != limit {
        let message = format!("must be equal to {name} limit of {limit}");
        errors.invalid(requests, request.to_string(), &message);
    } else if request > limit {
        let message = format!("must be less than or equal to {name} limit of {limit}");
        errors.invalid(requests, request.to_string(), &message);
    }
}

fn amount(name: &str, quantity: &Value, of_pod: bool, path: &Path<'_>, errors: &mut Errors) {
    resource_name(name, of_pod, path, errors);
    let Some(quantity) = parsed(quantity) else { return };
    not_negative(&quantity, path, errors);
    if is_extended(name) && quantity.millis() % 1000 != 0 {
        errors.invalid(path, quantity.to_string(), "must be an integer");
    }
}

/// Reports a quantity below 0.
pub(crate) fn not_negative(quantity: &Quantity, path: &Path<'_>, errors: &mut Errors) {
    if quantity.is_negative() {
        errors.invalid(path, quantity.to_string(), names::NOT_NEGATIVE);
    }
}

fn resource_name(name: &str, of_pod: bool, path: &Path<'_>, errors: &mut Errors) {
    let before = errors.len();
    any_resource_name(name, path, errors);
    if of_pod {
        if errors.len() == before && !matches!(name, "cpu" | "memory") && !is_huge_page(name) {
            errors.not_supported(path, name, &["cpu", "hugepages-", "memory"]);
        }
    } else if !name.contains('/') {
        if !CONTAINER.contains(&name) && !is_huge_page(name) {
            errors.invalid(path, name, "must be a standard resource for containers");
        }
    } else if !is_native(name) && !is_extended(name) {
        errors.invalid(path, name, "doesn't follow extended resource name standard");
    }
}

/// Checks the name of a resource of any kind of object.
pub(crate) fn any_resource_name(name: &str, path: &Path<'_>, errors: &mut Errors) {
    let messages = names::qualified_name(name);
    if messages.is_empty() && !name.contains('/') && !STANDARD.contains(&name) && !is_quota_huge_page(name) {
        errors.invalid(path, name, "must be a standard resource type or fully qualified");
    }
    errors.all_invalid(path, name, messages);
}

fn is_quota_huge_page(name: &str) -> bool {
    is_huge_page(name) || name.starts_with("requests.hugepages-")
}

fn claim_names(claims: &[Value], known: &[&str], path: &Path<'_>, errors: &mut Errors) {
    let mut before = HashSet::new();
    for (index, claim) in claims.iter().enumerate() {
        let name = claim.text("name");
        let path = path.index(index);
        let is_repeated = !before.insert((name, claim.text("request")));
        if name.is_empty() {
            errors.required(path, "");
        } else if is_repeated {
            errors.duplicate(path, name);
        }
        // What is known is sorted.
        if !name.is_empty() && known.binary_search(&name).is_err() && !errors.is_full() {
            let mut error = crate::status::FieldError::not_found(path, name);
            let known =
                if known.is_empty() { " which is empty".into() } else { format!(": {}", known.join(", ")) };
            error.message.push_str(&format!(": must be one of the names in pod.spec.resourceClaims{known}"));
            errors.push(error);
        }
    }
}

/// Checks a reference to a request or limit. Files of volumes must name their container.
pub(crate) fn field_ref(field: &Value, in_volume: bool, path: &Path<'_>, errors: &mut Errors) {
    let resource = field.text("resource");
    let huge_page = resource.starts_with("requests.hugepages-") || resource.starts_with("limits.hugepages-");
    if in_volume && field.text("containerName").is_empty() {
        errors.required(path.child("containerName"), "");
    } else if resource.is_empty() {
        errors.required(path.child("resource"), "");
    } else if !FIELDS.contains(&resource) && !huge_page {
        errors.not_supported(path.child("resource"), resource, FIELDS);
    }
    divisor(resource, field.text("divisor"), path, errors);
}

fn divisor(resource: &str, divisor: &str, path: &Path<'_>, errors: &mut Errors) {
    if divisor.is_empty() || divisor == "0" {
        return;
    }
    let sizes = "1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei";
    let message = match resource.split_once('.').map(|(_, resource)| resource) {
        Some("cpu") if !["1m", "1"].contains(&divisor) => {
            "only divisor's values 1m and 1 are supported with the cpu resource".to_owned()
        }
        Some("cpu") => return,
        _ if BYTE_DIVISORS.contains(&divisor) => return,
        Some("memory") => format!("only divisor's values {sizes} are supported with the memory resource"),
        Some("ephemeral-storage") => {
            format!("only divisor's values {sizes} are supported with the local ephemeral storage resource")
        }
        Some(name) if is_huge_page(name) => {
            format!("only divisor's values {sizes} are supported with the hugepages resource")
        }
        _ => return,
    };
    errors.invalid(path.child("divisor"), resource, &message);
}
