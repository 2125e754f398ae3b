//! What one rule of a role allows.

use everynode_model::Value;
use everynode_model::access::Read as _;

use crate::http::attributes::{Attributes, Resource};

/// Stands for everything in a rule.
const ALL: &str = "*";

/// One rule of a role.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// What may be done.
    pub verbs: Vec<String>,
    /// To resources of these API groups,
    pub groups: Vec<String>,
    /// of these names, `pods/log` and `*/scale` among them,
    pub resources: Vec<String>,
    /// and to these objects; to all where none is named.
    pub names: Vec<String>,
    /// To these paths; one that ends with a star means all that begin so.
    pub paths: Vec<String>,
}

impl Rule {
    /// Reads a rule of a stored role.
    pub fn read(rule: &Value) -> Rule {
        let texts = |field| rule.items(field).iter().filter_map(Value::as_str).map(str::to_owned).collect();
        Rule {
            verbs: texts("verbs"),
            groups: texts("apiGroups"),
            resources: texts("resources"),
            names: texts("resourceNames"),
            paths: texts("nonResourceURLs"),
        }
    }

    /// Whether it allows what is asked.
    pub fn allows(&self, asked: &Attributes) -> bool {
        has(&self.verbs, &asked.verb)
            && match &asked.resource {
                Some(resource) => self.allows_resource(resource),
                None => self.paths.iter().any(|rule| covers(rule, &asked.path)),
            }
    }

    fn allows_resource(&self, asked: &Resource) -> bool {
        has(&self.groups, &asked.group)
            && self.resources.iter().any(|rule| names_resource(rule, asked))
            && (self.names.is_empty() || self.names.contains(&asked.name))
    }
}

fn has(list: &[String], asked: &str) -> bool {
    list.iter().any(|one| one == ALL || one == asked)
}

fn names_resource(rule: &str, asked: &Resource) -> bool {
    let (resource, subresource) = rule.split_once('/').unwrap_or((rule, ""));
    // A star means subresources too, and with one behind it that subresource of everything.
    let is_of_all = resource == ALL && (rule == ALL || !asked.subresource.is_empty());
    rule == ALL || ((is_of_all || resource == asked.resource) && subresource == asked.subresource)
}

fn covers(rule: &str, path: &str) -> bool {
    rule == path || rule.ends_with(ALL) && path.starts_with(rule.trim_end_matches(ALL))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(rule: Value, asked: &str, expected: bool) {
        let mut words = asked.split(' ');
        let mut next = || words.next().unwrap_or_default().to_owned();
        let (verb, second) = (next(), next());
        let attributes = if second.starts_with('/') {
            Attributes { verb, path: second, resource: None }
        } else {
            let (group, resource, name) = (second, next(), next());
            let (resource, subresource) = resource.split_once('/').unwrap_or((&resource, ""));
            let (resource, subresource) = (resource.to_owned(), subresource.to_owned());
            let resource = Resource { group, resource, subresource, name, ..Resource::default() };
            Attributes { verb, path: String::new(), resource: Some(resource) }
        };
        assert_eq!(Rule::read(&rule).allows(&attributes), expected, "{rule} {asked:?}");
    }

    #[test]
    fn a_rule_allows_its_verbs_on_its_resources() {
        let pods = |verb: &str| json!({"verbs": [verb], "apiGroups": [""], "resources": ["pods"]});
        check(pods("get"), "get  pods", true);
        check(pods("get"), "list  pods", false);
        check(pods("*"), "list  pods", true);
        check(pods("get"), "get apps pods", false);
        check(pods("get"), "get  nodes", false);
        check(pods("get"), "get /pods", false);
        let all = json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]});
        check(all.clone(), "get apps daemonsets/status d", true);
        check(all.clone(), "* * *", true);
        check(all, "get /metrics", false);
        check(json!({}), "get  pods", false);
        check(json!({"verbs": null, "apiGroups": null}), "get  pods", false);
    }

    #[test]
    fn subresources_are_named_on_their_own() {
        let rule = |resource: &str| json!({"verbs": ["get"], "apiGroups": [""], "resources": [resource]});
        check(rule("pods"), "get  pods/log", false);
        check(rule("pods/log"), "get  pods/log", true);
        check(rule("pods/log"), "get  pods", false);
        check(rule("*/log"), "get  pods/log", true);
        check(rule("*/log"), "get  pods", false);
        check(rule("*/log"), "get  pods/logs", false);
        check(rule("*/"), "get  pods", false);
        check(rule("pods/*"), "get  pods/log", false);
        check(rule("*"), "get  pods/log", true);
    }

    #[test]
    fn names_limit_a_rule_to_objects() {
        let rule = json!({"verbs": ["get", "list", "create"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["p"]});
        check(rule.clone(), "get  pods p", true);
        check(rule.clone(), "get  pods q", false);
        check(rule.clone(), "list  pods", false);
        check(rule, "create  pods", false);
    }

    #[test]
    fn paths_are_whole_or_end_with_a_star() {
        let rule = |path: &str| json!({"verbs": ["get"], "nonResourceURLs": [path]});
        check(rule("/metrics"), "get /metrics", true);
        check(rule("/metrics"), "get /metrics/a", false);
        check(rule("/apis/*"), "get /apis/a/b", true);
        check(rule("/apis/*"), "get /apis", false);
        check(rule("*"), "get /anything", true);
        check(rule("/*/a"), "get /b/a", false);
        check(rule("/metrics"), "post /metrics", false);
        check(rule("/metrics"), "get  pods", false);
    }
}
