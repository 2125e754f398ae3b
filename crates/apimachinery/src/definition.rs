//! The kinds that definitions of custom resources make.

use std::sync::Arc;

use everynode_cel::Patterns;
use everynode_model::Value;
use everynode_model::access::Read;

use crate::custom::Custom;
use crate::resource::{ALL_VERBS, Resource, RulesRef, StoredAs, Subresource};
use everynode_model::names::NameRule;

/// The resources that a definition makes of the names that were accepted: one for every served version.
///
/// # Errors
/// A schema cannot be served; validation lets none of these pass.
pub fn resources(definition: &Value) -> Result<Vec<Resource>, String> {
    let spec = definition.get("spec").unwrap_or(&Value::Null);
    let names = definition.pointer("/status/acceptedNames").unwrap_or(&Value::Null);
    let is_ending = definition.at("metadata.deletionTimestamp").is_some();
    let versions = spec.items("versions");
    let stored = versions.iter().find(|version| version.flag("storage")).map_or("", |one| one.text("name"));
    let served = versions.iter().filter(|version| version.flag("served"));
    let mut patterns = Patterns::default();
    let mut resource = |version: &Value| {
        let custom = Arc::new(Custom::new(spec, names, version, &mut patterns)?);
        Ok(resource(spec, names, version, (stored, is_ending), custom))
    };
    served.map(&mut resource).collect()
}

fn resource(
    spec: &Value,
    names: &Value,
    version: &Value,
    (stored_version, is_ending): (&str, bool),
    custom: Arc<Custom>,
) -> Resource {
    let text = |value: &Value, name: &str| value.text(name).to_owned();
    let list = |name: &str| {
        names.items(name).iter().filter_map(Value::as_str).map(|text| text.to_owned().into()).collect()
    };
    let fields = version.items("selectableFields").iter();
    let mut subresources = Vec::new();
    if custom.has_status() {
        subresources.push(Subresource::STATUS);
    }
    if custom.scale().is_some() {
        subresources.push(Subresource::SCALE);
    }
    let form = Form {
        group: text(spec, "group"),
        version: stored_version.to_owned(),
        plural: text(names, "plural"),
        custom: custom.clone(),
    };
    Resource {
        group: text(spec, "group").into(),
        version: text(version, "name").into(),
        kind: text(names, "kind").into(),
        list_kind: text(names, "listKind").into(),
        plural: text(names, "plural").into(),
        singular: text(names, "singular").into(),
        short_names: list("shortNames"),
        categories: list("categories"),
        namespaced: spec.text("scope") == "Namespaced",
        verbs: ALL_VERBS,
        subresources: subresources.into(),
        type_name: "",
        selectable_fields: fields
            .map(|field| field.text("jsonPath").trim_start_matches('.').to_owned().into())
            .collect(),
        name_rule: NameRule::Subdomain,
        stored_as: Some(Arc::new(form)),
        create_on_update: false,
        unconditional_update: false,
        rules: RulesRef::Custom(custom.clone()),
        deprecation: deprecation(spec, names, version),
        is_ending,
        custom: Some(custom),
    }
}

/// What is said about a deprecated version, with the one to use instead where there is one.
fn deprecation(spec: &Value, names: &Value, version: &Value) -> Option<String> {
    let (group, kind, name) = (spec.text("group"), names.text("kind"), version.text("name"));
    if !version.flag("deprecated") {
        return None;
    }
    if version.at("deprecationWarning").is_some() {
        return Some(version.text("deprecationWarning").to_owned());
    }
    let usable = |one: &&Value| one.flag("served") && !one.flag("deprecated");
    let better = spec.items("versions").iter().filter(usable).map(|one| one.text("name"));
    let better =
        better.filter(|one| version_rank(one) > version_rank(name)).max_by_key(|one| version_rank(one));
    let instead = better.map(|better| format!("; use {group}/{better} {kind}")).unwrap_or_default();
    Some(format!("{group}/{name} {kind} is deprecated{instead}"))
}

/// How much a version is preferred: stable before beta before alpha, later before earlier, and what has no such
/// name last.
pub fn version_rank(version: &str) -> (u8, u64, u64) {
    let number = |text: &str| text.parse::<u64>().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()));
    let Some(rest) = version.strip_prefix('v') else { return (0, 0, 0) };
    if let Some(major) = number(rest) {
        return (3, major, 0);
    }
    for (stage, name) in [(2, "beta"), (1, "alpha")] {
        if let Some((major, minor)) = rest.split_once(name)
            && let (Some(major), Some(minor)) = (number(major), number(minor))
        {
            return (stage, major, minor);
        }
    }
    (0, 0, 0)
}

/// Objects of all versions are kept in the version of the definition that says so, and shown in the one that is
/// asked for: only the apiVersion differs. Defaults that came into the schema later are filled in on reading.
#[derive(Debug)]
struct Form {
    group: String,
    version: String,
    plural: String,
    custom: Arc<Custom>,
}

impl StoredAs for Form {
    fn group(&self) -> &str {
        &self.group
    }

    fn version(&self) -> &str {
        &self.version
    }

    fn plural(&self) -> &str {
        &self.plural
    }

    fn to_stored(&self, mut object: Value) -> Value {
        if let Value::Object(fields) = &mut object {
            fields.insert("apiVersion".into(), format!("{}/{}", self.group, self.version).into());
        }
        object
    }

    fn shown_form(&self, mut object: Value) -> Value {
        if let Value::Object(fields) = &mut object {
            fields.insert("apiVersion".into(), self.custom.api_version().into());
        }
        self.custom.complete(&mut object);
        object
    }
}
