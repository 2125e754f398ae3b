//! Quotas, as far as they keep pods from being created.

use everynode_engine::fit::{Demand, quantity};
use serde_json::Value;

use crate::record::Quota;

/// The quotas of one namespace in one run.
#[derive(Debug, Default)]
pub(crate) struct Quotas(Vec<Row>);

#[derive(Debug)]
struct Row {
    name: String,
    resource: String,
    hard: i64,
    used: i64,
}

impl Quotas {
    /// Those that count every pod; quotas with scopes are left out.
    pub fn new(quotas: &[Quota]) -> Quotas {
        let mut rows = Vec::new();
        for quota in quotas.iter().filter(|quota| !quota.scoped) {
            for (resource, hard) in quota.hard.as_object().into_iter().flatten() {
                let amount = |value: &Value| amount(resource, value);
                if let Some(hard) = amount(hard) {
                    let used = amount(&quota.used[resource]).unwrap_or_default();
                    rows.push(Row { name: quota.name.clone(), resource: resource.clone(), hard, used });
                }
            }
        }
        Quotas(rows)
    }

    /// Counts a new pod in, or says why it is refused.
    pub fn refuse(&mut self, demand: &Demand) -> Option<String> {
        let full = |row: &&Row| {
            let need = need(&row.resource, demand);
            need > 0 && row.used + need > row.hard
        };
        if let Some(row) = self.0.iter().find(full) {
            return Some(format!("exceeded quota {}: {} is limited", row.name, row.resource));
        }
        self.0.iter_mut().for_each(|row| row.used += need(&row.resource, demand));
        None
    }

    /// A pod is gone.
    pub fn release(&mut self, demand: &Demand) {
        self.0.iter_mut().for_each(|row| row.used -= need(&row.resource, demand));
    }
}

fn amount(resource: &str, value: &Value) -> Option<i64> {
    let quantity = quantity(value)?;
    Some(match resource {
        "cpu" | "requests.cpu" => quantity.millis(),
        "pods" | "count/pods" | "memory" | "requests.memory" => quantity.value(),
        _ => return None,
    })
}

fn need(resource: &str, demand: &Demand) -> i64 {
    match resource {
        "pods" | "count/pods" => 1,
        "cpu" | "requests.cpu" => demand.amounts.cpu_millis,
        "memory" | "requests.memory" => demand.amounts.memory_bytes,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_is_refused_when_any_of_its_quotas_is_full() {
        let quota = Quota {
            name: "q".into(),
            hard: json!({"pods": "3", "requests.cpu": "1", "services": "0"}),
            used: json!({"pods": "1", "requests.cpu": "500m"}),
            ..Quota::default()
        };
        let mut quotas =
            Quotas::new(&[quota.clone(), Quota { scoped: true, hard: json!({"pods": "0"}), ..quota }]);
        let mut demand = Demand::default();
        demand.amounts.cpu_millis = 400;
        assert_eq!(quotas.refuse(&demand), None);
        assert_eq!(quotas.refuse(&demand).as_deref(), Some("exceeded quota q: requests.cpu is limited"));
        quotas.release(&demand);
        assert_eq!(quotas.refuse(&demand), None);
        demand.amounts.cpu_millis = 0;
        assert_eq!(quotas.refuse(&demand), None);
        assert_eq!(quotas.refuse(&demand).as_deref(), Some("exceeded quota q: pods is limited"));
    }
}
