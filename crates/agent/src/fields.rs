//! Values of a pod's own fields and amounts, as variables and files ask for them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use everynode_model::quantity::{Format, Quantity};

use crate::pod_spec::{Container, Pod, ResourceFieldRef};

/// What is known of the node and the pod's addresses, beside the pod.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// The node's addresses, the first of each family.
    pub host_ips: Vec<String>,
    /// The pod's addresses.
    pub pod_ips: Vec<String>,
    /// What the node gives to pods, by resource.
    pub allocatable: BTreeMap<String, Quantity>,
}

/// Why a field has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// There is no such field that may be asked for.
    #[error("field path {0:?} cannot be asked for")]
    Path(String),
    /// The amount is of a container that is not there.
    #[error("there is no container {0:?} whose resources could be asked for")]
    Container(String),
    /// There is no such resource.
    #[error("resource {0:?} cannot be asked for")]
    Resource(String),
}

/// The value of a field of the pod.
///
/// # Errors
/// When there is no such field. What is not set is empty.
pub fn field(pod: &Pod, path: &str, around: &Surroundings) -> Result<String, FieldError> {
    let (metadata, spec) = (&pod.metadata, &pod.spec);
    let first = |list: &[String]| list.first().cloned().unwrap_or_default();
    Ok(match path {
        "metadata.name" => metadata.name.clone(),
        "metadata.namespace" => metadata.namespace.clone(),
        "metadata.uid" => metadata.uid.clone(),
        "metadata.labels" => lines(&metadata.labels),
        "metadata.annotations" => lines(&metadata.annotations),
        "spec.nodeName" => spec.node_name.clone(),
        "spec.serviceAccountName" => spec.service_account_name.clone(),
        "status.hostIP" => first(&around.host_ips),
        "status.hostIPs" => around.host_ips.join(","),
        "status.podIP" => first(&around.pod_ips),
        "status.podIPs" => around.pod_ips.join(","),
        _ => {
            let key = |map: &str| path.strip_prefix(map)?.strip_prefix("['")?.strip_suffix("']");
            let label = key("metadata.labels").map(|key| metadata.labels.get(key));
            let value =
                label.or_else(|| key("metadata.annotations").map(|key| metadata.annotations.get(key)));
            value.ok_or_else(|| FieldError::Path(path.to_owned()))?.cloned().unwrap_or_default()
        }
    })
}

/// A map as lines `key="value"`, in the order of keys.
fn lines(map: &BTreeMap<String, String>) -> String {
    let mut text = String::new();
    for (index, (key, value)) in map.iter().enumerate() {
        let line_end = if index == 0 { "" } else { "\n" };
        let _ = write!(text, "{line_end}{key}={}", everynode_model::go_quote(value));
    }
    text
}

/// An amount of a container, in units of the divisor, rounded up. What is not limited is what the node gives.
///
/// # Errors
/// When there is no such container or resource.
pub fn resource(
    pod: &Pod,
    own: &Container,
    asked: &ResourceFieldRef,
    around: &Surroundings,
) -> Result<String, FieldError> {
    let container = match asked.container_name.as_str() {
        "" => own,
        name => pod.spec.container(name).ok_or_else(|| FieldError::Container(name.to_owned()))?,
    };
    let unknown = || FieldError::Resource(asked.resource.clone());
    let (kind, name) = asked.resource.split_once('.').ok_or_else(unknown)?;
    let amount = match kind {
        "limits" => container.resources.limits.get(name).or_else(|| around.allocatable.get(name)),
        "requests" => container.resources.request(name),
        _ => return Err(unknown()),
    };
    let is_known = matches!(name, "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-");
    if !is_known {
        return Err(unknown());
    }
    let one = Quantity::from_units(1, Format::DecimalSi);
    let divisor = asked.divisor.as_ref().filter(|divisor| !divisor.is_zero()).unwrap_or(&one);
    let amount = amount.cloned().unwrap_or(Quantity::ZERO);
    Ok(match name {
        "cpu" => divided_up(amount.millis(), divisor.millis()),
        _ => divided_up(amount.value(), divisor.value()),
    }
    .to_string())
}

fn divided_up(amount: i64, divisor: i64) -> i64 {
    let divisor = divisor.max(1);
    amount / divisor + i64::from(amount % divisor > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> Pod {
        serde_json::from_str(
            r#"{"metadata":{"name":"p","namespace":"n","uid":"u","labels":{"a":"1","b":"x\ny"},
                "annotations":{"example.com/c":"d"}},
            "spec":{"nodeName":"w","containers":[
                {"name":"c","resources":{"limits":{"cpu":"1500m","memory":"64Mi"},"requests":{"cpu":"250m"}}},
                {"name":"d"}]}}"#,
        )
        .unwrap()
    }

    fn around() -> Surroundings {
        let allocatable = [("cpu", "8"), ("memory", "32Gi")];
        Surroundings {
            host_ips: vec!["10.0.0.1".to_owned()],
            pod_ips: vec!["10.1.0.1".to_owned(), "fd00::1".to_owned()],
            allocatable: allocatable
                .map(|(name, amount)| (name.to_owned(), Quantity::parse(amount).unwrap()))
                .into(),
        }
    }

    #[test]
    fn fields_have_the_values_of_the_pod() {
        for (path, expected) in [
            ("metadata.name", Some("p")),
            ("metadata.labels", Some("a=\"1\"\nb=\"x\\ny\"")),
            ("metadata.labels['a']", Some("1")),
            ("metadata.labels['missing']", Some("")),
            ("metadata.annotations['example.com/c']", Some("d")),
            ("spec.nodeName", Some("w")),
            ("status.hostIP", Some("10.0.0.1")),
            ("status.podIPs", Some("10.1.0.1,fd00::1")),
            ("spec.containers", None),
            ("metadata.labels['a'", None),
        ] {
            assert_eq!(field(&pod(), path, &around()).ok().as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn amounts_are_in_units_of_the_divisor_rounded_up() {
        for (container, resource_name, divisor, expected) in [
            ("c", "limits.cpu", None, Some("2")),
            ("c", "limits.cpu", Some("1m"), Some("1500")),
            ("c", "requests.cpu", Some("100m"), Some("3")),
            ("c", "limits.memory", Some("1Mi"), Some("64")),
            ("c", "requests.memory", None, Some("67108864")),
            ("d", "limits.memory", Some("1Gi"), Some("32")),
            ("d", "requests.cpu", None, Some("0")),
            ("e", "limits.cpu", None, None),
            ("c", "limits.gpu", None, None),
            ("c", "cpu", None, None),
        ] {
            let asked = ResourceFieldRef {
                container_name: container.to_owned(),
                resource: resource_name.to_owned(),
                divisor: divisor.map(|text| Quantity::parse(text).unwrap()),
            };
            let pod = pod();
            let value = resource(&pod, &pod.spec.containers[1], &asked, &around());
            assert_eq!(value.ok().as_deref(), expected, "{container} {resource_name} {divisor:?}");
        }
    }
}
