//! Reviews: who am I, whose token is that, and who may do what. They are answered and not stored.

use everynode_apimachinery::decode::Body as Expected;
use everynode_apimachinery::schema;
use everynode_apimachinery::status::{FieldError, Status};
use everynode_model::access::Read as _;
use everynode_model::{Object, Value, time};
use http::Response;
use serde_json::json;

use super::Call;
use super::create::ensure_namespace;
use crate::authn::{self, User};
use crate::authz::{self, Decision, Rule};
use crate::http::attributes::{Attributes, Resource};
use crate::http::body::Body;
use crate::http::query::WriteOptions;
use crate::meta;
use crate::tokens::{self, TokenError};

const AUTHORIZATION: &str = "authorization.k8s.io";

/// POST of a review.
pub fn create(call: &mut Call<'_>, bytes: &[u8]) -> Result<Response<Body>, Status> {
    let resource = call.resource.clone();
    let options = WriteOptions::parse(&call.query, "CreateOptions")?;
    let ty = schema::type_named(resource.type_name).ok_or_else(Status::unknown_path)?;
    let expected = Expected { group: &resource.group, version: &resource.version, kind: &resource.kind, ty };
    let mut review = call.read_body(&expected, bytes, options.field_validation)?;
    ensure_namespace(&mut review, &resource, &call.namespace)?;
    let spec = review.get("spec").cloned().unwrap_or_default();
    let status = match &*resource.kind {
        "SelfSubjectReview" => {
            meta::set(&mut review, "creationTimestamp", time::format(call.now));
            json!({ "userInfo": user_info(&call.user) })
        }
        "TokenReview" => whose_token(call, &spec)?,
        "SelfSubjectAccessReview" => {
            let (asked, errors) = asked(&spec);
            refuse(errors)?;
            may(call, &call.user, &asked)
        }
        "SubjectAccessReview" | "LocalSubjectAccessReview" => {
            let (asked, mut errors) = asked(&spec);
            let user = subject(&spec, &mut errors);
            if resource.namespaced {
                check_place(&asked, &spec, &call.namespace, &mut errors);
            }
            refuse(errors)?;
            may(call, &user, &asked)
        }
        "SelfSubjectRulesReview" => {
            let namespace = spec.text("namespace");
            if namespace.is_empty() {
                return Err(Status::bad_request("no namespace on request"));
            }
            review["spec"] = json!({});
            rules(call, namespace)
        }
        // Whatever else is kept nowhere is not served.
        _ => return Err(Status::unknown_path()),
    };
    review["status"] = status;
    Ok(call.answer_other(201, ty, review))
}

fn user_info(user: &User) -> Value {
    serde_json::to_value(user).unwrap_or_default()
}

fn whose_token(call: &Call<'_>, spec: &Value) -> Result<Value, Status> {
    let token = spec.text("token");
    if token.is_empty() {
        return Err(Status::bad_request("token is required for TokenReview in authentication"));
    }
    let named = spec.items("audiences").iter().filter_map(Value::as_str).collect::<Vec<_>>();
    let audiences = if named.is_empty() { vec![tokens::ISSUER] } else { named };
    Ok(match authn::user_of_token(call.state, token, &audiences) {
        Ok((user, meant)) => json!({ "authenticated": true, "user": user_info(&user), "audiences": meant }),
        Err(TokenError::Unknown) => json!({ "user": {}, "error": "invalid bearer token" }),
        Err(error) => json!({ "user": {}, "error": format!("[invalid bearer token, {error}]") }),
    })
}

/// What a review asks about, and what is wrong with it.
fn asked(spec: &Value) -> (Attributes, Vec<FieldError>) {
    let (resource, path) = (spec.at("resourceAttributes"), spec.at("nonResourceAttributes"));
    let mut errors = Vec::new();
    match (resource, path) {
        (Some(_), Some(path)) => {
            let why = "cannot be specified in combination with resourceAttributes";
            errors.push(FieldError::invalid("spec.nonResourceAttributes", shown(path), why));
        }
        (None, None) => {
            let why = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
            errors.push(FieldError::invalid("spec.resourceAttributes", Value::Null, why));
        }
        _ => {}
    }
    let asked = match (resource, path) {
        (Some(named), _) => {
            let text = |field| named.text(field).to_owned();
            let resource = Resource {
                group: text("group"),
                version: text("version"),
                resource: text("resource"),
                subresource: text("subresource"),
                namespace: text("namespace"),
                name: text("name"),
                ..Resource::default()
            };
            Attributes { verb: text("verb"), path: String::new(), resource: Some(resource) }
        }
        (None, path) => {
            let text = |field| path.map_or_else(String::new, |path| path.text(field).to_owned());
            Attributes { verb: text("verb"), path: text("path"), resource: None }
        }
    };
    (asked, errors)
}

/// A path as refusals show it.
fn shown(path: &Value) -> Value {
    json!({ "Path": path.text("path"), "Verb": path.text("verb") })
}

/// The user that a review is about.
fn subject(spec: &Value, errors: &mut Vec<FieldError>) -> User {
    let texts = |list: &[Value]| list.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let groups: Vec<String> = texts(spec.items("groups"));
    let name = spec.text("user").to_owned();
    if name.is_empty() && groups.is_empty() {
        errors.push(FieldError::invalid("spec.user", "", "at least one of user or group must be specified"));
    }
    User { name, groups, uid: spec.text("uid").to_owned(), ..User::default() }
}

/// A review in a namespace is about that namespace.
fn check_place(asked: &Attributes, spec: &Value, namespace: &str, errors: &mut Vec<FieldError>) {
    if let Some(resource) = &asked.resource
        && resource.namespace != namespace
    {
        let named = resource.namespace.clone();
        let why = "must match metadata.namespace";
        errors.push(FieldError::invalid("spec.resourceAttributes.namespace", named, why));
    }
    if let Some(path) = spec.at("nonResourceAttributes") {
        let why = "disallowed on this kind of request";
        errors.push(FieldError::invalid("spec.nonResourceAttributes", shown(path), why));
    }
}

fn refuse(errors: Vec<FieldError>) -> Result<(), Status> {
    if errors.is_empty() { Ok(()) } else { Err(Status::invalid(AUTHORIZATION, "", "", &errors)) }
}

fn may(call: &Call<'_>, user: &User, asked: &Attributes) -> Value {
    let (allowed, reason) = match authz::decide(call.state, user, asked) {
        Decision::Allowed(reason) => (true, reason),
        Decision::Denied(reason) => (false, reason),
    };
    let mut status = json!({ "allowed": allowed });
    if !reason.is_empty() {
        status["reason"] = reason.into();
    }
    status
}

/// The rules that apply to whoever asks.
fn rules(call: &Call<'_>, namespace: &str) -> Value {
    let (mut rules, mut is_all) = call.state.rbac.rules(&call.user, namespace);
    rules.sort();
    rules.dedup();
    let is_node = authz::node::of(&call.user).is_some();
    is_all &= !is_node;
    let (resources, paths): (Vec<&Rule>, Vec<&Rule>) = rules.iter().partition(|rule| rule.paths.is_empty());
    let resource = |rule: &&Rule| {
        let mut shown = json!({
            "verbs": rule.verbs,
            "apiGroups": rule.groups,
            "resources": rule.resources,
        });
        if !rule.names.is_empty() {
            shown["resourceNames"] = rule.names.clone().into();
        }
        shown
    };
    let path = |rule: &&Rule| json!({ "verbs": rule.verbs, "nonResourceURLs": rule.paths });
    let mut status = Object::new();
    status.insert("resourceRules".into(), resources.iter().map(resource).collect());
    status.insert("nonResourceRules".into(), paths.iter().map(path).collect());
    status.insert("incomplete".into(), (!is_all).into());
    if is_node {
        let why = "node authorizer does not support user rule resolution";
        status.insert("evaluationError".into(), why.into());
    }
    Value::Object(status)
}
