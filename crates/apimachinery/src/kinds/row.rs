//! Rows of the table of built-in kinds.

use std::borrow::Cow;
use std::sync::Arc;

use crate::resource::{ALL_VERBS, READ_WRITE, Resource, RulesRef, StoredAs, Subresource};
use crate::rules::Rules;
use everynode_model::names::NameRule;

/// A row of the table of built-in kinds. The fields mean what they mean in [`Resource`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub group: &'static str,
    pub version: &'static str,
    pub kind: &'static str,
    pub plural: &'static str,
    pub singular: &'static str,
    pub short_names: &'static [&'static str],
    pub categories: &'static [&'static str],
    pub namespaced: bool,
    pub verbs: &'static [&'static str],
    pub subresources: &'static [Subresource],
    pub type_name: &'static str,
    pub selectable_fields: &'static [&'static str],
    pub name_rule: NameRule,
    pub stored_as: Option<fn() -> Arc<dyn StoredAs>>,
    pub create_on_update: bool,
    pub unconditional_update: bool,
    pub deprecation: Option<&'static str>,
    pub rules: &'static dyn Rules,
}

impl From<&Row> for Resource {
    fn from(row: &Row) -> Resource {
        let texts = |texts: &'static [&'static str]| texts.iter().map(|text| Cow::Borrowed(*text)).collect();
        Resource {
            group: row.group.into(),
            version: row.version.into(),
            kind: row.kind.into(),
            list_kind: format!("{}List", row.kind).into(),
            plural: row.plural.into(),
            singular: row.singular.into(),
            short_names: texts(row.short_names),
            categories: texts(row.categories),
            namespaced: row.namespaced,
            verbs: row.verbs,
            subresources: Cow::Borrowed(row.subresources),
            type_name: row.type_name,
            selectable_fields: texts(row.selectable_fields),
            name_rule: row.name_rule,
            stored_as: row.stored_as.map(|made| made()),
            create_on_update: row.create_on_update,
            unconditional_update: row.unconditional_update,
            rules: RulesRef::BuiltIn(row.rules),
            deprecation: row.deprecation.map(str::to_owned),
            is_ending: false,
            custom: None,
        }
    }
}

/// Verbs of subresources that pass a request on to a pod, a service or a node.
pub(super) const PROXY: &[&str] = &["create", "delete", "get", "patch", "update"];

/// What most rows have in common; `..ROW` fills it in.
pub(super) const ROW: Row = Row {
    group: "",
    version: "v1",
    kind: "",
    plural: "",
    singular: "",
    short_names: &[],
    categories: &[],
    namespaced: true,
    verbs: ALL_VERBS,
    subresources: &[],
    type_name: "",
    selectable_fields: &[],
    name_rule: NameRule::Subdomain,
    stored_as: None,
    create_on_update: false,
    unconditional_update: true,
    deprecation: None,
    rules: &Plain,
};

/// Rules of kinds that are kept as they are sent.
#[derive(Debug)]
struct Plain;

impl Rules for Plain {}

/// The subresource of the status of an object of that kind.
pub(super) const fn status(kind: &'static str) -> Subresource {
    Subresource::new("status", kind, READ_WRITE)
}
