//! Who am I, and may I: every recognised client is the admin, so the answer to the second is yes.

use everynode_model::{Object, Value};

use crate::authn::User;

fn object(fields: Vec<(&str, Value)>) -> Value {
    Value::Object(fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// Answers a review. `body` is JSON where the client sent JSON; its question does not change the answer.
pub fn review(group: &str, plural: &str, body: &[u8], user: &User) -> Option<Value> {
    let asked: Value = serde_json::from_slice(body).unwrap_or_default();
    let spec = asked.get("spec").cloned().unwrap_or_else(|| Value::Object(Object::new()));
    let (kind, status) = match (group, plural) {
        ("authorization.k8s.io", "selfsubjectaccessreviews") => {
            ("SelfSubjectAccessReview", object(vec![("allowed", true.into())]))
        }
        ("authorization.k8s.io", "selfsubjectrulesreviews") => ("SelfSubjectRulesReview", all_rules()),
        ("authentication.k8s.io", "selfsubjectreviews") => {
            ("SelfSubjectReview", object(vec![("userInfo", serde_json::to_value(user).unwrap_or_default())]))
        }
        _ => return None,
    };
    let mut fields = vec![
        ("kind", kind.into()),
        ("apiVersion", format!("{group}/v1").into()),
        ("metadata", object(vec![("creationTimestamp", Value::Null)])),
    ];
    if plural != "selfsubjectreviews" {
        fields.push(("spec", spec));
    }
    fields.push(("status", status));
    Some(object(fields))
}

fn all_rules() -> Value {
    let all = || Value::Array(vec!["*".into()]);
    let resources = object(vec![("verbs", all()), ("apiGroups", all()), ("resources", all())]);
    let paths = object(vec![("verbs", all()), ("nonResourceURLs", all())]);
    object(vec![
        ("resourceRules", Value::Array(vec![resources])),
        ("nonResourceRules", Value::Array(vec![paths])),
        ("incomplete", false.into()),
    ])
}
