//! Resource quotas: which pods they count, what these take of them, and whether there is enough left.

use std::collections::{BTreeMap, BTreeSet};

use everynode_model::access::Read;
use everynode_model::pod_resources::{self, ResourceList, Side, is_huge_page, is_native};
use everynode_model::quantity::{Format, Quantity};
use everynode_model::{Phase, Value, time};
use serde::{Deserialize, Serialize};

/// The number of pods that are there, whatever became of them.
const OBJECT_COUNT: &str = "count/pods";
/// Resources that quotas count of pods under their own names, beside huge pages and `requests.` of extended ones.
const COUNTED: [&str; 11] = [
    OBJECT_COUNT,
    "pods",
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
];
/// Resources that every node has, of which requests and limits are counted.
const COMPUTE: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];
/// Resources of which a quota asks that every container says how much it wants.
const REQUIRED: [&str; 6] =
    ["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];

/// What a pod takes of quotas, and by what they know whether they count it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Charge {
    /// Amounts by the names that quotas have for them.
    pub amounts: ResourceList,
    /// The scopes that it is in: `BestEffort` or `NotBestEffort`, `Terminating` or `NotTerminating`, and
    /// `CrossNamespacePodAffinity`.
    pub scopes: BTreeSet<String>,
    /// spec.priorityClassName, empty when there is none.
    pub priority_class: String,
    /// Of a pod that was asked to go: the last second, in Unix time, before it should be gone.
    #[serde(skip)]
    pub until: Option<i64>,
    /// Containers, by names of [`REQUIRED`] that they say nothing of.
    #[serde(skip)]
    silent: BTreeMap<&'static str, BTreeSet<String>>,
}

impl Charge {
    /// What a pod as it is stored takes at `now`, Unix time in seconds. One that has ended, or should be gone, takes
    /// nothing but its place as an object.
    pub fn of(pod: &Value, now: i64) -> Charge {
        let spec = pod.get("spec").unwrap_or(&Value::Null);
        let one = || Quantity::from_units(1, Format::DecimalSi);
        let mut amounts = ResourceList::from([(OBJECT_COUNT.to_owned(), one())]);
        let until = until(pod);
        let is_overdue = until.is_some_and(|second| second < now);
        if !is_overdue && !Phase::of(pod).is_terminal() {
            amounts.insert("pods".to_owned(), one());
            amounts.extend(named(
                &pod_resources::with_overhead(spec, Side::Requests),
                &pod_resources::with_overhead(spec, Side::Limits),
            ));
        }
        let has_deadline = spec.number_opt("activeDeadlineSeconds").is_some_and(|seconds| seconds >= 0);
        let is_best_effort = pod.text("status.qosClass") == "BestEffort";
        let scopes = [
            Some(if has_deadline { "Terminating" } else { "NotTerminating" }),
            Some(if is_best_effort { "BestEffort" } else { "NotBestEffort" }),
            crosses_namespaces(spec).then_some("CrossNamespacePodAffinity"),
        ];
        Charge {
            amounts,
            scopes: scopes.into_iter().flatten().map(str::to_owned).collect(),
            priority_class: spec.text("priorityClassName").to_owned(),
            until,
            silent: silent(spec),
        }
    }

    /// What this takes more than what was taken before.
    #[must_use]
    pub fn beyond(mut self, before: &Charge) -> Charge {
        pod_resources::subtract(&mut self.amounts, &before.amounts);
        self.amounts.retain(|_, amount| !amount.is_zero() && !amount.is_negative());
        self
    }

    /// What a pod takes of which only the requests are known: cpu and memory.
    pub fn of_requests(requests: &ResourceList) -> Charge {
        let one = || Quantity::from_units(1, Format::DecimalSi);
        let mut amounts = named(requests, &ResourceList::new());
        amounts.extend([(OBJECT_COUNT.to_owned(), one()), ("pods".to_owned(), one())]);
        Charge { amounts, ..Charge::default() }
    }
}

/// Requests and limits under the names that quotas have for them.
fn named(requests: &ResourceList, limits: &ResourceList) -> ResourceList {
    let mut amounts = ResourceList::new();
    for (name, amount) in requests {
        if COMPUTE.contains(&name.as_str()) || is_huge_page(name) {
            amounts.insert(name.clone(), amount.clone());
            amounts.insert(format!("requests.{name}"), amount.clone());
        } else if !is_native(name) {
            amounts.insert(format!("requests.{name}"), amount.clone());
        }
    }
    for name in COMPUTE {
        if let Some(limit) = limits.get(name) {
            amounts.insert(format!("limits.{name}"), limit.clone());
        }
    }
    amounts
}

/// The last second before a pod that was asked to go should be gone.
fn until(pod: &Value) -> Option<i64> {
    let grace_seconds = pod.number_opt("metadata.deletionGracePeriodSeconds")?;
    let deletion = time::parse(pod.text("metadata.deletionTimestamp")).ok()?;
    Some(deletion.saturating_add(grace_seconds))
}

/// A term of affinity to, or against, pods that looks into other namespaces.
fn crosses_namespaces(spec: &Value) -> bool {
    let crosses = |term: &Value| !term.items("namespaces").is_empty() || term.has("namespaceSelector");
    ["podAffinity", "podAntiAffinity"].iter().any(|kind| {
        let list = |when: &str| spec.items(&format!("affinity.{kind}.{when}IgnoredDuringExecution"));
        list("requiredDuringScheduling").iter().any(crosses)
            || list("preferredDuringScheduling")
                .iter()
                .any(|weighted| weighted.get("podAffinityTerm").is_some_and(crosses))
    })
}

/// Where nothing is asked for the pod as a whole: what its containers leave out, and which.
fn silent(spec: &Value) -> BTreeMap<&'static str, BTreeSet<String>> {
    let mut silent: BTreeMap<&'static str, BTreeSet<String>> = BTreeMap::new();
    let whole = [Side::Requests, Side::Limits].into_iter().flat_map(|side| side.of(spec));
    if whole.into_iter().any(|(name, _)| pod_resources::is_of_pod_level(&name)) {
        return silent;
    }
    for container in spec.items("containers").iter().chain(spec.items("initContainers")) {
        let said = named(&Side::Requests.of(container), &Side::Limits.of(container));
        for resource in REQUIRED.into_iter().filter(|resource| !said.contains_key(*resource)) {
            silent.entry(resource).or_default().insert(container.text("name").to_owned());
        }
    }
    silent
}

/// The quotas of one namespace, and how much of them is used.
#[derive(Debug, Clone, Default)]
pub struct Quotas(Vec<Quota>);

#[derive(Debug, Clone)]
struct Quota {
    name: String,
    scopes: Vec<Scope>,
    hard: ResourceList,
    used: ResourceList,
}

#[derive(Debug, Clone, PartialEq)]
struct Scope {
    name: String,
    operator: String,
    values: Vec<String>,
}

impl Quotas {
    /// Reads ResourceQuotas as served, used as their status says.
    pub fn new(objects: &[Value]) -> Quotas {
        Quotas(objects.iter().map(Quota::of).collect())
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Counts what is used anew: by these pods.
    pub fn recount<'a>(&mut self, pods: impl IntoIterator<Item = &'a Charge>) {
        self.0.iter_mut().for_each(|quota| quota.used = ResourceList::new());
        pods.into_iter().for_each(|charge| self.take(charge));
    }

    /// Whether they limit the same, whatever is used of it.
    pub fn limit_the_same_as(&self, others: &Quotas) -> bool {
        self.0.len() == others.0.len() && self.0.iter().zip(&others.0).all(|(one, other)| one.is_like(other))
    }

    /// Charges a new pod, or says why it is refused.
    ///
    /// # Errors
    /// What follows `is forbidden: ` in the refusal.
    pub fn admit(&mut self, charge: &Charge) -> Result<(), String> {
        self.0.iter().filter(|quota| quota.counts(charge)).try_for_each(|quota| quota.check(charge))?;
        self.take(charge);
        Ok(())
    }

    /// Charges a pod that is there.
    pub fn take(&mut self, charge: &Charge) {
        self.0.iter_mut().filter(|quota| quota.counts(charge)).for_each(|quota| quota.take(charge));
    }

    /// A pod that was charged is gone.
    pub fn release(&mut self, charge: &Charge) {
        for quota in self.0.iter_mut().filter(|quota| quota.counts(charge)) {
            let amounts = quota.of_interest(charge);
            pod_resources::subtract(&mut quota.used, &amounts);
        }
    }

    /// What is used of a quota of what it limits of pods.
    pub fn used(&self, name: &str) -> ResourceList {
        let quota = self.0.iter().find(|quota| quota.name == name);
        let used = |quota: &Quota| {
            let zero = |resource: &String| quota.used.get(resource).cloned().unwrap_or(Quantity::ZERO);
            quota.hard.keys().map(|resource| (resource.clone(), zero(resource))).collect()
        };
        quota.map(used).unwrap_or_default()
    }
}

impl Quota {
    fn of(object: &Value) -> Quota {
        let named = object.items("spec.scopes").iter().filter_map(Value::as_str);
        let mut scopes: Vec<Scope> = named
            .map(|name| Scope { name: name.to_owned(), operator: "Exists".to_owned(), values: Vec::new() })
            .collect();
        scopes.extend(object.items("spec.scopeSelector.matchExpressions").iter().map(|one| Scope {
            name: one.text("scopeName").to_owned(),
            operator: one.text("operator").to_owned(),
            values: one.items("values").iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        }));
        let mut hard = pod_resources::list(object.at("status.hard").or_else(|| object.at("spec.hard")));
        hard.retain(|name, _| counts_of_pods(name));
        let used = pod_resources::list(object.at("status.used"));
        Quota { name: object.text("metadata.name").to_owned(), scopes, hard, used }
    }

    fn is_like(&self, other: &Quota) -> bool {
        (&self.name, &self.scopes, &self.hard) == (&other.name, &other.scopes, &other.hard)
    }

    /// It limits something of pods, and this one is in its scopes.
    fn counts(&self, charge: &Charge) -> bool {
        !self.hard.is_empty() && self.scopes.iter().all(|scope| scope.holds(charge))
    }

    fn of_interest(&self, charge: &Charge) -> ResourceList {
        let is_limited = |name: &String, amount: &Quantity| self.hard.contains_key(name) && !amount.is_zero();
        let amounts = charge.amounts.iter().filter(|(name, amount)| is_limited(name, amount));
        amounts.map(|(name, amount)| (name.clone(), amount.clone())).collect()
    }

    fn check(&self, charge: &Charge) -> Result<(), String> {
        let silent = charge.silent.iter().filter(|(resource, _)| self.hard.contains_key(**resource));
        let silent: Vec<String> = silent
            .map(|(resource, containers)| {
                let containers: Vec<&str> = containers.iter().map(String::as_str).collect();
                format!("{resource} for: {}", containers.join(","))
            })
            .collect();
        if !silent.is_empty() {
            return Err(format!("failed quota: {}: must specify {}", self.name, silent.join("; ")));
        }
        let used = |name: &String| self.used.get(name).cloned().unwrap_or(Quantity::ZERO);
        let mut wanted = self.of_interest(charge);
        wanted.retain(|name, amount| self.hard.get(name).is_some_and(|hard| used(name).add(amount) > *hard));
        if wanted.is_empty() {
            return Ok(());
        }
        let text = |amount: &dyn Fn(&String) -> String| {
            let parts: Vec<String> = wanted.keys().map(|name| format!("{name}={}", amount(name))).collect();
            parts.join(",")
        };
        Err(format!(
            "exceeded quota: {}, requested: {}, used: {}, limited: {}",
            self.name,
            text(&|name| wanted[name].to_string()),
            text(&|name| used(name).to_string()),
            text(&|name| self.hard[name].to_string())
        ))
    }

    fn take(&mut self, charge: &Charge) {
        let amounts = self.of_interest(charge);
        pod_resources::add(&mut self.used, &amounts);
    }
}

impl Scope {
    fn holds(&self, charge: &Charge) -> bool {
        if self.name != "PriorityClass" {
            return charge.scopes.contains(&self.name);
        }
        let class = Some(charge.priority_class.as_str()).filter(|class| !class.is_empty());
        let is_named = class.is_some_and(|class| self.values.iter().any(|value| value == class));
        match self.operator.as_str() {
            "Exists" => class.is_some(),
            "DoesNotExist" => class.is_none(),
            "In" => is_named,
            "NotIn" => !is_named,
            _ => false,
        }
    }
}

/// Whether a name of a quota's `hard` is about pods.
fn counts_of_pods(name: &str) -> bool {
    let is_requested = |rest: &str| is_huge_page(rest) || !is_native(rest);
    COUNTED.contains(&name) || is_huge_page(name) || name.strip_prefix("requests.").is_some_and(is_requested)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(resources: Value, more: Value) -> Charge {
        let mut pod = json!({
            "spec": {"containers": [{"name": "main", "resources": resources}]},
            "status": {"qosClass": "Burstable"},
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            pod["spec"][key] = value.clone();
        }
        Charge::of(&pod, 0)
    }

    fn quota(hard: Value, spec: Value) -> Quotas {
        let mut object = json!({"metadata": {"name": "q"}, "spec": spec});
        object["spec"]["hard"] = hard;
        Quotas::new(&[object])
    }

    fn check(mut quotas: Quotas, charge: &Charge, expected: Result<(), &str>) {
        assert_eq!(quotas.admit(charge), expected.map_err(str::to_owned), "{quotas:?}");
    }

    #[test]
    fn a_pod_is_refused_when_any_of_its_quotas_is_full_and_not_when_one_has_gone() {
        let small = pod(json!({"requests": {"cpu": "400m"}}), json!({}));
        let mut quotas = quota(json!({"pods": "3", "requests.cpu": "1", "services": "0"}), json!({}));
        assert_eq!([quotas.admit(&small), quotas.admit(&small)], [Ok(()), Ok(())]);
        let full = "exceeded quota: q, requested: requests.cpu=400m, used: requests.cpu=800m, limited: requests.cpu=1";
        assert_eq!(quotas.admit(&small), Err(full.to_owned()));
        quotas.release(&small);
        assert_eq!(quotas.admit(&small), Ok(()));
        assert_eq!(quotas.used("q")["requests.cpu"].to_string(), "800m");
    }

    #[test]
    fn a_quota_of_cpu_or_memory_wants_every_container_to_say_how_much() {
        let silent = "failed quota: q: must specify limits.memory for: main; requests.cpu for: main";
        let hard = json!({"requests.cpu": "1", "limits.memory": "1Gi", "requests.ephemeral-storage": "1Gi"});
        check(quota(hard.clone(), json!({})), &pod(json!({}), json!({})), Err(silent));
        let whole = json!({"resources": {"limits": {"memory": "1Gi"}}});
        check(quota(hard, json!({})), &pod(json!({}), whole), Ok(()));
    }

    #[test]
    fn a_quota_counts_the_pods_in_all_of_its_scopes() {
        let none = json!({"pods": "0"});
        let full = Err("exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0");
        let plain = pod(json!({}), json!({}));
        let critical = pod(json!({}), json!({"priorityClassName": "critical", "activeDeadlineSeconds": 5}));
        for (scopes, of_plain, of_critical) in [
            (json!({}), full, full),
            (json!({"scopes": ["NotTerminating"]}), full, Ok(())),
            (json!({"scopes": ["Terminating", "NotBestEffort"]}), Ok(()), full),
            (json!({"scopes": ["BestEffort"]}), Ok(()), Ok(())),
            (json!({"scopes": ["PriorityClass"]}), Ok(()), full),
            (json!({"scopes": ["CrossNamespacePodAffinity"]}), Ok(()), Ok(())),
        ] {
            check(quota(none.clone(), scopes.clone()), &plain, of_plain);
            check(quota(none.clone(), scopes), &critical, of_critical);
        }
        let by_class = |operator: &str| {
            let scope = json!({"scopeName": "PriorityClass", "operator": operator, "values": ["critical"]});
            quota(none.clone(), json!({"scopeSelector": {"matchExpressions": [scope]}}))
        };
        check(by_class("In"), &critical, full);
        check(by_class("In"), &plain, Ok(()));
        check(by_class("NotIn"), &plain, full);
    }

    #[test]
    fn pods_that_have_ended_or_should_be_gone_take_only_their_place_as_objects() {
        let mut pod = json!({"metadata": {}, "spec": {"containers": []}, "status": {"phase": "Running"}});
        let taken = |pod: &Value| Charge::of(pod, 100).amounts.keys().cloned().collect::<Vec<_>>();
        assert_eq!(taken(&pod), ["count/pods", "pods"]);
        pod["metadata"] =
            json!({"deletionTimestamp": "1970-01-01T00:00:50Z", "deletionGracePeriodSeconds": 60});
        assert_eq!(taken(&pod), ["count/pods", "pods"]);
        pod["metadata"]["deletionGracePeriodSeconds"] = 30.into();
        assert_eq!(taken(&pod), ["count/pods"]);
        let ended = json!({"spec": {}, "status": {"phase": "Failed"}});
        assert_eq!(taken(&ended), ["count/pods"]);
    }
}
